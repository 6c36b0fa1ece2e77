//! The rows of the commands about the server and its configuration.

use super::{ADMIN, ALWAYS, ControlId as Id, DataId, HELP_SUMMARY, ON_ALL_NODES};
use crate::command::spec::{Arg, Category, CommandSpec, Flag, Group};

const ON_ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub(super) static CONFIG: CommandSpec = CommandSpec::control(Id::Config, "config", -2, Group::Server)
    .docs("2.0.0", "Depends on subcommand.", "A container for commands about the configuration.", &[])
    .subcommands(&[&CONFIG_GET, &CONFIG_SET, &CONFIG_RESETSTAT, &CONFIG_HELP]);

static CONFIG_GET: CommandSpec =
    CommandSpec::control(Id::ConfigGet, "config|get", -3, Group::Server).flags(ADMIN).docs(
        "2.0.0",
        "O(N) where N is the number of settings and patterns",
        "Returns the values of settings.",
        &[Arg::string("parameter").multiple()],
    );

static CONFIG_HELP: CommandSpec = CommandSpec::control(Id::ConfigHelp, "config|help", 2, Group::Server)
    .flags(ALWAYS)
    .docs("5.0.0", "O(1)", HELP_SUMMARY, &[]);

pub(super) static INFO: CommandSpec = CommandSpec::control(Id::Info, "info", -1, Group::Server)
    .flags(ALWAYS)
    .also_in(&[Category::Dangerous])
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
    .docs(
        "1.0.0",
        "O(1)",
        "Returns facts and figures about the server.",
        &[Arg::string("section").optional().multiple()],
    );

pub(super) static DBSIZE: CommandSpec = CommandSpec::control(Id::DbSize, "dbsize", 1, Group::Server)
    .flags(&[Flag::Readonly, Flag::Fast])
    .also_in(&[Category::Keyspace])
    .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
    .docs("1.0.0", "O(1)", "Returns the number of keys in the database.", &[]);

pub(super) static TIME: CommandSpec = CommandSpec::control(Id::Time, "time", 1, Group::Server)
    .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
    .tips(&["nondeterministic_output"])
    .docs("2.6.0", "O(1)", "Returns the server's time in seconds and microseconds.", &[]);

const FLUSH_TYPE: &[Arg] = &[Arg::one_of(
    "flush-type",
    &[Arg::word("async", "ASYNC").since("4.0.0"), Arg::word("sync", "SYNC").since("6.2.0")],
)
.optional()];

pub(super) static FLUSHALL: CommandSpec = CommandSpec::data(DataId::FlushAll, "flushall", -1, Group::Server)
    .flags(&[Flag::Write])
    .also_in(&[Category::Keyspace, Category::Dangerous])
    .tips(ON_ALL_SHARDS)
    .docs("1.0.0", "O(N) where N is the number of keys", "Removes all keys.", FLUSH_TYPE);

pub(super) static FLUSHDB: CommandSpec = CommandSpec::data(DataId::FlushDb, "flushdb", -1, Group::Server)
    .flags(&[Flag::Write])
    .also_in(&[Category::Keyspace, Category::Dangerous])
    .tips(ON_ALL_SHARDS)
    .docs("1.0.0", "O(N) where N is the number of keys", "Removes all keys of the database.", FLUSH_TYPE);

pub(super) static LASTSAVE: CommandSpec = CommandSpec::control(Id::LastSave, "lastsave", 1, Group::Server)
    .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
    .also_in(&[Category::Admin, Category::Dangerous])
    .tips(&["nondeterministic_output"])
    .docs("1.0.0", "O(1)", "Returns when the data was last written out whole, in Unix seconds.", &[]);

pub(super) static SHUTDOWN: CommandSpec = CommandSpec::control(Id::Shutdown, "shutdown", -1, Group::Server)
    .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale, Flag::NoMulti, Flag::AllowBusy])
    .docs(
        "1.0.0",
        "O(1)",
        "Syncs the log and stops the server.",
        &[
            Arg::one_of("save-selector", &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")]).optional(),
            Arg::word("now", "NOW").since("7.0.0").optional(),
            Arg::word("force", "FORCE").since("7.0.0").optional(),
            Arg::word("abort", "ABORT").since("7.0.0").optional(),
        ],
    );

static CONFIG_SET: CommandSpec =
    CommandSpec::control(Id::ConfigSet, "config|set", -4, Group::Server).flags(ADMIN).tips(ON_ALL_NODES).docs(
        "2.0.0",
        "O(N) where N is the number of settings",
        "Changes settings of the running server.",
        &[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()],
    );

static CONFIG_RESETSTAT: CommandSpec = CommandSpec::control(Id::ConfigResetStat, "config|resetstat", 2, Group::Server)
    .flags(ADMIN)
    .tips(ON_ALL_NODES)
    .docs("2.0.0", "O(1)", "Resets the counters that INFO reports.", &[]);

pub(super) static BGREWRITEAOF: CommandSpec = CommandSpec::control(Id::BgRewriteAof, "bgrewriteaof", 1, Group::Server)
    .flags(&[Flag::Admin, Flag::NoScript, Flag::NoAsyncLoading])
    .docs("1.0.0", "O(1)", "Starts to rewrite the log in the background.", &[]);
