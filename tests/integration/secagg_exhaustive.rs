//! The survivor step, exhaustively for n = 3, 4 and 5: every U2 and U3 that a server can claim to each merchant, with every
//! set of colluders, and certificates assembled from every signature there can be.
//!
//! First every answer of the real client cores is tabulated: each merchant is led anew, from its seed, to the stage in
//! question and asked. It must answer exactly where [`answers_survivors`] and [`answers_certificate`] say. What merchants
//! answer depends on nothing but what they were told, so all that a server can do to several of them at once is a choice of
//! one entry for each. Those choices are then all gone through.
//!
//! What is not varied: U1 is everybody and shares are honest, for both are settled and signed before; a signature is either
//! the one asked for or not, and of those that are not, one stands for all (they differ only in what Ed25519 refuses).

use std::collections::BTreeMap;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Verifier;
use guildhall_shared::message::{
    Certificate, CertificateSignature, ForwardedShares, MemberKeys, RoundRoster, Shares, SurvivingUpdate,
    Survivors, Unmask,
};
use guildhall_shared::secagg::SecaggParameters;
use guildhall_shared::secagg::transcript::{self, Transcript};
use guildhall_tests::secagg::count;
use guildhall_tests::secagg::federation::{Federation, Session, Shape};
use guildhall_tests::secagg::merchant::{Merchant, Refusal, Upload};

/// A set of merchants as bits.
type Set = u8;

fn has(set: Set, merchant: u16) -> bool {
    set >> merchant & 1 == 1
}

fn size(set: Set) -> u32 {
    set.count_ones()
}

fn list(set: Set) -> Vec<MerchantIndex> {
    (0..8).filter(|merchant| has(set, *merchant)).map(MerchantIndex).collect()
}

fn is_subset(set: Set, of: Set) -> bool {
    set & !of == 0
}

/// What a merchant was told: U2, and U3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    members: Set,
    survivors: Set,
}

/// The rule of M6: `signed` are those of U3 whose update signatures are under the merchant's own transcript.
fn answers_survivors(secagg: &SecaggParameters, own: u16, claim: Claim, signed: Set) -> bool {
    let Claim { members, survivors } = claim;
    size(survivors) >= secagg.survivors_min
        && is_subset(survivors, members)
        && is_subset(survivors, signed)
        && has(survivors, own)
}

/// The rule of M8: `valid` are those signers whose signatures are over the merchant's own survivors.
fn answers_certificate(secagg: &SecaggParameters, claim: Claim, signers: Set, valid: Set) -> bool {
    size(signers) >= secagg.threshold && is_subset(signers, claim.survivors) && is_subset(signers, valid)
}

/// One federation, with all messages up to M5 for every U2.
struct Table<'a> {
    session: &'a Session<'a>,
    secagg: SecaggParameters,
    everybody: Set,
    roster: RoundRoster,
    dealt: BTreeMap<MerchantIndex, Shares>,
    updates: BTreeMap<(Set, u16), SurvivingUpdate>,
}

impl<'a> Table<'a> {
    fn new(session: &'a Session<'a>) -> Self {
        let secagg = session.facts().secagg.clone();
        let sid = session.facts().sid;
        let everybody = (1 << secagg.merchants) - 1;
        let keys = |merchant| {
            let message = Merchant::advertise(session, merchant).1;
            let (encryption_key, mask_key) = (message.encryption_key, message.mask_key);
            MemberKeys { merchant, encryption_key, mask_key, signature: message.signature }
        };
        let roster = RoundRoster { sid, members: list(everybody).into_iter().map(keys).collect() };
        let deal = |own| {
            let (mut merchant, _) = Merchant::advertise(session, own);
            (own, merchant.share(&roster).expect("a good roster"))
        };
        let dealt = list(everybody).into_iter().map(deal).collect();
        let mut table = Table { session, secagg, everybody, roster, dealt, updates: BTreeMap::new() };
        for members in table.member_sets() {
            for own in list(members) {
                let header = table.uploaded(own, members).1.header;
                let update = SurvivingUpdate {
                    merchant: own,
                    hash: header.hash,
                    head: header.head,
                    signature: header.signature,
                };
                table.updates.insert((members, own.0), update);
            }
        }
        table
    }

    /// Every U2 that merchants accept.
    fn member_sets(&self) -> Vec<Set> {
        (0..=self.everybody).filter(|set| size(*set) >= self.secagg.survivors_min).collect()
    }

    /// Every claim that a merchant may answer.
    fn claims(&self, own: u16) -> Vec<Claim> {
        let sets = self.member_sets();
        let pairs = sets.iter().flat_map(|members| {
            sets.iter().map(|survivors| Claim { members: *members, survivors: *survivors })
        });
        pairs.filter(|claim| answers_survivors(&self.secagg, own, *claim, self.everybody)).collect()
    }

    /// A merchant led from its seed to where it waits for M6.
    fn uploaded(&self, own: MerchantIndex, members: Set) -> (Merchant<'a>, Upload) {
        let (mut merchant, _) = Merchant::advertise(self.session, own);
        merchant.share(&self.roster).expect("a good roster");
        let mut shares = Vec::new();
        for dealer in list(members).into_iter().filter(|dealer| *dealer != own) {
            let mut share =
                self.dealt[&dealer].shares.iter().find(|share| share.peer == own).expect("dealt").clone();
            share.peer = dealer;
            shares.push(share);
        }
        let message = ForwardedShares { sid: self.session.facts().sid, members: list(members), shares };
        let upload = merchant.upload(&message).expect("good shares");
        (merchant, upload)
    }

    /// M6 of a claim; the updates of those outside `signed` are of another U2, or else invented.
    fn survivors(&self, claim: Claim, signed: Set) -> Survivors {
        let update = |merchant: MerchantIndex| {
            let right = self.updates.get(&(claim.members, merchant.0)).filter(|_| has(signed, merchant.0));
            let mut others = self
                .updates
                .iter()
                .filter(|((members, own), _)| *members != claim.members && *own == merchant.0);
            let wrong = others.next().map(|(_, update)| update);
            right.or(wrong).cloned().unwrap_or_else(|| {
                let mut invented = self.updates[&(self.everybody, merchant.0)].clone();
                invented.hash.0[0] ^= 1;
                invented
            })
        };
        let updates = list(claim.survivors).into_iter().map(update).collect();
        Survivors { sid: self.session.facts().sid, updates }
    }

    fn digest(&self, claim: Claim) -> Digest {
        let sid = self.session.facts().sid;
        let transcript = Transcript {
            sid,
            roster: transcript::roster_digest(&sid, &self.roster.members),
            members: transcript::members_digest(&sid, &list(claim.members)),
        };
        let update = |merchant: MerchantIndex| self.updates[&(claim.members, merchant.0)].statement();
        let updates: Vec<_> = list(claim.survivors).into_iter().map(update).collect();
        transcript::survivors_digest(&transcript, &updates)
    }

    /// M8 by these signers; those outside `valid` signed another survivor set.
    fn certificate(&self, claim: Claim, signers: Set, valid: Set) -> Certificate {
        let sid = self.session.facts().sid;
        let (right, wrong) = (self.digest(claim), Digest::of("other survivors", &[&sid.0]));
        let sign = |merchant: MerchantIndex| {
            let over = if has(valid, merchant.0) { right } else { wrong };
            let key = self.session.federation.identity(merchant);
            CertificateSignature { merchant, signature: transcript::sign_survivors(&sid, &over, key) }
        };
        Certificate { sid, signatures: list(signers).into_iter().map(sign).collect() }
    }

    /// Asks the core, and holds its answer against the rule.
    fn check_survivors(&self, own: u16, claim: Claim, signed: Set) {
        let (mut merchant, _) = self.uploaded(MerchantIndex(own), claim.members);
        let answer = merchant.certify(&self.survivors(claim, signed));
        let expected = answers_survivors(&self.secagg, own, claim, signed);
        assert_eq!(answer.is_ok(), expected, "{own} {claim:?} signed {signed:b}: {answer:?}");
        if let Ok(certify) = answer {
            let key = Verifier::new(self.session.federation.identity(MerchantIndex(own)).public());
            let sid = self.session.facts().sid;
            let checked = transcript::verify_survivors(&sid, &self.digest(claim), &key, &certify.signature);
            assert_eq!(checked, Ok(()), "{own} {claim:?}: signed something else");
        }
    }

    /// Asks the core, and holds its answer against the rule.
    fn check_certificate(&self, own: u16, claim: Claim, signers: Set, valid: Set) {
        let (mut merchant, _) = self.uploaded(MerchantIndex(own), claim.members);
        merchant.certify(&self.survivors(claim, self.everybody)).expect("a claim it answers");
        let answer = merchant.unmask(&self.certificate(claim, signers, valid));
        let expected = answers_certificate(&self.secagg, claim, signers, valid);
        let at = || format!("{own} {claim:?} signers {signers:b} valid {valid:b}: {answer:?}");
        match &answer {
            Ok(Unmask { seeds, mask_keys, .. }) => {
                assert!(expected, "{}", at());
                let dealers = |shares: &[_]| shares.iter().map(dealer).collect::<Vec<_>>();
                assert_eq!(dealers(seeds), list(claim.survivors), "{}", at());
                assert_eq!(dealers(mask_keys), list(claim.members & !claim.survivors), "{}", at());
            }
            Err(Refusal::Breach(_)) => assert!(!expected, "{}", at()),
            Err(Refusal::NoStage) => panic!("{}", at()),
        }
    }
}

fn dealer(share: &guildhall_shared::message::RevealedShare) -> MerchantIndex {
    share.dealer
}

fn federation(n: u16) -> Federation {
    let mut shape = Shape::of(n);
    shape.dimension = 2;
    Federation::new(u64::from(n), shape)
}

/// The places to look at: with GUILDHALL_FULL_COUNTS=1 every one, else the first, the middle and the last. A core looks at
/// indices only to hold lists in order and to find its own, which is at the beginning, inside or at the end.
fn places(n: u16) -> Vec<u16> {
    if n <= 4 || count(0, 1) == 1 { (0..n).collect() } else { vec![0, n / 2, n - 1] }
}

/// All subsets of a set.
fn subsets(of: Set) -> impl Iterator<Item = Set> {
    (0..=of).filter(move |set| is_subset(*set, of))
}

#[test]
fn merchants_sign_exactly_the_survivors_they_may() {
    for n in [3, 4, 5] {
        let federation = federation(n);
        let session = federation.session(0, 0);
        let table = Table::new(&session);
        for own in places(n) {
            for members in table.member_sets().into_iter().filter(|members| has(*members, own)) {
                for survivors in 0..=table.everybody {
                    let claim = Claim { members, survivors };
                    let worth_varying = answers_survivors(&table.secagg, own, claim, table.everybody);
                    let signed: Vec<Set> =
                        if worth_varying { subsets(survivors).collect() } else { vec![table.everybody] };
                    signed.into_iter().for_each(|signed| table.check_survivors(own, claim, signed));
                }
            }
        }
    }
}

#[test]
fn merchants_unmask_exactly_for_the_certificates_they_may() {
    for n in [3, 4, 5] {
        let federation = federation(n);
        let session = federation.session(0, 0);
        let table = Table::new(&session);
        for own in places(n) {
            for claim in table.claims(own) {
                for signers in 0..=table.everybody {
                    // Signatures are looked at one by one: all valid, or one of them not.
                    let worth_varying = answers_certificate(&table.secagg, claim, signers, signers);
                    let spoilt = list(signers).into_iter().map(|one| signers & !(1 << one.0));
                    let valid: Vec<Set> =
                        if worth_varying { spoilt.chain([signers]).collect() } else { vec![signers] };
                    valid.into_iter().for_each(|valid| table.check_certificate(own, claim, signers, valid));
                }
            }
        }
    }
}

/// What each honest merchant was told: the U2 it masked for, and the survivors it answered, if any.
#[derive(Clone, Copy, Debug)]
struct Told {
    members: Set,
    survivors: Option<Set>,
}

/// Goes through every choice of what honest merchants are told. The result: how many there are.
fn every_choice(secagg: &SecaggParameters, colluders: Set, mut judge: impl FnMut(&[(u16, Told)])) -> u64 {
    let everybody: Set = (1 << secagg.merchants) - 1;
    let sets: Vec<Set> = (0..=everybody).filter(|set| size(*set) >= secagg.survivors_min).collect();
    let mut options = Vec::new();
    for own in list(everybody & !colluders) {
        let mut told = Vec::new();
        for members in sets.iter().copied().filter(|members| has(*members, own.0)) {
            told.push((own.0, Told { members, survivors: None }));
            for survivors in sets.iter().copied() {
                if answers_survivors(secagg, own.0, Claim { members, survivors }, everybody) {
                    told.push((own.0, Told { members, survivors: Some(survivors) }));
                }
            }
        }
        options.push(told);
    }
    let choices: usize = options.iter().map(Vec::len).product();
    let mut chosen = Vec::with_capacity(options.len());
    for mut number in 0..choices {
        chosen.clear();
        for told in &options {
            chosen.push(told[number % told.len()]);
            number /= told.len();
        }
        if is_possible(&chosen) {
            judge(&chosen);
        }
    }
    choices as u64
}

/// Whether every honest survivor somebody signed for masked for the same U2; otherwise its signature would not verify.
fn is_possible(told: &[(u16, Told)]) -> bool {
    told.iter().all(|(_, one)| {
        let Some(survivors) = one.survivors else { return true };
        told.iter().all(|(other, theirs)| !has(survivors, *other) || theirs.members == one.members)
    })
}

/// Every certificate that the signatures allow.
fn certified(secagg: &SecaggParameters, colluders: Set, told: &[(u16, Told)]) -> Vec<Claim> {
    let mut found = Vec::new();
    for (_, one) in told {
        let Some(survivors) = one.survivors else { continue };
        let claim = Claim { members: one.members, survivors };
        let same =
            |other: &&(u16, Told)| other.1.members == claim.members && other.1.survivors == Some(survivors);
        let signers =
            told.iter().filter(same).fold(0, |set, (own, _)| set | 1 << own) | colluders & survivors;
        if size(signers) >= secagg.threshold && !found.contains(&claim) {
            found.push(claim);
        }
    }
    found
}

/// Whether the colluders and everybody who answers a certificate reveal enough of both secrets of somebody honest.
fn reveals_both(secagg: &SecaggParameters, colluders: Set, told: &[(u16, Told)], claims: &[Claim]) -> bool {
    let answering = |one: &Told| {
        let claim = |survivors| Claim { members: one.members, survivors };
        one.survivors.map(claim).filter(|claim| claims.contains(claim))
    };
    told.iter().any(|(dealer, _)| {
        let (mut seeds, mut keys) = (size(colluders), size(colluders));
        for claim in told.iter().filter_map(|(_, one)| answering(one)) {
            seeds += u32::from(has(claim.survivors, *dealer));
            keys += u32::from(has(claim.members & !claim.survivors, *dealer));
        }
        seeds >= secagg.threshold && keys >= secagg.threshold
    })
}

#[test]
fn whatever_is_claimed_to_whom_there_is_one_certificate_and_one_kind_of_share() {
    for n in [3, 4, 5] {
        let secagg = Shape::of(n).secagg;
        let (mut choices, mut with_certificate) = (0, 0u64);
        for colluders in subsets((1 << n) - 1).filter(|set| size(*set) <= secagg.colluders) {
            choices += every_choice(&secagg, colluders, |told| {
                let claims = certified(&secagg, colluders, told);
                assert!(claims.len() <= 1, "colluders {colluders:b}: {told:?}");
                assert!(
                    !reveals_both(&secagg, colluders, told, &claims),
                    "colluders {colluders:b}: {told:?}"
                );
                for claim in &claims {
                    let honest = size(claim.survivors & !colluders);
                    assert!(honest >= secagg.honest_shares, "colluders {colluders:b}: {told:?}");
                }
                with_certificate += claims.len() as u64;
            });
        }
        assert!(with_certificate > 0 && choices > u64::from(n), "n {n}: {with_certificate} of {choices}");
    }
}

/// The walk sees a defeat where there is one: with a threshold one lower, and with a colluder more.
#[test]
fn the_walk_finds_two_certificates_where_thresholds_are_too_low() {
    let defeats = |secagg: &SecaggParameters, colluders: Set| {
        let mut found = 0u64;
        every_choice(secagg, colluders, |told| {
            let claims = certified(secagg, colluders, told);
            found += u64::from(claims.len() > 1 && reveals_both(secagg, colluders, told, &claims));
        });
        found
    };
    for n in [4, 5] {
        let sound = Shape::of(n).secagg;
        let threshold = sound.threshold - 1;
        let low = SecaggParameters { threshold, survivors_min: threshold, ..sound.clone() };
        assert_eq!(defeats(&sound, 0b1), 0);
        assert!(defeats(&low, 0b1) > 0, "n {n}");
    }
    assert!(defeats(&Shape::of(4).secagg, 0b11) > 0);
}
