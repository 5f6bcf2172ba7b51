//! What is audited, part by part: the seams at which the auditor's own tests replace one part by a faulty one.

use std::sync::Arc;

use guildhall_client::ClientConfig;
use guildhall_client::driver::Sources;
use guildhall_client::driver::contribution::Contributor;
use guildhall_privacy::clip::ShopperSum;
use guildhall_privacy::noise::{NoiseError, NoiseSource};
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::JobSpec;
use guildhall_shared::round_parameters::RoundParameters;

use super::shop::Shop;
use crate::error::{CommandError, Context as _};

/// The parts of a merchant's program that carry the claim. Everything between them (clip, quantise, sum, noise, masks,
/// seal, ledger) is not replaceable: it is called as the client calls it.
pub trait Program: Sync {
    /// The numbers of a round.
    fn parameters(&self, job: &JobSpec, merchants: u32) -> Result<RoundParameters, CommandError> {
        RoundParameters::derive(job, merchants).context("the rounds of the job")
    }

    /// What computes contributions from a merchant's file.
    fn contributor(&self, shop: &Shop, job: &Arc<JobSpec>) -> Result<Arc<dyn Contributor>, CommandError>;

    /// How one shopper's contribution enters the sum.
    fn add(&self, sum: &mut ShopperSum, contribution: &[f64]) {
        sum.add(contribution);
    }

    /// Where a merchant's noise for one attempt comes from.
    fn open_noise(&self, merchant: MerchantIndex, round: RoundId) -> Box<dyn NoiseSource>;
}

/// What a client runs: its own contributor over its own file, its own source of noise.
pub struct Genuine {
    noise: guildhall_client::driver::OpenNoise,
}

impl Genuine {
    /// With the sources that a client with this configuration has.
    pub fn new(config: &ClientConfig) -> Self {
        Genuine { noise: Sources::real(config).noise }
    }
}

impl Program for Genuine {
    fn contributor(&self, shop: &Shop, job: &Arc<JobSpec>) -> Result<Arc<dyn Contributor>, CommandError> {
        let open = Sources::real(shop.config()).contributor;
        open(job, job.digest()).context("the merchant's rows")
    }

    fn open_noise(&self, _: MerchantIndex, _: RoundId) -> Box<dyn NoiseSource> {
        (self.noise)()
    }
}

/// No noise: how the auditor, who knows everything, reads what was summed. Serves on rows of its own making only.
pub struct Silent;

impl NoiseSource for Silent {
    fn fill(&mut self, _: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        out.fill(0);
        Ok(())
    }
}
