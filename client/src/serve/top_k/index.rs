//! Vectors that are asked for their greatest products with a query.
//!
//! # The error bound
//! Write x for an item's vector and q for the query, x̂ = s·codes and q̂ = t·codes for what their codes stand for, A for the
//! product of x̂ and q̂, F for the exact score [`dot`] gives, u = 2⁻²⁴ for the rounding of f32. Then
//!
//! ```text
//! |q·x − q̂·x̂| ≤ ‖q‖·‖x − x̂‖ + ‖q − q̂‖·‖x̂‖        Cauchy-Schwarz on q·(x − x̂) + (q − q̂)·x̂
//! |F − q·x|   ≤ γ·‖q‖·‖x‖ ,  γ = (d + 2)·u·1.01     any order of d products and sums
//! |Â − A|     ≤ 8·u·‖q̂‖·‖x̂‖                        Â is A in f32: three roundings, and those of the comparisons
//! |F − Â|     ≤ ‖q‖·a + (‖q − q̂‖ + 8·u·(‖q‖ + ‖q − q̂‖))·b + 2⁻¹⁰⁰      a = ‖x − x̂‖ + γ·‖x‖, b = ‖x̂‖
//! ```
//! where 2⁻¹⁰⁰ is far more than what numbers too small for f32 can lose. a and b are the greatest of a block of items. The k-th
//! greatest Â − bound is not above the k-th greatest F: whatever has Â + bound below it is not among the k best, and of all
//! others F is computed. So the answer is that of the full scan, bit for bit.

use super::codes::{BLOCK, Codes, ITEM_CODE_MAX, QueryCodes, query_code_max};
use super::dot::dot;
use super::{Floor, Scored, better_first};

/// Greatest width of vectors.
pub const WIDTH_MAX: usize = 4_096;
/// Greatest length (L2) of a vector: products of two of them are far from the limits of f32.
pub const LENGTH_MAX: f64 = 1e15;

/// Half of the distance of two neighbouring f32 at one.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;
/// 2⁻¹⁰⁰.
const UNDERFLOW: f64 = 7.888_609_052_210_118e-31;
/// Rounding up in f64 and to f32.
const UPWARDS: f64 = 1.0 + 1e-5;
/// Candidates that a scan for ten has room for at once.
const CANDIDATES: usize = 128;

/// How scores are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Codes choose candidates, vectors score them: the exact answer.
    Exact,
    /// Codes alone: a quarter of the memory; near ties may come in another order.
    Int8,
}

/// Vectors that cannot be indexed, or a query that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: expected {expected}, found {found}")]
pub struct VectorError {
    /// Where.
    pub place: String,
    /// What belongs there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Vectors of items.
pub struct DotIndex {
    width: usize,
    items: usize,
    precision: Precision,
    /// `[items, width]`; empty for [`Precision::Int8`].
    vectors: Vec<f32>,
    codes: Codes,
    /// Value of one code of an item, zero beyond the last item.
    scales: Vec<[f32; BLOCK]>,
    /// a and b of every block.
    bounds: Vec<(f64, f64)>,
    #[cfg(target_arch = "x86_64")]
    simd: Option<pulp::x86::V3>,
}

/// A query, ready to be asked.
struct Query {
    codes: QueryCodes,
    scale: f32,
    length: f64,
    error: f64,
}

/// What a scan leaves to be looked at: approximate score, the most it may be, item.
struct Candidate {
    approximate: f32,
    most: f32,
    item: u32,
}

impl DotIndex {
    /// # Errors
    /// [`VectorError`] for vectors that are no numbers, or beyond the limits.
    ///
    /// # Shapes
    /// `vectors` `[items, width]`, row-major.
    pub fn new(vectors: Vec<f32>, width: usize, precision: Precision) -> Result<Self, VectorError> {
        let error = |place: String, expected: String, found: String| VectorError { place, expected, found };
        if !(1..=WIDTH_MAX).contains(&width) {
            return Err(error("width".into(), format!("1 to {WIDTH_MAX}"), width.to_string()));
        }
        if !vectors.len().is_multiple_of(width) || vectors.len() / width > u32::MAX as usize {
            let found = format!("{} numbers", vectors.len());
            return Err(error("vectors".into(), format!("a multiple of {width} numbers"), found));
        }
        let items = vectors.len() / width;
        for (item, vector) in vectors.chunks_exact(width).enumerate() {
            check(vector).map_err(|found| error(format!("vector {item}"), expected_vector(), found))?;
        }
        let mut index = DotIndex {
            width,
            items,
            precision,
            codes: Codes::new(width, items),
            scales: vec![[0.0; BLOCK]; items.div_ceil(BLOCK)],
            bounds: vec![(0.0, 0.0); items.div_ceil(BLOCK)],
            vectors,
            #[cfg(target_arch = "x86_64")]
            simd: pulp::x86::V3::try_new(),
        };
        (0..items).for_each(|item| index.encode(item));
        if precision == Precision::Int8 {
            index.vectors = vec![];
        }
        Ok(index)
    }

    fn encode(&mut self, item: usize) {
        let vector = &self.vectors[item * self.width..(item + 1) * self.width];
        let (codes, scale) = codes_of(vector, ITEM_CODE_MAX);
        let (mut error, mut length, mut coded_length) = (0f64, 0f64, 0f64);
        for (dimension, (value, code)) in vector.iter().zip(codes).enumerate() {
            let coded = f64::from(code) * f64::from(scale);
            error += (f64::from(*value) - coded).powi(2);
            length += f64::from(*value).powi(2);
            coded_length += coded.powi(2);
            // At most ITEM_CODE_MAX, which fits.
            self.codes.set(item, dimension, code as i8);
        }
        let gamma = (self.width + 2) as f64 * ROUNDING * 1.01;
        let (a, b) = &mut self.bounds[item / BLOCK];
        *a = a.max((error.sqrt() + gamma * length.sqrt()) * UPWARDS);
        *b = b.max(coded_length.sqrt() * UPWARDS);
        self.scales[item / BLOCK][item % BLOCK] = scale;
    }

    /// N.
    pub fn items(&self) -> usize {
        self.items
    }

    /// d.
    pub fn width(&self) -> usize {
        self.width
    }

    /// An item's vector, or what its codes stand for where nothing else is kept.
    ///
    /// # Shapes
    /// `out` [`Self::width`] numbers.
    pub fn vector(&self, item: u32, out: &mut [f32]) {
        let item = item as usize;
        match self.precision {
            Precision::Exact => {
                out.copy_from_slice(&self.vectors[item * self.width..(item + 1) * self.width])
            }
            Precision::Int8 => {
                let scale = self.scales[item / BLOCK][item % BLOCK];
                for (dimension, value) in out.iter_mut().enumerate() {
                    *value = f32::from(self.codes.get(item, dimension)) * scale;
                }
            }
        }
    }

    /// Scores of all items: [`dot`] of vector and query; approximate ones where only codes are kept.
    ///
    /// # Errors
    /// [`VectorError`] for a query that is no vector of this width.
    ///
    /// # Shapes
    /// `query` [`Self::width`] numbers, `out` [`Self::items`].
    pub fn scores(&self, query: &[f32], out: &mut [f32]) -> Result<(), VectorError> {
        let coded = self.query(query)?;
        match self.precision {
            Precision::Exact => {
                let work = Products { vectors: &self.vectors, query, out };
                #[cfg(target_arch = "x86_64")]
                if let Some(simd) = self.simd {
                    simd.vectorize(work);
                    return Ok(());
                }
                work.compute();
            }
            Precision::Int8 => {
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    out.copy_from_slice(&self.approximate(block, &coded)[..out.len()]);
                }
            }
        }
        Ok(())
    }

    /// The `k` best of all items that `allows` lets through.
    ///
    /// # Errors
    /// [`VectorError`] for a query that is no vector of this width.
    pub fn top(
        &self,
        query: &[f32],
        k: usize,
        allows: impl Fn(u32) -> bool,
    ) -> Result<Vec<Scored>, VectorError> {
        let coded = self.query(query)?;
        if k == 0 {
            return Ok(vec![]);
        }
        let candidates = self.scan(&coded, k.min(self.items), &allows);
        let exactly = |candidate: Candidate| match self.precision {
            Precision::Int8 => candidate.approximate,
            Precision::Exact => {
                let start = candidate.item as usize * self.width;
                dot(&self.vectors[start..start + self.width], query)
            }
        };
        let mut best: Vec<Scored> = candidates
            .into_iter()
            .map(|candidate| Scored { item: candidate.item, score: exactly(candidate) })
            .collect();
        if best.len() > k {
            best.select_nth_unstable_by(k - 1, better_first);
            best.truncate(k);
        }
        best.sort_unstable_by(better_first);
        Ok(best)
    }

    fn query(&self, query: &[f32]) -> Result<Query, VectorError> {
        let error = |expected, found| VectorError { place: "query".into(), expected, found };
        if query.len() != self.width {
            return Err(error(format!("{} numbers", self.width), query.len().to_string()));
        }
        check(query).map_err(|found| error(expected_vector(), found))?;
        let (codes, scale) = codes_of(query, query_code_max(self.width));
        let (mut difference, mut length) = (0f64, 0f64);
        for (value, code) in query.iter().zip(&codes) {
            difference += (f64::from(*value) - f64::from(*code) * f64::from(scale)).powi(2);
            length += f64::from(*value).powi(2);
        }
        Ok(Query {
            codes: QueryCodes::new(&codes),
            scale,
            length: length.sqrt() * UPWARDS,
            error: difference.sqrt() * UPWARDS,
        })
    }

    #[inline(always)]
    fn approximate(&self, block: usize, query: &Query) -> [f32; BLOCK] {
        self.scaled(block, query, self.codes.sums(block, &query.codes))
    }

    #[inline(always)]
    fn scaled(&self, block: usize, query: &Query, sums: [i32; BLOCK]) -> [f32; BLOCK] {
        let scales = &self.scales[block];
        std::array::from_fn(|place| sums[place] as f32 * (scales[place] * query.scale))
    }

    /// Everything that may be among the `k` best.
    fn scan(&self, query: &Query, k: usize, allows: &impl Fn(u32) -> bool) -> Vec<Candidate> {
        let mut sieve = Sieve {
            floor: Floor::new(k),
            least: f32::NEG_INFINITY,
            candidates: Vec::with_capacity(CANDIDATES),
        };
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = self.simd {
            simd.vectorize(ScanV3 { simd, index: self, query, sieve: &mut sieve, allows });
            return sieve.finish();
        }
        for block in 0..self.codes.blocks() {
            let approximate = self.approximate(block, query);
            self.sift(block, &approximate, query, &mut sieve, allows);
        }
        sieve.finish()
    }

    /// How far an approximate score of a block may be from the exact one.
    #[inline(always)]
    fn bound(&self, block: usize, query: &Query) -> f32 {
        let (a, b) = self.bounds[block];
        match self.precision {
            Precision::Int8 => 0.0,
            Precision::Exact => {
                let relative = query.error + 8.0 * ROUNDING * (query.length + query.error);
                ((query.length * a + relative * b + UNDERFLOW) * UPWARDS) as f32
            }
        }
    }

    #[inline(always)]
    fn sift(
        &self,
        block: usize,
        approximate: &[f32; BLOCK],
        query: &Query,
        sieve: &mut Sieve,
        allows: &impl Fn(u32) -> bool,
    ) {
        let bound = self.bound(block, query);
        let needed = sieve.least;
        let mut places = 0u32;
        for (place, value) in approximate.iter().enumerate() {
            places |= u32::from(*value + bound >= needed) << place;
        }
        // Only where a bit is set: most blocks have none, and of the others most places none.
        while places != 0 {
            let place = places.trailing_zeros() as usize;
            places &= places - 1;
            let value = approximate[place];
            let item = block * BLOCK + place;
            let most = value + bound;
            if most >= sieve.least && item < self.items && allows(item as u32) {
                sieve.take(Candidate { approximate: value, most, item: item as u32 }, value - bound);
            }
        }
    }
}

#[cfg(test)]
impl DotIndex {
    /// What an item's exact score lies between, as a scan assumes.
    pub(super) fn range(&self, item: usize, query: &[f32]) -> (f32, f32) {
        let query = self.query(query).unwrap();
        let value = self.approximate(item / BLOCK, &query)[item % BLOCK];
        let bound = self.bound(item / BLOCK, &query);
        (value - bound, value + bound)
    }

    /// How many items a scan leaves.
    pub(super) fn candidates(&self, query: &[f32], k: usize) -> usize {
        self.scan(&self.query(query).unwrap(), k, &|_| true).len()
    }
}

/// Keeps what may be among the best.
struct Sieve {
    floor: Floor,
    /// What the k-th best has at least.
    least: f32,
    candidates: Vec<Candidate>,
}

impl Sieve {
    fn take(&mut self, candidate: Candidate, surely: f32) {
        self.candidates.push(candidate);
        self.floor.add(surely);
        self.least = self.floor.value();
    }

    fn finish(self) -> Vec<Candidate> {
        let least = self.least;
        let mut candidates = self.candidates;
        candidates.retain(|candidate| candidate.most >= least);
        candidates
    }
}

/// Products of all vectors with a query.
struct Products<'s> {
    vectors: &'s [f32],
    query: &'s [f32],
    out: &'s mut [f32],
}

impl Products<'_> {
    #[inline(always)]
    fn compute(self) {
        for (vector, product) in self.vectors.chunks_exact(self.query.len()).zip(self.out) {
            *product = dot(vector, self.query);
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl pulp::NullaryFnOnce for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.compute();
    }
}

/// The scan, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
struct ScanV3<'s, F> {
    simd: pulp::x86::V3,
    index: &'s DotIndex,
    query: &'s Query,
    sieve: &'s mut Sieve,
    allows: &'s F,
}

#[cfg(target_arch = "x86_64")]
impl<F: Fn(u32) -> bool> pulp::NullaryFnOnce for ScanV3<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for block in 0..self.index.codes.blocks() {
            let sums = self.index.codes.sums_v3(self.simd, block, &self.query.codes);
            let approximate = self.index.scaled(block, self.query, sums);
            self.index.sift(block, &approximate, self.query, self.sieve, self.allows);
        }
    }
}

/// Codes from −most to most and the value of one.
fn codes_of(vector: &[f32], most: f32) -> (Vec<i16>, f32) {
    let greatest = vector.iter().fold(0f32, |greatest, value| greatest.max(value.abs()));
    let scale = greatest / most;
    let code = |value: &f32| {
        let code = if scale > 0.0 { (value / scale).round().clamp(-most, most) } else { 0.0 };
        code as i16
    };
    (vector.iter().map(code).collect(), scale)
}

fn expected_vector() -> String {
    format!("finite numbers with a length of at most {LENGTH_MAX:e}")
}

/// What is wrong with a vector, in words without its values.
fn check(vector: &[f32]) -> Result<(), String> {
    if let Some(place) = vector.iter().position(|value| !value.is_finite()) {
        return Err(format!("no finite number at {place}"));
    }
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length <= LENGTH_MAX { Ok(()) } else { Err("a longer one".into()) }
}
