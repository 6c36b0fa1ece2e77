//! The rows of the commands on keys of any type.

use super::{ALWAYS, ControlId as Id, DataId, HELP_SUMMARY};
use crate::command::spec::{Arg, Category, CommandSpec, Flag, Group, KeySpec};

pub(super) static DEL: CommandSpec = CommandSpec::data(DataId::Del, "del", -2, Group::Generic)
    .flags(&[Flag::Write])
    .also_in(&[Category::Keyspace])
    .keys(KeySpec::rest(1, &["RM", "delete"]))
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
    .docs(
        "1.0.0",
        "O(N) where N is the number of keys",
        "Deletes keys and returns how many there were.",
        &[Arg::key().multiple()],
    );

pub(super) static EXISTS: CommandSpec = CommandSpec::data(DataId::Exists, "exists", -2, Group::Generic)
    .flags(&[Flag::Readonly, Flag::Fast])
    .also_in(&[Category::Keyspace])
    .keys(KeySpec::rest(1, &["RO"]))
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
    .docs(
        "1.0.0",
        "O(N) where N is the number of keys",
        "Counts how many of the keys exist; a key named twice counts twice.",
        &[Arg::key().multiple()],
    );

pub(super) static TYPE: CommandSpec = CommandSpec::data(DataId::Type, "type", 2, Group::Generic)
    .flags(&[Flag::Readonly, Flag::Fast])
    .also_in(&[Category::Keyspace])
    .keys(KeySpec::one(1, &["RO"]))
    .docs("1.0.0", "O(1)", "Returns the type of a key's value: string, or none.", &[Arg::key()]);

pub(super) static KEYS: CommandSpec = CommandSpec::control(Id::Keys, "keys", 2, Group::Generic)
    .flags(&[Flag::Readonly])
    .also_in(&[Category::Keyspace, Category::Dangerous])
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
    .docs(
        "1.0.0",
        "O(N) where N is the number of keys in the database",
        "Returns all key names that match a pattern.",
        &[Arg::pattern()],
    );

pub(super) static SCAN: CommandSpec = CommandSpec::control(Id::Scan, "scan", -2, Group::Generic)
    .flags(&[Flag::Readonly])
    .also_in(&[Category::Keyspace])
    .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
    .docs(
        "2.8.0",
        "O(1) for a call, O(N) for a complete iteration over N keys",
        "Iterates over the key names of the database.",
        &[
            Arg::integer("cursor"),
            Arg::pattern().token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::string("type").token("TYPE").since("6.0.0").optional(),
        ],
    );

pub(super) static RANDOMKEY: CommandSpec = CommandSpec::control(Id::RandomKey, "randomkey", 1, Group::Generic)
    .flags(&[Flag::Readonly])
    .also_in(&[Category::Keyspace])
    .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
    .docs("1.0.0", "O(1)", "Returns the name of a random key.", &[]);

pub(super) static OBJECT: CommandSpec = CommandSpec::control(Id::Object, "object", -2, Group::Generic)
    .docs("2.2.3", "Depends on subcommand.", "A container for commands that look into a value.", &[])
    .subcommands(&[&OBJECT_ENCODING, &OBJECT_HELP]);

static OBJECT_ENCODING: CommandSpec = CommandSpec::control(Id::ObjectEncoding, "object|encoding", 3, Group::Generic)
    .flags(&[Flag::Readonly])
    .also_in(&[Category::Keyspace])
    .keys(KeySpec::one(2, &["RO"]))
    .tips(&["nondeterministic_output"])
    .docs("2.2.3", "O(1)", "Returns the encoding of a key's value.", &[Arg::key()]);

static OBJECT_HELP: CommandSpec = CommandSpec::control(Id::ObjectHelp, "object|help", 2, Group::Generic)
    .flags(ALWAYS)
    .also_in(&[Category::Keyspace])
    .docs("6.2.0", "O(1)", HELP_SUMMARY, &[]);

pub(super) static WAITAOF: CommandSpec = CommandSpec::control(Id::WaitAof, "waitaof", 4, Group::Generic)
    .flags(&[Flag::Blocking])
    .also_in(&[Category::Connection])
    .tips(&["request_policy:all_shards", "response_policy:agg_min"])
    .docs(
        "7.2.0",
        "O(1)",
        "Blocks until the connection's earlier writes are synced to the log on disk.",
        &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
    );
