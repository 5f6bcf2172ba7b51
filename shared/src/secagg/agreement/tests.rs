//! Published vectors, refused keys, and what each derived key is bound to.

use super::*;
use crate::ring::{RingVector, RingWidth, Sign};
use crate::secagg::MaskGenerator;
use crate::secagg::mask::MaskSet;
use crate::secagg::seed::{ByteStream, SessionSeed};

const ONE: MerchantIndex = MerchantIndex(1);
const TWO: MerchantIndex = MerchantIndex(2);
const THREE: MerchantIndex = MerchantIndex(3);

fn bytes(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

fn secret(bytes: [u8; 32]) -> SecretKey {
    SecretKey::from_bytes(&Zeroizing::new(bytes))
}

fn agreed(own: [u8; 32], peer: [u8; 32]) -> String {
    hex::encode(*secret(own).agree(&AgreementKey(peer)).expect("good keys"))
}

/// A merchant's keys: for shares, for masks.
fn keys(byte: u8) -> [SecretKey; 2] {
    let seed = SessionSeed::from_entropy([byte; 32]);
    [seed.encryption_key(), seed.mask_key()]
}

/// RFC 7748, sections 5.2 (first vector; one and a thousand iterations) and 6.1.
#[test]
fn published_vectors_of_x25519() {
    let scalar = bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
    let point = bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    assert_eq!(agreed(scalar, point), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");

    let nine = [0; 32];
    let (mut k, mut u) = (nine, nine);
    (k[0], u[0]) = (9, 9);
    for iteration in 1..=1_000 {
        (k, u) = (bytes(&agreed(k, u)), k);
        if iteration == 1 {
            assert_eq!(hex::encode(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
        }
    }
    assert_eq!(hex::encode(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");

    let alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let [alice_public, bob_public] = [alice, bob].map(|key| secret(key).public().0);
    assert_eq!(alice_public, bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
    assert_eq!(bob_public, bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
    let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_eq!([agreed(alice, bob_public), agreed(bob, alice_public)], [shared, shared]);
}

/// The points of order 1, 2, 4 and 8 of the curve and its twist, in all their encodings.
#[test]
fn keys_of_small_order_are_refused() {
    let reduced = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let unreduced = [
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let transcript = Transcript { sid: Digest([1; 32]), roster: Digest([2; 32]), members: Digest([3; 32]) };
    let route = Route { sid: &transcript.sid, roster: &transcript.roster, dealer: ONE, holder: TWO };
    let [encryption, mask] = keys(1);
    for (text, error) in reduced
        .map(|text| (text, AgreementError::SmallOrder))
        .into_iter()
        .chain(unreduced.map(|text| (text, AgreementError::NotCanonical)))
    {
        let key = AgreementKey(bytes(text));
        assert_eq!(check_public(&key), Err(error), "{text}");
        assert_eq!(mask.pair_mask(&key, &transcript, ONE, TWO).err(), Some(error), "{text}");
        assert_eq!(encryption.share_key(&key, &route).err(), Some(error), "{text}");
        let mut high = key;
        high.0[31] |= 0x80;
        assert_eq!(check_public(&high), Err(AgreementError::NotCanonical), "{text}");
    }
}

/// X25519 ignores the highest bit and reduces, so the same point has other names. A copy of an honest merchant's key under
/// such a name would pass for a different key.
#[test]
fn a_second_encoding_of_a_key_is_refused() {
    let honest = keys(4)[1].public();
    let mut copied = honest;
    copied.0[31] |= 0x80;
    assert_eq!(check_public(&honest), Ok(()));
    assert_eq!(check_public(&copied), Err(AgreementError::NotCanonical));
    // 9 and 9 + 2^255 - 19.
    let (mut nine, mut above) = ([0; 32], [0xff; 32]);
    (nine[0], above[0], above[31]) = (9, 0xf6, 0x7f);
    assert_eq!(check_public(&AgreementKey(nine)), Ok(()));
    assert_eq!(check_public(&AgreementKey(above)), Err(AgreementError::NotCanonical));
    // The largest number that is a key at all, and not of small order: p - 2.
    above[0] = 0xeb;
    assert_eq!(check_public(&AgreementKey(above)), Ok(()));
}

#[test]
fn every_key_a_merchant_makes_is_accepted() {
    for byte in 0..100 {
        assert!(keys(byte).iter().all(|key| check_public(&key.public()) == Ok(())));
    }
}

fn pair() -> SharePair {
    let part = |from: u8| Zeroizing::new(std::array::from_fn(|i| from + i as u8));
    SharePair { mask_key: part(0), seed: part(100) }
}

struct Where {
    sid: Digest,
    roster: Digest,
    dealer: MerchantIndex,
    holder: MerchantIndex,
}

impl Where {
    fn route(&self) -> Route<'_> {
        Route { sid: &self.sid, roster: &self.roster, dealer: self.dealer, holder: self.holder }
    }
}

const RIGHT: Where = Where { sid: Digest([1; 32]), roster: Digest([2; 32]), dealer: ONE, holder: TWO };

#[test]
fn the_holder_opens_what_the_dealer_sealed_for_it() {
    let ([dealer, _], [holder, _]) = (keys(1), keys(2));
    let key = dealer.share_key(&holder.public(), &RIGHT.route()).expect("good");
    let sealed = key.seal(&RIGHT.route(), &pair());
    let key = holder.share_key(&dealer.public(), &RIGHT.route()).expect("good");
    let opened = key.open(&RIGHT.route(), &sealed).expect("the right key");
    assert_eq!((opened.mask_key, opened.seed), (pair().mask_key, pair().seed));
    // Nothing of the shares shows.
    assert_ne!((sealed.mask_key, sealed.seed), (*pair().mask_key, *pair().seed));
}

#[test]
fn shares_open_nowhere_but_where_they_were_sealed_for() {
    let ([dealer, dealer_mask], [holder, holder_mask], [stranger, _]) = (keys(1), keys(2), keys(3));
    let key = || dealer.share_key(&holder.public(), &RIGHT.route()).expect("good");
    let sealed = key().seal(&RIGHT.route(), &pair());
    let refused = Some(AgreementError::Sealed);
    let others = [
        ("sid", Where { sid: Digest([9; 32]), ..RIGHT }),
        ("roster", Where { roster: Digest([9; 32]), ..RIGHT }),
        ("dealer", Where { dealer: THREE, ..RIGHT }),
        ("holder", Where { holder: THREE, ..RIGHT }),
        ("direction", Where { dealer: TWO, holder: ONE, ..RIGHT }),
    ];
    for (what, other) in &others {
        // Another key, and the right key with other associated data: each alone is enough.
        let derived = holder.share_key(&dealer.public(), &other.route()).expect("good");
        assert_eq!(derived.open(&RIGHT.route(), &sealed).err(), refused, "key of another {what}");
        assert_eq!(key().open(&other.route(), &sealed).err(), refused, "data of another {what}");
    }
    let wrong_keys =
        [(&holder, &stranger), (&stranger, &dealer), (&holder_mask, &dealer_mask), (&holder, &dealer_mask)];
    for (own, peer) in wrong_keys {
        let key = own.share_key(&peer.public(), &RIGHT.route()).expect("good");
        assert_eq!(key.open(&RIGHT.route(), &sealed).err(), refused);
    }
}

#[test]
fn a_changed_bit_of_sealed_shares_is_noticed() {
    let ([dealer, _], [holder, _]) = (keys(1), keys(2));
    let key = || holder.share_key(&dealer.public(), &RIGHT.route()).expect("good");
    let sealed = key().seal(&RIGHT.route(), &pair());
    for bit in 0..80 * 8 {
        let mut changed = sealed.clone();
        match bit / 8 {
            byte @ 0..32 => changed.mask_key[byte] ^= 1 << (bit % 8),
            byte @ 32..64 => changed.seed[byte - 32] ^= 1 << (bit % 8),
            byte => changed.tag[byte - 64] ^= 1 << (bit % 8),
        }
        assert_eq!(key().open(&RIGHT.route(), &changed).err(), Some(AgreementError::Sealed), "bit {bit}");
    }
    // Swapping the two shares is a change too.
    let swapped = SealedShares { mask_key: sealed.seed, seed: sealed.mask_key, tag: sealed.tag };
    assert!(key().open(&RIGHT.route(), &swapped).is_err());
}

/// The first 32 bytes that a mask key expands into.
fn expanded(key: MaskKey) -> Vec<u8> {
    let mut masks = MaskSet::new(Digest([0; 32]), MaskGenerator::ChaCha20);
    masks.push(key, Sign::Add);
    let mut vector = RingVector::zero(RingWidth::Bits64, 4);
    masks.apply(&mut vector);
    vector.to_bytes()
}

const SEEN: Transcript =
    Transcript { sid: Digest([1; 32]), roster: Digest([2; 32]), members: Digest([3; 32]) };

#[test]
fn both_sides_of_a_pair_make_the_same_mask() {
    let ([_, one], [_, two]) = (keys(1), keys(2));
    let mask = |own: &SecretKey, peer: &SecretKey, [a, b]: [MerchantIndex; 2]| {
        expanded(own.pair_mask(&peer.public(), &SEEN, a, b).expect("good"))
    };
    let expected = mask(&one, &two, [ONE, TWO]);
    for order in [[ONE, TWO], [TWO, ONE]] {
        assert_eq!(mask(&one, &two, order), expected);
        assert_eq!(mask(&two, &one, order), expected);
    }
}

/// Different models, members or sessions: then masks do not cancel, and the server gets garbage instead of a leak.
#[test]
fn a_pair_mask_is_bound_to_session_roster_members_and_both_merchants() {
    let ([one_shares, one], [two_shares, two], [_, three]) = (keys(1), keys(2), keys(3));
    let mask = |own: &SecretKey, peer: &SecretKey, seen: &Transcript, a, b| {
        expanded(own.pair_mask(&peer.public(), seen, a, b).expect("good"))
    };
    let other = Digest([9; 32]);
    let all = [
        mask(&one, &two, &SEEN, ONE, TWO),
        mask(&one, &two, &Transcript { sid: other, ..SEEN }, ONE, TWO),
        mask(&one, &two, &Transcript { roster: other, ..SEEN }, ONE, TWO),
        mask(&one, &two, &Transcript { members: other, ..SEEN }, ONE, TWO),
        mask(&one, &two, &SEEN, ONE, THREE),
        mask(&one, &two, &SEEN, THREE, TWO),
        mask(&one, &three, &SEEN, ONE, TWO),
        mask(&one_shares, &two_shares, &SEEN, ONE, TWO),
        expanded(self_mask(&one.agree(&two.public()).expect("good"), &SEEN.sid, ONE)),
    ];
    let distinct: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_self_mask_is_bound_to_seed_session_and_merchant() {
    let other = Digest([9; 32]);
    let all = [
        expanded(self_mask(&[5; 32], &SEEN.sid, ONE)),
        expanded(self_mask(&[5; 32], &other, ONE)),
        expanded(self_mask(&[5; 32], &SEEN.sid, TWO)),
        expanded(self_mask(&[6; 32], &SEEN.sid, ONE)),
    ];
    let distinct: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

/// The same two keys used for shares and for masks would still derive keys that have nothing to do with each other.
#[test]
fn no_shared_keys_between_shares_and_masks() {
    let ([one, _], [two, _]) = (keys(1), keys(2));
    let share_key = one.share_key(&two.public(), &RIGHT.route()).expect("good");
    let mask = one.pair_mask(&two.public(), &SEEN, ONE, TWO).expect("good");
    assert_ne!(expanded(MaskKey::from_secret(share_key.0)), expanded(mask));
    let back =
        one.share_key(&two.public(), &Where { dealer: TWO, holder: ONE, ..RIGHT }.route()).expect("good");
    let there = one.share_key(&two.public(), &RIGHT.route()).expect("good");
    assert_ne!(back.0, there.0, "one key for one direction");
}

/// Does not compile once a secret type prints or can be serialised.
macro_rules! assert_no_implementation {
    ($bound:path: $($secret:ty),+) => {
        $({
            // Two implementations match a type that has the trait, and the call is ambiguous.
            trait Ambiguous<A> {
                fn alone() {}
            }
            struct Implemented;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $bound> Ambiguous<Implemented> for T {}
            <$secret as Ambiguous<_>>::alone();
        })+
    };
}

#[test]
fn secrets_do_not_print_and_are_not_serialisable() {
    assert_no_implementation!(std::fmt::Debug: SecretKey, ShareKey, SharePair, MaskKey, MaskSet, ByteStream);
    assert_no_implementation!(std::fmt::Display: SecretKey, ShareKey, SharePair, MaskKey, MaskSet, SessionSeed);
    assert_no_implementation!(Serialize: SecretKey, ShareKey, SharePair, MaskKey, MaskSet, SessionSeed, ByteStream);
    assert_no_implementation!(Clone: SecretKey, ShareKey, SharePair, MaskKey, MaskSet, SessionSeed, ByteStream);
}
