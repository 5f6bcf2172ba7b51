//! Integrated gradients: what each input adds to an answer on the straight way from a baseline. [core]
//!
//! The attribution of input i is (xᵢ − bᵢ) times the mean of ∂f/∂xᵢ between baseline b and input x. All together they are
//! f(x) − f(b), "completeness", and how far the computed ones are from it is part of the answer.
//!
//! The mean is taken by the Gauss–Kronrod rule of 7 and 15 points, on pieces of the way that are halved where they err most: few
//! points for a smooth model, more around the kinks of ReLU. A piece's error is how far the two rules are apart, over all inputs, and
//! how far its attributions are from what f really gains on it.
//!
//! # Source
//! Sundararajan, Taly and Yan 2017 (arXiv 1703.01365); the rule's constants: Piessens et al. 1983 (QUADPACK).

/// Nodes of the rule on [−1, 1] from the outermost to 0; those of odd place are also Gauss's.
const NODES: [f64; 8] = [
    0.991_455_371_120_812_6,
    0.949_107_912_342_758_5,
    0.864_864_423_359_769_1,
    0.741_531_185_599_394_4,
    0.586_087_235_467_691_1,
    0.405_845_151_377_397_2,
    0.207_784_955_007_898_47,
    0.0,
];

/// Weights of the 15 points.
const KRONROD: [f64; 8] = [
    0.022_935_322_010_529_224,
    0.063_092_092_629_978_55,
    0.104_790_010_322_250_18,
    0.140_653_259_715_525_92,
    0.169_004_726_639_267_9,
    0.190_350_578_064_785_4,
    0.204_432_940_075_298_9,
    0.209_482_141_084_727_82,
];

/// Weights of the 7 points.
const GAUSS: [f64; 4] =
    [0.129_484_966_168_869_7, 0.279_705_391_489_276_64, 0.381_830_050_505_118_9, 0.417_959_183_673_469_4];

/// Gradients of one piece.
const PIECE_GRADIENTS: usize = 15;

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// The sum of all pieces' errors that is good enough, in units of the answer.
    pub tolerance: f64,
    /// Gradients after which no further piece is halved.
    pub gradients_max: usize,
}

impl Default for Effort {
    /// A thousandth of a logit, in at most 2,000 gradients.
    fn default() -> Self {
        Effort { tolerance: 1e-3, gradients_max: 2_000 }
    }
}

/// Attributions of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegratedGradients {
    /// One per input.
    pub attributions: Vec<f64>,
    /// f(b).
    pub baseline_value: f64,
    /// f(x).
    pub value: f64,
    /// The attributions' sum less f(x) − f(b): zero but for the error of the rule.
    pub completeness_gap: f64,
    /// The sum of all pieces' errors; above the tolerance where the effort did not suffice.
    pub error: f64,
    /// Gradients taken.
    pub gradients: usize,
}

/// What cannot be attributed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AttributionError {
    /// Baseline and input are not of one length.
    #[error("expected a baseline of {expected} inputs, found {found}")]
    Baseline {
        /// Inputs.
        expected: usize,
        /// Of the baseline.
        found: usize,
    },
    /// The gradient is not of the input's length.
    #[error("expected a gradient of {expected} inputs, found {found}")]
    Gradient {
        /// Inputs.
        expected: usize,
        /// Of the gradient.
        found: usize,
    },
    /// An input, the model's answer or its gradient is not a number.
    #[error("expected finite inputs, answers and gradients, found others")]
    NotFinite,
}

/// Attributes f(`input`) − f(`baseline`) to the inputs. Inputs that are numbers of classes, such as tokens, get zero where `gradient`
/// gives zero: take them by [`shapley`](super::shapley) instead.
///
/// # Shapes
/// `gradient` gives one value per input.
///
/// # Errors
/// [`AttributionError`].
pub fn attribute(
    input: &[f32],
    baseline: &[f32],
    effort: Effort,
    value: impl Fn(&[f32]) -> f64,
    gradient: impl Fn(&[f32]) -> Vec<f32>,
) -> Result<IntegratedGradients, AttributionError> {
    if baseline.len() != input.len() {
        return Err(AttributionError::Baseline { expected: input.len(), found: baseline.len() });
    }
    // A model may hide what is not a number, as ReLU does.
    if !input.iter().chain(baseline).all(|x| x.is_finite()) {
        return Err(AttributionError::NotFinite);
    }
    let way = Way { input, baseline, value: &value, gradient: &gradient };
    let (from, to) = (way.value_at(0.0)?, way.value_at(1.0)?);
    let mut pieces = vec![way.piece((0.0, from), (1.0, to))?];
    let mut gradients = PIECE_GRADIENTS;
    let total = |pieces: &[Piece]| pieces.iter().map(|piece| piece.error).sum::<f64>();
    while total(&pieces) > effort.tolerance && gradients + 2 * PIECE_GRADIENTS <= effort.gradients_max {
        let worst = (0..pieces.len()).max_by(|a, b| pieces[*a].error.total_cmp(&pieces[*b].error));
        let Some(worst) = worst else { break };
        let Piece { from, to, .. } = pieces.swap_remove(worst);
        let middle = f64::midpoint(from.0, to.0);
        let middle = (middle, way.value_at(middle)?);
        pieces.extend([way.piece(from, middle)?, way.piece(middle, to)?]);
        gradients += 2 * PIECE_GRADIENTS;
    }
    // In the order of the way, so that the sum does not depend on how it was cut.
    pieces.sort_by(|a, b| a.from.0.total_cmp(&b.from.0));
    let mut attributions = vec![0.0; input.len()];
    for piece in &pieces {
        attributions.iter_mut().zip(&piece.attributions).for_each(|(sum, part)| *sum += part);
    }
    let completeness_gap = attributions.iter().sum::<f64>() - (to - from);
    let error = total(&pieces);
    Ok(IntegratedGradients {
        attributions,
        baseline_value: from,
        value: to,
        completeness_gap,
        error,
        gradients,
    })
}

/// The straight way from the baseline, at 0, to the input, at 1.
struct Way<'a> {
    input: &'a [f32],
    baseline: &'a [f32],
    value: &'a dyn Fn(&[f32]) -> f64,
    gradient: &'a dyn Fn(&[f32]) -> Vec<f32>,
}

/// A piece of the way: its ends, each a place and f there.
struct Piece {
    from: (f64, f64),
    to: (f64, f64),
    attributions: Vec<f64>,
    error: f64,
}

impl Way<'_> {
    fn point(&self, place: f64) -> Vec<f32> {
        let between = |(x, b): (&f32, &f32)| {
            let (x, b) = (f64::from(*x), f64::from(*b));
            (b + place * (x - b)) as f32
        };
        self.input.iter().zip(self.baseline).map(between).collect()
    }

    fn value_at(&self, place: f64) -> Result<f64, AttributionError> {
        let value = (self.value)(&self.point(place));
        if value.is_finite() { Ok(value) } else { Err(AttributionError::NotFinite) }
    }

    fn gradient_at(&self, place: f64) -> Result<Vec<f32>, AttributionError> {
        let gradient = (self.gradient)(&self.point(place));
        if gradient.len() != self.input.len() {
            return Err(AttributionError::Gradient { expected: self.input.len(), found: gradient.len() });
        }
        if gradient.iter().all(|g| g.is_finite()) { Ok(gradient) } else { Err(AttributionError::NotFinite) }
    }

    fn piece(&self, from: (f64, f64), to: (f64, f64)) -> Result<Piece, AttributionError> {
        let (centre, half) = (f64::midpoint(from.0, to.0), (to.0 - from.0) / 2.0);
        let mut fine = vec![0.0; self.input.len()];
        let mut coarse = fine.clone();
        for (place, node) in NODES.iter().enumerate() {
            let sides: &[f64] = if *node == 0.0 { &[0.0] } else { &[-1.0, 1.0] };
            for side in sides {
                for (index, g) in self.gradient_at(centre + side * half * node)?.into_iter().enumerate() {
                    fine[index] += KRONROD[place] * f64::from(g);
                    if place % 2 == 1 {
                        coarse[index] += GAUSS[place / 2] * f64::from(g);
                    }
                }
            }
        }
        let mut apart = 0.0;
        for (index, (fine, coarse)) in fine.iter_mut().zip(&coarse).enumerate() {
            let step = half * (f64::from(self.input[index]) - f64::from(self.baseline[index]));
            apart += ((*fine - coarse) * step).abs();
            *fine *= step;
        }
        let gap = (fine.iter().sum::<f64>() - (to.1 - from.1)).abs();
        Ok(Piece { from, to, attributions: fine, error: apart.max(gap) })
    }
}

#[cfg(test)]
mod tests {
    use guildhall_shared::model_spec::{Activation, Architecture};
    use proptest::prelude::*;

    use super::*;
    use crate::draws::Draws;
    use crate::explain::mlp::tests::{mlp, random, uniform};

    fn close(found: &[f64], expected: &[f64], within: f64) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < within, "{found:?} {expected:?}");
        }
    }

    /// The rule of 15 points is exact for polynomials up to degree 22, that of 7 up to 13.
    #[test]
    fn the_rule_is_exact_for_polynomials() {
        for degree in 0..=22 {
            let sum = |weights: &dyn Fn(usize) -> f64| -> f64 {
                let both = |place: usize| if NODES[place] == 0.0 { 1.0 } else { 1.0 + (-1f64).powi(degree) };
                (0..8).map(|p| weights(p) * both(p) * NODES[p].powi(degree)).sum()
            };
            let exact = if degree % 2 == 0 { 2.0 / f64::from(degree + 1) } else { 0.0 };
            assert!((sum(&|place| KRONROD[place]) - exact).abs() < 1e-14, "degree {degree}");
            let gauss = sum(&|place| if place % 2 == 1 { GAUSS[place / 2] } else { 0.0 });
            assert!(degree > 13 || (gauss - exact).abs() < 1e-14, "degree {degree}");
        }
    }

    #[test]
    fn of_a_linear_model_every_weight_times_its_input() {
        let layers = random(Architecture::LogisticRegression, 4, 3);
        let (x, b) = ([1.0, -2.0, 0.5, 0.0], [0.5, 1.0, 0.5, 0.0]);
        let found = attribute(&x, &b, Effort::default(), |x| layers.logit(x), |x| layers.gradient(x))
            .expect("finite");
        let weights = layers.gradient(&x);
        let expected: Vec<f64> = (0..4).map(|i| f64::from(weights[i]) * f64::from(x[i] - b[i])).collect();
        close(&found.attributions, &expected, 1e-6);
        assert!(found.completeness_gap.abs() < 1e-6);
        assert_eq!((found.gradients, found.attributions[3]), (PIECE_GRADIENTS, 0.0));
    }

    /// x·y from (0, 0) to (2, 3): 3 each. x²·y to (1, 1): 2/3 and 1/3.
    #[test]
    fn of_products_the_known_shares() {
        let value = |x: &[f32]| f64::from(x[0]) * f64::from(x[1]);
        let found = attribute(&[2.0, 3.0], &[0.0; 2], Effort::default(), value, |x| vec![x[1], x[0]]);
        close(&found.expect("finite").attributions, &[3.0, 3.0], 1e-6);
        let value = |x: &[f32]| f64::from(x[0] * x[0] * x[1]);
        let gradient = |x: &[f32]| vec![2.0 * x[0] * x[1], x[0] * x[0]];
        let found = attribute(&[1.0, 1.0], &[0.0; 2], Effort::default(), value, gradient).expect("finite");
        close(&found.attributions, &[2.0 / 3.0, 1.0 / 3.0], 1e-6);
    }

    /// Two kinks that hide each other in the sum: only the difference of the two rules sees them.
    #[test]
    fn errors_that_cancel_in_the_sum_are_still_seen() {
        let value = |x: &[f32]| f64::from(x[0].max(0.0)) - f64::from(x[1].max(0.0));
        let gradient = |x: &[f32]| vec![f32::from(u8::from(x[0] > 0.0)), -f32::from(u8::from(x[1] > 0.0))];
        let found =
            attribute(&[2.3, 2.3], &[-1.0, -1.0], Effort::default(), value, gradient).expect("finite");
        close(&found.attributions, &[2.3, -2.3], 1e-3);
        assert!(found.gradients > PIECE_GRADIENTS && found.error <= 1e-3);
    }

    #[test]
    fn completeness_of_random_networks_within_the_tolerance() {
        for activation in [Activation::Tanh, Activation::Relu] {
            for seed in 0..30 {
                let layers = random(mlp(activation), 8, seed);
                let mut draws = Draws::new(seed);
                let x: Vec<f32> = (0..8).map(|_| 3.0 * uniform(&mut draws) as f32).collect();
                let effort = Effort { tolerance: 1e-4, gradients_max: 5_000 };
                let found = attribute(&x, &[0.0; 8], effort, |x| layers.logit(x), |x| layers.gradient(x))
                    .expect("finite");
                let gain = found.value - found.baseline_value;
                assert!((found.attributions.iter().sum::<f64>() - gain).abs() < 1e-4);
                assert!(found.completeness_gap.abs() <= found.error + 1e-12 && found.error <= 1e-4);
                // Against ten thousand midpoints.
                let steps = 10_000;
                let mut plain = [0.0; 8];
                for step in 0..steps {
                    let place = (step as f32 + 0.5) / steps as f32;
                    let point: Vec<f32> = x.iter().map(|x| x * place).collect();
                    for (input, g) in layers.gradient(&point).into_iter().enumerate() {
                        plain[input] += f64::from(g) * f64::from(x[input]) / f64::from(steps);
                    }
                }
                close(&found.attributions, &plain, 5e-3);
            }
        }
    }

    #[test]
    fn too_little_effort_is_told_and_nonsense_is_refused() {
        let layers = random(mlp(Activation::Relu), 4, 1);
        let effort = Effort { tolerance: 0.0, gradients_max: 100 };
        let run = |x: &[f32], b: &[f32]| attribute(x, b, effort, |x| layers.logit(x), |x| layers.gradient(x));
        let found = run(&[3.0; 4], &[-3.0; 4]).expect("finite");
        assert!(found.gradients <= 100 && found.error > 0.0);
        assert_eq!(run(&[1.0; 4], &[0.0; 3]), Err(AttributionError::Baseline { expected: 4, found: 3 }));
        assert_eq!(run(&[f32::NAN; 4], &[0.0; 4]), Err(AttributionError::NotFinite));
        let short = attribute(&[1.0; 2], &[0.0; 2], effort, |_| 0.0, |_| vec![0.0]);
        assert_eq!(short, Err(AttributionError::Gradient { expected: 2, found: 1 }));
    }

    proptest! {
        /// The axioms "sensitivity" for what does not matter, and "linearity".
        #[test]
        fn what_does_not_matter_gets_nothing_and_sums_of_models_sum(
            x in prop::collection::vec(-2f32..2.0, 3), a in -2f32..2.0, b in -2f32..2.0,
        ) {
            let of = |p: f32, q: f32| {
                let value = move |x: &[f32]| f64::from(p * x[0] * x[1] + q * x[0].sin());
                let gradient = move |x: &[f32]| vec![p * x[1] + q * x[0].cos(), p * x[0], 0.0];
                attribute(&x, &[0.0; 3], Effort::default(), value, gradient).unwrap().attributions
            };
            let (both, one, other) = (of(a, b), of(a, 0.0), of(0.0, b));
            prop_assert_eq!(both[2], 0.0);
            for i in 0..3 {
                prop_assert!((both[i] - one[i] - other[i]).abs() < 1e-4);
            }
        }
    }
}
