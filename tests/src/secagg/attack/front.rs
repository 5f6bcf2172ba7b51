//! One session as the adversary drives it.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::{Signature, Verifier};
use guildhall_shared::message::{
    Certificate, ForwardedShares, MemberKeys, RoundRoster, SurvivingUpdate, Survivors,
};
use guildhall_shared::secagg::SecaggParameters;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::secagg::transcript::{self, Transcript};

use super::certificate::CertificateMove;
use super::roster::RosterMove;
use super::shares::SharesMove;
use super::survivors::SurvivorsMove;
use super::{Crafted, Move, Smallest, Style, Tally, check_refusal};
use crate::secagg::colluders::{Colluders, View};
use crate::secagg::draws::Draws;
use crate::secagg::federation::Session;
use crate::secagg::knowledge::{Judgement, Knowledge, Seen, Signed};
use crate::secagg::merchant::{Merchant, Refusal};

/// A session, everything the adversary knows of it, and the honest merchants in it.
pub struct Front<'a> {
    case: u64,
    /// The session.
    pub session: &'a Session<'a>,
    /// Who is on the adversary's side.
    pub colluders: Colluders<'a>,
    /// What it saw.
    pub knowledge: Knowledge<'a>,
    /// What it did.
    pub tally: Tally,
    /// M1 of honest merchants.
    pub keys: BTreeMap<MerchantIndex, MemberKeys>,
    /// M7 of honest merchants.
    pub certify_signatures: BTreeMap<MerchantIndex, Signature>,
    merchants: BTreeMap<MerchantIndex, Merchant<'a>>,
    /// Whose session ended with a refusal, or who was left without a message.
    gone: BTreeSet<MerchantIndex>,
    style: Style,
    sets: Vec<BTreeSet<MerchantIndex>>,
}

impl<'a> Front<'a> {
    /// M2, M4, M6 and M8.
    pub const STEPS: usize = 4;

    /// Everybody honest advertised.
    pub fn open(case: u64, session: &'a Session<'a>, style: &Style) -> Self {
        let colluders = Colluders::new(session, style.colluders.clone());
        let (mut merchants, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for own in session.federation.merchants().filter(|own| !style.colluders.contains(own)) {
            let (merchant, message) = Merchant::advertise(session, own);
            merchants.insert(own, merchant);
            let (encryption_key, mask_key) = (message.encryption_key, message.mask_key);
            let entry = MemberKeys { merchant: own, encryption_key, mask_key, signature: message.signature };
            keys.insert(own, entry);
        }
        Front {
            case,
            session,
            colluders,
            knowledge: Knowledge::new(session),
            tally: Tally::default(),
            keys,
            certify_signatures: BTreeMap::new(),
            merchants,
            gone: BTreeSet::new(),
            style: style.clone(),
            sets: Vec::new(),
        }
    }

    /// n, C, t, m_min.
    pub fn secagg(&self) -> &SecaggParameters {
        &self.session.facts().secagg
    }

    /// The session.
    pub fn sid(&self) -> Digest {
        self.session.facts().sid
    }

    /// What an honest merchant was told and said.
    pub fn seen(&self, merchant: MerchantIndex) -> Option<&Seen> {
        self.knowledge.seen.get(&merchant)
    }

    /// U1 as a merchant sees it.
    pub fn view(&self, merchant: MerchantIndex) -> Option<&View> {
        self.seen(merchant)?.view.as_ref()
    }

    /// A merchant's transcript, once it uploaded.
    pub fn transcript(&self, merchant: MerchantIndex) -> Option<Transcript> {
        let seen = self.seen(merchant)?;
        seen.upload.as_ref()?;
        seen.transcript(&self.sid())
    }

    /// The signed update of an honest merchant that uploaded.
    pub fn update(&self, merchant: MerchantIndex) -> Option<SurvivingUpdate> {
        let header = &self.seen(merchant)?.upload.as_ref()?.header;
        Some(SurvivingUpdate { merchant, hash: header.hash, head: header.head, signature: header.signature })
    }

    /// Everybody of a list on the adversary's side.
    pub fn colluding(&self, of: impl IntoIterator<Item = MerchantIndex>) -> Vec<MerchantIndex> {
        of.into_iter().filter(|merchant| self.colluders.has(*merchant)).collect()
    }

    /// The members of the shown sets that a merchant can be told of, itself included, filled up to m_min; nothing where
    /// there are too few. Deterministic in the set, so that merchants shown the same set are told the same.
    pub fn fit(
        &self,
        draws: &mut Draws,
        own: MerchantIndex,
        possible: &BTreeSet<MerchantIndex>,
    ) -> Option<BTreeSet<MerchantIndex>> {
        let least = self.secagg().survivors_min as usize;
        let with_own: Vec<&BTreeSet<_>> = self.sets.iter().filter(|set| set.contains(&own)).collect();
        let set = if with_own.is_empty() { draws.pick(&self.sets) } else { *draws.pick(&with_own) };
        let mut fitting: BTreeSet<MerchantIndex> = set.intersection(possible).copied().collect();
        fitting.insert(own);
        for filler in possible {
            if fitting.len() >= least {
                break;
            }
            fitting.insert(*filler);
        }
        (fitting.len() >= least).then_some(fitting)
    }

    fn draw_sets(&self, draws: &mut Draws, of: usize) -> Vec<BTreeSet<MerchantIndex>> {
        let (n, least) = (self.secagg().merchants as usize, self.secagg().survivors_min as usize);
        let everybody: Vec<MerchantIndex> = self.session.federation.merchants().collect();
        let size = |draws: &mut Draws| match self.style.smallest_sets {
            Smallest::AtTheLimit => least,
            Smallest::Any => draws.between(least, n),
        };
        let mut set = || {
            let size = size(draws);
            draws.subset(everybody.iter().copied(), size)
        };
        (0..of).map(|_| set()).collect()
    }

    /// One message to every honest merchant that is still there.
    pub fn step(&mut self, draws: &mut Draws, step: usize, other: Option<&Front<'_>>) {
        let count = self.style.sets.get(step).copied().unwrap_or(1);
        let sets = self.draw_sets(draws, count);
        self.step_with(draws, step, sets, other);
    }

    /// The same, with chosen sets to show.
    pub fn step_with(
        &mut self,
        draws: &mut Draws,
        step: usize,
        sets: Vec<BTreeSet<MerchantIndex>>,
        other: Option<&Front<'_>>,
    ) {
        self.sets = sets;
        let withheld_percent = self.style.withheld_percent[step];
        let here: Vec<MerchantIndex> = self.merchants.keys().copied().collect();
        for to in here {
            if self.gone.contains(&to) {
                continue;
            }
            if draws.percent(withheld_percent) {
                self.gone.insert(to);
                continue;
            }
            match step {
                0 => self.send_roster(draws, to, other),
                1 => self.send_shares(draws, to, other),
                2 => self.send_survivors(draws, to, other),
                _ => self.send_certificate(draws, to, other),
            }
        }
    }

    /// Asks everything again, and works out what the adversary got.
    pub fn finish(&mut self, draws: &mut Draws) -> (Tally, Judgement) {
        self.ask_again(draws);
        let judgement = self.knowledge.judge(&self.colluders);
        self.tally.sessions = 1;
        self.tally.vectors = judgement.vectors as u64;
        self.tally.certificates = judgement.certified.len() as u64;
        self.tally.sums = judgement.sums.len() as u64;
        (self.tally.clone(), judgement)
    }

    /// The forbidden moves to try at this message, best first, and then none.
    fn moves<M: Copy>(&self, draws: &mut Draws, all: &[M], wrap: impl Fn(M) -> Move) -> Vec<Option<M>> {
        let forced = all.iter().copied().find(|one| self.style.forced == Some(wrap(*one)));
        let forced = forced.filter(|one| !self.tally.moves.contains_key(&wrap(*one)));
        let drawn = draws.percent(self.style.forbidden_percent).then(|| *draws.pick(all));
        [forced.or(drawn), None].into_iter().filter(|one| one.is_some()).chain([None]).collect()
    }

    fn send_roster(&mut self, draws: &mut Draws, to: MerchantIndex, other: Option<&Front<'_>>) {
        for one in self.moves(draws, RosterMove::ALL, Move::Roster) {
            let Some(Crafted { message, expected }) = super::roster::craft(self, draws, to, one, other)
            else {
                continue;
            };
            let answer = self.ask(to, |merchant| merchant.share(&message));
            let Some(shares) = self.settle(to, one.map(Move::Roster), expected, answer) else { return };
            let RoundRoster { sid, members } = message;
            let seen = self.knowledge.seen.entry(to).or_default();
            seen.view = Some(View::new(&sid, members));
            seen.shares = Some(shares);
            return;
        }
        self.gone.insert(to);
    }

    fn send_shares(&mut self, draws: &mut Draws, to: MerchantIndex, other: Option<&Front<'_>>) {
        for one in self.moves(draws, SharesMove::ALL, Move::Shares) {
            let Some(Crafted { message, expected }) = super::shares::craft(self, draws, to, one, other)
            else {
                continue;
            };
            let answer = self.ask(to, |merchant| merchant.upload(&message));
            let Some(upload) = self.settle(to, one.map(Move::Shares), expected, answer) else { return };
            let ForwardedShares { members, shares, .. } = message;
            let seen = self.knowledge.seen.entry(to).or_default();
            seen.members = members;
            seen.dealers = shares.iter().map(|share| share.peer).collect();
            seen.upload = Some(upload);
            return;
        }
        self.gone.insert(to);
    }

    fn send_survivors(&mut self, draws: &mut Draws, to: MerchantIndex, other: Option<&Front<'_>>) {
        for one in self.moves(draws, SurvivorsMove::ALL, Move::Survivors) {
            let Some(Crafted { message, expected }) = super::survivors::craft(self, draws, to, one, other)
            else {
                continue;
            };
            let answer = self.ask(to, |merchant| merchant.certify(&message));
            let Some(certify) = self.settle(to, one.map(Move::Survivors), expected, answer) else { return };
            let signed = self.signed(to, &message);
            let key = Verifier::new(self.session.federation.identity(to).public());
            let checked = transcript::verify_survivors(&self.sid(), &signed.digest, &key, &certify.signature);
            assert_eq!(checked, Ok(()), "case {}: {to} signed something else", self.case);
            self.knowledge.seen.entry(to).or_default().signed = Some(signed);
            self.certify_signatures.insert(to, certify.signature);
            return;
        }
        self.gone.insert(to);
    }

    fn signed(&self, by: MerchantIndex, message: &Survivors) -> Signed {
        let transcript = self.transcript(by).expect("who certifies has uploaded");
        let list: Vec<SignedUpdate> = message.updates.iter().map(SurvivingUpdate::statement).collect();
        let digest = transcript::survivors_digest(&transcript, &list);
        Signed { survivors: list.into_iter().map(|update| update.merchant).collect(), digest }
    }

    fn send_certificate(&mut self, draws: &mut Draws, to: MerchantIndex, other: Option<&Front<'_>>) {
        for one in self.moves(draws, CertificateMove::ALL, Move::Certificate) {
            let crafted = super::certificate::craft(self, draws, to, one, other);
            let Some(Crafted { message, expected }) = crafted else { continue };
            let answer = self.ask(to, |merchant| merchant.unmask(&message));
            let Some(unmask) = self.settle(to, one.map(Move::Certificate), expected, answer) else { return };
            let kinds: Vec<MerchantIndex> =
                unmask.seeds.iter().chain(&unmask.mask_keys).map(|share| share.dealer).collect();
            let distinct: BTreeSet<MerchantIndex> = kinds.iter().copied().collect();
            assert_eq!(kinds.len(), distinct.len(), "case {}: {to} reveals both of one dealer", self.case);
            self.tally.unmask_messages += 1;
            self.knowledge.seen.entry(to).or_default().unmask = Some(unmask);
            return;
        }
        self.gone.insert(to);
    }

    fn ask<T>(
        &mut self,
        of: MerchantIndex,
        question: impl FnOnce(&mut Merchant<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        question(self.merchants.get_mut(&of).expect("honest merchants alone are asked"))
    }

    /// Holds an answer against what it must be.
    fn settle<T>(
        &mut self,
        of: MerchantIndex,
        made: Option<Move>,
        expected: Option<super::Reason>,
        answer: Result<T, Refusal>,
    ) -> Option<T> {
        let at = format!("case {} {made:?}", self.case);
        made.into_iter().for_each(|one| *self.tally.moves.entry(one).or_default() += 1);
        match answer {
            Ok(answer) => {
                assert_eq!(expected, None, "{at}: {of} answers what it must refuse");
                Some(answer)
            }
            Err(refusal) => {
                let reason = check_refusal(&at, self.session, of, expected, &refusal);
                *self.tally.reasons.entry(reason).or_default() += 1;
                self.gone.insert(of);
                None
            }
        }
    }

    /// Every request again, to somebody: whoever answered or refused has nothing left to answer with.
    fn ask_again(&mut self, draws: &mut Draws) {
        let finished: Vec<MerchantIndex> = self
            .merchants
            .keys()
            .copied()
            .filter(|own| self.seen(*own).is_some_and(|seen| seen.unmask.is_some()))
            .collect();
        let Some(of) = draws.pick_any(&finished) else { return };
        let sid = self.sid();
        let view = self.view(of).expect("who finished had a view").members.clone();
        let merchant = self.merchants.get_mut(&of).expect("honest merchants alone are asked");
        let nothing = [
            merchant.share(&RoundRoster { sid, members: view }).err(),
            merchant.upload(&ForwardedShares { sid, members: Vec::new(), shares: Vec::new() }).err(),
            merchant.certify(&Survivors { sid, updates: Vec::new() }).err(),
            merchant.unmask(&Certificate { sid, signatures: Vec::new() }).err(),
        ];
        assert_eq!(nothing, [const { Some(Refusal::NoStage) }; 4], "case {}: {of} answers twice", self.case);
        self.tally.second_requests += 1;
    }
}
