//! MovieLens-100k as the Python package recbole carries it; movies stand in for products. \[shell\]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::DataCommandError;
use super::fetch::pip_install;

/// The package and version that hold the source.
const PACKAGE: &str = "recbole==1.2.1";
const FOLDER: &str = "recbole/dataset_example/ml-100k";
const DOWNLOAD: &str = ".movielens-download";
/// Columns of the files, as their headers name them.
const ROWS_HEADER: &str = "user_id:token\titem_id:token\trating:float\ttimestamp:float";
const ITEMS_HEADER: &str = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq";

/// What was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct MovieLens {
    /// `rows.csv` with the columns shopper, item and time.
    pub rows: PathBuf,
    /// `items.csv`: one item a line, with its genres.
    pub items: PathBuf,
    /// `titles.csv`: one item a line, with its name.
    pub titles: PathBuf,
    /// Where the data are from.
    pub source: &'static str,
}

/// Fetches the package with pip and writes rows, items and titles into `out_dir`. What pip unpacked is removed again.
///
/// # Errors
/// [`DataCommandError::Fetch`] where there is no pip or no network.
pub fn fetch_movielens(out_dir: &Path) -> Result<MovieLens, DataCommandError> {
    let download = out_dir.join(DOWNLOAD);
    fs::create_dir_all(&download).map_err(DataCommandError::file(&download))?;
    let read = |name: &str| {
        let path = download.join(FOLDER).join(name);
        fs::read_to_string(&path).map_err(DataCommandError::file(&path))
    };
    let texts =
        pip_install(&download, PACKAGE).and_then(|()| Ok((read("ml-100k.inter")?, read("ml-100k.item")?)));
    fs::remove_dir_all(&download).map_err(DataCommandError::file(&download))?;
    let (rows, items) = texts?;
    let write = |name: &str, text: String| {
        let path = out_dir.join(name);
        fs::write(&path, text).map_err(DataCommandError::file(&path))?;
        Ok::<PathBuf, DataCommandError>(path)
    };
    let (items, titles) = catalogue(&items)?;
    Ok(MovieLens {
        rows: write("rows.csv", csv_rows(&rows)?)?,
        items: write("items.csv", items)?,
        titles: write("titles.csv", titles)?,
        source: "MovieLens-100k (GroupLens), from the Python package recbole 1.2.1",
    })
}

fn checked<'t>(
    text: &'t str,
    table: &'static str,
    header: &'static str,
) -> Result<impl Iterator<Item = Vec<&'t str>>, DataCommandError> {
    let mut lines = text.lines();
    let found = lines.next().unwrap_or_default();
    if found != header {
        return Err(DataCommandError::Source {
            table,
            expected: header,
            found: found.chars().take(80).collect(),
        });
    }
    Ok(lines.filter(|line| !line.is_empty()).map(|line| line.split('\t').collect()))
}

fn csv_rows(text: &str) -> Result<String, DataCommandError> {
    let mut out = String::from("shopper,item,time\n");
    for fields in checked(text, "ml-100k.inter", ROWS_HEADER)? {
        if let [shopper, item, _, time] = fields[..] {
            out += &format!("{shopper},{item},{time}\n");
        }
    }
    Ok(out)
}

/// Items with their genres, and items with their names.
fn catalogue(text: &str) -> Result<(String, String), DataCommandError> {
    let (mut items, mut titles) = (String::new(), String::from("item,title\n"));
    for fields in checked(text, "ml-100k.item", ITEMS_HEADER)? {
        if let [item, title, year, genres] = fields[..] {
            items += &format!("{item},{}\n", genres.split_whitespace().collect::<Vec<_>>().join(";"));
            titles += &format!("{item},\"{} ({year})\"\n", title.replace('"', "'"));
        }
    }
    Ok((items, titles))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_becomes_rows_items_and_titles() {
        let rows = format!("{ROWS_HEADER}\n196\t242\t3\t881250949\n");
        assert_eq!(csv_rows(&rows).expect("rows"), "shopper,item,time\n196,242,881250949\n");
        let items = format!("{ITEMS_HEADER}\n1\tToy Story\t1995\tAnimation Comedy\n");
        let (items, titles) = catalogue(&items).expect("items");
        assert_eq!(
            (items.as_str(), titles.as_str()),
            ("1,Animation;Comedy\n", "item,title\n1,\"Toy Story (1995)\"\n")
        );
        assert!(csv_rows("something else\n").is_err());
    }
}
