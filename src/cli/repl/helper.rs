//! What happens while one types: completion, hints, colours, and open quotes that go on in the next line.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use unicode_width::UnicodeWidthStr;

use super::call::{Call, follow};
use super::catalog::{Catalog, CommandDoc};
use super::local;
use crate::cli::output::quote_if_needed;
use crate::cli::terminal::{Paint, Style, size};
use crate::cli::words::{self, Word};

/// Keys that completion remembers; the oldest are not known, so past this no more are taken.
const MAX_KEYS: usize = 20_000;

/// Keys that are offered at a time.
const MAX_OFFERED: usize = 200;

/// What the editor knows.
#[derive(Debug)]
pub(crate) struct ReplHelper {
    pub(crate) catalog: Catalog,
    pub(crate) keys: BTreeSet<Vec<u8>>,
    pub(crate) paint: Paint,
    pub(crate) hints: bool,
    /// The columns that the prompt takes.
    pub(crate) prompt_columns: usize,
    /// Where on its line the hint begins that is shown now.
    pub(crate) hint_at: Cell<Option<usize>>,
}

impl ReplHelper {
    /// Remembers a key for completion.
    pub(crate) fn remember(&mut self, key: &[u8]) {
        if self.keys.len() < MAX_KEYS && !key.is_empty() && key.len() <= 512 {
            self.keys.insert(key.to_vec());
        }
    }

    /// The keys of a call.
    pub(crate) fn keys_of<'a>(&self, command: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
        let Some((doc, depth)) = self.catalog.find(command) else {
            return Vec::new();
        };
        follow(&doc.args, &command[depth..]).keys.into_iter().map(|i| &command[depth + i][..]).collect()
    }

    /// Whether no command begins like this.
    fn is_unknown(&self, name: &[u8], finished: bool) -> bool {
        let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
        let mut names = self.catalog.iter().map(|doc| doc.name.as_str()).chain(local::NAMES.iter().copied());
        self.catalog.complete
            && !names.any(|known| {
                let known = known.to_ascii_uppercase();
                if finished { known == upper } else { known.starts_with(&upper) }
            })
    }

    /// The call of a line, its repeat count left out, if the server knows the command.
    fn call(&self, words: &[Word]) -> Option<(&CommandDoc, Call, usize)> {
        let values: Vec<Vec<u8>> = words.iter().map(|word| word.value.clone()).collect();
        let (doc, depth) = self.catalog.find(&values)?;
        Some((doc, follow(&doc.args, &values[depth..]), depth))
    }
}

/// The words of the command itself, behind a repeat count.
fn command_words(words: &[Word]) -> &[Word] {
    match words {
        [count, rest @ ..] if !rest.is_empty() && count.value.iter().all(u8::is_ascii_digit) => rest,
        _ => words,
    }
}

/// The last line of what is edited: pasted text may hold several commands.
fn last_command(line: &str) -> (usize, &str) {
    match words::commands(line).last() {
        Some(command) if !line.ends_with('\n') || words::open_quote(line).is_some() => {
            (command.as_ptr() as usize - line.as_ptr() as usize, command)
        }
        _ => (line.len(), ""),
    }
}

impl Completer for ReplHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (offset, command) = last_command(&line[..pos]);
        let all = words::scan(command);
        let at_word = all.last().is_some_and(|word| word.end == command.len());
        let (before, word) = if at_word { all.split_at(all.len() - 1) } else { (&all[..], &[][..]) };
        let word = word.first();
        let start = offset + word.map_or(command.len(), |word| word.start);
        let typed = word.map_or(&b""[..], |word| &word.value);
        let before = match before {
            [count, rest @ ..] if count.value.iter().all(u8::is_ascii_digit) => rest,
            _ => before,
        };
        let mut candidates = self.candidates(before, typed);
        if let [only] = candidates.as_mut_slice() {
            only.replacement.push(' ');
        }
        Ok((start, candidates))
    }
}

impl ReplHelper {
    fn candidates(&self, before: &[Word], typed: &[u8]) -> Vec<Pair> {
        let words: Vec<&str> = before.iter().map(|w| std::str::from_utf8(&w.value).unwrap_or_default()).collect();
        let names = || self.catalog.iter().map(|doc| doc.name.clone());
        if let Some(fixed) = local::completions(&words) {
            let also = if words.len() == 1 && words[0].eq_ignore_ascii_case("help") {
                let groups: BTreeSet<String> = self.catalog.iter().map(|doc| format!("@{}", doc.group)).collect();
                names().chain(groups).collect()
            } else {
                Vec::new()
            };
            return pick(fixed.into_iter().chain(also), typed);
        }
        if before.is_empty() {
            return pick(names().chain(local::NAMES.iter().map(|&name| name.to_owned())), typed);
        }
        let Some((doc, call, depth)) = self.call(before) else {
            return self.seen(typed);
        };
        if depth == before.len() && !doc.subcommands.is_empty() {
            return pick(doc.subcommands.keys().cloned(), typed);
        }
        let mut found =
            if typed.is_empty() && call.key_next { Vec::new() } else { pick(call.options.into_iter(), typed) };
        if call.key_next || !call.fits {
            found.extend(self.seen(typed));
        }
        found
    }

    fn seen(&self, typed: &[u8]) -> Vec<Pair> {
        let keys = self.keys.range(typed.to_vec()..).take_while(|key| key.starts_with(typed)).take(MAX_OFFERED);
        keys.map(|key| quote_if_needed(key)).map(|word| Pair { display: word.clone(), replacement: word }).collect()
    }
}

/// The words that begin like `typed`, in its letter case.
fn pick(words: impl Iterator<Item = String>, typed: &[u8]) -> Vec<Pair> {
    let upper = typed.iter().any(u8::is_ascii_uppercase);
    let cased = |word: String| if upper { word.to_ascii_uppercase() } else { word.to_ascii_lowercase() };
    let fits = |word: &String| word.len() >= typed.len() && word.as_bytes()[..typed.len()].eq_ignore_ascii_case(typed);
    let mut found: Vec<String> = words.filter(fits).map(cased).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|word| Pair { display: word.clone(), replacement: word }).collect()
}

/// A hint: shown, never inserted.
#[derive(Debug)]
pub(crate) struct ArgHint(String);

impl Hint for ArgHint {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for ReplHelper {
    type Hint = ArgHint;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<ArgHint> {
        let hint = self.hint_for(line, pos);
        self.hint_at.set(hint.is_some().then(|| self.end_of(line)));
        hint
    }
}

impl ReplHelper {
    /// The column at which the last line of what is typed ends, if it does not wrap.
    fn end_of(&self, line: &str) -> usize {
        let last_line = line.rsplit('\n').next().unwrap_or_default();
        let prompt = if last_line.len() == line.len() { self.prompt_columns } else { 0 };
        prompt + last_line.width()
    }

    fn hint_for(&self, line: &str, pos: usize) -> Option<ArgHint> {
        if !self.hints || pos < line.len() {
            return None;
        }
        let (_, command) = last_command(line);
        let all = words::scan(command);
        let words = command_words(&all);
        if command.contains('\n') && words.last()?.open.is_some() {
            // Within a string there is nothing to say.
            return None;
        }
        let finished = command.ends_with(char::is_whitespace) && words.last()?.open.is_none();
        let text = self.hint_text(words, finished)?;
        let gap = if finished { "" } else { " " };
        let room = size().0.saturating_sub(self.end_of(line) + 1);
        fit(&format!("{gap}{text}"), room).map(ArgHint)
    }

    fn hint_text(&self, words: &[Word], finished: bool) -> Option<String> {
        let name = words.first()?;
        if let Some(usage) = local::usage(&name.value) {
            return (words.len() == 1).then(|| usage.to_owned()).filter(|usage| !usage.is_empty());
        }
        if self.is_unknown(&name.value, finished || words.len() > 1) {
            return Some("(unknown command)".to_owned());
        }
        let (doc, call, depth) = self.call(words)?;
        if !doc.subcommands.is_empty() && depth == 1 && doc.args.is_empty() {
            let unknown = words.get(1).is_some_and(|word| {
                let upper = String::from_utf8_lossy(&word.value).to_ascii_uppercase();
                !doc.subcommands.keys().any(|name| name.starts_with(&upper))
            });
            return match (words.len(), unknown) {
                (1, _) => Some("<subcommand>".to_owned()),
                (_, true) => Some("(unknown subcommand)".to_owned()),
                _ => None,
            };
        }
        (call.fits && !call.missing.is_empty()).then(|| call.missing.join(" "))
    }
}

/// Cuts a hint to the room on its line: one that wraps would push what is typed about.
fn fit(hint: &str, room: usize) -> Option<String> {
    if hint.width() <= room {
        return Some(hint.to_owned());
    }
    let cut: String = hint.chars().take(room.saturating_sub(3)).collect();
    (!cut.trim().is_empty()).then(|| cut + "...")
}

impl Highlighter for ReplHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.paint.0 {
            return Cow::Borrowed(line);
        }
        let mut out = String::with_capacity(line.len() + 64);
        let mut at = 0;
        for command in words::commands(line) {
            let offset = command.as_ptr() as usize - line.as_ptr() as usize;
            let all = words::scan(command);
            let skipped = all.len() - command_words(&all).len();
            let known = self.call(command_words(&all));
            for (i, word) in all.iter().enumerate() {
                let (start, end) = (offset + word.start, offset + word.end);
                let style = match i.checked_sub(skipped) {
                    None => Some(Style::Number),
                    Some(0) => Some(self.name_style(word, i + 1 < all.len() || word.end < command.len())),
                    Some(i) => argument_style(word, i, command, known.as_ref()),
                };
                out.push_str(&line[at..start]);
                match style {
                    Some(style) => out.push_str(&self.paint.text(style, &line[start..end])),
                    None => out.push_str(&line[start..end]),
                }
                at = end;
            }
        }
        out.push_str(&line[at..]);
        Cow::Owned(out)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.paint.text(Style::Hint, hint))
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.paint.0
    }
}

impl ReplHelper {
    fn name_style(&self, word: &Word, finished: bool) -> Style {
        if self.is_unknown(&word.value, finished) { Style::Error } else { Style::Command }
    }
}

fn argument_style(word: &Word, i: usize, line: &str, known: Option<&(&CommandDoc, Call, usize)>) -> Option<Style> {
    if word.is_quoted(line) {
        return Some(if word.open.is_some() { Style::Error } else { Style::String });
    }
    let (doc, _, depth) = known?;
    if i < *depth {
        return Some(Style::Command);
    }
    has_token(&doc.args, &word.value).then_some(Style::Option)
}

fn has_token(args: &[super::catalog::ArgDoc], word: &[u8]) -> bool {
    let is_token = |token: &String| token.as_bytes().eq_ignore_ascii_case(word);
    args.iter().any(|arg| arg.token.as_ref().is_some_and(is_token) || has_token(&arg.args, word))
}

impl Validator for ReplHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let open = words::open_quote(context.input()).is_some();
        Ok(if open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for ReplHelper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(paint: bool) -> ReplHelper {
        let mut catalog = Catalog::own();
        catalog.complete = true;
        let mut helper = ReplHelper {
            catalog,
            keys: BTreeSet::new(),
            paint: Paint(paint),
            hints: true,
            prompt_columns: 16,
            hint_at: Cell::new(None),
        };
        helper.remember(b"user:1");
        helper.remember(b"user 2");
        helper
    }

    fn completed(line: &str) -> Vec<String> {
        let history = rustyline::history::MemHistory::new();
        let (start, pairs) = helper(false).complete(line, line.len(), &Context::new(&history)).unwrap();
        pairs.into_iter().map(|pair| format!("{}{}", &line[..start], pair.replacement)).collect()
    }

    fn hint(line: &str) -> String {
        let history = rustyline::history::MemHistory::new();
        let hint = helper(false).hint(line, line.len(), &Context::new(&history));
        hint.map(|hint| hint.0).unwrap_or_default()
    }

    #[test]
    fn tab_completes_what_can_stand_there() {
        assert_eq!(completed("ge"), ["get "]);
        assert_eq!(completed("GE"), ["GET "]);
        assert_eq!(completed("3 ge"), ["3 get "]);
        assert_eq!(completed("client no-e"), ["client no-evict "]);
        assert_eq!(completed("get us"), ["get \"user 2\"", "get user:1"]);
        assert_eq!(completed("get \"user "), ["get \"user 2\" "]);
        assert_eq!(completed("scan 0 ma"), ["scan 0 match "]);
        assert_eq!(completed("client no-evict "), ["client no-evict off", "client no-evict on"]);
        assert_eq!(completed(":set out"), [":set output "]);
        assert_eq!(completed(":set output j"), [":set output json "]);
        assert_eq!(completed("help sca"), ["help scan "]);
        assert!(completed("help @").contains(&"help @string".to_owned()));
        assert!(completed("get nothing-like-it").is_empty());
        assert_eq!(completed("get a\nexis"), ["get a\nexists "]);
    }

    #[test]
    fn hints_say_what_comes_next() {
        for (line, want) in [
            ("get", " key"),
            ("get ", "key"),
            ("get k", ""),
            ("g", ""),
            ("2 get ", "key"),
            ("foo", " (unknown command)"),
            ("foo bar", " (unknown command)"),
            ("ge bar", " (unknown command)"),
            ("client", " <subcommand>"),
            ("client nonsense", " (unknown subcommand)"),
            ("scan 0 ", "[MATCH pattern] [COUNT count] [TYPE type]"),
            ("connect ", "HOST PORT, or a URI"),
            ("", ""),
        ] {
            assert_eq!(hint(line), want, "{line:?}");
        }
    }

    #[test]
    fn a_hint_stays_on_its_line() {
        assert_eq!(fit("key value", 9).unwrap(), "key value");
        assert_eq!(fit("key value", 8).unwrap(), "key v...");
        assert_eq!(fit(" key", 2), None);
    }

    #[test]
    fn colours_mark_commands_strings_options_and_what_is_unknown() {
        let helper = helper(true);
        let shown = |line: &str| helper.highlight(line, 0).into_owned();
        assert_eq!(shown("get k"), "\x1b[1;32mget\x1b[0m k");
        assert_eq!(shown("foo k"), "\x1b[31mfoo\x1b[0m k");
        assert_eq!(shown("fo"), "\x1b[31mfo\x1b[0m");
        assert_eq!(shown("ge"), "\x1b[1;32mge\x1b[0m");
        assert_eq!(shown("scan 0 match 'x'"), "\x1b[1;32mscan\x1b[0m 0 \x1b[35mmatch\x1b[0m \x1b[33m'x'\x1b[0m");
        assert_eq!(shown("get 'x"), "\x1b[1;32mget\x1b[0m \x1b[31m'x\x1b[0m");
    }
}
