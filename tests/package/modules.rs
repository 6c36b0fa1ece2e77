//! The tables of modules, at the head of the files that declare these; and how wide comments and prose are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::source;

/// Every file of code below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
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
    let files: Vec<_> = files(&source("src")).into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(files.len() > 5, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(told(&text), declared(&text), "{}", path.display());
    }
}

/// rustfmt looks after the code alone.
#[test]
fn comments_and_prose_are_no_wider_than_the_code() {
    const COLUMNS: usize = 120;
    let prose = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(source);
    let code = ["src", "tests", "benches"].iter().flat_map(|dir| files(&source(dir)));
    for path in prose.into_iter().chain(code) {
        let is_code = path.extension().is_some_and(|extension| extension == "rs");
        let (text, mut in_block) = (fs::read_to_string(&path).unwrap(), false);
        for (line, number) in text.lines().zip(1..) {
            let start = line.trim_start();
            in_block ^= start.starts_with("```");
            let is_prose = if is_code { start.starts_with("//") } else { !in_block };
            // The row of a table cannot be broken.
            let is_row = start.trim_start_matches(['/', '!', ' ']).starts_with('|');
            assert!(!is_prose || is_row || line.chars().count() <= COLUMNS, "{}:{number}: {line}", path.display());
        }
    }
}
