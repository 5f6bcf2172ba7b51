//! AES in counter mode (SP 800-38A, section 6.5), from counter 0, added to ring words as it is made. [core]
//!
//! Many masks are made at once, and all count alike: the counter blocks are written once for all of them. Key stream and
//! sum are made in one pass, in code that the cipher's backend compiles for the widest vectors the processor has.

use aes::Aes256Enc;
use aes::cipher::array::Array;
use aes::cipher::consts::U16;
use aes::cipher::typenum::Unsigned as _;
use aes::cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt as _, BlockSizeUser};
use zeroize::Zeroize as _;

use crate::ring::{Chunk, Sign};

const BLOCK_BYTES: usize = 16;

type Block = Array<u8, U16>;

/// The counter blocks of one chunk: big-endian numbers of 128 bits.
pub(super) struct Counters {
    blocks: Vec<Block>,
    first: u128,
}

impl Counters {
    /// Those of the first chunk.
    pub(super) fn new(chunk_bytes: usize) -> Self {
        let mut counters = Counters { blocks: vec![Block::default(); chunk_bytes / BLOCK_BYTES], first: 0 };
        counters.write();
        counters
    }

    /// On to the next chunk.
    pub(super) fn advance(&mut self) {
        self.first += self.blocks.len() as u128;
        self.write();
    }

    fn write(&mut self) {
        for (block, number) in self.blocks.iter_mut().zip(self.first..) {
            *block = Array(number.to_be_bytes());
        }
    }
}

/// Room for key stream. Wiped on drop.
pub(super) struct Stream(Vec<Block>);

impl Stream {
    pub(super) fn new(chunk_bytes: usize) -> Self {
        Stream(vec![Block::default(); chunk_bytes / BLOCK_BYTES])
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|block| block.0.zeroize());
    }
}

/// Adds the key stream at these counters to a chunk, which is no longer than they are.
pub(super) fn add(
    cipher: &Aes256Enc,
    counters: &Counters,
    stream: &mut Stream,
    chunk: Chunk<'_>,
    sign: Sign,
) {
    cipher.encrypt_with_backend(Addition { counters: &counters.blocks, stream: &mut stream.0, chunk, sign });
}

struct Addition<'a> {
    counters: &'a [Block],
    stream: &'a mut [Block],
    chunk: Chunk<'a>,
    sign: Sign,
}

impl BlockSizeUser for Addition<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Addition<'_> {
    // Inlined into the backend's function, and with it compiled for its instructions.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, backend: &B) {
        let (many, single) = Array::<Block, B::ParBlocksSize>::slice_as_chunks(self.counters);
        if let Some(stream) = Array::<Block, B::ParBlocksSize>::slice_as_chunks_mut(self.stream).0.first_mut()
        {
            for counters in many {
                if self.chunk.bytes() == 0 {
                    return;
                }
                backend.encrypt_par_blocks((counters, &mut *stream).into());
                let mut words = self.chunk.take(B::ParBlocksSize::USIZE * BLOCK_BYTES);
                words.add(Array::slice_as_flattened(stream.as_slice()), self.sign);
            }
        }
        for (counter, stream) in single.iter().zip(self.stream) {
            backend.encrypt_block((counter, &mut *stream).into());
            self.chunk.take(BLOCK_BYTES).add(stream.as_slice(), self.sign);
        }
    }
}
