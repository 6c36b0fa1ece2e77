//! Man pages: what `clap_mangen` makes of the flags, and the sections that it does not know.

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::text::{Entry, Note, Text};
use crate::args::Cli;

/// One page.
#[derive(Debug)]
pub struct Page {
    /// `kvred-aof-check.1`
    pub file_name: String,
    /// Its source.
    pub roff: String,
}

/// The pages of all commands, nested ones too; the overview is the first.
pub fn pages() -> Vec<Page> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add(&root, &[], &mut pages);
    pages
}

/// The name of a command's page: `kvred-aof-check`.
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn add(command: &Command, above: &[&Command], pages: &mut Vec<Page>) {
    pages.push(page(command, above));
    let path = [above, &[command]].concat();
    for nested in command.get_subcommands() {
        add(nested, &path, pages);
    }
}

fn page(command: &Command, above: &[&Command]) -> Page {
    let text = command.get_after_long_help().map(|text| Text::read(&text.to_string())).unwrap_or_default();
    let man = Man::new(command.clone())
        .title(page_name(command).to_uppercase())
        .source(concat!("kvred ", env!("CARGO_PKG_VERSION")))
        .manual("kvred")
        // Quoted, since the fields behind it count by their place; and no date, so that a page changes with its text.
        .date("\"\"");
    let mut page = Vec::new();
    let made = (|| {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        synopsis(command).to_writer(&mut page)?;
        man.render_description_section(&mut page)?;
        notes(&text).to_writer(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        list("ENVIRONMENT", &environment(command, &text)).to_writer(&mut page)?;
        list("EXIT STATUS", &text.exit_status).to_writer(&mut page)?;
        list("FILES", &text.files).to_writer(&mut page)?;
        examples(&text.examples).to_writer(&mut page)?;
        see_also(command, above).to_writer(&mut page)
    })();
    made.expect("writing to memory does not fail");
    let roff = without_repeated_preambles(&String::from_utf8(page).expect("all of it was text"));
    Page { file_name: man.get_filename(), roff }
}

/// Each section comes with the definition of the apostrophe that a page needs once.
fn without_repeated_preambles(roff: &str) -> String {
    const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    format!("{PREAMBLE}{}", roff.replace(PREAMBLE, ""))
}

/// `clap_mangen`'s has no names of values, and does not say what may come several times.
fn synopsis(command: &Command) -> Roff {
    let mut line = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let (positionals, flags): (Vec<&Arg>, Vec<&Arg>) = command.get_arguments().partition(|arg| arg.is_positional());
    for arg in flags.into_iter().chain(positionals) {
        let long = arg.get_long().map(|long| format!("--{long}"));
        let names = arg.get_short().map(|short| format!("-{short}")).into_iter().chain(long);
        let values = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
        let values = values.iter().map(|value| italic(value.as_str()));
        let words: Vec<Inline> = names.map(bold).collect();
        let between = if words.is_empty() || values.len() == 0 { "" } else { " " };
        line.push(roman(if arg.is_required_set() { " <" } else { " [" }));
        line.extend(separated(words, "|").chain([roman(between)]).chain(separated(values, " ")));
        line.push(roman(if arg.is_required_set() { ">" } else { "]" }));
        if matches!(arg.get_action(), ArgAction::Append) && arg.get_value_delimiter().is_none() {
            line.push(roman("..."));
        }
    }
    if command.has_subcommands() {
        let (before, after) = if command.is_subcommand_required_set() { (" <", ">") } else { (" [", "]") };
        line.extend([roman(before), italic("COMMAND"), roman(after)]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text(line);
    roff
}

fn separated(words: impl IntoIterator<Item = Inline>, by: &'static str) -> impl Iterator<Item = Inline> {
    words.into_iter().enumerate().flat_map(move |(at, word)| (at > 0).then(|| roman(by)).into_iter().chain([word]))
}

fn notes(text: &Text) -> Roff {
    let mut roff = Roff::new();
    for note in &text.notes {
        roff.control("PP", []);
        match note {
            Note::Paragraph(paragraph) => {
                roff.text([roman(paragraph)]);
            }
            Note::List { heading, entries } => {
                roff.text([roman(heading)]);
                add_entries(&mut roff, entries);
            }
        }
    }
    roff
}

/// The variables of the flags, and those that the help names besides.
fn environment(command: &Command, text: &Text) -> Vec<Entry> {
    let of_flags = command.get_arguments().filter_map(|flag| {
        let term = flag.get_env()?.to_string_lossy().into_owned();
        let meaning = format!("the same as --{}, which comes before it", flag.get_long()?);
        Some(Entry { term, meaning })
    });
    let others = text.environment.iter().map(|e| Entry { term: e.term.clone(), meaning: e.meaning.clone() });
    let all: Vec<Entry> = of_flags.chain(others).collect();
    if all.is_empty() { vec![Entry { term: "None of its own.".to_owned(), meaning: String::new() }] } else { all }
}

fn list(heading: &str, entries: &[Entry]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    add_entries(&mut roff, entries);
    roff
}

fn add_entries(roff: &mut Roff, entries: &[Entry]) {
    for entry in entries {
        if entry.meaning.is_empty() {
            roff.control("PP", []);
            roff.text([roman(&entry.term)]);
        } else {
            roff.control("TP", []);
            roff.text([bold(&entry.term)]);
            roff.text([roman(&entry.meaning)]);
        }
    }
}

/// Each example under what it shows: beside it there is no room on a page.
fn examples(entries: &[Entry]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for entry in entries {
        roff.control("PP", []);
        if !entry.meaning.is_empty() {
            let colon = if entry.meaning.ends_with('?') { "" } else { ":" };
            roff.text([roman(format!("{}{colon}", entry.meaning))]);
        }
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        roff.text([bold(&entry.term)]);
        roff.control("fi", []);
        roff.control("RE", []);
    }
    roff
}

/// The pages above, beside and below.
fn see_also(command: &Command, above: &[&Command]) -> Roff {
    let nested = |c: &Command| -> Vec<String> { c.get_subcommands().map(|c| page_name(c).to_owned()).collect() };
    let mut names: Vec<String> = above.iter().map(|c| page_name(c).to_owned()).collect();
    names.extend(above.last().map(|parent| nested(parent)).unwrap_or_default());
    names.extend(nested(command));
    names.retain(|name| name != page_name(command));
    let mut line: Vec<Inline> = Vec::new();
    for name in names {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([italic(name), roman("(1)")]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text(line);
    roff
}
