//! The rows of the containers that look into the server: `COMMAND`, `MEMORY`, `SLOWLOG` and `LATENCY`.

use super::{ADMIN, ALWAYS, ControlId as Id, HELP_SUMMARY, ON_ALL_NODES};
use crate::command::spec::{Arg, Category, CommandSpec, Flag, Group, KeySpec};

/// A row of the `COMMAND` family.
const fn command(id: Id, name: &'static str, arity: i8) -> CommandSpec {
    CommandSpec::control(id, name, arity, Group::Server).flags(ALWAYS).also_in(&[Category::Connection])
}

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const COMMAND_NAMES: &[Arg] = &[Arg::string("command-name").optional().multiple()];

pub(super) static COMMAND: CommandSpec = command(Id::Command, "command", -1)
    .tips(ANY_ORDER)
    .docs("2.8.13", "O(N) where N is the number of commands", "Describes all commands.", &[])
    .subcommands(&[&COMMAND_COUNT, &COMMAND_LIST, &COMMAND_INFO, &COMMAND_DOCS, &COMMAND_GETKEYS, &COMMAND_HELP]);

static COMMAND_COUNT: CommandSpec =
    command(Id::CommandCount, "command|count", 2).docs("2.8.13", "O(1)", "Returns the number of commands.", &[]);

static COMMAND_LIST: CommandSpec = command(Id::CommandList, "command|list", -2).tips(ANY_ORDER).docs(
    "7.0.0",
    "O(N) where N is the number of commands",
    "Returns the names of the commands.",
    &[Arg::one_of(
        "filterby",
        &[
            Arg::string("module-name").token("MODULE"),
            Arg::string("category").token("ACLCAT"),
            Arg::pattern().token("PATTERN"),
        ],
    )
    .token("FILTERBY")
    .optional()],
);

static COMMAND_INFO: CommandSpec = command(Id::CommandInfo, "command|info", -2).tips(ANY_ORDER).docs(
    "2.8.13",
    "O(N) where N is the number of commands to look up",
    "Describes some commands, or all.",
    COMMAND_NAMES,
);

static COMMAND_DOCS: CommandSpec = command(Id::CommandDocs, "command|docs", -2).tips(ANY_ORDER).docs(
    "7.0.0",
    "O(N) where N is the number of commands to look up",
    "Returns the documentation of some commands, or of all.",
    COMMAND_NAMES,
);

static COMMAND_GETKEYS: CommandSpec = command(Id::CommandGetKeys, "command|getkeys", -3).docs(
    "2.8.13",
    "O(N) where N is the number of arguments",
    "Returns the keys in a call of a command.",
    &[Arg::string("command"), Arg::string("arg").optional().multiple()],
);

static COMMAND_HELP: CommandSpec = command(Id::CommandHelp, "command|help", 2).docs("5.0.0", "O(1)", HELP_SUMMARY, &[]);

pub(super) static MEMORY: CommandSpec = CommandSpec::control(Id::Memory, "memory", -2, Group::Server)
    .docs("4.0.0", "Depends on subcommand.", "A container for commands about memory.", &[])
    .subcommands(&[&MEMORY_USAGE, &MEMORY_HELP]);

static MEMORY_USAGE: CommandSpec = CommandSpec::control(Id::MemoryUsage, "memory|usage", -3, Group::Server)
    .flags(&[Flag::Readonly])
    .keys(KeySpec::one(2, &["RO"]))
    .docs(
        "4.0.0",
        "O(1)",
        "Returns how many bytes of memory a key and its value take.",
        &[Arg::key(), Arg::integer("count").token("SAMPLES").optional()],
    );

static MEMORY_HELP: CommandSpec = CommandSpec::control(Id::MemoryHelp, "memory|help", 2, Group::Server)
    .flags(ALWAYS)
    .docs("4.0.0", "O(1)", HELP_SUMMARY, &[]);

pub(super) static SLOWLOG: CommandSpec = CommandSpec::control(Id::SlowLog, "slowlog", -2, Group::Server)
    .docs("2.2.12", "Depends on subcommand.", "A container for commands about slow commands.", &[])
    .subcommands(&[&SLOWLOG_GET, &SLOWLOG_LEN, &SLOWLOG_RESET, &SLOWLOG_HELP]);

/// A subcommand of `SLOWLOG`.
const fn slow_log(id: Id, name: &'static str, arity: i8) -> CommandSpec {
    CommandSpec::control(id, name, arity, Group::Server).flags(&[Flag::Admin, Flag::Loading, Flag::Stale])
}

static SLOWLOG_GET: CommandSpec =
    slow_log(Id::SlowLogGet, "slowlog|get", -2).tips(&["request_policy:all_nodes", "nondeterministic_output"]).docs(
        "2.2.12",
        "O(N) where N is the number of entries returned",
        "Returns the newest entries of the slow log.",
        &[Arg::integer("count").optional()],
    );

static SLOWLOG_LEN: CommandSpec = slow_log(Id::SlowLogLen, "slowlog|len", 2)
    .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
    .docs("2.2.12", "O(1)", "Returns the number of entries in the slow log.", &[]);

static SLOWLOG_RESET: CommandSpec = slow_log(Id::SlowLogReset, "slowlog|reset", 2).tips(ON_ALL_NODES).docs(
    "2.2.12",
    "O(N) where N is the number of entries",
    "Empties the slow log.",
    &[],
);

static SLOWLOG_HELP: CommandSpec =
    slow_log(Id::SlowLogHelp, "slowlog|help", 2).flags(ALWAYS).docs("6.2.0", "O(1)", HELP_SUMMARY, &[]);

pub(super) static LATENCY: CommandSpec = CommandSpec::control(Id::Latency, "latency", -2, Group::Server)
    .docs("2.8.13", "Depends on subcommand.", "A container for commands about latency.", &[])
    .subcommands(&[&LATENCY_LATEST, &LATENCY_HISTORY, &LATENCY_RESET, &LATENCY_DOCTOR, &LATENCY_HELP]);

/// A subcommand of `LATENCY`.
const fn latency(id: Id, name: &'static str, arity: i8) -> CommandSpec {
    CommandSpec::control(id, name, arity, Group::Server).flags(ADMIN).tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ])
}

static LATENCY_LATEST: CommandSpec = latency(Id::LatencyLatest, "latency|latest", 2).docs(
    "2.8.13",
    "O(1)",
    "Returns the newest latency sample of every event.",
    &[],
);

static LATENCY_HISTORY: CommandSpec = latency(Id::LatencyHistory, "latency|history", 3).docs(
    "2.8.13",
    "O(1)",
    "Returns the latency samples of an event, with their times.",
    &[Arg::string("event")],
);

static LATENCY_RESET: CommandSpec =
    latency(Id::LatencyReset, "latency|reset", -2).tips(&["request_policy:all_nodes", "response_policy:agg_sum"]).docs(
        "2.8.13",
        "O(1)",
        "Drops the samples of some events, or of all.",
        &[Arg::string("event").optional().multiple()],
    );

static LATENCY_DOCTOR: CommandSpec =
    latency(Id::LatencyDoctor, "latency|doctor", 2).docs("2.8.13", "O(1)", "Explains the latency samples.", &[]);

static LATENCY_HELP: CommandSpec =
    latency(Id::LatencyHelp, "latency|help", 2).flags(ALWAYS).tips(&[]).docs("2.8.13", "O(1)", HELP_SUMMARY, &[]);
