//! `guildhall privacy`: what a budget or a schedule is worth, by each accountant.

use std::fmt;

use guildhall_privacy::accountant::mechanism::SampledGaussian;
use guildhall_privacy::accountant::pld::Pld;
use guildhall_privacy::accountant::rdp::Rdp;
use guildhall_privacy::accountant::zcdp;
use guildhall_privacy::parameter::PicoRho;
use serde::Serialize;

use crate::cli::{Accountant, EpsilonArgs};
use crate::error::{CommandError, Context as _};

/// What has to be true for a figure that sampling made smaller.
const AMPLIFIED_IF: &str = "amplified by sampling: holds if every shopper enters each round by an independent secret coin, against an adversary that does not see who took part";

/// ε, and in words what it assumes.
#[derive(Debug, Serialize)]
pub struct Epsilon {
    /// ε, rounded up.
    pub epsilon: f64,
    #[serde(skip)]
    delta: f64,
    #[serde(skip)]
    accountant: Accountant,
    #[serde(skip)]
    assumption: Option<&'static str>,
}

/// What was released.
#[derive(Clone, Copy, Debug)]
enum Spent {
    Rho(f64),
    Rounds { noise_multiplier: f64, rounds: u32, sampling_rate: f64 },
}

/// ε of a total ρ, or of a noise multiplier (σ over the clip) over so many rounds.
pub fn epsilon(arguments: &EpsilonArgs) -> Result<Epsilon, CommandError> {
    let &EpsilonArgs { accountant, delta, .. } = arguments;
    if !(delta > 0.0 && delta < 1.0) {
        return Err(CommandError::message(format!(
            "--delta: expected a number between 0 and 1, found {delta}"
        )));
    }
    let spent = spent(arguments)?;
    let epsilon = match accountant {
        Accountant::Zcdp => zcdp::epsilon_upper_bound(spent.rho()?, delta),
        Accountant::Rdp => spent.rdp()?.epsilon_upper_bound(delta),
        Accountant::Pld => spent.pld()?.epsilon_upper_bound(delta),
    };
    if !epsilon.is_finite() {
        return Err(CommandError::message(format!(
            "no finite epsilon at --delta {delta:e}: take a larger delta"
        )));
    }
    Ok(Epsilon { epsilon, delta, accountant, assumption: spent.assumption(accountant) })
}

fn spent(arguments: &EpsilonArgs) -> Result<Spent, CommandError> {
    match (arguments.rho, arguments.noise_multiplier, arguments.rounds) {
        (Some(rho), None, None) if rho >= 0.0 && rho.is_finite() => Ok(Spent::Rho(rho)),
        (Some(rho), None, None) => {
            Err(CommandError::message(format!("--rho: expected a finite number of at least 0, found {rho}")))
        }
        (None, Some(noise_multiplier), Some(rounds)) if noise_multiplier > 0.0 => {
            let sampling_rate = arguments.sampling_rate.unwrap_or(1.0);
            if !(sampling_rate > 0.0 && sampling_rate <= 1.0) {
                return Err(CommandError::message(format!(
                    "--sampling-rate: expected a number above 0 and at most 1, found {sampling_rate}"
                )));
            }
            Ok(Spent::Rounds { noise_multiplier, rounds, sampling_rate })
        }
        _ => Err(CommandError::message("expected --rho R, or --noise-multiplier Z above 0 with --rounds T")),
    }
}

impl Spent {
    /// Σρ. zCDP knows no amplification by sampling.
    fn rho(self) -> Result<f64, CommandError> {
        match self {
            Spent::Rho(rho) => Ok(rho),
            Spent::Rounds { sampling_rate, .. } if sampling_rate < 1.0 => Err(CommandError::message(
                "--accountant zcdp knows no amplification by sampling: use --accountant rdp or pld, or leave --sampling-rate out",
            )),
            // Each release costs 1/(2z²); releases add up.
            Spent::Rounds { noise_multiplier: z, rounds, .. } => Ok(f64::from(rounds) / (2.0 * z * z)),
        }
    }

    fn mechanism(self) -> Result<(SampledGaussian, u64), CommandError> {
        match self {
            // One Gaussian release of loss ρ has the noise multiplier 1/√(2ρ).
            Spent::Rho(rho) => {
                let mechanism = SampledGaussian::everybody((2.0 * rho).sqrt().recip().next_down());
                Ok((mechanism.context("--rho as one Gaussian release")?, 1))
            }
            Spent::Rounds { noise_multiplier, rounds, sampling_rate } => {
                let mechanism = SampledGaussian::new(noise_multiplier, sampling_rate);
                Ok((mechanism.context("--noise-multiplier and --sampling-rate")?, u64::from(rounds)))
            }
        }
    }

    fn rdp(self) -> Result<Rdp, CommandError> {
        let mut rdp = Rdp::default();
        match self {
            Spent::Rho(rho) => rdp.compose_zcdp(PicoRho::from_rho_ceiling(rho)),
            Spent::Rounds { .. } => {
                let (mechanism, rounds) = self.mechanism()?;
                rdp.compose(mechanism, rounds);
            }
        }
        Ok(rdp)
    }

    fn pld(self) -> Result<Pld, CommandError> {
        let mut pld = Pld::default();
        if !matches!(self, Spent::Rho(0.0)) {
            let (mechanism, rounds) = self.mechanism()?;
            pld.compose(mechanism, rounds);
        }
        Ok(pld)
    }

    fn assumption(self, accountant: Accountant) -> Option<&'static str> {
        match (self, accountant) {
            (Spent::Rounds { sampling_rate, .. }, _) if sampling_rate < 1.0 => Some(AMPLIFIED_IF),
            (Spent::Rho(_), Accountant::Pld) => {
                Some("a rho alone has no loss distribution: holds if all of it was spent on Gaussian noise")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.accountant {
            Accountant::Zcdp => "zCDP",
            Accountant::Rdp => "RDP",
            Accountant::Pld => "PLD",
        };
        // Four digits, upwards.
        let epsilon = (self.epsilon * 1e4).ceil() / 1e4;
        writeln!(f, "epsilon {epsilon:.4} at delta {:e} ({name}, rounded up)", self.delta)?;
        match self.assumption {
            Some(assumption) => writeln!(f, "{assumption}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: EpsilonArgs = EpsilonArgs {
        accountant: Accountant::Zcdp,
        rho: None,
        noise_multiplier: None,
        rounds: None,
        sampling_rate: None,
        delta: 1e-6,
        json: false,
    };

    fn of_rho(accountant: Accountant, rho: f64) -> Result<Epsilon, CommandError> {
        epsilon(&EpsilonArgs { accountant, rho: Some(rho), ..NOTHING })
    }

    fn of_rounds(
        accountant: Accountant,
        z: f64,
        rounds: u32,
        rate: Option<f64>,
    ) -> Result<Epsilon, CommandError> {
        let (noise_multiplier, rounds) = (Some(z), Some(rounds));
        epsilon(&EpsilonArgs {
            accountant,
            noise_multiplier,
            rounds,
            sampling_rate: rate,
            delta: 1e-5,
            ..NOTHING
        })
    }

    #[test]
    fn known_answers() {
        for (rho, expected) in [(0.1, 2.142), (0.5, 5.222), (1.0, 7.766), (2.0, 11.689)] {
            let found = of_rho(Accountant::Zcdp, rho).expect("good").epsilon;
            assert!((found - expected).abs() < 5e-4, "{rho}: {found}");
            let orders = of_rho(Accountant::Rdp, rho).expect("good").epsilon;
            assert!(orders >= found * (1.0 - 1e-12) && orders < found * 1.002, "{rho}: {orders}");
            let tight = of_rho(Accountant::Pld, rho).expect("good").epsilon;
            assert!(tight < found && tight > 0.9 * found, "{rho}: {tight}");
        }
        // z = 10 over 200 rounds is ρ = 1.
        let ten = EpsilonArgs { noise_multiplier: Some(10.0), rounds: Some(200), ..NOTHING };
        assert!((epsilon(&ten).expect("good").epsilon - 7.766).abs() < 5e-4);
        assert_eq!(of_rho(Accountant::Pld, 0.0).expect("good").epsilon, 0.0);
    }

    /// Published values: z = 1, T = 100, δ = 1e-5.
    #[test]
    fn sampling_needs_an_accountant_that_knows_it_and_is_labelled() {
        let rdp = of_rounds(Accountant::Rdp, 1.0, 100, Some(0.01)).expect("good");
        let pld = of_rounds(Accountant::Pld, 1.0, 100, Some(0.01)).expect("good");
        assert!(
            (rdp.epsilon - 1.2141).abs() < 1e-3 && (pld.epsilon - 0.71804).abs() < 1e-4,
            "{rdp:?} {pld:?}"
        );
        for amplified in [rdp, pld] {
            let words = amplified.to_string();
            assert!(
                words.contains("independent secret coin") && words.contains("does not see who took part"),
                "{words}"
            );
        }
        let refused =
            of_rounds(Accountant::Zcdp, 1.0, 100, Some(0.01)).expect_err("knows no sampling").to_string();
        assert!(refused.contains("--accountant rdp or pld"), "{refused}");
        let everybody = of_rounds(Accountant::Zcdp, 1.0, 100, Some(1.0)).expect("everybody");
        assert!((everybody.epsilon - 96.03527068).abs() < 1e-6 && everybody.to_string().lines().count() == 1);
    }

    #[test]
    fn json_is_the_figure_alone() {
        let found = of_rho(Accountant::Rdp, 1.0).expect("good");
        let object = serde_json::to_value(&found).expect("writable");
        assert_eq!(object, serde_json::json!({ "epsilon": found.epsilon }));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(of_rho(Accountant::Zcdp, -1.0).is_err());
        assert!(of_rho(Accountant::Zcdp, f64::NAN).is_err());
        assert!(epsilon(&EpsilonArgs { delta: 0.0, rho: Some(1.0), ..NOTHING }).is_err());
        assert!(of_rounds(Accountant::Zcdp, 0.0, 1, None).is_err());
        for rate in [0.0, -0.5, 1.5, f64::NAN] {
            let refused =
                of_rounds(Accountant::Pld, 1.0, 1, Some(rate)).expect_err("no probability").to_string();
            assert!(refused.contains("--sampling-rate"), "{refused}");
        }
        let refused = of_rounds(Accountant::Pld, 1e-3, 1, None).expect_err("no protection").to_string();
        assert!(refused.contains("found 0.001"), "{refused}");
    }
}
