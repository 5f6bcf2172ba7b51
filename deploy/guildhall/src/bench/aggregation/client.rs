//! One merchant of the benchmark: its core, stage after stage, and what each cost.

use std::time::Duration;

use guildhall_privacy::parameter::Travel;
use guildhall_privacy::update::CommittedUpdate;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::message::{
    Advertise, Certificate, Certify, ForwardedShares, RoundRoster, Shares, Survivors, Unmask, UpdateHeader,
};
use guildhall_shared::secagg::Witness;
use guildhall_shared::secagg::client::{Advertised, Certified, Sharing, Uploaded, advertise};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;

use super::federation::Federation;
use super::timed;
use crate::error::{CommandError, Context as _};

/// Processor time of one merchant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Clipping and rounding.
    pub quantise: Duration,
    /// M1 to M4.
    pub keys_and_shares: Duration,
    /// M5.
    pub mask: Duration,
    /// M6 to M9.
    pub certificates: Duration,
}

impl Spent {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.quantise + self.keys_and_shares + self.mask + self.certificates
    }
}

/// Where it stands. Each stage is taken out and replaced by the next.
enum Stage {
    Idle,
    Advertised(Box<Advertised>),
    Sharing(Box<Sharing>),
    Uploaded(Box<Uploaded>),
    Certified(Box<Certified>),
}

/// One merchant.
pub struct Client {
    /// Its place in the roster.
    pub merchant: MerchantIndex,
    /// What it cost so far.
    pub spent: Spent,
    /// Bytes of its M3.
    pub shares_bytes: usize,
    stage: Stage,
}

/// The stages are taken in order by this benchmark alone.
fn out_of_order<T>() -> Result<T, CommandError> {
    Err(CommandError::message("a merchant of the benchmark was asked out of order"))
}

impl Client {
    /// Before its first message.
    pub fn new(merchant: MerchantIndex) -> Self {
        Client { merchant, spent: Spent::default(), shares_bytes: 0, stage: Stage::Idle }
    }

    fn identity<'a>(&self, federation: &'a Federation) -> &'a IdentityKey {
        &federation.identities[usize::from(self.merchant.0)]
    }

    /// M1.
    pub fn advertise(&mut self, federation: &Federation) -> Advertise {
        let (merchant, identity) = (self.merchant, self.identity(federation));
        let entropy = Digest::of("guildhall bench seed", &[&merchant.0.to_le_bytes()]);
        let (state, message) = timed(&mut self.spent.keys_and_shares, || {
            advertise(federation.facts.clone(), merchant, SessionSeed::from_entropy(entropy.0), identity)
        });
        self.stage = Stage::Advertised(Box::new(state));
        message
    }

    /// M2 in, M3 out.
    pub fn share(&mut self, federation: &Federation, roster: &RoundRoster) -> Result<Shares, CommandError> {
        let Stage::Advertised(state) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return out_of_order();
        };
        let identity = self.identity(federation);
        let (state, message) =
            timed(&mut self.spent.keys_and_shares, || state.share(roster, &Witness::default(), identity))
                .context("M2")?;
        self.stage = Stage::Sharing(Box::new(state));
        self.shares_bytes = wire::encode(&message).context("M3")?.len();
        Ok(message)
    }

    /// M4 in, M5 out.
    pub fn mask(
        &mut self,
        federation: &Federation,
        forwarded: &ForwardedShares,
    ) -> Result<(UpdateHeader, CommittedUpdate), CommandError> {
        let Stage::Sharing(state) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return out_of_order();
        };
        let identity = self.identity(federation);
        let (masks, state) = timed(&mut self.spent.keys_and_shares, || {
            state.receive(forwarded, identity).and_then(|state| state.masks())
        })
        .context("M4")?;
        let update = timed(&mut self.spent.quantise, || federation.quantise())?;
        let sealed = timed(&mut self.spent.mask, || update.mask(masks, federation.facts.ring));
        let travel = Travel::Masked { colluders: federation.facts.secagg.colluders };
        let committed = federation.commit(sealed, travel)?;
        let (state, header) =
            timed(&mut self.spent.mask, || state.sign(committed.hash(), TreeHead::EMPTY, identity));
        self.stage = Stage::Uploaded(Box::new(state));
        Ok((header, committed))
    }

    /// M6 in, M7 out.
    pub fn certify(
        &mut self,
        federation: &Federation,
        survivors: &Survivors,
    ) -> Result<Certify, CommandError> {
        let Stage::Uploaded(state) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return out_of_order();
        };
        let identity = self.identity(federation);
        let (state, message) =
            timed(&mut self.spent.certificates, || state.certify(survivors, &Witness::default(), identity))
                .context("M6")?;
        self.stage = Stage::Certified(Box::new(state));
        Ok(message)
    }

    /// M8 in, M9 out.
    pub fn unmask(
        &mut self,
        federation: &Federation,
        certificate: &Certificate,
    ) -> Result<Unmask, CommandError> {
        let Stage::Certified(state) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return out_of_order();
        };
        let identity = self.identity(federation);
        let unmask = timed(&mut self.spent.certificates, || state.unmask(certificate, identity));
        Ok(unmask.context("M8")?.0)
    }
}
