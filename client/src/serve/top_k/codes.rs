//! Vectors as int8 codes, sixteen to a block, and the sums of their products with a query's int16 codes.
//!
//! ```text
//! block of 16 items:  | pair 0: item 0 (2 codes) … item 15 (2 codes) | pair 1: … | …      32 bytes a pair
//! ```
//! Sums are whole numbers without overflow, so that vector instructions and the plain loop agree to the bit.

/// Items of a block.
pub(super) const BLOCK: usize = 16;
/// Bytes of one pair of dimensions in a block.
const PAIR_BYTES: usize = 2 * BLOCK;
/// Greatest code of an item.
pub(super) const ITEM_CODE_MAX: f32 = 127.0;

/// Codes of all items.
pub(super) struct Codes {
    /// Pairs of dimensions; of an odd width the last pair is filled up with a zero.
    pairs: usize,
    bytes: Vec<[i8; PAIR_BYTES]>,
}

/// A query's codes, one pair of dimensions after the other.
pub(super) struct QueryCodes(Vec<[i16; 2]>);

/// The greatest code of a query such that no sum of products overflows.
pub(super) fn query_code_max(width: usize) -> f32 {
    let limit = i32::MAX as usize / (ITEM_CODE_MAX as usize * (width + 1));
    limit.min(i16::MAX as usize) as f32
}

impl QueryCodes {
    pub fn new(codes: &[i16]) -> Self {
        QueryCodes(codes.chunks(2).map(|pair| [pair[0], pair.get(1).copied().unwrap_or(0)]).collect())
    }
}

impl Codes {
    /// No items yet.
    pub fn new(width: usize, items: usize) -> Self {
        let pairs = width.div_ceil(2);
        Codes { pairs, bytes: vec![[0; PAIR_BYTES]; pairs * items.div_ceil(BLOCK)] }
    }

    /// Blocks of items, the last one filled up with zeros.
    pub fn blocks(&self) -> usize {
        self.bytes.len().checked_div(self.pairs).unwrap_or(0)
    }

    pub fn set(&mut self, item: usize, dimension: usize, code: i8) {
        self.bytes[item / BLOCK * self.pairs + dimension / 2][item % BLOCK * 2 + dimension % 2] = code;
    }

    pub fn get(&self, item: usize, dimension: usize) -> i8 {
        self.bytes[item / BLOCK * self.pairs + dimension / 2][item % BLOCK * 2 + dimension % 2]
    }

    /// The sums of products of one block's items with a query.
    #[inline(always)]
    pub fn sums(&self, block: usize, query: &QueryCodes) -> [i32; BLOCK] {
        let mut sums = [0i32; BLOCK];
        let pairs = &self.bytes[block * self.pairs..(block + 1) * self.pairs];
        for (codes, [first, second]) in pairs.iter().zip(&query.0) {
            let (first, second) = (i32::from(*first), i32::from(*second));
            for (sum, codes) in sums.iter_mut().zip(codes.chunks_exact(2)) {
                *sum += i32::from(codes[0]) * first + i32::from(codes[1]) * second;
            }
        }
        sums
    }

    /// [`Codes::sums`] with the 256-bit instructions of AVX2.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn sums_v3(&self, simd: pulp::x86::V3, block: usize, query: &QueryCodes) -> [i32; BLOCK] {
        let avx2 = simd.avx2;
        let zero = simd.avx._mm256_setzero_si256();
        let (mut low, mut high) = (zero, zero);
        let pairs = &self.bytes[block * self.pairs..(block + 1) * self.pairs];
        for (codes, pair) in pairs.iter().zip(&query.0) {
            let halves: [std::arch::x86_64::__m128i; 2] = pulp::cast(*codes);
            let query = simd.avx._mm256_set1_epi32(pulp::cast(*pair));
            low = avx2
                ._mm256_add_epi32(low, avx2._mm256_madd_epi16(avx2._mm256_cvtepi8_epi16(halves[0]), query));
            high = avx2
                ._mm256_add_epi32(high, avx2._mm256_madd_epi16(avx2._mm256_cvtepi8_epi16(halves[1]), query));
        }
        pulp::cast([low, high])
    }
}
