//! The one table of commands. Parsing, arity errors, `COMMAND` and the client's completion and hints read it.
//!
//! A row is a `static` in the file of its group. A command exists when, and only when, its row stands in
//! [`COMMANDS`]; to take one out, delete its row, its line in [`COMMANDS`] (or in its container) and its
//! [`DataId`] or [`ControlId`]. Names are lower case and hold nothing but letters, on the top level; [`lookup`] relies
//! on it, and the table does not compile otherwise.

mod client;
mod connection;
mod generic;
mod index;
mod introspection;
mod server;
mod string;

use self::index::Index;
use super::errors::CommandError;
use super::spec::{CommandSpec, Flag};
use crate::protocol::decode::Args;

/// Names a row. Containers and their subcommands have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandId {
    /// A command on data: it runs in batches.
    Data(DataId),
    /// One that concerns the connection or the server: it runs alone.
    Control(ControlId),
}

/// The commands on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the row of the same name")]
pub enum DataId {
    Get,
    Set,
    StrLen,
    Del,
    Exists,
    Type,
    Ping,
    Echo,
    FlushAll,
    FlushDb,
}

/// All others; they are numbered on from the commands on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the row of the same name")]
pub enum ControlId {
    // generic
    Keys = DataId::FlushDb as isize + 1,
    Scan,
    RandomKey,
    Object,
    ObjectEncoding,
    ObjectHelp,
    WaitAof,
    // connection
    Quit,
    Hello,
    Auth,
    Reset,
    Select,
    Client,
    ClientId,
    ClientGetName,
    ClientSetName,
    ClientSetInfo,
    ClientInfo,
    ClientList,
    ClientKill,
    ClientNoEvict,
    ClientNoTouch,
    ClientReply,
    ClientHelp,
    // server
    Command,
    CommandCount,
    CommandList,
    CommandInfo,
    CommandDocs,
    CommandGetKeys,
    CommandHelp,
    Config,
    ConfigGet,
    ConfigSet,
    ConfigResetStat,
    ConfigHelp,
    Info,
    DbSize,
    Time,
    LastSave,
    BgRewriteAof,
    Shutdown,
    Memory,
    MemoryUsage,
    MemoryHelp,
    SlowLog,
    SlowLogGet,
    SlowLogLen,
    SlowLogReset,
    SlowLogHelp,
    Latency,
    LatencyLatest,
    LatencyHistory,
    LatencyReset,
    LatencyDoctor,
    LatencyHelp,
}

impl CommandId {
    /// Its number, below [`COMMAND_IDS`].
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Self::Data(id) => id as usize,
            Self::Control(id) => id as usize,
        }
    }
}

/// How many [`CommandId`]s there are; they are numbered from 0.
pub const COMMAND_IDS: usize = ControlId::LatencyHelp as usize + 1;

/// Every top-level command, in the order in which `COMMAND` lists them.
pub static COMMANDS: &[&CommandSpec] = &[
    &string::GET,
    &string::SET,
    &string::STRLEN,
    &generic::DEL,
    &generic::EXISTS,
    &generic::TYPE,
    &generic::KEYS,
    &generic::SCAN,
    &generic::RANDOMKEY,
    &generic::OBJECT,
    &generic::WAITAOF,
    &connection::PING,
    &connection::ECHO,
    &connection::QUIT,
    &connection::HELLO,
    &connection::AUTH,
    &connection::RESET,
    &connection::SELECT,
    &client::CLIENT,
    &introspection::COMMAND,
    &server::CONFIG,
    &server::INFO,
    &server::DBSIZE,
    &server::TIME,
    &server::FLUSHALL,
    &server::FLUSHDB,
    &server::LASTSAVE,
    &server::BGREWRITEAOF,
    &server::SHUTDOWN,
    &introspection::MEMORY,
    &introspection::SLOWLOG,
    &introspection::LATENCY,
];

/// The flags of what can be called at any time, and of what is for administrators.
const ALWAYS: &[Flag] = &[Flag::Loading, Flag::Stale];
const ADMIN: &[Flag] = &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale];

/// The tips of what changes each node of a cluster for itself.
const ON_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The summary of every container's `HELP`.
const HELP_SUMMARY: &str = "Prints the subcommands and what they do.";

static INDEX: Index = Index::build(COMMANDS);

/// Finds a top-level command by its name, in any letter case.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static CommandSpec> {
    INDEX.get(name)
}

/// Iterates over all rows, each container followed by its subcommands.
pub fn every_row() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().flat_map(|row| std::iter::once(*row).chain(row.subcommands.iter().copied()))
}

/// Finds a row by the full name that `COMMAND INFO` takes: `get`, or `client|id` for a subcommand.
pub fn lookup_full(name: &[u8]) -> Option<&'static CommandSpec> {
    match memchr::memchr(b'|', name) {
        Some(at) => lookup(&name[..at])?.subcommand(&name[at + 1..]),
        None => lookup(name),
    }
}

/// Finds the row that a call means, following containers to the subcommand, and checks the number of arguments.
///
/// `args` is the whole call, the name first.
///
/// # Errors
/// The name or the subcommand is unknown or refused, or the number of arguments is wrong.
///
/// # Panics
/// When `args` is empty; an empty call never gets this far.
#[inline(always)]
pub fn resolve(args: Args<'_>) -> Result<&'static CommandSpec, CommandError> {
    match lookup(args.at(0)) {
        Some(spec) if !spec.is_container() && spec.arity_ok(args.len()) => Ok(spec),
        _ => resolve_with_care(args),
    }
}

/// Resolves any call: one of a container, or one that is wrong.
#[inline(never)]
fn resolve_with_care(args: Args<'_>) -> Result<&'static CommandSpec, CommandError> {
    let spec = lookup(args.at(0)).ok_or_else(|| CommandError::not_in_table(args.at(0), args.from(1)))?;
    let spec = if spec.is_container() && args.len() > 1 {
        let word = args.at(1);
        spec.subcommand(word).ok_or_else(|| CommandError::unknown_subcommand(spec, word))?
    } else {
        spec
    };
    if spec.arity_ok(args.len()) { Ok(spec) } else { Err(CommandError::WrongArity(spec.name)) }
}

/// Finds the row that a call means, whatever the number of its arguments.
pub fn find(args: Args<'_>) -> Option<&'static CommandSpec> {
    let spec = lookup(args.at(0))?;
    if spec.is_container() && args.len() > 1 { spec.subcommand(args.at(1)) } else { Some(spec) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::spec::{Arg, ArgKind, Category, Flag};
    use crate::protocol::decode::RequestDecoder;
    use crate::protocol::limits::RequestLimits;
    use proptest::prelude::*;

    #[test]
    fn names_and_ids_are_unique() {
        let rows: Vec<_> = every_row().collect();
        for (i, a) in rows.iter().enumerate() {
            assert!(a.id.index() < COMMAND_IDS, "{} stands behind the last one", a.name);
            for b in &rows[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!(a.id.index(), b.id.index(), "{} and {}", a.name, b.name);
            }
        }
    }

    #[test]
    fn subcommands_bear_their_containers_name() {
        for container in COMMANDS.iter().filter(|row| row.is_container()) {
            for row in container.subcommands {
                let word = row.name.strip_prefix(container.name).and_then(|rest| rest.strip_prefix('|'));
                assert_eq!(word, Some(row.word()));
                assert!(row.word().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
                assert!(!row.is_container(), "{}", row.name);
                assert!(row.arity.unsigned_abs() >= 2, "{}", row.name);
                assert_eq!(row.group, container.group);
            }
        }
    }

    #[test]
    fn keys_lie_within_the_arity() {
        for row in every_row() {
            assert_ne!(row.arity, 0, "{}", row.name);
            let Some(keys) = row.keys else { continue };
            let args = row.arity.unsigned_abs();
            assert!(keys.first >= 1 && keys.first < args, "{}", row.name);
            if keys.last < 0 {
                assert!(row.arity < 0, "{} takes any number of keys, so its arity is a minimum", row.name);
            } else {
                assert!(keys.last.unsigned_abs() >= keys.first && keys.last.unsigned_abs() < args, "{}", row.name);
            }
        }
    }

    #[test]
    fn a_row_reads_or_writes_and_is_documented() {
        for row in every_row() {
            assert!(!(row.flags.contains(Flag::Write) && row.flags.contains(Flag::Readonly)), "{}", row.name);
            assert!(row.docs.summary.ends_with('.'), "{}", row.name);
            assert!(!row.docs.complexity.is_empty(), "{}", row.name);
            assert_eq!(row.docs.since.split('.').filter(|part| part.parse::<u8>().is_ok()).count(), 3, "{}", row.name);
        }
    }

    /// Counts the fewest arguments that the documentation allows.
    fn mandatory(args: &[Arg]) -> usize {
        args.iter()
            .filter(|arg| !arg.optional)
            .map(|arg| match arg.kind {
                ArgKind::PureToken => 1,
                // One choice has to be made, even where each of them is marked optional.
                ArgKind::OneOf => {
                    let fewest = arg.args.iter().map(|choice| mandatory(&[Arg { optional: false, ..*choice }])).min();
                    usize::from(arg.token.is_some()) + fewest.unwrap()
                }
                ArgKind::Block => usize::from(arg.token.is_some()) + mandatory(arg.args),
                _ => 1 + usize::from(arg.token.is_some()),
            })
            .sum()
    }

    #[test]
    fn documented_arguments_fit_the_arity() {
        for row in every_row().filter(|row| !row.is_container()) {
            let name_words = row.name.split('|').count();
            assert!(row.arity_ok(name_words + mandatory(row.docs.args)), "{}", row.name);
            let open = row.docs.args.iter().any(|arg| arg.optional || arg.multiple || arg.kind == ArgKind::OneOf);
            assert!(row.arity > 0 || open || ["set", "quit"].contains(&row.name), "{}", row.name);
        }
    }

    #[test]
    fn arity_counts_the_name_and_a_negative_one_is_a_minimum() {
        let get = lookup(b"get").unwrap();
        assert_eq!([1, 2, 3].map(|argc| get.arity_ok(argc)), [false, true, false]);
        let del = lookup(b"del").unwrap();
        assert_eq!([1, 2, 3, 1 << 20].map(|argc| del.arity_ok(argc)), [false, true, true, true]);
    }

    #[test]
    fn categories_follow_from_the_flags() {
        let words =
            |name: &str| lookup_full(name.as_bytes()).unwrap().categories().iter().map(Category::name).collect();
        let cases: [(&str, &[&str]); 4] = [
            ("get", &["read", "string", "fast"]),
            ("del", &["keyspace", "write", "slow"]),
            ("client|list", &["admin", "slow", "dangerous", "connection"]),
            ("waitaof", &["slow", "blocking", "connection"]),
        ];
        for (name, expected) in cases {
            let found: Vec<_> = words(name);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn near_misses_are_not_found() {
        for name in ["", "g", "ge", "gets", "get ", " get", "get\0", "g\u{e9}t", "client|id", "gEt\r", "bgrewriteaofx"]
        {
            assert!(lookup(name.as_bytes()).is_none(), "{name:?}");
        }
        // Bytes that differ from a letter of the name in bits that the lower-casing leaves alone.
        for row in COMMANDS {
            for at in 0..row.name.len() {
                for flip in [0x01, 0x40, 0x60, 0x80] {
                    let mut name = row.name.as_bytes().to_vec();
                    name[at] ^= flip;
                    assert_ne!(lookup(&name).map(|found| found.id), Some(row.id), "{name:?}");
                }
            }
        }
        assert!(lookup(&vec![b'a'; 100_000]).is_none());
    }

    #[test]
    fn full_names_reach_subcommands() {
        assert_eq!(lookup_full(b"CLIENT|Id").unwrap().id, CommandId::Control(ControlId::ClientId));
        for name in ["client|", "client|x", "get|x", "|", "|id", "client|id|x"] {
            assert!(lookup_full(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn resolve_follows_containers_and_checks_the_arity() {
        let resolve = |line: &str| {
            let mut input = format!("{line}\r\n").into_bytes();
            let mut spans = Vec::new();
            let mut decoder = RequestDecoder::new(RequestLimits::new(1000));
            decoder.decode(&mut input, 0, &mut spans).unwrap();
            resolve(Args::new(&input, &spans)).map(|row| row.name).map_err(|error| error.to_string())
        };
        assert_eq!(resolve("GET k"), Ok("get"));
        assert_eq!(resolve("Client Id"), Ok("client|id"));
        assert_eq!(resolve("command"), Ok("command"));
        assert_eq!(resolve("client").unwrap_err(), "ERR wrong number of arguments for 'client' command");
        assert_eq!(resolve("client id x").unwrap_err(), "ERR wrong number of arguments for 'client|id' command");
        assert_eq!(resolve("client FOO x").unwrap_err(), "ERR unknown subcommand 'FOO'. Try CLIENT HELP.");
        assert_eq!(resolve("foo x").unwrap_err(), "ERR unknown command 'foo', with args beginning with: 'x' ");
        assert_eq!(resolve("LPUSH x").unwrap_err(), "ERR 'lpush' is not supported: kvred stores strings only");
    }

    proptest! {
        #[test]
        fn every_row_is_found_in_any_letter_case(mask: u32) {
            for row in COMMANDS {
                let name: Vec<u8> = row.name.bytes().enumerate()
                    .map(|(i, b)| if mask >> i & 1 == 1 { b.to_ascii_uppercase() } else { b })
                    .collect();
                prop_assert_eq!(lookup(&name).map(|found| found.id), Some(row.id));
                for sub in row.subcommands {
                    let word = sub.word().to_ascii_uppercase();
                    prop_assert_eq!(row.subcommand(word.as_bytes()).map(|found| found.id), Some(sub.id));
                }
            }
        }

        #[test]
        fn lookup_agrees_with_a_search(name in prop::collection::vec(any::<u8>(), 0..20)) {
            let found = COMMANDS.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(&name));
            prop_assert_eq!(lookup(&name).map(|row| row.id), found.map(|row| row.id));
        }
    }
}
