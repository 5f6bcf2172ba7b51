//! Whose ledgers, which releases, what an empirical audit found.

use guildhall_ledger::AuditVerdict;
use guildhall_ledger::verify::utc;

use super::super::facts::LedgerFacts;
use super::Answer;

pub(super) fn whose(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("Whose ledgers are these, and who else saw them?")
        .say(
            "A ledger is tamper-evident, not tamper-proof: its owner may still rewrite what nobody else saw. Compare the \
             federation's key with one you got another way; everything else follows from it.",
        )
        .header(&["ledger", "verdict", "entries", "root", "seen by"]);
    for ledger in ledgers {
        let found = &ledger.verification;
        let (entries, root) = (found.entries.to_string(), found.root.to_string());
        let witnesses = found.witnessed();
        answer.row(vec![ledger.name.clone(), found.verdict.to_string(), entries, root, witnesses]);
        if found.account.membership.is_none() {
            answer.lacks(format!("{}: no ROSTER entry says whose ledger it is", ledger.name));
        }
        for remark in found.remarks.iter().take(20) {
            answer.sentences.push(format!("{}: {remark}.", ledger.name));
        }
    }
    answer
}

pub(super) fn releases(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("Does this count everything that was ever released?")
        .say(
            "Whatever was committed counts for ever, whether a sum came of it or not, and so do open reservations. Only a \
             reservation without a commitment may be given back. A client sends nothing before its commitment is on the disk.",
        )
        .header(&[
            "ledger", "reserved", "given back", "committed", "in a published sum", "without a result", "open", "without noise",
            "certificates",
        ]);
    for ledger in ledgers.iter().filter(|ledger| !ledger.is_server) {
        let counts = &ledger.counts;
        let numbers = [
            counts.reserved,
            counts.refunded,
            counts.committed,
            counts.released,
            counts.aborted,
            counts.open,
            counts.unprotected,
            ledger.verification.certificates,
        ];
        let mut cells = vec![ledger.name.clone()];
        cells.extend(numbers.map(|number| number.to_string()));
        answer.row(cells);
    }
    for ledger in ledgers.iter().filter(|ledger| ledger.is_server) {
        let published = ledger.verification.account.releases.len();
        answer.sentences.push(format!("The server's ledger records {published} published sums."));
    }
    answer
}

/// Programs by name and SHA-256 of the file, as they reserved.
pub(super) fn programs(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("Which programs trained?")
        .say(
            "The program says this of itself: its version, and the SHA-256 of the executable file that ran. Compare the \
             digest with that of a release. It does not show that this program is what ran.",
        )
        .header(&["ledger", "program", "reservations"]);
    for ledger in ledgers.iter().filter(|ledger| !ledger.is_server) {
        for ((name, digest), count) in &ledger.verification.account.programs {
            let digest = digest.map_or_else(|| "sha256 unknown".into(), |digest| format!("sha256 {digest}"));
            answer.row(vec![ledger.name.clone(), format!("{name}, {digest}"), count.to_string()]);
        }
    }
    answer
}

/// To whom the ledgers were handed.
pub(super) fn exports(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("To whom were the ledgers handed?")
        .say(
            "Exports that were recorded. A copy of the folder, and an export that its owner chose not to record, leave no \
             trace; nor does an export contain the entry that records it.",
        )
        .header(&["ledger", "when", "recipient", "entries", "SHA-256 of the file"]);
    for ledger in ledgers {
        for (handover, time) in &ledger.verification.account.exports {
            let recipient = if handover.recipient.is_empty() { "not named" } else { &handover.recipient };
            answer.row(vec![
                ledger.name.clone(),
                utc(*time),
                recipient.to_owned(),
                handover.head.size.to_string(),
                handover.file.to_string(),
            ]);
        }
    }
    answer
}

pub(super) fn audit(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("What did an empirical audit find?")
        .say("An audit can show that a mechanism is broken. It can never show that one is private.")
        .header(&["ledger", "when", "tier", "verdict", "what", "digest of its report"]);
    for ledger in ledgers {
        let audits = &ledger.verification.account.audits;
        for (finding, time) in audits {
            answer.row(vec![
                ledger.name.clone(),
                utc(*time),
                finding.tier.to_string(),
                verdict(finding.verdict).into(),
                finding.summary.clone(),
                finding.report.to_string(),
            ]);
        }
        match audits.last() {
            None if ledger.is_server => {}
            None => answer.lacks(format!("{}: no audit is recorded; run `guildhall audit`", ledger.name)),
            Some((finding, _)) if finding.verdict != AuditVerdict::Pass => {
                answer.lacks(format!(
                    "{}: the last audit is no PASS: {}",
                    ledger.name,
                    verdict(finding.verdict)
                ));
            }
            Some(_) => {}
        }
    }
    answer
}

fn verdict(verdict: AuditVerdict) -> &'static str {
    match verdict {
        AuditVerdict::Pass => "PASS",
        AuditVerdict::Broken => "BROKEN",
        AuditVerdict::Inconclusive => "INCONCLUSIVE",
    }
}
