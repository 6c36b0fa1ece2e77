//! Tab: commands, their subcommands and options, keys that were seen, and the session's own words.

use std::collections::BTreeSet;

use rustyline::Context;
use rustyline::completion::{Completer, Pair};

use super::helper::{ReplHelper, command_words, last_command};
use super::local;
use crate::cli::words::{self, Word};
use crate::protocol::quote::quoted_text;

/// Keys that are offered at a time, besides the last.
const MAX_OFFERED: usize = 200;

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
        // What there is of an escape is no part of what is typed, and has to fit as well.
        let spelled = word.filter(|word| word.ends_in_escape(command)).map_or("", |word| &command[word.start..]);
        let mut candidates = self.candidates(command_words(before), typed, spelled);
        candidates.retain(|pair| pair.replacement.starts_with(spelled));
        if let [only] = candidates.as_mut_slice() {
            only.replacement.push(' ');
        }
        Ok((start, candidates))
    }
}

impl ReplHelper {
    fn candidates(&self, before: &[Word], typed: &[u8], spelled: &str) -> Vec<Pair> {
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
            return pick(names().chain(local::names().map(str::to_owned)), typed);
        }
        let Some((doc, call, depth)) = self.call(before) else {
            return self.seen(typed, spelled);
        };
        if depth == before.len() && !doc.subcommands.is_empty() {
            return pick(doc.subcommands.keys().cloned(), typed);
        }
        let mut found =
            if typed.is_empty() && call.key_next { Vec::new() } else { pick(call.options.into_iter(), typed) };
        if call.key_next || !call.fits {
            found.extend(self.seen(typed, spelled));
        }
        found
    }

    fn seen(&self, typed: &[u8], spelled: &str) -> Vec<Pair> {
        let begins = self.keys.range(typed.to_vec()..).take_while(|key| key.starts_with(typed));
        let mut keys = begins.filter(|key| spelled.is_empty() || typed_as(key).starts_with(spelled));
        let first: Vec<_> = keys.by_ref().take(MAX_OFFERED).collect();
        // They are sorted: what the first and the last begin with, all do.
        let offered = first.into_iter().chain(keys.last());
        offered.map(|key| typed_as(key)).map(|word| Pair { display: word.clone(), replacement: word }).collect()
    }
}

/// A key as one types it: in quotes where it needs them, and text in any language as it is.
fn typed_as(key: &[u8]) -> String {
    let mut out = Vec::new();
    quoted_text(&mut out, key);
    String::from_utf8(out).expect("what is no text is quoted, which leaves printable ASCII")
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

#[cfg(test)]
mod tests {
    use rustyline::completion::longest_common_prefix;

    use super::super::helper::tests::helper;
    use super::*;

    fn completed(line: &str) -> Vec<String> {
        completed_by(&helper(false), line)
    }

    fn completed_by(helper: &ReplHelper, line: &str) -> Vec<String> {
        let history = rustyline::history::MemHistory::new();
        let (start, pairs) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
        pairs.into_iter().map(|pair| format!("{}{}", &line[..start], pair.replacement)).collect()
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
        assert_eq!(completed("help conn"), ["help connect "]);
        assert!(completed("help @").contains(&"help @string".to_owned()));
        assert!(completed("get nothing-like-it").is_empty());
        assert_eq!(completed("get a\nexis"), ["get a\nexists "]);
    }

    #[test]
    fn what_all_keys_begin_with_is_not_that_of_the_first_alone() {
        let mut helper = helper(false);
        for n in 0..2 * MAX_OFFERED {
            helper.remember(format!("k:alice:{n}").as_bytes());
        }
        helper.remember(b"k:bob:1");
        let offered = helper.seen(b"k:", "");
        assert!(offered.len() <= MAX_OFFERED + 1);
        assert_eq!(longest_common_prefix(&offered), Some("k:"));
        assert_eq!(longest_common_prefix(&helper.seen(b"k:a", "")), Some("k:alice:"));
    }

    #[test]
    fn keys_that_differ_within_an_escape_are_still_told_apart_there() {
        let mut helper = helper(false);
        for key in ["a\x01", "a\x02", "a\\b", "abc"] {
            helper.remember(key.as_bytes());
        }
        let (first, second) = (r#"get "a\x01""#, r#"get "a\x02""#);
        for typed in [r#"get "a\x"#, r#"get "a\x0"#] {
            assert_eq!(completed_by(&helper, typed), [first, second], "{typed}");
        }
        assert_eq!(completed_by(&helper, r#"get "a\x02"#), [format!("{second} ")]);
        assert_eq!(completed_by(&helper, r#"get "a\x1"#), [""; 0]);
        assert_eq!(completed_by(&helper, r#"get "a\\"#), [r#"get "a\\b" "#]);
        // In single quotes a backslash begins no escape.
        helper.remember(b"z\\y");
        assert_eq!(completed_by(&helper, r"get 'z\"), [r#"get "z\\y" "#]);
        // Neither of the two is the only one, however many stand before them.
        for n in 0..2 * MAX_OFFERED {
            helper.remember(format!("a{n:03}").as_bytes());
        }
        helper.remember(b"a\xfe");
        helper.remember(b"a\xff");
        assert_eq!(completed_by(&helper, r#"get "a\xf"#), [r#"get "a\xfe""#, r#"get "a\xff""#]);
    }

    #[test]
    fn text_stays_as_it_is_in_any_language() {
        let mut helper = helper(false);
        for key in ["größe", "größe der Tür", "größe's", "größe\u{85}", "größe\u{202e}", "ключ"] {
            helper.remember(key.as_bytes());
        }
        helper.remember(b"gr\xc3\xb6\xff");
        assert_eq!(
            completed_by(&helper, "get grö"),
            [
                "größe",
                "\"größe der Tür\"",
                "\"größe's\"",
                "\"größe\\xc2\\x85\"",
                "\"größe\\xe2\\x80\\xae\"",
                "\"grö\\xff\""
            ]
            .map(|key| format!("get {key}"))
        );
        assert_eq!(completed_by(&helper, "get \"größe d"), ["get \"größe der Tür\" "]);
        assert_eq!(completed_by(&helper, "get к"), ["get ключ "]);
    }
}
