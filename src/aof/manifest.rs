//! The manifest of a multi-part log, as Redis and Valkey from 7.0 on write it: one `file NAME seq N type T` a line.

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The state that the others go on from.
    Base,
    /// What was appended since.
    Incremental,
    /// Not needed any more, about to be deleted.
    History,
}

/// A part, as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its file, in the manifest's directory.
    pub(super) name: String,
    /// What it is.
    pub(super) kind: Kind,
}

/// Whether a file is a manifest rather than a log.
pub(super) fn is_manifest(name: &str, beginning: &[u8]) -> bool {
    name.ends_with(".manifest") || beginning.starts_with(b"file ")
}

/// Reads a manifest.
///
/// # Errors
/// The line that is not understood, and why.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(n, line)| parse_line(line).ok_or_else(|| format!("line {} is not understood: {line:?}", n + 1)))
        .collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let words = words(line)?;
    let field = |name: &str| {
        let at = words.iter().step_by(2).position(|word| word == name)?;
        words.get(2 * at + 1)
    };
    let kind = match field("type")?.as_str() {
        "b" => Kind::Base,
        "i" => Kind::Incremental,
        "h" => Kind::History,
        _ => return None,
    };
    // A part lies beside its manifest; Redis refuses paths too.
    let name = field("file")?;
    (!name.is_empty() && !name.contains('/')).then(|| Entry { name: name.clone(), kind })
}

/// Splits a line at blanks; a name with blanks stands in double quotes.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let word;
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            (word, rest) = (&quoted[..end], &quoted[end + 1..]);
        } else {
            (word, rest) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        }
        words.push(word.to_owned());
        rest = rest.trim_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_redis_8_is_read() {
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n\
                    file \"my log.aof.2.incr.aof\" seq 2 type i startoffset 0\n";
        let entries = parse(text).unwrap();
        let got: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind)).collect();
        assert_eq!(
            got,
            [
                ("appendonly.aof.2.base.rdb", Kind::Base),
                ("appendonly.aof.1.incr.aof", Kind::History),
                ("my log.aof.2.incr.aof", Kind::Incremental),
            ]
        );
    }

    #[test]
    fn what_is_not_a_manifest_is_named_by_line() {
        for text in ["file a seq 1 type x", "file ../a seq 1 type b", "nonsense", "file \"a seq 1 type b"] {
            assert!(parse(&format!("# comment\n{text}\n")).unwrap_err().starts_with("line 2"), "{text}");
        }
    }
}
