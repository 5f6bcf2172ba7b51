//! An honest server core against client cores, with hooks on every message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{
    Advertise, Certificate, Certify, ForwardedShares, RoundRoster, Shares, Survivors, Unmask,
};
use guildhall_shared::secagg::client::Breach;
use guildhall_shared::secagg::server::{
    Advertising, Certifying, Collecting, Culprit, Fault, Sharing, Shortfall, UnmaskError, Unmasked, Unmasking,
};
use guildhall_shared::secagg::transcript;
use guildhall_shared::wire::{self, WireError};

use super::federation::Session;
use super::merchant::{Merchant, Refusal, Upload};

/// A step of the attempt, named after the message that a merchant sends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// M1.
    Advertise,
    /// M3.
    Shares,
    /// M5.
    Update,
    /// M7.
    Certify,
    /// M9.
    Unmask,
}

impl Step {
    /// All, in order.
    pub const ALL: [Step; 5] = [Step::Advertise, Step::Shares, Step::Update, Step::Certify, Step::Unmask];
}

/// What may happen on the way. A merchant that is gone, or whose message is refused, is a dropout from then on.
pub trait Hooks {
    /// Whether a merchant vanishes before it sends the message of a step.
    fn is_gone(&mut self, _step: Step, _merchant: MerchantIndex) -> bool {
        false
    }
    /// M1 on its way to the server.
    fn advertise(&mut self, _from: MerchantIndex, _message: &mut Advertise) {}
    /// M2 on its way to a merchant.
    fn roster(&mut self, _to: MerchantIndex, _message: &mut RoundRoster) {}
    /// M3 on its way to the server.
    fn shares(&mut self, _from: MerchantIndex, _message: &mut Shares) {}
    /// M4 on its way to a merchant.
    fn forwarded(&mut self, _to: MerchantIndex, _message: &mut ForwardedShares) {}
    /// Whom a merchant complains about instead of sending its vector, rightly or not.
    fn complains(&mut self, _from: MerchantIndex) -> Option<MerchantIndex> {
        None
    }
    /// M5 on its way to the server.
    fn upload(&mut self, _from: MerchantIndex, _message: &mut Upload) {}
    /// M6 on its way to a merchant.
    fn survivors(&mut self, _to: MerchantIndex, _message: &mut Survivors) {}
    /// M7 on its way to the server.
    fn certify(&mut self, _from: MerchantIndex, _message: &mut Certify) {}
    /// M8 on its way to a merchant.
    fn certificate(&mut self, _to: MerchantIndex, _message: &mut Certificate) {}
    /// M9 on its way to the server.
    fn unmask(&mut self, _from: MerchantIndex, _message: &mut Unmask) {}
}

/// Nothing happens on the way.
pub struct Undisturbed;

impl Hooks for Undisturbed {}

/// Why there is no sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A stage was closed with too few messages.
    Shortfall(Step, Shortfall),
    /// The masks do not come off.
    Unmask(UnmaskError),
}

/// All that came of an attempt.
#[derive(Debug)]
pub struct Outcome {
    /// The sum, or why there is none.
    pub result: Result<Unmasked, Failure>,
    /// Messages merchants refused.
    pub breaches: BTreeMap<MerchantIndex, Breach>,
    /// Messages the server refused.
    pub faults: BTreeMap<MerchantIndex, Fault>,
    /// Whom the server can prove something.
    pub culprits: BTreeSet<Culprit>,
    /// Who should sit out the next attempt for complaints.
    pub sitting_out: BTreeSet<MerchantIndex>,
    /// M9 that merchants sent.
    pub unmask_messages: usize,
    /// Every message a merchant sent, vectors left out, as canonical bytes.
    pub sent: Vec<Vec<u8>>,
}

/// One attempt from beginning to end.
pub fn run(session: &Session<'_>, hooks: &mut dyn Hooks) -> Outcome {
    let mut run = Run { session, hooks, merchants: BTreeMap::new(), outcome: Outcome::nothing() };
    let result = run.attempt();
    Outcome { result, ..run.outcome }
}

impl Outcome {
    fn nothing() -> Self {
        Outcome {
            result: Err(Failure::Unmask(UnmaskError::Dealer { dealer: String::new() })),
            breaches: BTreeMap::new(),
            faults: BTreeMap::new(),
            culprits: BTreeSet::new(),
            sitting_out: BTreeSet::new(),
            unmask_messages: 0,
            sent: Vec::new(),
        }
    }
}

struct Run<'s, 'a, 'h> {
    session: &'s Session<'a>,
    hooks: &'h mut dyn Hooks,
    merchants: BTreeMap<MerchantIndex, Merchant<'a>>,
    outcome: Outcome,
}

impl Run<'_, '_, '_> {
    fn attempt(&mut self) -> Result<Unmasked, Failure> {
        let short = |step| move |shortfall| Failure::Shortfall(step, shortfall);
        let (sharing, roster) = self.advertise().close().map_err(short(Step::Advertise))?;
        let (collecting, forwarded) = self.share(sharing, &roster).close().map_err(short(Step::Shares))?;
        let (certifying, survivors) =
            self.collect(collecting, &forwarded).close().map_err(short(Step::Update))?;
        let (unmasking, certificate) =
            self.certify(certifying, &survivors).close().map_err(short(Step::Certify))?;
        let mut unmasking = self.unmask(unmasking, &certificate);
        let complete = unmasking.is_complete();
        let result = unmasking.finish();
        self.outcome.culprits = unmasking.culprits().clone();
        assert!(complete || result.is_err(), "a sum though shares are missing");
        result.map_err(Failure::Unmask)
    }

    fn advertise(&mut self) -> Advertising {
        let mut stage = Advertising::new(Arc::clone(self.session.facts()));
        for from in self.session.federation.merchants() {
            if self.hooks.is_gone(Step::Advertise, from) {
                continue;
            }
            let (merchant, mut message) = Merchant::advertise(self.session, from);
            self.merchants.insert(from, merchant);
            self.hooks.advertise(from, &mut message);
            self.settle(from, wire::encode(&message), stage.receive(from, &message));
        }
        stage
    }

    fn share(&mut self, mut stage: Sharing, roster: &RoundRoster) -> Sharing {
        for from in self.present(Step::Shares, stage.members().collect()) {
            let mut message = roster.clone();
            self.hooks.roster(from, &mut message);
            let Some(mut shares) = self.ask(from, |merchant| merchant.share(&message)) else { continue };
            self.hooks.shares(from, &mut shares);
            self.settle(from, wire::encode(&shares), stage.receive(from, shares));
        }
        stage
    }

    fn collect(
        &mut self,
        mut stage: Collecting,
        forwarded: &BTreeMap<MerchantIndex, ForwardedShares>,
    ) -> Collecting {
        for from in self.present(Step::Update, stage.members().collect()) {
            if let Some(about) = self.hooks.complains(from) {
                let identity = self.session.federation.identity(from);
                let complaint = transcript::sign_complaint(self.session.facts().sid, about, identity);
                self.merchants.remove(&from);
                stage.complain(from, &complaint).expect("a complaint of a member about a member");
                continue;
            }
            let mut message = forwarded[&from].clone();
            self.hooks.forwarded(from, &mut message);
            let Some(mut upload) = self.ask(from, |merchant| merchant.upload(&message)) else {
                if let Some(Breach::Share { complaint, .. }) = self.outcome.breaches.get(&from) {
                    stage.complain(from, complaint).expect("a complaint of a member about a member");
                }
                continue;
            };
            self.hooks.upload(from, &mut upload);
            let Upload { header, words } = upload;
            self.settle(from, wire::encode(&header), stage.receive(from, &header, &words));
        }
        self.outcome.sitting_out = stage.sitting_out();
        stage
    }

    fn certify(&mut self, mut stage: Certifying, survivors: &Survivors) -> Certifying {
        for from in self.present(Step::Certify, stage.survivors().collect()) {
            let mut message = survivors.clone();
            self.hooks.survivors(from, &mut message);
            let Some(mut certify) = self.ask(from, |merchant| merchant.certify(&message)) else { continue };
            self.hooks.certify(from, &mut certify);
            self.settle(from, wire::encode(&certify), stage.receive(from, &certify));
        }
        stage
    }

    fn unmask(&mut self, mut stage: Unmasking, certificate: &Certificate) -> Unmasking {
        for from in self.present(Step::Unmask, stage.survivors().collect()) {
            let mut message = certificate.clone();
            self.hooks.certificate(from, &mut message);
            let Some(mut unmask) = self.ask(from, |merchant| merchant.unmask(&message)) else { continue };
            self.outcome.unmask_messages += 1;
            self.hooks.unmask(from, &mut unmask);
            self.settle(from, wire::encode(&unmask), stage.receive(from, &unmask));
        }
        stage
    }

    /// Who of the expected is still there.
    fn present(&mut self, step: Step, expected: Vec<MerchantIndex>) -> Vec<MerchantIndex> {
        for merchant in &expected {
            if self.hooks.is_gone(step, *merchant) {
                self.merchants.remove(merchant);
            }
        }
        expected.into_iter().filter(|merchant| self.merchants.contains_key(merchant)).collect()
    }

    fn ask<T>(
        &mut self,
        of: MerchantIndex,
        question: impl FnOnce(&mut Merchant<'_>) -> Result<T, Refusal>,
    ) -> Option<T> {
        let merchant = self.merchants.get_mut(&of).expect("only those present are asked");
        match question(merchant) {
            Ok(answer) => Some(answer),
            Err(refusal) => {
                self.merchants.remove(&of);
                let Refusal::Breach(breach) = refusal else { panic!("{of} was asked out of turn") };
                self.outcome.breaches.insert(of, breach);
                None
            }
        }
    }

    /// Notes what a merchant sent; if the server refused it, the merchant is out.
    fn settle(&mut self, from: MerchantIndex, sent: Result<Vec<u8>, WireError>, received: Result<(), Fault>) {
        self.outcome.sent.push(sent.expect("messages are small"));
        if let Err(fault) = received {
            self.merchants.remove(&from);
            self.outcome.faults.insert(from, fault);
        }
    }
}
