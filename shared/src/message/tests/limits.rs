//! The longest messages that a roster makes fit their limits, and longer ones are refused.

use super::*;

#[test]
fn a_full_roster_fits_its_limit() {
    let entry = |i: usize| RosterEntry {
        name: name(&format!("{i:04}{}", "n".repeat(60))),
        region: name(&"r".repeat(64)),
        identity: IdentityKey::from_secret(&[(i % 251) as u8; 32]).public(),
        certificate: Digest::of("x", &[&i.to_le_bytes()]),
    };
    let roster = Roster { federation: digest(1), entries: (0..1000).map(entry).collect() };
    let welcome = Welcome {
        federation: digest(1),
        roster: Some(SignedRoster { roster, signature: signature(1) }),
        witness: witness(),
    };
    let frame = ServerMessage::from(welcome).to_frame().expect("encodes");
    assert!(frame.len() - HEADER_BYTES <= 1 << 20, "{}", frame.len());
    let begin = Begin { sid: digest(1), participants: (0..1000).map(MerchantIndex).collect() };
    assert!(ServerMessage::from(begin).to_frame().expect("encodes").len() - HEADER_BYTES <= 8192);
    let mut header = result_header();
    header.contributors = (0..1000).map(MerchantIndex).collect();
    assert!(wire::encode(&header).expect("encodes").len() <= ResultHeader::bytes_max(1000));
}

fn assert_fits(message: impl Into<ServerMessage>) {
    let message = message.into();
    let frame = message.to_frame().expect("encodes");
    let header = FrameHeader::of(message.kind(), &frame[HEADER_BYTES..]);
    let limit = ServerMessage::limit(message.kind()).expect("known");
    assert_eq!(header.check_length(limit), Ok(()), "{}", message.name());
    assert_eq!(ServerMessage::from_body(&header, &frame[HEADER_BYTES..]), Ok(message));
}

fn assert_client_fits(message: impl Into<ClientMessage>) {
    let message = message.into();
    let frame = message.to_frame().expect("encodes");
    let header = FrameHeader::of(message.kind(), &frame[HEADER_BYTES..]);
    let limit = ClientMessage::limit(message.kind()).expect("known");
    assert_eq!(header.check_length(limit), Ok(()), "{}", message.name());
    assert_eq!(ClientMessage::from_body(&header, &frame[HEADER_BYTES..]), Ok(message));
}

/// The sparse graph with a full roster: everybody drew the most holders there may be, and everybody chose the receiver.
#[test]
fn the_messages_of_a_masked_round_of_1000_fit_their_limits() {
    assert_client_fits(shares(0..254, None));
    assert_client_fits(unmask(0..999, 0..0));
    assert_client_fits(unmask(0..0, 0..999));
    assert_client_fits(unmask(0..800, 800..999));
    assert_fits(round_roster(0..1000));
    assert_fits(forwarded_shares(0..1000, 1..1000));
    assert_fits(survivors(0..1000));
    assert_fits(certificate(0..1000));
}

/// The largest complete graph: everybody holds shares of everybody.
#[test]
fn the_messages_of_a_masked_round_of_128_fit_their_limits() {
    assert_client_fits(shares(0..127, Some(share_hashes(1))));
    assert_client_fits(unmask(0..128, 0..0));
    assert_client_fits(unmask(0..64, 64..128));
    assert_fits(round_roster(0..128));
    assert_fits(forwarded_shares(0..128, 1..128));
    assert_fits(survivors(0..128));
    assert_fits(certificate(0..128));
}

#[test]
fn longer_messages_than_any_roster_makes_are_refused() {
    let refused = |message: ServerMessage| {
        let frame = message.to_frame().expect("encodes");
        let header = FrameHeader::of(message.kind(), &frame[HEADER_BYTES..]);
        ServerMessage::from_body(&header, &frame[HEADER_BYTES..]).is_err()
    };
    assert!(refused(round_roster(0..3000).into()));
    assert!(refused(forwarded_shares(0..1000, 0..2000).into()));
    assert!(refused(survivors(0..2000).into()));
    assert!(refused(certificate(0..3000).into()));
}
