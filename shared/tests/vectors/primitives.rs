//! Primitives and the key schedule, computed with the libraries directly and compared with what the cores make of them.

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::message::MemberKeys;
use guildhall_shared::ring::{RingVector, RingWidth, Sign};
use guildhall_shared::secagg::agreement::{Route, SecretKey, SharePair, check_public, self_mask};
use guildhall_shared::secagg::mask::MaskSet;
use guildhall_shared::secagg::transcript::{self, Secret, Transcript};
use guildhall_shared::secagg::{Graph, MaskGenerator, SecaggParameters, graph, shamir};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::fixture::{identity, secret, session_seed};
use crate::json::{Json, json};

fn hkdf(input: &[u8], info: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(None, input).expand_multi_info(info, &mut out).expect("short");
    out
}

fn agree(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public)).to_bytes()
}

pub fn vectors() -> Json {
    json!({
        "about": "primitives, the key schedule, and the numbers of masked rounds; everything in hex",
        "digests": digests(),
        "signatures": signatures(),
        "session_seed": seed(),
        "keys": keys(),
        "masks": masks(),
        "shamir": shamir_vectors(),
        "small_order_keys": small_order_keys(),
        "thresholds": thresholds(),
        "draw_of_129": draw_of_129(),
    })
}

fn digests() -> Json {
    let of = |label: &str, parts: &[&[u8]]| {
        let digest = Digest::of(label, parts).to_string();
        json!({ "label": label, "parts": parts.iter().map(hex::encode).collect::<Vec<_>>(), "digest": digest })
    };
    let long = [7; 1_000];
    json!([of("", &[]), of("a label", &[b"ab", b"c"]), of("a label", &[b"a", b"bc"]), of("l", &[&[], &long])])
}

fn signatures() -> Json {
    let of = |i: u16| {
        let (secret, parts) = (secret("identity", i), [&b"one"[..], b"", b"three"]);
        let key = IdentityKey::from_secret(&secret);
        let halves = key.sign("a statement", &parts).0;
        json!({
            "secret": hex::encode(secret),
            "public": hex::encode(key.public().0),
            "label": "a statement",
            "parts": parts.map(hex::encode),
            "signature": hex::encode(halves.concat()),
        })
    };
    json!([of(0), of(1)])
}

fn seed() -> Json {
    let bytes = secret("session seed", 0);
    let part = |label: &str| hkdf(&bytes, &[label.as_bytes()]);
    let (seed, threshold) = (session_seed(0), 4);
    let (encryption, mask) = (seed.encryption_key().public(), seed.mask_key().public());
    let secrets = [part("guildhall secagg encryption key v1"), part("guildhall secagg mask key v1")];
    assert_eq!(encryption.0, PublicKey::from(&StaticSecret::from(secrets[0])).to_bytes());
    assert_eq!(mask.0, PublicKey::from(&StaticSecret::from(secrets[1])).to_bytes());
    let mut holders = seed.holders();
    let below: Vec<u16> = [1, 2, 3, 10, 128, 999, 1_000, 65_535].map(|bound| holders.below(bound)).to_vec();
    json!({
        "seed": hex::encode(bytes),
        "encryption_secret": hex::encode(secrets[0]),
        "encryption_public": hex::encode(encryption.0),
        "mask_secret": hex::encode(secrets[1]),
        "mask_public": hex::encode(mask.0),
        "self_mask_seed": hex::encode(*seed.self_mask_seed()),
        "coefficients_of_threshold_4": seed.coefficients(threshold).iter().map(hex::encode).collect::<Vec<_>>(),
        "numbers_below_1_2_3_10_128_999_1000_65535": below,
    })
}

/// Every key between merchants 1 and 2, with both sides' view.
fn keys() -> Json {
    let transcript = Transcript { sid: Digest([1; 32]), roster: Digest([2; 32]), members: Digest([3; 32]) };
    let (one, two) = (MerchantIndex(1), MerchantIndex(2));
    let route = Route { sid: &transcript.sid, roster: &transcript.roster, dealer: two, holder: one };
    let secrets = [secret("agreement", 1), secret("agreement", 2)];
    let [a, b] = secrets.map(|secret| SecretKey::from_bytes(&Zeroizing::new(secret)));
    let shared = agree(&secrets[0], &b.public().0);
    let (i, j, all) = (1u16.to_le_bytes(), 2u16.to_le_bytes(), [[1; 32], [2; 32], [3; 32]]);
    let share_key = hkdf(&shared, &[b"guildhall secagg share key v1", &all[0], &all[1], &j, &i]);
    let pair = hkdf(&shared, &[b"guildhall secagg pair mask v1", &all[0], &all[1], &all[2], &i, &j]);
    let own = hkdf(&secrets[0], &[b"guildhall secagg self mask v1", &all[0], &i]);
    let shares = SharePair { mask_key: Zeroizing::new([8; 32]), seed: Zeroizing::new([9; 32]) };
    let sealed = b.share_key(&a.public(), &route).expect("good").seal(&route, &shares);
    let opened = a.share_key(&b.public(), &route).expect("good").open(&route, &sealed).expect("it opens");
    assert_eq!((*opened.mask_key, *opened.seed), ([8; 32], [9; 32]));
    let mut masks = MaskSet::new(transcript.sid, MaskGenerator::Aes256Ctr);
    masks.push(a.pair_mask(&b.public(), &transcript, one, two).expect("good"), Sign::Add);
    masks.push(self_mask(&secrets[0], &transcript.sid, one), Sign::Subtract);
    let mut vector = RingVector::zero(RingWidth::Bits64, 3);
    masks.apply(&mut vector);
    let commitment = transcript::seed_commitment(&transcript.sid, one, &secrets[0]);
    let hash = |secret| transcript::share_hash(&transcript.sid, two, one, secret, &[9; 32]).to_string();
    json!({
        "sid": hex::encode(all[0]),
        "t1": hex::encode(all[1]),
        "members_digest": hex::encode(all[2]),
        "secret_1": hex::encode(secrets[0]),
        "public_1": hex::encode(a.public().0),
        "secret_2": hex::encode(secrets[1]),
        "public_2": hex::encode(b.public().0),
        "agreed": hex::encode(shared),
        "share_key_of_dealer_2_for_holder_1": hex::encode(share_key),
        "shares": hex::encode([[8; 32], [9; 32]].concat()),
        "sealed": hex::encode([&sealed.mask_key[..], &sealed.seed, &sealed.tag].concat()),
        "pair_mask_of_1_and_2": hex::encode(pair),
        "self_mask_of_1_from_secret_1": hex::encode(own),
        "pair_mask_minus_self_mask_3_words_aes_64": hex::encode(vector.to_bytes()),
        "seed_commitment_of_1_to_secret_1": commitment.to_string(),
        "hash_of_mask_key_share_of_dealer_2_holder_1": hash(Secret::MaskKey),
        "hash_of_seed_share_of_dealer_2_holder_1": hash(Secret::Seed),
    })
}

/// Self-masks under both generators on both rings; long enough to cross many blocks and any internal buffer.
fn masks() -> Json {
    let (seed, sid, words) = (secret("mask", 0), Digest([1; 32]), 5_001);
    let key = hkdf(&seed, &[b"guildhall secagg self mask v1", &sid.0, &[0, 0]]);
    let mut list: Vec<Json> = vec![];
    for (name, generator) in
        [("AES-256-CTR", MaskGenerator::Aes256Ctr), ("ChaCha20", MaskGenerator::ChaCha20)]
    {
        for (bits, width) in [(32, RingWidth::Bits32), (64, RingWidth::Bits64)] {
            let mut masks = MaskSet::new(sid, generator);
            masks.push(self_mask(&seed, &sid, MerchantIndex(0)), Sign::Add);
            let mut vector = RingVector::zero(width, words);
            masks.apply(&mut vector);
            let bytes = vector.to_bytes();
            list.push(json!({
                "generator": name,
                "ring_bits": bits,
                "key": hex::encode(key),
                "words": words,
                "first_4_words_as_signed_integers": vector.centred()[..4].to_vec(),
                "first_40_bytes": hex::encode(&bytes[..40]),
                "sha256_of_all": Digest::of_bytes(&bytes).to_string(),
            }));
        }
    }
    Json::Array(list)
}

fn shamir_vectors() -> Json {
    let of = |threshold: u16, holders: usize, zero: bool| {
        let value = secret("shamir secret", threshold);
        let mut coefficients: Vec<[u8; 32]> =
            (1..threshold).map(|i| secret("shamir coefficient", threshold * 256 + i)).collect();
        if zero {
            // A leading coefficient of zero is as likely as any other.
            *coefficients.last_mut().expect("one at least") = [0; 32];
        }
        let shares = shamir::split(&value, holders, &coefficients);
        let last: Vec<(u8, [u8; 32])> = shares
            .iter()
            .enumerate()
            .skip(holders - usize::from(threshold))
            .map(|(place, share)| (place as u8 + 1, **share))
            .collect();
        assert_eq!(*shamir::reconstruct(&last), value);
        json!({
            "secret": hex::encode(value),
            "coefficients": coefficients.iter().map(hex::encode).collect::<Vec<_>>(),
            "shares_from_point_1": shares.iter().map(|share| hex::encode(**share)).collect::<Vec<_>>(),
        })
    };
    json!([
        of(1, 2, false),
        of(2, 3, false),
        of(3, 3, false),
        of(4, 7, false),
        of(3, 5, true),
        of(5, 255, false)
    ])
}

/// Encodings for which X25519 gives zero whatever the secret.
fn small_order_keys() -> Json {
    let list = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for text in list {
        let mut key = guildhall_shared::secagg::agreement::AgreementKey([0; 32]);
        hex::decode_to_slice(text, &mut key.0).expect("hex");
        assert!(check_public(&key).is_err(), "{text}");
    }
    Json::from(list)
}

fn thresholds() -> Json {
    let row = |n: u32, colluders_min: u32| {
        let found = SecaggParameters::derive(n, colluders_min, MaskGenerator::Aes256Ctr);
        let numbers = found.ok().map(|p| {
            let graph = match p.graph {
                Graph::Complete => Json::Null,
                Graph::Sparse { holders, share_threshold } => json!([holders, share_threshold]),
            };
            json!([p.colluders, p.threshold, p.survivors_min, p.honest_shares, p.noise_shares(), graph])
        });
        json!([n, colluders_min, numbers])
    };
    let all = (2..=130).map(|n| row(n, 0)).chain([150, 200, 333, 500, 777, 1_000].map(|n| row(n, 0)));
    let more = [
        (3, 2),
        (3, 3),
        (4, 2),
        (5, 3),
        (5, 4),
        (10, 5),
        (10, 9),
        (100, 40),
        (100, 99),
        (158, 152),
        (200, 80),
    ];
    let rows: Vec<Json> = all.chain(more.map(|(n, colluders)| row(n, colluders))).collect();
    json!({ "columns": "n, colluders_min, none or (C, t, m_min, h, h', none or (k, t_k))", "rows": rows })
}

/// M2 of 129 merchants, and whom two of them draw as holders.
fn draw_of_129() -> Json {
    let (sid, model, parameters) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
    let members: Vec<MemberKeys> = (0..129)
        .map(|i| {
            let seed = session_seed(i);
            let (encryption_key, mask_key) = (seed.encryption_key().public(), seed.mask_key().public());
            let parts: [&[u8]; 5] = [&sid.0, &model.0, &parameters.0, &encryption_key.0, &mask_key.0];
            let signature = identity(i).sign("guildhall secagg advertise v1", &parts);
            MemberKeys { merchant: MerchantIndex(i), encryption_key, mask_key, signature }
        })
        .collect();
    let listed: Vec<MerchantIndex> = members.iter().map(|member| member.merchant).collect();
    let sparse = Graph::Sparse { holders: 67, share_threshold: 43 };
    let drawn = |dealer: u16| {
        let stream = &mut session_seed(dealer).holders();
        let holders = graph::holders(sparse, &listed, MerchantIndex(dealer), stream);
        json!({ "dealer": dealer, "holders": holders.iter().map(|holder| holder.0).collect::<Vec<_>>() })
    };
    json!({
        "sid": sid.to_string(),
        "model": model.to_string(),
        "parameter_digest": parameters.to_string(),
        "session_seeds": (0..129).map(|i| hex::encode(secret("session seed", i))).collect::<Vec<_>>(),
        "identity_secrets": (0..129).map(|i| hex::encode(secret("identity", i))).collect::<Vec<_>>(),
        "k": 67,
        "t1": transcript::roster_digest(&sid, &members).to_string(),
        "drawn": [drawn(0), drawn(64), drawn(128)],
    })
}
