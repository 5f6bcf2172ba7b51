//! Who is awaited in a phase of a masked round, until when, and who will not answer any more. [core]
//!
//! A merchant that withdrew (it declined or complained) or whose session ended is not awaited in later phases either: its
//! client keeps no attempt across sessions. Should it speak all the same, it is heard.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Abort, Receipt, Verdict};

use super::{Attempt, Fault, Output, RoundMessage, TimestampMs};

/// Who is awaited, and until when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attendance {
    awaited: BTreeSet<MerchantIndex>,
    /// Who said that it does not go on, and why.
    withdrawn: BTreeMap<MerchantIndex, &'static str>,
    /// Whose session ended.
    away: BTreeSet<MerchantIndex>,
    deadline: TimestampMs,
}

impl Attendance {
    /// Awaits everybody until the deadline.
    pub fn of(merchants: BTreeSet<MerchantIndex>, deadline: TimestampMs, out: &mut Vec<Output>) -> Self {
        out.push(Output::WakeAt(deadline));
        Attendance { awaited: merchants, withdrawn: BTreeMap::new(), away: BTreeSet::new(), deadline }
    }

    /// The next phase: awaits those of `merchants` that are still there.
    pub fn next(
        mut self,
        merchants: &BTreeSet<MerchantIndex>,
        deadline: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Self {
        out.push(Output::WakeAt(deadline));
        self.awaited = self.present(merchants);
        self.deadline = deadline;
        self
    }

    /// Those of `merchants` that neither withdrew nor left.
    pub fn present(&self, merchants: &BTreeSet<MerchantIndex>) -> BTreeSet<MerchantIndex> {
        merchants
            .iter()
            .copied()
            .filter(|m| !self.withdrawn.contains_key(m) && !self.away.contains(m))
            .collect()
    }

    /// Those of `merchants` that did not say themselves that they do not go on: they must be told.
    pub fn unaware(&self, merchants: &BTreeSet<MerchantIndex>) -> BTreeSet<MerchantIndex> {
        merchants.iter().copied().filter(|m| !self.withdrawn.contains_key(m)).collect()
    }

    /// Whether waiting is over: nobody is awaited, or it is too late.
    pub fn is_over(&self, now: TimestampMs) -> bool {
        self.awaited.is_empty() || now >= self.deadline
    }

    /// How many may answer yet.
    pub fn hoped_for(&self, now: TimestampMs) -> usize {
        if now >= self.deadline { 0 } else { self.awaited.len() }
    }

    /// Refuses whoever withdrew.
    pub fn check(&self, from: MerchantIndex, found: &'static str) -> Result<(), Fault> {
        if self.withdrawn.contains_key(&from) { Err(Fault::Repeated { found }) } else { Ok(()) }
    }

    /// A merchant gave its answer.
    pub fn answered(&mut self, merchant: MerchantIndex) {
        self.awaited.remove(&merchant);
        self.away.remove(&merchant);
    }

    /// A merchant does not go on.
    pub fn withdraw(&mut self, merchant: MerchantIndex, why: &'static str) {
        self.awaited.remove(&merchant);
        self.withdrawn.insert(merchant, why);
    }

    /// A merchant's session ended.
    pub fn left(&mut self, merchant: MerchantIndex) {
        self.awaited.remove(&merchant);
        self.away.insert(merchant);
    }

    /// Takes what a phase does not wait for: withdrawals at any time, and what good merchants say too late, being slow.
    /// `insiders` are in the attempt still: from them the messages of earlier phases are repetitions.
    pub fn aside(
        &mut self,
        attempt: &Attempt,
        from: MerchantIndex,
        message: &RoundMessage<'_>,
        insiders: &BTreeSet<MerchantIndex>,
        expected: &'static str,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let found = message.name();
        // Whoever withdrew is not slow: it has said its last word, whatever the stage.
        self.check(from, found)?;
        match message {
            RoundMessage::Decline(decline) => {
                self.withdraw(from, decline.reason.describe());
                Ok(())
            }
            RoundMessage::Advertise(_) | RoundMessage::Shares(_) if !insiders.contains(&from) => {
                tell(attempt, [from].into(), TOO_LATE, out);
                Ok(())
            }
            RoundMessage::Update { .. } if !insiders.contains(&from) => {
                let receipt = Receipt { sid: attempt.sid, verdict: Verdict::Refused(TOO_LATE.into()) };
                out.push(Output::Send { to: from, message: receipt.into() });
                Ok(())
            }
            _ => Err(Fault::Phase { expected, found }),
        }
    }

    /// Why there are too few.
    pub fn shortfall(&self, attempt: &Attempt, step: &str, expected: usize, found: usize) -> String {
        let mut reason = format!("expected at least {expected} merchants to {step}, found {found}");
        for (merchant, why) in &self.withdrawn {
            reason.push_str(&format!("; {} declined: {why}", attempt.names([*merchant])));
        }
        for (what, who) in [("no answer from", &self.awaited), ("left:", &self.away)] {
            if !who.is_empty() {
                reason.push_str(&format!("; {what} {}", attempt.names(who.iter().copied())));
            }
        }
        reason
    }
}

/// What a merchant that is too late is told.
pub(super) const TOO_LATE: &str = "nothing usable came in time: the attempt goes on without this merchant";

/// Tells merchants that the attempt is over for them.
pub(super) fn tell(attempt: &Attempt, told: BTreeSet<MerchantIndex>, reason: &str, out: &mut Vec<Output>) {
    // A message has its limit; with a thousand merchants a list of names could pass it.
    let reason: String = reason.chars().take(REASON_CHARACTERS_MAX).collect();
    for to in told {
        let abort = Abort { sid: attempt.sid, reason: reason.clone() };
        out.push(Output::Send { to, message: abort.into() });
    }
}

/// Keeps an abort message within its limit of 1,024 bytes; every character of a reason is ASCII.
const REASON_CHARACTERS_MAX: usize = 700;
