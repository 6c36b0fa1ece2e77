//! Glob patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! The rules are those of `stringmatchlen` in Redis's `util.c`, odd corners included. Unlike it, a pattern full of
//! stars costs at most pattern times subject steps: only the last star is ever tried again.

/// Says whether `subject` matches `pattern`, letter case included.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
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
        } else if let Some(len) = match_one(&pattern[p..], subject[s]) {
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

/// Says whether `subject` matches `pattern` in any letter case.
pub fn matches_ignoring_case(pattern: &[u8], subject: &[u8]) -> bool {
    // Ranges compare lower-case letters with each other, as Redis does.
    matches(&pattern.to_ascii_lowercase(), &subject.to_ascii_lowercase())
}

/// Matches one byte against the first element of `pattern`, and returns that element's length if it fits.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => match_class(pattern, byte),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Matches a class; one that is never closed ends with the pattern.
fn match_class(pattern: &[u8], byte: u8) -> Option<usize> {
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
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
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

    #[test]
    fn letter_case_can_be_ignored() {
        assert!(matches_ignoring_case(b"CLIENT|[A-I]*", b"client|id"));
        assert!(!matches_ignoring_case(b"CLIENT|[A-H]*", b"client|id"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let subject = vec![b'a'; 10_000];
        let pattern = b"a*".repeat(200);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &subject));
    }
}
