//! Colours: commands, options and strings, and what no command begins like.

use std::borrow::Cow;

use rustyline::highlight::{CmdKind, Highlighter};

use super::call::Call;
use super::catalog::{ArgDoc, CommandDoc};
use super::helper::{ReplHelper, command_words};
use crate::cli::words::{self, Word};
use crate::terminal::Style;

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

fn has_token(args: &[ArgDoc], word: &[u8]) -> bool {
    let is_token = |token: &String| token.as_bytes().eq_ignore_ascii_case(word);
    args.iter().any(|arg| arg.token.as_ref().is_some_and(is_token) || has_token(&arg.args, word))
}

#[cfg(test)]
mod tests {
    use rustyline::highlight::Highlighter;

    use super::super::helper::tests::helper;

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
