//! Bad messages, each with the name of its refusal.

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::frame::{self, HEADER_BYTES};
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Signature;
use guildhall_shared::message::{
    CertificateSignature, Certify, Complaint, DealtShare, MemberKeys, Offer, Survivors, Unmask,
};
use guildhall_shared::secagg::agreement::AgreementKey;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::secagg::transcript::{self, Transcript};

use crate::attempt::{self, Attempt, client_frame, server_frame, update_frame};
use crate::fixture::{self, Fixture, federation_key, identity};
use crate::json::{Json, json};
use crate::replay::Case;

const SERVER: Option<MerchantIndex> = None;

/// A point of order 8 on Curve25519, in the encoding of RFC 7748.
pub const SMALL_ORDER: &str = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";

fn merchant(i: u16) -> Option<MerchantIndex> {
    Some(MerchantIndex(i))
}

fn small_order_key() -> AgreementKey {
    let mut key = AgreementKey([0; 32]);
    hex::decode_to_slice(SMALL_ORDER, &mut key.0).expect("64 hex characters");
    key
}

/// The cases of one attempt.
struct Cases {
    fixture: Fixture,
    attempt: Arc<Attempt>,
    list: Vec<Case>,
}

impl Cases {
    fn new(fixture: Fixture) -> Self {
        let attempt = Arc::new(attempt::run(&fixture));
        Cases { fixture, attempt, list: vec![] }
    }

    fn push(
        &mut self,
        (name, message, refusal): (&str, &'static str, &'static str),
        (from, receiver): (Option<MerchantIndex>, Option<MerchantIndex>),
        frame: Vec<u8>,
    ) {
        self.list.push(Case {
            name: name.into(),
            fixture: self.fixture.clone(),
            attempt: Arc::clone(&self.attempt),
            receiver,
            from,
            message,
            repeated: refusal == "repeated",
            frame,
            refusal,
        });
    }

    /// To a client.
    fn down(&mut self, to: u16, what: (&str, &'static str, &'static str), frame: Vec<u8>) {
        self.push(what, (SERVER, merchant(to)), frame);
    }

    /// To the server.
    fn up(&mut self, from: u16, what: (&str, &'static str, &'static str), frame: Vec<u8>) {
        self.push(what, (merchant(from), SERVER), frame);
    }
}

/// A frame whose body lost its last byte.
fn truncated(frame: &[u8]) -> Vec<u8> {
    let kind = u16::from_le_bytes([frame[6], frame[7]]);
    frame::frame(kind, &frame[HEADER_BYTES..frame.len() - 1])
}

fn flipped(signature: Signature) -> Signature {
    let mut bytes = signature.0;
    bytes[0][0] ^= 1;
    Signature(bytes)
}

/// All bad messages.
pub fn cases() -> Vec<Case> {
    let mut five = Cases::new(fixture::five());
    offers(&mut five);
    advertisements(&mut five);
    rosters(&mut five);
    shares(&mut five);
    forwarded(&mut five);
    updates(&mut five);
    certificates(&mut five);
    unmaskings(&mut five);
    let mut ten = Cases::new(fixture::ten());
    survivors(&mut ten);
    complaints(&mut ten);
    let mut sparse = Cases::new(fixture::sparse_seven());
    sparse_shares(&mut sparse);
    [five.list, ten.list, sparse.list].into_iter().flatten().collect()
}

fn offers(cases: &mut Cases) {
    let good = cases.fixture.offer();
    let bad = Offer { signature: flipped(good.signature), ..good.clone() };
    cases.down(1, ("an offer with a wrong signature", "Offer", "signature"), server_frame(bad));
    let mut parameters = good.parameters.clone();
    parameters.secagg.as_mut().expect("masked").threshold -= 1;
    let bad = Offer { parameters, ..good.clone() }.sign(&federation_key());
    cases.down(1, ("an offer with a lower t", "Offer", "parameters"), server_frame(bad));
    let mut parameters = good.parameters.clone();
    parameters.noise_standard_deviation_local -= 1;
    let bad = Offer { parameters, ..good }.sign(&federation_key());
    cases.down(1, ("an offer with less noise", "Offer", "parameters"), server_frame(bad));
}

fn advertisements(cases: &mut Cases) {
    let (facts, good) = (Arc::clone(&cases.attempt.facts), cases.attempt.advertise.clone());
    let of = |i: u16| good[&MerchantIndex(i)].clone();
    let signed = |encryption_key, mask_key| {
        client_frame(transcript::sign_advertise(&facts, encryption_key, mask_key, &identity(1)))
    };
    cases.up(1, ("a second M1", "Advertise", "repeated"), client_frame(of(1)));
    let mut bad = of(1);
    bad.signature = flipped(bad.signature);
    cases.up(1, ("an M1 with a wrong signature", "Advertise", "signature"), client_frame(bad));
    cases.up(1, ("somebody else's M1", "Advertise", "duplicate key"), client_frame(of(2)));
    let mut bad = of(1);
    bad.sid = Digest([0; 32]);
    cases.up(1, ("an M1 of another attempt", "Advertise", "session"), client_frame(bad));
    let mut bad = of(1);
    bad.model = Digest([0; 32]);
    cases.up(1, ("an M1 for another model", "Advertise", "model"), client_frame(bad));
    let mut bad = of(1);
    bad.parameters = Digest([0; 32]);
    cases.up(1, ("an M1 for other parameters", "Advertise", "parameters"), client_frame(bad));
    let (small, own) = (small_order_key(), of(1));
    let what = ("a mask key of order 8", "Advertise", "small-order key");
    cases.up(1, what, signed(own.encryption_key, small));
    let zero = AgreementKey([0; 32]);
    let what = ("an encryption key of zeros", "Advertise", "small-order key");
    cases.up(1, what, signed(zero, own.mask_key));
    let what = ("one key for both purposes", "Advertise", "duplicate key");
    cases.up(1, what, signed(own.mask_key, own.mask_key));
    cases.up(1, ("a truncated M1", "Advertise", "malformed"), truncated(&client_frame(of(1))));
}

fn rosters(cases: &mut Cases) {
    let good = cases.attempt.roster.clone();
    let facts = Arc::clone(&cases.attempt.facts);
    let mut with = |name, refusal, change: &dyn Fn(&mut Vec<MemberKeys>)| {
        let mut bad = good.clone();
        change(&mut bad.members);
        cases.down(1, (name, "RoundRoster", refusal), server_frame(bad));
    };
    let signed = |member: &mut MemberKeys| {
        let key = identity(member.merchant.0);
        let signed = transcript::sign_advertise(&facts, member.encryption_key, member.mask_key, &key);
        member.signature = signed.signature;
    };
    with("fewer than m_min members", "too few", &|members| members.truncate(3));
    with("members out of order", "order", &|members| members.swap(3, 4));
    with("a member twice", "order", &|members| members[4] = members[3].clone());
    with("a merchant beyond the roster", "order", &|members| members[4].merchant = MerchantIndex(5));
    with("without the receiver", "own entry", &|members| {
        members.remove(1);
    });
    with("another mask key of the receiver's", "own entry", &|members| members[1].mask_key.0[0] ^= 1);
    with("a member's key swapped by the server", "signature", &|members| {
        members[0].encryption_key.0[0] ^= 1;
    });
    with("a member's entry under another's number", "signature", &|members| {
        let number = members[3].merchant;
        members[3] = MemberKeys { merchant: number, ..members[4].clone() };
        members.pop();
    });
    with("the mask key of another member, signed", "duplicate key", &|members| {
        members[2].mask_key = members[0].mask_key;
        signed(&mut members[2]);
    });
    with("an encryption key of order 8, signed", "small-order key", &|members| {
        members[2].encryption_key = small_order_key();
        signed(&mut members[2]);
    });
    let mut bad = good.clone();
    bad.sid = Digest([0; 32]);
    cases.down(1, ("an M2 of another attempt", "RoundRoster", "session"), server_frame(bad));
    let what = ("a truncated M2", "RoundRoster", "malformed");
    cases.down(1, what, truncated(&server_frame(good)));
}

fn shares(cases: &mut Cases) {
    let good = cases.attempt.shares[&MerchantIndex(1)].clone();
    let (roster, key) = (cases.attempt.transcript.roster, identity(1));
    let resign = |message: guildhall_shared::message::Shares| {
        let (sid, commitment) = (message.sid, message.commitment);
        client_frame(transcript::sign_shares(&sid, &roster, commitment, message.own, message.shares, &key))
    };
    cases.up(1, ("a second M3", "Shares", "repeated"), client_frame(good.clone()));
    let mut bad = good.clone();
    bad.shares.pop();
    cases.up(1, ("an M3 without one of its holders", "Shares", "holders"), resign(bad));
    let mut bad = good.clone();
    bad.own = None;
    let what = ("an M3 without the share the dealer keeps", "Shares", "holders");
    cases.up(1, what, resign(bad));
    let mut bad = good.clone();
    bad.commitment.0[0] ^= 1;
    cases.up(1, ("an M3 whose commitment was changed", "Shares", "signature"), client_frame(bad));
    cases.up(1, ("a truncated M3", "Shares", "malformed"), truncated(&client_frame(good)));
}

fn forwarded(cases: &mut Cases) {
    let (good, sid) = (cases.attempt.forwarded[&MerchantIndex(1)].clone(), cases.attempt.facts.sid);
    let roster = cases.attempt.transcript.roster;
    let for_other = cases.attempt.forwarded[&MerchantIndex(2)].shares[0].clone();
    let resign = |share: &mut DealtShare| {
        let (dealer, own) = (share.peer, DealtShare { peer: MerchantIndex(1), ..share.clone() });
        let signed = transcript::sign_dealt_share(&sid, &roster, dealer, own, &identity(dealer.0));
        share.signature = signed.signature;
    };
    let mut with = |name, refusal, change: &dyn Fn(&mut guildhall_shared::message::ForwardedShares)| {
        let mut bad = good.clone();
        change(&mut bad);
        cases.down(1, (name, "ForwardedShares", refusal), server_frame(bad));
    };
    with("fewer than m_min dealers", "too few", &|bad| bad.members.truncate(3));
    with("without the receiver", "own entry", &|bad| bad.members.retain(|m| m.0 != 1));
    with("a dealer's shares left out", "dealers", &|bad| {
        bad.shares.pop();
    });
    with("shares of somebody outside U2", "stranger", &|bad| bad.members.retain(|m| m.0 != 4));
    with("dealers out of order", "order", &|bad| bad.shares.swap(0, 1));
    with("a ciphertext changed by the server", "share signature", &|bad| {
        bad.shares[0].sealed.seed[0] ^= 1;
    });
    with("a dealer's word about the receiver's ledger taken away by the server", "share signature", &|bad| {
        bad.shares[0].seen = None;
    });
    with("shares for another holder", "share signature", &|bad| {
        bad.shares[0] = for_other.clone();
    });
    with("a ciphertext of another key, signed", "share sealed", &|bad| {
        bad.shares[0].sealed.tag[0] ^= 1;
        resign(&mut bad.shares[0]);
    });
    with("another hash of the seed's share, signed", "share hash", &|bad| {
        bad.shares[2].hashes.seed.0[0] ^= 1;
        resign(&mut bad.shares[2]);
    });
    with("the hash of the mask key's share in both places, signed", "share hash", &|bad| {
        bad.shares[2].hashes.seed = bad.shares[2].hashes.mask_key;
        resign(&mut bad.shares[2]);
    });
    let what = ("a ciphertext cut short", "ForwardedShares", "malformed");
    cases.down(1, what, truncated(&server_frame(good)));
}

fn updates(cases: &mut Cases) {
    let (header, words) = cases.attempt.updates[&MerchantIndex(1)].clone();
    cases.up(1, ("a second M5", "Update", "repeated"), update_frame(&header, &words));
    let mut bad = words.clone();
    bad[0] ^= 1;
    cases.up(1, ("words that were changed", "Update", "hash"), update_frame(&header, &bad));
    cases.up(1, ("a word too few", "Update", "length"), update_frame(&header, &words[4..]));
    let mut bad = header.clone();
    bad.sid = Digest([0; 32]);
    cases.up(1, ("an M5 of another attempt", "Update", "session"), update_frame(&bad, &words));
    let other = Transcript { members: Digest([0; 32]), ..cases.attempt.transcript };
    let mut bad = header.clone();
    bad.signature = transcript::sign_update(&other, &header.hash, &header.head, &identity(1));
    let what = ("an M5 by somebody who saw another U2", "Update", "signature");
    cases.up(1, what, update_frame(&bad, &words));
}

fn certificates(cases: &mut Cases) {
    let good = cases.attempt.certificate.clone();
    let (sid, survivors) = (cases.attempt.facts.sid, cases.attempt.survivors_digest);
    let of = |i: u16, digest: &Digest| CertificateSignature {
        merchant: MerchantIndex(i),
        signature: transcript::sign_survivors(&sid, digest, &identity(i)),
    };
    let mut with = |name, refusal, change: &dyn Fn(&mut Vec<CertificateSignature>)| {
        let mut bad = good.clone();
        change(&mut bad.signatures);
        cases.down(1, (name, "Certificate", refusal), server_frame(bad));
    };
    with("fewer than t signatures", "too few", &|list| {
        list.pop();
    });
    with("a signature twice", "order", &|list| list[3] = list[2].clone());
    with("a dropped member's signature among enough", "stranger", &|list| {
        list.insert(3, of(3, &survivors));
    });
    with("a signature over other survivors", "signature", &|list| list[2] = of(2, &Digest([0; 32])));
    let key = identity(2);
    let bad = Certify { sid, signature: transcript::sign_survivors(&sid, &Digest([0; 32]), &key) };
    cases.up(2, ("an M7 over other survivors", "Certify", "signature"), client_frame(bad));
    let key = identity(3);
    let bad = Certify { sid, signature: transcript::sign_survivors(&sid, &survivors, &key) };
    cases.up(3, ("an M7 of a dropped member", "Certify", "stranger"), client_frame(bad));
}

fn unmaskings(cases: &mut Cases) {
    let good = cases.attempt.unmask[&MerchantIndex(1)].clone();
    let survivors = cases.attempt.survivors_digest;
    let resign = |mut bad: Unmask| {
        let Unmask { sid, seeds, mask_keys, .. } = &bad;
        bad.signature = transcript::sign_unmask(sid, &survivors, seeds, mask_keys, &identity(1));
        client_frame(bad)
    };
    cases.up(1, ("a second M9", "Unmask", "repeated"), client_frame(good.clone()));
    let mut bad = good.clone();
    bad.seeds[0].value[0] ^= 1;
    cases.up(1, ("a share changed on the way", "Unmask", "signature"), client_frame(bad.clone()));
    cases.up(1, ("a wrong share, signed", "Unmask", "wrong share"), resign(bad));
    let mut bad = good.clone();
    bad.mask_keys.insert(0, good.seeds[0].clone());
    cases.up(1, ("shares of both secrets of a survivor", "Unmask", "dealers"), resign(bad));
    let mut bad = good.clone();
    bad.seeds.insert(3, good.mask_keys[0].clone());
    bad.mask_keys.clear();
    cases.up(1, ("a seed's share of a dropped member", "Unmask", "dealers"), resign(bad));
}

fn survivors(cases: &mut Cases) {
    let (good, transcript) = (cases.attempt.survivors.clone(), cases.attempt.transcript);
    let mut with = |name, refusal, change: &dyn Fn(&mut Survivors)| {
        let mut bad = good.clone();
        change(&mut bad);
        cases.down(2, (name, "Survivors", refusal), server_frame(bad));
    };
    with("fewer than m_min survivors", "too few", &|bad| {
        bad.updates.pop();
    });
    with("survivors out of order", "order", &|bad| bad.updates.swap(0, 1));
    with("another hash for the receiver", "own entry", &|bad| bad.updates[1].hash.0[0] ^= 1);
    with("a survivor outside U2", "stranger", &|bad| {
        let mut outside = bad.updates[0].clone();
        outside.merchant = MerchantIndex(0);
        outside.signature = transcript::sign_update(&transcript, &outside.hash, &outside.head, &identity(0));
        bad.updates.insert(0, outside);
    });
    with("another hash for a survivor", "signature", &|bad| bad.updates[0].hash.0[0] ^= 1);
    with("another ledger head for a survivor", "signature", &|bad| bad.updates[0].head.size += 1);
    with("another ledger head for the receiver", "own entry", &|bad| bad.updates[1].head.root.0[0] ^= 1);
    with("a survivor who saw another U2", "signature", &|bad| {
        let other = Transcript { members: Digest([0; 32]), ..transcript };
        let SignedUpdate { merchant, hash, head } = bad.updates[3].statement();
        bad.updates[3].signature = transcript::sign_update(&other, &hash, &head, &identity(merchant.0));
    });
    with("a survivor whose ledger is no larger than it was seen", "ledger behind", &|bad| {
        let SignedUpdate { merchant, hash, mut head } = bad.updates[3].statement();
        head.size = 90 + u64::from(merchant.0);
        bad.updates[3].head = head;
        bad.updates[3].signature = transcript::sign_update(&transcript, &hash, &head, &identity(merchant.0));
    });
    with("survivors of another attempt", "session", &|bad| bad.sid = Digest([0; 32]));
}

fn complaints(cases: &mut Cases) {
    let sid = cases.attempt.facts.sid;
    let complaint = |about| transcript::sign_complaint(sid, MerchantIndex(about), &identity(1));
    cases.up(1, ("a complaint about oneself", "Complaint", "about"), client_frame(complaint(1)));
    let what = ("a complaint about somebody who dealt nothing", "Complaint", "about");
    cases.up(1, what, client_frame(complaint(0)));
    let bad = Complaint { about: MerchantIndex(3), ..complaint(2) };
    let what = ("a complaint turned against another", "Complaint", "signature");
    cases.up(1, what, client_frame(bad));
}

fn sparse_shares(cases: &mut Cases) {
    let good = cases.attempt.shares[&MerchantIndex(1)].clone();
    let (roster, key) = (cases.attempt.transcript.roster, identity(1));
    let kept = good.shares[0].hashes;
    let bad =
        transcript::sign_shares(&good.sid, &roster, good.commitment, Some(kept), good.shares.clone(), &key);
    let what = ("a dealer of the sparse graph that keeps a share", "Shares", "holders");
    cases.up(1, what, client_frame(bad));
    let fewer = good.shares[1..].to_vec();
    let bad = transcript::sign_shares(&good.sid, &roster, good.commitment, None, fewer, &key);
    cases.up(1, ("a holder too few in the sparse graph", "Shares", "holders"), client_frame(bad));
    // Merchant 0 drew 2, 3, 5 and 6; without 2 and 3 it has fewer than t_k = 3.
    let mut bad = cases.attempt.forwarded[&MerchantIndex(0)].clone();
    bad.members.retain(|member| member.0 != 3);
    bad.shares.retain(|share| share.peer.0 != 3);
    let what = ("fewer than t_k of the receiver's holders in U2", "ForwardedShares", "holders");
    cases.down(0, what, server_frame(bad));
}

/// The good messages of an attempt, one case for each kind: a receiver that refuses everything fails them.
pub fn good_ones(fixture: &Fixture, attempt: &Attempt) -> Vec<Case> {
    let mut cases = Cases::new(fixture.clone());
    let own = *attempt.unmask.keys().next().expect("somebody answered");
    let good = "the message as it was";
    cases.down(own.0, (good, "Offer", "none"), server_frame(fixture.offer()));
    cases.up(own.0, (good, "Advertise", "none"), client_frame(attempt.advertise[&own].clone()));
    cases.down(own.0, (good, "RoundRoster", "none"), server_frame(attempt.roster.clone()));
    cases.up(own.0, (good, "Shares", "none"), client_frame(attempt.shares[&own].clone()));
    cases.down(own.0, (good, "ForwardedShares", "none"), server_frame(attempt.forwarded[&own].clone()));
    let (header, words) = &attempt.updates[&own];
    cases.up(own.0, (good, "Update", "none"), update_frame(header, words));
    cases.down(own.0, (good, "Survivors", "none"), server_frame(attempt.survivors.clone()));
    cases.up(own.0, (good, "Certify", "none"), client_frame(attempt.certify[&own].clone()));
    cases.down(own.0, (good, "Certificate", "none"), server_frame(attempt.certificate.clone()));
    cases.up(own.0, (good, "Unmask", "none"), client_frame(attempt.unmask[&own].clone()));
    let other = *attempt.unmask.keys().last().expect("somebody answered");
    let complaint = transcript::sign_complaint(attempt.facts.sid, other, &identity(own.0));
    cases.up(own.0, (good, "Complaint", "none"), client_frame(complaint));
    cases.list
}

/// The file.
pub fn to_json(cases: &[Case]) -> Json {
    let case = |case: &Case| {
        json!({
            "name": case.name.as_str(),
            "attempt": case.fixture.name,
            "message": case.message,
            "from": case.from.map(|i| i.0),
            "to": case.receiver.map(|i| i.0),
            "frame": hex::encode(&case.frame),
            "refusal": case.refusal,
        })
    };
    json!({
        "about": "messages that the receiver refuses, each in an attempt that went well so far; \
                  \"repeated\" means that the sender's good message came before",
        "cases": cases.iter().map(case).collect::<Vec<_>>(),
    })
}
