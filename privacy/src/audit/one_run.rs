//! The lower bound from one run with many canaries, which assumes nothing about the noise. For information only. [core]
//!
//! Of m canaries, each in or out by a fair coin, an attacker guesses r and is right about v of them. For an
//! (ε, δ)-private mechanism v is hardly ever larger than a binomial of r tries that succeed with e^ε/(1 + e^ε).
//!
//! # Source
//! Steinke, Nasr, Jagielski 2023 (arXiv 2305.08846), Theorem 5.2.

use super::quantile::{bisect, ln_gamma};

/// What an attacker's guesses about m canaries came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guesses {
    /// m, canaries.
    pub canaries: u64,
    /// r, canaries guessed about; the others are abstained from.
    pub made: u64,
    /// v, guesses that are right.
    pub correct: u64,
}

/// The largest ε that the guesses rule out with confidence 1 − `p`, at δ. Zero where they rule out nothing.
pub fn epsilon_lower_bound(guesses: Guesses, delta: f64, p: f64) -> f64 {
    let Guesses { canaries, made, correct } = guesses;
    if made == 0 || correct > made || made > canaries {
        return 0.0;
    }
    let ruled_out = |epsilon: f64| p_value(guesses, epsilon, delta) < p;
    if !ruled_out(0.0) {
        return 0.0;
    }
    let mut high = 1.0;
    while ruled_out(high) && high < 500.0 {
        high += 1.0;
    }
    // Not beyond what is ruled out.
    let found = bisect(high - 1.0, high, ruled_out);
    if ruled_out(found) { found } else { (found - 1e-9).max(0.0) }
}

/// The bound if every guess were right: no measurement with so many canaries and guesses can show more.
pub fn ceiling(canaries: u64, made: u64, delta: f64, p: f64) -> f64 {
    epsilon_lower_bound(Guesses { canaries, made, correct: made }, delta, p)
}

/// How likely so many right guesses are at most, if the mechanism is (ε, δ)-private.
fn p_value(guesses: Guesses, epsilon: f64, delta: f64) -> f64 {
    let Guesses { canaries, made, correct } = guesses;
    let mass = |successes: u64| binomial_mass(made, successes, epsilon);
    let tail: f64 = (correct..=made).map(mass).sum();
    let (mut below, mut steepest) = (0.0, 0.0f64);
    for i in 1..=correct {
        below += mass(correct - i);
        steepest = steepest.max(below / i as f64);
    }
    (tail + 2.0 * canaries as f64 * delta * steepest).min(1.0)
}

/// P[Binomial(n, q) = k] with q = e^ε/(1 + e^ε).
fn binomial_mass(n: u64, k: u64, epsilon: f64) -> f64 {
    let ln_q = -(-epsilon).exp().ln_1p();
    let ln_not_q = ln_q - epsilon;
    let (n, k) = (n as f64, k as f64);
    let ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    (ways + k * ln_q + (n - k) * ln_not_q).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(canaries: u64, made: u64, correct: u64, delta: f64) -> f64 {
        epsilon_lower_bound(Guesses { canaries, made, correct }, delta, 0.05)
    }

    /// The first is the paper's own example; all were computed again with mpmath.
    #[test]
    fn known_answers() {
        for (found, expected) in [
            (bound(1000, 100, 75, 1e-4), 0.672_984_664_1),
            (bound(1000, 100, 100, 1e-4), 3.202_303_753),
            (bound(1000, 100, 75, 0.0), 0.702_213_930_9),
            (bound(100, 100, 60, 0.0), 0.051_914_937_8),
            (bound(100, 100, 50, 0.0), 0.0),
        ] {
            assert!((found - expected).abs() < 1e-6, "expected {expected}, found {found}");
        }
        assert_eq!(ceiling(1000, 100, 1e-4, 0.05), bound(1000, 100, 100, 1e-4));
    }

    #[test]
    fn more_right_guesses_show_more_and_a_larger_delta_less() {
        let bounds: Vec<f64> = (50..=100).map(|v| bound(1000, 100, v, 1e-5)).collect();
        assert!(bounds.windows(2).all(|pair| pair[0] <= pair[1]), "{bounds:?}");
        let by_delta: Vec<f64> =
            [0.0, 1e-6, 1e-5, 1e-4, 1e-3].map(|delta| bound(1000, 100, 90, delta)).to_vec();
        assert!(by_delta.windows(2).all(|pair| pair[0] >= pair[1]), "{by_delta:?}");
        assert!(by_delta[0] > by_delta[4]);
    }

    #[test]
    fn nonsense_rules_out_nothing() {
        for (m, r, v) in [(10, 0, 0), (10, 5, 6), (4, 5, 5)] {
            assert_eq!(bound(m, r, v, 1e-6), 0.0);
        }
    }

    #[test]
    fn masses_add_up_to_one() {
        for epsilon in [0.0, 0.5, 3.0, 20.0] {
            let sum: f64 = (0..=200).map(|k| binomial_mass(200, k, epsilon)).sum();
            assert!((sum - 1.0).abs() < 1e-10, "{epsilon}: {sum}");
        }
    }
}
