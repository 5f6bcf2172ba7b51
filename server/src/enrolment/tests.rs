use std::path::Path;

use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, SignedRoster};
use guildhall_shared::message::ENROLMENT_TOKEN_BYTES;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::sled::SledStore;

struct Bench {
    records: Records,
    authority: Authority,
    _dir: tempfile::TempDir,
}

fn name(text: &str) -> Name {
    Name::new(text).expect("legal")
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::create(dir.path(), &name("market")).expect("keys");
    Bench { records: Records::new(Box::new(MemoryStore::default())), authority, _dir: dir }
}

fn invite(records: &Records, merchant: &str, token: u8) -> Invitation {
    let invitation = Invitation {
        merchant: name(merchant),
        address: "127.0.0.1:1".parse().expect("an address"),
        authority: Digest([0; 32]),
        token: [token; ENROLMENT_TOKEN_BYTES],
    };
    let record = InvitationRecord { merchant: name(merchant), used_by: None };
    records.put_invitation(&Invitation::token_digest(&invitation.token), &record).expect("kept");
    invitation
}

fn signing_request(key: &KeyPair, common_name: &str) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["evil.example".into()]).expect("legal");
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.serialize_request(key).expect("encodes").der().to_vec()
}

fn request(invitation: &Invitation, identity: u8, key: &KeyPair) -> EnrolRequest {
    let identity = IdentityKey::from_secret(&[identity; 32]);
    EnrolRequest::sign(invitation, name("eu"), &identity, signing_request(key, "anybody"))
}

impl Bench {
    fn enrol(&self, request: &EnrolRequest) -> Result<Enrolment, EnrolmentError> {
        enrol(&self.records, &self.authority, request)
    }
}

#[test]
fn a_lost_reply_may_be_asked_for_again_and_nothing_else() {
    let bench = bench();
    let invitation = invite(&bench.records, "grocery", 1);
    let key = KeyPair::generate().expect("a key");
    let first = request(&invitation, 1, &key);
    let Ok(Enrolment::New(merchant)) = bench.enrol(&first) else { panic!("enrolled") };
    assert_eq!(bench.enrol(&first), Ok(Enrolment::Repeated(merchant.clone())));
    // Another identity, another TLS key, another region: another request.
    let used = Err(EnrolmentError::Used(name("grocery")));
    assert_eq!(bench.enrol(&request(&invitation, 2, &key)), used);
    assert_eq!(bench.enrol(&request(&invitation, 1, &KeyPair::generate().expect("a key"))), used);
    let identity = IdentityKey::from_secret(&[1; 32]);
    let moved = EnrolRequest::sign(&invitation, name("us"), &identity, first.signing_request.clone());
    assert_eq!(bench.enrol(&moved), used);
    assert_eq!(bench.records.merchants().expect("read"), [merchant]);
}

#[test]
fn the_reply_can_be_repeated_after_the_roster_closed_but_nobody_new_comes_in() {
    let bench = bench();
    let (one, two) = (invite(&bench.records, "a", 1), invite(&bench.records, "b", 2));
    let key = KeyPair::generate().expect("a key");
    let first = request(&one, 1, &key);
    let Ok(Enrolment::New(merchant)) = bench.enrol(&first) else { panic!("enrolled") };
    let entry = RosterEntry {
        certificate: merchant.certificate_digest(),
        name: merchant.name.clone(),
        region: merchant.region.clone(),
        identity: merchant.identity,
    };
    let roster = Roster { federation: Digest([0; 32]), entries: vec![entry] };
    let signed = SignedRoster::sign(roster, &IdentityKey::from_secret(&[9; 32])).expect("good");
    bench.records.put_roster(&signed).expect("kept");
    assert_eq!(bench.enrol(&first), Ok(Enrolment::Repeated(merchant)));
    assert_eq!(bench.enrol(&request(&two, 2, &key)), Err(EnrolmentError::Closed));
}

#[test]
fn wrong_tokens_names_and_signatures_are_refused() {
    let bench = bench();
    let invitation = invite(&bench.records, "grocery", 1);
    let key = KeyPair::generate().expect("a key");
    let mut unknown = invitation.clone();
    unknown.token = [7; 32];
    assert_eq!(bench.enrol(&request(&unknown, 1, &key)), Err(EnrolmentError::Unknown));
    let mut stolen = invitation.clone();
    stolen.merchant = name("drug-gm");
    let (expected, found) = (name("grocery"), name("drug-gm"));
    assert_eq!(bench.enrol(&request(&stolen, 1, &key)), Err(EnrolmentError::Merchant { expected, found }));
    let mut forged = request(&invitation, 1, &key);
    forged.identity = IdentityKey::from_secret(&[2; 32]).public();
    assert!(matches!(bench.enrol(&forged), Err(EnrolmentError::Signature(_))));
    assert_eq!(bench.records.merchants().expect("read"), []);
    // None of these used the invitation up.
    assert!(matches!(bench.enrol(&request(&invitation, 1, &key)), Ok(Enrolment::New(_))));
}

#[test]
fn no_name_identity_or_tls_key_is_enrolled_twice() {
    let bench = bench();
    let (key, other) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let [a, again, b] = [("a", 1), ("a", 2), ("b", 3)].map(|(who, token)| invite(&bench.records, who, token));
    assert!(matches!(bench.enrol(&request(&a, 1, &key)), Ok(Enrolment::New(_))));
    let what = |outcome| match outcome {
        Err(EnrolmentError::Duplicate { what, holder, .. }) => (what, holder),
        other => panic!("a duplicate, found {other:?}"),
    };
    assert_eq!(what(bench.enrol(&request(&again, 2, &other))), ("the name", name("a")));
    assert_eq!(what(bench.enrol(&request(&b, 1, &other))), ("the identity", name("a")));
    assert_eq!(what(bench.enrol(&request(&b, 2, &key))), ("the TLS key", name("a")));
}

#[test]
fn a_signing_request_gives_its_key_and_nothing_else() {
    let bench = bench();
    let key = KeyPair::generate().expect("a key");
    let issued = bench.authority.issue(&name("grocery"), &signing_request(&key, "root")).expect("issued");
    let text = |needle: &str| issued.certificate.windows(needle.len()).any(|w| w == needle.as_bytes());
    assert!(text("grocery") && !text("evil.example") && !text("root"));
    for bad in [
        vec![],
        vec![0x30; 40],
        {
            let mut cut = signing_request(&key, "x");
            cut.truncate(60);
            cut
        },
        {
            let mut forged = signing_request(&key, "x");
            let last = forged.len() - 1;
            forged[last] ^= 1;
            forged
        },
    ] {
        assert!(bench.authority.issue(&name("grocery"), &bad).is_err());
    }
}

#[test]
fn an_enrolment_survives_the_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::create(dir.path(), &name("market")).expect("keys");
    let open = |path: &Path| Records::new(Box::new(SledStore::open(&path.join("store")).expect("opens")));
    let records = open(dir.path());
    let invitation = invite(&records, "grocery", 1);
    let first = request(&invitation, 1, &KeyPair::generate().expect("a key"));
    let Ok(Enrolment::New(merchant)) = enrol(&records, &authority, &first) else { panic!("enrolled") };
    drop((records, authority));
    let (records, authority) = (open(dir.path()), Authority::load(dir.path()).expect("loads"));
    assert_eq!(enrol(&records, &authority, &first), Ok(Enrolment::Repeated(merchant.clone())));
    let found = records.merchant_by_certificate(&merchant.certificate_digest()).expect("reads");
    assert_eq!(found, Some(merchant));
}
