//! Who is connected, what they say, and answers to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::message::{
    CatchUp, ClientMessage, Hello, Refusal, ServerMessage, Welcome, WitnessAnswer,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::super::outgoing::Outgoing;
use super::super::upload::Upload;
use super::Hub;
use crate::coordinator::Input;
use crate::error::ServerError;
use crate::event::Event;
use crate::round::RoundMessage;
use crate::store::StoreError;
use crate::transport::Connection;

/// A merchant's session.
pub struct Session {
    pub merchant: Name,
    /// Its place in the roster, once that is closed.
    pub index: Option<MerchantIndex>,
    /// Whether it receives new results.
    pub follows: bool,
    hello: Hello,
    outbox: mpsc::Sender<Outgoing>,
    connection: Connection,
    refusals: u32,
}

impl Session {
    pub fn new(merchant: Name, hello: Hello, outbox: mpsc::Sender<Outgoing>, connection: Connection) -> Self {
        Session { merchant, index: None, follows: false, hello, outbox, connection, refusals: 0 }
    }
}

impl Hub {
    pub(super) fn joined(&mut self, number: u64, session: Session) -> Result<(), ServerError> {
        let merchant = session.merchant.clone();
        // A merchant that restarted is known by its new session; the old one may not have noticed its end.
        if let Some(old) = self.by_merchant.get(&merchant).copied() {
            if let Some(old) = self.sessions.get(&old) {
                old.connection.close("the merchant has a newer session");
            }
            self.left(old)?;
        }
        tracing::info!(%merchant, software = %session.hello.software, "hello");
        self.by_merchant.insert(merchant.clone(), number);
        self.sessions.insert(number, session);
        self.events.emit(Event::Connected { merchant });
        self.welcome(number)
    }

    /// Greets a session with what is known of the roster; with a closed one, the merchant can take part.
    pub(super) fn welcome(&mut self, number: u64) -> Result<(), ServerError> {
        let roster = self.federation.records.roster()?;
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        let digest = roster.as_ref().map(|signed| signed.roster.digest());
        if let Some(pinned) = session.hello.roster.filter(|pinned| Some(*pinned) != digest) {
            let expected = digest.map_or_else(|| "none, for it is open".into(), |digest| digest.to_string());
            return self.dismiss(number, format!("expected the roster {expected}, found {pinned}"));
        }
        let merchant = &session.merchant;
        session.index =
            roster.as_ref().and_then(|signed| signed.roster.find(|entry| entry.name == *merchant));
        let index = session.index;
        self.by_index.extend(index.map(|index| (index, number)));
        let seen = index.and_then(|index| self.mirror.seen(&self.federation, index, merchant));
        let witness = WitnessAnswer::sign(&session.hello, merchant, seen, &self.federation.key);
        let welcome = Welcome { federation: self.federation.id, roster, witness };
        self.queue(number, Outgoing::Control(Box::new(welcome.into())));
        match index {
            Some(index) => self.feed_and_log(Input::Joined(index)),
            None => Ok(()),
        }
    }

    pub(super) fn left(&mut self, number: u64) -> Result<(), ServerError> {
        let Some(session) = self.sessions.remove(&number) else { return Ok(()) };
        self.by_merchant.remove(&session.merchant);
        if let Some(index) = session.index {
            self.by_index.remove(&index);
        }
        self.events.emit(Event::Disconnected { merchant: session.merchant });
        match session.index {
            Some(index) => self.feed_and_log(Input::Left(index)),
            None => Ok(()),
        }
    }

    pub(super) fn message(&mut self, number: u64, message: ClientMessage) -> Result<(), ServerError> {
        let Some(session) = self.sessions.get(&number) else { return Ok(()) };
        let Some(from) = session.index else {
            return self.refuse(
                number,
                format!("expected nothing while the roster is open, found {}", message.name()),
            );
        };
        let round = |message| Input::Message { from, message };
        let input = match message {
            ClientMessage::CatchUp(catch_up) => return self.catch_up(number, &catch_up),
            ClientMessage::Hello(_) => {
                return self.refuse(number, "expected Hello once, found a second".into());
            }
            ClientMessage::Ready(ready) => Input::Ready { from, ready },
            ClientMessage::Accept(accept) => round(RoundMessage::Accept(accept)),
            ClientMessage::Advertise(advertise) => round(RoundMessage::Advertise(advertise)),
            ClientMessage::Shares(shares) => round(RoundMessage::Shares(Box::new(shares))),
            ClientMessage::Complaint(complaint) => round(RoundMessage::Complaint(complaint)),
            ClientMessage::Certify(certify) => round(RoundMessage::Certify(certify)),
            ClientMessage::Unmask(unmask) => round(RoundMessage::Unmask(unmask)),
            ClientMessage::Decline(decline) => {
                tracing::info!(merchant = %session.merchant, reason = decline.reason.describe(), "declined");
                round(RoundMessage::Decline(decline))
            }
        };
        match self.feed(input)? {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(number, error.to_string()),
        }
    }

    pub(super) fn update(&mut self, number: u64, upload: &Upload) -> Result<(), ServerError> {
        let Some(from) = self.sessions.get(&number).and_then(|session| session.index) else { return Ok(()) };
        // The others refuse to sign survivors among whom is one whose ledger was put back: better one is left out.
        if let Err(behind) = self.mirror.check(from, &upload.header.head) {
            return self.refuse(number, format!("its ledger: {behind}"));
        }
        let message = RoundMessage::Update { header: upload.header.clone(), words: upload.words() };
        match self.feed(Input::Message { from, message })? {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(number, error.to_string()),
        }
    }

    /// Sends everything after the version a merchant has; afterwards it receives new versions as they come.
    fn catch_up(&mut self, number: u64, catch_up: &CatchUp) -> Result<(), ServerError> {
        let jobs = self.federation.records.jobs()?;
        let Some(job) = jobs.iter().rev().find(|job| job.spec.digest() == catch_up.job) else {
            return self.refuse(number, format!("expected a job of this federation, found {}", catch_up.job));
        };
        let newest = self.federation.records.newest_version(job.number)?;
        if catch_up.version > newest {
            let found = catch_up.version;
            return self.refuse(number, format!("expected a version up to {newest}, found {found}"));
        }
        let current = self.job == Some(job.number);
        if let Some(session) = self.sessions.get_mut(&number) {
            session.follows = current;
        }
        let until = (!current).then_some(newest);
        self.queue(number, Outgoing::Follow { job: job.number, after: catch_up.version, until });
        Ok(())
    }

    /// Names a refused message; whoever sends too many of them is dismissed.
    pub(super) fn refuse(&mut self, number: u64, reason: String) -> Result<(), ServerError> {
        let limit = self.federation.config.limits.refusals_per_session;
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        session.refusals += 1;
        let too_many = session.refusals >= limit;
        self.events.refused(&session.merchant, reason);
        if too_many {
            return self.dismiss(number, format!("expected fewer than {limit} bad messages in a session"));
        }
        Ok(())
    }

    /// Ends a session and says why.
    fn dismiss(&mut self, number: u64, reason: String) -> Result<(), ServerError> {
        if let Some(session) = self.sessions.get(&number) {
            self.events.refused(&session.merchant, &reason);
        }
        let refusal = Refusal { reason };
        self.queue(number, Outgoing::Close(Box::new(refusal.into())));
        self.left(number)
    }

    /// Sends a message to a merchant, if it is connected.
    pub(super) fn send(&mut self, to: MerchantIndex, message: ServerMessage) {
        if let Some(number) = self.by_index.get(&to) {
            self.queue(*number, Outgoing::Control(Box::new(message)));
        }
    }

    /// Sends one message to many, encoded once and shared.
    pub(super) fn broadcast(
        &mut self,
        to: &BTreeSet<MerchantIndex>,
        message: &ServerMessage,
    ) -> Result<(), ServerError> {
        let frame = Arc::new(message.to_frame().map_err(StoreError::from)?);
        for number in to.iter().filter_map(|index| self.by_index.get(index)) {
            self.queue(*number, Outgoing::Encoded(Arc::clone(&frame)));
        }
        Ok(())
    }

    fn queue(&self, number: u64, item: Outgoing) {
        let Some(session) = self.sessions.get(&number) else { return };
        if let Err(TrySendError::Full(_)) = session.outbox.try_send(item) {
            self.events.refused(&session.merchant, "expected messages to be taken in time, they were not");
            session.connection.close("too slow");
        }
    }
}
