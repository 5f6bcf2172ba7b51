//! Which trainings read the data that an auditor is shown.

use std::path::{Path, PathBuf};

use guildhall_client::data;
use guildhall_client::folder::read_secret;
use guildhall_ledger::verify::Verification;

use crate::error::{CommandError, Context as _};

/// More entries than this are counted and not named.
const NAMED_MAX: usize = 20;

/// In a sentence: how many COMMIT entries have a tag of these files under the merchant's secret, and which.
pub(super) fn trainings(
    found: &Verification,
    files: &[PathBuf],
    secret: &Path,
) -> Result<String, CommandError> {
    let secret = read_secret(secret).context("the secret of the data")?;
    let data = data::digest(files.iter().map(PathBuf::as_path), &secret).context("the data")?;
    let committed =
        found.account.sessions().filter_map(|(_, session)| Some((session.committed_at?, session.data)));
    let tags: Vec<(u64, _)> = committed.collect();
    let tagged = tags.iter().filter(|(_, tag)| tag.is_some()).count();
    let read: Vec<String> = tags
        .iter()
        .filter(|(_, tag)| tag.is_some_and(|tag| tag.is_of(&data)))
        .map(|(place, _)| place.to_string())
        .collect();
    let mut text = format!("{} of {tagged} trainings with a tag of their data read these files", read.len());
    if !read.is_empty() {
        let more = if read.len() > NAMED_MAX { ", and more" } else { "" };
        text += &format!(": entries {}{more}", read[..read.len().min(NAMED_MAX)].join(", "));
    }
    match tags.len() - tagged {
        0 => {}
        without => text += &format!("; {without} trainings have no tag"),
    }
    Ok(text)
}
