use guildhall_shared::digest::Digest;
use guildhall_shared::frame::frame;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{IdentityKey, PublicKey, Signature};
use guildhall_shared::message::{Enrolled, Invitation, Welcome};
use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

use super::fake::{FakeServer, FakeSession, Pki};
use super::*;

const LIMITS: ResultLimits = ResultLimits { merchants: 3, vector_bytes: 12 };

fn credentials(pki: &Pki, issuer: &Pki) -> Credentials {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    Credentials {
        authority: pki.authority.clone(),
        certificate: issuer.client(request.der()),
        key: Zeroizing::new(key.serialize_der()),
    }
}

async fn session() -> (Link, ControlSender, ControlReceiver, FakeSession) {
    let pki = Pki::new();
    let server = FakeServer::start(&pki);
    let own = credentials(&pki, &pki);
    let opening = async {
        let link = connect(server.address, &own).await.unwrap();
        let (mut sender, receiver) = link.open_control().await.unwrap();
        sender.send(&hello()).await.unwrap();
        (link, sender, receiver)
    };
    let ((link, sender, receiver), mut session) = tokio::join!(opening, server.accept());
    assert_eq!(session.hear().await, hello());
    (link, sender, receiver, session)
}

fn hello() -> ClientMessage {
    let software = Name::new("test").unwrap();
    guildhall_shared::message::Hello { federation: Digest([1; 32]), roster: None, software, nonce: [0; 32] }
        .into()
}

fn invitation(server: &FakeServer, authority: Digest) -> Invitation {
    Invitation { merchant: Name::new("grocery").unwrap(), address: server.address, authority, token: [5; 32] }
}

fn request(invitation: &Invitation) -> EnrolRequest {
    EnrolRequest::sign(
        invitation,
        Name::new("eu").unwrap(),
        &IdentityKey::from_secret(&[1; 32]),
        vec![1, 2, 3],
    )
}

fn granted() -> EnrolReply {
    EnrolReply::Granted(Enrolled {
        federation: Digest([1; 32]),
        federation_key: PublicKey([2; 32]),
        certificate: vec![3],
        authority: vec![4],
    })
}

async fn try_to_enrol(server: FakeServer, authority: Digest) -> Result<EnrolReply, TransportError> {
    let invitation = invitation(&server, authority);
    let request = request(&invitation);
    tokio::select! {
        reply = enrol(invitation.address, authority, request) => reply,
        () = async { loop { server.enrol(|_| granted()).await } } => unreachable!(),
    }
}

fn nothing_seen() -> guildhall_shared::message::WitnessAnswer {
    let signature = guildhall_shared::identity::Signature([[0; 32]; 2]);
    guildhall_shared::message::WitnessAnswer { seen: None, signature }
}

#[tokio::test]
async fn the_invitations_server_enrols() {
    let pki = Pki::new();
    let reply = try_to_enrol(FakeServer::start(&pki), pki.fingerprint()).await.unwrap();
    assert_eq!(reply, granted());
}

#[tokio::test]
async fn another_authority_is_somebody_in_the_middle() {
    let (pki, other) = (Pki::new(), Pki::new());
    let error = try_to_enrol(FakeServer::start(&other), pki.fingerprint()).await.unwrap_err();
    let fingerprint =
        matches!(&error, TransportError::WrongServer { failure: PinFailure::Fingerprint { .. }, .. });
    assert!(fingerprint, "{error}");
    assert!(error.to_string().contains("in the middle"), "{error}");
}

#[tokio::test]
async fn whoever_only_shows_the_authoritys_public_certificate_is_refused() {
    let (pki, attacker) = (Pki::new(), Pki::new());
    let (certificate, key) = attacker.server();
    let chains = [
        // The stolen authority behind the attacker's own certificate, with and without the attacker's authority.
        vec![certificate.clone(), pki.authority.clone()],
        vec![certificate.clone(), attacker.authority.clone(), pki.authority.clone()],
    ];
    for chain in chains {
        let server = FakeServer::presenting(&attacker, chain, key.clone(), 0);
        let error = try_to_enrol(server, pki.fingerprint()).await.unwrap_err();
        let not_issued =
            matches!(&error, TransportError::WrongServer { failure: PinFailure::NotIssued { .. }, .. });
        assert!(not_issued, "{error}");
    }
}

#[tokio::test]
async fn a_merchants_certificate_is_no_servers() {
    let pki = Pki::new();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let chain = vec![pki.client(csr.der()), pki.authority.clone()];
    let server = FakeServer::presenting(&pki, chain, key.serialize_der(), 0);
    let error = try_to_enrol(server, pki.fingerprint()).await.unwrap_err();
    assert!(
        matches!(error, TransportError::WrongServer { failure: PinFailure::NotIssued { .. }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn sessions_need_the_authority_on_both_sides() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = FakeServer::start(&other);
    let accepting = async {
        loop {
            server.accept().await;
        }
    };
    let wrong_server = credentials(&pki, &pki);
    let error = tokio::select! {
        connected = connect(server.address, &wrong_server) => connected.err().expect("refused"),
        () = accepting => unreachable!(),
    };
    assert!(matches!(error, TransportError::Connection { .. }), "{error}");
    // A certificate that somebody else issued: TLS 1.3 lets the client learn of it with its first read.
    let server = FakeServer::start(&pki);
    let stranger = credentials(&pki, &other);
    let talk = async {
        let link = connect(server.address, &stranger).await?;
        let (mut sender, mut receiver) = link.open_control().await?;
        sender.send(&hello()).await?;
        receiver.next(&link).await
    };
    let accepting = async {
        loop {
            server.accept().await;
        }
    };
    let said = tokio::select! { said = talk => said, () = accepting => unreachable!() };
    assert!(said.is_err());
}

#[test]
fn certificates_are_checked_against_key_and_authority() {
    let (pki, other) = (Pki::new(), Pki::new());
    let good = credentials(&pki, &pki);
    assert_eq!(check_certificate(&good), Ok(()));
    assert!(check_certificate(&credentials(&pki, &other)).is_err(), "issued by another authority");
    let foreign_key = Credentials { key: credentials(&pki, &pki).key, ..good.clone() };
    assert!(check_certificate(&foreign_key).is_err(), "for another key");
    let (server, key) = pki.server();
    let server = Credentials { certificate: server, key: Zeroizing::new(key), ..good.clone() };
    assert!(check_certificate(&server).is_err(), "not for clients");
    assert!(check_certificate(&Credentials { certificate: vec![1, 2, 3], ..good }).is_err());
}

#[tokio::test]
async fn control_messages_pass_in_order() {
    let (link, mut sender, mut receiver, mut server) = session().await;
    for n in 0..3 {
        let welcome = Welcome { federation: Digest([n; 32]), roster: None, witness: nothing_seen() };
        server.say(welcome.clone()).await;
        assert_eq!(receiver.next(&link).await.unwrap(), welcome.into());
        sender.send(&hello()).await.unwrap();
        assert_eq!(server.hear().await, hello());
    }
}

#[tokio::test]
async fn forged_lengths_are_refused_before_there_is_memory_for_them() {
    let (link, _sender, mut receiver, mut server) = session().await;
    let header = FrameHeader { kind: 0x0201, length: u32::MAX, checksum: 0 };
    server.say_bytes(&header.to_bytes()).await;
    let error = receiver.next(&link).await.unwrap_err();
    let refused = matches!(error, TransportError::Message(MessageError::Frame(FrameError::Length { .. })));
    assert!(refused, "{error}");
}

#[tokio::test]
async fn unknown_types_and_torn_frames_are_refused() {
    let (link, _sender, mut receiver, mut server) = session().await;
    server.say_bytes(&frame(0x7777, b"x")).await;
    let error = receiver.next(&link).await.unwrap_err();
    assert!(
        matches!(error, TransportError::Message(MessageError::Frame(FrameError::Type(0x7777)))),
        "{error}"
    );

    let (link, _sender, mut receiver, mut server) = session().await;
    let whole =
        ServerMessage::from(Welcome { federation: Digest([1; 32]), roster: None, witness: nothing_seen() })
            .to_frame()
            .unwrap();
    server.say_bytes(&whole[..whole.len() - 1]).await;
    server.stop_saying();
    assert!(matches!(receiver.next(&link).await, Err(TransportError::Interrupted { .. })));

    let (link, _sender, mut receiver, mut server) = session().await;
    let mut garbled = whole;
    *garbled.last_mut().unwrap() ^= 1;
    server.say_bytes(&garbled).await;
    let error = receiver.next(&link).await.unwrap_err();
    assert!(
        matches!(error, TransportError::Message(MessageError::Frame(FrameError::Checksum { .. }))),
        "{error}"
    );
}

#[tokio::test]
async fn the_servers_reason_for_closing_is_told() {
    let (link, _sender, mut receiver, server) = session().await;
    server.close("unknown merchant");
    let error = receiver.next(&link).await.unwrap_err().to_string();
    assert!(error.contains("unknown merchant"), "{error}");
}

fn result_header() -> ResultHeader {
    ResultHeader {
        job: Digest([1; 32]),
        sid: Digest([2; 32]),
        round: RoundId { round: 1, attempt: 0 },
        version: 2,
        model: Digest([3; 32]),
        contributors: vec![MerchantIndex(0), MerchantIndex(1), MerchantIndex(2)],
        sum: Digest([4; 32]),
        signature: Signature([[5; 32]; 2]),
    }
}

#[tokio::test]
async fn results_come_whole_or_not_at_all() {
    let (link, _sender, _receiver, server) = session().await;
    let (header, words) = (result_header(), (0..12).collect::<Vec<u8>>());
    let (result, ()) = tokio::join!(link.next_result(|| Some(LIMITS)), server.send_result(&header, &words));
    assert_eq!(result.unwrap(), (result_header(), words.clone()));

    let whole = {
        let body = join_vector(&wire::encode(&result_header()).unwrap(), &words);
        frame(RESULT_KIND, &body)
    };
    let mut garbled = whole.clone();
    garbled[HEADER_BYTES + 40] ^= 1;
    let mut wrong_type = whole.clone();
    wrong_type[6..8].copy_from_slice(&UPDATE_KIND.to_le_bytes());
    for (what, bytes) in [
        ("torn", &whole[..whole.len() - 1]),
        ("a torn header", &whole[..7]),
        ("garbled", &garbled),
        ("another type", &wrong_type),
    ] {
        let (result, ()) = tokio::join!(link.next_result(|| Some(LIMITS)), server.send_stream(bytes));
        assert!(result.is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_result_before_a_job_is_refused() {
    let (link, _sender, _receiver, server) = session().await;
    let header = result_header();
    let (result, ()) = tokio::join!(link.next_result(|| None), server.send_result(&header, &[0; 12]));
    assert!(matches!(result, Err(TransportError::EarlyResult)));
}

#[test]
fn a_results_length_is_exact_but_for_its_list_of_names() {
    let most = 4 + 12 + ResultHeader::bytes_max(3) as u32;
    let check = |kind, length| check_result_length(&FrameHeader { kind, length, checksum: 0 }, LIMITS);
    assert_eq!(check(RESULT_KIND, most), Ok(()));
    assert_eq!(check(RESULT_KIND, 16), Ok(()));
    for wrong in [0, 15, most + 1, u32::MAX] {
        assert!(matches!(check(RESULT_KIND, wrong), Err(FrameError::Length { .. })), "{wrong}");
    }
    assert_eq!(check(UPDATE_KIND, most), Err(FrameError::Type(UPDATE_KIND)));
    assert!(wire::encode(&result_header()).unwrap().len() <= ResultHeader::bytes_max(3));
}

#[tokio::test]
async fn an_update_arrives_to_the_byte() {
    let (link, _sender, _receiver, server) = session().await;
    let words: Vec<u8> = (0..200).collect();
    let header = UpdateHeader::sign(
        Digest([1; 32]),
        Digest::of_bytes(&words),
        guildhall_shared::tree_head::TreeHead::EMPTY,
        &IdentityKey::from_secret(&[9; 32]),
    );
    let (sent, received) = tokio::join!(link.upload(&header, &words), server.receive_update(200));
    sent.unwrap();
    assert_eq!(received, (header, words));
}
