//! What the editor is given, and what completion, hints and colours all ask of it: which command a line is about, and
//! how far it has come. Here too: an open quote goes on in the next line.

use std::cell::Cell;
use std::collections::BTreeSet;

use rustyline::Helper;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use super::call::{Call, follow};
use super::catalog::{Catalog, CommandDoc};
use super::local;
use crate::cli::words::{self, Word};
use crate::terminal::Paint;

/// Keys that completion remembers; the oldest are not known, so past this no more are taken.
const MAX_KEYS: usize = 20_000;

/// What the editor knows.
#[derive(Debug, Clone)]
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
    pub(super) fn is_unknown(&self, name: &[u8], finished: bool) -> bool {
        let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
        let mut names = self.catalog.iter().map(|doc| doc.name.as_str()).chain(local::names());
        self.catalog.complete
            && !names.any(|known| {
                let known = known.to_ascii_uppercase();
                if finished { known == upper } else { known.starts_with(&upper) }
            })
    }

    /// The call of a line, its repeat count left out, if the server knows the command.
    pub(super) fn call(&self, words: &[Word]) -> Option<(&CommandDoc, Call, usize)> {
        let values: Vec<Vec<u8>> = words.iter().map(|word| word.value.clone()).collect();
        let (doc, depth) = self.catalog.find(&values)?;
        Some((doc, follow(&doc.args, &values[depth..]), depth))
    }
}

/// The words of the command itself, behind a repeat count; a number alone is one that is being typed.
pub(super) fn command_words(words: &[Word]) -> &[Word] {
    match words {
        [count, rest @ ..] if is_count(&count.value) => rest,
        _ => words,
    }
}

/// Whether a word before a command says how often that is to run.
pub(super) fn is_count(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// The command at the end of what is edited, and where it begins: pasted text may hold several.
pub(super) fn last_command(line: &str) -> (usize, &str) {
    match words::commands(line).last() {
        Some(command) if line.ends_with(command) => (line.len() - command.len(), command),
        _ => (line.len(), ""),
    }
}

impl Validator for ReplHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let open = words::open_quote(context.input()).is_some();
        Ok(if open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for ReplHelper {}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A helper that knows kvred's commands and two keys.
    pub(in crate::cli::repl) fn helper(paint: bool) -> ReplHelper {
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
}
