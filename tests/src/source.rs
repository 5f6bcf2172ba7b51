//! Rust sources read as text: comments and literals blanked, test code cut out, names found as whole words.
//!
//! Enough of the language to check where a name is used, and no more. Blanking keeps every line break, so line
//! numbers stay those of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders that hold no sources of the project.
const SKIPPED_FOLDERS: [&str; 3] = ["target", ".git", "node_modules"];

/// One source file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Relative to the repository, with `/`.
    pub path: String,
    /// As on disk.
    pub raw: String,
    /// Without comments, literals and test code.
    pub production: String,
    /// Lines outside test code.
    pub production_lines: usize,
    /// Whether the whole file is test code.
    pub is_test: bool,
}

impl SourceFile {
    /// Reads a text as the source file `path`.
    pub fn new(path: &str, raw: &str) -> Self {
        let (production, cut_lines, _) = cut_tests(&blank(raw));
        SourceFile {
            path: path.to_owned(),
            raw: raw.to_owned(),
            production,
            production_lines: raw.lines().count() - cut_lines,
            is_test: false,
        }
    }

    /// The text of the leading `//!` comment.
    pub fn module_docs(&self) -> String {
        let docs = self.raw.lines().take_while(|line| line.starts_with("//!"));
        docs.map(|line| line.trim_start_matches("//!")).collect::<Vec<_>>().join("\n")
    }

    /// Lines (from 1) of the production code in which `name` stands as a whole word or path.
    pub fn lines_with(&self, name: &str) -> Vec<usize> {
        let lines = self.production.lines().enumerate();
        lines.filter(|(_, line)| has_word(line, name)).map(|(i, _)| i + 1).collect()
    }

    /// Lines (from 1) of the production code in which a path begins with the crate `name`.
    ///
    /// A module of the same name declared in this file hides the crate; only `::name` means the crate there.
    pub fn lines_with_crate(&self, name: &str) -> Vec<usize> {
        let hidden = has_word(&self.production, &format!("mod {name};"));
        let lines = self.production.lines().enumerate();
        lines.filter(|(_, line)| names_crate(line, name, hidden)).map(|(i, _)| i + 1).collect()
    }
}

/// All Rust files of a repository, in order of path.
///
/// # Panics
/// When a file cannot be read.
pub fn read_sources(root: &Path) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect(root, root, "rs", &mut paths);
    let mut files = Vec::new();
    let mut test_modules = BTreeSet::new();
    for path in paths {
        let raw = read(&root.join(&path));
        let (_, _, modules) = cut_tests(&blank(&raw));
        test_modules.extend(modules.iter().map(|module| module_path(&path, module)));
        files.push(SourceFile::new(&path, &raw));
    }
    for file in &mut files {
        file.is_test = is_test_path(&file.path)
            || test_modules
                .iter()
                .any(|m| file.path == format!("{m}.rs") || file.path.starts_with(&format!("{m}/")));
    }
    files
}

/// Paths, relative to `root`, of all files with an extension.
pub fn files_with_extension(root: &Path, extension: &str) -> Vec<String> {
    let mut paths = Vec::new();
    collect(root, root, extension, &mut paths);
    paths
}

/// A file's text.
///
/// # Panics
/// When it cannot be read.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn collect(root: &Path, folder: &Path, extension: &str, paths: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                collect(root, &path, extension, paths);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

fn is_test_path(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.ends_with("/tests.rs")
}

/// Path without `.rs` of the module `name` declared in the file `path`.
fn module_path(path: &str, name: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" => format!("{folder}/{name}"),
        _ => format!("{folder}/{}/{name}", file.trim_end_matches(".rs")),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `name` stands in `text`, with no word character touching its ends.
fn word_positions<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let open = |c: Option<char>, edge: Option<char>| !(c.is_some_and(is_word) && edge.is_some_and(is_word));
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        open(text[..*at].chars().next_back(), name.chars().next())
            && open(text[at + name.len()..].chars().next(), name.chars().next_back())
    })
}

/// Whether `name` stands in `text` as a whole word or path.
pub fn has_word(text: &str, name: &str) -> bool {
    word_positions(text, name).next().is_some()
}

fn names_crate(line: &str, name: &str, hidden: bool) -> bool {
    word_positions(line, name).any(|at| {
        let (before, after) = (line[..at].trim_end(), line[at + name.len()..].trim_start());
        let global = before.strip_suffix("::").is_some_and(|b| !b.ends_with(|c| is_word(c) || c == '>'));
        let begins_path = after.starts_with("::") && !before.ends_with("::");
        let imported = (before == "use" || before.ends_with("extern crate")) && !after.starts_with("::");
        global || (!hidden && (begins_path || imported))
    })
}

/// Replaces comments and literals by spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = blank_end(&chars, i).unwrap_or(i).min(chars.len());
        if end > i {
            out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            i = end;
        } else {
            out.push(chars[i]);
            i += 1;
        }
    }
    out
}

/// The end of the comment or literal that begins at `i`, if one does.
fn blank_end(chars: &[char], i: usize) -> Option<usize> {
    let at = |k: usize| chars.get(k).copied();
    match (chars[i], at(i + 1)) {
        ('/', Some('/')) => Some((i..chars.len()).find(|k| chars[*k] == '\n').unwrap_or(chars.len())),
        ('/', Some('*')) => Some(block_comment_end(chars, i)),
        ('"', _) => Some(string_end(chars, i)),
        ('r', Some('"' | '#')) if begins_raw_string(chars, i) => Some(raw_string_end(chars, i)),
        ('\'', Some('\\')) => (i + 3..chars.len()).find(|k| chars[*k] == '\'').map(|k| k + 1),
        ('\'', _) if at(i + 2) == Some('\'') => Some(i + 3),
        _ => None,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

fn begins_raw_string(chars: &[char], i: usize) -> bool {
    let word_before = |k: usize| k > 0 && is_word(chars[k - 1]);
    let prefixed = i > 0 && matches!(chars[i - 1], 'b' | 'c') && !word_before(i - 1);
    let quote = chars[i + 1..].iter().position(|c| *c != '#');
    (prefixed || !word_before(i)) && quote.is_some_and(|k| chars[i + 1 + k] == '"')
}

fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let mut i = start + 2 + hashes;
    while i < chars.len() {
        let closing = chars[i + 1..].iter().take(hashes).take_while(|c| **c == '#').count();
        if chars[i] == '"' && closing == hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

/// Cuts every item under `#[cfg(test)]` out of blanked code. Gives the rest, how many lines went, and the names of
/// test modules that lie in files of their own.
fn cut_tests(code: &str) -> (String, usize, Vec<String>) {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let (mut rest, mut out, mut lines, mut modules) = (code, String::new(), 0, Vec::new());
    while let Some(at) = rest.find(ATTRIBUTE) {
        let (before, item) = rest.split_at(at);
        let end = item_end(item);
        let newlines = item[..end].matches('\n').count();
        let declaration = item[ATTRIBUTE.len()..end].trim().trim_end_matches(';');
        if let Some((_, name)) = declaration.rsplit_once("mod ").filter(|(_, name)| name.chars().all(is_word))
        {
            modules.push(name.to_owned());
        }
        out.push_str(before);
        out.push_str(&"\n".repeat(newlines));
        lines += newlines + 1;
        rest = &item[end..];
    }
    out.push_str(rest);
    (out, lines, modules)
}

/// Where the item that begins with its attributes ends: after the first `;` or `}` outside all brackets.
fn item_end(item: &str) -> usize {
    let mut depth = 0usize;
    for (i, c) in item.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return i + 1;
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text = "a // HashMap\nb /* x /* y */ HashMap */ c\nlet s = \"Hash\\\"Map\"; let q = '\"'; d\n";
        let blanked = blank(text);
        assert!(!blanked.contains("Hash") && !blanked.contains('y'), "{blanked}");
        assert_eq!(blanked.lines().count(), text.lines().count());
        assert!(
            ["a", "b", "c", "let s", "let q", "d"].iter().all(|kept| blanked.contains(kept)),
            "{blanked}"
        );
    }

    #[test]
    fn raw_strings_raw_names_and_lifetimes_are_told_apart() {
        let text = "br#\"in \" side\"# r\"too\" r#match fn f<'a>(x: &'a str) -> &'a str { x } '\\'' end";
        let blanked = blank(text);
        assert!(!blanked.contains("side") && !blanked.contains("too"), "{blanked}");
        assert!(
            blanked.contains("r#match") && blanked.contains("<'a>") && blanked.contains("end"),
            "{blanked}"
        );
    }

    #[test]
    fn test_code_is_cut_wherever_it_stands() {
        let text = "#[cfg(test)]\nmod tests;\nfn one() {}\n#[cfg(test)]\npub fn door() { [(); 1]; }\nfn two() {}\n\
                    #[cfg(test)]\nmod more {\n    fn three() { {} }\n}\n";
        let file = SourceFile::new("a.rs", text);
        assert!(["one", "two"].iter().all(|kept| has_word(&file.production, kept)), "{}", file.production);
        assert!(
            ["tests", "door", "three"].iter().all(|cut| !has_word(&file.production, cut)),
            "{}",
            file.production
        );
        assert_eq!((file.production_lines, file.lines_with("two")), (2, vec![6]));
        assert_eq!(cut_tests(&blank(text)).2, ["tests"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use rand::Rng;", "rand::") && !has_word("use chacha_rand::x;", "rand::"));
        assert!(has_word("async fn", "async") && !has_word("asynchronous", "async"));
        assert!(has_word("x.await?", "await") && !has_word("wake_awaited", "await"));
    }

    #[test]
    fn crates_are_told_from_modules_of_their_name() {
        let lines = |text: &str| SourceFile::new("a.rs", text).lines_with_crate("sled");
        assert_eq!(lines("use sled::Db;"), [1]);
        assert_eq!(lines("fn f() -> sled::Result<()> {}"), [1]);
        assert_eq!(lines("use crate::store::sled::Store;"), [0usize; 0]);
        assert_eq!(lines("mod sled;\npub use sled::Store;"), [0usize; 0]);
        assert_eq!(lines("mod sled;\npub use ::sled::Store;"), [2]);
    }

    #[test]
    fn modules_lie_beside_or_below_their_file() {
        assert_eq!(module_path("a/src/lib.rs", "x"), "a/src/x");
        assert_eq!(module_path("a/src/b.rs", "x"), "a/src/b/x");
    }
}
