//! The rows of the string commands.

use super::DataId;
use crate::command::spec::{Arg, Category, CommandSpec, Flag, Group, KeySpec};

pub(super) static GET: CommandSpec = CommandSpec::data(DataId::Get, "get", 2, Group::String)
    .flags(&[Flag::Readonly, Flag::Fast])
    .also_in(&[Category::String])
    .keys(KeySpec::one(1, &["RO", "access"]))
    .docs("1.0.0", "O(1)", "Returns the string value of a key.", &[Arg::key()]);

// The arity is a minimum, as in Redis: options get an error of their own, not one about their number.
pub(super) static SET: CommandSpec = CommandSpec::data(DataId::Set, "set", -3, Group::String)
    .flags(&[Flag::Write, Flag::DenyOom])
    .also_in(&[Category::String])
    .keys(
        KeySpec::one(1, &["RW", "access", "update", "variable_flags"])
            .notes("RW and ACCESS due to the optional `GET` argument"),
    )
    .docs(
        "1.0.0",
        "O(1)",
        "Sets the string value of a key; the key is created if it does not exist.",
        &[
            Arg::key(),
            Arg::string("value"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).since("2.6.12").optional(),
            Arg::word("get", "GET").since("6.2.0").optional(),
        ],
    );

pub(super) static STRLEN: CommandSpec = CommandSpec::data(DataId::StrLen, "strlen", 2, Group::String)
    .flags(&[Flag::Readonly, Flag::Fast])
    .also_in(&[Category::String])
    .keys(KeySpec::one(1, &["RO"]))
    .docs("2.2.0", "O(1)", "Returns the length of a key's string value in bytes; 0 if there is none.", &[Arg::key()]);
