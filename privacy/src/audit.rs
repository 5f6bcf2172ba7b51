//! The empirical audit: from what a run released to PASS, BROKEN or INCONCLUSIVE. [core]
//!
//! Only statistics and verdicts are here; `guildhall audit` drives the pipeline. It looks for contradictions to what this
//! crate claims, with two attackers who know everything but one thing:
//!
//! * **Tier A** ([`separation`], [`noise_variance`], and what is exact): is the worst shopper there? Many releases with
//!   and without it must not be further apart than √(2ρ) standard deviations of the noise, the measure in which a
//!   Gaussian of ρ-zCDP separates two neighbours at most.
//! * **Tier B** ([`Canaries`]): which of m canaries are in? One run of a whole job answers for all of them at once.
//!
//! Thresholds are one in a million for each statistical check, so a clean build that is audited daily raises a false alarm
//! once in centuries. [`CANNOT_PROVE`] stands under every result. The rules are in `docs/privacy.md`, section "The audit".

mod canary;
mod check;
mod gaussian;
pub mod one_run;
pub mod quantile;
mod result;
#[cfg(test)]
mod tests;
mod verdict;

pub use canary::{CANARIES_MIN, Canaries, canaries_needed};
pub use check::{
    Check, NOISE_SAMPLES_MIN, RUNS_MIN, honest_shares, never, noise_variance, reach, sensitivity, separation,
};
pub use gaussian::epsilon_of_separation;
pub use result::{AuditRecord, AuditResult, CANNOT_PROVE, Claim, LowerBounds, OneRun, Tier};
pub use verdict::Verdict;
