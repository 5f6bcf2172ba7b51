//! `guildhall demo --task recommend`: what goes together, learnt by merchants who never show who bought what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use guildhall_client::data::sequences::Sequences;
use guildhall_client::data::{SimulationConfig, Table, items_by_merchant, rows_by_merchant};
use guildhall_client::evaluate::paired::Difference;
use guildhall_client::evaluate::ranking::PROTOCOL;
use guildhall_client::recommend::ItemItem;
use guildhall_client::recommend::blend::top;
use guildhall_client::train::TrainingData;
use guildhall_privacy::plan::{PlanReport, Verdict};
use guildhall_shared::id::Name;
use guildhall_shared::job::{Aggregation, JobSpec, PrivacySpec};
use guildhall_shared::round_parameters::{RoundMode, RoundParameters};
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::Spread;
use crate::cli::DemoArgs;
use crate::comparison::FiguresByMethod;
use crate::data::fetch_movielens;
use crate::error::{CommandError, Context as _};
use crate::federated::{self, NoiseMode};
use crate::folder::Folder;
use crate::job_file::JobFile;
use crate::output::{self, figure, table};
use crate::ranking::{self, Baselines, RankedModel, RanksByMethod};
use crate::simulate::Overrides;

use super::stage::{Stage, epsilon_after};
use super::{federation, say};

const JOB: &str = include_str!("../../../samples/jobs/movielens_ease.toml");
const ROWS_FILE: &str = "rows.csv";
/// Recommendations shown for one shopper.
const SHOWN: usize = 5;
/// Shortest history that is shown.
const HISTORY_SHOWN_MIN: usize = 4;
/// Reasons shown for each.
const REASONS: usize = 3;

/// The market of the demo.
struct ItemMarket {
    file: JobFile,
    job: JobSpec,
    parameters: RoundParameters,
    table: Table,
    config: SimulationConfig,
    merchants: BTreeMap<Name, Sequences>,
    source: String,
    /// Names of items, where there are any.
    titles: BTreeMap<String, String>,
}

/// What the demo prints with `--json`.
#[derive(Debug, Serialize)]
struct RecommendReport {
    source: String,
    merchants: usize,
    shoppers: usize,
    items: usize,
    rounds: u32,
    mode: &'static str,
    epsilon: Option<f64>,
    privacy: String,
    epsilon_spent_max: f64,
    verdict: Option<Verdict>,
    protocol: &'static str,
    hr_at_10: FiguresByMethod,
    ndcg_at_10: FiguresByMethod,
    blend_less_local: Option<Difference>,
    released_less_local: Option<Difference>,
    round_seconds: Spread,
    wall_seconds: f64,
    model_hash: String,
    recommendations: Vec<Recommendation>,
    history: Vec<String>,
    served: Value,
}

/// One item for one shopper, and why.
#[derive(Debug, Serialize)]
struct Recommendation {
    item: String,
    because_of: Vec<String>,
}

/// Runs the demo and prints its report.
pub fn run(arguments: &DemoArgs) -> Result<(), CommandError> {
    let started = Instant::now();
    let folder = match &arguments.keep {
        Some(path) => Folder::kept(path)?,
        None => Folder::temporary()?,
    };
    let market = ItemMarket::open(arguments, folder.path())?;
    let job = &market.job;
    let verdict =
        PlanReport::new(job, market.merchants.len() as u32).ok().and_then(|plan| plan.verdict().cloned());
    say(&format!(
        "Guildhall demo: {}; {} merchants, {} items, {} rounds; {}",
        market.source,
        market.merchants.len(),
        market.items(),
        job.rounds,
        job.privacy.label()
    ));
    if let Some(verdict) = &verdict {
        say(&format!("the planner, before anything is spent: {verdict}"));
    }
    let outcome = federation::run(&market, None, folder.path())?;
    say("comparing with what the merchants could do alone, and together without noise …");
    let released = RankedModel::released(job, outcome.model(), market.merchants.len() as u32)?;
    let report = market.report(&released, &outcome, verdict, started)?;
    output::print(arguments.json, &report, || report.to_text())?;
    if arguments.keep.is_some() {
        say(&format!("everything is kept in {}", folder.path().display()));
    }
    Ok(())
}

impl ItemMarket {
    fn open(arguments: &DemoArgs, folder: &Path) -> Result<Self, CommandError> {
        let mut text: toml::Table = toml::from_str(JOB).context("the demo's job")?;
        let mut titles = BTreeMap::new();
        let (data, source) = match &arguments.data {
            Some(file) => {
                let simulation = text.get_mut("simulation").and_then(toml::Value::as_table_mut);
                let schema = simulation.and_then(|s| s.get_mut("schema")).and_then(toml::Value::as_table_mut);
                if let Some(schema) = schema {
                    schema.insert("shopper".into(), arguments.shopper.clone().into());
                    schema.insert("item".into(), arguments.item.clone().into());
                    match &arguments.time {
                        Some(time) => schema.insert("time".into(), time.clone().into()),
                        None => schema.remove("time"),
                    };
                }
                (file.clone(), file.display().to_string())
            }
            None => {
                say(
                    "fetching MovieLens-100k with pip (package recbole 1.2.1); movies stand in for products …",
                );
                let fetched = fetch_movielens(folder).context("the demo's data")?;
                titles = read_titles(&fetched.titles)?;
                let task = text.get_mut("task").and_then(toml::Value::as_table_mut);
                if let Some(task) = task {
                    task.insert("catalogue".into(), "items.csv".into());
                }
                (fetched.rows, fetched.source.to_string())
            }
        };
        let merchants = arguments.merchants.unwrap_or(10);
        if let Some(simulation) = text.get_mut("simulation").and_then(toml::Value::as_table_mut) {
            simulation.insert("merchants_by_hash".into(), (merchants as i64).into());
        }
        let path = folder.join("job.toml");
        std::fs::write(&path, toml::to_string(&text).context("the demo's job")?).context(path.display())?;
        let file = JobFile::read(&path, Some(&data))?;
        let config =
            file.simulation.as_ref().ok_or_else(|| CommandError::message("no [simulation] table"))?;
        let config = SimulationConfig::parse(config, &data).context("the demo's job")?;
        let table = Table::read(&config.data.path, config.data.delimiter).context(data.display())?;
        let mut job = file.job.clone();
        let catalogue =
            &job.task.items().ok_or_else(|| CommandError::message("expected an item task"))?.catalogue;
        let merchants: BTreeMap<Name, Sequences> = items_by_merchant(&config, catalogue)
            .context(data.display())?
            .into_iter()
            .map(|(name, (sequences, _))| (name, sequences))
            .collect();
        job.round.expected_shoppers = merchants.values().map(Sequences::len).sum::<usize>().max(1) as u64;
        if arguments.plain {
            job.round.aggregation = Aggregation::Plain;
        }
        job.round.quorum = 1;
        let overrides = Overrides { epsilon: arguments.epsilon, seed: None, rounds: arguments.rounds };
        let mut job = overrides.apply(job)?;
        let parameters = RoundParameters::derive(&job, merchants.len() as u32)
            .context("the demo's rounds (without masks: --plain)")?;
        job.round.quorum = parameters.quorum;
        Ok(ItemMarket { file, job, parameters, table, config, merchants, source, titles })
    }

    fn items(&self) -> usize {
        self.job.task.inputs()
    }

    fn name_of(&self, item: u32) -> String {
        let id = self.job.task.items().and_then(|task| task.catalogue.id(item)).unwrap_or_default();
        self.titles.get(id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The shopper with the shortest history that there is something to say about.
    fn shopper(&self) -> Vec<u32> {
        let held = self.merchants.values().flat_map(Sequences::test).map(|held| held.history);
        let shown =
            held.filter(|history| history.len() >= HISTORY_SHOWN_MIN).min_by_key(|history| history.len());
        shown.map(<[u32]>::to_vec).unwrap_or_default()
    }

    fn report(
        &self,
        released: &RankedModel,
        outcome: &federation::Outcome,
        verdict: Option<Verdict>,
        started: Instant,
    ) -> Result<RecommendReport, CommandError> {
        let items = self.items();
        let train: BTreeMap<Name, TrainingData> = self
            .merchants
            .iter()
            .map(|(name, sequences)| (name.clone(), TrainingData::Items(sequences.train())))
            .collect();
        let open_job = self.file.without_privacy()?;
        let open_state = federated::train_on(&open_job, &train, NoiseMode::None, &mut |_| ())?;
        let open = RankedModel::of(&open_job, &open_state, 0.0)?;
        let baselines = Baselines::fit(&self.merchants, items);
        let pooled = ranking::pooled_model(&self.merchants, items)
            .ok_or_else(|| CommandError::message("the pooled model could not be fitted"))?;
        let ranks = RanksByMethod {
            local_only: baselines.own_ranks(),
            federated_plain: ranking::test_ranks(&self.merchants, items, &*open.score),
            federated_private: Some(ranking::test_ranks(&self.merchants, items, &*released.score)),
            blend: baselines.blended(&*released.score, released.scale).ranks,
            pooled: ranking::test_ranks(&self.merchants, items, &*pooled),
        };
        let history = self.shopper();
        let private = matches!(self.job.privacy, PrivacySpec::Gaussian { .. });
        Ok(RecommendReport {
            source: self.source.clone(),
            merchants: self.merchants.len(),
            shoppers: self.merchants.values().map(Sequences::len).sum(),
            items,
            rounds: self.job.rounds,
            mode: RoundMode::of(&self.job).label(),
            epsilon: epsilon_after(self, self.job.rounds).filter(|_| private),
            privacy: self.job.privacy.label(),
            epsilon_spent_max: outcome.epsilon_spent_max,
            verdict,
            protocol: PROTOCOL,
            hr_at_10: ranks.table(|figures| figures.hr_at_k),
            ndcg_at_10: ranks.table(|figures| figures.ndcg_at_k),
            blend_less_local: ranks.blend_less_local(),
            released_less_local: ranks.released_less_local(),
            round_seconds: Spread::of(&outcome.round_seconds),
            wall_seconds: started.elapsed().as_secs_f64(),
            model_hash: outcome.model_hash.clone(),
            recommendations: self.recommendations(&history, outcome)?,
            history: history.iter().map(|item| self.name_of(*item)).collect(),
            served: outcome.answer().clone(),
        })
    }

    /// The released model's first items for one shopper, each with what it follows from.
    fn recommendations(
        &self,
        history: &[u32],
        outcome: &federation::Outcome,
    ) -> Result<Vec<Recommendation>, CommandError> {
        let merchants = self.merchants.len() as u32;
        let model = ItemItem::released(&self.job, outcome.model(), merchants)
            .ok_or_else(|| CommandError::message("the statistics are not released yet"))?;
        let score = |history: &[u32], out: &mut [f32]| model.scores(history, out);
        let shown = top(&score, self.items(), history, SHOWN);
        let one = |item: &u32| Recommendation {
            item: self.name_of(*item),
            because_of: model
                .reasons(history, *item)
                .into_iter()
                .take(REASONS)
                .map(|(reason, _)| self.name_of(reason))
                .collect(),
        };
        Ok(shown.iter().map(one).collect())
    }
}

impl Stage for ItemMarket {
    fn job(&self) -> &JobSpec {
        &self.job
    }

    fn parameters(&self) -> &RoundParameters {
        &self.parameters
    }

    fn merchants(&self) -> Vec<Name> {
        self.merchants.keys().cloned().collect()
    }

    fn write_rows(&self, _: &Path, client_folder: &dyn Fn(&Name) -> PathBuf) -> Result<String, CommandError> {
        let schema = &self.config.data.schema;
        let named = [schema.shopper.as_deref(), schema.item.as_deref(), schema.order.as_deref()];
        let columns: Vec<(&str, usize)> =
            named.into_iter().flatten().filter_map(|name| Some((name, self.table.position(name)?))).collect();
        for (name, rows) in rows_by_merchant(&self.table, &self.config).context("cutting the rows")? {
            let mut text = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",") + "\n";
            for row in rows {
                let cell = |(_, column): &(&str, usize)| {
                    let text = self.table.cell(*column, row).text().unwrap_or_default();
                    format!("\"{}\"", text.replace('"', "\"\""))
                };
                text += &(columns.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
            }
            let folder = client_folder(&name);
            std::fs::create_dir_all(&folder).context(folder.display())?;
            std::fs::write(folder.join(ROWS_FILE), text).context(folder.display())?;
        }
        let mut schema_table = toml::Table::new();
        for (key, name) in ["shopper", "item", "time"].into_iter().zip(named) {
            if let Some(name) = name {
                schema_table.insert(key.into(), name.into());
            }
        }
        let data = toml::Table::from_iter([
            ("path".to_string(), ROWS_FILE.into()),
            ("schema".to_string(), toml::Value::Table(schema_table)),
        ]);
        toml::to_string(&data).context("the [data] table")
    }

    fn question(&self) -> (&'static str, Value) {
        let catalogue = self.job.task.items().map(|task| &task.catalogue);
        let id = |item: &u32| catalogue.and_then(|catalogue| catalogue.id(*item)).map(str::to_string);
        let history: Vec<String> = self.shopper().iter().filter_map(id).collect();
        ("/v1/recommend", json!({ "history": history, "k": SHOWN, "reasons": true }))
    }
}

fn read_titles(path: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let text = std::fs::read_to_string(path).context(path.display())?;
    let line = |line: &str| {
        let (item, title) = line.split_once(',')?;
        Some((item.to_string(), title.trim_matches('"').to_string()))
    };
    Ok(text.lines().skip(1).filter_map(line).collect())
}

impl RecommendReport {
    fn to_text(&self) -> String {
        let mut rows = vec![["", "NDCG@10", "HR@10"].map(String::from).to_vec()];
        let mut row = |name: &str, ndcg: Option<f64>, hr: Option<f64>| {
            rows.push(vec![name.to_string(), figure(ndcg), figure(hr)]);
        };
        let (ndcg, hr) = (&self.ndcg_at_10, &self.hr_at_10);
        row("each merchant alone", ndcg.local_only.micro, hr.local_only.micro);
        row("together, masked, no noise", ndcg.federated_plain.micro, hr.federated_plain.micro);
        let private = |t: &FiguresByMethod| t.federated_private.as_ref().and_then(|s| s.micro);
        row(
            &format!("together, {}", self.privacy.split(',').next().unwrap_or_default()),
            private(ndcg),
            private(hr),
        );
        row("blend of own and private", ndcg.blend.micro, hr.blend.micro);
        row("pooled*", ndcg.pooled.micro, hr.pooled.micro);
        let mut text = format!("\n{}: {}\n{}", self.source, self.protocol, table(&rows));
        text += "* everybody's rows in one place: for reference only\n";
        text += &self.plainly();
        text += &format!("\nA shopper who has {}:\n", self.history.join(", "));
        for recommendation in &self.recommendations {
            let because = match recommendation.because_of.is_empty() {
                true => "popular".to_string(),
                false => format!("because of {}", recommendation.because_of.join(", ")),
            };
            text += &format!("  {}  ({because})\n", recommendation.item);
        }
        text += &format!("Served by the first merchant's client over HTTP: {}\n", self.served);
        text + &format!(
            "{} merchants, {} shoppers, {} rounds; {}; {:.3} s a round (median), {:.1} s in all. Model {} everywhere.\n",
            self.merchants,
            self.shoppers,
            self.rounds,
            self.mode,
            self.round_seconds.median,
            self.wall_seconds,
            &self.model_hash[..16.min(self.model_hash.len())]
        )
    }

    /// Whether the noise was worth it, without embellishment.
    fn plainly(&self) -> String {
        let words = |what: &str, difference: Option<Difference>| match difference {
            Some(d) if d.low > 0.0 => {
                format!(
                    "{what}: better than alone by {:.4} NDCG ({:.4} to {:.4}).\n",
                    d.difference, d.low, d.high
                )
            }
            Some(d) if d.high < 0.0 => format!(
                "{what}: WORSE than alone by {:.4} NDCG ({:.4} to {:.4}): with so few shoppers the noise costs more than the others' knowledge is worth.\n",
                -d.difference, -d.high, -d.low
            ),
            Some(d) => format!(
                "{what}: no difference to alone that these shoppers could show ({:+.4} to {:+.4}).\n",
                d.low, d.high
            ),
            None => String::new(),
        };
        let verdict = self.verdict.as_ref().map(|v| format!("The planner had said: {v}.\n"));
        words("The private model by itself", self.released_less_local)
            + &words("Blended with each merchant's own", self.blend_less_local)
            + &verdict.unwrap_or_default()
    }
}
