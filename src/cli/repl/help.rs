//! `help`: of the session, of a group of commands, of one command.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::catalog::{Catalog, CommandDoc};
use super::local::{self, Settings};
use crate::terminal::{Paint, Style, size, wrap};

/// The text for `help` with these words behind it.
pub(crate) fn text(words: &[Vec<u8>], catalog: &Catalog, settings: &Settings) -> String {
    let paint = settings.printer.paint;
    let words: Vec<String> = words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    match words.first().map(String::as_str) {
        None => general(catalog, settings),
        Some(":set" | "set:") => settings.list(),
        Some(group) if group.starts_with('@') => of_group(&group[1..], catalog, paint),
        Some(name) => match (local::word(name), catalog.find(&words)) {
            (Some((name, usage, what)), _) => {
                let synopsis = format!("{name} {usage}");
                let what = wrap(what, 6, size().0);
                format!("  {}\n      {what}\n", paint.text(Style::Strong, synopsis.trim_end()))
            }
            (None, Some((doc, _))) => of_command(doc, paint),
            (None, None) => format!("no help for '{name}'{}\n", similar(name, catalog)),
        },
    }
}

fn general(catalog: &Catalog, settings: &Settings) -> String {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for doc in catalog.iter().filter(|doc| !doc.group.is_empty()) {
        *groups.entry(&doc.group).or_default() += 1;
    }
    let groups: Vec<String> = groups.iter().map(|(name, count)| format!("@{name} ({count})")).collect();
    format!(
        "  COMMAND ARG ...     send a command; in \"...\" there are \\n \\r \\t \\xHH, and an\n\
         \x20                     open quote goes on in the next line\n\
         \x20 N COMMAND ...       send it N times\n\
         \x20 help COMMAND        what a command does\n\
         \x20 help @GROUP         the commands of a group\n\
         \x20 connect HOST PORT   talk to another server; also a URI, or a socket's path\n\
         \x20 clear               clear the screen\n\
         \x20 quit                leave, as Ctrl-D does\n\
         Tab completes, Ctrl-R searches the history, Ctrl-C clears the line or stops\n\
         waiting. Settings:\n{}Groups: {}\n",
        settings.list(),
        wrap(&groups.join(" "), 8, size().0)
    )
}

fn of_group(group: &str, catalog: &Catalog, paint: Paint) -> String {
    let mut out = String::new();
    for doc in catalog.iter().filter(|doc| doc.group.eq_ignore_ascii_case(group)) {
        entry(&mut out, doc, paint);
    }
    if out.is_empty() { format!("there is no group '@{group}'; `help` lists them\n") } else { out }
}

fn entry(out: &mut String, doc: &CommandDoc, paint: Paint) {
    let columns = size().0;
    // What goes on in the next line stands apart from the summary.
    let synopsis = wrap(&doc.synopsis(), 10, columns);
    let line = format!("  {}\n      {}\n", paint.text(Style::Strong, &synopsis), wrap(&doc.summary, 6, columns));
    out.push_str(&line);
}

fn of_command(doc: &CommandDoc, paint: Paint) -> String {
    let mut out = String::new();
    entry(&mut out, doc, paint);
    for (name, value) in [("since", &doc.since), ("group", &doc.group), ("cost", &doc.complexity)] {
        if !value.is_empty() {
            let line = wrap(&format!("{name}: {value}"), 8, size().0);
            writeln!(out, "      {line}").expect("a string takes all text");
        }
    }
    if let Some(other) = &doc.replaced_by {
        writeln!(out, "      deprecated; use {other}").expect("a string takes all text");
    }
    for sub in doc.subcommands.values() {
        entry(&mut out, sub, paint);
    }
    out
}

fn similar(name: &str, catalog: &Catalog) -> String {
    let upper = name.to_ascii_uppercase();
    let near: Vec<&str> =
        catalog.iter().map(|doc| doc.name.as_str()).filter(|known| known.contains(&upper)).take(5).collect();
    if near.is_empty() { String::new() } else { format!("; there is {}", near.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, Printer};

    #[test]
    fn help_finds_commands_groups_and_settings() {
        let catalog = Catalog::own();
        let settings = Settings::new(Printer { format: Format::Pretty, paint: Paint(false), newline: true });
        let help = |line: &str| {
            let words: Vec<Vec<u8>> = line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
            text(&words, &catalog, &settings)
        };
        assert!(help("get").starts_with("  GET key\n      Returns"), "{}", help("get"));
        assert!(help("client id").starts_with("  CLIENT ID\n"));
        assert!(help("CONNECT").starts_with("  connect HOST PORT, or a URI\n      Talks to"), "{}", help("CONNECT"));
        assert!(help("quit").starts_with("  quit\n      Leaves"));
        assert!(help("client").contains("CLIENT SETNAME connection-name"));
        assert!(help("@string").contains("SET key value") && !help("@string").contains("DEL"));
        assert!(help("@nonsense").contains("no group"));
        assert!(help("exist").contains("there is EXISTS"));
        assert!(help("").contains("@string") && help("").contains(":set output"));
        assert!(help("").lines().all(|line| line.len() <= 80), "{}", help(""));
        assert!(help("@generic").lines().all(|line| line.len() <= 80), "{}", help("@generic"));
    }
}
