//! What the flags of `kvred bench` take.

use std::str::FromStr;

use clap::ValueEnum;

use crate::args::cli::seconds;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Test {
    /// PING
    Ping,
    /// SET of keys in the key space
    Set,
    /// GET of keys that are there
    Get,
    /// EXISTS of keys that are there
    Exists,
    /// DEL of keys that are there, each once
    Del,
}

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Distribution {
    /// Each as often as any other
    Uniform,
    /// A few very often (exponent 0.99, as in YCSB)
    Zipf,
    /// One after the other
    Sequential,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// For people, at most 80 columns
    Table,
    /// One object
    Json,
    /// A line for each test
    Csv,
}

/// How many bytes a value has: from, to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSize(pub u32, pub u32);

impl FromStr for DataSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// What Redis and kvred take unless told otherwise.
        const MOST: u64 = 512 << 20;
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let size = |text: &str| match text.parse::<crate::args::Size>() {
            Ok(size) if size.0 <= MOST => Ok(size.0 as u32),
            Ok(_) => Err("a value has at most 512mb".to_owned()),
            Err(_) => Err(format!("'{text}' is not a size; give bytes, for instance 64, 4kb or 16-1024")),
        };
        let (from, to) = (size(from)?, size(to)?);
        if from > to { Err("the range ends before it begins".to_owned()) } else { Ok(Self(from, to)) }
    }
}

/// So many SETs to so many GETs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(set, get)| Some((set.parse().ok()?, get.parse().ok()?)));
        match parts {
            Some((set, get)) if (set, get) != (0, 0) && set <= 1_000_000 && get <= 1_000_000 => Ok(Self(set, get)),
            _ => Err("give SETs and GETs, for instance 1:10".to_owned()),
        }
    }
}

/// A number of things, with `k` and `M`.
fn any_count(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1000),
        (at, 'm' | 'M') => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|&n| n <= 1 << 50)
}

pub(super) fn count(text: &str) -> Result<u64, String> {
    any_count(text)
        .filter(|&n| n > 0)
        .ok_or_else(|| "give a number above 0, for instance 100000, 100k or 5M".to_owned())
}

pub(super) fn count_or_none(text: &str) -> Result<u64, String> {
    any_count(text).ok_or_else(|| "give a number, for instance 10000 or 10k".to_owned())
}

/// As many as twelve digits can name.
pub(super) fn keyspace(text: &str) -> Result<u64, String> {
    count(text).and_then(|n| if n <= 1_000_000_000_000 { Ok(n) } else { Err("at most 1000000000000 keys".to_owned()) })
}

pub(super) fn some_seconds(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|s| if s > 0.0 { Ok(s) } else { Err("give more than 0 seconds".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sizes_and_ratios_are_read() {
        assert_eq!(count("100k"), Ok(100_000));
        assert_eq!(count("5M"), Ok(5_000_000));
        for text in ["", "0", "-1", "k", "1.5k", "99999999999999999999", "5kk", "1 k", "é"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!("64".parse(), Ok(DataSize(64, 64)));
        assert_eq!("16-1kb".parse(), Ok(DataSize(16, 1024)));
        assert_eq!("0-3".parse(), Ok(DataSize(0, 3)));
        for text in ["", "9-1", "x", "-", "1gb", "1-2-3", "0..3"] {
            assert!(text.parse::<DataSize>().is_err(), "{text}");
        }
        assert_eq!("1:10".parse(), Ok(Ratio(1, 10)));
        for text in ["", "1", "0:0", "a:b", "1:2:3", "-1:2"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }
}
