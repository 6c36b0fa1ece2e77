//! The rows of `CLIENT` and its subcommands.

use super::{ADMIN, ALWAYS, ControlId as Id, HELP_SUMMARY, ON_ALL_NODES};
use crate::command::spec::{Arg, Category, CommandSpec, Flag, Group};

pub(super) static CLIENT: CommandSpec = CommandSpec::control(Id::Client, "client", -2, Group::Connection)
    .docs("2.4.0", "Depends on subcommand.", "A container for commands about client connections.", &[])
    .subcommands(&[
        &CLIENT_ID,
        &CLIENT_GETNAME,
        &CLIENT_SETNAME,
        &CLIENT_SETINFO,
        &CLIENT_INFO,
        &CLIENT_LIST,
        &CLIENT_KILL,
        &CLIENT_NO_EVICT,
        &CLIENT_NO_TOUCH,
        &CLIENT_REPLY,
        &CLIENT_HELP,
    ]);

/// A subcommand that anyone may call.
const fn open(id: Id, name: &'static str, arity: i8) -> CommandSpec {
    CommandSpec::control(id, name, arity, Group::Connection)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
        .also_in(&[Category::Connection])
}

/// A subcommand for administrators.
const fn admin(id: Id, name: &'static str, arity: i8) -> CommandSpec {
    open(id, name, arity).flags(ADMIN)
}

const ON_OFF: &[Arg] = &[Arg::one_of("enabled", &[Arg::word("on", "ON"), Arg::word("off", "OFF")])];

static CLIENT_ID: CommandSpec =
    open(Id::ClientId, "client|id", 2).docs("5.0.0", "O(1)", "Returns the connection's unique id.", &[]);

static CLIENT_GETNAME: CommandSpec =
    open(Id::ClientGetName, "client|getname", 2).docs("2.6.9", "O(1)", "Returns the connection's name.", &[]);

static CLIENT_SETNAME: CommandSpec = open(Id::ClientSetName, "client|setname", 3).tips(ON_ALL_NODES).docs(
    "2.6.9",
    "O(1)",
    "Names the connection.",
    &[Arg::string("connection-name")],
);

static CLIENT_SETINFO: CommandSpec = open(Id::ClientSetInfo, "client|setinfo", 4).tips(ON_ALL_NODES).docs(
    "7.2.0",
    "O(1)",
    "Tells the server which client library this is.",
    &[Arg::one_of("attr", &[Arg::string("libname").token("LIB-NAME"), Arg::string("libver").token("LIB-VER")])],
);

static CLIENT_INFO: CommandSpec = open(Id::ClientInfo, "client|info", 2).tips(&["nondeterministic_output"]).docs(
    "6.2.0",
    "O(1)",
    "Describes the connection.",
    &[],
);

static CLIENT_LIST: CommandSpec = admin(Id::ClientList, "client|list", -2).tips(&["nondeterministic_output"]).docs(
    "2.4.0",
    "O(N) where N is the number of client connections",
    "Lists the open connections.",
    &[
        Arg::one_of("client-type", CLIENT_TYPES).token("TYPE").since("5.0.0").optional(),
        Arg::integer("client-id").token("ID").since("6.2.0").optional().multiple(),
    ],
);

const CLIENT_TYPES: &[Arg] = &[
    Arg::word("normal", "NORMAL"),
    Arg::word("master", "MASTER"),
    Arg::word("replica", "REPLICA"),
    Arg::word("pubsub", "PUBSUB"),
];

static CLIENT_KILL: CommandSpec = admin(Id::ClientKill, "client|kill", -3).docs(
    "2.4.0",
    "O(N) where N is the number of client connections",
    "Closes connections.",
    &[Arg::one_of(
        "filter",
        &[
            Arg::string("old-format").shown_as("ip:port"),
            Arg::one_of(
                "new-format",
                &[
                    Arg::integer("client-id").token("ID").since("2.8.12").optional(),
                    Arg::one_of("client-type", CLIENT_TYPES).token("TYPE").since("2.8.12").optional(),
                    Arg::string("username").token("USER").optional(),
                    Arg::string("addr").shown_as("ip:port").token("ADDR").optional(),
                    Arg::string("laddr").shown_as("ip:port").token("LADDR").since("6.2.0").optional(),
                    Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")]).token("SKIPME").optional(),
                    Arg::integer("maxage").token("MAXAGE").since("7.4.0").optional(),
                ],
            )
            .multiple(),
        ],
    )],
);

static CLIENT_NO_EVICT: CommandSpec = admin(Id::ClientNoEvict, "client|no-evict", 3).docs(
    "7.0.0",
    "O(1)",
    "Accepted for compatibility: kvred evicts no clients.",
    ON_OFF,
);

static CLIENT_NO_TOUCH: CommandSpec = open(Id::ClientNoTouch, "client|no-touch", 3).docs(
    "7.2.0",
    "O(1)",
    "Accepted for compatibility: kvred keeps no access times of keys.",
    ON_OFF,
);

static CLIENT_REPLY: CommandSpec = open(Id::ClientReply, "client|reply", 3).docs(
    "3.2.0",
    "O(1)",
    "Says whether the server answers this connection's commands.",
    &[Arg::one_of("action", &[Arg::word("on", "ON"), Arg::word("off", "OFF"), Arg::word("skip", "SKIP")])],
);

static CLIENT_HELP: CommandSpec =
    open(Id::ClientHelp, "client|help", 2).flags(ALWAYS).docs("5.0.0", "O(1)", HELP_SUMMARY, &[]);
