//! The offline verifier: an export, perhaps an older checkpoint, and nothing else. [core]
//!
//! Everything is computed again from the entries: hashes, root, the chain, the legality of every step, every charge from
//! B, σ_local and h, the numbers of every masked round from the length of the roster, the sum at every point, ε at δ, and
//! the certificates' signatures. What it starts from is the federation's key in the file: whoever knows the key by another
//! way should compare [`Verification::federation_key`]. `docs/ledger.md` lists every check with its severity.

mod certificates;
mod conclusion;
mod entries;
mod events;
mod findings;
mod notes;
mod summary;

use std::collections::BTreeMap;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::identity::{DecodedRoster, PublicKey, SignedRoster};
use guildhall_shared::secagg::SecaggParameters;
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;

use crate::account::Account;
use crate::export::{Export, ExportError};
use crate::merkle::MerkleTree;
use crate::note::Signer;
use crate::{LedgerState, Membership};

pub use conclusion::{Verdict, Verification, Witnesses};
pub use findings::{Finding, Severity};
pub use summary::utc;

use findings::Findings;

/// Verifies an export, against an older checkpoint if one is given.
pub fn verify(export: &[u8], older: Option<&[u8]>) -> Verification {
    let mut verifier = Verifier::default();
    match Export::parse(export) {
        Ok(parsed) => {
            verifier.read_roster(parsed.roster);
            verifier.read_entries(&parsed.entries);
            verifier.read_notes(&parsed.notes, older);
            verifier.read_certificates(&parsed.certificates);
        }
        Err(error @ ExportError::Changed { .. }) => verifier.findings.add(Severity::Tampered, error),
        Err(error) => verifier.findings.add(Severity::Unverifiable, error),
    }
    verifier.finish()
}

/// The members of the federation, once their roster is checked.
struct Members {
    key: PublicKey,
    roster: DecodedRoster,
}

/// The last model of a job that the ledger says was released.
struct Model {
    version: u32,
    hash: Digest,
}

#[derive(Default)]
struct Verifier {
    findings: Findings,
    members: Option<Members>,
    /// Over all entries of the file, those too that cannot be judged.
    tree: MerkleTree,
    state: LedgerState,
    account: Account,
    /// The first membership: no later one may be of others.
    membership: Option<Membership>,
    /// Numbers of masked rounds by n and C; none where there are no such rounds.
    numbers: BTreeMap<(u32, u32), Option<SecaggParameters>>,
    /// The last released model of each job.
    models: BTreeMap<Name, Model>,
    /// The newest head of each merchant's ledger in a WITNESS entry.
    heads: BTreeMap<MerchantIndex, TreeHead>,
    witnesses: Witnesses,
    /// Heads of merchants' ledgers in WITNESS entries and certificates.
    seen: BTreeMap<MerchantIndex, BTreeMap<u64, Digest>>,
    certificates: u64,
    uncertified: u64,
}

impl Verifier {
    fn read_roster(&mut self, bytes: &[u8]) {
        let decoded = wire::decode::<(PublicKey, SignedRoster)>(bytes, wire::OBJECT_BYTES_MAX);
        let Ok((key, signed)) = decoded else {
            let what = "roster: expected a federation key and a signed roster";
            return self.findings.add(Severity::Unverifiable, what);
        };
        if let Err(error) = signed.verify(&key) {
            return self.findings.add(Severity::Tampered, format!("roster: {error}"));
        }
        if wire::encode(&(&key, &signed)).ok().as_deref() != Some(bytes) {
            return self.findings.add(Severity::Tampered, "roster: expected its one canonical encoding");
        }
        self.members = Some(Members { key, roster: signed.roster.decode() });
    }

    /// Who signs this ledger's checkpoints over so many entries, by the roster and the ledger's own word.
    fn owner_at(&self, entries: u64) -> Option<Signer> {
        let (members, membership) = (self.members.as_ref()?, self.membership.as_ref()?);
        match membership.own {
            None => Some(Signer::server(&membership.federation, members.key)),
            Some(own) => {
                let entry = members.roster.entry(own)?;
                let key = self.state.key_at(entries).unwrap_or(entry.identity);
                Some(Signer::merchant(&membership.federation, &entry.name, key))
            }
        }
    }

    /// The numbers of a masked round of n merchants that tolerates C colluders.
    fn numbers(&mut self, merchants: u32, colluders: u32) -> Option<&SecaggParameters> {
        let derive = || {
            // The generator changes no number.
            let derived = SecaggParameters::derive(merchants, colluders, Default::default());
            derived.ok().filter(|numbers| numbers.colluders == colluders)
        };
        self.numbers.entry((merchants, colluders)).or_insert_with(derive).as_ref()
    }
}
