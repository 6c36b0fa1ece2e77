//! How a command is called, in one line: `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
//!
//! A container's `HELP` prints these lines; the notation is that of Redis's command pages. The client makes its own of
//! what `COMMAND DOCS` answers, with the same hints.

use super::spec::{Arg, CommandSpec};

/// Returns the call of `row`: its name in upper case, that of a subcommand without its container's, and its arguments.
pub fn synopsis(row: &CommandSpec) -> String {
    let name = row.word().to_ascii_uppercase();
    if row.docs.args.is_empty() { name } else { format!("{name} {}", hints(row.docs.args, " ")) }
}

/// An argument as a hint shows it, by what `COMMAND DOCS` tells of it: `kind` is its type, `nested` makes the hints of
/// the arguments in it, with a separator between them.
pub(crate) fn arg_hint(
    kind: &str,
    display: &str,
    token: Option<&str>,
    optional: bool,
    multiple: bool,
    nested: impl Fn(&str) -> String,
) -> String {
    let value = match kind {
        "pure-token" => String::new(),
        "oneof" if optional && token.is_none() => nested("|"),
        "oneof" => format!("<{}>", nested("|")),
        "block" => nested(" "),
        _ => display.to_owned(),
    };
    let mut hint = match token {
        Some(token) if value.is_empty() => token.to_owned(),
        Some(token) => format!("{token} {value}"),
        None => value.clone(),
    };
    if multiple {
        // A token comes once, what follows it several times.
        hint = format!("{hint} [{} ...]", if value.is_empty() { &hint } else { &value });
    }
    if optional { format!("[{hint}]") } else { hint }
}

fn hint(arg: &Arg) -> String {
    let nested = |separator: &str| hints(arg.args, separator);
    arg_hint(arg.kind.name(), arg.display, arg.token, arg.optional, arg.multiple, nested)
}

fn hints(args: &[Arg], separator: &str) -> String {
    args.iter().map(hint).collect::<Vec<_>>().join(separator)
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
