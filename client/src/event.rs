//! What a running client reports: one JSON object per line for whoever started it. Nothing here depends on rows.

use std::net::SocketAddr;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use serde::{Serialize, Serializer};

use crate::driver::HaltPoint;
use crate::participant::AttemptStage;

/// Something a client reports.
///
/// # Privacy
/// No counts, durations or losses of private data. Every event that names a model, a job or an offer carries the
/// label of its privacy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A session with the server is open.
    Connected {
        /// The server.
        server: SocketAddr,
    },
    /// The session ended; the client connects again by itself.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A witness saw this ledger otherwise than it is: nothing more is reserved.
    LedgerRolledBack {
        /// What it saw, and what to do.
        reason: String,
    },
    /// The closed roster is pinned: no other will be accepted.
    RosterPinned {
        /// Its digest.
        #[serde(serialize_with = "as_hex")]
        roster: Digest,
        /// n.
        merchants: u32,
    },
    /// The server announced a job.
    JobAnnounced {
        /// Its name.
        job: Name,
        /// What it is for.
        purpose: String,
        /// Unit and budget, or that there is no privacy.
        label: String,
        /// How rounds protect updates.
        mode: &'static str,
        /// Rounds.
        rounds: u32,
        /// Parameters.
        parameters: u64,
        /// Why this merchant only follows the job and contributes nothing, if so.
        objection: Option<String>,
    },
    /// Takes part in an attempt: its budget is reserved durably.
    Accepted {
        /// Round.
        round: u32,
        /// Attempt.
        attempt: u32,
        /// Label of the offer.
        label: String,
    },
    /// Does not take part in an attempt.
    Declined {
        /// Round.
        round: u32,
        /// Attempt.
        attempt: u32,
        /// Why, and what to do about it.
        reason: String,
        /// Label of the offer.
        label: String,
    },
    /// The debit is durable; the update leaves at its slot.
    Committed {
        /// Round.
        round: u32,
        /// Attempt.
        attempt: u32,
        /// Label of the offer.
        label: String,
    },
    /// A masked attempt went one step further: what the stage names is done.
    Stage {
        /// Round.
        round: u32,
        /// Attempt.
        attempt: u32,
        /// Which step.
        stage: AttemptStage,
        /// Label of the offer.
        label: String,
    },
    /// The client fell silent right before or after a step, as `GUILDHALL_HALT_AT` asked for.
    Halted {
        /// Round.
        round: u32,
        /// Attempt.
        attempt: u32,
        /// The point where.
        stage: HaltPoint,
        /// Label of the offer.
        label: String,
    },
    /// An attempt ended without this merchant's update in a result.
    AttemptEnded {
        /// Round.
        round: u32,
        /// Attempt.
        attempt: u32,
        /// Why.
        reason: String,
        /// Label of the offer.
        label: String,
    },
    /// A new version was derived from a released sum and its hash agrees with everybody's.
    NewModel {
        /// The job.
        job: Name,
        /// Version.
        version: u32,
        /// Model hash.
        #[serde(serialize_with = "as_hex")]
        model: Digest,
        /// ε this merchant spent so far over all jobs, at its own δ.
        epsilon_spent: f64,
        /// ε this merchant spent on this job, at its own δ.
        epsilon_spent_on_job: f64,
        /// ε the merchant allows.
        epsilon_budget: f64,
        /// The merchant's δ.
        delta: f64,
        /// Label of the model.
        label: String,
    },
    /// Predictions are served.
    Serving {
        /// Where.
        address: SocketAddr,
    },
    /// All rounds are done.
    Finished {
        /// The job.
        job: Name,
        /// Last version.
        version: u32,
        /// Its hash.
        #[serde(serialize_with = "as_hex")]
        model: Digest,
        /// ε this merchant spent so far over all jobs, at its own δ.
        epsilon_spent: f64,
        /// Label of the model.
        label: String,
    },
    /// The server said something that is refused; this client's state is unchanged.
    Refused {
        /// What was expected and what was found.
        reason: String,
    },
    /// This client takes part in no further round of a job, because the server contradicts what it derived itself.
    Stopped {
        /// The job.
        job: Name,
        /// What was expected and what was found.
        reason: String,
        /// Label of the job.
        label: String,
    },
}

fn as_hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_json_with_hex_digests() {
        let event = Event::NewModel {
            job: Name::new("intent").unwrap(),
            version: 3,
            model: Digest([0xAB; 32]),
            epsilon_spent: 1.5,
            epsilon_spent_on_job: 1.0,
            epsilon_budget: 4.0,
            delta: 1e-6,
            label: "unit".into(),
        };
        let json: serde_json::Value = serde_json::to_value(&event).unwrap();
        assert_eq!(json["event"], "new_model");
        assert_eq!(json["model"], "ab".repeat(32));
        assert_eq!(json["label"], "unit");
    }
}
