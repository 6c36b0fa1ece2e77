//! How a command is called, in one line: `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
//!
//! A container's `HELP` prints these lines; the notation is that of Redis's command pages. The client makes its own of what
//! `COMMAND DOCS` answers.

use super::spec::{Arg, ArgKind, CommandSpec};

/// Returns the call of `row`: its name in upper case, that of a subcommand without its container's, and its arguments.
pub fn synopsis(row: &CommandSpec) -> String {
    let name = row.word().to_ascii_uppercase();
    if row.docs.args.is_empty() { name } else { format!("{name} {}", hints(row.docs.args, " ")) }
}

fn arg_hint(arg: &Arg) -> String {
    let value = match arg.kind {
        ArgKind::PureToken => None,
        ArgKind::OneOf => Some(hints(arg.args, "|")),
        ArgKind::Block => Some(hints(arg.args, " ")),
        _ => Some(arg.display.to_owned()),
    };
    let mut hint = match (arg.token, value) {
        (Some(token), Some(value)) if arg.kind == ArgKind::OneOf => format!("{token} <{value}>"),
        (Some(token), Some(value)) => format!("{token} {value}"),
        (Some(word), None) => word.to_owned(),
        (None, Some(value)) if arg.kind == ArgKind::OneOf && !arg.optional => format!("<{value}>"),
        (None, value) => value.unwrap_or_default(),
    };
    if arg.multiple {
        // A token comes once, what follows it several times.
        let repeated = arg.token.and_then(|token| hint.strip_prefix(token)).unwrap_or(&hint).trim_start();
        hint = format!("{hint} [{repeated} ...]");
    }
    if arg.optional { format!("[{hint}]") } else { hint }
}

fn hints(args: &[Arg], separator: &str) -> String {
    args.iter().map(arg_hint).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table::lookup_full;

    #[test]
    fn calls_read_as_on_the_command_pages_of_redis() {
        let cases = [
            ("get", "GET key"),
            ("del", "DEL key [key ...]"),
            ("dbsize", "DBSIZE"),
            ("ping", "PING [message]"),
            ("hello", "HELLO [protover [AUTH username password] [SETNAME clientname]]"),
            ("scan", "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]"),
            ("info", "INFO [section [section ...]]"),
            ("flushall", "FLUSHALL [ASYNC|SYNC]"),
            ("client|no-evict", "NO-EVICT <ON|OFF>"),
            ("client|setname", "SETNAME connection-name"),
            ("client|list", "LIST [TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID client-id [client-id ...]]"),
            ("config|set", "SET parameter value [parameter value ...]"),
            ("command|list", "LIST [FILTERBY <MODULE module-name|ACLCAT category|PATTERN pattern>]"),
        ];
        for (name, expected) in cases {
            assert_eq!(synopsis(lookup_full(name.as_bytes()).unwrap()), expected);
        }
    }
}
