//! What a ledger's entries say, counted by rules written a second time: one reservation, one commit or refund, one settlement.

use std::collections::BTreeMap;

use guildhall_ledger::{Entry, Event, Outcome};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub struct Fate {
    pub job: Name,
    pub round: RoundId,
    /// In pico-ρ.
    pub charge: u128,
    /// How many entries there were with its COMMIT, and H(y).
    pub committed: Option<(u64, Option<Digest>)>,
    pub refunded: bool,
    pub settled: Option<Outcome>,
}

/// All sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub sessions: BTreeMap<Digest, Fate>,
}

impl Tally {
    /// # Panics
    /// When anything happened to a session twice, or to one that it cannot happen to.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut tally = Tally::default();
        for (place, bytes) in entries.into_iter().enumerate() {
            let entry = Entry::from_bytes(bytes).expect("an entry");
            assert_eq!(entry.sequence, place as u64);
            tally.take(entry.event, place as u64 + 1);
        }
        tally
    }

    fn take(&mut self, event: Event, size: u64) {
        match event {
            Event::Reserve { reservation: asked, .. } => {
                let twice = |other: &Fate| other.job == asked.job && other.round == asked.round;
                assert!(!self.sessions.values().any(twice), "{} of {} twice", asked.round, asked.job);
                let charge = asked.charge.pico();
                let (job, round) = (asked.job, asked.round);
                let fate = Fate { job, round, charge, committed: None, refunded: false, settled: None };
                assert!(self.sessions.insert(asked.sid, fate).is_none(), "session {} twice", asked.sid);
            }
            Event::Commit { sid, update, .. } => {
                let fate = self.fate(&sid);
                assert!(fate.committed.is_none() && !fate.refunded, "{sid} committed: {fate:?}");
                fate.committed = Some((size, update));
            }
            Event::Refund { sid } => {
                let fate = self.fate(&sid);
                assert!(fate.committed.is_none() && !fate.refunded, "{sid} refunded: {fate:?}");
                fate.refunded = true;
            }
            Event::Settle { sid, outcome } => {
                let fate = self.fate(&sid);
                assert!(fate.committed.is_some() && fate.settled.is_none(), "{sid} settled: {fate:?}");
                fate.settled = Some(outcome);
            }
            _ => {}
        }
    }

    fn fate(&mut self, sid: &Digest) -> &mut Fate {
        self.sessions.get_mut(sid).expect("it was reserved")
    }

    /// In pico-ρ.
    pub fn spent(&self) -> u128 {
        self.sessions.values().filter(|fate| !fate.refunded).map(|fate| fate.charge).sum()
    }

    /// Reserved, and neither committed nor refunded.
    pub fn open(&self) -> Vec<Digest> {
        let open = |fate: &Fate| fate.committed.is_none() && !fate.refunded;
        self.sessions.iter().filter(|(_, fate)| open(fate)).map(|(sid, _)| *sid).collect()
    }
}
