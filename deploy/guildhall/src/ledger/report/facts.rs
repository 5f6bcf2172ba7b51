//! What one verified ledger says, added up. [core]

use std::collections::{BTreeMap, BTreeSet};

use guildhall_accountant::PicoRho;
use guildhall_ledger::account::{Session, Settlement};
use guildhall_ledger::verify::Verification;
use guildhall_ledger::{Outcome, Protection, Travel};
use guildhall_shared::job::Unit;

use super::losses::Losses;

/// More merchants than this mask in a sparse graph, which adds to δ.
const COMPLETE_MAX: u32 = guildhall_shared::secagg::parameters::COMPLETE_MAX;

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reservations.
    pub reserved: u64,
    /// Given back.
    pub refunded: u64,
    /// Neither committed nor given back.
    pub open: u64,
    /// Committed: spent for ever.
    pub committed: u64,
    /// Of these, in a published sum.
    pub released: u64,
    /// Of these, ended without one.
    pub aborted: u64,
    /// That count and have no noise.
    pub unprotected: u64,
}

impl Counts {
    fn add(&mut self, session: &Session) {
        self.reserved += 1;
        self.committed += u64::from(session.committed_at.is_some());
        match session.settlement {
            Some(Settlement::Refunded) => self.refunded += 1,
            Some(Settlement::Settled(Outcome::Released { .. })) => self.released += 1,
            Some(Settlement::Settled(Outcome::Aborted)) => self.aborted += 1,
            None => self.open += u64::from(session.committed_at.is_none()),
        }
        let counts = session.settlement != Some(Settlement::Refunded);
        self.unprotected += u64::from(counts && session.protection == Protection::None);
    }
}

/// How releases of a job were protected: B, σ_local, h, m_min and C, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mechanism {
    /// B and σ_local; none without noise.
    pub noise: Option<(u64, u64)>,
    /// h.
    pub honest_shares: u64,
    /// C; none in plain mode.
    pub colluders: Option<u32>,
    /// m_min.
    pub survivors_min: u32,
    /// What one release is charged.
    pub charge: PicoRho,
}

impl Mechanism {
    fn of(session: &Session) -> Self {
        let noise = match session.protection {
            Protection::Gaussian { bound, noise_standard_deviation_local: deviation, .. } => {
                Some((bound, deviation))
            }
            Protection::None => None,
        };
        let colluders = match session.travel {
            Travel::Plain => None,
            Travel::Masked { colluders } => Some(colluders),
        };
        let honest_shares = session.protection.honest_shares();
        Mechanism {
            noise,
            honest_shares,
            colluders,
            survivors_min: session.survivors_min,
            charge: session.charge,
        }
    }
}

/// One job.
#[derive(Clone, Debug, Default)]
pub struct JobFacts {
    /// How many.
    pub counts: Counts,
    /// What they cost.
    pub losses: Losses,
    /// Every way they were protected.
    pub mechanisms: BTreeSet<Mechanism>,
    /// What was charged for each round, all attempts together.
    pub rounds: BTreeMap<u32, PicoRho>,
    /// Why, in the job's words.
    pub purposes: BTreeSet<String>,
    /// Privacy labels.
    pub labels: BTreeSet<String>,
    /// Units of privacy, in words.
    pub units: BTreeSet<&'static str>,
    /// δ as the job states it.
    pub deltas: BTreeSet<String>,
    /// First and last reservation, in seconds since 1970.
    pub times_unix_s: Option<(u64, u64)>,
    /// Most merchants in a sum.
    pub survivors_max: u32,
}

impl JobFacts {
    fn add(&mut self, session: &Session) {
        self.counts.add(session);
        self.losses.add(session);
        self.mechanisms.insert(Mechanism::of(session));
        if session.settlement != Some(Settlement::Refunded) {
            let round = self.rounds.entry(session.round.round).or_default();
            *round = round.saturating_add(session.charge);
        }
        self.purposes.insert(session.purpose.clone());
        self.labels.insert(session.label.clone());
        self.units.insert(session.unit.describe());
        if let Protection::Gaussian { delta, .. } = session.protection {
            self.deltas.insert(format!("{delta:e}"));
        }
        if let Some(Settlement::Settled(Outcome::Released { survivors, .. })) = session.settlement {
            self.survivors_max = self.survivors_max.max(survivors);
        }
        let time = session.time_unix_s;
        let (first, last) = self.times_unix_s.unwrap_or((time, time));
        self.times_unix_s = Some((first.min(time), last.max(time)));
    }
}

/// One ledger.
pub struct LedgerFacts {
    /// What the verifier found.
    pub verification: Verification,
    /// The merchant's name, or who else it is.
    pub name: String,
    /// Where its rows live; none for the server.
    pub region: Option<String>,
    /// Whether it is the server's: it spends nobody's budget.
    pub is_server: bool,
    /// Over all jobs.
    pub counts: Counts,
    /// Over all jobs.
    pub losses: Losses,
    /// By name.
    pub jobs: BTreeMap<String, JobFacts>,
    /// Spent so far, after each release that counts, in the order of the ledger.
    pub curve: Vec<PicoRho>,
    /// Whether a unit is a row.
    pub has_rows: bool,
    /// Masked attempts in a graph that fails with a small probability each.
    pub sparse_attempts: u64,
}

impl LedgerFacts {
    /// Adds up a verified ledger.
    pub fn new(verification: Verification) -> Self {
        let membership = verification.account.membership.as_ref();
        let own = membership.and_then(|membership| membership.own);
        let entry = own.and_then(|own| verification.members.get(usize::from(own.0)));
        let is_server = membership.is_some_and(|membership| membership.own.is_none());
        let name = match entry {
            Some(entry) => entry.name.to_string(),
            None => if is_server { "the server" } else { "an unknown party" }.to_owned(),
        };
        let region = entry.map(|entry| entry.region.to_string());
        let sparse = membership.is_some_and(|membership| membership.merchants > COMPLETE_MAX);
        let mut facts = LedgerFacts {
            name,
            region,
            is_server,
            counts: Counts::default(),
            losses: Losses::default(),
            jobs: BTreeMap::new(),
            curve: Vec::new(),
            has_rows: false,
            sparse_attempts: 0,
            verification,
        };
        facts.add_sessions(sparse);
        facts
    }

    fn add_sessions(&mut self, sparse: bool) {
        for (_, session) in self.verification.account.sessions() {
            self.counts.add(session);
            self.jobs.entry(session.job.to_string()).or_default().add(session);
            self.has_rows |= session.unit == Unit::Row;
            if session.settlement == Some(Settlement::Refunded) {
                continue;
            }
            let before = self.curve.last().copied().unwrap_or_default();
            self.curve.push(before.saturating_add(session.charge));
            self.sparse_attempts += u64::from(sparse && session.travel != Travel::Plain);
        }
        self.jobs.values().for_each(|job| self.losses.add_all(&job.losses));
    }

    /// δ of the budget; for the server 1, at which every ε is 0.
    pub fn delta(&self) -> f64 {
        self.verification.budget.map_or(1.0, |budget| budget.delta)
    }

    /// What the sparse graphs of all masked attempts add to δ.
    pub fn delta_added(&self) -> f64 {
        self.sparse_attempts as f64 * guildhall_shared::secagg::parameters::PRIVACY_FAILURE_MAX
    }
}
