//! Known breaks of other systems, each a test named after it, on whole attempts.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Certificate, DealtShare, Shares, Survivors, Unmask};
use guildhall_shared::ring::{RingVector, RingWidth};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::agreement::{AgreementKey, Route};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::transcript;
use guildhall_tests::secagg::attack::{Move, Reason, roster::RosterMove, run_forced};
use guildhall_tests::secagg::attempt::{Hooks, Step, Undisturbed, run};
use guildhall_tests::secagg::count;
use guildhall_tests::secagg::federation::{Federation, Session, Shape};
use guildhall_tests::secagg::merchant::Upload;

/// Everything sent, as it was sent.
#[derive(Default)]
struct Recorder {
    shares: BTreeMap<MerchantIndex, Shares>,
    uploads: BTreeMap<MerchantIndex, Upload>,
    unmask: BTreeMap<MerchantIndex, Unmask>,
    keys: Vec<AgreementKey>,
    gone: Option<MerchantIndex>,
    ends_after_shares: bool,
}

impl Hooks for Recorder {
    fn is_gone(&mut self, step: Step, merchant: MerchantIndex) -> bool {
        (step == Step::Certify && self.gone == Some(merchant))
            || (step == Step::Update && self.ends_after_shares)
    }
    fn advertise(&mut self, _from: MerchantIndex, message: &mut guildhall_shared::message::Advertise) {
        self.keys.extend([message.encryption_key, message.mask_key]);
    }
    fn shares(&mut self, from: MerchantIndex, message: &mut Shares) {
        self.shares.insert(from, message.clone());
    }
    fn upload(&mut self, from: MerchantIndex, message: &mut Upload) {
        self.uploads.insert(from, message.clone());
    }
    fn unmask(&mut self, from: MerchantIndex, message: &mut Unmask) {
        self.unmask.insert(from, message.clone());
    }
}

/// The words of a masked vector less its input: its masks.
fn masks(session: &Session<'_>, merchant: MerchantIndex, upload: &Upload) -> Vec<u64> {
    let facts = session.facts();
    let mut masked = RingVector::zero(facts.ring, facts.dimension);
    masked.add_bytes(&upload.words).expect("the right length");
    let input = session.federation.input(merchant);
    masked.centred().iter().zip(input).map(|(masked, plain)| masked.wrapping_sub(plain) as u64).collect()
}

fn shape(dimension: usize) -> Shape {
    Shape { dimension, ..Shape::of(4) }
}

/// Flower drew mask seeds of 32 bits: a server tries them all.
///
/// Here a merchant's keys and seeds hang on all 256 bits of what it draws: sessions that agree in any 224 of them have no
/// secret, and sessions that agree in none of 32 have nothing, in common.
#[test]
fn flower_issue_7522_mask_seeds_of_32_bits() {
    let secrets = |entropy: [u8; 32]| {
        let seed = SessionSeed::from_entropy(entropy);
        [seed.encryption_key().public().0, seed.mask_key().public().0, *seed.self_mask_seed()]
    };
    let base = Digest::of("entropy", &[]).0;
    let mut seen = BTreeSet::from(secrets(base));
    for bit in 0..256 {
        let mut other = base;
        other[bit / 8] ^= 1 << (bit % 8);
        for secret in secrets(other) {
            assert!(seen.insert(secret), "bit {bit} of the entropy is not used");
        }
    }
    // What the server reconstructs in the end is 32 bytes with nothing fixed: of 40 seeds, every bit is 0 in some and 1 in
    // others. False alarm: 256 · 2 · 2^-40 < 2^-30.
    let (mut ones, mut zeros) = ([0u8; 32], [0u8; 32]);
    for merchant in 0..40 {
        let federation = Federation::new(1, shape(1));
        let seed = federation.session(merchant, 0).seed(MerchantIndex(0)).self_mask_seed();
        for (place, byte) in seed.iter().enumerate() {
            ones[place] |= byte;
            zeros[place] |= !byte;
        }
    }
    assert_eq!((ones, zeros), ([0xff; 32], [0xff; 32]));
}

/// Flower's client reveals shares for whatever two lists the server sends, and checks neither that a peer stands in one of
/// them alone nor that anybody else got the same lists.
///
/// Here the server has one list to send, the survivors; what is revealed follows from it, and from all merchants together
/// never both shares of anybody.
#[test]
fn flower_alive_and_dead_lists() {
    let federation = Federation::new(2, shape(3));
    let session = federation.session(0, 0);
    let mut recorder = Recorder::default();
    let outcome = run(&session, &mut recorder);
    assert!(outcome.result.is_ok());
    let dealers = |shares: &[guildhall_shared::message::RevealedShare]| {
        shares.iter().map(|share| share.dealer).collect::<BTreeSet<MerchantIndex>>()
    };
    let all = |pick: &dyn Fn(&Unmask) -> BTreeSet<MerchantIndex>| {
        recorder.unmask.values().flat_map(pick).collect::<BTreeSet<MerchantIndex>>()
    };
    let (alive, dead) =
        (all(&|message| dealers(&message.seeds)), all(&|message| dealers(&message.mask_keys)));
    assert_eq!((alive.len(), dead.len()), (4, 0));
    // Two lists all the same: half of the merchants are told that #0 is dead. Nobody reveals anything.
    struct TwoLists;
    impl Hooks for TwoLists {
        fn survivors(&mut self, to: MerchantIndex, message: &mut Survivors) {
            if to.0 >= 2 {
                message.updates.remove(0);
            }
        }
        fn certificate(&mut self, _to: MerchantIndex, _message: &mut Certificate) {
            unreachable!("no certificate can come about");
        }
    }
    let outcome = run(&session, &mut TwoLists);
    assert!(outcome.result.is_err() && outcome.unmask_messages == 0, "{outcome:?}");
}

/// One key pair for two purposes, two merchants or two attempts: here every key is fresh, and a server that hands one
/// merchant's key to another is refused.
#[test]
fn shared_keys() {
    let federation = Federation::new(3, shape(1));
    let mut recorder = Recorder::default();
    for (round, attempt) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        run(&federation.session(round, attempt), &mut recorder);
    }
    let distinct: BTreeSet<AgreementKey> = recorder.keys.iter().copied().collect();
    assert_eq!((recorder.keys.len(), distinct.len()), (4 * 2 * 4, 4 * 2 * 4));
    for handed_on in [RosterMove::KeyCopied, RosterMove::OneKeyTwice] {
        let forced = Move::Roster(handed_on);
        let mut tallies =
            (0..20).map(|case| run_forced(case, forced)).filter(|tally| tally.moves.contains_key(&forced));
        let tally = tallies.next().expect("somebody colludes in one of them");
        assert!(tally.reasons.contains_key(&Reason::DuplicateKey), "{tally:?}");
    }
}

/// Seeds, keys and shares sent for the server to read: here nothing that is secret stands in any message, but for the
/// shares that M9 reveals on purpose.
#[test]
fn seeds_in_the_clear() {
    let federation = Federation::new(4, shape(2));
    let session = federation.session(0, 0);
    let mut recorder = Recorder { gone: Some(MerchantIndex(3)), ..Recorder::default() };
    let outcome = run(&session, &mut recorder);
    assert!(outcome.result.is_ok(), "{outcome:?}");
    let mut secrets: Vec<[u8; 32]> = Vec::new();
    for merchant in federation.merchants() {
        secrets.push(*session.seed(merchant).self_mask_seed());
        secrets.push(*federation.identity(merchant).to_secret());
    }
    let (plain, revealed) = opened(&session, &recorder);
    secrets.extend(plain.difference(&revealed));
    assert_eq!(revealed.len(), 3 * 4, "three merchants reveal one share each of four dealers");
    assert_eq!(plain.len(), 2 * 4 * 3, "four dealers deal three holders two shares each");
    let sent: BTreeSet<[u8; 32]> = outcome.sent.iter().flat_map(|bytes| windows(bytes)).collect();
    let found: Vec<_> = secrets.iter().filter(|secret| sent.contains(*secret)).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(revealed.iter().all(|share| sent.contains(share)), "the search finds what is there");
}

fn windows(bytes: &[u8]) -> Vec<[u8; 32]> {
    bytes.windows(32).filter_map(|window| window.try_into().ok()).collect()
}

/// All shares dealt, opened with their holders' keys, and all revealed.
fn opened(session: &Session<'_>, recorder: &Recorder) -> (BTreeSet<[u8; 32]>, BTreeSet<[u8; 32]>) {
    let mut plain = BTreeSet::new();
    let sid = session.facts().sid;
    let roster = roster(session);
    for (dealer, shares) in &recorder.shares {
        for share in &shares.shares {
            let route = Route { sid: &sid, roster: &roster, dealer: *dealer, holder: share.peer };
            let peer = session.seed(*dealer).encryption_key().public();
            let key = session.seed(share.peer).encryption_key().share_key(&peer, &route).expect("good keys");
            let pair = key.open(&route, &share.sealed).expect("well sealed");
            plain.extend([*pair.mask_key, *pair.seed]);
        }
    }
    let shares = recorder.unmask.values().flat_map(|message| message.seeds.iter().chain(&message.mask_keys));
    (plain, shares.map(|share| share.value).collect())
}

/// T1 where everybody takes part.
fn roster(session: &Session<'_>) -> Digest {
    let facts = session.facts();
    let keys = |merchant| {
        let seed = session.seed(merchant);
        let (encryption, mask) = (seed.encryption_key().public(), seed.mask_key().public());
        let identity = session.federation.identity(merchant);
        let message = transcript::sign_advertise(facts, encryption, mask, identity);
        guildhall_shared::message::MemberKeys {
            merchant,
            encryption_key: encryption,
            mask_key: mask,
            signature: message.signature,
        }
    };
    let members: Vec<_> = session.federation.merchants().map(keys).collect();
    transcript::roster_digest(&facts.sid, &members)
}

/// One random number added to all coordinates of a merchant: differences between them stand bare.
///
/// Here no two words of any masks are alike, nor the differences of neighbours. 4 merchants × 256 words of 64 bits, twice:
/// false alarm below 2^21 · 2^-64 = 2^-43.
#[test]
fn scalar_masks() {
    for generator in [MaskGenerator::Aes256Ctr, MaskGenerator::ChaCha20] {
        let mut shape = Shape::drawn(4, RingWidth::Bits64, generator);
        shape.dimension = 256;
        let federation = Federation::new(5, shape);
        let session = federation.session(0, 0);
        let mut recorder = Recorder::default();
        run(&session, &mut recorder);
        let (mut words, mut differences) = (BTreeSet::new(), BTreeSet::new());
        for (merchant, upload) in &recorder.uploads {
            let masks = masks(&session, *merchant, upload);
            differences.extend(masks.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
            words.extend(masks);
        }
        assert_eq!((words.len(), differences.len()), (4 * 256, 4 * 255));
    }
}

/// The same input masked in two attempts: the difference of the two vectors is as random as either (a two-time pad would
/// leave it zero). 256 words: false alarm below 2^16 · 2^-64.
#[test]
fn the_same_mask_in_two_attempts() {
    let federation = Federation::new(6, shape(256));
    let (first, second) = (federation.session(0, 0), federation.session(0, 1));
    let (mut one, mut other) = (Recorder::default(), Recorder::default());
    run(&first, &mut one);
    run(&second, &mut other);
    for merchant in federation.merchants() {
        let masks = |session, recorder: &Recorder| masks(session, merchant, &recorder.uploads[&merchant]);
        let (a, b) = (masks(&first, &one), masks(&second, &other));
        let difference: BTreeSet<u64> = a.iter().zip(&b).map(|(a, b)| a.wrapping_sub(*b)).collect();
        assert_eq!(difference.len(), 256);
        assert!(!difference.contains(&0));
    }
}

/// RUSTSEC-2024-0398: coefficients that are never zero tell t − 1 holders what a byte of the secret is not.
///
/// Three merchants, t = 3: the seed and its shares for the two others give both coefficients of every byte that was dealt.
/// Of N = 32 · 3 · runs bytes of each, about N/256 must be zero; that none is, as in the broken library, comes about by chance
/// with probability (255/256)^N, for 120 runs e^-45.
#[test]
fn rustsec_2024_0398_biased_shamir_coefficients() {
    let federation = Federation::new(7, Shape { dimension: 1, ..Shape::of(3) });
    let mut zeros = [0u32; 2];
    for round in 0..count(120, 2_000) as u32 {
        let session = federation.session(round, 0);
        let mut recorder = Recorder { ends_after_shares: true, ..Recorder::default() };
        run(&session, &mut recorder);
        for dealer in federation.merchants() {
            let [linear, square] = dealt_coefficients(&session, &recorder, dealer);
            zeros[0] += linear.iter().filter(|byte| **byte == 0).count() as u32;
            zeros[1] += square.iter().filter(|byte| **byte == 0).count() as u32;
        }
    }
    assert!(zeros[0] > 0 && zeros[1] > 0, "zeros among the coefficients of x and x^2: {zeros:?}");
}

/// The coefficients of x and x^2 of a dealer's seed, from f(0) and f at both holders' points, in place order from 1.
fn dealt_coefficients(session: &Session<'_>, recorder: &Recorder, dealer: MerchantIndex) -> [[u8; 32]; 2] {
    let secret = session.seed(dealer).self_mask_seed();
    let (sid, roster) = (session.facts().sid, roster(session));
    let public = session.seed(dealer).encryption_key().public();
    let open = |share: &DealtShare| {
        let route = Route { sid: &sid, roster: &roster, dealer, holder: share.peer };
        let key = session.seed(share.peer).encryption_key().share_key(&public, &route).expect("good keys");
        (share.peer.0 as u8 + 1, *key.open(&route, &share.sealed).expect("well sealed").seed)
    };
    let points: Vec<(u8, [u8; 32])> = recorder.shares[&dealer].shares.iter().map(open).collect();
    let [(x, f_x), (y, f_y)] = points[..] else { panic!("two others hold shares") };
    let (mut linear, mut square) = ([0; 32], [0; 32]);
    for place in 0..32 {
        let (along_x, along_y) =
            (divide(f_x[place] ^ secret[place], x), divide(f_y[place] ^ secret[place], y));
        square[place] = divide(along_x ^ along_y, x ^ y);
        linear[place] = along_x ^ multiply(square[place], x);
    }
    [linear, square]
}

/// In GF(2)\[x\] modulo x^8 + x^4 + x^3 + x + 1, bit by bit.
fn multiply(a: u8, b: u8) -> u8 {
    let product = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0u16, |sum, bit| sum ^ u16::from(a) << bit);
    (8..16).rev().fold(
        product,
        |rest, bit| {
            if rest >> bit & 1 == 1 { rest ^ 0x11b << (bit - 8) } else { rest }
        },
    ) as u8
}

fn divide(a: u8, b: u8) -> u8 {
    (0..=255).find(|quotient| multiply(*quotient, b) == a).expect("b is not zero")
}

#[test]
fn an_undisturbed_attempt_of_every_kind_gives_the_sum() {
    for ring in [RingWidth::Bits32, RingWidth::Bits64] {
        for generator in [MaskGenerator::Aes256Ctr, MaskGenerator::ChaCha20] {
            let federation = Federation::new(9, Shape::drawn(5, ring, generator));
            let outcome = run(&federation.session(0, 0), &mut Undisturbed);
            let sum = outcome.result.expect("nobody is gone").sum;
            assert_eq!(sum.centred(), federation.plain_sum(federation.merchants()));
        }
    }
}
