//! An adversarial server and up to C colluding merchants against honest merchants: see `guildhall_tests::secagg::attack`.
//!
//! `GUILDHALL_FULL_COUNTS=1` runs all attacks, `GUILDHALL_CASE=N` one of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{MemberKeys, RoundRoster};
use guildhall_shared::ring::RingWidth;
use guildhall_shared::secagg::server::Advertising;
use guildhall_shared::secagg::{Graph, MaskGenerator, transcript};
use guildhall_tests::secagg::attack::front::Front;
use guildhall_tests::secagg::attack::{self, Move, Reason, Smallest, Style, Tally, assert_harmless};
use guildhall_tests::secagg::colluders::Colluders;
use guildhall_tests::secagg::draws::Draws;
use guildhall_tests::secagg::federation::{Federation, Session, Shape};
use guildhall_tests::secagg::knowledge::Judgement;
use guildhall_tests::secagg::merchant::Merchant;
use guildhall_tests::secagg::{cases, count, single};

fn merchants(list: impl IntoIterator<Item = u16>) -> BTreeSet<MerchantIndex> {
    list.into_iter().map(MerchantIndex).collect()
}

/// An adversary that keeps to the protocol but for the sets it shows.
fn quiet(colluders: BTreeSet<MerchantIndex>) -> Style {
    Style {
        colluders,
        forbidden_percent: 0,
        forced: None,
        sets: [1, 1, 1],
        withheld_percent: [0; 4],
        smallest_sets: Smallest::Any,
    }
}

#[test]
fn no_drawn_attack_recovers_an_input_or_a_second_certificate() {
    let mut tally = Tally::default();
    for case in cases(count(1_000, 100_000)) {
        tally.add(&attack::run(case));
    }
    if single() {
        return;
    }
    // An adversary that is always refused early tests nothing.
    assert!(tally.vectors > tally.sessions, "{tally:?}");
    assert!(tally.certificates * 4 > tally.sessions, "{tally:?}");
    assert!(tally.sums * 8 > tally.sessions, "{tally:?}");
    assert!(
        tally.unmask_messages > tally.sessions && tally.second_requests * 4 > tally.sessions,
        "{tally:?}"
    );
    assert!(tally.reasons.len() >= 10, "{:?}", tally.reasons);
}

#[test]
fn every_forbidden_move_is_refused_with_its_reason() {
    let mut reasons = BTreeSet::new();
    for forced in Move::all() {
        let mut made = 0;
        for case in 0..400 {
            let tally = attack::run_forced(case, forced);
            made += tally.moves.get(&forced).copied().unwrap_or_default();
            reasons.extend(tally.reasons.keys().copied());
            if made >= count(2, 100) {
                break;
            }
        }
        assert!(made >= 2, "{forced:?} was possible {made} times only");
    }
    let all = [
        Reason::Session,
        Reason::Order,
        Reason::TooFew,
        Reason::Own,
        Reason::Stranger,
        Reason::Signature,
        Reason::DuplicateKey,
        Reason::Key,
        Reason::Dealers,
        Reason::Share,
        Reason::Holders,
    ];
    assert_eq!(reasons, BTreeSet::from(all));
}

/// X25519 ignores the highest bit of a key (RFC 7748, section 5). A colluder that copies an honest merchant's key in another
/// spelling has copied it all the same: neither a merchant nor the server takes it.
#[test]
fn a_copied_key_in_another_spelling_is_refused() {
    let federation = Federation::new(21, Shape::of(4));
    let session = federation.session(0, 0);
    let colluders = Colluders::new(&session, merchants([3]));
    let (mut target, _) = Merchant::advertise(&session, MerchantIndex(0));
    let mut server = Advertising::new(Arc::clone(session.facts()));
    let mut members = Vec::new();
    for merchant in federation.merchants().take(3) {
        let message = Merchant::advertise(&session, merchant).1;
        server.receive(merchant, &message).expect("a good M1");
        let (encryption_key, mask_key) = (message.encryption_key, message.mask_key);
        members.push(MemberKeys { merchant, encryption_key, mask_key, signature: message.signature });
    }
    let mut copied = members[1].encryption_key;
    copied.0[31] |= 0x80;
    let own = session.seed(MerchantIndex(3)).mask_key().public();
    let forged = colluders.advertise_keys(MerchantIndex(3), session.facts(), copied, own);
    let message =
        transcript::sign_advertise(session.facts(), copied, own, federation.identity(MerchantIndex(3)));
    members.push(forged);
    let at_server = server.receive(MerchantIndex(3), &message);
    let at_merchant = target.share(&RoundRoster { sid: session.facts().sid, members }).err();
    assert!(at_server.is_err() && at_merchant.is_some(), "server {at_server:?}, merchant {at_merchant:?}");
}

/// One attempt in which the sets are chosen as it goes.
fn staged(
    shape: Shape,
    colluders: BTreeSet<MerchantIndex>,
    sets: impl Fn(&Front<'_>, usize) -> Vec<BTreeSet<MerchantIndex>>,
) -> Judgement {
    let federation = Federation::new(11, shape);
    let session = federation.session(0, 0);
    let judgement = unjudged(&session, colluders, sets);
    assert_harmless(0, &session, &judgement);
    judgement
}

/// The same, whatever comes of it.
fn unjudged(
    session: &Session<'_>,
    colluders: BTreeSet<MerchantIndex>,
    sets: impl Fn(&Front<'_>, usize) -> Vec<BTreeSet<MerchantIndex>>,
) -> Judgement {
    let mut draws = Draws::new("staged attack", 0);
    let mut front = Front::open(0, session, &quiet(colluders));
    for step in 0..Front::STEPS {
        let shown = sets(&front, step);
        front.step_with(&mut draws, step, shown, None);
    }
    front.finish(&mut draws).1
}

#[test]
fn two_survivor_sets_shown_to_two_halves_leave_at_least_one_half_without_certificate() {
    for n in [4, 5, 7, 10] {
        let shape = Shape::of(n);
        let (colluding, least) = (shape.secagg.colluders as u16, shape.secagg.survivors_min as u16);
        let colluders = merchants(n - colluding..n);
        let halves = [merchants(0..least), merchants(n - least..n)];
        let judgement =
            staged(
                shape,
                colluders,
                |_, step| {
                    if step == 2 { halves.to_vec() } else { vec![merchants(0..n)] }
                },
            );
        assert_eq!(judgement.vectors, usize::from(n - colluding));
        assert!(judgement.certified.len() <= 1 && judgement.both_kinds().is_empty(), "n {n}: {judgement:?}");
    }
}

/// The server says a merchant dropped out and gets its mask key; all the while it holds the masked vector.
#[test]
fn a_merchant_claimed_dropped_keeps_its_input_behind_its_own_mask() {
    for n in [4, 5, 8, 10] {
        let shape = Shape::of(n);
        let colluders = merchants(n - shape.secagg.colluders as u16..n);
        let target = MerchantIndex(0);
        let judgement =
            staged(
                shape,
                colluders,
                |_, step| {
                    if step < 2 { vec![merchants(0..n)] } else { vec![merchants(1..n)] }
                },
            );
        assert_eq!(judgement.keys, merchants([0]), "n {n}: {judgement:?}");
        assert!(!judgement.seeds.contains(&target), "n {n}: {judgement:?}");
        assert_eq!(judgement.vectors, judgement.seeds.len() + 1, "n {n}: the vector was there");
        assert_eq!(judgement.sums.len(), 1, "n {n}: {judgement:?}");
    }
}

#[test]
fn with_exactly_the_fewest_survivors_the_server_learns_one_sum_of_all_honest_ones() {
    for n in [3, 4, 6, 10] {
        let shape = Shape::of(n);
        let (least, colluding) = (shape.secagg.survivors_min as u16, shape.secagg.colluders as u16);
        let honest_shares = shape.secagg.honest_shares as usize;
        let colluders = merchants(least - colluding..least);
        let judgement = staged(shape, colluders, |_, _| vec![merchants(0..least)]);
        assert_eq!(judgement.sums, [merchants(0..least - colluding)], "n {n}");
        assert_eq!(judgement.sums[0].len(), honest_shares, "n {n}");
    }
}

/// With one signature less than the certificate asks for, or one colluder more than tolerated, two halves of the honest
/// merchants certify two survivor sets and inputs are bare: the judge can see a defeat, and the thresholds are as low as they
/// may be.
#[test]
fn one_threshold_lower_or_one_colluder_more_and_inputs_are_bare() {
    let defeated = |shape: &Shape, colluding: u16| {
        let n = shape.secagg.merchants as u16;
        let half = colluding + (n - colluding) / 2;
        let halves = [merchants(0..half), merchants((0..colluding).chain(half..n))];
        let federation = Federation::new(5, shape.clone());
        let judgement = unjudged(&federation.session(0, 0), merchants(0..colluding), |_, step| {
            if step == 2 { halves.to_vec() } else { vec![merchants(0..n)] }
        });
        assert_eq!(judgement.recovered, judgement.both_kinds().into_iter().collect::<Vec<_>>());
        !judgement.recovered.is_empty() && judgement.certified.len() == 2
    };
    for n in [4, 5] {
        let sound = Shape::of(n);
        let mut low = sound.clone();
        low.secagg.threshold -= 1;
        low.secagg.survivors_min = low.secagg.threshold;
        assert!(!defeated(&sound, 1), "n {n}");
        assert!(defeated(&low, 1), "n {n}: a lower threshold");
    }
    assert!(defeated(&Shape::of(4), 2), "a colluder more");
}

/// How many of a target's honest holders the server leaves out of U3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    /// All that m_min lets it.
    All,
    /// Only so many that the target's seed can still be put together.
    AllButEnough,
}

/// The server picks U2 and U3 after it has seen whom the target chose: honest holders are left out.
fn isolate(
    shape: Shape,
    colluders: BTreeSet<MerchantIndex>,
    left_out: LeftOut,
) -> (MerchantIndex, Judgement) {
    let n = shape.secagg.merchants as u16;
    let most = (shape.secagg.merchants - shape.secagg.survivors_min) as usize;
    let Graph::Sparse { holders, share_threshold } = shape.secagg.graph else { panic!("{shape:?}") };
    let spare = (holders - share_threshold) as usize;
    let target = *merchants(0..n).difference(&colluders).next().expect("somebody is honest");
    let kept = colluders.clone();
    let judgement = staged(shape, colluders, move |front, step| {
        let dealt = front.seen(target).and_then(|seen| seen.shares.clone());
        let holders = dealt.iter().flat_map(|shares| &shares.shares).map(|share| share.peer);
        let honest = holders.filter(|holder| !kept.contains(holder));
        // The target goes on only while enough of its holders are in U2; in U3 it cannot ask for any.
        let leave = match (step, left_out) {
            (0, _) => 0,
            (2, LeftOut::All) => most,
            _ => spare.min(most),
        };
        let gone: BTreeSet<MerchantIndex> = honest.take(leave).collect();
        vec![merchants(0..n).difference(&gone).copied().collect()]
    });
    (target, judgement)
}

#[test]
fn a_target_isolated_in_the_sparse_graph_stays_hidden_among_honest_merchants() {
    for (n, holders, threshold) in [(14, 9, 6), (20, 13, 9), (17, 8, 6), (25, 10, 9)] {
        for left_out in [LeftOut::All, LeftOut::AllButEnough] {
            let shape = Shape::sparse(n, holders, threshold);
            let colluders = merchants(n - shape.secagg.colluders as u16..n);
            let (target, judgement) = isolate(shape, colluders, left_out);
            assert_eq!(judgement.certified.len(), 1, "{judgement:?}");
            // Alone it is in no sum: `staged` asserts that a sum has t_k + 1 − C honest merchants or more.
            let hidden = !judgement.seeds.contains(&target);
            let among = judgement.sums.iter().any(|group| group.contains(&target));
            assert!(hidden || among, "{judgement:?}");
        }
    }
}

/// The smallest federation that uses the sparse graph by the rules, with all its colluders.
#[test]
fn a_target_isolated_in_the_smallest_large_federation_stays_hidden() {
    let shape = Shape::drawn(129, RingWidth::Bits32, MaskGenerator::Aes256Ctr);
    let (n, noise_shares) = (129, shape.secagg.noise_shares() as usize);
    let colluders = merchants(n - shape.secagg.colluders as u16..n);
    let (target, judgement) = isolate(shape, colluders, LeftOut::AllButEnough);
    assert!(judgement.certified.len() == 1 && judgement.seeds.contains(&target), "{judgement:?}");
    assert!(judgement.sums.len() == 1 && judgement.sums[0].contains(&target), "{judgement:?}");
    assert!(judgement.sums[0].len() >= noise_shares, "{judgement:?}");
}
