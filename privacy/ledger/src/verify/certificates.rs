//! Survivor certificates: every masked sum was over at least m_min merchants, and they saw this ledger.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::secagg::SurvivorCertificate;
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;

use super::{Severity, Verifier};
use crate::Travel;
use crate::account::{Account, Session, Settlement};
use crate::entry::Outcome;

/// A masked sum whose certificate a SETTLE names.
struct Certified<'a> {
    sid: Digest,
    session: &'a Session,
    survivors: u32,
    colluders: u32,
    certificate: Digest,
    found: bool,
}

/// In the order of their reservations.
fn certified(account: &Account) -> Vec<Certified<'_>> {
    let certified = account.sessions().filter_map(|(sid, session)| {
        let Travel::Masked { colluders } = session.travel else { return None };
        let Some(Settlement::Settled(outcome)) = session.settlement else { return None };
        let Outcome::Released { certificate: Some(certificate), survivors, .. } = outcome else {
            return None;
        };
        Some(Certified { sid: *sid, session, survivors, colluders, certificate, found: false })
    });
    certified.collect()
}

impl Verifier {
    /// Each certificate that a SETTLE names, once, in the order of their reservations, and no other.
    pub(super) fn read_certificates(&mut self, all: &[&[u8]]) {
        let account = std::mem::take(&mut self.account);
        let mut expected = certified(&account);
        let places: BTreeMap<Digest, usize> =
            expected.iter().enumerate().map(|(place, one)| (one.certificate, place)).collect();
        let mut signers: BTreeSet<MerchantIndex> = BTreeSet::new();
        let mut next = 0;
        for bytes in all {
            let Some((certificate, digest)) = self.decode_certificate(bytes) else { continue };
            match places.get(&digest) {
                None => self.findings.add(Severity::Tampered, "a certificate that no entry names"),
                Some(place) if *place < next => {
                    self.findings
                        .add(Severity::Tampered, "a certificate twice, or not in the order of the sessions");
                }
                Some(place) => {
                    next = place + 1;
                    expected[*place].found = true;
                    self.check_certificate(&expected[*place], &certificate, &mut signers);
                }
            }
        }
        for one in expected.iter().filter(|one| !one.found) {
            let what =
                format!("session {}: expected the certificate {}, found none", one.sid, one.certificate);
            self.findings.add(Severity::Unverifiable, what);
        }
        drop(expected);
        self.account = account;
        self.name_witnesses(&signers);
    }

    fn decode_certificate(&mut self, bytes: &[u8]) -> Option<(SurvivorCertificate, Digest)> {
        let Ok(certificate) = wire::decode::<SurvivorCertificate>(bytes, wire::OBJECT_BYTES_MAX) else {
            let what = "expected a survivor certificate, found something else";
            self.findings.add(Severity::Unverifiable, what);
            return None;
        };
        if wire::encode(&certificate).ok().as_deref() != Some(bytes) {
            self.findings.add(Severity::Tampered, "a certificate: expected its one canonical encoding");
            return None;
        }
        let digest = certificate.digest();
        Some((certificate, digest))
    }

    fn name_witnesses(&mut self, signers: &BTreeSet<MerchantIndex>) {
        let (Some(members), Some(membership)) = (&self.members, &self.membership) else { return };
        let others = signers.iter().filter(|signer| membership.own != Some(**signer));
        let entries = others.filter_map(|signer| members.roster.entry(*signer));
        self.witnesses.merchants = entries.map(|entry| entry.name.clone()).collect();
        self.witnesses.merchants_all =
            membership.merchants.saturating_sub(u32::from(membership.own.is_some()));
    }

    fn check_certificate(
        &mut self,
        one: &Certified<'_>,
        certificate: &SurvivorCertificate,
        signers: &mut BTreeSet<MerchantIndex>,
    ) {
        self.certificates += 1;
        match self.judge_certificate(one, certificate) {
            Err(what) => {
                self.findings
                    .add(Severity::Tampered, format_args!("session {}: its certificate {what}", one.sid));
            }
            Ok(head) => {
                for update in &certificate.updates {
                    self.seen.entry(update.merchant).or_default().insert(update.head.size, update.head.root);
                }
                signers.extend(certificate.signatures.iter().map(|one| one.merchant));
                let seen = &mut self.witnesses.entries_seen_by_merchants;
                *seen = head.size.max(*seen);
            }
        }
    }

    fn judge_certificate(
        &mut self,
        one: &Certified<'_>,
        certificate: &SurvivorCertificate,
    ) -> Result<TreeHead, String> {
        let merchants = self.membership.as_ref().map_or(0, |membership| membership.merchants);
        // Where there are no such rounds nobody's signatures are enough.
        let threshold = self.numbers(merchants, one.colluders).map_or(u32::MAX, |numbers| numbers.threshold);
        let (Some(members), Some(membership)) = (&self.members, &self.membership) else {
            return Err("has signers whom no roster names".into());
        };
        if certificate.transcript.sid != one.sid {
            return Err(format!("is of session {}", certificate.transcript.sid));
        }
        certificate.verify(&members.roster, threshold).map_err(|error| format!("does not hold: {error}"))?;
        let found = certificate.updates.len() as u64;
        let least = one.session.survivors_min;
        if found != u64::from(one.survivors) || found < u64::from(least) {
            return Err(format!("has {found} survivors, expected {} and at least {least}", one.survivors));
        }
        if certificate.updates.last().is_some_and(|last| u32::from(last.merchant.0) >= merchants) {
            return Err("names survivors who are not in the roster".into());
        }
        let own = membership.own.and_then(|own| certificate.update_of(own));
        self.check_own(one.session, own)
    }

    /// The certificate names the update that was committed, and a head of this ledger with that COMMIT in it.
    fn check_own(&self, session: &Session, own: Option<(Digest, TreeHead)>) -> Result<TreeHead, String> {
        let Some((hash, head)) = own else { return Err("is without this merchant".into()) };
        if session.update != Some(hash) {
            return Err(format!("names the update {hash}, which was not committed"));
        }
        if self.tree.root_at(head.size) != Ok(head.root) {
            return Err(format!("shows this ledger with {} entries of another root", head.size));
        }
        let committed = session.committed_at.is_some_and(|place| place < head.size);
        if !committed || session.settled_at.is_some_and(|place| place < head.size) {
            return Err(format!(
                "shows this ledger with {} entries: not between COMMIT and SETTLE",
                head.size
            ));
        }
        Ok(head)
    }
}
