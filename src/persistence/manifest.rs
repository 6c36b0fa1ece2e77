//! The manifest of a multi-part log, as Redis and Valkey from 7.0 on write it: one `file NAME seq N type T` a line.
//!
//! What they refuse is refused here: its parts would be loaded in an order that they never had.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::lock::follow_links;
use super::real_disk::parent;
use crate::protocol::words::split_words;

/// The longest line that Redis takes, its newline included; it reads a longer one as several.
const LINE_BYTES_MAX: usize = 1024;

/// A manifest is a few lines; more than this is something else.
const BYTES_MAX: u64 = 1 << 20;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The state that the others go on from.
    Base,
    /// What was appended since.
    Incremental,
    /// Not needed any more, about to be deleted.
    History,
}

/// A line.
struct Entry {
    name: Vec<u8>,
    seq: i64,
    kind: Kind,
}

/// Whether a file is a manifest rather than a log, by its name and its first five bytes.
pub fn is_manifest(name: &str, beginning: &[u8]) -> bool {
    name.ends_with(".manifest") || matches!(beginning, [word @ .., b' ' | b'\t'] if is(word, "file"))
}

/// The names of the parts that a manifest lists, in the order in which they are loaded; or why they are not to be had.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> io::Result<Result<Vec<OsString>, String>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Ok(Err("it is longer than 1 MiB".to_owned()));
    }
    Ok(parse(&text))
}

/// The manifest that lists a file at a place that is wanted, of so many, beside it or beside what it is a link to.
///
/// # Errors
/// A directory cannot be read, or the link leads nowhere.
pub fn that_lists(file: &Path, wanted: impl Fn(usize, usize) -> bool) -> io::Result<Option<PathBuf>> {
    for file in [file, &follow_links(file)?] {
        for entry in std::fs::read_dir(parent(file))? {
            let path = entry?.path();
            // One that Redis would not load lists nothing.
            if path.extension().is_some_and(|extension| extension == "manifest")
                && path.is_file()
                && let Ok(Ok(parts)) = read(&path)
                && (0..).zip(&parts).any(|(n, part)| Some(&**part) == file.file_name() && wanted(n, parts.len()))
            {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// The parts' names, the base first wherever it stands; or the line that is not understood, and why.
fn parse(text: &[u8]) -> Result<Vec<OsString>, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (mut base, mut incremental, mut last_seq) = (None, Vec::new(), 0);
    let lines = (1..).zip(text.split_inclusive(|&c| c == b'\n'));
    for (n, line) in lines.flat_map(|(n, line)| line.chunks(LINE_BYTES_MAX).map(move |line| (n, line))) {
        if line.starts_with(b"#") {
            continue;
        }
        let Entry { name, seq, kind } = parse_line(line).map_err(|why| format!("line {n} {why}"))?;
        match kind {
            Kind::History => {}
            Kind::Base if base.is_some() => return Err(format!("line {n} names a second base")),
            Kind::Base => base = Some(OsString::from_vec(name)),
            Kind::Incremental if seq <= last_seq => {
                return Err(format!("line {n} has seq {seq} behind seq {last_seq}: it is repeated or out of order"));
            }
            Kind::Incremental => {
                incremental.push(OsString::from_vec(name));
                last_seq = seq;
            }
        }
    }
    Ok(base.into_iter().chain(incremental).collect())
}

fn parse_line(line: &[u8]) -> Result<Entry, String> {
    let Some(line) = line.strip_suffix(b"\n").filter(|line| !line.contains(&0)) else {
        return Err("does not end, has a NUL byte, or is longer than 1,024 bytes".to_owned());
    };
    let shown = String::from_utf8_lossy(line);
    let not_understood = || format!("is no `file NAME seq N type T`: {shown:?}");
    let words = words(line).ok_or_else(not_understood)?;
    // Of a field that is there twice, the last one counts, as in Redis.
    let field = |name: &str| {
        let (_, value) = words.as_chunks().0.iter().map(|[key, value]| (key, value)).rfind(|(key, _)| is(key, name))?;
        Some(value)
    };
    let (Some(name), Some(seq), Some(kind)) = (field("file"), field("seq"), field("type")) else {
        return Err(not_understood());
    };
    let kind = match kind.first() {
        Some(b'b') => Kind::Base,
        Some(b'i') => Kind::Incremental,
        Some(b'h') => Kind::History,
        _ => return Err(not_understood()),
    };
    let seq = leading_number(seq);
    if seq == 0 || name.is_empty() {
        return Err(not_understood());
    }
    if name.iter().any(|c| b"/\\".contains(c)) {
        return Err(format!("names a path, but a part lies beside its manifest: {shown:?}"));
    }
    Ok(Entry { name: name.clone(), seq, kind })
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// The words of a line, unquoted; `None` if they are no pairs.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut line, mut spans) = (line.to_vec(), Vec::new());
    split_words(&mut line, |from, to| spans.push(from..to)).ok()?;
    let words: Vec<_> = spans.into_iter().map(|span| line[span].to_vec()).collect();
    words.len().is_multiple_of(2).then_some(words)
}

/// The number that a word begins with, 0 if there is none: Redis reads it with `atoll`.
fn leading_number(word: &[u8]) -> i64 {
    let (sign, digits) = match word.trim_ascii_start() {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let digits = digits.iter().take_while(|c| c.is_ascii_digit());
    sign * digits.fold(0i64, |n, c| n.saturating_mul(10).saturating_add(i64::from(c - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "file a.1.base.aof seq 1 type b\n";
    const FIRST: &str = "file a.1.incr.aof seq 1 type i\n";
    const SECOND: &str = "file a.2.incr.aof seq 2 type i\n";

    #[test]
    fn a_manifest_of_redis_8_is_read() {
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n\
                    file \"my log.aof.2.incr.aof\" seq 2 type i startoffset 0\n";
        assert_eq!(parse(text.as_bytes()).unwrap(), ["appendonly.aof.2.base.rdb", "my log.aof.2.incr.aof"]);
    }

    #[test]
    fn the_base_is_loaded_first_wherever_it_stands() {
        let parts = parse(format!("{FIRST}# comment\n{SECOND}{BASE}").as_bytes()).unwrap();
        assert_eq!(parts, ["a.1.base.aof", "a.1.incr.aof", "a.2.incr.aof"]);
    }

    #[test]
    fn names_are_unquoted_as_redis_does_and_any_white_space_stands_between_words() {
        for (line, name) in [
            ("file \"\\xc3\\xa4 \\\"\" seq 1 type b", "ä \""),
            ("file 'a \\' b' seq 1 type b", "a ' b"),
            ("file\ta\tseq\t1\ttype\tb\r", "a"),
            (" FILE z file a seq 1 other x Type b ", "a"),
        ] {
            assert_eq!(parse(format!("{line}\n").as_bytes()).unwrap(), [name], "{line}");
        }
        assert_eq!(parse(b"file \"\\xff\" seq 1 type b\n").unwrap(), [OsString::from_vec(vec![0xff])]);
    }

    #[test]
    fn what_redis_refuses_is_refused_by_line() {
        let long = format!("file a seq 1 type b x {}", "y".repeat(1024));
        for line in [
            "file a seq 1 type x",
            "file ../a seq 1 type b",
            "file a\\b seq 1 type b",
            "nonsense",
            "file \"a seq 1 type b",
            "file \"a\"b seq 1 type b",
            "file \"\" seq 1 type b",
            "file a type b",
            "file a seq x type b",
            "file a seq 0 type b",
            "file a seq 1 type \"\"",
            "file a seq 1 type b foo",
            "file a seq 1 type b\0",
            "",
            "  ",
            " # comment",
            &long,
        ] {
            let why = parse(format!("# comment\n{line}\n").as_bytes()).unwrap_err();
            assert!(why.starts_with("line 2 "), "{line}: {why}");
        }
        let refused = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(refused(&format!("{BASE}{SECOND}{FIRST}")).contains("line 3 has seq 1 behind seq 2"));
        assert!(refused(&format!("{BASE}{FIRST}{FIRST}")).contains("line 3 has seq 1 behind seq 1"));
        assert!(refused(&format!("{BASE}{FIRST}{BASE}")).contains("line 3 names a second base"));
        assert!(refused(&format!("{BASE}{}", FIRST.trim_end())).contains("line 2 does not end"));
        assert!(refused("").contains("empty"));
    }

    #[test]
    fn what_redis_takes_is_taken() {
        let longest = format!("file a seq 1 type b x {}\n", "y".repeat(1024 - 23));
        assert_eq!(longest.len(), 1024);
        for (text, parts) in [
            ("# comment", 0),
            ("file a seq 1 type h\n", 0),
            ("file a seq -1 type h\nfile b seq 7 type i\n", 1),
            ("file a seq 1x type base\nfile b seq +3 type i\nfile c seq 99999999999999999999 type i\n", 3),
            (&longest, 1),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|parts| parts.len()), Ok(parts), "{text}");
        }
    }
}
