//! The numbers of secure aggregation, from the roster's length: sections 6.1 and 6.7 of `docs/protocol.md`. [core]
//!
//! n is the length of the pinned roster, never the number of merchants that happen to show up. Clients derive all numbers
//! themselves and refuse an offer that differs.
//!
//! # The sparse graph
//! Above [`COMPLETE_MAX`] merchants each draws k holders of its own among the members of U1; t_k of them put a secret
//! together. Both are the smallest with which
//!
//! - privacy: n·P\[Hyp(m_min − 1, C, k) ≥ t_k\] < 2^-40: no merchant's holders include t_k colluders. The server picks who is
//!   in U1, but before anybody draws. The fewer honest members it leaves the more colluders are drawn, and clients deal
//!   nothing below m_min members, so m_min is the worst it can do.
//! - liveness: n·P\[Hyp(n − 1, n − m_min, k) > k − t_k\] < 2^-20: of no merchant are so many holders among the n − m_min that
//!   may fail that a secret is lost. With a smaller U1 fewer may fail, and of fewer: all n is the worst here.
//!
//! What the server makes of the graph afterwards, by its choice of who drops out: see [`SecaggParameters::noise_shares`].

use serde::{Deserialize, Serialize};

use super::tail::Hypergeometric;
use crate::identity::MERCHANTS_MAX;

/// Up to so many merchants everybody deals shares to everybody.
pub const COMPLETE_MAX: u32 = 128;
/// Fewest honest shares of noise in the sparse graph: with fewer, the few that a choice of dropouts can cut off and still
/// unmask are too large a part of them.
pub const SPARSE_HONEST_SHARES_MIN: u32 = 10;
/// Most holders one merchant draws: Shamir's points are the 255 non-zero bytes.
pub const SPARSE_HOLDERS_MAX: u32 = 254;
/// 2^-40, above the probability that the sparse graph fails to protect anybody in one attempt.
pub const PRIVACY_FAILURE_MAX: f64 = 1.0 / (1u64 << 40) as f64;
/// 2^-20, above the probability that the sparse graph loses a secret although no more than n − m_min merchants fail.
pub const LIVENESS_FAILURE_MAX: f64 = 1.0 / (1u64 << 20) as f64;

/// Who deals shares to whom and masks with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Graph {
    /// Everybody with everybody; every merchant also keeps a share of its own secrets.
    Complete,
    /// Every merchant draws its holders itself.
    Sparse {
        /// k, holders each merchant draws.
        holders: u32,
        /// t_k, of them needed to reconstruct.
        share_threshold: u32,
    },
}

/// What expands a mask key into a vector. A parameter of the session, never a choice per machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskGenerator {
    /// AES-256 in counter mode (FIPS 197, SP 800-38A): fastest where the processor has AES instructions.
    #[default]
    Aes256Ctr,
    /// ChaCha20 (RFC 8439): fast everywhere.
    #[serde(rename = "chacha20")]
    ChaCha20,
}

/// The numbers of secure aggregation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecaggParameters {
    /// n, length of the pinned roster.
    pub merchants: u32,
    /// C, merchants that may collude with the server.
    pub colluders: u32,
    /// t, signatures of a survivor certificate; in the complete graph also the shares of a reconstruction.
    pub threshold: u32,
    /// m_min, survivors below which clients do not unmask.
    pub survivors_min: u32,
    /// h, honest noise shares surely in the sum.
    pub honest_shares: u32,
    /// Who deals shares to whom.
    pub graph: Graph,
    /// What expands mask keys.
    pub generator: MaskGenerator,
}

/// Probabilities of one attempt, from above; 0 in the complete graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureBounds {
    /// That some merchant's holders include enough colluders to put its secrets together.
    pub privacy: f64,
    /// That a secret cannot be put together although no more than n − m_min merchants fail.
    pub liveness: f64,
}

/// Why there are no parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecaggParametersError {
    /// n < 3.
    #[error(
        "masked rounds need at least 3 merchants, the roster has {found}: with fewer, the others learn a merchant's update by \
         subtraction. Enrol more merchants, or set aggregation = \"plain\" under [round] and let every merchant allow plain mode"
    )]
    TooFew {
        /// n.
        found: u32,
    },
    /// No threshold keeps both privacy and liveness.
    #[error(
        "with {merchants} merchants of which {colluders} may collude no thresholds exist: expected t ≤ m_min ≤ n and at least \
         one honest noise share, {SPARSE_HONEST_SHARES_MIN} above {COMPLETE_MAX} merchants: lower round.colluders_min"
    )]
    Colluders {
        /// n.
        merchants: u32,
        /// C.
        colluders: u32,
    },
    /// More than any roster may have.
    #[error("expected at most {limit} merchants, found {found}")]
    TooMany {
        /// Most.
        limit: u32,
        /// n.
        found: u32,
    },
    /// No number of holders keeps both privacy and liveness.
    #[error(
        "with {merchants} merchants of which {colluders} may collude every merchant would need more than {limit} holders of \
         its shares: lower round.colluders_min"
    )]
    Holders {
        /// n.
        merchants: u32,
        /// C.
        colluders: u32,
        /// Most holders.
        limit: u32,
    },
}

impl SecaggParameters {
    /// Derives the numbers for a roster of n merchants. The job may ask for more tolerated colluders than the rule, never
    /// for fewer.
    ///
    /// # Errors
    /// [`SecaggParametersError`].
    pub fn derive(
        merchants: u32,
        colluders_min: u32,
        generator: MaskGenerator,
    ) -> Result<Self, SecaggParametersError> {
        let (n, limit) = (merchants, MERCHANTS_MAX as u32);
        if n < 3 {
            return Err(SecaggParametersError::TooFew { found: n });
        }
        if n > limit {
            return Err(SecaggParametersError::TooMany { limit, found: n });
        }
        let colluders = ((n - 1) / 3).max(1).max(colluders_min);
        let impossible = SecaggParametersError::Colluders { merchants, colluders };
        if colluders >= n {
            return Err(impossible);
        }
        let threshold = (n + colluders) / 2 + 1;
        let survivors_min = if n == 3 { n } else { threshold.max(n - (n / 5).max(1)) };
        if threshold > survivors_min || survivors_min > n || survivors_min <= colluders {
            return Err(impossible);
        }
        if n > COMPLETE_MAX && survivors_min - colluders < SPARSE_HONEST_SHARES_MIN {
            return Err(impossible);
        }
        let graph =
            if n <= COMPLETE_MAX { Graph::Complete } else { sparse_graph(n, colluders, survivors_min)? };
        let honest_shares = survivors_min - colluders;
        Ok(SecaggParameters {
            merchants,
            colluders,
            threshold,
            survivors_min,
            honest_shares,
            graph,
            generator,
        })
    }

    /// Noise shares surely in whatever the server can unmask: h, and ⌊0.96·h⌋ in the sparse graph.
    ///
    /// The server sees the graph and then chooses the n − m_min that drop out, so it may cut off a few honest survivors
    /// whose honest holders it drops, and withholds from them what others dealt to them. With overwhelming probability no
    /// choice leaves a set of more than h − ⌊0.96·h⌋ and fewer than ⌊0.96·h⌋ survivors none of whom drew a holder among the
    /// others. Nor can it unmask a smaller set alone: honest holders who answer are members of the set themselves, too few
    /// beside the colluders to reach t_k shares of a seed. So whatever it can unmask holds the noise of ⌊0.96·h⌋ honest
    /// merchants. The tests add up all these probabilities.
    pub fn noise_shares(&self) -> u32 {
        match self.graph {
            Graph::Complete => self.honest_shares,
            Graph::Sparse { .. } => self.honest_shares * 96 / 100,
        }
    }

    /// Shares needed to reconstruct one secret.
    pub fn share_threshold(&self) -> usize {
        match self.graph {
            Graph::Complete => self.threshold as usize,
            Graph::Sparse { share_threshold, .. } => share_threshold as usize,
        }
    }

    /// With which probability, at most, the graph of one attempt fails.
    pub fn failure_bounds(&self) -> FailureBounds {
        match self.graph {
            Graph::Complete => FailureBounds { privacy: 0.0, liveness: 0.0 },
            Graph::Sparse { holders, share_threshold } => {
                let n = f64::from(self.merchants);
                let (colluding, failing) = draws(self.merchants, self.colluders, self.survivors_min, holders);
                let losable = holders.saturating_sub(share_threshold);
                FailureBounds {
                    privacy: n * colluding.at_least(share_threshold),
                    liveness: n * failing.at_least(losable + 1),
                }
            }
        }
    }

    /// What the graphs of all attempts add to δ: rounds·attempts·2^-40 in the sparse graph, nothing in the complete one.
    ///
    /// `attempts`: at most in each round; a bound, not the number that happens to be needed.
    pub fn delta_addition(&self, rounds: u32, attempts: u32) -> f64 {
        match self.graph {
            Graph::Complete => 0.0,
            Graph::Sparse { .. } => f64::from(rounds) * f64::from(attempts) * PRIVACY_FAILURE_MAX,
        }
    }
}

/// Colluders, and merchants that fail, among one merchant's k holders, each in the worst case.
fn draws(n: u32, colluders: u32, survivors_min: u32, holders: u32) -> (Hypergeometric, Hypergeometric) {
    let failing = n.saturating_sub(survivors_min);
    (
        Hypergeometric::new(survivors_min.saturating_sub(1), colluders, holders),
        Hypergeometric::new(n.saturating_sub(1), failing, holders),
    )
}

/// The smallest k, and the smallest t_k with it. k stays below m_min, so that U1 always has k others to draw.
fn sparse_graph(n: u32, colluders: u32, survivors_min: u32) -> Result<Graph, SecaggParametersError> {
    let most = SPARSE_HOLDERS_MAX.min(survivors_min - 1);
    for holders in 1..=most {
        let (colluding, failing) = draws(n, colluders, survivors_min, holders);
        let share_threshold = colluding.rarely_reached(PRIVACY_FAILURE_MAX / f64::from(n));
        let lost = failing.rarely_reached(LIVENESS_FAILURE_MAX / f64::from(n));
        // Fewer than `lost` holders fail, so `share_threshold` are left.
        if holders + 1 >= share_threshold + lost {
            return Ok(Graph::Sparse { holders, share_threshold });
        }
    }
    Err(SecaggParametersError::Holders { merchants: n, colluders, limit: most })
}

#[cfg(test)]
mod tests;
