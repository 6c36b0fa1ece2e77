//! Command lines: splitting them into words, and finding the words of a line that is still being typed.

use crate::protocol::decode::{ProtocolError, split_words};

/// Splits a line into its words, unquoted.
///
/// # Errors
/// A quote is open, or something stands directly behind a closing one.
pub(crate) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut line = line.to_vec();
    let mut spans = Vec::new();
    split_words(&mut line, |from, to| spans.push((from, to)))?;
    Ok(spans.into_iter().map(|(from, to)| line[from..to].to_vec()).collect())
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
    /// Whether it stands in quotes, or would have to.
    pub(crate) fn is_quoted(&self, line: &str) -> bool {
        line[self.start..self.end].contains(['"', '\''])
    }
}

/// Finds the words of a line as it stands; an open quote takes the rest of it.
pub(crate) fn scan(line: &str) -> Vec<Word> {
    let bytes = line.as_bytes();
    let is_space = |c: u8| c.is_ascii_whitespace() || c == 0x0b;
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while at < bytes.len() && is_space(bytes[at]) {
            at += 1;
        }
        if at == bytes.len() {
            return words;
        }
        let start = at;
        let mut open = None;
        while at < bytes.len() && !is_space(bytes[at]) {
            let c = bytes[at];
            at += 1;
            if matches!(c, b'"' | b'\'') {
                let behind = closing(bytes, at, c);
                open = behind.is_none().then_some(char::from(c));
                at = behind.unwrap_or(bytes.len());
            }
        }
        let text = &line[start..at];
        let closed = open.map_or_else(|| text.to_owned(), |quote| close(text, quote));
        let value = split(closed.as_bytes()).ok().and_then(|mut words| words.pop());
        words.push(Word { start, end: at, value: value.unwrap_or_else(|| text.as_bytes().to_vec()), open });
    }
}

/// The quote that a line leaves open.
pub(crate) fn open_quote(line: &str) -> Option<char> {
    scan(line).last().and_then(|word| word.open)
}

/// Splits what was typed or pasted into commands: a newline outside quotes ends one.
pub(crate) fn commands(input: &str) -> Vec<&str> {
    let words = scan(input);
    let inside = |at: usize| words.iter().any(|word| word.start < at && at < word.end);
    let mut from = 0;
    let mut out = Vec::new();
    for (at, _) in input.match_indices('\n').filter(|&(at, _)| !inside(at)) {
        out.push(&input[from..at]);
        from = at + 1;
    }
    out.push(&input[from..]);
    out.retain(|command| !command.trim().is_empty());
    out
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

/// Closes an open quote; a backslash at the very end would escape it, and is left out.
fn close(text: &str, quote: char) -> String {
    let trimmed = text.trim_end_matches('\\');
    let odd = (text.len() - trimmed.len()) % 2 == 1;
    format!("{}{quote}", if odd { &text[..text.len() - 1] } else { text })
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
            ("", None),
        ] {
            assert_eq!(open_quote(line), open, "{line}");
        }
    }

    #[test]
    fn pasted_lines_are_commands_of_their_own() {
        assert_eq!(commands("set a 1\nset b 'x\ny'\n\nget b"), ["set a 1", "set b 'x\ny'", "get b"]);
        assert_eq!(commands("  \n"), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn scan_and_split_agree(line in r#"[a "'\\x\n]{0,16}"#) {
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
