//! What kvred answers otherwise than Redis 8, and why; the README lists the same.

use std::collections::BTreeSet;

use super::requests::{Request, offers};
use crate::helpers::Reply;

/// A reply and its bytes.
pub type Answer = (Reply, Vec<u8>);

/// A difference that is meant.
pub struct Known {
    /// The README has a row that begins with it.
    pub what: &'static str,
    applies: fn(&Request) -> bool,
    /// What is the same all the same.
    same: fn(&Reply, &Reply) -> bool,
}

impl Known {
    /// The difference that explains these two answers.
    pub fn of(request: &Request, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
        KNOWN.iter().find(|k| (k.applies)(request) && (k.same)(&ours.0, &theirs.0)).map(|k| k.what)
    }
}

/// All of them. Errors are compared byte for byte everywhere but in the rows that speak of errors.
pub const KNOWN: &[Known] = &[
    Known {
        what: "sets and verbatim strings of RESP3",
        applies: |request| is(request, &["COMMAND", "INFO"]) || is(request, &["INFO"]) || is(request, &["CLIENT"]),
        same: |ours, theirs| *ours == plain(theirs),
    },
    Known {
        what: "`SET` with an expiry",
        applies: |request| is(request, &["SET"]) && request.len() > 3,
        same: |ours, _| is_error(ours, "is not supported: keys of kvred do not expire"),
    },
    Known {
        what: "order and choice of keys",
        applies: |request| is(request, &["KEYS"]) || is(request, &["SCAN", "0"]),
        same: same_keys,
    },
    Known {
        what: "order and choice of keys",
        // In the middle of an iteration, each server has its own cursors.
        applies: |request| is(request, &["SCAN"]),
        same: |ours, theirs| matches!((ours, theirs), (Reply::Array(a), Reply::Array(b)) if a.len() == 2 && b.len() == 2),
    },
    Known { what: "order and choice of keys", applies: |request| is(request, &["RANDOMKEY"]), same: both_strings },
    Known { what: "`MEMORY USAGE`", applies: |request| is(request, &["MEMORY", "USAGE"]), same: both_integers },
    Known {
        what: "times",
        applies: |request| is(request, &["TIME"]) || is(request, &["LASTSAVE"]),
        same: |ours, theirs| {
            both_integers(ours, theirs) || matches!((ours, theirs), (Reply::Array(_), Reply::Array(_)))
        },
    },
    Known { what: "`INFO`", applies: |request| is(request, &["INFO"]), same: same_sections },
    Known {
        what: "`CLIENT ID`",
        // Who has that id is another one, or nobody.
        applies: |request| is(request, &["CLIENT", "LIST", "ID"]),
        same: |ours, theirs| text(ours).is_some() && text(theirs).is_some(),
    },
    Known {
        what: "`CLIENT LIST`",
        applies: |request| is(request, &["CLIENT", "LIST"]) || is(request, &["CLIENT", "INFO"]),
        same: same_fields,
    },
    Known { what: "`CLIENT ID`", applies: |request| is(request, &["CLIENT", "ID"]), same: both_integers },
    Known { what: "`HELLO`", applies: |request| is(request, &["HELLO"]), same: same_hello },
    Known {
        what: "`COMMAND`",
        applies: |request| {
            let all = request.len() == 1 || request.len() == 2 && is(request, &["COMMAND", "INFO"]);
            is(request, &["COMMAND"]) && all || is(request, &["COMMAND", "LIST"])
        },
        same: same_commands,
    },
    Known {
        what: "`COMMAND`",
        applies: |request| is(request, &["COMMAND", "COUNT"]),
        same: |ours, theirs| matches!((ours, theirs), (Reply::Integer(a), Reply::Integer(b)) if a < b),
    },
    Known {
        what: "`COMMAND`",
        applies: |request| is(request, &["COMMAND", "DOCS"]),
        // The names and their documentation in turn; the texts are kvred's own.
        same: same_commands,
    },
    Known {
        what: "`HELP`",
        applies: |request| request.len() == 2 && request[1].eq_ignore_ascii_case(b"help"),
        same: |ours, theirs| matches!((ours, theirs), (Reply::Array(a), Reply::Array(b)) if a[0] == b[0]),
    },
    Known { what: "`LATENCY`", applies: |request| is(request, &["LATENCY", "DOCTOR"]), same: both_strings },
    Known {
        what: "`CONFIG`",
        applies: |request| is(request, &["CONFIG", "GET"]),
        same: |ours, theirs| matches!((pairs(ours), pairs(theirs)), (Some(a), Some(b)) if a == b),
    },
    Known {
        what: "`CONFIG`",
        applies: |request| is(request, &["CONFIG", "SET", "proto-max-bulk-len"]),
        same: |ours, theirs| {
            is_error(ours, "argument must be between 1048576 and 1073741824")
                && is_error(theirs, "argument must be between 1048576 and ")
        },
    },
    Known {
        what: "`CONFIG`",
        applies: |request| is(request, &["CONFIG", "SET", "client-query-buffer-limit"]),
        same: |ours, theirs| {
            is_error(ours, "argument must be between 1048576 and 2147483648")
                && is_error(theirs, "argument must be between 1048576 and ")
        },
    },
    Known {
        what: "`BGREWRITEAOF`",
        applies: |request| is(request, &["BGREWRITEAOF"]),
        same: |ours, theirs| {
            [ours, theirs].iter().all(|reply| {
                is_error(reply, "Background append only file rewriting already in progress")
                    || **reply == Reply::Simple("Background append only file rewriting started".to_owned())
            })
        },
    },
    Known {
        what: "`WAITAOF`",
        applies: |request| is(request, &["WAITAOF", "0"]),
        same: |ours, theirs| {
            [ours, theirs].iter().all(|reply| matches!(reply, Reply::Array(counts) if matches!(counts[..], [Reply::Integer(0 | 1), Reply::Integer(0)])))
        },
    },
];

/// Whether the last bytes of two connections may differ so.
pub fn last_words(sent: &[u8], ours: &[u8], _theirs: &[u8]) -> Option<&'static str> {
    if sent.starts_with(b"SET a b\r\nHost:") && ours == b"+OK\r\n" {
        return Some("a write in front of an HTTP request");
    }
    // Redis takes any two bytes behind a bulk string for its CRLF.
    (sent.ends_with(b"PINGxxQUIT\r\n") && ours == b"-ERR Protocol error: expected CRLF\r\n").then_some("a missing CRLF")
}

fn is(request: &Request, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(i, word)| request.get(i).is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes())))
}

fn is_error(reply: &Reply, words: &str) -> bool {
    matches!(reply, Reply::Error(text) if text.contains(words))
}

/// A verbatim string as the bulk string that it would be in RESP2.
fn plain(reply: &Reply) -> Reply {
    match reply {
        Reply::Bulk(bytes) => Reply::Bulk(bytes.strip_prefix(b"txt:").unwrap_or(bytes).to_vec()),
        other => other.clone(),
    }
}

fn text(reply: &Reply) -> Option<String> {
    match plain(reply) {
        Reply::Bulk(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    }
}

fn both_integers(ours: &Reply, theirs: &Reply) -> bool {
    matches!((ours, theirs), (Reply::Integer(_), Reply::Integer(_)))
}

fn both_strings(ours: &Reply, theirs: &Reply) -> bool {
    matches!((ours, theirs), (Reply::Bulk(_), Reply::Bulk(_)))
}

/// The strings of an array, at whatever depth, in order.
fn sorted(reply: &Reply) -> Vec<Vec<u8>> {
    fn collect(reply: &Reply, into: &mut Vec<Vec<u8>>) {
        match reply {
            Reply::Bulk(bytes) => into.push(bytes.clone()),
            Reply::Array(elements) => elements.iter().for_each(|e| collect(e, into)),
            other => into.push(format!("{other:?}").into_bytes()),
        }
    }
    let mut strings = Vec::new();
    collect(reply, &mut strings);
    strings.sort();
    strings
}

/// The same keys in another order; for `SCAN`, only if both went to the end at once.
fn same_keys(ours: &Reply, theirs: &Reply) -> bool {
    let to_the_end = |reply: &Reply| match reply {
        Reply::Array(parts) => !matches!(&parts[..], [Reply::Bulk(cursor), Reply::Array(_)] if cursor != b"0"),
        _ => false,
    };
    to_the_end(ours) && to_the_end(theirs) && sorted(ours) == sorted(theirs)
}

fn same_sections(ours: &Reply, theirs: &Reply) -> bool {
    let sections = |reply: &Reply| {
        let text = text(reply)?;
        Some(text.lines().filter(|line| line.starts_with("# ")).map(str::to_owned).collect::<BTreeSet<_>>())
    };
    matches!((sections(ours), sections(theirs)), (Some(a), Some(b)) if a.is_subset(&b))
}

/// Lines of the same fields, in the same order; a newer Redis may have more of them.
fn same_fields(ours: &Reply, theirs: &Reply) -> bool {
    let fields = |reply: &Reply| {
        let line = text(reply)?.lines().next().unwrap_or_default().to_owned();
        Some(line.split(' ').map(|f| f.split('=').next().unwrap_or_default().to_owned()).collect::<Vec<_>>())
    };
    matches!((fields(ours), fields(theirs)), (Some(a), Some(b)) if {
        let mut theirs = b.iter();
        a.iter().all(|ours| theirs.any(|field| field == ours))
    })
}

fn same_hello(ours: &Reply, theirs: &Reply) -> bool {
    let (Reply::Array(ours), Reply::Array(theirs)) = (ours, theirs) else { return false };
    let told = [0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12];
    ours.len() == theirs.len() && told.iter().all(|&i| ours.get(i) == theirs.get(i))
}

/// Of all that Redis names, what kvred offers.
fn same_commands(ours: &Reply, theirs: &Reply) -> bool {
    let (Some(ours), Some(theirs)) = (names(ours), names(theirs)) else { return false };
    ours.is_subset(&theirs) && theirs.iter().all(|name| ours.contains(name) || !offers(name))
}

/// The names in a reply of `COMMAND` and its subcommands; an error has none.
fn names(reply: &Reply) -> Option<BTreeSet<Vec<u8>>> {
    let Reply::Array(elements) = reply else { return None };
    let name = |element: &Reply| match element {
        Reply::Bulk(name) => Some(name.clone()),
        Reply::Array(fields) => match fields.first() {
            // An entry of COMMAND; what COMMAND DOCS says of a command begins with the name of a field.
            Some(Reply::Bulk(name)) if name != b"summary" => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    Some(elements.iter().filter_map(name).collect())
}

fn pairs(reply: &Reply) -> Option<BTreeSet<(Vec<u8>, Vec<u8>)>> {
    let Reply::Array(elements) = reply else { return None };
    let pair = |pair: &[Reply]| match pair {
        [Reply::Bulk(name), Reply::Bulk(value)] => (name.clone(), value.clone()),
        other => panic!("not a setting: {other:?}"),
    };
    Some(elements.chunks(2).map(pair).collect())
}
