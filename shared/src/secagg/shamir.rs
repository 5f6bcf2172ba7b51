//! Shamir's secret sharing over GF(2^8), byte by byte. [core]
//!
//! The field is GF(2)\[x\] modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, section 4.2). The holder in place i (from 0) has the
//! point x = i + 1. All coefficients are uniform, zero included: forcing any of them to be non-zero would tell t − 1 holders
//! something about the secret (RUSTSEC-2024-0398). Multiplication takes the same time whatever it multiplies.
//!
//! # Source
//! Shamir 1979 (doi 10.1145/359168.359176).

use zeroize::Zeroizing;

/// Most holders of one secret: the non-zero points of the field.
pub const HOLDERS_MAX: usize = 255;

/// Multiplies in GF(2^8) without branches or tables that depend on the operands.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & 0u8.wrapping_sub(b & 1);
        a = (a << 1) ^ (0x1b & 0u8.wrapping_sub(a >> 7));
        b >>= 1;
    }
    product
}

/// a^254, the inverse of a; zero for zero.
fn invert(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    for _ in 0..7 {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    result
}

/// Multiplies every byte by `factor`, all bytes side by side in vector registers; the same steps whatever the bytes.
/// `powers` is the caller's, who wipes it.
fn multiply_all<const N: usize>(bytes: &mut [u8; N], factor: u8, powers: &mut [u8; N]) {
    *powers = *bytes;
    *bytes = [0; N];
    for bit in 0..8 {
        let chosen = 0u8.wrapping_sub(factor >> bit & 1);
        for (product, power) in bytes.iter_mut().zip(powers.iter_mut()) {
            *product ^= *power & chosen;
            *power = (*power << 1) ^ (0x1b & 0u8.wrapping_sub(*power >> 7));
        }
    }
}

/// Deals a secret to `holders`, any `threshold` of whom can put it together, fewer of whom know nothing.
///
/// # Shapes
/// `coefficients`: threshold − 1 uniform secret vectors of N bytes, those of x^1, x^2, …; the result: one share per holder.
///
/// # Panics
/// Unless 1 ≤ threshold ≤ holders ≤ 255 and there are threshold − 1 coefficients; all are public numbers.
pub fn split<const N: usize>(
    secret: &[u8; N],
    holders: usize,
    coefficients: &[[u8; N]],
) -> Vec<Zeroizing<[u8; N]>> {
    let threshold = coefficients.len() + 1;
    assert!(threshold <= holders && holders <= HOLDERS_MAX, "threshold {threshold} of {holders} holders");
    let mut powers = Zeroizing::new([0; N]);
    (1..=holders as u8)
        .map(|x| {
            // Horner, from the highest coefficient down.
            let mut share = Zeroizing::new([0; N]);
            for coefficient in coefficients.iter().rev().chain([secret]) {
                multiply_all(&mut share, x, &mut powers);
                share.iter_mut().zip(coefficient).for_each(|(byte, term)| *byte ^= term);
            }
            share
        })
        .collect()
}

/// Puts a secret together from shares at distinct points.
///
/// # Shapes
/// `points`: exactly threshold many (x, share); more are of no use, fewer give something unrelated to the secret.
pub fn reconstruct<const N: usize>(points: &[(u8, [u8; N])]) -> Zeroizing<[u8; N]> {
    let (mut secret, mut powers) = (Zeroizing::new([0; N]), Zeroizing::new([0; N]));
    for (i, (x, share)) in points.iter().enumerate() {
        let weight = lagrange_at_zero(*x, points.iter().map(|(x, _)| *x), i);
        let mut term = Zeroizing::new(*share);
        multiply_all(&mut term, weight, &mut powers);
        secret.iter_mut().zip(term.iter()).for_each(|(byte, term)| *byte ^= term);
    }
    secret
}

/// Π_{j≠i} x_j / (x_j − x_i).
fn lagrange_at_zero(x: u8, points: impl Iterator<Item = u8>, i: usize) -> u8 {
    let (mut above, mut below) = (1, 1);
    for (j, other) in points.enumerate() {
        if j != i {
            above = multiply(above, other);
            below = multiply(below, other ^ x);
        }
    }
    multiply(above, invert(below))
}

#[cfg(test)]
mod tests;
