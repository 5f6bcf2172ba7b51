//! Programs that are broken in one way each, to find out whether the auditor notices. Never part of a release.

use std::sync::{Arc, Mutex, PoisonError};

use guildhall_client::driver::contribution::{ContributionError, Contributor};
use guildhall_privacy::clip::ShopperSum;
use guildhall_privacy::noise::{NoiseError, NoiseSource};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::round_parameters::RoundParameters;

use super::program::{Program, Silent};
use super::scripted::Scripted;
use super::shop::{INPUTS, Shop, Shopper};
use crate::error::CommandError;

#[cfg(all(feature = "audit-mutants", not(debug_assertions)))]
compile_error!(
    "the feature audit-mutants holds programs that protect nobody: it cannot be part of a release build"
);

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// The source draws noise of half the standard deviation it is asked for
    NoiseHalved,
    /// A contribution is added in pieces, each within the clip, all together not
    ClipOff,
    /// Every second attempt draws from the seed of the one before
    SameSeedTwice,
    /// The noise is shared out among all merchants, as if nobody could drop out or collude
    HonestSharesMiscounted,
    /// A second attempt at a round goes without noise
    NoiseDroppedOnRetry,
    /// The merchant keeps an offset that it learns from all its shoppers and never releases
    PersonalStateLeaks,
    /// Inputs are centred on the mean of the merchant's rows
    FittedNormaliser,
}

#[cfg(test)]
impl Mutant {
    /// All.
    pub const ALL: [Mutant; 7] = [
        Mutant::NoiseHalved,
        Mutant::ClipOff,
        Mutant::SameSeedTwice,
        Mutant::HonestSharesMiscounted,
        Mutant::NoiseDroppedOnRetry,
        Mutant::PersonalStateLeaks,
        Mutant::FittedNormaliser,
    ];
}

/// A program with one fault.
pub struct Mutated<'p> {
    /// What is right about it.
    pub sound: &'p dyn Program,
    /// What is not.
    pub mutant: Mutant,
}

impl Program for Mutated<'_> {
    fn parameters(&self, job: &JobSpec, merchants: u32) -> Result<RoundParameters, CommandError> {
        let mut parameters = self.sound.parameters(job, merchants)?;
        if let (Mutant::HonestSharesMiscounted, PrivacySpec::Gaussian { noise_standard_deviation, .. }) =
            (self.mutant, job.privacy)
        {
            parameters.honest_noise_shares = merchants;
            let share = noise_standard_deviation as f64 / f64::from(merchants).sqrt();
            parameters.noise_standard_deviation_local = share.ceil() as u64;
        }
        Ok(parameters)
    }

    fn contributor(&self, shop: &Shop, job: &Arc<JobSpec>) -> Result<Arc<dyn Contributor>, CommandError> {
        let fault = match self.mutant {
            Mutant::ClipOff | Mutant::PersonalStateLeaks | Mutant::FittedNormaliser => self.mutant,
            _ => return self.sound.contributor(shop, job),
        };
        let kept = Mutex::new([0.0; INPUTS + 1]);
        Ok(Arc::new(Handmade { shoppers: shop.shoppers().to_vec(), fault, kept }))
    }

    fn add(&self, sum: &mut ShopperSum, contribution: &[f64]) {
        match self.mutant {
            Mutant::ClipOff => add_in_pieces(sum, contribution),
            _ => self.sound.add(sum, contribution),
        }
    }

    fn open_noise(&self, merchant: MerchantIndex, round: RoundId) -> Box<dyn NoiseSource> {
        match self.mutant {
            Mutant::NoiseHalved => Box::new(Halved(self.sound.open_noise(merchant, round))),
            Mutant::SameSeedTwice => {
                let seed = [u64::from(merchant.0), u64::from(round.round / 2), u64::from(round.attempt)];
                Box::new(Scripted::new(&seed))
            }
            Mutant::NoiseDroppedOnRetry if round.attempt > 0 => Box::new(Silent),
            _ => self.sound.open_noise(merchant, round),
        }
    }
}

struct Halved(Box<dyn NoiseSource>);

impl NoiseSource for Halved {
    fn fill(&mut self, standard_deviation: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        self.0.fill(standard_deviation / 2, out)
    }
}

/// Pieces of length ½ at most. Where the clip is 1 or more each of them goes through whole.
fn add_in_pieces(sum: &mut ShopperSum, contribution: &[f64]) {
    let norm = contribution.iter().map(|x| x * x).sum::<f64>().sqrt();
    let pieces = (2.0 * norm).ceil().max(1.0);
    let piece: Vec<f64> = contribution.iter().map(|x| x / pieces).collect();
    for _ in 0..pieces as u64 {
        sum.add(&piece);
    }
}

/// A logistic regression written again, with room for a fault in it.
struct Handmade {
    shoppers: Vec<Shopper>,
    fault: Mutant,
    /// What the merchant keeps from round to round.
    kept: Mutex<[f64; INPUTS + 1]>,
}

impl Handmade {
    fn centre(&self) -> [f64; INPUTS] {
        let rows = || self.shoppers.iter().flat_map(|shopper| &shopper.rows);
        let count = rows().count().max(1) as f64;
        std::array::from_fn(|i| rows().map(|row| f64::from(row.inputs[i])).sum::<f64>() / count)
    }

    fn gradient(shopper: &Shopper, weights: &[f64], centre: &[f64; INPUTS]) -> [f64; INPUTS + 1] {
        let mut gradient = [0.0; INPUTS + 1];
        for row in &shopper.rows {
            let mut inputs = [1.0; INPUTS + 1];
            (0..INPUTS).for_each(|i| inputs[i] = f64::from(row.inputs[i]) - centre[i]);
            let logit: f64 = inputs.iter().zip(weights).map(|(x, w)| x * w).sum();
            let delta = 1.0 / (1.0 + (-logit).exp()) - f64::from(row.label);
            let share = delta / shopper.rows.len() as f64;
            gradient.iter_mut().zip(inputs).for_each(|(g, x)| *g += share * x);
        }
        gradient
    }
}

impl Contributor for Handmade {
    fn clipped_sum(
        &self,
        weights: &[f64],
        clipping: &ClippingParameters,
        _: RoundId,
    ) -> Result<ClippedSum, ContributionError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let weights: Vec<f64> = weights.iter().zip(*kept).map(|(w, k)| w + k).collect();
        let centre = if self.fault == Mutant::FittedNormaliser { self.centre() } else { [0.0; INPUTS] };
        let mut sum = ShopperSum::new(clipping);
        for shopper in &self.shoppers {
            let gradient = Self::gradient(shopper, &weights, &centre);
            match self.fault {
                Mutant::ClipOff => add_in_pieces(&mut sum, &gradient),
                _ => {
                    sum.add(&gradient);
                }
            }
            if self.fault == Mutant::PersonalStateLeaks {
                kept.iter_mut().zip(gradient).for_each(|(k, g)| *k -= 1e-3 * g);
            }
        }
        Ok(sum.finish().0)
    }
}
