//! Golden bytes of every message: a change of any byte is a new protocol version.

mod limits;

use super::*;
use crate::digest::Digest;
use crate::frame::HEADER_BYTES;
use crate::id::{MerchantIndex, Name, RoundId};
use crate::identity::{IdentityKey, Roster, RosterEntry, Signature, SignedRoster};
use crate::job::{Aggregation, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use crate::model_spec::Architecture;
use crate::optimizer::{OptimizerSpec, UpdateRule};
use crate::ring::RingWidth;
use crate::round_parameters::{RoundMode, RoundParameters};
use crate::secagg::agreement::AgreementKey;
use crate::secagg::{Graph, MaskGenerator, SecaggParameters, SignedHead};
use crate::task::Task;
use crate::tree_head::TreeHead;

fn name(text: &str) -> Name {
    Name::new(text).expect("legal")
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn signature(byte: u8) -> Signature {
    Signature([[byte; 32]; 2])
}

fn job() -> JobSpec {
    JobSpec {
        name: name("j"),
        purpose: "p".into(),
        task: Task::Dummy { parameters: 4 },
        architecture: Architecture::Vector,
        seed: 1,
        rounds: 2,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.5 },
            learning_rate: 1.0,
            average_last_rounds: 0,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 20 },
        adaptive_clip: None,
        privacy: PrivacySpec::Gaussian {
            unit: Unit::Shopper,
            epsilon: 1.0,
            delta: 1e-6,
            noise_standard_deviation: 1 << 22,
        },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum: 2,
            accept_deadline_ms: 3,
            update_deadline_ms: 4,
            upload_slot_ms: 0,
            expected_shoppers: 5,
            shoppers_per_merchant_max: 6,
            participation_rate: 1.0,
        },
    }
}

fn parameters() -> RoundParameters {
    RoundParameters::derive(&job(), 9).expect("fits")
}

/// The numbers of a masked job with as many merchants as there may be.
fn sparse_parameters() -> RoundParameters {
    let mut job = job();
    job.round.aggregation = Aggregation::Masked;
    RoundParameters::derive(&job, 1000).expect("fits")
}

fn dealt_share(peer: u16, byte: u8) -> DealtShare {
    DealtShare {
        peer: MerchantIndex(peer),
        sealed: SealedShares { mask_key: [byte; 32], seed: [byte + 1; 32], tag: [byte + 2; 16] },
        hashes: share_hashes(byte + 3),
        seen: Some(SignedHead { update: digest(byte + 5), head: HEAD, signature: signature(byte + 6) }),
        signature: signature(byte + 7),
    }
}

fn share_hashes(byte: u8) -> ShareHashes {
    ShareHashes { mask_key: digest(byte), seed: digest(byte + 1) }
}

fn revealed_share(dealer: u16, byte: u8) -> RevealedShare {
    RevealedShare { dealer: MerchantIndex(dealer), value: [byte; 32] }
}

fn advertise() -> Advertise {
    Advertise {
        sid: digest(1),
        model: digest(2),
        parameters: digest(3),
        encryption_key: AgreementKey([4; 32]),
        mask_key: AgreementKey([5; 32]),
        signature: signature(6),
    }
}

fn shares(holders: std::ops::Range<u16>, own: Option<ShareHashes>) -> Shares {
    let shares = holders.map(|holder| dealt_share(holder, 10)).collect();
    Shares { sid: digest(1), commitment: digest(2), own, shares, signature: signature(3) }
}

fn unmask(seeds: std::ops::Range<u16>, mask_keys: std::ops::Range<u16>) -> Unmask {
    Unmask {
        sid: digest(1),
        seeds: seeds.map(|dealer| revealed_share(dealer, 2)).collect(),
        mask_keys: mask_keys.map(|dealer| revealed_share(dealer, 3)).collect(),
        signature: signature(4),
    }
}

fn round_roster(members: std::ops::Range<u16>) -> RoundRoster {
    let member = |merchant| MemberKeys {
        merchant: MerchantIndex(merchant),
        encryption_key: AgreementKey([2; 32]),
        mask_key: AgreementKey([3; 32]),
        signature: signature(4),
    };
    RoundRoster { sid: digest(1), members: members.map(member).collect() }
}

fn forwarded_shares(members: std::ops::Range<u16>, dealers: std::ops::Range<u16>) -> ForwardedShares {
    ForwardedShares {
        sid: digest(1),
        members: members.map(MerchantIndex).collect(),
        shares: dealers.map(|dealer| dealt_share(dealer, 20)).collect(),
    }
}

const HEAD: TreeHead = TreeHead { size: 5, root: Digest([8; 32]) };

fn witnessed_head() -> WitnessedHead {
    WitnessedHead { head: HEAD, time_unix_s: 9, cosignature: signature(6) }
}

fn witness() -> WitnessAnswer {
    WitnessAnswer { seen: Some(witnessed_head()), signature: signature(7) }
}

fn survivors(members: std::ops::Range<u16>) -> Survivors {
    let update = |merchant| SurvivingUpdate {
        merchant: MerchantIndex(merchant),
        hash: digest(2),
        head: HEAD,
        signature: signature(3),
    };
    Survivors { sid: digest(1), updates: members.map(update).collect() }
}

fn certificate(members: std::ops::Range<u16>) -> Certificate {
    let one = |merchant| CertificateSignature { merchant: MerchantIndex(merchant), signature: signature(2) };
    Certificate { sid: digest(1), signatures: members.map(one).collect() }
}

/// M1, M3, M7, M9 and the complaint; M3 of both graphs.
fn masked_client_messages() -> Vec<ClientMessage> {
    vec![
        advertise().into(),
        shares(0..1, None).into(),
        shares(1..3, Some(share_hashes(30))).into(),
        Complaint { sid: digest(1), about: MerchantIndex(258), signature: signature(2) }.into(),
        Certify { sid: digest(1), signature: signature(2) }.into(),
        unmask(0..2, 2..3).into(),
    ]
}

/// M2, M4, M6 and M8, and the offer of a masked round.
fn masked_server_messages() -> Vec<ServerMessage> {
    let offer = Offer {
        federation: digest(1),
        job: digest(2),
        round: RoundId { round: 3, attempt: 2 },
        version: 3,
        model: digest(4),
        parameters: sparse_parameters(),
        roster: digest(5),
        nonce: [6; 32],
        signature: signature(0),
    };
    vec![
        offer.sign(&IdentityKey::from_secret(&[7; 32])).into(),
        round_roster(0..2).into(),
        forwarded_shares(0..3, 1..2).into(),
        survivors(0..2).into(),
        certificate(0..2).into(),
    ]
}

fn client_messages() -> Vec<ClientMessage> {
    let mut messages = plain_client_messages();
    messages.extend(masked_client_messages());
    messages
}

fn server_messages() -> Vec<ServerMessage> {
    let mut messages = plain_server_messages();
    messages.extend(masked_server_messages());
    messages
}

fn plain_client_messages() -> Vec<ClientMessage> {
    vec![
        Hello { federation: digest(1), roster: Some(digest(2)), software: name("0.1.0"), nonce: [3; 32] }
            .into(),
        CatchUp { job: digest(1), version: 7 }.into(),
        Ready { job: digest(1), version: 7, model: digest(2) }.into(),
        Accept { sid: digest(1), model: digest(2), parameters: digest(3), signature: signature(4) }.into(),
        Decline { sid: digest(1), reason: DeclineReason::OverBudget }.into(),
    ]
}

fn plain_server_messages() -> Vec<ServerMessage> {
    let roster = Roster {
        federation: digest(1),
        entries: vec![RosterEntry {
            name: name("a"),
            region: name("eu"),
            identity: IdentityKey::from_secret(&[1; 32]).public(),
            certificate: digest(2),
        }],
    };
    let key = IdentityKey::from_secret(&[7; 32]);
    let offer = Offer {
        federation: digest(1),
        job: digest(2),
        round: RoundId { round: 3, attempt: 1 },
        version: 3,
        model: digest(4),
        parameters: parameters(),
        roster: digest(5),
        nonce: [6; 32],
        signature: signature(0),
    };
    let roll_back = RollBack { job: digest(1), version: 9, to: 4, model: digest(2), signature: signature(0) };
    vec![
        Welcome {
            federation: digest(1),
            roster: Some(SignedRoster::sign(roster, &key).expect("good")),
            witness: witness(),
        }
        .into(),
        Job::sign(job(), digest(3), 7, &key).into(),
        offer.sign(&key).into(),
        Begin { sid: digest(1), participants: vec![MerchantIndex(0), MerchantIndex(8)] }.into(),
        Receipt { sid: digest(1), verdict: Verdict::Refused("late".into()) }.into(),
        Abort { sid: digest(1), reason: "quorum".into() }.into(),
        roll_back.sign(&key).into(),
        Finished { job: digest(1), version: 2, model: digest(3) }.into(),
        Refusal { reason: "no".into() }.into(),
        witnessed_head().into(),
    ]
}

fn enrolment_messages() -> Vec<EnrolmentMessage> {
    let key = IdentityKey::from_secret(&[3; 32]);
    let invitation = Invitation {
        merchant: name("a"),
        address: "127.0.0.1:4433".parse().expect("an address"),
        authority: digest(1),
        token: [2; 32],
    };
    vec![
        EnrolRequest::sign(&invitation, name("eu"), &key, vec![1, 2, 3]).into(),
        EnrolReply::Granted(Enrolled {
            federation: digest(1),
            federation_key: key.public(),
            certificate: vec![4],
            authority: vec![5, 6],
        })
        .into(),
        EnrolReply::Refused("used".into()).into(),
    ]
}

fn result_header() -> ResultHeader {
    ResultHeader {
        job: digest(1),
        sid: digest(2),
        round: RoundId { round: 3, attempt: 0 },
        version: 4,
        model: digest(5),
        contributors: vec![MerchantIndex(0), MerchantIndex(2)],
        sum: digest(6),
        signature: signature(0),
    }
    .sign(&IdentityKey::from_secret(&[7; 32]))
}

/// Frames of all messages, one `name hex` a line, as they stand in `golden.txt`.
fn all_frames() -> String {
    let key = IdentityKey::from_secret(&[5; 32]);
    let update = wire::encode(&UpdateHeader::sign(digest(1), digest(2), HEAD, &key)).expect("encodes");
    let result = wire::encode(&result_header()).expect("encodes");
    let words: Vec<u8> = (0..16).collect();
    let mut lines = Vec::new();
    for message in client_messages() {
        lines.push((message.name(), message.to_frame().expect("encodes")));
    }
    for message in server_messages() {
        lines.push((message.name(), message.to_frame().expect("encodes")));
    }
    for message in enrolment_messages() {
        lines.push((message.name(), message.to_frame().expect("encodes")));
    }
    lines.push(("Update", frame::frame(UPDATE_KIND, &join_vector(&update, &words))));
    lines.push(("Result", frame::frame(RESULT_KIND, &join_vector(&result, &words))));
    lines.iter().map(|(name, bytes)| format!("{name} {}\n", hex::encode(bytes))).collect()
}

#[test]
fn golden_bytes_of_every_message() {
    let golden = include_str!("golden.txt");
    let golden: String = golden.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    assert_eq!(all_frames(), golden);
}

#[test]
fn every_message_is_read_back() {
    fn header_and_body(frame: &[u8]) -> (FrameHeader, &[u8]) {
        let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().expect("a header");
        (FrameHeader::parse(header).expect("good"), body)
    }
    for message in client_messages() {
        let frame = message.to_frame().expect("encodes");
        let (header, body) = header_and_body(&frame);
        assert_eq!(ClientMessage::from_body(&header, body), Ok(message));
        assert!(ServerMessage::from_body(&header, body).is_err(), "the other direction");
    }
    for message in server_messages() {
        let frame = message.to_frame().expect("encodes");
        let (header, body) = header_and_body(&frame);
        assert_eq!(ServerMessage::from_body(&header, body), Ok(message));
    }
    for message in enrolment_messages() {
        let frame = message.to_frame().expect("encodes");
        let (header, body) = header_and_body(&frame);
        assert_eq!(EnrolmentMessage::from_body(&header, body), Ok(message));
    }
}

#[test]
fn truncated_and_extended_bodies_are_refused() {
    for message in client_messages() {
        let frame = message.to_frame().expect("encodes");
        let body = &frame[HEADER_BYTES..];
        for cut in 0..body.len() {
            let header = FrameHeader::of(message.kind(), &body[..cut]);
            assert!(
                ClientMessage::from_body(&header, &body[..cut]).is_err(),
                "{} cut at {cut}",
                message.name()
            );
        }
        let long = [body, &[0]].concat();
        assert!(ClientMessage::from_body(&FrameHeader::of(message.kind(), &long), &long).is_err());
    }
}

#[test]
fn the_numbers_of_secure_aggregation_are_in_the_offer() {
    let found = sparse_parameters().secagg.expect("masked");
    assert_eq!(found, SecaggParameters::derive(1000, 0, MaskGenerator::Aes256Ctr).expect("enough"));
    assert_eq!(found.graph, Graph::Sparse { holders: 216, share_threshold: 140 });
    assert_eq!(parameters().secagg, None);
}

#[test]
fn revealed_shares_do_not_print() {
    let printed = format!("{:?}", unmask(0..1, 1..2));
    assert!(printed.contains("RevealedShare(of"), "{printed}");
    assert!(!printed.contains("[2, 2"), "{printed}");
}

#[test]
fn update_headers_have_a_fixed_size() {
    let header = UpdateHeader { sid: digest(1), hash: digest(2), head: HEAD, signature: signature(3) };
    assert_eq!(wire::encode(&header).expect("encodes").len(), UpdateHeader::BYTES);
}

#[test]
fn vectors_are_cut_exactly() {
    let body = join_vector(&[1, 2, 3], &[0; 8]);
    assert_eq!(split_vector(&body, 3, 8), Ok((&[1u8, 2, 3][..], &[0u8; 8][..])));
    assert!(split_vector(&body, 2, 8).is_err());
    assert!(split_vector(&body, 3, 7).is_err());
    assert!(split_vector(&[255; 8], usize::MAX, 8).is_err());
    assert!(split_vector(&[0; 3], 3, 0).is_err());
}

#[test]
fn signatures_cover_every_field() {
    let key = IdentityKey::from_secret(&[7; 32]);
    let good = result_header();
    assert_eq!(good.verify(&key.public()), Ok(()));
    let changed = [
        ResultHeader { version: 5, ..good.clone() },
        ResultHeader { model: digest(9), ..good.clone() },
        ResultHeader { contributors: vec![], ..good.clone() },
        ResultHeader { sum: digest(9), ..good.clone() },
        ResultHeader { round: RoundId { round: 4, attempt: 0 }, ..good.clone() },
    ];
    assert!(changed.iter().all(|header| header.verify(&key.public()).is_err()));
    let offer = Offer {
        federation: digest(1),
        job: digest(2),
        round: RoundId { round: 3, attempt: 1 },
        version: 3,
        model: digest(4),
        parameters: parameters(),
        roster: digest(5),
        nonce: [6; 32],
        signature: signature(0),
    }
    .sign(&key);
    assert_eq!(offer.verify(&key.public()), Ok(()));
    let wider = RoundParameters { ring: RingWidth::Bits64, ..parameters() };
    assert!(Offer { parameters: wider, ..offer.clone() }.verify(&key.public()).is_err());
    let unprotected = RoundParameters { mode: RoundMode::Unprotected, ..parameters() };
    assert!(Offer { parameters: unprotected, ..offer }.verify(&key.public()).is_err());
}

#[test]
fn invitations_round_trip_and_do_not_print_their_token() {
    let invitation = Invitation {
        merchant: name("a"),
        address: "127.0.0.1:4433".parse().expect("an address"),
        authority: digest(1),
        token: [0xAB; 32],
    };
    let text = invitation.to_text();
    assert_eq!(text.parse(), Ok(invitation.clone()));
    assert!(!format!("{invitation:?}").contains("abab"));
    for bad in ["", "guildhall1-", "guildhall1-zz", &text[..text.len() - 2], &text[3..]] {
        assert!(bad.parse::<Invitation>().is_err(), "{bad}");
    }
}
