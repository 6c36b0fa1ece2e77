//! Numbers as text: decimal integers in exactly one spelling, as Redis's `string2ll` reads them; bytes and counts for
//! people.

/// What hexadecimal numbers are written with.
pub const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Reads a whole string as a decimal integer: no sign but `-`, no leading zeros, no spaces, nothing behind it.
///
/// A number has one spelling, so a record that was read and written again is the same bytes.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let magnitude = match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => parse_digits(digits)?,
        _ => return None,
    };
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

fn parse_digits(digits: &[u8]) -> Option<u64> {
    /// Digits of `u64::MAX`; more cannot fit.
    const MAX_DIGITS: usize = 20;
    if digits.len() > MAX_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &c| {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Bytes for people, as Redis's `bytesToHuman` and `redis-cli` have them: `1023B`, `1.50M`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

/// `1 key`, `2 keys`.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {}", plural(noun)) }
}

/// `keys` of `key`, `bytes of memory` of `byte of memory`.
pub fn plural(noun: &str) -> String {
    let (head, of) = noun.split_at(noun.find(" of ").unwrap_or(noun.len()));
    match head {
        "entry" => format!("entries{of}"),
        _ if head.ends_with("batch") => format!("{head}es{of}"),
        _ => format!("{head}s{of}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, human, parse_i64};

    #[test]
    fn nouns_agree_with_their_number() {
        for (number, noun, want) in [
            (1, "batch", "1 batch"),
            (2, "batch", "2 batches"),
            (3, "checksummed batch", "3 checksummed batches"),
            (0, "key", "0 keys"),
            (1, "entry", "1 entry"),
            (3, "entry", "3 entries"),
            (1, "byte of memory", "1 byte of memory"),
            (1000, "byte of memory", "1000 bytes of memory"),
            (2, "more range", "2 more ranges"),
        ] {
            assert_eq!(counted(number, noun), want);
        }
    }

    #[test]
    fn bytes_are_given_in_the_unit_that_fits() {
        for (bytes, want) in [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1 << 30, "1.00G"), (u64::MAX, "16384.00P")]
        {
            assert_eq!(human(bytes), want);
        }
    }

    #[test]
    fn one_spelling_for_each_number() {
        for (text, want) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("100000000000000000000000", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), want, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_number_is_read_back(n: i64) {
            assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
        }
    }
}
