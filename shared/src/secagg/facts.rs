//! The fixed facts of one attempt, known to everybody in it. [core]

use std::sync::Arc;

use super::SecaggParameters;
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::{DecodedRoster, Verifier};
use crate::ring::RingWidth;

/// The fixed facts of one attempt. Each party fills them in from what it derived itself, never from what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The attempt's session id.
    pub sid: Digest,
    /// Hash of the model that is trained.
    pub model: Digest,
    /// Digest of the round's parameters, the job and the roster.
    pub parameters: Digest,
    /// The pinned roster.
    pub roster: Arc<DecodedRoster>,
    /// n, C, t, m_min, h, graph, generator.
    pub secagg: SecaggParameters,
    /// Width of a ring word.
    pub ring: RingWidth,
    /// d, words of an update.
    pub dimension: usize,
}

impl Facts {
    /// A merchant's identity key, if the roster lists it.
    pub fn identity(&self, merchant: MerchantIndex) -> Option<&Verifier> {
        self.roster.identity(merchant)
    }

    /// A merchant's name, or its number where the roster has none.
    pub fn name(&self, merchant: MerchantIndex) -> String {
        self.roster.entry(merchant).map_or_else(|| merchant.to_string(), |entry| entry.name.to_string())
    }

    /// Bytes of one masked update.
    pub fn vector_bytes(&self) -> usize {
        self.dimension * self.ring.bytes()
    }
}
