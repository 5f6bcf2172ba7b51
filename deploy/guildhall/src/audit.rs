//! `guildhall audit`: looks for what the mechanism leaks, on rows of its own making.
//!
//! ```text
//! shop ─▶ program (the client's own parts, or a mutant's) ─▶ stage ─▶ releases ─▶ mechanism | canaries ─▶ AuditResult
//! ```
//! The statistics and verdicts are in `guildhall-privacy`; here the real pipeline is driven. What may be replaced in it, in
//! tests only, are the seams of [`program`]. The noise is real; nothing on the command line can seed it.

mod books;
mod canaries;
mod mechanism;
#[cfg(any(test, feature = "audit-mutants"))]
pub mod mutants;
mod observed;
mod program;
#[cfg(any(test, feature = "audit-mutants"))]
mod scripted;
mod shop;
mod stage;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;
use std::sync::Arc;

use guildhall_client::ClientConfig;
use guildhall_ledger::{AuditFinding, AuditVerdict};
use guildhall_privacy::audit::{AuditRecord, AuditResult, Tier, Verdict};

use crate::cli::{AuditArgs, AuditTier};
use crate::error::{CommandError, Context as _};
use crate::folder::Folder;
use crate::job_file::JobFile;
use crate::output;
use canaries::CanaryAudit;
use mechanism::MechanismAudit;
use program::{Genuine, Program};

/// What is audited.
const CODE: &str = env!("CARGO_PKG_VERSION");

/// `guildhall audit`
pub fn command(arguments: &AuditArgs) -> Result<(), CommandError> {
    let folder = Folder::temporary()?;
    let genuine = Genuine::new(&shop::config(folder.path(), "none")?);
    #[cfg(feature = "audit-mutants")]
    let mutated = arguments.mutant.map(|mutant| mutants::Mutated { sound: &genuine, mutant });
    #[cfg(feature = "audit-mutants")]
    let program: &dyn Program = mutated.as_ref().map_or(&genuine, |mutated| mutated);
    #[cfg(not(feature = "audit-mutants"))]
    let program: &dyn Program = &genuine;
    let result = run(arguments, program)?;
    output::print(arguments.json, &result, || text::text(&result))?;
    if let Some(config) = &arguments.record {
        record(config, &result)?;
    }
    match result.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Broken | Verdict::Inconclusive => Err(CommandError::message(result.to_string())),
    }
}

/// Makes the result an entry of a merchant's ledger: the report for auditors answers with it.
fn record(config: &Path, result: &AuditResult) -> Result<(), CommandError> {
    let client = ClientConfig::load(config).context(config.display())?;
    let AuditRecord { verdict, digest, summary } = result.record();
    let finding = AuditFinding {
        tier: match result.tier {
            Tier::A => 'A',
            Tier::B => 'B',
        },
        verdict: match verdict {
            Verdict::Pass => AuditVerdict::Pass,
            Verdict::Broken => AuditVerdict::Broken,
            Verdict::Inconclusive => AuditVerdict::Inconclusive,
        },
        report: digest,
        summary,
    };
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(guildhall_client::record_audit(client, finding)).context(config.display())
}

fn run(arguments: &AuditArgs, program: &dyn Program) -> Result<AuditResult, CommandError> {
    let merchants = arguments.merchants;
    match arguments.tier {
        AuditTier::A => MechanismAudit { runs: arguments.runs, merchants }.run(program),
        AuditTier::B => {
            let job = match &arguments.job {
                Some(file) => JobFile::read(file, None)?.job,
                None => canaries::staging_job(arguments.epsilon)?,
            };
            CanaryAudit { job: Arc::new(job), merchants, draw_coins: &draw_coins }.run(program)
        }
    }
}

/// Fair coins from the operating system.
fn draw_coins(count: usize) -> Result<Vec<bool>, CommandError> {
    let mut bytes = vec![0u8; count];
    getrandom::fill(&mut bytes).context("coins from the operating system")?;
    Ok(bytes.into_iter().map(|byte| byte & 1 == 1).collect())
}
