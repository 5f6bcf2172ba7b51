//! Masks: secret keys that expand into uniform ring vectors which cancel in the sum. [core]
//!
//! A mask is the key stream of its generator, read as little-endian ring words: uniform on the ring. Each key is derived for
//! one purpose in one session (see [`super::agreement`]), so the counter starts at zero.

mod aes_stream;

use aes::Aes256Enc;
use aes::cipher::KeyInit as _;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use zeroize::Zeroizing;

use super::MaskGenerator;
use crate::digest::Digest;
use crate::ring::{RingVector, Sign};

/// Bytes of key stream made at a time, a multiple of every cipher's block: small enough to stay in the first-level cache
/// beside the words it is added to.
const CHUNK_BYTES: usize = 8 << 10;

/// A key that expands into one mask. Does not print, is not serialisable, is wiped on drop.
pub struct MaskKey(Zeroizing<[u8; 32]>);

impl MaskKey {
    /// From 32 uniform secret bytes.
    pub(crate) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Self {
        MaskKey(secret)
    }
}

/// All masks of one merchant in one session, or all that the server takes off a sum.
pub struct MaskSet {
    sid: Digest,
    generator: MaskGenerator,
    masks: Vec<(MaskKey, Sign)>,
}

impl MaskSet {
    /// No masks yet.
    pub fn new(sid: Digest, generator: MaskGenerator) -> Self {
        MaskSet { sid, generator, masks: Vec::new() }
    }

    /// One more.
    pub fn push(&mut self, key: MaskKey, sign: Sign) {
        self.masks.push((key, sign));
    }

    /// The session they are for.
    pub fn sid(&self) -> Digest {
        self.sid
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.masks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// Adds all masks to a vector and forgets them.
    pub fn apply(self, vector: &mut RingVector) {
        match self.generator {
            MaskGenerator::Aes256Ctr => self.apply_aes(vector),
            MaskGenerator::ChaCha20 => self.apply_chacha(vector),
        }
    }

    // Chunk by chunk, all masks for each: the vector passes through the memory once, however many masks there are.

    fn apply_aes(&self, vector: &mut RingVector) {
        let ciphers: Vec<(Aes256Enc, Sign)> =
            self.masks.iter().map(|(key, sign)| (Aes256Enc::new((&*key.0).into()), *sign)).collect();
        let mut counters = aes_stream::Counters::new(CHUNK_BYTES);
        let mut stream = aes_stream::Stream::new(CHUNK_BYTES);
        vector.for_each_chunk(CHUNK_BYTES, |mut chunk| {
            for (cipher, sign) in &ciphers {
                aes_stream::add(cipher, &counters, &mut stream, chunk.reborrow(), *sign);
            }
            counters.advance();
        });
    }

    fn apply_chacha(&self, vector: &mut RingVector) {
        let open = |key: &MaskKey| ChaCha20::new((&*key.0).into(), &[0; 12].into());
        let mut ciphers: Vec<(ChaCha20, Sign)> =
            self.masks.iter().map(|(key, sign)| (open(key), *sign)).collect();
        let mut stream = Zeroizing::new([0; CHUNK_BYTES]);
        vector.for_each_chunk(CHUNK_BYTES, |mut chunk| {
            for (cipher, sign) in &mut ciphers {
                let bytes = &mut stream[..chunk.bytes()];
                cipher.write_keystream(bytes);
                chunk.add(bytes, *sign);
            }
        });
    }
}

#[cfg(test)]
mod tests;
