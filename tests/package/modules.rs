//! The tables of modules, at the head of the files that declare these.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::source;

/// Every `mod.rs` below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.ends_with("mod.rs"))
        .collect()
}

/// The modules that the first column of the table names.
fn told(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().skip_while(|line| !line.starts_with("//! | module |")).skip(2);
    let cells = rows.map_while(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(|name| name.trim_start_matches("mod@")).collect()
}

/// The modules that a file declares, but for tests.
fn declared(text: &str) -> BTreeSet<&str> {
    let lines = std::iter::once("").chain(text.lines()).zip(text.lines());
    let declarations = lines.filter(|(before, _)| *before != "#[cfg(test)]").filter_map(|(_, line)| {
        let line = line.strip_suffix(';')?;
        let visible = ["pub(crate) mod ", "pub mod ", "mod "];
        visible.iter().find_map(|start| line.strip_prefix(start))
    });
    declarations.collect()
}

#[test]
fn tables_of_modules_name_each_and_no_other() {
    let files = files(&source("src"));
    assert!(files.len() > 5, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(told(&text), declared(&text), "{}", path.display());
    }
}
