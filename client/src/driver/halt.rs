//! A testing aid: a client that falls silent at a chosen point, so that a test can kill it exactly there.
//!
//! `GUILDHALL_HALT_AT=POINT[:ROUND]` in the environment makes a client do nothing more at that point, in that round or the
//! first that comes to it. A point is the name of a [`Step`], right before the step, or `after-` and the name, right after it.
//! The client keeps its connection, what it started in the background goes on, and it says so in an event; it ends when it
//! is told to end, or killed.
//!
//! # Privacy
//! It can only keep a client from doing something, which whoever starts the process can do anyway; no check is skipped and
//! nothing is sent that would not be.

use guildhall_shared::message::{ClientMessage, ServerMessage};
use serde::{Serialize, Serializer};

use crate::participant::{Input, Output};

/// The variable's name.
const VARIABLE: &str = "GUILDHALL_HALT_AT";

/// What comes before the name of a step that is done.
const AFTER: &str = "after-";

/// Makes the enum and the list of all its values in one: no step can be left out of the list.
macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $name:literal,)*) => {
        /// A step of a client, by its name once it is done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])* $step,)* }

        impl Step {
            /// All, in the order in which they come first.
            pub const ALL: &'static [Step] = &[$(Step::$step,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Step::$step => $name,)* }
            }
        }
    };
}

steps! {
    /// The roster is pinned, once in a client's life, and the ledger has its owner.
    Pinned = "pinned",
    /// The ledger is held against what the server saw of it.
    Compared = "compared",
    /// A job's models and data are open.
    Opened = "opened",
    /// The budget is debited.
    Reserved = "reserved",
    /// Plain mode: Accept is sent.
    Accepted = "accepted",
    /// M1 is sent: fresh keys.
    Advertised = "advertised",
    /// M3 is sent: shares of the own secrets.
    Shared = "shared",
    /// The ledger is held against what other merchants saw of it.
    Witnessed = "witnessed",
    /// Training starts; in a masked attempt the masks are made.
    Masked = "masked",
    /// What was reserved and not committed is given back.
    Refunded = "refunded",
    /// The commitment of the sealed update is durable.
    Committed = "committed",
    /// The update leaves: after it, bytes are on their way.
    Uploaded = "uploaded",
    /// The server's receipt for the update is taken in.
    Received = "received",
    /// What was seen of the others' ledgers is kept.
    Remembered = "remembered",
    /// M7 is sent: the survivors are signed.
    Certified = "certified",
    /// M9 is sent: shares are revealed, and nothing secret is left.
    Unmasked = "unmasked",
    /// What became of the update is in the ledger, and its certificate beside it.
    Settled = "settled",
    /// A model version is on its way to the disk, and served.
    Stored = "stored",
}

/// Right before a step, or right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltPoint {
    /// The step is not taken.
    Before(Step),
    /// Nothing that follows from the step is done.
    After(Step),
}

impl HaltPoint {
    /// All, in order.
    pub fn all() -> impl Iterator<Item = HaltPoint> {
        Step::ALL.iter().flat_map(|step| [HaltPoint::Before(*step), HaltPoint::After(*step)])
    }

    /// Its name in the environment and in events.
    pub fn name(self) -> String {
        match self {
            HaltPoint::Before(step) => step.name().to_owned(),
            HaltPoint::After(step) => format!("{AFTER}{}", step.name()),
        }
    }
}

impl Serialize for HaltPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// Where to halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HaltAt {
    point: HaltPoint,
    /// Any round, if none.
    round: Option<u32>,
}

/// A value that names no point.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{VARIABLE}: expected one of {expected}, or one of them and a round as in uploaded:3; found {found:?}", expected = points())]
pub struct HaltError {
    found: String,
}

fn points() -> String {
    HaltPoint::all().map(HaltPoint::name).collect::<Vec<_>>().join(", ")
}

impl HaltAt {
    /// What the environment asks for, if anything.
    ///
    /// # Errors
    /// [`HaltError`].
    pub fn from_environment() -> Result<Option<Self>, HaltError> {
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(None) };
        Self::parse(&value.to_string_lossy()).map(Some)
    }

    /// Reads `POINT[:ROUND]`.
    ///
    /// # Errors
    /// [`HaltError`].
    pub fn parse(text: &str) -> Result<Self, HaltError> {
        let error = || HaltError { found: text.to_owned() };
        let (name, round) = match text.split_once(':') {
            Some((name, round)) => (name, Some(round.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let point = HaltPoint::all().find(|point| point.name() == name).ok_or_else(error)?;
        Ok(HaltAt { point, round })
    }

    /// Whether this is where to halt.
    pub(super) fn is(self, point: HaltPoint, round: u32) -> bool {
        point == self.point && self.round.is_none_or(|only| only == round)
    }
}

/// The step that taking an input in is.
pub(super) fn step_of_input(input: &Input) -> Option<Step> {
    match input {
        Input::Message(ServerMessage::Receipt(_)) => Some(Step::Received),
        _ => None,
    }
}

/// The step that an output takes.
pub(super) fn step_of_output(output: &Output) -> Option<Step> {
    match output {
        Output::Send(message) => step_of_message(message),
        Output::PinRoster(_) => Some(Step::Pinned),
        Output::CompareLedger { .. } => Some(Step::Compared),
        Output::CompareHeads { .. } => Some(Step::Witnessed),
        Output::KeepWitness(_) => Some(Step::Remembered),
        Output::OpenJob { .. } => Some(Step::Opened),
        Output::Reserve(_) => Some(Step::Reserved),
        Output::Train(_) => Some(Step::Masked),
        Output::Refund { .. } => Some(Step::Refunded),
        Output::Commit { .. } => Some(Step::Committed),
        Output::Upload { .. } => Some(Step::Uploaded),
        Output::Settle { .. } => Some(Step::Settled),
        Output::StoreModel { .. } => Some(Step::Stored),
        Output::LoadModel { .. } | Output::Report(_) | Output::WakeAt { .. } => None,
    }
}

fn step_of_message(message: &ClientMessage) -> Option<Step> {
    match message {
        ClientMessage::Accept(_) => Some(Step::Accepted),
        ClientMessage::Advertise(_) => Some(Step::Advertised),
        ClientMessage::Shares(_) => Some(Step::Shared),
        ClientMessage::Certify(_) => Some(Step::Certified),
        ClientMessage::Unmask(_) => Some(Step::Unmasked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::participant::AttemptStage;
    use guildhall_shared::digest::Digest;

    #[test]
    fn a_point_is_before_or_after_a_step_and_perhaps_in_a_round() {
        for point in HaltPoint::all() {
            let (any, third) = (point.name(), format!("{}:3", point.name()));
            assert_eq!(HaltAt::parse(&any), Ok(HaltAt { point, round: None }));
            assert_eq!(HaltAt::parse(&third), Ok(HaltAt { point, round: Some(3) }));
            assert_eq!(serde_json::to_value(point).unwrap(), any.as_str(), "events say the same names");
        }
        for bad in
            ["", "upload", "uploaded:", "uploaded:x", ":3", "uploaded:3:4", "Uploaded", "before-uploaded"]
        {
            let error = HaltAt::parse(bad).unwrap_err().to_string();
            assert!(error.contains("after-uploaded") && error.contains(VARIABLE), "{error}");
        }
    }

    #[test]
    fn every_stage_of_a_masked_attempt_is_a_step_by_the_same_name() {
        for stage in AttemptStage::ALL {
            assert!(HaltAt::parse(stage.name()).is_ok(), "{stage:?}");
        }
        assert!(HaltPoint::all().count() >= 20);
    }

    #[test]
    fn it_halts_at_its_point_in_its_round_only() {
        let commit = step_of_output(&Output::Commit { sid: Digest([1; 32]) }).unwrap();
        let refund = step_of_output(&Output::Refund { sid: Digest([1; 32]) }).unwrap();
        let any = HaltAt::parse("committed").unwrap();
        assert!(any.is(HaltPoint::Before(commit), 9) && !any.is(HaltPoint::After(commit), 9));
        assert!(!any.is(HaltPoint::Before(refund), 9));
        let third = HaltAt::parse("after-committed:3").unwrap();
        assert!(third.is(HaltPoint::After(commit), 3) && !third.is(HaltPoint::After(commit), 2));
        assert!(!third.is(HaltPoint::Before(commit), 3));
    }
}
