//! How much a model leans on a player over many rows, for a model card. [core]
//!
//! # Privacy
//! Computed on a merchant's own rows and a function of all of them: it stays with the merchant, and on no card that leaves it, unless
//! it is clipped, noised and charged like everything else. The weights of a released model alone are public.
//!
//! # Source
//! Permutation: Breiman 2001; model-agnostic as in Fisher, Rudin and Dominici 2019 (arXiv 1801.01489).

use serde::Serialize;

use crate::data::observations::Observations;
use crate::draws::Draws;
use crate::evaluate::{auc, log_loss};
use crate::explain::Player;

/// Mean and standard deviation over repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Over all repeats.
    pub mean: f64,
    /// Of one repeat, with n − 1; 0 of a single one.
    pub standard_deviation: f64,
}

impl Spread {
    /// Of at least one number.
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n)?;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        Some(Spread { mean, standard_deviation: (squares / (n - 1.0).max(1.0)).sqrt() })
    }
}

/// What a model loses when one player's values are dealt out anew among the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PermutationImportance {
    /// The player.
    pub name: String,
    /// Drop of the area under the ROC curve; `None` where the rows are of one class.
    pub auc_drop: Option<Spread>,
    /// Rise of the mean log loss, in nats.
    pub log_loss_rise: Spread,
}

/// How often, and by which draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Permutations of every player; at least 1.
    pub repeats: u32,
    /// Of the draws.
    pub seed: u64,
}

/// The importance of every player, in their order. All inputs of a player move together, so that no row gets values that do not go
/// together. `None` without rows, without repeats, where a player's input is beyond the rows', or where a logit is not a number.
///
/// A player whose message others repeat looks unimportant: the model can do without it.
///
/// # Shapes
/// `logits` gets rows × inputs, row-major, and gives one logit per row.
pub fn by_permutation(
    rows: &Observations,
    players: &[Player],
    repeats: Repeats,
    mut logits: impl FnMut(&[f32]) -> Vec<f32>,
) -> Option<Vec<PermutationImportance>> {
    let within = players.iter().flat_map(|player| &player.inputs).all(|input| *input < rows.inputs);
    if !within || repeats.repeats == 0 {
        return None;
    }
    let labels = &rows.labels;
    let whole = logits(&rows.features);
    let (whole_auc, whole_loss) = (auc(&whole, labels), log_loss(&whole, labels)?);
    let mut draws = Draws::new(repeats.seed);
    let mut order: Vec<usize> = (0..rows.rows()).collect();
    let mut importance = Vec::with_capacity(players.len());
    for player in players {
        let (mut drops, mut rises) = (Vec::new(), Vec::new());
        for _ in 0..repeats.repeats {
            draws.shuffle(&mut order);
            let moved = logits(&dealt_anew(rows, &player.inputs, &order));
            rises.push(log_loss(&moved, labels)? - whole_loss);
            drops.extend(whole_auc.zip(auc(&moved, labels)).map(|(whole, moved)| whole - moved));
        }
        let (auc_drop, log_loss_rise) = (Spread::of(&drops), Spread::of(&rises)?);
        importance.push(PermutationImportance { name: player.name.clone(), auc_drop, log_loss_rise });
    }
    Some(importance)
}

/// The rows with these inputs taken from the row that `order` names.
fn dealt_anew(rows: &Observations, inputs: &[usize], order: &[usize]) -> Vec<f32> {
    let mut features = rows.features.clone();
    for (row, from) in order.iter().enumerate() {
        for input in inputs {
            features[row * rows.inputs + input] = rows.features[from * rows.inputs + input];
        }
    }
    features
}

/// One player's part in the logit of a logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightImportance {
    /// The player.
    pub name: String,
    /// Standard deviation, over the rows, of what the player adds to the logit: its weights times its inputs.
    pub logit_deviation: f64,
}

/// How far each player of a logistic regression moves the logit over these rows, in the players' order. `None` where there are not
/// as many weights as inputs and a bias, a player's input is beyond them, or there are no rows.
///
/// # Shapes
/// `weights` one per input, then the bias.
pub fn by_weights(rows: &Observations, players: &[Player], weights: &[f64]) -> Option<Vec<WeightImportance>> {
    let within = players.iter().flat_map(|player| &player.inputs).all(|input| *input < rows.inputs);
    if !within || weights.len() != rows.inputs + 1 || rows.rows() == 0 {
        return None;
    }
    let of = |player: &Player| {
        let part = |row: usize| {
            player.inputs.iter().map(|input| weights[*input] * f64::from(rows.row(row)[*input])).sum::<f64>()
        };
        let parts: Vec<f64> = (0..rows.rows()).map(part).collect();
        let mean = parts.iter().sum::<f64>() / parts.len() as f64;
        let variance =
            parts.iter().map(|part| (part - mean) * (part - mean)).sum::<f64>() / parts.len() as f64;
        WeightImportance { name: player.name.clone(), logit_deviation: variance.sqrt() }
    };
    Some(players.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::observations::ShopperKey;
    use crate::explain::mlp::tests::uniform;

    /// The label follows from input 0 alone; inputs 1 and 2 are noise; the model believes in 0 and a little in 1.
    fn rows(count: u8) -> Observations {
        let mut draws = Draws::new(3);
        let mut rows = Observations::empty(3);
        for key in 0..count {
            let row: Vec<f32> = (0..3).map(|_| uniform(&mut draws) as f32).collect();
            rows.push(ShopperKey([key; 16]), &row, f32::from(u8::from(row[0] > 0.0)));
        }
        rows
    }

    fn logits(features: &[f32]) -> Vec<f32> {
        features.chunks(3).map(|row| 4.0 * row[0] + 0.5 * row[1]).collect()
    }

    fn players() -> Vec<Player> {
        ["signal", "noise", "unused"]
            .iter()
            .enumerate()
            .map(|(input, name)| Player { name: (*name).into(), inputs: vec![input] })
            .collect()
    }

    #[test]
    fn what_the_label_follows_matters_and_what_the_model_ignores_does_not() {
        let rows = rows(200);
        let repeats = Repeats { repeats: 10, seed: 1 };
        let found = by_permutation(&rows, &players(), repeats, logits).expect("rows");
        let [signal, noise, unused] = &found[..] else { panic!("three players") };
        let drop = signal.auc_drop.expect("two classes");
        // Ranked by noise alone the AUC is about a half.
        assert!((drop.mean - 0.5).abs() < 0.05 && drop.standard_deviation > 0.0, "{drop:?}");
        assert!(signal.log_loss_rise.mean > 0.5);
        assert!(noise.auc_drop.expect("two classes").mean.abs() < 0.02);
        let nothing = Spread { mean: 0.0, standard_deviation: 0.0 };
        assert_eq!((unused.auc_drop, unused.log_loss_rise), (Some(nothing), nothing));
        assert_eq!(
            by_permutation(&rows, &players(), repeats, logits).as_ref(),
            Some(&found),
            "the same seed"
        );
        let other = by_permutation(&rows, &players(), Repeats { seed: 2, ..repeats }, logits);
        assert_ne!(other, Some(found));
    }

    #[test]
    fn inputs_of_one_player_move_together() {
        let mut rows = Observations::empty(2);
        (0..50).for_each(|key| rows.push(ShopperKey([key; 16]), &[f32::from(key), -f32::from(key)], 1.0));
        let both = [Player { name: "both".into(), inputs: vec![0, 1] }];
        let together = |features: &[f32]| -> Vec<f32> {
            assert!(features.chunks(2).all(|row| row[0] == -row[1]));
            features.chunks(2).map(|row| row[0]).collect()
        };
        let found = by_permutation(&rows, &both, Repeats { repeats: 3, seed: 0 }, together).expect("rows");
        assert_eq!(found[0].auc_drop, None, "one class");
    }

    #[test]
    fn what_cannot_be_measured_is_none() {
        let repeats = Repeats { repeats: 2, seed: 0 };
        assert!(by_permutation(&Observations::empty(3), &players(), repeats, logits).is_none());
        assert!(by_permutation(&rows(9), &players(), Repeats { repeats: 0, seed: 0 }, logits).is_none());
        let beyond = [Player { name: "x".into(), inputs: vec![3] }];
        assert!(by_permutation(&rows(9), &beyond, repeats, logits).is_none());
        assert!(by_permutation(&rows(9), &players(), repeats, |_| vec![f32::NAN; 9]).is_none());
        assert!(by_weights(&rows(9), &players(), &[1.0; 3]).is_none());
        assert!(by_weights(&rows(9), &beyond, &[1.0; 4]).is_none());
    }

    #[test]
    fn parts_of_a_logistic_regression_by_hand() {
        let mut rows = Observations::empty(3);
        for (key, row) in [[0.0, 1.0, 5.0], [2.0, 0.0, 5.0]].iter().enumerate() {
            rows.push(ShopperKey([key as u8; 16]), row, 0.0);
        }
        let player = |name: &str, inputs| Player { name: name.into(), inputs };
        let found =
            by_weights(&rows, &[player("pair", vec![0, 1]), player("bias", vec![2])], &[1.0, 4.0, 9.0, 7.0]);
        let found: Vec<f64> = found.expect("rows").iter().map(|part| part.logit_deviation).collect();
        // 4 and 2: one each side of 3.
        assert_eq!(found, [1.0, 0.0]);
    }
}
