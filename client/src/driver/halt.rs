//! A testing aid: a client that falls silent at a chosen step, so that a test can kill it exactly there.
//!
//! `GUILDHALL_HALT_AT=STAGE[:ROUND]` in the environment makes a client do nothing more right before the step of that stage
//! of a masked attempt (in plain mode: of training, committing or uploading), in that round or the first that comes to it.
//! It keeps its connection and says so in an event; it ends when it is told to end, or killed.
//!
//! # Privacy
//! It can only keep a client from doing something, which whoever starts the process can do anyway; no check is skipped and
//! nothing is sent that would not be.

use guildhall_shared::message::ClientMessage;

use crate::participant::{AttemptStage, Output};

/// The variable's name.
const VARIABLE: &str = "GUILDHALL_HALT_AT";

/// Where to halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HaltAt {
    stage: AttemptStage,
    /// Any round, if none.
    round: Option<u32>,
}

/// A value that names no step.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{VARIABLE}: expected one of {expected}, or one of them and a round as in uploaded:3; found {found:?}", expected = stages())]
pub struct HaltError {
    found: String,
}

fn stages() -> String {
    AttemptStage::ALL.map(AttemptStage::name).join(", ")
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

    /// Reads `STAGE[:ROUND]`.
    ///
    /// # Errors
    /// [`HaltError`].
    pub fn parse(text: &str) -> Result<Self, HaltError> {
        let error = || HaltError { found: text.to_owned() };
        let (name, round) = match text.split_once(':') {
            Some((name, round)) => (name, Some(round.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let stage = AttemptStage::ALL.into_iter().find(|stage| stage.name() == name).ok_or_else(error)?;
        Ok(HaltAt { stage, round })
    }

    /// Whether an output is the step to halt before.
    pub(super) fn comes_before(self, output: &Output, round: u32) -> Option<AttemptStage> {
        step(output).filter(|stage| *stage == self.stage && self.round.is_none_or(|only| only == round))
    }
}

/// The step of an attempt that an output takes.
fn step(output: &Output) -> Option<AttemptStage> {
    match output {
        Output::Send(ClientMessage::Advertise(_)) => Some(AttemptStage::Advertised),
        Output::Send(ClientMessage::Shares(_)) => Some(AttemptStage::Shared),
        Output::Train(_) => Some(AttemptStage::Masked),
        Output::Commit { .. } => Some(AttemptStage::Committed),
        Output::Upload { .. } => Some(AttemptStage::Uploaded),
        Output::Send(ClientMessage::Certify(_)) => Some(AttemptStage::Certified),
        Output::Send(ClientMessage::Unmask(_)) => Some(AttemptStage::Unmasked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_shared::digest::Digest;

    #[test]
    fn a_step_is_a_stage_and_perhaps_a_round() {
        for stage in AttemptStage::ALL {
            let (any, third) = (stage.name().to_owned(), format!("{}:3", stage.name()));
            assert_eq!(HaltAt::parse(&any), Ok(HaltAt { stage, round: None }));
            assert_eq!(HaltAt::parse(&third), Ok(HaltAt { stage, round: Some(3) }));
            assert_eq!(serde_json::to_value(stage).unwrap(), any.as_str(), "events say the same names");
        }
        for bad in ["", "upload", "uploaded:", "uploaded:x", ":3", "uploaded:3:4", "Uploaded"] {
            let error = HaltAt::parse(bad).unwrap_err().to_string();
            assert!(error.contains("uploaded") && error.contains(VARIABLE), "{error}");
        }
    }

    #[test]
    fn it_halts_before_its_step_in_its_round_only() {
        let commit = Output::Commit { sid: Digest([1; 32]) };
        let refund = Output::Refund { sid: Digest([1; 32]) };
        let any = HaltAt::parse("committed").unwrap();
        assert_eq!(any.comes_before(&commit, 9), Some(AttemptStage::Committed));
        assert_eq!(any.comes_before(&refund, 9), None);
        let third = HaltAt::parse("committed:3").unwrap();
        assert!(third.comes_before(&commit, 3).is_some() && third.comes_before(&commit, 2).is_none());
        assert_eq!(HaltAt::parse("uploaded").unwrap().comes_before(&commit, 9), None);
    }
}
