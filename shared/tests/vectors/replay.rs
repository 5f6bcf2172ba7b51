//! Brings one party to the point where a message arrives, and says what it makes of it.

use std::sync::Arc;

use guildhall_shared::frame::{FrameHeader, HEADER_BYTES};
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{ClientMessage, ServerMessage, UPDATE_KIND, UpdateHeader, split_vector};
use guildhall_shared::secagg::client::{self, Breach, Sharing, Uploaded};
use guildhall_shared::secagg::server::{self, Collecting, Fault, Unmasking};
use guildhall_shared::wire;

use crate::attempt::Attempt;
use crate::fixture::{Fixture, identity, session_seed};

/// A message to a party of an attempt that went well so far.
pub struct Case {
    pub name: String,
    pub fixture: Fixture,
    pub attempt: Arc<Attempt>,
    /// Nobody: the server.
    pub receiver: Option<MerchantIndex>,
    /// Nobody: the server.
    pub from: Option<MerchantIndex>,
    pub message: &'static str,
    /// Whether the sender's good message of this kind came before.
    pub repeated: bool,
    pub frame: Vec<u8>,
    /// A name of section 12 of the protocol, or "none".
    pub refusal: &'static str,
}

/// What the receiver makes of the message.
pub fn refusal(case: &Case) -> &'static str {
    let Some((header, body)) = split_frame(&case.frame) else { return "malformed" };
    match case.receiver {
        Some(receiver) => match ServerMessage::from_body(&header, body) {
            Ok(message) => by_client(case, receiver, message),
            Err(_) => "malformed",
        },
        None if header.kind == UPDATE_KIND => by_collecting(case, body),
        None => match ClientMessage::from_body(&header, body) {
            Ok(message) => by_server(case, message),
            Err(_) => "malformed",
        },
    }
}

fn split_frame(frame: &[u8]) -> Option<(FrameHeader, &[u8])> {
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>()?;
    let header = FrameHeader::parse(header).ok()?;
    header.check_body(body).ok()?;
    Some((header, body))
}

fn breach(breach: Breach) -> &'static str {
    match breach {
        Breach::Session { .. } => "session",
        Breach::Order { .. } => "order",
        Breach::TooFew { .. } => "too few",
        Breach::Own { .. } => "own entry",
        Breach::Stranger { .. } => "stranger",
        Breach::Signature { .. } => "signature",
        Breach::DuplicateKey { .. } => "duplicate key",
        Breach::Key { .. } => "small-order key",
        Breach::Ledger { .. } => "ledger behind",
        Breach::Dealers { .. } => "dealers",
        Breach::Holders { .. } => "holders",
        Breach::Share { reason: "its signature does not verify", .. } => "share signature",
        Breach::Share { reason: "they do not decrypt", .. } => "share sealed",
        Breach::Share { .. } => "share hash",
    }
}

fn by_client(case: &Case, receiver: MerchantIndex, message: ServerMessage) -> &'static str {
    let (attempt, key) = (&case.attempt, identity(receiver.0));
    let outcome = match message {
        ServerMessage::Offer(offer) => {
            let federation = crate::fixture::federation_key().public();
            return match offer.verify(&federation) {
                Err(_) => "signature",
                Ok(()) if offer.parameters != case.fixture.parameters => "parameters",
                Ok(()) => "none",
            };
        }
        ServerMessage::RoundRoster(roster) => {
            advertised(case, receiver).share(&roster, &case.fixture.witness(), &key).map(|_| ())
        }
        ServerMessage::ForwardedShares(forwarded) => {
            sharing(case, receiver).receive(&forwarded, &key).and_then(|masking| masking.masks()).map(|_| ())
        }
        ServerMessage::Survivors(survivors) => {
            uploaded(case, receiver).certify(&survivors, &case.fixture.witness(), &key).map(|_| ())
        }
        ServerMessage::Certificate(certificate) => {
            let (certified, _) = uploaded(case, receiver)
                .certify(&attempt.survivors, &case.fixture.witness(), &key)
                .expect("good");
            certified.unmask(&certificate, &key).map(|_| ())
        }
        other => panic!("no case of {}", other.name()),
    };
    outcome.map_or_else(breach, |()| "none")
}

fn advertised(case: &Case, receiver: MerchantIndex) -> client::Advertised {
    let facts = Arc::clone(&case.attempt.facts);
    client::advertise(facts, receiver, session_seed(receiver.0), &identity(receiver.0)).0
}

fn sharing(case: &Case, receiver: MerchantIndex) -> Sharing {
    advertised(case, receiver)
        .share(&case.attempt.roster, &case.fixture.witness(), &identity(receiver.0))
        .expect("good")
        .0
}

fn uploaded(case: &Case, receiver: MerchantIndex) -> Uploaded {
    let (attempt, key) = (&case.attempt, identity(receiver.0));
    let masking = sharing(case, receiver).receive(&attempt.forwarded[&receiver], &key).expect("good");
    let (_, masked) = masking.masks().expect("good");
    {
        let header = &attempt.updates[&receiver].0;
        masked.sign(header.hash, header.head, &key).0
    }
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Stranger { .. } => "stranger",
        Fault::Session { .. } => "session",
        Fault::Model { .. } => "model",
        Fault::Parameters { .. } => "parameters",
        Fault::Repeated { .. } => "repeated",
        Fault::Signature(_) => "signature",
        Fault::DuplicateKey => "duplicate key",
        Fault::Key(_) => "small-order key",
        Fault::Holders { .. } => "holders",
        Fault::Length { .. } => "length",
        Fault::Hash { .. } => "hash",
        Fault::Dealers(_) => "dealers",
        Fault::About(_) => "about",
    }
}

/// Whether an earlier message of the attempt was said before the one at hand: not the sender's own, unless it is repeated.
fn is_before(case: &Case, sender: MerchantIndex) -> bool {
    case.repeated || case.from != Some(sender)
}

fn dealing(case: &Case) -> server::Sharing {
    let mut advertising = server::Advertising::new(Arc::clone(&case.attempt.facts));
    for (i, message) in &case.attempt.advertise {
        advertising.receive(*i, message).expect("good");
    }
    advertising.close().expect("enough").0
}

fn collecting(case: &Case) -> Collecting {
    let mut dealing = dealing(case);
    for (i, message) in &case.attempt.shares {
        dealing.receive(*i, message.clone()).expect("good");
    }
    dealing.close().expect("enough").0
}

fn certifying(case: &Case) -> server::Certifying {
    let mut collecting = collecting(case);
    for (i, (header, words)) in &case.attempt.updates {
        collecting.receive(*i, header, words).expect("good");
    }
    collecting.close().expect("enough").0
}

fn unmasking(case: &Case) -> Unmasking {
    let mut certifying = certifying(case);
    for (i, message) in &case.attempt.certify {
        certifying.receive(*i, message).expect("good");
    }
    certifying.close().expect("enough").0
}

fn by_collecting(case: &Case, body: &[u8]) -> &'static str {
    let mut collecting = collecting(case);
    let earlier = case.attempt.updates.iter().filter(|(i, _)| is_before(case, **i));
    for (i, (header, words)) in earlier {
        collecting.receive(*i, header, words).expect("good");
    }
    let words_bytes = body.len().saturating_sub(4 + UpdateHeader::BYTES);
    let Ok((control, words)) = split_vector(body, UpdateHeader::BYTES, words_bytes) else {
        return "malformed";
    };
    let Ok(header) = wire::decode::<UpdateHeader>(control, UpdateHeader::BYTES) else { return "malformed" };
    let from = case.from.expect("a sender");
    collecting.receive(from, &header, words).map_or_else(fault, |()| "none")
}

fn by_server(case: &Case, message: ClientMessage) -> &'static str {
    let (attempt, from) = (&case.attempt, case.from.expect("a sender"));
    let outcome = match message {
        ClientMessage::Advertise(message) => {
            let mut stage = server::Advertising::new(Arc::clone(&attempt.facts));
            let earlier = attempt.advertise.iter().filter(|(i, _)| is_before(case, **i));
            earlier.for_each(|(i, good)| stage.receive(*i, good).expect("good"));
            stage.receive(from, &message)
        }
        ClientMessage::Shares(message) => {
            let mut stage = dealing(case);
            let earlier = attempt.shares.iter().filter(|(i, _)| is_before(case, **i));
            earlier.for_each(|(i, good)| stage.receive(*i, good.clone()).expect("good"));
            stage.receive(from, message)
        }
        ClientMessage::Complaint(message) => collecting(case).complain(from, &message),
        ClientMessage::Certify(message) => {
            let mut stage = certifying(case);
            let earlier = attempt.certify.iter().filter(|(i, _)| is_before(case, **i));
            earlier.for_each(|(i, good)| stage.receive(*i, good).expect("good"));
            stage.receive(from, &message)
        }
        ClientMessage::Unmask(message) => {
            let mut stage = unmasking(case);
            let earlier = attempt.unmask.iter().filter(|(i, _)| is_before(case, **i));
            earlier.for_each(|(i, good)| stage.receive(*i, good).expect("good"));
            let outcome = stage.receive(from, &message);
            if outcome.is_ok() && stage.culprits().iter().any(|culprit| culprit.merchant == from) {
                return "wrong share";
            }
            outcome
        }
        other => panic!("no case of {}", other.name()),
    };
    outcome.map_or_else(fault, |()| "none")
}
