//! Hints: what is missing behind what is typed, or wrong with it.

use rustyline::Context;
use rustyline::hint::{Hint, Hinter};
use unicode_width::UnicodeWidthStr;

use super::helper::{ReplHelper, command_words, last_command};
use super::local;
use crate::cli::words::{self, Word};
use crate::terminal::size;

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
        let is_open = words.last()?.open.is_some();
        let room = size().0.saturating_sub(self.end_of(line) + 1);
        if command.contains('\n') && is_open {
            // Within a string there is nothing to say, but to who wonders why nothing was sent.
            let asks = command.ends_with('\n');
            return if asks { fit("(a quote is open; Ctrl-C gives up)", room).map(ArgHint) } else { None };
        }
        let finished = command.ends_with(char::is_whitespace) && !is_open;
        let text = self.hint_text(words, finished)?;
        let gap = if finished { "" } else { " " };
        fit(&format!("{gap}{text}"), room).map(ArgHint)
    }

    fn hint_text(&self, words: &[Word], finished: bool) -> Option<String> {
        let name = words.first()?;
        if let Some((_, usage, _)) = std::str::from_utf8(&name.value).ok().and_then(local::word) {
            return (words.len() == 1 && !usage.is_empty()).then(|| usage.to_owned());
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

#[cfg(test)]
mod tests {
    use super::super::helper::tests::helper;
    use super::*;

    fn hint(line: &str) -> String {
        let history = rustyline::history::MemHistory::new();
        let hint = helper(false).hint(line, line.len(), &Context::new(&history));
        hint.map(|hint| hint.0).unwrap_or_default()
    }

    #[test]
    fn hints_say_what_comes_next() {
        for (line, want) in [
            ("get", " key"),
            ("get ", "key"),
            ("get k", ""),
            ("g", ""),
            ("2", ""),
            ("2 ", ""),
            ("2 get ", "key"),
            ("get k\n", ""),
            ("# get ", ""),
            ("set k \"one\n", "(a quote is open; Ctrl-C gives up)"),
            ("set k \"one\ntwo", ""),
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
}
