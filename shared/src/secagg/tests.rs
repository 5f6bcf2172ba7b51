//! Whole attempts, client and server cores against each other: the sum is the plain sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{self, Advertised, Certified, Masked, Masking, Sharing, Uploaded};
use super::seed::SessionSeed;
use super::{Facts, MaskGenerator, SecaggParameters, Witness, server};
use crate::digest::Digest;
use crate::id::{MerchantIndex, Name};
use crate::identity::{IdentityKey, Roster, RosterEntry};
use crate::ring::{RingVector, RingWidth};

fn keys(n: u16) -> Vec<IdentityKey> {
    (0..n).map(|i| IdentityKey::from_secret(&Digest::of("identity", &[&i.to_le_bytes()]).0)).collect()
}

fn facts(keys: &[IdentityKey], ring: RingWidth, generator: MaskGenerator) -> Arc<Facts> {
    let entry = |(i, key): (usize, &IdentityKey)| RosterEntry {
        name: Name::new(format!("m{i:04}")).expect("legal"),
        region: Name::new("eu").expect("legal"),
        identity: key.public(),
        certificate: Digest::of("certificate", &[&i.to_le_bytes()]),
    };
    let entries = keys.iter().enumerate().map(entry).collect();
    Arc::new(Facts {
        sid: Digest([1; 32]),
        model: Digest([2; 32]),
        parameters: Digest([3; 32]),
        roster: Arc::new(Roster { federation: Digest([4; 32]), entries }.decode()),
        secagg: SecaggParameters::derive(keys.len() as u32, 0, generator).expect("enough"),
        ring,
        dimension: 5,
    })
}

fn seed(i: u16) -> SessionSeed {
    SessionSeed::from_entropy(Digest::of("seed", &[&i.to_le_bytes()]).0)
}

fn input(i: u16) -> Vec<i64> {
    (0..5).map(|j| i64::from(i) * 1_000 - j * 17).collect()
}

/// One attempt; `gone(stage, merchant)` says who vanishes before which message (1, 3, 5, 7, 9).
fn attempt(facts: &Arc<Facts>, keys: &[IdentityKey], gone: impl Fn(u8, u16) -> bool) -> Vec<i64> {
    let all = 0..keys.len() as u16;
    let mut advertising = server::Advertising::new(Arc::clone(facts));
    let mut advertised: BTreeMap<u16, Advertised> = BTreeMap::new();
    for i in all.filter(|i| !gone(1, *i)) {
        let (state, message) =
            client::advertise(Arc::clone(facts), MerchantIndex(i), seed(i), &keys[usize::from(i)]);
        advertising.receive(MerchantIndex(i), &message).expect("good");
        advertised.insert(i, state);
    }
    let (mut dealing, roster) = advertising.close().expect("enough");
    let mut sharing: BTreeMap<u16, Sharing> = BTreeMap::new();
    for (i, state) in advertised.into_iter().filter(|(i, _)| !gone(3, *i)) {
        let (state, message) =
            state.share(&roster, &Witness::default(), &keys[usize::from(i)]).expect("good");
        dealing.receive(MerchantIndex(i), message).expect("good");
        sharing.insert(i, state);
    }
    let (mut collecting, forwarded) = dealing.close().expect("enough");
    let mut uploaded: BTreeMap<u16, Uploaded> = BTreeMap::new();
    for (i, state) in sharing.into_iter().filter(|(i, _)| !gone(5, *i)) {
        let key = &keys[usize::from(i)];
        let state: Masking = state.receive(&forwarded[&MerchantIndex(i)], key).expect("good");
        let (masks, state): (_, Masked) = state.masks().expect("good");
        let mut vector = RingVector::from_integers(facts.ring, &input(i));
        masks.apply(&mut vector);
        let words = vector.to_bytes();
        let (state, header) = state.sign(Digest::of_bytes(&words), crate::tree_head::TreeHead::EMPTY, key);
        collecting.receive(MerchantIndex(i), &header, &words).expect("good");
        uploaded.insert(i, state);
    }
    let (mut certifying, survivors) = collecting.close().expect("enough");
    let mut certified: BTreeMap<u16, Certified> = BTreeMap::new();
    for (i, state) in uploaded.into_iter().filter(|(i, _)| !gone(7, *i)) {
        let (state, message) =
            state.certify(&survivors, &Witness::default(), &keys[usize::from(i)]).expect("good");
        certifying.receive(MerchantIndex(i), &message).expect("good");
        certified.insert(i, state);
    }
    assert!(certifying.is_complete());
    let (mut unmasking, certificate) = certifying.close().expect("enough");
    for (i, state) in certified.into_iter().filter(|(i, _)| !gone(9, *i)) {
        let (message, _) = state.unmask(&certificate, &keys[usize::from(i)]).expect("good");
        unmasking.receive(MerchantIndex(i), &message).expect("good");
    }
    assert!(unmasking.is_complete());
    let unmasked = unmasking.finish().expect("enough good shares");
    let expected = unmasked.survivors.iter().fold(vec![0; 5], |sum: Vec<i64>, merchant| {
        sum.iter().zip(input(merchant.0)).map(|(a, b)| a + b).collect()
    });
    assert_eq!(unmasked.sum.centred(), expected);
    unmasked.sum.centred()
}

#[test]
fn the_sum_is_the_plain_sum_whoever_drops_out_when() {
    for generator in [MaskGenerator::Aes256Ctr, MaskGenerator::ChaCha20] {
        for ring in [RingWidth::Bits32, RingWidth::Bits64] {
            let keys = keys(10);
            let facts = facts(&keys, ring, generator);
            attempt(&facts, &keys, |_, _| false);
            attempt(&facts, &keys, |stage, i| stage == 1 && i == 3);
            attempt(&facts, &keys, |stage, i| stage == 3 && i < 2);
            attempt(&facts, &keys, |stage, i| stage == 5 && i > 7);
            attempt(&facts, &keys, |stage, i| (stage == 5 && i == 0) || (stage == 7 && i == 9));
            attempt(&facts, &keys, |stage, i| (stage == 7 && i == 4) || (stage == 9 && i >= 8));
        }
    }
}

#[test]
fn three_merchants_finish_with_the_shares_they_keep_themselves() {
    let keys = keys(3);
    attempt(&facts(&keys, RingWidth::Bits64, MaskGenerator::Aes256Ctr), &keys, |_, _| false);
}
