//! A job file as a person wrote it: catalogues are read from where the file says, then the job is parsed.

use std::path::Path;

use guildhall_client::data::{SimulationConfig, catalogue_of};
use guildhall_privacy::accountant::Calibration;
use guildhall_shared::job::{JobSpec, SimulationSpec};
use toml::{Table, Value};

use crate::error::{CommandError, Context as _};

/// The key under `[simulation]` with what `simulate` changes for the model without privacy.
const WITHOUT_PRIVACY: &str = "without_privacy";
/// The key under `[simulation]` with the job that item vectors start from.
const START: &str = "start";

/// A job file and what it became.
pub struct JobFile {
    /// The job.
    pub job: JobSpec,
    /// How `simulate` cuts one data set into merchants.
    pub simulation: Option<SimulationSpec>,
    /// The file with its catalogue filled in.
    table: Table,
    name: String,
}

impl JobFile {
    /// Reads a job file. A catalogue that is a file's name is read from beside the job; one that is missing is taken from the
    /// simulation's data, where there are any.
    pub fn read(path: &Path, data: Option<&Path>) -> Result<Self, CommandError> {
        Self::with_items(path, data, None)
    }

    /// [`JobFile::read`] with a catalogue of so many nameless items where the job names none: enough to plan with.
    pub fn with_items(path: &Path, data: Option<&Path>, items: Option<u32>) -> Result<Self, CommandError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).context(&name)?;
        let mut table: Table = match toml::from_str(&text) {
            Ok(table) => table,
            // The job's own parser says it better.
            Err(_) => {
                let (job, simulation) = JobSpec::parse(&text, &Calibration).context(&name)?;
                return Ok(JobFile { job, simulation, table: Table::new(), name });
            }
        };
        fill_catalogue(&mut table, path, data, items)?;
        let (job, simulation) = parse(&table, &name)?;
        let simulation = simulation.map(|mut simulation| {
            for key in [WITHOUT_PRIVACY, START] {
                simulation.remove(key);
            }
            simulation
        });
        Ok(JobFile { job, simulation, table, name })
    }

    /// The same job with `privacy = "none"`, and with the tables that `[simulation.without_privacy]` puts in place of its own:
    /// without noise other sizes are best.
    pub fn without_privacy(&self) -> Result<JobSpec, CommandError> {
        let mut table = self.table.clone();
        let mut changes = self.changes(WITHOUT_PRIVACY);
        changes.remove(START);
        table.extend(changes);
        table.insert("privacy".into(), "none".into());
        Ok(parse(&table, &format!("{}, without privacy", self.name))?.0)
    }

    /// The statistics job that item vectors start from, where `[simulation.start]` says one: with its own budget, or, before the
    /// model without privacy, without.
    pub fn start(&self, private: bool) -> Result<Option<JobSpec>, CommandError> {
        let mut changes = self.changes(START);
        if changes.is_empty() {
            return Ok(None);
        }
        if !private {
            if let Some(Value::Table(more)) = self.changes(WITHOUT_PRIVACY).remove(START) {
                changes.extend(more);
            }
            changes.insert("privacy".into(), "none".into());
        }
        let mut table = self.table.clone();
        table.extend(changes);
        Ok(Some(parse(&table, &format!("{}, its start", self.name))?.0))
    }

    fn changes(&self, key: &str) -> Table {
        let simulation = self.table.get("simulation").and_then(Value::as_table);
        simulation.and_then(|s| s.get(key)).and_then(Value::as_table).cloned().unwrap_or_default()
    }
}

fn parse(table: &Table, name: &str) -> Result<(JobSpec, Option<SimulationSpec>), CommandError> {
    let text = toml::to_string(table).context(name)?;
    JobSpec::parse(&text, &Calibration).context(name)
}

fn fill_catalogue(
    table: &mut Table,
    path: &Path,
    data: Option<&Path>,
    nameless: Option<u32>,
) -> Result<(), CommandError> {
    let simulation = table.get("simulation").and_then(Value::as_table).cloned();
    let Some(task) = table.get_mut("task").and_then(Value::as_table_mut) else { return Ok(()) };
    if task.get("kind").and_then(Value::as_str) != Some("next_item") {
        return Ok(());
    }
    let items = match (task.get("catalogue"), simulation, data) {
        (Some(Value::String(file)), ..) => {
            read_catalogue(&path.parent().unwrap_or(Path::new(".")).join(file))?
        }
        (Some(_), ..) => return Ok(()),
        (None, ..) if nameless.is_some() => {
            (0..nameless.unwrap_or(0)).map(|item| Value::from(format!("item {item}"))).collect()
        }
        (None, Some(mut simulation), Some(data)) => {
            for key in [WITHOUT_PRIVACY, START] {
                simulation.remove(key);
            }
            let config = SimulationConfig::parse(&simulation, data).context(path.display())?;
            let catalogue = catalogue_of(&config).context(data.display())?;
            (0..catalogue.len() as u32).filter_map(|item| catalogue.id(item)).map(Value::from).collect()
        }
        _ => {
            return Err(CommandError::message(format!(
                "{}: task.catalogue: expected the public list of items, or the name of a file with one item a line, found nothing. With --data the items of the simulation's data are taken, and to plan --items N is enough",
                path.display()
            )));
        }
    };
    task.insert("catalogue".into(), Value::Array(items));
    Ok(())
}

/// One item a line: its id, and behind a comma its tags, separated by semicolons.
fn read_catalogue(path: &Path) -> Result<Vec<Value>, CommandError> {
    let text = std::fs::read_to_string(path).context(path.display())?;
    let item = |line: &str| match line.split_once(',') {
        None => Value::from(line.trim()),
        Some((id, tags)) => {
            let tags =
                tags.split(';').map(str::trim).filter(|tag| !tag.is_empty()).map(Value::from).collect();
            Value::Table(Table::from_iter([
                ("id".to_string(), Value::from(id.trim())),
                ("tags".to_string(), Value::Array(tags)),
            ]))
        }
    };
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = include_str!("../../samples/jobs/amazon_beauty_ease.toml");

    fn written(text: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("job.toml");
        std::fs::write(&path, text).expect("written");
        files
            .iter()
            .for_each(|(name, text)| std::fs::write(folder.path().join(name), text).expect("written"));
        (folder, path)
    }

    #[test]
    fn a_catalogue_can_be_a_file() {
        let job = JOB.replace("history_max = 50", "history_max = 50\ncatalogue = \"items.csv\"");
        let job = job.replace("items_kept = 350", "items_kept = 2");
        let (_folder, path) = written(&job, &[("items.csv", "a, red ;old\n\nb\nc,old\n")]);
        let file = JobFile::read(&path, None).map_err(|e| e.to_string()).expect("a job");
        let catalogue = &file.job.task.items().expect("items").catalogue;
        assert_eq!((catalogue.len(), catalogue.tags_of(0), catalogue.tags_of(1)), (3, &[0, 1][..], &[][..]));
    }

    #[test]
    fn a_job_without_a_catalogue_says_what_to_do() {
        let (_folder, path) = written(JOB, &[]);
        let error = JobFile::read(&path, None).err().expect("no catalogue").to_string();
        assert!(error.contains("task.catalogue") && error.contains("--data"), "{error}");
    }
}
