//! What the demo prints at the end, for people and for machines.

use std::collections::BTreeMap;

use guildhall_client::evaluate::FigureSummary;
use guildhall_shared::id::Name;
use serde::Serialize;

use super::federation::Killed;
use super::protection::ProtectionReport;
use crate::bench::Spread;
use crate::comparison::FiguresByMethod;
use crate::output::{figure, table};

/// The object that `demo --json` prints.
#[derive(Debug, Serialize)]
pub struct DemoReport {
    /// Number of merchants, each a process.
    pub merchants: usize,
    /// Contributions to a round: shoppers with training rows, all merchants together, first draw.
    pub shoppers: usize,
    /// d.
    pub parameters: usize,
    /// T.
    pub rounds: u32,
    /// How updates travelled and were protected.
    pub mode: &'static str,
    /// ε of the whole job for one shopper of one merchant; absent without privacy.
    pub epsilon: Option<f64>,
    /// δ.
    pub delta: Option<f64>,
    /// The unit of privacy.
    pub unit: &'static str,
    /// What protects the shoppers, or that nothing does.
    pub privacy: String,
    /// ε for a shopper known to so many merchants.
    pub epsilon_by_merchants: BTreeMap<u32, f64>,
    /// Against whom, and how much; absent without privacy.
    pub protection: Option<ProtectionReport>,
    /// The most that any merchant's ledger says was spent, repeated attempts included; absent without privacy.
    pub epsilon_spent_max: Option<f64>,
    /// AUC, mean over the draws.
    pub auc: FiguresByMethod,
    /// Macro AUC of each draw.
    pub draws: Vec<DrawMacro>,
    /// What a draw is.
    pub draw_is: &'static str,
    /// A merchant that contributed nothing; absent with fewer than four merchants. Mean over the draws.
    pub newcomer: Option<Newcomer>,
    /// Merchants killed with `--kill`, and what became of their round.
    pub killed: Option<Killed>,
    /// Attempts that were given up.
    pub aborted: u32,
    /// Of the rounds between processes.
    pub round_seconds: Spread,
    /// From start to end, everything included.
    pub wall_seconds: f64,
    /// Hash of the last model, equal at the server and at every client.
    pub model_hash: String,
    /// Where predictions were served while the demo ran.
    pub served_at: String,
    /// What the data are.
    pub data: DataSource,
}

/// Macro AUC of one draw.
#[derive(Clone, Debug, Serialize)]
pub struct DrawMacro {
    /// Each merchant's own model.
    pub local_only: Option<f64>,
    /// Federated, without privacy.
    pub federated_plain: Option<f64>,
    /// Federated, with privacy.
    pub federated_private: Option<f64>,
    /// Mean of the two logits.
    pub blend: Option<f64>,
    /// Everybody's rows together.
    pub pooled: Option<f64>,
}

/// A merchant that took no part.
#[derive(Clone, Debug, Serialize)]
pub struct Newcomer {
    /// Who.
    pub merchant: Name,
    /// AUC of its own model.
    pub local: Option<f64>,
    /// AUC of the others' federated model with privacy on its shoppers.
    pub federated_private: Option<f64>,
}

/// Where the rows come from.
#[derive(Clone, Debug, Serialize)]
pub struct DataSource {
    /// In words.
    pub source: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl DrawMacro {
    /// The macro figures of a table.
    pub fn of(auc: &FiguresByMethod) -> Self {
        DrawMacro {
            local_only: auc.local_only.r#macro,
            federated_plain: auc.federated_plain.r#macro,
            federated_private: auc.federated_private.as_ref().and_then(|auc| auc.r#macro),
            blend: auc.blend.r#macro,
            pooled: auc.pooled.r#macro,
        }
    }
}

/// Mean of what is known; nothing where nothing is.
pub fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Figure by figure mean over the draws.
pub fn mean_table(tables: &[FiguresByMethod]) -> Option<FiguresByMethod> {
    let all = |pick: fn(&FiguresByMethod) -> &FigureSummary| {
        mean_summary(&tables.iter().map(pick).collect::<Vec<_>>())
    };
    let private: Option<Vec<&FigureSummary>> =
        tables.iter().map(|table| table.federated_private.as_ref()).collect();
    Some(FiguresByMethod {
        local_only: all(|t| &t.local_only)?,
        federated_plain: all(|t| &t.federated_plain)?,
        federated_private: private.and_then(|summaries| mean_summary(&summaries)),
        blend: all(|t| &t.blend)?,
        pooled: all(|t| &t.pooled)?,
    })
}

fn mean_summary(summaries: &[&FigureSummary]) -> Option<FigureSummary> {
    let first = summaries.first()?;
    let per_merchant = first.per_merchant.keys().map(|name| {
        (name.clone(), mean(summaries.iter().map(|s| s.per_merchant.get(name).copied().flatten())))
    });
    Some(FigureSummary {
        r#macro: mean(summaries.iter().map(|s| s.r#macro)),
        micro: mean(summaries.iter().map(|s| s.micro)),
        per_merchant: per_merchant.collect(),
    })
}

/// More merchants than this are summed up by their mean alone.
const MERCHANTS_SHOWN_MAX: usize = 12;

impl DemoReport {
    /// The table and the sentences under it.
    pub fn to_text(&self) -> String {
        let mut text = format!("\n{}\n", self.auc_table());
        text += &format!(
            "Mean over {} draw(s): {}. The models of draw 1 came from the {} processes.\n",
            self.draws.len(),
            self.draw_is,
            self.merchants + 1
        );
        text += &self.spread();
        if let Some(newcomer) = &self.newcomer {
            text += &format!(
                "Newcomer: {} contributed nothing; the others' private model scores its shoppers at {}, its own model at {}.\n",
                newcomer.merchant,
                figure(newcomer.federated_private),
                figure(newcomer.local)
            );
        }
        text += &format!("Mode: {}.\n", self.mode);
        text += &self.privacy_text();
        text += &self.killed_text();
        text += &format!(
            "{} rounds of {} parameters: {:.3} s a round (median), {:.3} s at most; {:.1} s in all.\n",
            self.rounds,
            self.parameters,
            self.round_seconds.median,
            self.round_seconds.max,
            self.wall_seconds
        );
        text += &format!(
            "Model {} at the server and at all {} clients.\n",
            &self.model_hash[..16.min(self.model_hash.len())],
            self.merchants
        );
        text + &format!(
            "Data: {} (SHA-256 {}…).\n",
            self.data.source,
            &self.data.sha256[..16.min(self.data.sha256.len())]
        )
    }

    fn auc_table(&self) -> String {
        let auc = &self.auc;
        let mut columns = vec![("local only", &auc.local_only), ("no privacy", &auc.federated_plain)];
        let heading = self.epsilon.map_or_else(String::new, |epsilon| format!("epsilon {epsilon}"));
        if let Some(private) = &auc.federated_private {
            columns.push((&heading, private));
        }
        columns.push(("blend", &auc.blend));
        columns.push(("pooled*", &auc.pooled));
        let mut rows = vec![vec!["test AUC".to_string()]];
        rows[0].extend(columns.iter().map(|(name, _)| (*name).to_string()));
        let mut row = |name: &str, pick: &dyn Fn(&FigureSummary) -> Option<f64>| {
            rows.push(
                [name.to_string()]
                    .into_iter()
                    .chain(columns.iter().map(|(_, auc)| figure(pick(auc))))
                    .collect(),
            );
        };
        if self.merchants <= MERCHANTS_SHOWN_MAX {
            for name in auc.local_only.per_merchant.keys() {
                row(name.as_str(), &|auc| auc.per_merchant.get(name).copied().flatten());
            }
        }
        row("mean (macro)", &|auc| auc.r#macro);
        row("all rows (micro)", &|auc| auc.micro);
        table(&rows) + "* everybody's rows in one place: for reference only\n"
    }

    fn spread(&self) -> String {
        let range = |pick: fn(&DrawMacro) -> Option<f64>| {
            let known: Vec<f64> = self.draws.iter().filter_map(pick).collect();
            let low = known.iter().copied().fold(f64::INFINITY, f64::min);
            let high = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if known.is_empty() { "-".into() } else { format!("{low:.4} to {high:.4}") }
        };
        let released = if self.epsilon.is_some() {
            range(|d| d.federated_private)
        } else {
            range(|d| d.federated_plain)
        };
        format!("Macro AUC over the draws: local only {}, federated {released}.\n", range(|d| d.local_only))
    }

    fn privacy_text(&self) -> String {
        let (Some(epsilon), Some(delta)) = (self.epsilon, self.delta) else {
            return format!("{}: nothing protects a shopper from whoever reads the model.\n", self.privacy);
        };
        let Some(protection) = &self.protection else { return format!("Privacy: {}.\n", self.privacy) };
        let spent = match self.epsilon_spent_max {
            Some(spent) if spent > epsilon => {
                format!(
                    "Attempts that were given up late are paid for: a ledger stands at epsilon {spent:.3}.\n"
                )
            }
            _ => String::new(),
        };
        protection.to_text(self.merchants, delta, self.unit) + &spent
    }

    fn killed_text(&self) -> String {
        let Some(killed) = &self.killed else { return String::new() };
        format!(
            "Killed: {} merchant(s) in round {}, after their shares and before their masked update. The round settled with {} merchants after {:.1} s and {} attempt(s) given up; the dead came back and arrived at the same model as everybody.\n",
            killed.merchants,
            killed.round + 1,
            killed.survivors,
            killed.seconds,
            killed.attempts_given_up
        )
    }
}
