//! Tails against exact integers.

use super::*;

/// Just enough of whole numbers of any length, in digits of 2^32, least first.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Whole(Vec<u32>);

impl Whole {
    fn of(value: u32) -> Self {
        Whole(vec![value])
    }

    fn times(mut self, factor: u32) -> Self {
        let mut carry = 0u64;
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        self.0.push(carry as u32);
        self.trimmed()
    }

    fn over(mut self, divisor: u32) -> Self {
        let mut rest = 0u64;
        for digit in self.0.iter_mut().rev() {
            rest = rest << 32 | u64::from(*digit);
            *digit = (rest / u64::from(divisor)) as u32;
            rest %= u64::from(divisor);
        }
        assert_eq!(rest, 0, "divides exactly");
        self.trimmed()
    }

    fn plus(mut self, other: &Whole) -> Self {
        self.0.resize(self.0.len().max(other.0.len()) + 1, 0);
        let mut carry = 0u64;
        for (place, digit) in self.0.iter_mut().enumerate() {
            carry += u64::from(*digit) + u64::from(other.0.get(place).copied().unwrap_or(0));
            *digit = carry as u32;
            carry >>= 32;
        }
        self.trimmed()
    }

    fn product(&self, other: &Whole) -> Self {
        let mut sum = Whole::of(0);
        for digit in other.0.iter().rev() {
            sum.0.insert(0, 0);
            sum = sum.plus(&self.clone().times(*digit));
        }
        sum
    }

    fn trimmed(mut self) -> Self {
        while self.0.len() > 1 && self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn is_below(&self, other: &Whole) -> bool {
        let order = self.0.len().cmp(&other.0.len());
        order.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_lt()
    }
}

fn choose(n: u32, k: u32) -> Whole {
    if k > n { Whole::of(0) } else { (0..k).fold(Whole::of(1), |value, i| value.times(n - i).over(i + 1)) }
}

/// Ways to draw at least `count` marked items, and ways to draw at all.
fn ways(population: u32, marked: u32, drawn: u32, count: u32) -> (Whole, Whole) {
    let of = |j| choose(marked, j).product(&choose(population - marked, drawn - j));
    let some = (count..=drawn.min(marked)).fold(Whole::of(0), |sum, j| sum.plus(&of(j)));
    (some, choose(population, drawn))
}

/// Whether `factor`·P\[X ≥ count\] is below 2^-bits, in whole numbers.
pub(in crate::secagg) fn is_below_exactly(
    [population, marked, drawn]: [u32; 3],
    count: u32,
    factor: u32,
    bits: u32,
) -> bool {
    let (some, all) = ways(population, marked, drawn, count);
    (0..bits).fold(some.times(factor), |value, _| value.times(2)).is_below(&all)
}

/// A whole ratio in f64, to 50 bits or so.
fn ratio(some: &Whole, all: &Whole) -> f64 {
    let leading = |whole: &Whole| {
        let top = whole.0.len().saturating_sub(4);
        let value =
            whole.0[top..].iter().rev().fold(0.0, |sum, digit| sum * 2f64.powi(32) + f64::from(*digit));
        (value, top as i32)
    };
    let ((some, some_top), (all, all_top)) = (leading(some), leading(all));
    some / all * 2f64.powi(32 * (some_top - all_top))
}

#[test]
fn tails_are_the_exact_ones_from_just_above() {
    for [population, marked, drawn] in
        [[9, 4, 3], [9, 8, 7], [30, 10, 10], [103, 42, 67], [799, 333, 216], [999, 200, 216], [999, 300, 254]]
    {
        let tails = Hypergeometric::new(population, marked, drawn);
        for count in 1..=drawn.min(marked) {
            let (some, all) = ways(population, marked, drawn, count);
            let exact = ratio(&some, &all);
            let found = tails.at_least(count);
            if exact > 1e-250 {
                assert!(
                    found >= exact.min(1.0) && found <= exact * 1.000_000_01,
                    "{count}: {found:e}, {exact:e}"
                );
            } else {
                assert!(found >= exact && found < 1e-249, "{count}: {found:e}, {exact:e}");
            }
        }
    }
}

#[test]
fn certain_and_impossible_draws() {
    let tails = Hypergeometric::new(10, 8, 5);
    assert_eq!([tails.at_least(0), tails.at_least(3), tails.at_least(6)], [1.0, 1.0, 0.0]);
    assert_eq!(tails.rarely_reached(1e-300), 6);
    let all = Hypergeometric::new(5, 9, 7);
    assert_eq!([all.at_least(5), all.at_least(6)], [1.0, 0.0]);
    let none = Hypergeometric::new(0, 0, 0);
    assert_eq!([none.at_least(0), none.at_least(1)], [1.0, 0.0]);
}

#[test]
fn fewer_unmarked_items_never_make_a_tail_smaller() {
    for drawn in [20, 67] {
        for population in 104..160 {
            let smaller = Hypergeometric::new(population - 1, 42, drawn);
            let larger = Hypergeometric::new(population, 42, drawn);
            for count in 0..=drawn {
                assert!(smaller.at_least(count) * (1.0 + 1e-9) >= larger.at_least(count));
            }
        }
    }
}
