//! Shapley values: an answer shared fairly among the inputs that were there. [core]
//!
//! Players are groups of inputs. The value of a coalition is the model's answer where the coalition's inputs are as they are and
//! all others are as in a public baseline. Values add up to the answer less the baseline's; players that are alike get alike;
//! one that never matters gets nothing.
//!
//! Up to [`EXACT_PLAYERS_MAX`] players all coalitions are asked. Beyond, random orders are: a player's value is what it adds, on
//! average over orders, when it joins those before it. Orders come in pairs, each with its reverse, whose errors partly cancel.
//!
//! # Source
//! Shapley 1953; Castro, Gómez and Tejada 2009 (sampled orders); Mitchell, Cooper, Frank and Holmes 2022 (arXiv 2104.12199, antithetic
//! pairs).

use crate::draws::Draws;
use crate::explain::Player;

/// Most players of which all coalitions are asked: 65,536 answers.
pub const EXACT_PLAYERS_MAX: usize = 16;

/// Shapley values of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapleyValues {
    /// One per player; their sum is `everybody` − `nobody`.
    pub values: Vec<f64>,
    /// One standard error per value: zero where all coalitions were asked.
    pub standard_errors: Vec<f64>,
    /// The answer with the baseline alone.
    pub nobody: f64,
    /// The answer that is explained.
    pub everybody: f64,
    /// Answers asked for.
    pub answers: u64,
}

/// A game that has no values.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShapleyError {
    /// Too many players for all coalitions.
    #[error("expected at most {EXACT_PLAYERS_MAX} players, found {found}: sample orders instead")]
    Players {
        /// Found.
        found: usize,
    },
    /// Too few pairs for a standard error.
    #[error("expected at least 2 pairs of orders, found {found}")]
    Pairs {
        /// Found.
        found: u32,
    },
    /// A coalition's value is not a number.
    #[error("expected finite answers, found others")]
    NotFinite,
    /// Baseline and input are not of one length, or a player's input is beyond it.
    #[error("expected a baseline of {expected} inputs and players within them")]
    Shape {
        /// Inputs.
        expected: usize,
    },
}

/// One observation as a game.
pub struct Game<'a> {
    input: &'a [f32],
    baseline: &'a [f32],
    players: &'a [Player],
}

impl<'a> Game<'a> {
    /// Inputs of no player keep their value in every coalition.
    ///
    /// # Errors
    /// [`ShapleyError::Shape`].
    pub fn new(input: &'a [f32], baseline: &'a [f32], players: &'a [Player]) -> Result<Self, ShapleyError> {
        let within = players.iter().flat_map(|player| &player.inputs).all(|place| *place < input.len());
        if !within || baseline.len() != input.len() {
            return Err(ShapleyError::Shape { expected: input.len() });
        }
        Ok(Game { input, baseline, players })
    }

    /// Players.
    pub fn players(&self) -> usize {
        self.players.len()
    }

    /// The inputs of a coalition.
    ///
    /// # Shapes
    /// `present` one flag per player.
    pub fn inputs(&self, present: &[bool]) -> Vec<f32> {
        let mut inputs = self.input.to_vec();
        for (player, _) in self.players.iter().zip(present).filter(|(_, present)| !**present) {
            player.inputs.iter().for_each(|place| inputs[*place] = self.baseline[*place]);
        }
        inputs
    }

    /// Exact values where the players are few enough, else sampled ones.
    ///
    /// # Errors
    /// [`ShapleyError`].
    pub fn values(
        &self,
        sampling: Sampling,
        answer: impl Fn(&[f32]) -> f64,
    ) -> Result<ShapleyValues, ShapleyError> {
        let value = |present: &[bool]| answer(&self.inputs(present));
        match self.players() {
            few if few <= EXACT_PLAYERS_MAX => exact(few, value),
            many => sampled(many, sampling, value),
        }
    }
}

/// How orders are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Orders, each with its reverse; at least 2.
    pub pairs: u32,
    /// Of the draws; the same seed gives the same values.
    pub seed: u64,
}

impl Default for Sampling {
    /// 200 pairs of seed 0.
    fn default() -> Self {
        Sampling { pairs: 200, seed: 0 }
    }
}

/// The values of all players, every coalition asked once.
///
/// # Shapes
/// `value` gets one flag per player: whether it is present.
///
/// # Errors
/// [`ShapleyError::Players`], [`ShapleyError::NotFinite`].
pub fn exact(players: usize, value: impl Fn(&[bool]) -> f64) -> Result<ShapleyValues, ShapleyError> {
    if players > EXACT_PLAYERS_MAX {
        return Err(ShapleyError::Players { found: players });
    }
    let mut present = vec![false; players];
    let mut worth = Vec::with_capacity(1 << players);
    for coalition in 0..1usize << players {
        present.iter_mut().enumerate().for_each(|(player, flag)| *flag = coalition >> player & 1 == 1);
        worth.push(finite(value(&present))?);
    }
    // A coalition of s others has s!·(n − 1 − s)!/n! = 1 / (n·C(n − 1, s)) of all orders before the player.
    let mut share = vec![1.0 / players.max(1) as f64; players];
    for others in 1..players {
        share[others] = share[others - 1] * others as f64 / (players - others) as f64;
    }
    let of = |player: usize| {
        let without = (0..worth.len()).filter(|coalition| coalition >> player & 1 == 0);
        let gain = |coalition: usize| {
            share[coalition.count_ones() as usize] * (worth[coalition | 1 << player] - worth[coalition])
        };
        without.map(gain).sum()
    };
    Ok(ShapleyValues {
        values: (0..players).map(of).collect(),
        standard_errors: vec![0.0; players],
        nobody: worth[0],
        everybody: worth[worth.len() - 1],
        answers: worth.len() as u64,
    })
}

/// Values from random orders and their reverses, each with its standard error.
///
/// What all players add on one order is the whole answer, so the values' sum is exact; the little that rounding takes is given back
/// to the values in proportion to their variance.
///
/// # Shapes
/// As [`exact`].
///
/// # Errors
/// [`ShapleyError::Pairs`], [`ShapleyError::NotFinite`].
pub fn sampled(
    players: usize,
    sampling: Sampling,
    value: impl Fn(&[bool]) -> f64,
) -> Result<ShapleyValues, ShapleyError> {
    let pairs = sampling.pairs;
    if pairs < 2 {
        return Err(ShapleyError::Pairs { found: pairs });
    }
    let (nobody, everybody) = (finite(value(&vec![false; players]))?, finite(value(&vec![true; players]))?);
    let mut draws = Draws::new(sampling.seed);
    let mut order: Vec<usize> = (0..players).collect();
    let (mut mean, mut squares) = (vec![0.0; players], vec![0.0; players]);
    let mut pair = vec![0.0; players];
    for count in 1..=pairs {
        draws.shuffle(&mut order);
        pair.fill(0.0);
        walk(&order, (nobody, everybody), &value, &mut pair)?;
        order.reverse();
        walk(&order, (nobody, everybody), &value, &mut pair)?;
        // Welford 1962: mean and squared deviations in one pass.
        for (player, twice) in pair.iter().enumerate() {
            let away = twice / 2.0 - mean[player];
            mean[player] += away / f64::from(count);
            squares[player] += away * (twice / 2.0 - mean[player]);
        }
    }
    let per_mean = f64::from(pairs) * f64::from(pairs - 1);
    let standard_errors: Vec<f64> = squares.iter().map(|sum| (sum / per_mean).sqrt()).collect();
    give_back_rounding(&mut mean, &standard_errors, everybody - nobody);
    let answers = 2 + 2 * u64::from(pairs) * (players as u64).saturating_sub(1);
    Ok(ShapleyValues { values: mean, standard_errors, nobody, everybody, answers })
}

/// Adds to `gains` what every player adds when it joins in this order. The ends are known.
fn walk(
    order: &[usize],
    (nobody, everybody): (f64, f64),
    value: &dyn Fn(&[bool]) -> f64,
    gains: &mut [f64],
) -> Result<(), ShapleyError> {
    let mut present = vec![false; order.len()];
    let mut before = nobody;
    for (place, player) in order.iter().enumerate() {
        present[*player] = true;
        let after = if place + 1 == order.len() { everybody } else { finite(value(&present))? };
        gains[*player] += after - before;
        before = after;
    }
    Ok(())
}

fn give_back_rounding(values: &mut [f64], standard_errors: &[f64], sum: f64) {
    let missing = sum - values.iter().sum::<f64>();
    let variance: f64 = standard_errors.iter().map(|error| error * error).sum();
    if variance > 0.0 {
        let shares = standard_errors.iter().map(|error| error * error / variance);
        values.iter_mut().zip(shares).for_each(|(value, share)| *value += missing * share);
    }
}

fn finite(value: f64) -> Result<f64, ShapleyError> {
    if value.is_finite() { Ok(value) } else { Err(ShapleyError::NotFinite) }
}

#[cfg(test)]
mod tests;
