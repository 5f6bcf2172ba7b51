//! What everybody in the benchmark knows: roster, facts of the attempt, the one vector they all contribute.

use std::sync::Arc;

use guildhall_privacy::clip::ShopperSum;
use guildhall_privacy::ledger::{BudgetLimit, Ledger, Reservation};
use guildhall_privacy::parameter::{ClippingParameters, Protection, Travel};
use guildhall_privacy::update::{
    CommittedUpdate, DangerousPolicy, ExplicitlyUnprotectedUpdate, SealedUpdate, UnprotectedPermit,
};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry};
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::{RingVector, RingWidth};
use guildhall_shared::round_parameters::{RoundParameters, RoundParametersError};
use guildhall_shared::secagg::Facts;
use guildhall_shared::secagg::server::Unmasked;

use super::super::{Dummy, NO_PRIVACY};
use super::times;
use crate::cli::BenchAggregationArgs;
use crate::error::{CommandError, Context as _};

/// The fixed facts, the same for everybody.
pub struct Federation {
    /// By place in the roster.
    pub identities: Vec<IdentityKey>,
    /// Of the attempt.
    pub facts: Arc<Facts>,
    job: JobSpec,
    clipping: ClippingParameters,
    contribution: Vec<f64>,
}

impl Federation {
    /// For so many merchants and parameters.
    pub fn new(arguments: &BenchAggregationArgs) -> Result<Self, CommandError> {
        let BenchAggregationArgs { merchants, parameters: dimension, dropouts, .. } = *arguments;
        let job = Dummy {
            parameters: dimension,
            rounds: 1,
            merchants,
            quorum: 1,
            deadline_ms: 1_000,
            privacy: NO_PRIVACY,
            aggregation: "masked",
        }
        .job()?;
        let parameters = RoundParameters::derive(&job, merchants as u32).context("the attempt")?;
        let no_masks = || {
            RoundParametersError::Secagg(guildhall_shared::secagg::SecaggParametersError::TooFew {
                found: merchants as u32,
            })
        };
        let secagg = parameters.secagg.clone().ok_or_else(no_masks).context("the attempt")?;
        let spare = merchants - secagg.survivors_min as usize;
        if dropouts > spare {
            return Err(CommandError::message(format!(
                "--dropouts: of {merchants} merchants an attempt survives the loss of {spare} at most, found {dropouts}"
            )));
        }
        let identities: Vec<IdentityKey> = (0..merchants as u64)
            .map(|i| IdentityKey::from_secret(&Digest::of("guildhall bench identity", &[&i.to_le_bytes()]).0))
            .collect();
        let roster = roster(&identities)?;
        let facts = Facts {
            sid: Digest::of("guildhall bench session", &[]),
            model: ModelState::initial(&job).hash(&job.model()),
            parameters: parameters.digest(&job.digest(), &roster.digest()),
            roster: Arc::new(roster.decode()),
            secagg,
            ring: if arguments.wide { RingWidth::Bits64 } else { parameters.ring },
            dimension,
        };
        Ok(Federation {
            identities,
            facts: Arc::new(facts),
            clipping: ClippingParameters::new(&job.clipping, dimension).context("the clip")?,
            job,
            // Neither zero nor constant, and larger than the clip.
            contribution: (0..dimension).map(|i| (i % 1_009) as f64 - 504.0).collect(),
        })
    }

    /// The contribution of one shopper, clipped, rounded and summed.
    pub fn quantise(&self) -> Result<ExplicitlyUnprotectedUpdate, CommandError> {
        let mut sum = ShopperSum::new(&self.clipping);
        sum.add(&self.contribution);
        let policy = DangerousPolicy { allow_privacy_none: true };
        let permit = UnprotectedPermit::from_policy(policy).context("the policy")?;
        Ok(sum.finish().0.leave_unprotected(&permit))
    }

    /// Frees the bytes of an update, as a merchant's ledger does; nothing is written.
    pub fn commit(&self, update: SealedUpdate, travel: Travel) -> Result<CommittedUpdate, CommandError> {
        let limit = BudgetLimit { epsilon: 1.0, delta: 1e-6 };
        let mut ledger = Ledger::simulated(limit).context("the ledger")?;
        let reservation = Reservation {
            job: self.job.name.clone(),
            job_digest: self.job.digest(),
            sid: self.facts.sid,
            round: RoundId { round: 0, attempt: 0 },
            unit: self.job.privacy.unit(),
            protection: Protection::None,
            travel,
            survivors_min: self.facts.secagg.survivors_min,
            parameters: self.facts.parameters,
            model: self.facts.model,
            charge: Protection::None.charge(),
            purpose: self.job.purpose.clone(),
            label: self.job.privacy.label(),
            program: None,
        };
        let reserved = ledger.reserve(reservation).context("the reservation")?;
        ledger.commit(reserved, update).context("the commit")
    }

    /// Whether a sum is that of its survivors' vectors, which are all alike.
    pub fn is_sum_of(&self, unmasked: &Unmasked) -> bool {
        self.expected(unmasked.survivors.len()).is_ok_and(|expected| expected == unmasked.sum)
    }

    fn expected(&self, survivors: usize) -> Result<RingVector, CommandError> {
        let plain = self.commit(self.quantise()?.seal(self.facts.ring), Travel::Plain)?;
        let mut one = RingVector::zero(self.facts.ring, self.facts.dimension);
        one.add_bytes(plain.bytes()).context("the vector")?;
        times(&one, survivors)
    }
}

fn roster(identities: &[IdentityKey]) -> Result<Roster, CommandError> {
    let region = Name::new("local").context("the region")?;
    let entry = |(i, identity): (usize, &IdentityKey)| -> Result<RosterEntry, CommandError> {
        Ok(RosterEntry {
            name: Name::new(format!("merchant-{i:04}")).context("a merchant's name")?,
            region: region.clone(),
            identity: identity.public(),
            certificate: Digest::of("guildhall bench certificate", &[&(i as u64).to_le_bytes()]),
        })
    };
    let entries = identities.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
    Ok(Roster { federation: Digest::of("guildhall bench federation", &[]), entries })
}
