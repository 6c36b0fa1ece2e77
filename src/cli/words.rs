//! Command lines: splitting them into words, and finding the words of a line that is still being typed.

use thiserror::Error;

use crate::protocol::words::{ends_word, is_space, split_words};

/// A line that is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unbalanced quotes, or text directly behind a closing one")]
pub(crate) struct LineError;

/// Splits a line into its words, unquoted.
///
/// # Errors
/// [`LineError`]
pub(crate) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, LineError> {
    let mut line = line.to_vec();
    let mut spans = Vec::new();
    split_in_place(&mut line, &mut spans)?;
    Ok(spans.into_iter().map(|(from, to)| line[from..to].to_vec()).collect())
}

/// Unquotes the words of a line in place, and appends where each lies.
///
/// # Errors
/// [`LineError`]
pub(crate) fn split_in_place(line: &mut [u8], words: &mut Vec<(usize, usize)>) -> Result<(), LineError> {
    split_words(line, |from, to| words.push((from, to))).map_err(|_| LineError)
}

/// Whether a line is a comment.
pub(crate) fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"#")
}

/// A word of a line that may be unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it starts, its quote included.
    pub(crate) start: usize,
    /// One past its end, its closing quote included.
    pub(crate) end: usize,
    /// The word unquoted, as far as it goes.
    pub(crate) value: Vec<u8>,
    /// The quote that is still open.
    pub(crate) open: Option<char>,
}

impl Word {
    /// Whether it ends within an escape of double quotes. In single ones nothing is missing: a backslash there is one,
    /// unless a quote follows.
    pub(crate) fn ends_in_escape(&self, line: &str) -> bool {
        let text = &line[self.start..self.end];
        self.open == Some('"') && whole(text, '"') != text
    }

    /// Whether it stands in quotes, or would have to.
    pub(crate) fn is_quoted(&self, line: &str) -> bool {
        line[self.start..self.end].contains(['"', '\''])
    }
}

/// Finds the words of a line as it stands; an open quote takes the rest of it.
pub(crate) fn scan(line: &str) -> Vec<Word> {
    let (mut words, mut at) = (Vec::new(), 0);
    while at < line.len() {
        at = scan_command(line, at, &mut words);
    }
    words
}

/// Finds the words up to a newline outside quotes, or to the end: the position behind that.
fn scan_command(text: &str, mut at: usize, words: &mut Vec<Word>) -> usize {
    let bytes = text.as_bytes();
    loop {
        while at < bytes.len() && is_space(bytes[at]) {
            at += 1;
            if bytes[at - 1] == b'\n' {
                return at;
            }
        }
        if at == bytes.len() {
            return at;
        }
        let start = at;
        let mut open = None;
        while at < bytes.len() && !ends_word(bytes[at]) {
            let c = bytes[at];
            at += 1;
            if matches!(c, b'"' | b'\'') {
                let behind = closing(bytes, at, c);
                open = behind.is_none().then_some(char::from(c));
                at = behind.unwrap_or(bytes.len());
                if bytes.get(at).copied().is_some_and(is_space) {
                    break;
                }
            }
        }
        let word = &text[start..at];
        let closed = open.map_or_else(|| word.to_owned(), |quote| close(word, quote));
        let value = split(closed.as_bytes()).ok().and_then(|mut words| words.pop());
        words.push(Word { start, end: at, value: value.unwrap_or_else(|| word.as_bytes().to_vec()), open });
    }
}

/// The quote that the input leaves open.
pub(crate) fn open_quote(input: &str) -> Option<char> {
    pieces(input).last().and_then(|piece| piece.open)
}

/// Splits what was typed or pasted into commands: a newline outside quotes ends one, and comments are none.
pub(crate) fn commands(input: &str) -> Vec<&str> {
    pieces(input).filter(|piece| !piece.is_comment && !piece.text.trim().is_empty()).map(|piece| piece.text).collect()
}

/// Splits as [`commands`] does, comments among them.
pub(crate) fn commands_and_comments(input: &str) -> impl Iterator<Item = &str> {
    pieces(input).map(|piece| piece.text)
}

/// A part of the input that ends with it, or with a newline, which is left out.
struct Piece<'a> {
    text: &'a str,
    is_comment: bool,
    open: Option<char>,
}

fn pieces(input: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = input;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut words = Vec::new();
        let is_comment = is_comment(rest.split('\n').next().unwrap_or_default().as_bytes());
        let end = if is_comment {
            rest.find('\n').map_or(rest.len(), |at| at + 1)
        } else {
            scan_command(rest, 0, &mut words)
        };
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        let open = words.last().and_then(|word: &Word| word.open);
        let text = if open.is_none() { piece.strip_suffix('\n').unwrap_or(piece) } else { piece };
        Some(Piece { text, is_comment, open })
    })
}

/// The position behind the quote that closes at or after `at`.
fn closing(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' || bytes.get(at + 1) == Some(&b'\'') => at += 2,
            c if c == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Closes an open quote, behind what is whole of the text.
fn close(text: &str, quote: char) -> String {
    format!("{}{quote}", whole(text, quote))
}

/// Text in an open quote without the escape at its very end, if more is to come of that: a backslash alone would escape
/// the quote, and `\x` with less than two digits would be the letters as they stand.
fn whole(text: &str, quote: char) -> &str {
    let hex = text.strip_suffix(|c: char| c.is_ascii_hexdigit()).unwrap_or(text);
    let ends = [Some(text), text.strip_suffix('x'), hex.strip_suffix('x')];
    // In single quotes there is no `\x`.
    let ends = if quote == '"' { &ends[..] } else { &ends[..1] };
    let mut begins = ends.iter().flatten().filter_map(|end| end.strip_suffix('\\'));
    // Behind a backslash that begins one, another is the byte that is escaped.
    let is_one = |before: &&str| (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2);
    begins.find(is_one).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unfinished_lines_have_words_too() {
        let words = scan(r#"set "a b" 'c"#);
        let got: Vec<_> = words.iter().map(|w| (w.start, w.end, &w.value[..], w.open)).collect();
        assert_eq!(got, [(0, 3, &b"set"[..], None), (4, 9, b"a b", None), (10, 12, b"c", Some('\''))]);
        for (line, open) in [
            ("get k", None),
            ("get \"k", Some('"')),
            ("get \"k\\\"", Some('"')),
            ("get \"k\\\\\"", None),
            ("get 'k\\'", Some('\'')),
            ("get \"a\"b", None),
            ("# it's", None),
            ("# it's\nget 'k", Some('\'')),
            ("", None),
        ] {
            assert_eq!(open_quote(line), open, "{line}");
        }
    }

    #[test]
    fn pasted_lines_are_commands_of_their_own() {
        assert_eq!(commands("set a 1\nset b 'x\ny'\n\nget b"), ["set a 1", "set b 'x\ny'", "get b"]);
        assert_eq!(commands("  \n"), Vec::<&str>::new());
        assert_eq!(commands("# it's\nget a\n  # b"), ["get a"]);
        assert_eq!(commands("set a 'x\n"), ["set a 'x\n"]);
    }

    proptest! {
        #[test]
        fn scan_and_split_agree(line in r#"[a "'\\x\n\x0b\x0c]{0,16}"#) {
            if let Ok(words) = split(line.as_bytes()) {
                let scanned = scan(&line);
                prop_assert!(scanned.iter().all(|w| w.open.is_none()));
                prop_assert_eq!(scanned.into_iter().map(|w| w.value).collect::<Vec<_>>(), words);
            }
        }

        #[test]
        fn an_open_quote_is_an_error_until_it_is_closed(line in r#"[a "'\\]{0,12}"#) {
            if open_quote(&line).is_some() {
                prop_assert!(split(line.as_bytes()).is_err());
            }
        }
    }
}
