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

/// The parts of a slice that are `width` long. Cut before a loop over them, they need no check in it, and the compiler can use
/// vector instructions.
#[inline(always)]
fn parts<const N: usize, T>(all: &[T], width: usize) -> [&[T]; N] {
    std::array::from_fn(|part| &all[part * width..][..width])
}

/// [`parts`] to write to.
#[inline(always)]
fn parts_mut<T, const N: usize>(all: &mut [T], width: usize) -> [&mut [T]; N] {
    let mut rest = all;
    std::array::from_fn(|_| rest.split_off_mut(..width).unwrap_or_default())
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
        let [r_in, z_in, n_in] = parts(inputs, width);
        let [r_by, z_by, n_by] = parts(by_state, width);
        let [r_out, z_out, n_out, part] = parts_mut(kept, width);
        let new = &mut new[..width];
        for i in 0..width {
            let r = (r_in[i] + r_by[i]).sigmoid();
            let z = (z_in[i] + z_by[i]).sigmoid();
            let n = (n_in[i] + r * n_by[i]).tanh();
            new[i] = (T::one() - z) * n + z * old[i];
            (r_out[i], z_out[i], n_out[i], part[i]) = (r, z, n, n_by[i]);
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
        let [r, z, n, part] = parts(kept, width);
        let [r_in, z_in, n_in] = parts_mut(by_inputs, width);
        let [r_by, z_by, n_by] = parts_mut(by_state, width);
        let carry = &mut carry[..width];
        for i in 0..width {
            let by_n = carry[i] * (T::one() - z[i]) * (T::one() - n[i] * n[i]);
            let by_r = by_n * part[i] * r[i] * (T::one() - r[i]);
            let by_z = carry[i] * (old[i] - n[i]) * z[i] * (T::one() - z[i]);
            (r_in[i], z_in[i], n_in[i]) = (by_r, by_z, by_n);
            (r_by[i], z_by[i], n_by[i]) = (by_r, by_z, by_n * r[i]);
            carry[i] *= z[i];
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
        let [i_in, f_in, g_in, o_in] = parts(inputs, width);
        let [i_by, f_by, g_by, o_by] = parts(by_state, width);
        let [_, old_cell] = parts(old, width);
        let [new, new_cell] = parts_mut(new, width);
        let [i_out, f_out, g_out, o_out] = parts_mut(kept, width);
        for at in 0..width {
            let (i, f) = ((i_in[at] + i_by[at]).sigmoid(), (f_in[at] + f_by[at]).sigmoid());
            let (g, o) = ((g_in[at] + g_by[at]).tanh(), (o_in[at] + o_by[at]).sigmoid());
            let cell = f * old_cell[at] + i * g;
            (new[at], new_cell[at]) = (o * cell.tanh(), cell);
            (i_out[at], f_out[at], g_out[at], o_out[at]) = (i, f, g, o);
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
        let [i, f, g, o] = parts(kept, width);
        let ([_, old_cell], [_, new_cell]) = (parts(old, width), parts(new, width));
        let [carry, carry_cell] = parts_mut(carry, width);
        let [i_in, f_in, g_in, o_in] = parts_mut(by_inputs, width);
        for at in 0..width {
            let squashed = new_cell[at].tanh();
            let by_cell = carry_cell[at] + carry[at] * o[at] * (T::one() - squashed * squashed);
            let slope = |gate: T| gate * (T::one() - gate);
            i_in[at] = by_cell * g[at] * slope(i[at]);
            f_in[at] = by_cell * old_cell[at] * slope(f[at]);
            g_in[at] = by_cell * i[at] * (T::one() - g[at] * g[at]);
            o_in[at] = carry[at] * squashed * slope(o[at]);
            (carry[at], carry_cell[at]) = (T::zero(), by_cell * f[at]);
        }
        by_state[..4 * width].copy_from_slice(&by_inputs[..4 * width]);
    }
}
