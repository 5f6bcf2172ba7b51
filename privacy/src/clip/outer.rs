//! A shopper whose gradient is an outer product in every layer, which never needs to be written out in floats. [core]
//!
//! The gradient of one row in a linear layer is δ ⊗ a for the weight and δ for the bias, so its squared norm is
//! (|a|² + 1)·|δ|², and where δ is 0 (a ReLU that is off) a whole row of the weight stays 0.
//!
//! # Privacy
//! As [`ShopperSum::add`]: the integers are a function of this shopper's factors alone, and Σz² ≤ B² is checked
//! exactly on them before any is added. Against `add` on the written-out gradient only the float that scales the
//! contribution may differ in its last bits.

use super::{ClipOutcome, ShopperSum, add_wrapping, round, within_bound};

/// Activations and outputs handled at a time.
const BLOCK: usize = 64;

/// Independent partial sums of squares, so that the compiler can use vector instructions.
const LANES: usize = 8;

/// Weight rows written at a time, each with two lanes of its own.
const ROWS: usize = 4;

/// The gradient of one linear layer in factors: of the weight `[outputs, inputs]` δ ⊗ a, row-major, then of the bias δ.
#[derive(Clone, Copy, Debug)]
pub struct OuterGradient<'a> {
    /// δ, one value per output.
    pub delta: &'a [f32],
    /// a, the layer's input: one value per input.
    pub activation: &'a [f32],
}

impl OuterGradient<'_> {
    fn len(&self) -> usize {
        self.delta.len() * (self.activation.len() + 1)
    }
}

impl ShopperSum {
    /// Clips, rounds and adds one shopper whose contribution is the concatenation of these layers' gradients.
    ///
    /// # Shapes
    /// Σ outputs·(inputs + 1) = d.
    ///
    /// # Privacy
    /// Moves the sum by an integer vector of L2 norm at most B, a function of these factors alone.
    ///
    /// # Panics
    /// When the layers are not d values together, or one has no inputs; the numbers are public.
    pub fn add_outer<'a>(&mut self, layers: impl Iterator<Item = OuterGradient<'a>> + Clone) -> ClipOutcome {
        let values: usize = layers.clone().map(|layer| layer.len()).sum();
        let expected = self.parameters.parameters();
        assert_eq!(values, expected, "a contribution has one value for each parameter");
        // The squares of f32 cannot overflow f64, so this is finite exactly where every factor is.
        let norm = layers.clone().map(norm_squared).sum::<f64>().sqrt();
        let outcome = self.quantise_outer(layers.clone(), norm);
        self.indicate(norm * self.parameters.steps_per_unit());
        match outcome {
            ClipOutcome::Added => {
                self.tally.added += 1;
                self.add_written(layers);
            }
            ClipOutcome::NonFinite => self.tally.non_finite += 1,
            ClipOutcome::OverBound => self.tally.over_bound += 1,
        }
        outcome
    }

    /// Writes the shopper's integers to `scratch`: for each layer the weight rows of outputs whose δ is not 0, one
    /// after the other without gaps, then room, then the bias.
    fn quantise_outer<'a>(
        &mut self,
        layers: impl Iterator<Item = OuterGradient<'a>> + Clone,
        norm: f64,
    ) -> ClipOutcome {
        if !norm.is_finite() {
            return ClipOutcome::NonFinite;
        }
        let unit = self.parameters.steps_per_unit();
        let scale = unit * (self.parameters.safe_norm_steps() / (norm * unit)).min(1.0);
        let mut lanes = [0.0; LANES];
        let mut rest: &mut [i64] = &mut self.scratch;
        for layer in layers {
            let (weight, after) = rest.split_at_mut(layer.delta.len() * layer.activation.len());
            let (bias, after) = after.split_at_mut(layer.delta.len());
            rest = after;
            write_weight(layer, scale, weight, &mut lanes);
            write_bias(layer.delta, scale, bias, &mut lanes);
        }
        // Whole numbers, never negative, and every partial sum of a total below 2^53 is exact.
        within_bound(&self.parameters, lanes.iter().sum())
    }

    /// Adds what [`Self::quantise_outer`] wrote.
    fn add_written<'a>(&mut self, layers: impl Iterator<Item = OuterGradient<'a>>) {
        let (mut sum, mut written): (&mut [i64], &[i64]) = (&mut self.sum, &self.scratch);
        for layer in layers {
            let (inputs, outputs) = (layer.activation.len(), layer.delta.len());
            let (sum_weight, after) = sum.split_at_mut(outputs * inputs);
            let (weight, after_written) = written.split_at(outputs * inputs);
            add_weight(layer, weight, sum_weight);
            let (sum_bias, after) = after.split_at_mut(outputs);
            let (bias, after_written) = after_written.split_at(outputs);
            add_wrapping(sum_bias, bias);
            (sum, written) = (after, after_written);
        }
    }
}

/// (|a|² + 1)·|δ|²; not finite when a value is not, even where the other factor is 0.
fn norm_squared(layer: OuterGradient<'_>) -> f64 {
    (squares(layer.activation) + 1.0) * squares(layer.delta)
}

fn squares(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0f64; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// The outputs of a block whose δ is not 0, gathered without a branch on their values, which nobody can predict.
struct Active {
    indices: [u8; BLOCK],
    deltas: [f32; BLOCK],
    count: usize,
}

impl Active {
    #[inline(always)]
    fn of(delta: &[f32]) -> Self {
        let mut active = Active { indices: [0; BLOCK], deltas: [0.0; BLOCK], count: 0 };
        for (index, delta) in delta.iter().enumerate() {
            active.indices[active.count % BLOCK] = index as u8;
            active.deltas[active.count % BLOCK] = *delta;
            active.count += usize::from(*delta != 0.0);
        }
        active
    }
}

/// Writes round(scale·δ·a) for the rows whose δ is not 0, to the front of `out`.
fn write_weight(layer: OuterGradient<'_>, scale: f64, out: &mut [i64], lanes: &mut [f64; LANES]) {
    let inputs = layer.activation.len();
    let mut out = out;
    for delta in layer.delta.chunks(BLOCK) {
        let active = Active::of(delta);
        let (written, after) = out.split_at_mut(active.count * inputs);
        out = after;
        let deltas = &active.deltas[..active.count];
        for (block, activation) in layer.activation.chunks(BLOCK).enumerate() {
            let mut wide = [0.0f64; BLOCK];
            let wide = &mut wide[..activation.len()];
            wide.iter_mut().zip(activation).for_each(|(wide, a)| *wide = f64::from(*a));
            write_rows(
                wide,
                deltas,
                scale,
                &mut Strided { out: written, inputs, start: block * BLOCK },
                lanes,
            );
        }
    }
}

/// Some columns of a matrix.
struct Strided<'a> {
    out: &'a mut [i64],
    inputs: usize,
    start: usize,
}

#[inline(always)]
fn write_rows(wide: &[f64], deltas: &[f32], scale: f64, to: &mut Strided<'_>, lanes: &mut [f64; LANES]) {
    let end = to.start + wide.len();
    let mut groups = to.out.chunks_exact_mut(ROWS * to.inputs);
    let mut fours = deltas.chunks_exact(ROWS);
    for (group, four) in groups.by_ref().zip(fours.by_ref()) {
        let (a, rest) = group.split_at_mut(to.inputs);
        let (b, rest) = rest.split_at_mut(to.inputs);
        let (c, d) = rest.split_at_mut(to.inputs);
        let out = [a, b, c, d].map(|row| &mut row[to.start..end]);
        let factors = [four[0], four[1], four[2], four[3]].map(|delta| scale * f64::from(delta));
        write_four_rows(wide, factors, out, lanes);
    }
    let rows = groups.into_remainder().chunks_exact_mut(to.inputs);
    for (row, delta) in rows.zip(fours.remainder()) {
        write_row(wide, scale * f64::from(*delta), &mut row[to.start..end], lanes);
    }
}

#[inline(always)]
fn write_four_rows(wide: &[f64], factors: [f64; ROWS], out: [&mut [i64]; ROWS], lanes: &mut [f64; LANES]) {
    let (pairs, last) = wide.as_chunks::<2>();
    let [a, b, c, d] = out;
    let ((a, a_last), (b, b_last)) = (a.as_chunks_mut::<2>(), b.as_chunks_mut::<2>());
    let ((c, c_last), (d, d_last)) = (c.as_chunks_mut::<2>(), d.as_chunks_mut::<2>());
    let mut sums = [[0.0f64; 2]; ROWS];
    for ((((pair, a), b), c), d) in pairs.iter().zip(a).zip(b).zip(c).zip(d) {
        for (row, words) in [a, b, c, d].into_iter().enumerate() {
            for i in 0..2 {
                let (integer, float) = round(pair[i] * factors[row]);
                words[i] = integer;
                sums[row][i] += float * float;
            }
        }
    }
    if let [last] = last {
        for (row, words) in [a_last, b_last, c_last, d_last].into_iter().enumerate() {
            let (integer, float) = round(last * factors[row]);
            words.fill(integer);
            sums[row][0] += float * float;
        }
    }
    lanes.iter_mut().zip(sums.as_flattened()).for_each(|(lane, sum)| *lane += sum);
}

#[inline(always)]
fn write_row(wide: &[f64], factor: f64, out: &mut [i64], lanes: &mut [f64; LANES]) {
    let (eights, rest) = wide.as_chunks::<LANES>();
    let (out_eights, out_rest) = out.as_chunks_mut::<LANES>();
    for (values, words) in eights.iter().zip(out_eights) {
        for ((lane, value), word) in lanes.iter_mut().zip(values).zip(words) {
            let (integer, float) = round(value * factor);
            *word = integer;
            *lane += float * float;
        }
    }
    for ((lane, value), word) in lanes.iter_mut().zip(rest).zip(out_rest) {
        let (integer, float) = round(value * factor);
        *word = integer;
        *lane += float * float;
    }
}

/// Writes round(scale·δ).
fn write_bias(delta: &[f32], scale: f64, out: &mut [i64], lanes: &mut [f64; LANES]) {
    for (delta, out) in delta.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let mut wide = [0.0f64; BLOCK];
        let wide = &mut wide[..delta.len()];
        wide.iter_mut().zip(delta).for_each(|(wide, delta)| *wide = f64::from(*delta));
        write_row(wide, scale, out, lanes);
    }
}

/// Adds the rows that [`write_weight`] wrote to where they belong.
fn add_weight(layer: OuterGradient<'_>, written: &[i64], sum: &mut [i64]) {
    let inputs = layer.activation.len();
    let mut rows = written.chunks_exact(inputs);
    for (delta, sum) in layer.delta.chunks(BLOCK).zip(sum.chunks_mut(BLOCK * inputs)) {
        let active = Active::of(delta);
        for (index, row) in active.indices[..active.count].iter().zip(rows.by_ref()) {
            let start = usize::from(*index) * inputs;
            add_wrapping(&mut sum[start..start + inputs], row);
        }
    }
}

#[cfg(test)]
mod tests;
