//! How one file becomes many merchants: the `[simulation]` table of a job file. [core], except [`SimulationConfig::parse`]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use guildhall_shared::id::Name;
use serde::{Deserialize, Serialize};

use super::config::{DataConfig, DataConfigError, Duplicates, Mistakes, RawSchema, delimiter, schema};

/// `[simulation]` as written by a person.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawSimulation {
    file: Option<PathBuf>,
    #[serde(default)]
    files: BTreeMap<String, PathBuf>,
    merchants_by_hash: Option<u32>,
    delimiter: Option<String>,
    #[serde(default)]
    duplicates: Duplicates,
    test_rows: Option<PathBuf>,
    merchant_column: Option<String>,
    #[serde(default)]
    merchant_prefix: String,
    #[serde(default)]
    merchants: BTreeMap<String, String>,
    largest_merchants: Option<usize>,
    train_share: Option<f64>,
    #[serde(default)]
    draw: u64,
    schema: RawSchema,
}

/// How a row's merchant is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MerchantsFrom {
    /// By the value of this column.
    Column(String),
    /// Every merchant has a file of its own.
    Files(BTreeMap<Name, PathBuf>),
    /// By a hash of the shopper: this many merchants of about the same size.
    Hash(u32),
}

/// Checked: how one file becomes many merchants.
#[derive(Clone, Debug)]
pub struct SimulationConfig {
    /// The file and its schema.
    pub data: DataConfig,
    /// How a row's merchant is told.
    pub merchants_from: MerchantsFrom,
    /// Before every value that becomes a name.
    pub merchant_prefix: String,
    /// Which values take part, and their names. Empty: all of them.
    pub merchants: BTreeMap<String, Name>,
    /// Only this many merchants, those with most shoppers.
    pub largest_merchants: Option<usize>,
    /// Which share of its shoppers a merchant trains and validates on, by a keyed hash; it is tested on all of them.
    pub train_share: f64,
    /// Which of the possible draws of that share.
    pub draw: u64,
}

impl SimulationConfig {
    /// Checks a `[simulation]` table. `data` is the folder that paths are relative to, or the file itself. \[shell\]
    ///
    /// # Errors
    /// [`DataConfigError`] lists every mistake.
    pub fn parse(table: &toml::Table, data: &Path) -> Result<Self, DataConfigError> {
        let mut raw: RawSimulation = table.clone().try_into().map_err(|e: toml::de::Error| {
            DataConfigError { mistakes: vec![format!("simulation: {}", e.message())] }
        })?;
        let mut folder = data.to_path_buf();
        if data.is_file() {
            raw.file = data.file_name().map(PathBuf::from);
            folder.pop();
        }
        Self::check(raw, &folder)
    }

    fn check(raw: RawSimulation, folder: &Path) -> Result<Self, DataConfigError> {
        let mut mistakes = Mistakes(vec![]);
        let share = raw.train_share.unwrap_or(1.0);
        mistakes.require(share > 0.0 && share <= 1.0, "simulation.train_share", "a number in (0, 1]", share);
        let largest = raw.largest_merchants.unwrap_or(1);
        mistakes.require(
            (1..=1_000).contains(&largest),
            "simulation.largest_merchants",
            "1 to 1,000",
            largest,
        );
        let mut merchants = BTreeMap::new();
        for (value, name) in raw.merchants {
            match Name::new(name) {
                Ok(name) => drop(merchants.insert(value, name)),
                Err(e) => mistakes.0.push(format!("simulation.merchants.{value}: {e}")),
            }
        }
        let distinct: BTreeSet<&Name> = merchants.values().collect();
        mistakes.require(
            distinct.len() == merchants.len(),
            "simulation.merchants",
            "a name of its own for each",
            distinct,
        );
        let merchants_from =
            merchants_from(raw.merchant_column, raw.files, raw.merchants_by_hash, folder, &mut mistakes);
        let first_file = match &merchants_from {
            MerchantsFrom::Files(files) => {
                mistakes.require(
                    raw.file.is_none(),
                    "simulation.file",
                    "nothing beside simulation.files",
                    &raw.file,
                );
                files.values().next().cloned()
            }
            _ => {
                mistakes.require(raw.file.is_some(), "simulation.file", "the file with the rows", &raw.file);
                raw.file.map(|file| folder.join(file))
            }
        };
        let prefix = match merchants_from {
            MerchantsFrom::Hash(_) if raw.merchant_prefix.is_empty() => "merchant-".into(),
            _ => raw.merchant_prefix,
        };
        let config = SimulationConfig {
            data: DataConfig {
                path: first_file.unwrap_or_default(),
                delimiter: delimiter(raw.delimiter.as_deref(), &mut mistakes),
                duplicates: raw.duplicates,
                test_rows: raw.test_rows.map(|path| folder.join(path)),
                schema: schema(raw.schema, &mut mistakes),
            },
            merchants_from,
            merchant_prefix: prefix,
            merchants,
            largest_merchants: raw.largest_merchants,
            train_share: share,
            draw: raw.draw,
        };
        mistakes.into_result(config)
    }

    /// The merchant that a value of the merchant column names: `None` where it does not take part.
    /// Without a list, the value itself in lower case, with '-' for what a name may not hold.
    pub fn merchant(&self, value: &str) -> Option<Name> {
        if !self.merchants.is_empty() {
            return self.merchants.get(value).cloned();
        }
        let legal = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c.to_ascii_lowercase() } else { '-' }
        };
        let text: String = self.merchant_prefix.chars().chain(value.chars().map(legal)).take(64).collect();
        Name::new(text).ok()
    }
}

fn merchants_from(
    column: Option<String>,
    files: BTreeMap<String, PathBuf>,
    hash: Option<u32>,
    folder: &Path,
    mistakes: &mut Mistakes,
) -> MerchantsFrom {
    let ways = [column.is_some(), !files.is_empty(), hash.is_some()];
    mistakes.require(
        ways.iter().filter(|way| **way).count() == 1,
        "simulation",
        "one of merchant_column, files and merchants_by_hash",
        ways,
    );
    if let Some(count) = hash {
        mistakes.require((1..=1_000).contains(&count), "simulation.merchants_by_hash", "1 to 1,000", count);
        return MerchantsFrom::Hash(count.max(1));
    }
    if let Some(column) = column {
        return MerchantsFrom::Column(column);
    }
    let mut named = BTreeMap::new();
    for (name, file) in files {
        match Name::new(name.clone()) {
            Ok(name) => drop(named.insert(name, folder.join(file))),
            Err(e) => mistakes.0.push(format!("simulation.files.{name}: {e}")),
        }
    }
    MerchantsFrom::Files(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SimulationConfig, DataConfigError> {
        SimulationConfig::parse(&toml::from_str(text).expect("TOML"), Path::new("folder"))
    }

    #[test]
    fn a_short_table_and_its_defaults() {
        let config =
            parse("file = \"a.csv\"\nmerchant_column = \"Region\"\n[schema]\nlabel = \"y\"\n").expect("good");
        assert_eq!(config.data.path, Path::new("folder/a.csv"));
        assert_eq!((config.train_share, config.draw, config.largest_merchants), (1.0, 0, None));
        assert_eq!(config.merchant("DRUG GM").expect("a name").as_str(), "drug-gm");
        assert_eq!(config.merchant("3").expect("a name").as_str(), "3");
    }

    #[test]
    fn a_list_of_merchants_names_and_restricts() {
        let config = parse("file = \"a\"\nmerchant_column = \"d\"\nmerchants = { 7 = \"deli\" }\n[schema]\n")
            .expect("good");
        assert_eq!(config.merchant("7").expect("a name").as_str(), "deli");
        assert_eq!(config.merchant("8"), None);
    }

    #[test]
    fn all_mistakes_at_once() {
        let text = "file = \"a\"\nmerchant_column = \"d\"\ntrain_share = 0.0\nlargest_merchants = 0\ndelimiter = \"ab\"\nmerchants = { 7 = \"a b\" }\n[schema]\nfirst_day = \"soon\"\n";
        let mistakes = parse(text).expect_err("five mistakes").mistakes;
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
        assert!(parse("file = \"a\"\nmerchant_column = \"d\"\nspeed = 1\n[schema]\n").is_err());
    }
}
