//! A marketplace for the demo: many merchants of one task, each knowing a drawn share of its shoppers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use guildhall_client::data::config::{RawDataConfig, RawSchema};
use guildhall_client::data::observations::{ShopperKey, Splits};
use guildhall_client::data::{
    DataConfig, SimulationConfig, Table, cut_by_merchant, load_table, rows_by_merchant, split,
};
use guildhall_shared::id::Name;
use guildhall_shared::task::{RepurchaseSpec, Task};

use super::error::DataCommandError;
use super::extract::{MERCHANT_DEPARTMENTS, department_code, embedded};

mod files;

/// Most merchants a marketplace may have.
const MERCHANTS_MAX: usize = 1_000;

/// What a merchant of the extract is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantsBy {
    /// A department, across all stores.
    Department,
    /// A store, with all its departments.
    Store,
}

/// One merchant as it stands after a draw.
pub struct MerchantData {
    /// Its name.
    pub name: Name,
    /// Train and validation of the shoppers it knows, test of all it has.
    pub splits: Splits,
}

/// A file that holds what one merchant knows, and nothing else.
pub struct MerchantFile {
    /// The merchant.
    pub name: Name,
    /// The file.
    pub path: PathBuf,
}

struct Merchant {
    name: Name,
    config: DataConfig,
    table: usize,
    rows: Vec<usize>,
    /// Whose each row is.
    keys: Vec<Option<ShopperKey>>,
    splits: Splits,
}

impl Merchant {
    /// The shoppers it has whom it knows after a draw.
    fn known(&self, share: f64, draw: u64) -> BTreeSet<ShopperKey> {
        let shoppers: BTreeSet<ShopperKey> = self.keys.iter().flatten().copied().collect();
        shoppers.into_iter().filter(|shopper| split::is_known(*shopper, &self.name, share, draw)).collect()
    }
}

/// Merchants and all that they have.
pub struct Marketplace {
    tables: Vec<Table>,
    merchants: Vec<Merchant>,
}

impl Marketplace {
    /// The embedded extract, cut into merchants: the first `merchants` of the nine departments, or the stores with most households.
    ///
    /// # Errors
    /// [`DataCommandError::Merchants`] where there are not as many.
    pub fn embedded(
        by: MerchantsBy,
        merchants: usize,
        weeks: &RepurchaseSpec,
    ) -> Result<Self, DataCommandError> {
        Self::of_extract(Table::from_parquet(embedded(), "complete_journey.parquet")?, by, merchants, weeks)
    }

    /// A table with the extract's columns, cut into merchants.
    ///
    /// # Errors
    /// As [`Marketplace::embedded`].
    pub fn of_extract(
        table: Table,
        by: MerchantsBy,
        merchants: usize,
        weeks: &RepurchaseSpec,
    ) -> Result<Self, DataCommandError> {
        let config = simulation(by, merchants)?;
        let mut rows = rows_by_merchant(&table, &config)?;
        let mut parts = cut_by_merchant(&table, &config, &Task::Repurchase(weeks.clone()))?.merchants;
        let mut ordered: Vec<Name> = parts.keys().cloned().collect();
        if by == MerchantsBy::Department {
            let place = |name: &Name| {
                MERCHANT_DEPARTMENTS.iter().position(|(_, merchant)| *merchant == name.as_str())
            };
            ordered.sort_by_key(place);
        } else if ordered.len() < merchants {
            return Err(DataCommandError::Merchants {
                by: "store",
                expected: format!("at most {}", ordered.len()),
                found: merchants,
            });
        }
        let mut all = vec![];
        for name in ordered {
            if let (Some(part), Some(rows)) = (parts.remove(&name), rows.remove(&name)) {
                let (config, keys) = (config.data.clone(), shoppers(&table, &config.data, &rows));
                all.push(Merchant { name, config, table: 0, rows, keys, splits: part.splits });
            }
        }
        Ok(Marketplace { tables: vec![table], merchants: all })
    }

    /// A folder with one `.csv` or `.parquet` file per merchant, named after it. `schema.toml` in the folder says what the columns
    /// mean (as `[data.schema]` does); without it they are called as in the extract. Rows that cannot be used are logged as a warning.
    ///
    /// # Errors
    /// [`DataCommandError`] where a file cannot be read or does not fit.
    pub fn from_folder(folder: &Path, weeks: &RepurchaseSpec) -> Result<Self, DataCommandError> {
        let schema = files::schema_of(folder)?;
        let mut marketplace = Marketplace { tables: vec![], merchants: vec![] };
        for path in files::data_files(folder)? {
            let stem = path.file_stem().map(|s| s.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
            let misnamed = |found: String| DataCommandError::Schema {
                path: path.clone(),
                expected: "a file named after its merchant",
                found,
            };
            let name = Name::new(stem).map_err(|e| misnamed(e.to_string()))?;
            if marketplace.merchants.iter().any(|merchant| merchant.name == name) {
                return Err(misnamed("two files of one name".into()));
            }
            let raw = RawDataConfig { path: path.clone(), schema: schema.clone(), ..default_data() };
            let config = DataConfig::new(raw, folder)?;
            let table = Table::read(&config.path, config.delimiter)?;
            let (splits, report) = load_table(&table, &config, &Task::Repurchase(weeks.clone()))?;
            if report.rows_dropped > 0 {
                tracing::warn!("{report}");
            }
            let rows: Vec<usize> = (0..table.rows()).collect();
            let keys = shoppers(&table, &config, &rows);
            let position = marketplace.tables.len();
            marketplace.merchants.push(Merchant { name, config, table: position, rows, keys, splits });
            marketplace.tables.push(table);
        }
        marketplace.merchants.sort_by(|a, b| a.name.cmp(&b.name));
        let found = marketplace.merchants.len();
        if !(1..=MERCHANTS_MAX).contains(&found) {
            let expected = format!("1 to {MERCHANTS_MAX} .csv or .parquet files in {}", folder.display());
            return Err(DataCommandError::Merchants { by: "file", expected, found });
        }
        Ok(marketplace)
    }

    /// The merchants' names, in order: departments as listed, others by name.
    pub fn names(&self) -> Vec<Name> {
        self.merchants.iter().map(|merchant| merchant.name.clone()).collect()
    }

    /// Each merchant knowing a share of its shoppers: a hash keyed by the draw decides, independently for each merchant.
    pub fn draw(&self, share: f64, draw: u64) -> Vec<MerchantData> {
        let one = |merchant: &Merchant| MerchantData {
            name: merchant.name.clone(),
            splits: merchant.splits.knowing(|shopper| split::is_known(shopper, &merchant.name, share, draw)),
        };
        self.merchants.iter().map(one).collect()
    }

    /// Writes what each merchant knows after a draw into `folder/<name>.parquet`: rows of the drawn shoppers and no others.
    ///
    /// # Errors
    /// [`DataCommandError::File`].
    pub fn write_merchants(
        &self,
        share: f64,
        draw: u64,
        folder: &Path,
    ) -> Result<Vec<MerchantFile>, DataCommandError> {
        fs::create_dir_all(folder).map_err(DataCommandError::file(folder))?;
        self.merchants.iter().map(|merchant| self.write_merchant(merchant, share, draw, folder)).collect()
    }

    fn write_merchant(
        &self,
        merchant: &Merchant,
        share: f64,
        draw: u64,
        folder: &Path,
    ) -> Result<MerchantFile, DataCommandError> {
        let known = merchant.known(share, draw);
        let table = &self.tables[merchant.table];
        let rows = merchant.rows.iter().zip(&merchant.keys);
        let keep = rows.filter(|(_, key)| key.is_some_and(|key| known.contains(&key)));
        let rows: Vec<usize> = keep.map(|(row, _)| *row).collect();
        let path = folder.join(format!("{}.parquet", merchant.name));
        let bytes = files::encode_rows(table, &merchant.config.schema, &rows)?;
        fs::write(&path, bytes).map_err(DataCommandError::file(&path))?;
        Ok(MerchantFile { name: merchant.name.clone(), path })
    }
}

/// The `[data]` table of a merchant whose file has the extract's columns.
pub fn client_data(path: impl Into<PathBuf>) -> RawDataConfig {
    RawDataConfig { path: path.into(), ..default_data() }
}

fn default_data() -> RawDataConfig {
    let schema =
        RawSchema { shopper: Some("household".into()), time: Some("day".into()), ..RawSchema::default() };
    RawDataConfig {
        path: PathBuf::new(),
        delimiter: None,
        duplicates: Default::default(),
        test_rows: None,
        schema,
    }
}

/// Whose each row is. Rows of one shopper mostly follow each other, so an id is hashed once.
fn shoppers(table: &Table, config: &DataConfig, rows: &[usize]) -> Vec<Option<ShopperKey>> {
    let Some(column) = config.schema.shopper.as_deref().and_then(|name| table.position(name)) else {
        return vec![None; rows.len()];
    };
    let mut last = None;
    let key = |row: &usize| {
        let cell = table.cell(column, *row);
        match last {
            Some((known, key)) if known == cell => key,
            _ => last.insert((cell, cell.text().map(|id| ShopperKey::of_id(&id)))).1,
        }
    };
    rows.iter().map(key).collect()
}

/// The same table that a sample job would have.
fn simulation(by: MerchantsBy, merchants: usize) -> Result<SimulationConfig, DataCommandError> {
    let mut table = toml::Table::new();
    table.insert("file".into(), "complete_journey.parquet".into());
    match by {
        MerchantsBy::Department => {
            if !(1..=MERCHANT_DEPARTMENTS.len()).contains(&merchants) {
                let expected = format!("1 to {}", MERCHANT_DEPARTMENTS.len());
                return Err(DataCommandError::Merchants { by: "department", expected, found: merchants });
            }
            let codes = MERCHANT_DEPARTMENTS.iter().take(merchants).filter_map(|(department, merchant)| {
                Some((department_code(department)?.to_string(), toml::Value::from(*merchant)))
            });
            table.insert("merchant_column".into(), "department".into());
            table.insert("merchants".into(), toml::Value::Table(codes.collect()));
        }
        MerchantsBy::Store => {
            table.insert("merchant_column".into(), "store".into());
            table.insert("merchant_prefix".into(), "store-".into());
            table.insert(
                "largest_merchants".into(),
                toml::Value::Integer(i64::try_from(merchants).unwrap_or(i64::MAX)),
            );
        }
    }
    let schema = toml::Table::try_from(default_data().schema).unwrap_or_default();
    table.insert("schema".into(), toml::Value::Table(schema));
    Ok(SimulationConfig::parse(&table, Path::new(""))?)
}

#[cfg(test)]
mod tests;
