//! Model versions of a job: derived from its history, listed, cached.
//!
//! The history is the truth: version 0 is the job's seed expanded, every later version is the version before plus a
//! recorded sum, or an earlier version again. The cached model file only shortens the way and is believed only where its
//! hash is the recorded one. Memory is O(d): one model and one sum.

use guildhall_shared::digest::Digest;
use guildhall_shared::frame::{FrameHeader, HEADER_BYTES};
use guildhall_shared::identity::MERCHANTS_MAX;
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{MessageError, RESULT_KIND, ResultHeader, join_vector, split_vector};
use guildhall_shared::model_state::{ModelState, ShapeError};
use guildhall_shared::ring::{RingShapeError, RingVector};
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::{frame, wire};

use crate::error::ServerError;
use crate::federation::Federation;
use crate::store::files;
use crate::store::records::{Change, VersionRecord};

/// A history that does not lead to a model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegistryError {
    /// No such version.
    #[error("expected a version from 0 to {newest}, found {found}")]
    Unknown {
        /// The newest version.
        newest: u32,
        /// The version asked for.
        found: u32,
    },
    /// A roll-back that does not go back.
    #[error("version {version} is recorded as a roll-back to {to}, which is not earlier")]
    RollBack {
        /// The version.
        version: u32,
        /// Where it claims to go.
        to: u32,
    },
    /// A result file that is not the recorded one.
    #[error("the result file of version {version} is damaged: {reason}")]
    Result {
        /// The version.
        version: u32,
        /// What is wrong.
        reason: String,
    },
    /// Replaying the history gives another model than was recorded.
    #[error("version {version}: expected model {expected}, found {found} by replaying the history")]
    Diverged {
        /// The version.
        version: u32,
        /// The recorded hash.
        expected: Digest,
        /// The hash found.
        found: Digest,
    },
}

/// Which results make a version, oldest first, and the version they start from: `known` if it is on the way, else 0.
/// [core]
fn lineage(
    history: &[VersionRecord],
    version: u32,
    known: Option<u32>,
) -> Result<(u32, Vec<u32>), RegistryError> {
    let mut path = Vec::new();
    let mut at = version;
    while at > 0 && Some(at) != known {
        let unknown = RegistryError::Unknown { newest: history.len() as u32, found: at };
        match history.get(at as usize - 1).map(|record| &record.change) {
            None => return Err(unknown),
            Some(Change::Result(_)) => {
                path.push(at);
                at -= 1;
            }
            Some(Change::RollBack(roll_back)) if roll_back.to < at => at = roll_back.to,
            Some(Change::RollBack(roll_back)) => {
                return Err(RegistryError::RollBack { version: at, to: roll_back.to });
            }
        }
    }
    path.reverse();
    Ok((at, path))
}

/// The bytes of a RESULT frame.
///
/// # Errors
/// [`wire::WireError`] when the header cannot be encoded.
pub fn result_frame(header: &ResultHeader, words: &[u8]) -> Result<Vec<u8>, wire::WireError> {
    Ok(frame::frame(RESULT_KIND, &join_vector(&wire::encode(header)?, words)))
}

/// Cuts a RESULT frame into its header and its words.
fn parse_result(bytes: &[u8], vector_bytes: usize) -> Result<(ResultHeader, &[u8]), MessageError> {
    let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(MessageError::Vector(bytes.len()))?;
    let header = FrameHeader::parse(head)?;
    header.check_body(body)?;
    let limit = ResultHeader::bytes_max(MERCHANTS_MAX);
    let (control, words) = split_vector(body, limit, vector_bytes)?;
    Ok((wire::decode(control, limit)?, words))
}

/// The versions of one job.
pub struct Registry<'a> {
    federation: &'a Federation,
    number: u32,
    spec: &'a JobSpec,
    parameters: &'a RoundParameters,
}

impl<'a> Registry<'a> {
    /// Of a job.
    pub fn new(
        federation: &'a Federation,
        number: u32,
        spec: &'a JobSpec,
        parameters: &'a RoundParameters,
    ) -> Self {
        Registry { federation, number, spec, parameters }
    }

    /// Derives a version.
    ///
    /// # Errors
    /// [`RegistryError`], file and store failures.
    pub fn derive(&self, version: u32) -> Result<ModelState, ServerError> {
        let history = self.federation.records.versions(self.number)?;
        let cached = self.cached(&history);
        let known = cached.as_ref().map(|(version, _)| *version);
        let (start, path) = lineage(&history, version, known)?;
        let mut state = match cached {
            Some((at, state)) if at == start => state,
            _ => ModelState::initial(self.spec),
        };
        for step in path {
            let record = history.get(step as usize - 1);
            let header = record.and_then(|r| match &r.change {
                Change::Result(header) => Some(header),
                Change::RollBack(_) => None,
            });
            let Some(header) = header else { continue };
            state = self.apply(&state, step, header)?;
        }
        if let Some(record) = version.checked_sub(1).and_then(|i| history.get(i as usize)) {
            let (expected, found) = (record.model(), state.hash(&self.spec.model()));
            if expected != found {
                return Err(RegistryError::Diverged { version, expected, found }.into());
            }
        }
        Ok(state)
    }

    fn apply(
        &self,
        state: &ModelState,
        version: u32,
        recorded: &ResultHeader,
    ) -> Result<ModelState, ServerError> {
        let damaged = |reason: String| RegistryError::Result { version, reason };
        let bytes = files::read(&self.federation.result_path(self.number, version))?;
        let (header, words) =
            parse_result(&bytes, self.parameters.vector_bytes()).map_err(|e| damaged(e.to_string()))?;
        if header != *recorded {
            return Err(damaged("expected the recorded header, found another".into()).into());
        }
        let found = Digest::of_bytes(words);
        if found != recorded.sum {
            return Err(damaged(format!("expected sum {}, found {found}", recorded.sum)).into());
        }
        let mut sum = RingVector::zero(self.parameters.ring, self.parameters.parameters as usize);
        sum.add_bytes(words).map_err(|e: RingShapeError| damaged(e.to_string()))?;
        let next = state.next(self.spec, &sum.centred());
        next.map_err(|e: ShapeError| damaged(e.to_string()).into())
    }

    /// The cached model, if its hash is the recorded one of its version.
    fn cached(&self, history: &[VersionRecord]) -> Option<(u32, ModelState)> {
        let bytes = files::read_if_there(&self.federation.model_path(self.number)).ok()??;
        let (version, model) = bytes.split_first_chunk::<4>()?;
        let version = u32::from_le_bytes(*version);
        let record = history.get(version.checked_sub(1)? as usize)?;
        let state = ModelState::from_bytes(model, self.spec).ok()?;
        (state.hash(&self.spec.model()) == record.model()).then_some((version, state))
    }

    /// Keeps a model so that the next start needs not replay what led to it.
    ///
    /// # Errors
    /// [`ServerError::File`].
    pub fn cache(&self, version: u32, state: &ModelState) -> Result<(), ServerError> {
        let mut bytes = version.to_le_bytes().to_vec();
        bytes.extend(state.to_bytes());
        files::write_durably(&self.federation.model_path(self.number), &bytes)
    }
}

#[cfg(test)]
mod tests;
