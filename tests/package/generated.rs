//! `completions/` and `man/` are what the binary prints; `KVRED_REWRITE=1` writes them anew.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{kvred, source};

const HOW: &str = "KVRED_REWRITE=1 cargo test --test package generated";

/// The scripts, by the names under which each shell looks for them.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "kvred.bash"),
    ("zsh", "_kvred"),
    ("fish", "kvred.fish"),
    ("elvish", "kvred.elv"),
    ("powershell", "_kvred.ps1"),
];

fn files_in(dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeMap::new() };
    entries
        .map(|entry| {
            let entry = entry.expect("an entry can be read");
            let text = std::fs::read_to_string(entry.path()).expect("generated files are text");
            (entry.file_name().into_string().expect("their names too"), text)
        })
        .collect()
}

/// Compares a folder with what it should hold, or makes it so.
fn compare(folder: &str, want: &BTreeMap<String, String>) {
    let dir = source(folder);
    if std::env::var_os("KVRED_REWRITE").is_some_and(|v| !v.is_empty()) {
        std::fs::create_dir_all(&dir).expect("the folder can be made");
        for name in files_in(&dir).keys().filter(|name| !want.contains_key(*name)) {
            std::fs::remove_file(dir.join(name)).expect("a stale file can be removed");
        }
        for (name, text) in want {
            std::fs::write(dir.join(name), text).expect("a file can be written");
        }
    }
    let have = files_in(&dir);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&have), names(want), "{folder}/ has other files than it should; run: {HOW}");
    for (name, text) in want {
        let differs = have[name].lines().zip(text.lines()).position(|(have, want)| have != want);
        let line = differs.unwrap_or_else(|| have[name].lines().count().min(text.lines().count())) + 1;
        assert!(have[name] == *text, "{folder}/{name} is stale from line {line} on; run: {HOW}");
    }
}

#[test]
fn completions_are_those_of_this_source() {
    let scripts = SHELLS.map(|(shell, file)| (file.to_owned(), kvred(&["completions", shell])));
    compare("completions", &BTreeMap::from(scripts));
}

#[test]
fn man_pages_are_those_of_this_source() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().join("made/if/missing");
    kvred(&["man", path.to_str().expect("a temporary path is text")]);
    compare("man", &files_in(&path));
}
