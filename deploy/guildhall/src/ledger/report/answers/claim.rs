//! Unit, loss, budget, mechanism, trust, arithmetic.

use std::collections::BTreeSet;

use guildhall_ledger::verify::utc;

use super::super::facts::{JobFacts, LedgerFacts, Mechanism};
use super::super::losses::{KNOWN_TO, epsilon};
use super::{Answer, list, merchants};

pub(super) fn unit(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("What is protected, and which data sets are compared?").say(
        "Adjacency: the unit of privacy is in the merchant's data, or it is empty. It is never the merchant as a whole: \
         what a merchant's shoppers have in common is not hidden.",
    );
    let units: BTreeSet<&str> = ledgers
        .iter()
        .flat_map(|ledger| ledger.jobs.values())
        .flat_map(|job| job.units.iter().copied())
        .collect();
    for unit in &units {
        answer = answer.say(format!("Unit: {unit}."));
    }
    if units.is_empty() {
        answer = answer.say("Nothing was reserved, so nothing was released.");
    }
    if ledgers.iter().any(|ledger| ledger.has_rows) {
        answer = answer.say("Where the unit is a row, a person with several rows is protected less.");
    }
    answer
}

pub(super) fn loss(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("How much may anyone learn about one shopper, and who is anyone?")
        .say(
            "Whatever anyone learns from the shared models and the messages of these jobs, they could have learned almost \
             as well had one shopper's behaviour at the merchant been left out: any event becomes at most e^ε times more \
             likely, plus δ. This counts everything the ledger shows ever to have been released, over all jobs.",
        )
        .say(
            "ε holds against the server together with up to C merchants in masked rounds, and against everybody together \
             in plain rounds. If all other merchants collude with the server it is ε_local. A shopper known to k merchants \
             that all spent as much has k²·ρ in masked sums, where contributions add up before the noise, and k·ρ in plain \
             rounds. A model served with personal parameters inside its own merchant is not covered.",
        )
        .say("Above about ten honest shares ε_local is large: it is what is left if nobody else is honest.")
        .header(&[
            "ledger", "δ", "ε, charged", "ε, k = 1", "ε, k = 2", "ε, k = 5", "ε_local", "ε, models only", "ε, one survivor",
        ]);
    for ledger in merchants(ledgers) {
        if ledger.verification.budget.is_none() {
            answer.lacks(format!("{}: no δ: the ledger has no POLICY entry", ledger.name));
            continue;
        }
        let delta = ledger.delta();
        let losses = &ledger.losses;
        let known = KNOWN_TO.map(|merchants| losses.known_to(merchants));
        let others = [losses.everybody_else, losses.outsider, losses.survivor];
        let mut cells = vec![ledger.name.clone(), format!("{delta:e}")];
        cells.extend([losses.charged].into_iter().chain(known).chain(others).map(|rho| epsilon(rho, delta)));
        answer.row(cells);
        if ledger.counts.unprotected > 0 {
            answer.sentences.push(format!(
                "{}: {} releases had NO NOISE. The figures leave them out: no ε holds for what they showed.",
                ledger.name, ledger.counts.unprotected
            ));
        }
        if ledger.sparse_attempts > 0 {
            answer.sentences.push(format!(
                "{}: the graphs of {} masked attempts add {:e} to δ.",
                ledger.name,
                ledger.sparse_attempts,
                ledger.delta_added()
            ));
        }
    }
    if merchants(ledgers).next().is_none() {
        answer.lacks("the server's ledger spends nobody's budget: give the merchants' exports");
    }
    answer
}

pub(super) fn budget(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("Which budget held, and was it kept?")
        .say(
            "A merchant sets one budget for all jobs. Every reservation was held against the budget in force when it was \
             made, and everything together against the one in force at the end.",
        )
        .header(&["ledger", "budget from", "ε allowed", "at δ", "entry"]);
    for ledger in merchants(ledgers) {
        for (place, limit, time) in &ledger.verification.account.policies {
            let limits = [limit.epsilon.to_string(), format!("{:e}", limit.delta)];
            let [allowed, delta] = limits;
            answer.row(vec![ledger.name.clone(), utc(*time), allowed, delta, place.to_string()]);
        }
        if ledger.verification.account.policies.is_empty() {
            answer.lacks(format!("{}: no budget was ever recorded", ledger.name));
        }
    }
    answer
}

pub(super) fn mechanism(ledgers: &[LedgerFacts]) -> Answer {
    let mut answer = Answer::to("What protects a release, and how far can one shopper move it?")
        .say(
            "Each shopper's contribution is clipped, turned into whole numbers, and its length compared with B in exact \
             arithmetic: what is longer counts as zero. So emptying one shopper moves the merchant's sum by at most B. The \
             merchant adds discrete Gaussian noise of standard deviation σ_local to every coordinate.",
        )
        .say("One release costs ρ = ⌈10¹²·B²/(2·h·σ_local²)⌉·10⁻¹²; h = 1 in plain mode.")
        .header(&["ledger", "job", "B", "σ_local", "h", "mode", "ρ each"]);
    for ledger in merchants(ledgers) {
        for (name, job) in &ledger.jobs {
            for one in &job.mechanisms {
                answer.row([vec![ledger.name.clone(), name.clone()], cells(one)].concat());
            }
        }
    }
    answer
}

fn cells(mechanism: &Mechanism) -> Vec<String> {
    let mode = match mechanism.colluders {
        Some(colluders) => format!("masked, C = {colluders}, m_min = {}", mechanism.survivors_min),
        None => "plain".into(),
    };
    match mechanism.noise {
        Some((bound, deviation)) => vec![
            bound.to_string(),
            deviation.to_string(),
            mechanism.honest_shares.to_string(),
            mode,
            mechanism.charge.to_string(),
        ],
        None => vec!["-".into(), "NO NOISE".into(), "-".into(), mode, "no claim".into()],
    }
}

pub(super) fn trust(ledgers: &[LedgerFacts]) -> Answer {
    let jobs = || merchants(ledgers).flat_map(|ledger| ledger.jobs.values());
    let any = |wanted: fn(&Mechanism) -> bool| jobs().any(|job: &JobFacts| job.mechanisms.iter().any(wanted));
    let mut answer = Answer::to("Who has to be honest, and what has to be hard?").say(
        "A merchant's privacy is guarded by its own program. What these ledgers cannot show: that the program that ran was \
         the one that is named, that it read the shopper's rows as it says, and that one person has one identifier.",
    );
    if any(|one| one.colluders.is_some()) {
        answer = answer.say(
            "Masked rounds: the server and up to C merchants may do whatever they like. That they read the sum only is \
             computational: X25519, HKDF-SHA256, ChaCha20-Poly1305, Ed25519, SHA-256 and the mask generator. The noise rests \
             on no such assumption.",
        );
    }
    if any(|one| one.colluders.is_none()) {
        answer = answer.say("Plain rounds: nobody but the merchant itself has to be honest; the server reads each noised update.");
    }
    let programs = ledgers.iter().filter_map(|ledger| {
        let membership = ledger.verification.account.membership.as_ref()?;
        Some(format!("{}: {}", ledger.name, membership.program))
    });
    answer.say(format!("Programs, by their own word: {}.", list(programs)))
}

pub(super) fn arithmetic(ledgers: &[LedgerFacts]) -> Answer {
    let charges: u64 = ledgers.iter().map(|ledger| ledger.counts.reserved).sum();
    let mut answer = Answer::to("How was all this computed?")
        .say(format!(
            "{charges} charges were computed again from B, h and σ_local in whole numbers of 10⁻¹² ρ, rounded up, and added \
             exactly. h and m_min were derived again from the length of the roster."
        ))
        .say(
            "ρ becomes ε at δ by minimising δ(ε) = exp((α−1)(αρ−ε))/(α−1)·(1−1/α)^α over α, rounded up. No amplification by \
             sampling is claimed.",
        )
        .header(&["ledger", "ρ spent, exactly", "ρ allowed for no more than"]);
    for ledger in merchants(ledgers) {
        let budget = ledger
            .verification
            .budget
            .map_or("no budget".into(), |budget| format!("ε = {} at δ = {:e}", budget.epsilon, budget.delta));
        answer.row(vec![ledger.name.clone(), ledger.losses.charged.to_string(), budget]);
    }
    answer
}
