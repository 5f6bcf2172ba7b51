//! A version of the model: weights, optimiser state, step, and the hash everybody compares. [core]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::digest::Digest;
use crate::job::{AdaptiveClip, ClippingSpec, JobSpec};
use crate::model_spec::ModelSpec;
use crate::optimizer::OptimizerState;

/// A model version, complete: two parties with equal hashes compute equal successors.
///
/// # Shapes
/// `weights` d values, in the order of [`ModelSpec::parameters`].
#[derive(Clone, Debug, PartialEq)]
pub struct ModelState {
    /// Weights that the next round trains from.
    pub weights: Vec<f64>,
    /// What the optimiser remembers.
    pub optimizer: OptimizerState,
    /// Rounds applied so far.
    pub step: u32,
    /// Sum of the weights after each averaged round; empty before the first.
    pub average_sum: Vec<f64>,
    /// How many rounds `average_sum` holds.
    pub average_count: u32,
    /// C_f of the next round where the job's clip adapts; none where it is constant.
    pub clip: Option<f64>,
}

/// A noised sum that does not fit the model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a sum of {expected} integers, found {found}")]
pub struct ShapeError {
    /// d.
    pub expected: usize,
    /// Integers found.
    pub found: usize,
}

impl ModelState {
    /// Model 0: the job's public seed expanded. Anybody can recompute it.
    ///
    /// Weights are Glorot-uniform, biases zero. The generator is ChaCha20 (RFC 8439) keyed with SHA-256 of a label
    /// and the seed; each weight takes one 64-bit word, of which the upper 53 bits make a number in [0, 1). Where the job
    /// carries item vectors, they take the place of the first weights.
    ///
    /// # Source
    /// Glorot and Bengio 2010, equation 16.
    pub fn initial(job: &JobSpec) -> Self {
        let model = job.model();
        let key = Digest::of("guildhall model 0 v1", &[&job.seed.to_le_bytes(), &model.digest().0]);
        let mut generator = ChaCha20Rng::from_seed(key.0);
        let mut weights = Vec::with_capacity(model.parameter_count());
        for parameter in model.parameters() {
            // sqrt is correctly rounded, so the limit is the same everywhere.
            let limit = if parameter.fan_sum == 0 { 0.0 } else { (6.0 / parameter.fan_sum as f64).sqrt() };
            for _ in 0..parameter.len() {
                let unit = if limit == 0.0 {
                    0.5
                } else {
                    (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
                };
                weights.push((2.0 * unit - 1.0) * limit);
            }
        }
        if let Some(start) = model.start() {
            weights.iter_mut().zip(start.values()).for_each(|(weight, value)| *weight = value);
        }
        let optimizer = OptimizerState::new(&job.optimizer.rule, weights.len());
        let clip = job.adaptive_clip.map(|_| job.clipping.norm_l2);
        ModelState { weights, optimizer, step: 0, average_sum: vec![], average_count: 0, clip }
    }

    /// The next version, from the integer sum that a round released.
    ///
    /// The mean gradient is γ·z/W with the public W of the job and the γ of the clip that the round trained with; see
    /// [`OptimizerState::step`] for the arithmetic. Where the clip adapts, the sum's last word says how.
    ///
    /// # Errors
    /// [`ShapeError`] when the sum has another length than the round's vector.
    pub fn next(&self, job: &JobSpec, sum: &[i64]) -> Result<Self, ShapeError> {
        let expected = self.weights.len() + usize::from(job.adaptive_clip.is_some());
        if sum.len() != expected {
            return Err(ShapeError { expected, found: sum.len() });
        }
        let mut next = self.clone();
        let shoppers = job.round.expected_shoppers;
        let (sum, indicators) = sum.split_at(self.weights.len());
        let scale = self.clipping(job).grid() / shoppers as f64;
        let measured = job.model().measured(self.step);
        let gradient = sum
            .iter()
            .enumerate()
            .map(|(index, z)| if measured.contains(&index) { *z as f64 * scale } else { 0.0 });
        next.clip = job
            .adaptive_clip
            .zip(indicators.first())
            .map(|(rule, indicators)| rule.next(self.clipping(job).norm_l2, *indicators, shoppers));
        next.optimizer.step(&job.optimizer, gradient, &mut next.weights);
        next.step += 1;
        if next.step > job.rounds.saturating_sub(job.optimizer.average_last_rounds) {
            next.add_to_average();
        }
        Ok(next)
    }

    /// The clip and the grid of the round that trains from this version.
    pub fn clipping(&self, job: &JobSpec) -> ClippingSpec {
        ClippingSpec { norm_l2: self.clip.unwrap_or(job.clipping.norm_l2), ..job.clipping }
    }

    fn add_to_average(&mut self) {
        if self.average_sum.is_empty() {
            self.average_sum = vec![0.0; self.weights.len()];
        }
        for (sum, weight) in self.average_sum.iter_mut().zip(&self.weights) {
            *sum += *weight;
        }
        self.average_count += 1;
    }

    /// The weights to serve: the mean over the averaged rounds, or the last weights where none is averaged.
    pub fn released(&self) -> Vec<f64> {
        if self.average_count == 0 {
            return self.weights.clone();
        }
        let count = f64::from(self.average_count);
        self.average_sum.iter().map(|sum| sum / count).collect()
    }

    /// The model hash: model spec, weights, optimiser state, average and step, every float by its bits.
    pub fn hash(&self, model: &ModelSpec) -> Digest {
        let bytes = self.to_bytes();
        Digest::of("guildhall model v1", &[&model.digest().0, &bytes])
    }

    /// A fixed little-endian layout: step, average_count, two powers, then four length-prefixed vectors, then the clip
    /// where it adapts.
    pub fn to_bytes(&self) -> Vec<u8> {
        let vectors = [&self.weights, &self.optimizer.first, &self.optimizer.second, &self.average_sum];
        let floats: usize = vectors.iter().map(|v| v.len()).sum();
        let mut out = Vec::with_capacity(24 + 8 * (floats + vectors.len()));
        out.extend(self.step.to_le_bytes());
        out.extend(self.average_count.to_le_bytes());
        out.extend(self.optimizer.beta1_power.to_bits().to_le_bytes());
        out.extend(self.optimizer.beta2_power.to_bits().to_le_bytes());
        for vector in vectors {
            out.extend((vector.len() as u64).to_le_bytes());
            vector.iter().for_each(|x| out.extend(x.to_bits().to_le_bytes()));
        }
        out.extend(self.clip.iter().flat_map(|clip| clip.to_bits().to_le_bytes()));
        out
    }

    /// Reads [`Self::to_bytes`] back and checks the shape against the job: d weights, finite, a clip within its ends,
    /// nothing left over.
    ///
    /// # Errors
    /// [`ModelBytesError`] names what is wrong.
    pub fn from_bytes(bytes: &[u8], job: &JobSpec) -> Result<Self, ModelBytesError> {
        let mut reader = Reader { bytes };
        let (step, average_count) = (reader.u32()?, reader.u32()?);
        let (beta1_power, beta2_power) = (reader.f64()?, reader.f64()?);
        let d = job.model().parameter_count();
        let weights = reader.vector(d)?;
        let first = reader.vector(d)?;
        let second = reader.vector(d)?;
        let average_sum = reader.vector(d)?;
        let clip = job.adaptive_clip.map(|rule| reader.clip(&rule)).transpose()?;
        if !reader.bytes.is_empty() {
            return Err(ModelBytesError::TrailingBytes(reader.bytes.len()));
        }
        let shape = OptimizerState::new(&job.optimizer.rule, d);
        let averaged = if average_count == 0 { 0 } else { d };
        for (found, expected) in [
            (weights.len(), d),
            (first.len(), d),
            (second.len(), shape.second.len()),
            (average_sum.len(), averaged),
        ] {
            if found != expected {
                return Err(ModelBytesError::Shape { expected, found });
            }
        }
        let optimizer = OptimizerState { first, second, beta1_power, beta2_power };
        Ok(ModelState { weights, optimizer, step, average_sum, average_count, clip })
    }
}

/// Bytes that are not a model of this job.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ModelBytesError {
    /// The bytes end too early.
    #[error("the model ends too early")]
    Truncated,
    /// Bytes left over.
    #[error("{0} bytes are left over after the model")]
    TrailingBytes(usize),
    /// A vector of another length.
    #[error("expected a vector of {expected} numbers, found {found}")]
    Shape {
        /// Numbers expected.
        expected: usize,
        /// Numbers found.
        found: usize,
    },
    /// NaN or infinite.
    #[error("the model holds a number that is not finite")]
    NotFinite,
    /// A clip that the job's rule does not allow.
    #[error("expected a clip from {} to {}, found {found}", expected[0], expected[1])]
    Clip {
        /// Its ends.
        expected: [f64; 2],
        /// The clip found.
        found: f64,
    },
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ModelBytesError> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(ModelBytesError::Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, ModelBytesError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn f64(&mut self) -> Result<f64, ModelBytesError> {
        let value = f64::from_bits(u64::from_le_bytes(self.take()?));
        if value.is_finite() { Ok(value) } else { Err(ModelBytesError::NotFinite) }
    }

    fn clip(&mut self, rule: &AdaptiveClip) -> Result<f64, ModelBytesError> {
        let (found, expected) = (self.f64()?, [rule.norm_min, rule.norm_max]);
        let within = found >= expected[0] && found <= expected[1];
        if within { Ok(found) } else { Err(ModelBytesError::Clip { expected, found }) }
    }

    fn vector(&mut self, longest: usize) -> Result<Vec<f64>, ModelBytesError> {
        let length = u64::from_le_bytes(self.take()?);
        if length > longest as u64 {
            return Err(ModelBytesError::Shape { expected: longest, found: length as usize });
        }
        if (self.bytes.len() as u64) < 8 * length {
            return Err(ModelBytesError::Truncated);
        }
        (0..length).map(|_| self.f64()).collect()
    }
}

#[cfg(test)]
mod tests;
