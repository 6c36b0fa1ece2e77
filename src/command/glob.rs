//! Glob patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! The rules are those of `stringmatchlen` in Redis's `util.c`, odd corners included. Unlike it, a pattern full of
//! stars costs at most pattern times subject steps: only the last star is ever tried again.

use std::ffi::c_char;

/// Says whether `subject` matches `pattern`, letter case included.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    matches_folded(pattern, subject, char_of_c)
}

/// Says whether `subject` matches `pattern` in any letter case, but for what is escaped in a class.
pub fn matches_ignoring_case(pattern: &[u8], subject: &[u8]) -> bool {
    matches_folded(pattern, subject, |byte| match byte {
        // To glibc's `tolower` this is no letter but the end of a file; all other bytes lose their sign there.
        0xff => char_of_c(byte),
        _ => byte.to_ascii_lowercase().into(),
    })
}

/// What C makes of a byte, and ranges compare: where its `char` has a sign, as on x86, 0xff comes before 0.
fn char_of_c(byte: u8) -> i32 {
    i32::from(byte as c_char)
}

fn matches_folded(pattern: &[u8], subject: &[u8], fold: impl Fn(u8) -> i32 + Copy) -> bool {
    if subject.is_empty() {
        // Redis takes a lone star without looking, and its loop never begins on an empty subject.
        return pattern.is_empty() || pattern == b"*";
    }
    let (mut p, mut s) = (0, 0);
    // After a star: where its rest begins, and how much of the subject it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, s));
        } else if s == subject.len() {
            return p == pattern.len();
        } else if let Some(len) = match_one(&pattern[p..], subject[s], fold) {
            p += len;
            s += 1;
        } else if let Some((rest, taken)) = star {
            (p, s) = (rest, taken + 1);
            star = Some((rest, s));
        } else {
            return false;
        }
    }
}

/// Matches one byte against the first element of `pattern`, and returns that element's length if it fits.
fn match_one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> i32) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => match_class(pattern, byte, fold),
        [b'\\', escaped, ..] => (fold(*escaped) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// Matches a class; one that is never closed ends with the pattern.
fn match_class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> i32) -> Option<usize> {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match &pattern[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                // Redis puts the ends in order before it folds them: in any letter case, `[Z-a]` is an empty range.
                let (from, to) = if char_of_c(*from) > char_of_c(*to) { (to, from) } else { (from, to) };
                found |= (fold(*from)..=fold(*to)).contains(&fold(byte));
                at += 3;
            }
            [literal, ..] => {
                found |= fold(*literal) == fold(byte);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was tried with `KEYS` of redis-server 8.0.6.
    #[test]
    fn patterns_match_as_in_redis() {
        let cases: [(&str, &str, bool); 29] = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "aab", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("h[ae]llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("[a\\]]x", "]x", true),
            ("[]x", "]x", false),
            ("[abc", "b", true),
            ("[^", "b", true),
            ("[", "[", false),
            ("[a-", "-", true),
            ("[a-]", "b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[\\", "\\", true),
            ("A", "a", false),
            ("a\0*", "a\0b", true),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), subject.as_bytes()), expected, "{pattern:?} {subject:?}");
        }
    }

    /// These too, on x86.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn ranges_compare_bytes_with_a_sign() {
        let cases: [(&[u8], &[u8], bool); 7] = [
            (b"[\x01-\xff]*", b"m", false),
            (b"[\x01-\xff]*", b"\0", true),
            (b"[m-\xff]", b"a", true),
            (b"[m-\xff]", b"z", false),
            (b"[\xff-m]", b"\xff", true),
            (b"[\xc3-\xc5]", b"\xc4", true),
            (b"[^\x80-\x7f]", b"\xc4", false),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(matches(pattern, subject), expected, "{} {}", pattern.escape_ascii(), subject.escape_ascii());
        }
        // A sign that is lost after the ends were put in order leaves nothing between them.
        assert!(!matches_ignoring_case(b"[\xc1-o]", b"e"));
        assert!(matches_ignoring_case(b"[\xff-o]", b"e"));
    }

    /// Each line was tried with `COMMAND LIST FILTERBY PATTERN` of redis-server 8.0.6.
    #[test]
    fn letter_case_can_be_ignored() {
        let cases = [
            ("CLIENT|[A-I]*", "client|id", true),
            ("CLIENT|[A-H]*", "client|id", false),
            ("[G]\\ET", "get", true),
            ("[\\G]et", "get", false),
            ("[\\g]ET", "get", true),
            ("[Z-a]et", "get", false),
            ("[z-A]et", "get", true),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(
                matches_ignoring_case(pattern.as_bytes(), subject.as_bytes()),
                expected,
                "{pattern:?} {subject:?}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let subject = vec![b'a'; 10_000];
        let pattern = b"a*".repeat(200);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &subject));
    }
}
