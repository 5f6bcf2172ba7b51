//! One masked or plain attempt after the other, as the server with its colluders sees it at best.
//!
//! Every honest merchant goes the client's own way: contribution, noise, masks and seal in
//! [`seal`], reservation and commit in its ledger. The survivors are as few as
//! the protocol allows, C of them collude and add nothing, and the auditor knows all rows. The masks are not agreed by
//! messages: each member adds one of its own and takes off its neighbour's.

use std::sync::Arc;

use guildhall_client::driver::contribution::{ContributionError, Contributor, seal};
use guildhall_client::participant::TrainOrder;
use guildhall_privacy::audit::Claim;
use guildhall_privacy::noise::NoiseSource;
use guildhall_privacy::parameter::{ClippingParameters, Protection};
use guildhall_privacy::update::{ClippedSum, DangerousPolicy, SealedUpdate};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::{Aggregation, JobSpec};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::{RingVector, Sign};
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::agreement::self_mask;
use guildhall_shared::secagg::mask::MaskSet;

use super::books::{Books, Terms};
use super::program::{Program, Silent};
use crate::error::{CommandError, Context as _};

/// Most merchants: up to here everybody deals shares to everybody, and h is not diminished.
pub const MERCHANTS_MAX: u32 = 128;

/// Which noise a release carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// The program's.
    OfProgram,
    /// None: for reading what is summed.
    Silent,
}

/// The fewest members whose sum can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// Those who keep to the protocol; the first one is audited.
    pub honest: u32,
    /// Those who stand with the server.
    pub colluders: u32,
}

impl Members {
    /// The worst that the protocol allows: m_min survivors, C colluders among them. Computed here once more, apart from
    /// the code that is audited, from section 6.1 of `docs/protocol.md`.
    pub fn fewest(job: &JobSpec, merchants: u32) -> Self {
        if job.round.aggregation == Aggregation::Plain {
            return Members { honest: 1, colluders: 0 };
        }
        let n = merchants;
        let colluders = ((n - 1) / 3).max(1).max(job.round.colluders_min);
        let threshold = (n + colluders) / 2 + 1;
        let survivors = if n == 3 { 3 } else { threshold.max(n - (n / 5).max(1)) };
        Members { honest: survivors.saturating_sub(colluders), colluders }
    }
}

/// What one attempt gave.
pub struct Release {
    /// What the server reads.
    pub sum: Vec<i64>,
    /// Every honest merchant's own update, for who knows its masks.
    pub shares: Vec<Vec<i64>>,
}

/// Everything that is the same in all attempts.
pub struct Stage<'p> {
    program: &'p dyn Program,
    job: Arc<JobSpec>,
    digest: Digest,
    parameters: RoundParameters,
    protection: Protection,
    members: Members,
}

/// A merchant whose shoppers the auditor has left out: they would cancel.
struct Nobody;

impl Contributor for Nobody {
    fn clipped_sum(
        &self,
        _: &[f64],
        clipping: &ClippingParameters,
        _: RoundId,
    ) -> Result<ClippedSum, ContributionError> {
        Ok(ClippedSum::zero(clipping))
    }
}

impl<'p> Stage<'p> {
    /// A federation of `merchants` that runs this program.
    pub fn new(program: &'p dyn Program, job: &Arc<JobSpec>, merchants: u32) -> Result<Self, CommandError> {
        if !(1..=MERCHANTS_MAX).contains(&merchants) {
            return Err(CommandError::message(format!(
                "--merchants: expected 1 to {MERCHANTS_MAX}, found {merchants}"
            )));
        }
        // What the job itself cannot have is refused before anything of the program is believed.
        RoundParameters::derive(job, merchants).context("the rounds of the job")?;
        let parameters = program.parameters(job, merchants)?;
        ClippingParameters::of_round(job, &ModelState::initial(job)).context("the clip")?;
        Ok(Stage {
            program,
            job: Arc::clone(job),
            digest: job.digest(),
            protection: Protection::of(&parameters, &job.privacy),
            members: Members::fewest(job, merchants),
            parameters,
        })
    }

    /// The job.
    pub fn job(&self) -> &Arc<JobSpec> {
        &self.job
    }

    /// Who is left.
    pub fn members(&self) -> Members {
        self.members
    }

    /// What the program claims for so many releases.
    pub fn claim(&self, releases: u32) -> Result<Claim, CommandError> {
        let RoundParameters { merchants, parameters, .. } = self.parameters;
        let colluders = self.parameters.secagg.as_ref().map_or(0, |secagg| secagg.colluders);
        Claim::new(&self.protection, releases, merchants, colluders, parameters).ok_or_else(|| {
            CommandError::message(
                "the job declares privacy = \"none\": it claims nothing that could be audited",
            )
        })
    }

    /// Ledgers for a series of attempts.
    pub fn books(&self) -> Result<Books, CommandError> {
        Books::new(self.members.honest)
    }

    /// One attempt. The first merchant contributes from `audited`, the other honest ones add their noise to nothing.
    pub fn release(
        &self,
        books: &mut Books,
        audited: &dyn Contributor,
        round: RoundId,
        state: &Arc<ModelState>,
        noise: Noise,
    ) -> Result<Release, CommandError> {
        let sid = Digest::of(
            "guildhall audit session",
            &[&self.digest.0, &round.round.to_le_bytes(), &round.attempt.to_le_bytes()],
        );
        let mut sum = self.no_words();
        let mut shares = Vec::with_capacity(self.members.honest as usize);
        for index in 0..self.members.honest as u16 {
            let merchant = MerchantIndex(index);
            let contributor: &dyn Contributor = if index == 0 { audited } else { &Nobody };
            let sealed = self.update(contributor, merchant, round, sid, state, noise)?;
            let words = books.commit(merchant, &self.terms(), sid, round, sealed)?;
            sum.add_bytes(&words).context("the sum")?;
            shares.push(self.unmasked(&words, sid, merchant)?);
        }
        for index in 0..self.members.colluders as u16 {
            let mut words = self.no_words();
            let masks = self.masks(sid, MerchantIndex(self.members.honest as u16 + index), Sign::Add);
            if let Some(masks) = masks {
                masks.apply(&mut words);
            }
            sum.add_bytes(&words.into_bytes()).context("the sum")?;
        }
        Ok(Release { sum: sum.centred(), shares })
    }

    /// What one merchant seals.
    fn update(
        &self,
        contributor: &dyn Contributor,
        merchant: MerchantIndex,
        round: RoundId,
        sid: Digest,
        state: &Arc<ModelState>,
        noise: Noise,
    ) -> Result<SealedUpdate, CommandError> {
        let mut source: Box<dyn NoiseSource> = match noise {
            Noise::OfProgram => self.program.open_noise(merchant, round),
            Noise::Silent => Box::new(Silent),
        };
        let order = TrainOrder {
            sid,
            job: self.digest,
            round,
            state: Arc::clone(state),
            parameters: self.parameters.clone(),
            masks: self.masks(sid, merchant, Sign::Add),
        };
        seal(contributor, &mut *source, DangerousPolicy::default(), &self.job, order).context("the update")
    }

    fn terms(&self) -> Terms<'_> {
        let Stage { parameters, digest, protection, .. } = self;
        Terms { job: &self.job, digest: *digest, parameters, protection: *protection }
    }

    /// The masks of a member, as it adds them or as they are taken off again; none in plain mode.
    fn masks(&self, sid: Digest, member: MerchantIndex, sign: Sign) -> Option<MaskSet> {
        let generator: MaskGenerator = self.parameters.secagg.as_ref()?.generator;
        let members = self.members.honest + self.members.colluders;
        let next = MerchantIndex((member.0 + 1) % members as u16);
        let mut masks = MaskSet::new(sid, generator);
        for (whose, sign) in [(member, sign), (next, sign.opposite())] {
            masks.push(self_mask(&sid.0, &sid, whose), sign);
        }
        Some(masks)
    }

    fn unmasked(&self, words: &[u8], sid: Digest, merchant: MerchantIndex) -> Result<Vec<i64>, CommandError> {
        let mut share = self.no_words();
        share.add_bytes(words).context("the update")?;
        if let Some(masks) = self.masks(sid, merchant, Sign::Subtract) {
            masks.apply(&mut share);
        }
        Ok(share.centred())
    }

    fn no_words(&self) -> RingVector {
        RingVector::zero(self.parameters.ring, self.parameters.parameters as usize)
    }
}
