//! Purposes, side channels, utility, keys and retention, regions.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_ledger::verify::utc;
use guildhall_shared::id::Name;

use super::super::facts::{JobFacts, LedgerFacts};
use super::{Answer, list, merchants};

pub(super) fn purpose(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer =
        Answer::to("Why are the models made?").header(&["ledger", "job", "purpose", "label", "from", "to"]);
    for ledger in merchants(ledgers) {
        for (name, job) in &ledger.jobs {
            let (first, last) = job.times_unix_s.unwrap_or_default();
            let texts =
                [list(job.purposes.iter().take(5).cloned()), list(job.labels.iter().take(5).cloned())];
            let [purposes, labels] = texts;
            answer.row(vec![ledger.name.clone(), name.clone(), purposes, labels, utc(first), utc(last)]);
            if job.purposes.iter().any(|purpose| purpose.trim().is_empty()) {
                answer.lacks(format!("{}: job {name} names no purpose", ledger.name));
            }
        }
    }
    answer
}

pub(super) fn side_channels() -> Answer {
    Answer::to("What else could tell, beside the noised sums?")
        .say(
            "No loss, accuracy, count of shoppers or duration is in any message, event or log. Noise is drawn before training, \
             so that the time of training says nothing about it. Uploads wait for a slot if the job sets one. Refunds, and \
             whether a merchant takes part, never depend on rows.",
        )
        .say(
            "Not covered: who watches the merchant's own machine, its power or its memory; the timing of uploads in jobs \
             without slots; and that a merchant takes part at all.",
        )
}

/// Shoppers that have to point the same way for one release to show them in one coordinate, at one standard deviation.
fn drowned_below(job: &JobFacts) -> Option<u64> {
    let groups = job.mechanisms.iter().filter_map(|one| {
        let (bound, deviation) = one.noise?;
        // The noise of the whole sum: every survivor's share. In plain mode too each merchant adds its own.
        let shares = f64::from(job.survivors_max.max(one.survivors_min).max(1));
        Some((deviation as f64 * shares.sqrt() / bound.max(1) as f64).ceil() as u64)
    });
    groups.max()
}

pub(super) fn utility(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("What does the noise cost, and whom does it cost most?")
        .say(
            "Noise hides small groups from the model as it hides one shopper from observers: what fewer shoppers have in \
             common than the last column says is drowned in a single round, and only shows if it repeats over many. Rare \
             groups are therefore served worse. Compare the model's accuracy for them with that of a model of the merchant's \
             own before relying on it.",
        )
        .say("No accuracy is in the ledger: it would be a statement about rows.")
        .header(&["ledger", "job", "rounds", "merchants in a sum", "shoppers drowned below"]);
    for ledger in merchants(ledgers) {
        for (name, job) in &ledger.jobs {
            let drowned = drowned_below(job).map_or("no noise".into(), |group| group.to_string());
            let survivors =
                if job.survivors_max > 0 { job.survivors_max.to_string() } else { "no sum".into() };
            let rounds = job.rounds.len().to_string();
            answer.row(vec![ledger.name.clone(), name.clone(), rounds, survivors, drowned]);
        }
    }
    answer
}

pub(super) fn keys(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("Which keys sign, and what is kept for how long?")
        .say(
            "Identities are Ed25519 keys in the federation's signed roster; they never change within a roster. A ledger may \
             change the key of its checkpoints, signed by the old key and the new one. Keys, seeds and masks of a round are \
             wiped when it ends. Noise is never stored. No rows and no shopper's identifier is in a ledger.",
        )
        .say(
            "Ledgers have no end of retention: an entry that could be removed could be spent again. They are kept as long as a \
             model that was paid for with them may be known to anyone.",
        )
        .header(&["ledger", "key of its owner", "federation's key", "roster", "first entry", "last reservation"]);
    for ledger in ledgers {
        let found = &ledger.verification;
        let Some(membership) = &found.account.membership else {
            answer.lacks(format!("{}: no keys are known", ledger.name));
            continue;
        };
        let known = |key: &Option<String>| key.clone().unwrap_or_else(|| "unknown".into());
        let first = found.account.policies.first().map(|(_, _, time)| utc(*time));
        let last = ledger.jobs.values().filter_map(|job| job.times_unix_s).map(|(_, last)| last).max();
        answer.row(vec![
            ledger.name.clone(),
            known(&found.owner_key),
            known(&found.federation_key),
            membership.roster.to_string(),
            first.unwrap_or_else(|| "-".into()),
            last.map_or_else(|| "-".into(), utc),
        ]);
        for (place, rotation, time) in &found.account.rotations {
            let rotated = format!(
                "{}: entry {place} of {}: checkpoints by key {:?} until then, by {:?} from then on.",
                ledger.name,
                utc(*time),
                rotation.old,
                rotation.new
            );
            if answer.sentences.len() < super::ROWS_MAX {
                answer.sentences.push(rotated);
            }
        }
        if found.owner_key.is_none() {
            answer.lacks(format!("{}: the key of its owner is not known", ledger.name));
        }
    }
    answer
}

pub(super) fn regions(ledgers: &[LedgerFacts], server_region: Option<&Name>) -> Answer {
    let server = server_region.map_or_else(
        || "a server whose region no ledger records (state it with --server-region)".to_owned(),
        |region| format!("the server in {region}, as stated to this report"),
    );
    let mut answer = Answer::to("Which regions did updates, sums and models cross?")
        .say(format!(
            "Every update goes from its merchant's region to {server}. Every sum and every model goes from there to the \
             regions of all merchants of the roster. For records under GDPR Art. 30 and 35 and Chapter V, and PIPL Art. 38 to 40 \
             and 55."
        ))
        .header(&["ledger", "updates sent", "from region", "masked", "sums and models to"]);
    for ledger in merchants(ledgers) {
        let Some(region) = &ledger.region else {
            answer.lacks(format!("{}: the roster is not known, and so no regions", ledger.name));
            continue;
        };
        let to: BTreeSet<String> =
            ledger.verification.members.iter().map(|member| member.region.to_string()).collect();
        let masked: BTreeMap<bool, u64> = ledger.jobs.values().fold(BTreeMap::new(), |mut counts, job| {
            let is_masked = job.mechanisms.iter().all(|one| one.colluders.is_some());
            *counts.entry(is_masked).or_default() += job.counts.committed;
            counts
        });
        let masked = match (masked.get(&true), masked.get(&false)) {
            (Some(masked), None) => format!("all {masked}"),
            (None, Some(plain)) => format!("none of {plain}"),
            (Some(masked), Some(plain)) => format!("{masked}; {plain} in jobs with plain rounds"),
            (None, None) => "no updates".into(),
        };
        let sent = ledger.counts.committed.to_string();
        answer.row(vec![ledger.name.clone(), sent, region.clone(), masked, list(to)]);
    }
    answer
}
