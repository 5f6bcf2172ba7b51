//! One line for each reservation, for spreadsheets. [core]

use std::fmt::Write as _;

use guildhall_accountant::PicoRho;
use guildhall_ledger::account::{Session, Settlement};
use guildhall_ledger::verify::utc;
use guildhall_ledger::{Outcome, Protection, Travel};

use super::Report;

const HEADER: &str = "ledger,region,entry,time,job,round,attempt,unit,mode,colluders,survivors_min,bound,sigma_local,\
                      honest_shares,rho,rho_spent_so_far,status,version,survivors,session,program_sha256";

/// The table. Names and numbers only: nothing in it needs quotes, or could be taken for a formula.
pub fn csv(report: &Report) -> String {
    let mut out = format!("{HEADER}\n");
    for ledger in &report.ledgers {
        let mut spent = PicoRho::ZERO;
        for (sid, session) in ledger.verification.account.sessions() {
            if session.settlement != Some(Settlement::Refunded) {
                spent = spent.saturating_add(session.charge);
            }
            let region = ledger.region.as_deref().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "{},{region},{},{spent},{},{sid},{}",
                ledger.name,
                release(session),
                ending(session),
                session.program.map_or_else(|| "unknown".into(), |program| program.to_string())
            );
        }
    }
    out
}

fn release(session: &Session) -> String {
    let (mode, colluders) = match session.travel {
        Travel::Plain => ("plain", String::new()),
        Travel::Masked { colluders } => ("masked", colluders.to_string()),
    };
    let (bound, deviation) = match session.protection {
        Protection::Gaussian { bound, noise_standard_deviation_local: deviation, .. } => {
            (bound.to_string(), deviation.to_string())
        }
        Protection::None => (String::new(), "none".into()),
    };
    let unit = match session.unit {
        guildhall_shared::job::Unit::Shopper => "shopper",
        guildhall_shared::job::Unit::Row => "row",
    };
    format!(
        "{},{},{},{},{},{unit},{mode},{colluders},{},{bound},{deviation},{},{}",
        session.reserved_at,
        utc(session.time_unix_s),
        session.job,
        session.round.round,
        session.round.attempt,
        session.survivors_min,
        session.protection.honest_shares(),
        session.charge
    )
}

fn ending(session: &Session) -> String {
    match session.settlement {
        Some(Settlement::Settled(Outcome::Released { version, survivors, .. })) => {
            format!("released,{version},{survivors}")
        }
        Some(Settlement::Settled(Outcome::Aborted)) => "aborted,,".into(),
        Some(Settlement::Refunded) => "refunded,,".into(),
        None if session.committed_at.is_some() => "committed,,".into(),
        None => "reserved,,".into(),
    }
}
