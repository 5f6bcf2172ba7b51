//! Two models on the same held-out shoppers: every figure with the interval of its difference. `guildhall evaluate --against`.
//!
//! # Privacy
//! Computed from private rows and printed for the merchant alone. Nothing is sent.

use std::fmt::Write as _;
use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_client::data::observations::Observations;
use guildhall_client::data::sequences::Held;
use guildhall_client::data::{self, DataConfig};
use guildhall_client::evaluate::paired::{
    AucPair, Difference, Resampling, auc_difference, bootstrap, delong, mean_difference,
    mean_difference_resampled, shopper_of_rows,
};
use guildhall_client::evaluate::ranking::{PROTOCOL, RankingFigures};
use guildhall_client::evaluate::{auc, log_loss};
use guildhall_client::model::DeviceChoice;
use guildhall_client::model_store::StoredModel;
use guildhall_client::train::JobTrainer;
use guildhall_shared::job::JobSpec;
use guildhall_shared::task::NextItemSpec;
use serde::Serialize;

use crate::error::{CommandError, Context as _};
use crate::evaluate::{followed_job, stored};
use crate::output::{figure, table};
use crate::ranking::{K, RankedModel, ranks};

/// Shoppers from which the mean of differences is as good as normal.
const NORMAL_SHOPPERS_MIN: usize = 200;

/// Two models on the same shoppers, by one figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Which figure.
    pub figure: &'static str,
    /// The first model's.
    pub first: Option<f64>,
    /// The second model's.
    pub second: Option<f64>,
    /// The first less the second, with a 95 % interval; none where there is too little to say.
    pub difference: Option<Difference>,
    /// How the interval came about.
    pub interval: &'static str,
}

impl Compared {
    /// The AUC of two models' logits on the same rows: DeLong where every shopper has one row, else a bootstrap over shoppers.
    pub fn auc(first: &[f32], second: &[f32], rows: &Observations) -> Self {
        let pair = AucPair { first, second, labels: &rows.labels };
        let one_each = rows.shoppers.iter().all(|shopper| shopper.end - shopper.start <= 1);
        let (difference, interval) = match one_each {
            true => (delong(pair), "DeLong"),
            false => {
                let (of_rows, shoppers) = (shopper_of_rows(rows), rows.shoppers.len());
                (auc_difference(pair, &of_rows, shoppers, Resampling::default()), "bootstrap over shoppers")
            }
        };
        let of = |logits| auc(logits, &rows.labels);
        Compared { figure: "AUC", first: of(first), second: of(second), difference, interval }
    }

    /// The mean log loss of two models' logits on the same rows.
    pub fn log_loss(first: &[f32], second: &[f32], rows: &Observations) -> Self {
        let loss = |logits: &[f32], row: usize| log_loss(&logits[row..=row], &rows.labels[row..=row]);
        let apart = |row| Some(loss(first, row)? - loss(second, row)?);
        // Of every shopper, the sum over its rows.
        let apart: Option<Vec<f64>> =
            rows.shoppers.iter().map(|shopper| (shopper.start..shopper.end).map(apart).sum()).collect();
        let difference = apart.and_then(|apart| {
            bootstrap(apart.len(), Resampling::default(), |times| {
                let drawn = apart.iter().zip(&rows.shoppers).zip(times);
                let (sum, count) = drawn.fold((0.0, 0.0), |(sum, count), ((apart, shopper), times)| {
                    let (times, own) = (f64::from(*times), (shopper.end - shopper.start) as f64);
                    (sum + times * apart, count + times * own)
                });
                (count > 0.0).then(|| sum / count)
            })
        });
        let of = |logits| log_loss(logits, &rows.labels);
        let interval = "bootstrap over shoppers";
        Compared { figure: "log loss", first: of(first), second: of(second), difference, interval }
    }

    /// The mean of a figure of two models' places of the same shoppers' held-out items.
    pub fn ranks(
        name: &'static str,
        first: &[Option<u32>],
        second: &[Option<u32>],
        pick: fn(&RankingFigures) -> f64,
    ) -> Self {
        let each = |ranks: &[Option<u32>]| -> Vec<f64> {
            ranks.iter().map(|rank| pick(&RankingFigures::of_rank(*rank, K))).collect()
        };
        let (a, b) = (each(first), each(second));
        let (difference, interval) = match a.len() >= NORMAL_SHOPPERS_MIN {
            true => (mean_difference(&a, &b), "normal, over shoppers"),
            false => (mean_difference_resampled(&a, &b, Resampling::default()), "bootstrap over shoppers"),
        };
        let mean =
            |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        Compared { figure: name, first: mean(&a), second: mean(&b), difference, interval }
    }
}

/// What `evaluate --against` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct Versus {
    /// The job's name.
    pub job: String,
    /// Label of its privacy.
    pub privacy: String,
    /// The merchant.
    pub merchant: String,
    /// Shoppers with held-out rows.
    pub shoppers: usize,
    /// The first version.
    pub version: u32,
    /// The one it is compared with.
    pub against: u32,
    /// How rankings came about; none for labels.
    pub protocol: Option<&'static str>,
    /// Figure by figure.
    pub compared: Vec<Compared>,
}

/// Compares a version (the newest, unless one is named) with another, on the merchant's own held-out rows.
pub fn run(config: &Path, version: Option<u32>, against: u32) -> Result<Versus, CommandError> {
    let config = ClientConfig::load(config).context(config.display())?;
    let job = followed_job(&config)?;
    let pair = [stored(&config, &job, version)?, stored(&config, &job, Some(against))?];
    let data = config.data.as_ref().ok_or_else(|| {
        CommandError::message("client.toml has no [data] table: there are no rows to evaluate on")
    })?;
    let merchants =
        config.folder.read_roster().context("the roster")?.map_or(1, |roster| roster.roster.len());
    let (shoppers, compared) = match job.task.items() {
        Some(task) => rankings(&job, task, &pair, merchants as u32, data)?,
        None => labels(&job, &pair, data)?,
    };
    Ok(Versus {
        job: job.name.to_string(),
        privacy: job.privacy.label(),
        merchant: config.merchant.to_string(),
        shoppers,
        version: pair[0].version,
        against: pair[1].version,
        protocol: job.task.items().map(|_| PROTOCOL),
        compared,
    })
}

fn labels(
    job: &JobSpec,
    pair: &[StoredModel; 2],
    data: &DataConfig,
) -> Result<(usize, Vec<Compared>), CommandError> {
    let (splits, _) = data::load(data, &job.task).context(data.path.display())?;
    let trainer = JobTrainer::new(job, &DeviceChoice::Cpu, [0; 32]).context("the trainer")?;
    let logits =
        |stored: &StoredModel| trainer.logits(&stored.state.released(), &splits.test).context("scoring");
    let (first, second) = (logits(&pair[0])?, logits(&pair[1])?);
    let rows = &splits.test;
    let compared = vec![Compared::auc(&first, &second, rows), Compared::log_loss(&first, &second, rows)];
    Ok((rows.shoppers.len(), compared))
}

fn rankings(
    job: &JobSpec,
    task: &NextItemSpec,
    pair: &[StoredModel; 2],
    merchants: u32,
    data: &DataConfig,
) -> Result<(usize, Vec<Compared>), CommandError> {
    let (sequences, _) = data::load_items(data, task).context(data.path.display())?;
    let held: Vec<Held<'_>> = sequences.test().collect();
    let places = |stored: &StoredModel| {
        let model = RankedModel::released(job, &stored.state, merchants)?;
        Ok::<_, CommandError>(ranks(&held, task.catalogue.len(), &*model.score))
    };
    let (first, second) = (places(&pair[0])?, places(&pair[1])?);
    let compared = vec![
        Compared::ranks("NDCG@10", &first, &second, |figures| figures.ndcg_at_k),
        Compared::ranks("HR@10", &first, &second, |figures| figures.hr_at_k),
        Compared::ranks("MRR", &first, &second, |figures| figures.mrr),
    ];
    Ok((held.len(), compared))
}

impl Versus {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}, version {} against version {}: {}\n{} on its own held-out rows: {} shoppers\n\n",
            self.job, self.version, self.against, self.privacy, self.merchant, self.shoppers
        );
        let of_version = |version: u32| format!("version {version}");
        let mut rows = vec![vec![
            self.protocol.unwrap_or("on the test rows").to_string(),
            of_version(self.version),
            of_version(self.against),
            "difference".into(),
            "95 %".into(),
        ]];
        for one in &self.compared {
            let (difference, interval) = match one.difference {
                Some(found) => {
                    (format!("{:+.4}", found.difference), format!("{:+.4} to {:+.4}", found.low, found.high))
                }
                None => ("-".into(), "-".into()),
            };
            rows.push(vec![one.figure.into(), figure(one.first), figure(one.second), difference, interval]);
        }
        text += &table(&rows);
        for one in &self.compared {
            let says = match one.difference {
                None => "too little to say",
                Some(found) if found.is_clear() => "clear: the interval leaves zero out",
                Some(_) => "not clear: the interval holds zero",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}: {says} ({})", one.figure, one.interval);
        }
        text + "\nThese figures are about private rows. They are for your own screen: nothing of them is sent.\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_client::data::observations::ShopperKey;

    /// Two rows of every shopper, or one.
    fn rows(shoppers: u8, of_each: usize) -> Observations {
        let mut all = Observations::empty(1);
        for shopper in 0..shoppers {
            for _ in 0..of_each {
                all.push(ShopperKey([shopper; 16]), &[0.0], f32::from(shopper.is_multiple_of(2)));
            }
        }
        all
    }

    /// Right on nearly all, and of no use.
    fn logits(rows: &Observations) -> (Vec<f32>, Vec<f32>) {
        let good = (0..rows.rows()).map(|row| if row % 17 == 0 { 0.0 } else { rows.labels[row] - 0.5 });
        (good.collect(), (0..rows.rows()).map(|row| ((row * 31) % 7) as f32).collect())
    }

    #[test]
    fn rows_decide_which_interval_an_auc_gets_and_order_decides_its_sign() {
        for (of_each, interval) in [(1, "DeLong"), (2, "bootstrap over shoppers")] {
            let rows = rows(60, of_each);
            let (good, bad) = logits(&rows);
            let found = Compared::auc(&good, &bad, &rows);
            let difference = found.difference.expect("both classes are there");
            assert_eq!(found.interval, interval);
            assert!(difference.low > 0.0 && difference.difference > 0.3, "{found:?}");
            let other = Compared::auc(&bad, &good, &rows).difference.expect("both classes are there");
            assert!((other.difference + difference.difference).abs() < 1e-12 && other.high < 0.0);
            let loss = Compared::log_loss(&good, &bad, &rows);
            let (first, second) = (loss.first.expect("rows"), loss.second.expect("rows"));
            let apart = loss.difference.expect("rows");
            assert!((apart.difference - (first - second)).abs() < 1e-9 && apart.high < 0.0, "{loss:?}");
            let same = Compared::log_loss(&bad, &bad, &rows).difference.expect("rows");
            assert_eq!((same.difference, same.low, same.high), (0.0, 0.0, 0.0));
        }
    }

    #[test]
    fn rankings_are_compared_shopper_by_shopper() {
        for shoppers in [50, 400] {
            let first: Vec<Option<u32>> = (0..shoppers).map(|i| Some(i % 3)).collect();
            let second: Vec<Option<u32>> = (0..shoppers).map(|i| (i % 2 == 0).then_some(i % 3)).collect();
            let found = Compared::ranks("HR@10", &first, &second, |figures| figures.hr_at_k);
            assert_eq!((found.first, found.second), (Some(1.0), Some(0.5)));
            let difference = found.difference.expect("shoppers");
            assert!(difference.is_clear() && (difference.difference - 0.5).abs() < 1e-12);
            assert_eq!(found.interval.starts_with("normal"), shoppers == 400);
        }
        let nobody = Compared::ranks("HR@10", &[], &[], |figures| figures.hr_at_k);
        assert_eq!((nobody.first, nobody.difference), (None, None));
    }
}
