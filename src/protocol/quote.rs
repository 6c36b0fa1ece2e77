//! Bytes as words of a line, which [`words`](super::words) reads back to the same bytes: quoted as Redis's `sdscatrepr`
//! does.

use super::number::HEX_DIGITS;

/// Appends a word: bare if nothing in it needs quotes, else in double quotes.
pub fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() && bytes.iter().copied().all(is_bare) {
        out.extend_from_slice(bytes);
    } else {
        quote(out, bytes);
    }
}

/// The same, but readable UTF-8 beyond ASCII stays as it is, in quotes or not.
pub fn quoted_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let bare = |c: char| readable(c) || u8::try_from(c).is_ok_and(is_bare);
    if str::from_utf8(bytes).is_ok_and(|text| !text.is_empty() && text.chars().all(bare)) {
        return out.extend_from_slice(bytes);
    }
    let mut utf8 = [0; 4];
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let utf8 = c.encode_utf8(&mut utf8).as_bytes();
            if readable(c) { out.extend_from_slice(utf8) } else { all_escaped(out, utf8) }
        }
        all_escaped(out, chunk.invalid());
    }
    out.push(b'"');
}

/// Whether a character beyond ASCII shows as itself, and leaves those beside it as they are.
fn readable(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_ascii() && !c.is_control() && !format
}

/// Whether a byte needs no quotes, wherever in a word it is.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:/@+,=%~^{}[]()<>!?*$&|;".contains(&byte)
}

/// Appends a word in double quotes.
pub fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    all_escaped(out, bytes);
    out.push(b'"');
}

fn all_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        escaped(out, byte);
    }
}

/// Appends one byte of a word in double quotes.
pub fn escaped(out: &mut Vec<u8>, byte: u8) {
    let digit = |half: u8| HEX_DIGITS[usize::from(half)];
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x07 => out.extend_from_slice(b"\\a"),
        0x08 => out.extend_from_slice(b"\\b"),
        b' '..=b'~' => out.push(byte),
        _ => out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::decode::RequestDecoder;
    use crate::protocol::limits::RequestLimits;
    use proptest::prelude::*;

    #[test]
    fn quoting_is_that_of_redis_cli() {
        for (bytes, text) in [
            (&b"user:1"[..], "user:1"),
            (b"", r#""""#),
            (b"a b", r#""a b""#),
            (b"#a", r##""#a""##),
            (b"\n\r\t\x07\x08", r#""\n\r\t\a\b""#),
            (b"\x00\xff\x1b\x7f\"\\'", r#""\x00\xff\x1b\x7f\"\\'""#),
            ("é".as_bytes(), r#""\xc3\xa9""#),
        ] {
            let mut out = Vec::new();
            quoted(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        let mut out = Vec::new();
        quote(&mut out, b"user:1");
        assert_eq!(out, b"\"user:1\"");
    }

    fn read(mut line: Vec<u8>) -> Vec<Vec<u8>> {
        line.extend_from_slice(b"\r\n");
        let mut spans = Vec::new();
        let mut decoder = RequestDecoder::new(RequestLimits::new(1 << 20));
        decoder.decode(&mut line, 0, &mut spans).unwrap().unwrap();
        spans[1..].iter().map(|s| s.of(&line).to_vec()).collect()
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5)) {
            for quoted in [quoted, quoted_text] {
                let mut line = b"X".to_vec();
                for arg in &args {
                    line.push(b' ');
                    quoted(&mut line, arg);
                }
                prop_assert_eq!(&read(line), &args);
            }
        }

        #[test]
        fn text_that_is_quoted_is_read_back(text in "\\PC{0,9}|[ö \"'\\\\\u{85}a]{0,9}") {
            let mut line = b"X ".to_vec();
            quoted_text(&mut line, text.as_bytes());
            prop_assert_eq!(read(line), [text.into_bytes()]);
        }
    }
}
