//! What an audit hands on: claim, checks, verdict; and the three things a ledger keeps of it. [core]

use std::fmt;

use guildhall_shared::digest::Digest;
use guildhall_shared::wire;
use serde::Serialize;

use super::check::{Check, Moments};
use super::gaussian::epsilon_of_separation;
use super::quantile::Z_95;
use super::verdict::Verdict;
use crate::accountant::zcdp::epsilon_upper_bound;
use crate::parameter::{PicoRho, Protection};

/// Stands under every result.
pub const CANNOT_PROVE: &str = "An audit can find that the claim is broken. It can never prove privacy: what it did not try, it did not see.";

/// How deep an audit looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The mechanism: many releases of a small model at the audit's own noise, in seconds.
    A,
    /// Canaries: one staging run of a job at the job's own noise.
    B,
}

/// What is claimed, in the program's own numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Length of the roster.
    pub merchants: u32,
    /// C, merchants that may collude with the server.
    pub colluders: u32,
    /// h.
    pub honest_shares: u64,
    /// B.
    pub bound: u64,
    /// σ_local.
    pub noise_standard_deviation_local: u64,
    /// Words of a release: d, and one more where the clip adapts.
    pub parameters: u64,
    /// Releases that add up.
    pub releases: u32,
    /// ρ of all of them.
    pub rho: f64,
    /// ε of that ρ, rounded up.
    pub epsilon: f64,
    /// At this δ.
    pub delta: f64,
}

impl Claim {
    /// The claim of a number of releases with this protection; none where there is no noise.
    pub fn new(
        protection: &Protection,
        releases: u32,
        merchants: u32,
        colluders: u32,
        parameters: u64,
    ) -> Option<Self> {
        let Protection::Gaussian { bound, noise_standard_deviation_local, honest_shares, delta } =
            *protection
        else {
            return None;
        };
        let total: PicoRho = protection.charge().saturating_mul(u64::from(releases));
        let rho = total.rho_upper_bound();
        Some(Claim {
            merchants,
            colluders,
            honest_shares,
            bound,
            noise_standard_deviation_local,
            parameters,
            releases,
            rho,
            epsilon: epsilon_upper_bound(rho, delta),
            delta,
        })
    }

    /// √h·σ_local, the standard deviation of the noise that protects one release.
    pub fn noise_standard_deviation(&self) -> f64 {
        (self.honest_shares as f64).sqrt() * self.noise_standard_deviation_local as f64
    }
}

/// ε that the measurements show at least, at 95 % confidence: beside the claim, which bounds it from above.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LowerBounds {
    /// From the separation, taking the noise for Gaussian.
    pub epsilon_gaussian: f64,
    /// From guesses about canaries, taking it for nothing. Information only.
    pub one_run: Option<OneRun>,
}

impl LowerBounds {
    /// From two arms of runs: the separation less 1.645 of its standard errors.
    pub fn of_arms(present: &[f64], empty: &[f64], delta: f64) -> Self {
        let (with, without) = (Moments::of(present.iter().copied()), Moments::of(empty.iter().copied()));
        let degrees = with.count + without.count - 2.0;
        let spread = ((with.squares + without.squares) / degrees).sqrt();
        let separation = super::check::ratio((with.mean - without.mean).abs(), spread);
        let error =
            (1.0 / with.count + 1.0 / without.count + separation * separation / (2.0 * degrees)).sqrt();
        let bound = if separation.is_infinite() { separation } else { separation - Z_95 * error };
        LowerBounds { epsilon_gaussian: epsilon_of_separation(bound, delta), one_run: None }
    }
}

/// The bound of [`super::one_run`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneRun {
    /// m.
    pub canaries: u64,
    /// r.
    pub guesses: u64,
    /// v.
    pub correct: u64,
    /// The lower bound.
    pub epsilon: f64,
    /// What it could have been at most.
    pub ceiling: f64,
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditResult {
    /// Of this layout.
    pub version: u16,
    /// Version of the program that was audited and that audited.
    pub code: String,
    /// How deep.
    pub tier: Tier,
    /// What it came to.
    pub verdict: Verdict,
    /// What was claimed.
    pub claim: Claim,
    /// Every check.
    pub checks: Vec<Check>,
    /// What was shown at least.
    pub lower_bounds: LowerBounds,
}

/// What a ledger keeps of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The verdict.
    pub verdict: Verdict,
    /// Digest of the whole result.
    pub digest: Digest,
    /// One line for people.
    pub summary: String,
}

impl AuditResult {
    /// The verdict follows from the checks: see [`Verdict::of`].
    pub fn conclude(
        tier: Tier,
        code: &str,
        claim: Claim,
        checks: Vec<Check>,
        lower_bounds: LowerBounds,
    ) -> Self {
        let verdict = Verdict::of(checks.iter().map(|check| check.verdict));
        AuditResult { version: 1, code: code.into(), tier, verdict, claim, checks, lower_bounds }
    }

    /// The digest of the canonical encoding.
    pub fn digest(&self) -> Digest {
        Digest::of("guildhall audit v1", &[&wire::encode(self).unwrap_or_default()])
    }

    /// The checks that are not passed.
    pub fn not_passed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict != Verdict::Pass)
    }

    /// What a ledger keeps.
    pub fn record(&self) -> AuditRecord {
        AuditRecord { verdict: self.verdict, digest: self.digest(), summary: self.to_string() }
    }
}

impl fmt::Display for AuditResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { epsilon, delta, .. } = self.claim;
        write!(
            f,
            "audit tier {:?}: {}; claimed epsilon {epsilon:.3} at delta {delta:e}, shown at least {:.3}",
            self.tier, self.verdict, self.lower_bounds.epsilon_gaussian
        )?;
        let mut separator = "; ";
        for check in self.not_passed() {
            write!(f, "{separator}{} {}", check.subject, check.verdict)?;
            separator = ", ";
        }
        write!(f, " ({} checks, guildhall {})", self.checks.len(), self.code)
    }
}
