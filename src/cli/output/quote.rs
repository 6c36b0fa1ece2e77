//! Quoting: bytes as a double-quoted word that scripts, sessions and inline commands read back exactly.

use std::io::Write;

/// Appends `bytes` in double quotes, as Redis's `sdscatrepr` writes them.
pub(crate) fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &c in bytes {
        match c {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', c]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(c),
            _ => write!(out, "\\x{c:02x}").expect("a vector takes all bytes"),
        }
    }
    out.push(b'"');
}

/// One word for a command line: as it is where that is read back as the same, else in quotes.
pub(crate) fn quote_if_needed(bytes: &[u8]) -> String {
    let plain = |c: &u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'\'');
    let mut out = Vec::new();
    if !bytes.is_empty() && bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
    } else {
        quote(&mut out, bytes);
    }
    String::from_utf8(out).expect("quoting leaves printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::words::split;
    use proptest::prelude::*;

    #[test]
    fn quoting_is_that_of_redis_cli() {
        for (bytes, want) in [
            (&b""[..], r#""""#),
            (b"plain", r#""plain""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\n\r\t\x07\x08", r#""\n\r\t\a\b""#),
            (b"\x00\x1b\x7f\xff", r#""\x00\x1b\x7f\xff""#),
            ("é".as_bytes(), r#""\xc3\xa9""#),
        ] {
            let mut out = Vec::new();
            quote(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        assert_eq!(quote_if_needed(b"user:1"), "user:1");
        assert_eq!(quote_if_needed(b"a b"), "\"a b\"");
        assert_eq!(quote_if_needed(b""), "\"\"");
    }

    proptest! {
        #[test]
        fn what_was_quoted_is_read_back(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4)) {
            let line = words.iter().map(|w| quote_if_needed(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(line.as_bytes()).unwrap(), words);
        }
    }
}
