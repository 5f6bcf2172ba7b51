//! What the verifier concludes.

use std::collections::BTreeMap;
use std::fmt;

use guildhall_accountant::{PicoRho, zcdp};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::identity::RosterEntry;
use serde::{Serialize, Serializer};

use super::{Finding, Severity, Verifier};
use crate::account::{Account, Settlement};
use crate::entry::AuditVerdict;
use crate::merkle::MerkleTree;
use crate::{BudgetLimit, Protection};

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Good,
    /// See [`Severity::Tampered`].
    Tampered,
    /// See [`Severity::Overspent`].
    Overspent,
    /// See [`Severity::Unverifiable`].
    Unverifiable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Good => "good",
            Verdict::Tampered => "TAMPERED",
            Verdict::Overspent => "OVERSPENT",
            Verdict::Unverifiable => "UNVERIFIABLE",
        })
    }
}

impl From<Severity> for Verdict {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Tampered => Verdict::Tampered,
            Severity::Overspent => Verdict::Overspent,
            Severity::Unverifiable => Verdict::Unverifiable,
        }
    }
}

/// Who saw this ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Witnesses {
    /// Merchants that signed a certificate with a head of this ledger in it.
    pub merchants: Vec<Name>,
    /// The merchants that could have: all others.
    pub merchants_all: u32,
    /// Entries that were seen by so many merchants.
    pub entries_seen_by_merchants: u64,
    /// When the server last cosigned a checkpoint, in seconds since 1970.
    pub server_unix_s: Option<u64>,
    /// Entries in that checkpoint.
    pub entries_seen_by_server: u64,
}

/// What the verifier found.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// In one word.
    pub verdict: Verdict,
    /// 0 good, 2 tampered, 3 overspent, 4 unverifiable.
    pub exit_code: u8,
    /// Whose ledger: its origin.
    pub origin: String,
    /// The federation's key: compare it with what you were told.
    pub federation_key: Option<String>,
    /// The key that signs this ledger's newest checkpoint.
    pub owner_key: Option<String>,
    /// Entries.
    pub entries: u64,
    /// Their Merkle root.
    pub root: Digest,
    /// The budget in force at the end; none for the server.
    pub budget: Option<BudgetLimit>,
    /// ρ, committed and reserved, over all jobs: an exact decimal number.
    #[serde(rename = "rho_spent", serialize_with = "decimal")]
    pub spent: PicoRho,
    /// ε of that at the budget's δ, rounded up.
    pub epsilon_spent: f64,
    /// Survivor certificates that were checked.
    pub certificates: u64,
    /// Who saw it.
    pub witnesses: Witnesses,
    /// What is wrong, the worst first; empty if all is well.
    pub findings: Vec<Finding>,
    /// More findings, of kinds that are listed.
    pub findings_left_out: u64,
    /// What is not wrong, and should be known.
    pub remarks: Vec<String>,
    /// What happened, for reports.
    #[serde(skip)]
    pub account: Account,
    /// The roster, if it holds.
    #[serde(skip)]
    pub members: Vec<RosterEntry>,
    /// The tree over all entries.
    #[serde(skip)]
    pub tree: MerkleTree,
    /// Heads of merchants' ledgers, its own too, that its WITNESS entries and certificates show.
    #[serde(skip)]
    pub seen: BTreeMap<MerchantIndex, BTreeMap<u64, Digest>>,
}

fn decimal<S: Serializer>(rho: &PicoRho, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(rho)
}

impl Verification {
    /// Whether this ledger, of a merchant, is the one that another ledger of its federation saw. The sizes at which it is not.
    pub fn contradicted_by(&self, other: &Verification) -> Vec<u64> {
        let own = self.account.membership.as_ref();
        let theirs = other.account.membership.as_ref();
        let same = own.zip(theirs).filter(|(own, theirs)| own.roster == theirs.roster);
        let merchant = same.and_then(|(own, _)| own.own);
        let Some(seen) = merchant.and_then(|merchant| other.seen.get(&merchant)) else { return Vec::new() };
        // One that was made later may be longer than this export.
        let inside = seen.iter().filter(|(size, _)| **size <= self.tree.size());
        inside.filter(|(size, root)| self.tree.root_at(**size) != Ok(**root)).map(|(size, _)| *size).collect()
    }

    /// The key that signs this ledger's checkpoints over so many entries.
    pub fn owner_key_at(&self, entries: u64) -> Option<String> {
        let next = self.account.rotations.iter().find(|(_, rotation, _)| rotation.before.size >= entries);
        next.map(|(_, rotation, _)| format!("{:?}", rotation.old)).or_else(|| self.owner_key.clone())
    }

    /// 0 good, 2 tampered, 3 overspent, 4 unverifiable.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl Verifier {
    pub(super) fn finish(mut self) -> Verification {
        self.check_end();
        let remarks = self.remarks();
        let owner = self.owner_at(u64::MAX);
        let (budget, spent) = (self.state.limit(), self.state.spent());
        let delta = budget.map_or(0.0, |budget| budget.delta);
        let (findings, findings_left_out) = self.findings.sorted();
        let worst = findings.first().map(|finding| finding.severity);
        Verification {
            verdict: worst.map_or(Verdict::Good, Verdict::from),
            exit_code: worst.map_or(0, |severity| severity as u8),
            owner_key: owner.as_ref().map(|owner| format!("{:?}", owner.key)),
            origin: owner.map_or_else(|| "unknown".into(), |owner| owner.name),
            federation_key: self.members.as_ref().map(|members| format!("{:?}", members.key)),
            entries: self.tree.size(),
            root: self.tree.root(),
            budget,
            spent,
            epsilon_spent: zcdp::epsilon_upper_bound(spent.rho_upper_bound(), delta),
            certificates: self.certificates,
            witnesses: self.witnesses,
            findings,
            findings_left_out,
            remarks,
            account: self.account,
            members: self.members.map_or_else(Vec::new, |members| members.roster.entries.clone()),
            tree: self.tree,
            seen: self.seen,
        }
    }

    /// Every reservation was held against the budget in force when it was made. At the end all of them together are held
    /// against the budget in force there: raising it, spending, and lowering it again does not go by unnoticed.
    fn check_end(&mut self) {
        let (spent, limit) = (self.state.spent(), self.state.rho_limit());
        if self.state.limit().is_some() && spent > limit {
            let what = format!("rho {spent} is spent, the budget in force at the end allows {limit}");
            self.findings.add(Severity::Overspent, what);
        }
    }

    fn remarks(&self) -> Vec<String> {
        let sessions = || self.account.sessions().map(|(_, session)| session);
        let count =
            |wanted: &dyn Fn(&crate::account::Session) -> bool| sessions().filter(|one| wanted(one)).count();
        let refunded = Some(Settlement::Refunded);
        let unprotected = count(&|one| one.protection == Protection::None && one.settlement != refunded);
        let open = count(&|one| one.committed_at.is_none() && one.settlement.is_none());
        let presumed = count(&|one| one.committed_at.is_some() && one.update.is_none());
        let broken =
            self.account.audits.iter().filter(|(audit, _)| audit.verdict == AuditVerdict::Broken).count();
        let budgets = self.account.policies.len();
        let mut remarks = Vec::new();
        let mut say = |number: usize, what: &str| {
            if number > 0 {
                remarks.push(format!("{number} {what}"));
            }
        };
        say(unprotected, "releases without any noise: no epsilon covers what they showed");
        say(broken, "audits found the claim BROKEN");
        say(budgets.saturating_sub(1), "changes of the budget: the report lists them");
        say(self.account.rotations.len(), "rotations of the owner's key: the report lists them");
        say(self.uncertified as usize, "masked sums whose certificate never reached this merchant");
        say(open, "reservations are open and count as spent");
        say(presumed, "commitments were presumed after a crash and count as spent");
        remarks
    }
}
