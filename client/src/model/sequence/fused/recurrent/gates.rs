//! One step of one row of a recurrence, and back. [core]

use super::Real;

/// A kind of recurrence.
///
/// A state begins with the hidden values, `width` of them.
pub(in super::super::super) trait Cell: Send + Sync + 'static {
    /// Gates, each of the width.
    const GATES: usize;
    /// Widths of a state.
    const STATE: usize;
    /// Widths of what is kept for the way back.
    const KEPT: usize;

    /// # Shapes
    /// `inputs` and `by_state` GATES·width: what inputs and hidden state make of the gates, biases included.
    fn forward<T: Real>(inputs: &[T], by_state: &[T], old: &[T], new: &mut [T], kept: &mut [T]);

    /// `carry` comes as the derivative by the new state and leaves as that by the old one, without the way through `by_state`.
    fn backward<T: Real>(
        kept: &[T],
        old: &[T],
        new: &[T],
        carry: &mut [T],
        by_inputs: &mut [T],
        by_state: &mut [T],
    );
}

/// Gates reset r, update z, new n: h' = (1 − z)·n + z·h with n = tanh(inputs + r·by_state).
pub(in super::super::super) struct Gru;

impl Cell for Gru {
    const GATES: usize = 3;
    const STATE: usize = 1;
    // r, z, n, and the hidden state's part of n.
    const KEPT: usize = 4;

    fn forward<T: Real>(inputs: &[T], by_state: &[T], old: &[T], new: &mut [T], kept: &mut [T]) {
        let width = old.len();
        for i in 0..width {
            let (r_at, z_at, n_at) = (i, width + i, 2 * width + i);
            let r = (inputs[r_at] + by_state[r_at]).sigmoid();
            let z = (inputs[z_at] + by_state[z_at]).sigmoid();
            let n = (inputs[n_at] + r * by_state[n_at]).tanh();
            new[i] = (T::one() - z) * n + z * old[i];
            (kept[r_at], kept[z_at], kept[n_at], kept[3 * width + i]) = (r, z, n, by_state[n_at]);
        }
    }

    fn backward<T: Real>(
        kept: &[T],
        old: &[T],
        _: &[T],
        carry: &mut [T],
        by_inputs: &mut [T],
        by_state: &mut [T],
    ) {
        let width = old.len();
        for i in 0..width {
            let (r_at, z_at, n_at) = (i, width + i, 2 * width + i);
            let (r, z, n, part) = (kept[r_at], kept[z_at], kept[n_at], kept[3 * width + i]);
            let by_n = carry[i] * (T::one() - z) * (T::one() - n * n);
            let by_r = by_n * part * r * (T::one() - r);
            let by_z = carry[i] * (old[i] - n) * z * (T::one() - z);
            (by_inputs[r_at], by_inputs[z_at], by_inputs[n_at]) = (by_r, by_z, by_n);
            (by_state[r_at], by_state[z_at], by_state[n_at]) = (by_r, by_z, by_n * r);
            carry[i] *= z;
        }
    }
}

/// Gates input i, forget f, cell g, output o: c' = f·c + i·g, h' = o·tanh(c').
pub(in super::super::super) struct Lstm;

impl Cell for Lstm {
    const GATES: usize = 4;
    const STATE: usize = 2;
    const KEPT: usize = 4;

    fn forward<T: Real>(inputs: &[T], by_state: &[T], old: &[T], new: &mut [T], kept: &mut [T]) {
        let width = old.len() / 2;
        for at in 0..width {
            let gate = |which: usize| inputs[which * width + at] + by_state[which * width + at];
            let (i, f, g, o) = (gate(0).sigmoid(), gate(1).sigmoid(), gate(2).tanh(), gate(3).sigmoid());
            let cell = f * old[width + at] + i * g;
            (new[at], new[width + at]) = (o * cell.tanh(), cell);
            for (which, gate) in [i, f, g, o].into_iter().enumerate() {
                kept[which * width + at] = gate;
            }
        }
    }

    fn backward<T: Real>(
        kept: &[T],
        old: &[T],
        new: &[T],
        carry: &mut [T],
        by_inputs: &mut [T],
        by_state: &mut [T],
    ) {
        let width = old.len() / 2;
        for at in 0..width {
            let gate = |which: usize| kept[which * width + at];
            let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
            let squashed = new[width + at].tanh();
            let by_cell = carry[width + at] + carry[at] * o * (T::one() - squashed * squashed);
            let slope = |gate: T| gate * (T::one() - gate);
            let deltas = [
                by_cell * g * slope(i),
                by_cell * old[width + at] * slope(f),
                by_cell * i * (T::one() - g * g),
                carry[at] * squashed * slope(o),
            ];
            for (which, delta) in deltas.into_iter().enumerate() {
                by_inputs[which * width + at] = delta;
                by_state[which * width + at] = delta;
            }
            (carry[at], carry[width + at]) = (T::zero(), by_cell * f);
        }
    }
}
