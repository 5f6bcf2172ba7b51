//! Natural numbers of any size, as far as the undecided cases need them. [core]
//!
//! Slow and plain on purpose: this code runs about once in 2^30 attempts, and is what the fast code is tested against.

use std::cmp::Ordering;

/// Limbs of 64 bits, least significant first, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Natural(Vec<u64>);

impl Natural {
    pub(crate) fn power_of_two(exponent: usize) -> Self {
        Natural::from(1).shifted_left(exponent)
    }

    fn trimmed(mut limbs: Vec<u64>) -> Self {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Natural(limbs)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Position of the highest one bit, from 1; zero for zero.
    pub(crate) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| 64 * self.0.len() - top.leading_zeros() as usize)
    }

    pub(crate) fn plus(&self, other: &Natural) -> Self {
        let mut carry = 0;
        let mut limbs = Vec::with_capacity(self.0.len().max(other.0.len()) + 1);
        for i in 0..self.0.len().max(other.0.len()) {
            let limb = |n: &Natural| u128::from(n.0.get(i).copied().unwrap_or(0));
            let sum = limb(self) + limb(other) + carry;
            limbs.push(sum as u64);
            carry = sum >> 64;
        }
        limbs.push(carry as u64);
        Natural::trimmed(limbs)
    }

    /// The difference, or zero where `other` is greater.
    pub(crate) fn minus(&self, other: &Natural) -> Self {
        if *self <= *other {
            return Natural(vec![]);
        }
        let mut borrow = false;
        let mut limbs = self.0.clone();
        for (i, limb) in limbs.iter_mut().enumerate() {
            let (first, below) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (second, again) = first.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (second, below || again);
        }
        Natural::trimmed(limbs)
    }

    pub(crate) fn times(&self, other: &Natural) -> Self {
        let mut limbs = vec![0; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate() {
                let sum = u128::from(*a) * u128::from(*b) + u128::from(limbs[i + j]) + carry;
                limbs[i + j] = sum as u64;
                carry = sum >> 64;
            }
            limbs[i + other.0.len()] = carry as u64;
        }
        Natural::trimmed(limbs)
    }

    pub(crate) fn shifted_left(&self, bits: usize) -> Self {
        let factor = 1u64 << (bits % 64);
        let mut limbs = vec![0; bits / 64];
        let mut carry = 0;
        for limb in &self.0 {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            limbs.push(product as u64);
            carry = product >> 64;
        }
        limbs.push(carry as u64);
        Natural::trimmed(limbs)
    }

    /// ⌊self / 2^bits⌋.
    pub(crate) fn shifted_right(&self, bits: usize) -> Self {
        let whole = self.0.get(bits / 64..).unwrap_or_default();
        let part = bits % 64;
        let limb = |i: usize| u128::from(whole.get(i).copied().unwrap_or(0));
        let limbs = (0..whole.len()).map(|i| ((limb(i) | limb(i + 1) << 64) >> part) as u64).collect();
        Natural::trimmed(limbs)
    }

    /// ⌈self / 2^bits⌉.
    pub(crate) fn shifted_right_up(&self, bits: usize) -> Self {
        self.plus(&Natural::power_of_two(bits).minus(&Natural::from(1))).shifted_right(bits)
    }

    /// ⌊self / divisor⌋, by long division: in base 2^64 where the divisor is below that, else in base 2. The divisor is
    /// not zero and below 2^127.
    pub(crate) fn divided(&self, divisor: u128) -> Self {
        let mut limbs = vec![0; self.0.len()];
        let mut rest = 0;
        if divisor >> 64 == 0 {
            for i in (0..limbs.len()).rev() {
                let dividend = rest << 64 | u128::from(self.0[i]);
                limbs[i] = (dividend / divisor) as u64;
                rest = dividend % divisor;
            }
            return Natural::trimmed(limbs);
        }
        for i in (0..self.bits()).rev() {
            rest = rest << 1 | u128::from(self.0[i / 64] >> (i % 64) & 1);
            if rest >= divisor {
                rest -= divisor;
                limbs[i / 64] |= 1 << (i % 64);
            }
        }
        Natural::trimmed(limbs)
    }

    /// ⌈self / divisor⌉.
    pub(crate) fn divided_up(&self, divisor: u128) -> Self {
        self.plus(&Natural::from(divisor - 1)).divided(divisor)
    }

    /// The value, where it fits.
    pub(crate) fn to_u64(&self) -> Option<u64> {
        match *self.0 {
            [] => Some(0),
            [limb] => Some(limb),
            _ => None,
        }
    }
}

impl From<u128> for Natural {
    fn from(value: u128) -> Self {
        Natural::trimmed(vec![value as u64, (value >> 64) as u64])
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_limbs = || self.0.iter().rev().cmp(other.0.iter().rev());
        self.0.len().cmp(&other.0.len()).then_with(by_limbs)
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn natural(value: u64) -> Natural {
        Natural::from(u128::from(value))
    }

    proptest! {
        /// (a + b)·c = a·c + b·c, (a + b) − b = a, and shifts are products and quotients, over several limbs.
        #[test]
        fn numbers_obey_the_laws_of_arithmetic(a: [u64; 3], b: [u64; 2], c: u128, shift in 0usize..200) {
            let a = a.iter().fold(natural(0), |n, limb| n.shifted_left(64).plus(&natural(*limb)));
            let b = b.iter().fold(natural(0), |n, limb| n.shifted_left(64).plus(&natural(*limb)));
            let c = Natural::from(c);
            prop_assert_eq!(a.plus(&b).times(&c), c.times(&a).plus(&c.times(&b)));
            prop_assert_eq!(&a.plus(&b).minus(&b), &a);
            prop_assert!(b.minus(&a.plus(&b)).is_zero());
            prop_assert_eq!(&a.shifted_left(shift), &a.times(&Natural::power_of_two(shift)));
            prop_assert_eq!(&a.shifted_left(shift).shifted_right_up(shift), &a);
            prop_assert_eq!(&a.shifted_left(shift).shifted_right(shift), &a);
        }

        /// The quotient is the one number with 0 ≤ a − q·d < d.
        #[test]
        fn division_leaves_a_rest_below_the_divisor(a: u128, high: u64, divisor in 1u128..1 << 126, narrow in 0u32..120) {
            let divisor = (divisor >> narrow).max(1);
            let a = natural(high).shifted_left(128).plus(&Natural::from(a));
            let divisor_natural = Natural::from(divisor);
            let product = a.divided(divisor).times(&divisor_natural);
            prop_assert!(product <= a && a < product.plus(&divisor_natural));
            let up = a.divided_up(divisor).times(&divisor_natural);
            prop_assert!(a <= up && up < a.plus(&divisor_natural));
        }

        #[test]
        fn small_numbers_agree_with_the_machine(a: u64, b in 1u64.., shift in 0usize..64) {
            let (wide_a, wide_b) = (u128::from(a), u128::from(b));
            prop_assert_eq!(natural(a).times(&natural(b)), Natural::from(wide_a * wide_b));
            prop_assert_eq!(natural(a).divided(wide_b).to_u64(), Some(a / b));
            prop_assert_eq!(natural(a).shifted_right(shift).to_u64(), Some(a >> shift));
            prop_assert_eq!(natural(a).cmp(&natural(b)), a.cmp(&b));
            prop_assert_eq!(natural(a).bits(), 64 - a.leading_zeros() as usize);
        }
    }
}
