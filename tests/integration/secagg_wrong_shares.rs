//! Merchants that deal, reveal or claim what is wrong: the sum is right, or there is none and the culprit is named. Nobody
//! honest is ever blamed alone, and no sum is ever silently wrong.
//!
//! `GUILDHALL_FULL_COUNTS=1` runs all cases, `GUILDHALL_CASE=N` one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::SurvivingUpdate;
use guildhall_shared::message::{ForwardedShares, RevealedShare, RoundRoster, Shares, Survivors, Unmask};
use guildhall_shared::secagg::client::Breach;
use guildhall_shared::secagg::server::{Advertising, Collecting, Misdeed, UnmaskError};
use guildhall_shared::secagg::transcript::{self, Transcript};
use guildhall_tests::secagg::attempt::{Failure, Hooks, Outcome, Step, Undisturbed, run};
use guildhall_tests::secagg::colluders::{Colluders, Dealing, View};
use guildhall_tests::secagg::draws::Draws;
use guildhall_tests::secagg::federation::{Federation, Session, Shape};
use guildhall_tests::secagg::merchant::{Merchant, Upload};
use guildhall_tests::secagg::{cases, count, single};

/// What a cheat does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cheat {
    /// Deals some holders what does not open.
    Unreadable,
    /// Deals some holders what is not what it published the hashes of.
    OtherHashes,
    /// Signs some holders' shares with nothing.
    Unsigned,
    /// Deals some holders shares off its polynomial, with right hashes.
    OffPolynomial,
    /// Commits itself to another seed.
    OtherCommitment,
    /// Publishes another hash of the share it keeps.
    OtherOwnHash,
    /// Reveals other shares than it was dealt.
    WrongShares,
    /// Reveals fewer shares than it was dealt.
    TooFewShares,
    /// Reveals one dealer's share as another's.
    SwappedShares,
    /// Complains about an honest dealer.
    FalseComplaint,
    /// Spoils its own message after it signed it.
    Garbled,
}

impl Cheat {
    const ALL: [Cheat; 11] = [
        Cheat::Unreadable,
        Cheat::OtherHashes,
        Cheat::Unsigned,
        Cheat::OffPolynomial,
        Cheat::OtherCommitment,
        Cheat::OtherOwnHash,
        Cheat::WrongShares,
        Cheat::TooFewShares,
        Cheat::SwappedShares,
        Cheat::FalseComplaint,
        Cheat::Garbled,
    ];
}

/// Cheating merchants, and what honest ones saw.
struct Cheats<'a> {
    session: &'a Session<'a>,
    draws: Draws,
    cheats: BTreeMap<MerchantIndex, Cheat>,
    colluders: Colluders<'a>,
    view: Option<View>,
    members: Vec<MerchantIndex>,
    survivors: Option<Digest>,
    /// Who accused whom falsely.
    accused: BTreeMap<MerchantIndex, MerchantIndex>,
}

impl<'a> Cheats<'a> {
    fn new(session: &'a Session<'a>, draws: Draws, cheats: BTreeMap<MerchantIndex, Cheat>) -> Self {
        let colluders = Colluders::new(session, cheats.keys().copied().collect());
        let (view, members, survivors, accused) = (None, Vec::new(), None, BTreeMap::new());
        Cheats { session, draws, cheats, colluders, view, members, survivors, accused }
    }

    fn sid(&self) -> Digest {
        self.session.facts().sid
    }

    fn view(&self) -> &View {
        self.view.as_ref().expect("everybody saw a roster")
    }

    /// Deals some holders anew.
    fn deal(&mut self, from: MerchantIndex, message: &mut Shares, dealing: Dealing) {
        let some = self.draws.between(1, message.shares.len());
        for place in self.draws.subset(0..message.shares.len(), some) {
            let holder = message.shares[place].peer;
            let mut share = self.colluders.deal(from, self.view(), holder, dealing).expect("a member");
            share.peer = holder;
            message.shares[place] = share;
        }
    }

    fn sign_shares(&self, from: MerchantIndex, message: &mut Shares) {
        let Shares { commitment, own, shares, .. } = message.clone();
        let identity = self.session.federation.identity(from);
        *message =
            transcript::sign_shares(&self.sid(), &self.view().roster, commitment, own, shares, identity);
    }

    fn sign_unmask(&self, from: MerchantIndex, message: &mut Unmask) {
        let Unmask { seeds, mask_keys, .. } = &message;
        let digest = self.survivors.expect("everybody saw survivors");
        let identity = self.session.federation.identity(from);
        message.signature = transcript::sign_unmask(&self.sid(), &digest, seeds, mask_keys, identity);
    }
}

impl Hooks for Cheats<'_> {
    fn roster(&mut self, _to: MerchantIndex, message: &mut RoundRoster) {
        self.view = Some(View::new(&message.sid, message.members.clone()));
    }

    fn shares(&mut self, from: MerchantIndex, message: &mut Shares) {
        match self.cheats.get(&from) {
            Some(Cheat::Unreadable) => self.deal(from, message, Dealing::WrongCiphertext),
            Some(Cheat::OtherHashes) => self.deal(from, message, Dealing::WrongHashes),
            Some(Cheat::OffPolynomial) => self.deal(from, message, Dealing::Good),
            Some(Cheat::Unsigned) => {
                let place = self.draws.below(message.shares.len());
                message.shares[place].signature.0[0][1] ^= 1;
            }
            Some(Cheat::OtherCommitment) => message.commitment.0[5] ^= 1,
            Some(Cheat::OtherOwnHash) => message.own.iter_mut().for_each(|own| own.seed.0[0] ^= 1),
            Some(Cheat::Garbled) => {
                message.signature.0[1][0] ^= 1;
                return;
            }
            _ => return,
        }
        self.sign_shares(from, message);
    }

    fn forwarded(&mut self, _to: MerchantIndex, message: &mut ForwardedShares) {
        self.members = message.members.clone();
    }

    fn complains(&mut self, from: MerchantIndex) -> Option<MerchantIndex> {
        if self.cheats.get(&from) != Some(&Cheat::FalseComplaint) {
            return None;
        }
        let view = self.view().members.iter().map(|member| member.merchant);
        let honest: Vec<MerchantIndex> =
            view.filter(|merchant| !self.cheats.contains_key(merchant)).collect();
        let about = *self.draws.pick(&honest);
        self.accused.insert(from, about);
        Some(about)
    }

    fn survivors(&mut self, _to: MerchantIndex, message: &mut Survivors) {
        let members = transcript::members_digest(&message.sid, &self.members);
        let transcript = Transcript { sid: message.sid, roster: self.view().roster, members };
        let list: Vec<_> = message.updates.iter().map(SurvivingUpdate::statement).collect();
        self.survivors = Some(transcript::survivors_digest(&transcript, &list));
    }

    fn unmask(&mut self, from: MerchantIndex, message: &mut Unmask) {
        let spoil = |share: &mut RevealedShare, bit: u8| share.value[usize::from(bit) % 32] ^= 1 << (bit % 8);
        match self.cheats.get(&from) {
            Some(Cheat::WrongShares) => {
                let all = message.seeds.len() + message.mask_keys.len();
                let some = self.draws.between(1, all);
                let wrong = self.draws.subset(0..all, some);
                let bit = self.draws.below(256) as u8;
                let shares = message.seeds.iter_mut().chain(&mut message.mask_keys).enumerate();
                shares.filter(|(place, _)| wrong.contains(place)).for_each(|(_, share)| spoil(share, bit));
            }
            Some(Cheat::TooFewShares) => {
                message.seeds.pop();
            }
            // A responder may hold a single seed, in the sparse graph: that one is spoilt instead.
            Some(Cheat::SwappedShares) => match message.seeds.as_mut_slice() {
                [first, second, ..] => std::mem::swap(&mut first.value, &mut second.value),
                [only] => spoil(only, 0),
                [] => return,
            },
            _ => return,
        }
        self.sign_unmask(from, message);
    }
}

fn assert_right_or_named(at: &str, federation: &Federation, outcome: &Outcome, cheats: &Cheats<'_>) {
    let cheat = |merchant: &MerchantIndex| cheats.cheats.contains_key(merchant);
    match &outcome.result {
        Ok(unmasked) => {
            let plain = federation.plain_sum(unmasked.survivors.iter().copied());
            assert_eq!(unmasked.sum.centred(), plain, "{at}: a wrong sum");
        }
        Err(Failure::Unmask(UnmaskError::Dealer { .. })) => {
            let bad = outcome.culprits.iter().find(|culprit| culprit.misdeed == Misdeed::BadDealing);
            assert!(bad.is_some_and(|culprit| cheat(&culprit.merchant)), "{at}");
        }
        Err(Failure::Unmask(UnmaskError::Finished)) => panic!("{at}: finished twice"),
        Err(Failure::Unmask(UnmaskError::TooFewShares { .. })) => {
            assert!(!outcome.culprits.is_empty() || !outcome.faults.is_empty(), "{at}");
        }
        Err(Failure::Shortfall(..)) => {
            let left = outcome.faults.len() + outcome.breaches.len() + cheats.accused.len();
            assert!(left > 0, "{at}");
        }
    }
    assert!(outcome.culprits.iter().all(|culprit| cheat(&culprit.merchant)), "{at}: blames the honest");
    assert!(outcome.faults.keys().all(cheat), "{at}: refuses the honest");
    assert_complaints(at, federation, outcome, cheats);
}

/// Honest merchants complain about cheats alone; whoever sits out without its accuser or its accused is a cheat.
fn assert_complaints(at: &str, federation: &Federation, outcome: &Outcome, cheats: &Cheats<'_>) {
    let secagg = &cheats.session.facts().secagg;
    let mut pairs: BTreeSet<(MerchantIndex, MerchantIndex)> =
        cheats.accused.iter().map(|(by, about)| (*by, *about)).collect();
    for (by, breach) in &outcome.breaches {
        let Breach::Share { complaint, .. } = breach else { panic!("{at}: {by} says {breach}") };
        assert!(cheats.cheats.contains_key(&complaint.about), "{at}: honest {by} blames an honest dealer");
        pairs.insert((*by, complaint.about));
    }
    let accusers = |about: MerchantIndex| pairs.iter().filter(|(_, of)| *of == about).count();
    for honest in federation.merchants().filter(|merchant| !cheats.cheats.contains_key(merchant)) {
        assert!(accusers(honest) <= secagg.colluders as usize, "{at}");
        if outcome.sitting_out.contains(&honest) {
            let other = |(by, about): &(MerchantIndex, MerchantIndex)| match honest {
                _ if *by == honest => Some(*about),
                _ if *about == honest => Some(*by),
                _ => None,
            };
            let with = pairs.iter().filter_map(other).any(|other| outcome.sitting_out.contains(&other));
            assert!(with, "{at}: {honest} sits out alone");
        }
    }
    for (_, about) in &pairs {
        assert!(outcome.sitting_out.contains(about), "{at}: an accusation without consequence");
    }
}

#[test]
fn wrong_shares_and_claims_of_up_to_c_merchants_spoil_no_sum_and_frame_nobody() {
    let (mut sums, mut none) = (BTreeMap::<Cheat, u64>::new(), BTreeMap::<Cheat, u64>::new());
    for case in cases(count(1_000, 50_000)) {
        let mut draws = Draws::new("wrong shares", case);
        let shape = match draws.below(8) {
            0 => Shape::sparse(7, 5, 3),
            _ => Shape::of(*draws.pick(&[3, 3, 4, 4, 4, 4, 4, 5, 5, 7])),
        };
        let federation = Federation::new(case, shape);
        let session = federation.session(0, 0);
        let most = session.facts().secagg.colluders as usize;
        let some = draws.between(1, most);
        let cheating = draws.subset(federation.merchants(), some);
        let cheats: BTreeMap<MerchantIndex, Cheat> =
            cheating.into_iter().map(|merchant| (merchant, *draws.pick(&Cheat::ALL))).collect();
        let at = format!("case {case}: {cheats:?}");
        let mut hooks = Cheats::new(&session, draws, cheats);
        let outcome = run(&session, &mut hooks);
        assert_right_or_named(&at, &federation, &outcome, &hooks);
        let tally = if outcome.result.is_ok() { &mut sums } else { &mut none };
        hooks.cheats.values().for_each(|cheat| *tally.entry(*cheat).or_default() += 1);
    }
    if !single() {
        let survivable = Cheat::ALL.iter().filter(|cheat| **cheat != Cheat::OtherCommitment);
        assert!(survivable.clone().all(|cheat| sums.contains_key(cheat)), "{sums:?}");
        assert!(none.len() > 5 && none.contains_key(&Cheat::OtherCommitment), "{none:?}");
    }
}

/// n − C honest answers are enough from four merchants on: the others' shares are not needed.
#[test]
fn c_wrong_answers_are_named_and_the_sum_put_together_without_them() {
    for n in 4..=12 {
        let federation = Federation::new(u64::from(n), Shape::of(n));
        let session = federation.session(0, 0);
        let secagg = &session.facts().secagg;
        let wrong: BTreeMap<MerchantIndex, Cheat> = (0..secagg.colluders as u16)
            .map(|merchant| (MerchantIndex(merchant), Cheat::WrongShares))
            .collect();
        let mut hooks = Cheats::new(&session, Draws::new("wrong answers", u64::from(n)), wrong.clone());
        let outcome = run(&session, &mut hooks);
        let unmasked = outcome.result.as_ref().unwrap_or_else(|error| panic!("n {n}: {error:?}"));
        assert_eq!(unmasked.sum.centred(), federation.plain_sum(federation.merchants()));
        let culprits: Vec<MerchantIndex> = outcome.culprits.iter().map(|culprit| culprit.merchant).collect();
        assert_eq!(culprits, wrong.into_keys().collect::<Vec<_>>(), "n {n}");
        assert!(outcome.culprits.iter().all(|culprit| culprit.misdeed == Misdeed::WrongShare));
    }
}

/// A dealer off its polynomial is found by its commitment, whichever way it left.
#[test]
fn a_bad_dealer_is_named_whether_it_survives_or_not() {
    struct Leaving<'a>(Cheats<'a>, bool);
    impl Hooks for Leaving<'_> {
        fn is_gone(&mut self, step: Step, merchant: MerchantIndex) -> bool {
            self.1 && merchant == MerchantIndex(0) && step == Step::Update
        }
        fn roster(&mut self, to: MerchantIndex, message: &mut RoundRoster) {
            self.0.roster(to, message);
        }
        fn shares(&mut self, from: MerchantIndex, message: &mut Shares) {
            if from == MerchantIndex(0) {
                self.0.deal_all(message);
            }
        }
    }
    for leaves in [false, true] {
        let federation = Federation::new(8, Shape::of(6));
        let session = federation.session(0, 0);
        let cheats = BTreeMap::from([(MerchantIndex(0), Cheat::OffPolynomial)]);
        let mut hooks = Leaving(Cheats::new(&session, Draws::new("bad dealer", 0), cheats), leaves);
        let outcome = run(&session, &mut hooks);
        let dealer = Err(Failure::Unmask(UnmaskError::Dealer { dealer: "m0000".into() }));
        assert_eq!(outcome.result, dealer);
        let named: Vec<_> =
            outcome.culprits.iter().map(|culprit| (culprit.merchant.0, culprit.misdeed)).collect();
        assert_eq!(named, [(0, Misdeed::BadDealing)]);
    }
}

impl Cheats<'_> {
    fn deal_all(&mut self, message: &mut Shares) {
        for share in &mut message.shares {
            let holder = share.peer;
            *share =
                self.colluders.deal(MerchantIndex(0), self.view(), holder, Dealing::Good).expect("a member");
            share.peer = holder;
        }
        self.sign_shares(MerchantIndex(0), message);
    }
}

/// M4 changed between server and merchant: whoever cannot use it says so and drops out; the sum of the others is right.
struct Meddling {
    draws: Draws,
    touched: BTreeSet<MerchantIndex>,
}

impl Hooks for Meddling {
    fn forwarded(&mut self, to: MerchantIndex, message: &mut ForwardedShares) {
        if !self.draws.percent(15) {
            return;
        }
        let place = self.draws.below(message.shares.len());
        let share = &mut message.shares[place];
        let (byte, bit) = (self.draws.below(32), 1 << self.draws.below(8));
        match self.draws.below(6) {
            0 => share.sealed.mask_key[byte] ^= bit,
            1 => share.sealed.seed[byte] ^= bit,
            2 => share.sealed.tag[byte % 16] ^= bit,
            3 => share.hashes.mask_key.0[byte] ^= bit,
            4 => share.hashes.seed.0[byte] ^= bit,
            _ => share.signature.0[byte % 2][byte] ^= bit,
        }
        self.touched.insert(to);
    }
}

#[test]
fn shares_changed_on_the_way_are_noticed_every_time() {
    let (mut sums, mut touched) = (0, 0);
    for case in cases(count(80, 5_000)) {
        let federation = Federation::new(case, Shape::of(5 + (case % 4) as u16));
        let session = federation.session(0, 0);
        let mut hooks = Meddling { draws: Draws::new("meddling", case), touched: BTreeSet::new() };
        let outcome = run(&session, &mut hooks);
        let refused: BTreeSet<MerchantIndex> = outcome.breaches.keys().copied().collect();
        assert_eq!(refused, hooks.touched, "case {case}");
        let complaints = outcome.breaches.values().all(|breach| matches!(breach, Breach::Share { .. }));
        assert!(complaints && outcome.culprits.is_empty(), "case {case}: {outcome:?}");
        touched += refused.len();
        if let Ok(unmasked) = &outcome.result {
            assert_eq!(unmasked.sum.centred(), federation.plain_sum(unmasked.survivors.iter().copied()));
            sums += 1;
        }
    }
    assert!(single() || sums > 20 && touched > 40, "{sums} sums, {touched} changed");
}

/// Everything up to the vectors, at the server and at the merchants.
fn up_to_vectors<'a>(session: &Session<'a>) -> (Collecting, BTreeMap<MerchantIndex, (Merchant<'a>, Upload)>) {
    let mut advertising = Advertising::new(Arc::clone(session.facts()));
    let mut merchants = BTreeMap::new();
    for own in session.federation.merchants() {
        let (merchant, message) = Merchant::advertise(session, own);
        advertising.receive(own, &message).expect("a good M1");
        merchants.insert(own, merchant);
    }
    let (mut sharing, roster) = advertising.close().expect("everybody is there");
    for (own, merchant) in &mut merchants {
        sharing.receive(*own, merchant.share(&roster).expect("a good M2")).expect("a good M3");
    }
    let (collecting, forwarded) = sharing.close().expect("everybody is there");
    let upload = |(own, mut merchant): (MerchantIndex, Merchant<'a>)| {
        let upload = merchant.upload(&forwarded[&own]).expect("a good M4");
        (own, (merchant, upload))
    };
    (collecting, merchants.into_iter().map(upload).collect())
}

/// Whoever complained takes no further part: otherwise a complaint would cost the complainer nothing.
#[test]
fn a_merchant_that_complained_cannot_send_its_vector_after_all() {
    let federation = Federation::new(31, Shape::of(5));
    let session = federation.session(0, 0);
    let (mut collecting, merchants) = up_to_vectors(&session);
    let (liar, honest) = (MerchantIndex(2), MerchantIndex(0));
    let complaint = transcript::sign_complaint(session.facts().sid, honest, federation.identity(liar));
    collecting.complain(liar, &complaint).expect("a member about a member");
    let upload = &merchants[&liar].1;
    let received = collecting.receive(liar, &upload.header, &upload.words);
    assert!(received.is_err() && collecting.contributors().count() == 0, "{received:?}");
}

/// The sum is handed out once; asked again, the server has no other one to give.
#[test]
fn a_sum_is_never_given_a_second_time_as_something_else() {
    let federation = Federation::new(32, Shape::of(4));
    let session = federation.session(0, 0);
    let (mut collecting, mut merchants) = up_to_vectors(&session);
    for (own, (_, upload)) in &merchants {
        collecting.receive(*own, &upload.header, &upload.words).expect("a good M5");
    }
    let (mut certifying, survivors) = collecting.close().expect("everybody is there");
    for (own, (merchant, _)) in &mut merchants {
        certifying.receive(*own, &merchant.certify(&survivors).expect("a good M6")).expect("a good M7");
    }
    let (mut unmasking, certificate) = certifying.close().expect("everybody is there");
    for (own, (merchant, _)) in &mut merchants {
        unmasking.receive(*own, &merchant.unmask(&certificate).expect("a good M8")).expect("a good M9");
    }
    let first = unmasking.finish().expect("all shares are there");
    assert_eq!(first.sum.centred(), federation.plain_sum(federation.merchants()));
    if let Ok(second) = unmasking.finish() {
        assert_eq!(second, first);
    }
}

/// Without any cheat nobody is blamed and nobody sits out.
#[test]
fn nobody_is_blamed_in_an_undisturbed_attempt() {
    let federation = Federation::new(1, Shape::of(9));
    let outcome = run(&federation.session(0, 0), &mut Undisturbed);
    assert!(outcome.result.is_ok() && outcome.culprits.is_empty() && outcome.sitting_out.is_empty());
}
