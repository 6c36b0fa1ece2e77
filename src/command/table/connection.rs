//! The rows of the commands about the connection; `CLIENT` has a file of its own.

use super::{ControlId as Id, DataId};
use crate::command::spec::{Arg, Category, CommandSpec, Flag, Group};

/// The flags of what a client may send before it has authenticated.
const BEFORE_AUTH: &[Flag] = &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy];

pub(super) static PING: CommandSpec = CommandSpec::data(DataId::Ping, "ping", -1, Group::Connection)
    .flags(&[Flag::Fast])
    .also_in(&[Category::Connection])
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .docs("1.0.0", "O(1)", "Answers PONG, or the message.", &[Arg::string("message").optional()]);

pub(super) static ECHO: CommandSpec = CommandSpec::data(DataId::Echo, "echo", 2, Group::Connection)
    .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
    .also_in(&[Category::Connection])
    .docs("1.0.0", "O(1)", "Returns the message.", &[Arg::string("message")]);

pub(super) static QUIT: CommandSpec = CommandSpec::control(Id::Quit, "quit", -1, Group::Connection)
    .flags(BEFORE_AUTH)
    .also_in(&[Category::Connection])
    .docs("1.0.0", "O(1)", "Closes the connection.", &[])
    .deprecated("7.2.0", "just closing the connection");

pub(super) static HELLO: CommandSpec = CommandSpec::control(Id::Hello, "hello", -1, Group::Connection)
    .flags(BEFORE_AUTH)
    .also_in(&[Category::Connection])
    .docs(
        "6.0.0",
        "O(1)",
        "Chooses the protocol version and describes the server.",
        &[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block("auth", &[Arg::string("username"), Arg::string("password")]).token("AUTH").optional(),
                Arg::string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()],
    );

pub(super) static AUTH: CommandSpec = CommandSpec::control(Id::Auth, "auth", -2, Group::Connection)
    .flags(BEFORE_AUTH)
    .also_in(&[Category::Connection])
    .docs(
        "1.0.0",
        "O(1)",
        "Authenticates the connection.",
        &[Arg::string("username").since("6.0.0").optional(), Arg::string("password")],
    );

pub(super) static RESET: CommandSpec = CommandSpec::control(Id::Reset, "reset", 1, Group::Connection)
    .flags(BEFORE_AUTH)
    .also_in(&[Category::Connection])
    .docs("6.2.0", "O(1)", "Brings the connection back to the state of a new one.", &[]);

pub(super) static SELECT: CommandSpec = CommandSpec::control(Id::Select, "select", 2, Group::Connection)
    .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
    .also_in(&[Category::Connection])
    .docs("1.0.0", "O(1)", "Selects the database; there is one, number 0.", &[Arg::integer("index")]);
