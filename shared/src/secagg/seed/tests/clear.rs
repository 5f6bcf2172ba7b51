//! No seeds in the clear: the bytes of a whole attempt are searched for everything secret in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::SessionSeed;
use crate::digest::Digest;
use crate::id::{MerchantIndex, Name};
use crate::identity::{IdentityKey, Roster, RosterEntry};
use crate::message::{ClientMessage, ServerMessage, join_vector};
use crate::ring::{RingVector, RingWidth};
use crate::secagg::{Facts, MaskGenerator, SecaggParameters, Witness, client, server, shamir};
use crate::wire;

const N: u16 = 5;
/// Sends no masked vector.
const DROPPED: u16 = 3;

fn facts(keys: &[IdentityKey]) -> Arc<Facts> {
    let entry = |(i, key): (usize, &IdentityKey)| RosterEntry {
        name: Name::new(format!("m{i}")).expect("legal"),
        region: Name::new("eu").expect("legal"),
        identity: key.public(),
        certificate: Digest::of("certificate", &[&i.to_le_bytes()]),
    };
    Arc::new(Facts {
        sid: Digest([1; 32]),
        model: Digest([2; 32]),
        parameters: Digest([3; 32]),
        roster: Arc::new(
            Roster { federation: Digest([4; 32]), entries: keys.iter().enumerate().map(entry).collect() }
                .decode(),
        ),
        secagg: SecaggParameters::derive(u32::from(N), 0, MaskGenerator::Aes256Ctr).expect("enough"),
        ring: RingWidth::Bits64,
        dimension: 16,
    })
}

fn entropy(merchant: u16) -> [u8; 32] {
    Digest::of("entropy", &[&merchant.to_le_bytes()]).0
}

/// Integers without zero bytes, which are everywhere in messages.
fn input(merchant: u16) -> Vec<i64> {
    let hash = |j: i64| Digest::of("input", &[&merchant.to_le_bytes(), &j.to_le_bytes()]).0;
    (0..16).map(|j| i64::from_le_bytes(std::array::from_fn(|i| hash(j)[i] | 1))).collect()
}

/// Every message of an attempt as it is sent, up to M8 and from there on.
#[derive(Default)]
struct Sent {
    before: Vec<u8>,
    unmask: Vec<u8>,
}

impl Sent {
    fn client(&mut self, message: impl Into<ClientMessage>) {
        self.before.extend(message.into().to_frame().expect("encodes"));
    }

    fn server(&mut self, message: impl Into<ServerMessage>) {
        self.before.extend(message.into().to_frame().expect("encodes"));
    }
}

fn attempt() -> Sent {
    let keys: Vec<IdentityKey> =
        (0..N).map(|i| IdentityKey::from_secret(&Digest::of("identity", &[&i.to_le_bytes()]).0)).collect();
    let key = |merchant: MerchantIndex| &keys[usize::from(merchant.0)];
    let (facts, mut sent) = (facts(&keys), Sent::default());
    let mut advertising = server::Advertising::new(Arc::clone(&facts));
    let mut advertised = BTreeMap::new();
    for merchant in (0..N).map(MerchantIndex) {
        let seed = SessionSeed::from_entropy(entropy(merchant.0));
        let (state, message) = client::advertise(Arc::clone(&facts), merchant, seed, key(merchant));
        advertising.receive(merchant, &message).expect("good");
        sent.client(message);
        advertised.insert(merchant, state);
    }
    let (mut dealing, roster) = advertising.close().expect("enough");
    sent.server(roster.clone());
    let mut sharing = BTreeMap::new();
    for (merchant, state) in advertised {
        let (state, message) = state.share(&roster, &Witness::default(), key(merchant)).expect("good");
        sent.client(message.clone());
        dealing.receive(merchant, message).expect("good");
        sharing.insert(merchant, state);
    }
    let (mut collecting, forwarded) = dealing.close().expect("enough");
    forwarded.values().for_each(|message| sent.server(message.clone()));
    let mut uploaded = BTreeMap::new();
    for (merchant, state) in sharing.into_iter().filter(|(merchant, _)| merchant.0 != DROPPED) {
        let state = state.receive(&forwarded[&merchant], key(merchant)).expect("good");
        let (masks, state) = state.masks().expect("good");
        let mut vector = RingVector::from_integers(facts.ring, &input(merchant.0));
        masks.apply(&mut vector);
        let words = vector.into_bytes();
        let (state, header) =
            state.sign(Digest::of_bytes(&words), crate::tree_head::TreeHead::EMPTY, key(merchant));
        collecting.receive(merchant, &header, &words).expect("good");
        sent.before.extend(join_vector(&wire::encode(&header).expect("encodes"), &words));
        uploaded.insert(merchant, state);
    }
    let (mut certifying, survivors) = collecting.close().expect("enough");
    sent.server(survivors.clone());
    let mut certified = BTreeMap::new();
    for (merchant, state) in uploaded {
        let (state, message) = state.certify(&survivors, &Witness::default(), key(merchant)).expect("good");
        certifying.receive(merchant, &message).expect("good");
        sent.client(message);
        certified.insert(merchant, state);
    }
    let (_, certificate) = certifying.close().expect("enough");
    sent.server(certificate.clone());
    for (merchant, state) in certified {
        let (message, _) = state.unmask(&certificate, key(merchant)).expect("good");
        sent.unmask.extend(ClientMessage::from(message).to_frame().expect("encodes"));
    }
    sent
}

/// Every secret of one merchant: what it is, and its bytes.
fn secrets(merchant: u16) -> Vec<(&'static str, Vec<u8>)> {
    let seed = SessionSeed::from_entropy(entropy(merchant));
    let coefficients = seed.coefficients(4);
    let mut secrets = vec![
        ("session seed", entropy(merchant).to_vec()),
        ("encryption key", seed.encryption_key().to_secret().to_vec()),
        ("mask key", seed.mask_key().to_secret().to_vec()),
        ("self-mask seed", seed.self_mask_seed().to_vec()),
        ("input", input(merchant).iter().flat_map(|x| x.to_le_bytes()).collect()),
    ];
    secrets.extend(coefficients.iter().map(|coefficient| ("coefficient", coefficient.to_vec())));
    secrets
}

/// The merchant's shares at all points: of the mask key, of the seed.
fn shares(merchant: u16) -> Vec<[Vec<u8>; 2]> {
    let seed = SessionSeed::from_entropy(entropy(merchant));
    let mut secret = [0; 64];
    secret[..32].copy_from_slice(&*seed.mask_key().to_secret());
    secret[32..].copy_from_slice(&*seed.self_mask_seed());
    let shares = shamir::split(&secret, usize::from(N), &seed.coefficients(4));
    shares.iter().map(|share| [share[..32].to_vec(), share[32..].to_vec()]).collect()
}

/// All pieces of eight bytes of what was sent.
fn pieces(sent: &[u8]) -> BTreeSet<&[u8]> {
    sent.windows(8).collect()
}

fn shows(sent: &BTreeSet<&[u8]>, secret: &[u8]) -> bool {
    secret.windows(8).any(|piece| sent.contains(piece))
}

/// A seed that is sent as it is, or a share before it is asked for, opens a mask to whoever listens. No eight bytes of a
/// secret are in what is sent, and no eight bytes of a share before the certificate; after it, of each merchant's two
/// secrets the shares of one alone.
///
/// By chance: fewer than 2^16 pieces, fewer than 2^13 sought, 2^-35.
#[test]
fn no_seeds_in_the_clear() {
    let sent = attempt();
    let (before, unmask) = (pieces(&sent.before), pieces(&sent.unmask));
    for merchant in 0..N {
        for (what, secret) in secrets(merchant) {
            assert!(!shows(&before, &secret), "{what} of {merchant} before the certificate");
            assert!(!shows(&unmask, &secret), "{what} of {merchant} in an unmasking");
        }
        for (place, [mask_key, seed]) in shares(merchant).into_iter().enumerate() {
            assert!(!shows(&before, &mask_key) && !shows(&before, &seed), "share {place} of {merchant}");
            let answered = place != usize::from(DROPPED);
            let survived = merchant != DROPPED;
            assert_eq!(shows(&unmask, &seed), answered && survived, "seed share {place} of {merchant}");
            assert_eq!(shows(&unmask, &mask_key), answered && !survived, "key share {place} of {merchant}");
        }
    }
    // The search finds what is there: the session, and whatever was meant to be seen.
    assert!(shows(&before, &[1; 32]));
}
