//! The replies of `COMMAND` and its subcommands, and of every container's `HELP`, rendered from the table.
//!
//! The shape of each reply is that of Redis 8.0: `redis-cli` reads hints from it, libraries read key positions. In
//! RESP3 what Redis sends as a map is a map; what it sends as a set stays an array, as kvred claims no more of
//! RESP3 than maps and nulls.

use super::errors::CommandError;
use super::glob;
use super::spec::{Arg, ArgKind, CommandSpec, KeySpec};
use super::synopsis::synopsis;
use super::table::{COMMANDS, every_row, lookup, lookup_full};
use crate::protocol::encode::{Resp, array, bulk, integer, map, null, simple};

/// Renders `COMMAND`: every command as [`info`] describes it.
pub fn all(out: &mut Vec<u8>, resp: Resp) {
    array(out, COMMANDS.len());
    for row in COMMANDS {
        info_entry(out, row, resp);
    }
}

/// Renders `COMMAND COUNT`.
#[expect(clippy::cast_possible_wrap, reason = "the table has some dozens of rows")]
pub fn count(out: &mut Vec<u8>) {
    integer(out, COMMANDS.len() as i64);
}

/// Renders `COMMAND INFO [name …]`; unknown names are nulls, no name at all means every command.
pub fn info(out: &mut Vec<u8>, names: &[&[u8]], resp: Resp) {
    if names.is_empty() {
        return all(out, resp);
    }
    array(out, names.len());
    for name in names {
        match lookup_full(name) {
            Some(row) => info_entry(out, row, resp),
            None => null(out, resp),
        }
    }
}

/// Renders `COMMAND LIST [FILTERBY MODULE m | ACLCAT c | PATTERN p]`; `args` follow `LIST`.
///
/// Without a filter the top-level commands are listed; with one the subcommands too, as in Redis.
///
/// # Errors
/// [`CommandError::Syntax`] when the filter is not one of these.
pub fn list(out: &mut Vec<u8>, args: &[&[u8]]) -> Result<(), CommandError> {
    let filter = match args {
        [] => None,
        [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => Some(Filter::parse(kind, value)?),
        _ => return Err(CommandError::Syntax),
    };
    let names: Vec<&str> = match filter {
        None => COMMANDS.iter().map(|row| row.name).collect(),
        Some(filter) => every_row().filter(|row| filter.accepts(row)).map(|row| row.name).collect(),
    };
    array(out, names.len());
    for name in names {
        bulk(out, name.as_bytes());
    }
    Ok(())
}

/// Renders `COMMAND DOCS [name …]`; unknown names are left out, no name at all means every command.
pub fn docs(out: &mut Vec<u8>, names: &[&[u8]], resp: Resp) {
    let rows: Vec<&CommandSpec> =
        if names.is_empty() { COMMANDS.to_vec() } else { names.iter().filter_map(|name| lookup_full(name)).collect() };
    docs_map(out, &rows, resp);
}

/// Renders `COMMAND GETKEYS name [arg …]`; `call` is the call that is asked about, its name first.
///
/// # Errors
/// The command is unknown, has no keys, or the call has a wrong number of arguments.
pub fn get_keys(out: &mut Vec<u8>, call: &[&[u8]]) -> Result<(), CommandError> {
    let row = call.first().and_then(|name| lookup(name)).ok_or(CommandError::GetKeysCommand)?;
    let row = match call.get(1) {
        Some(word) if row.is_container() => row.subcommand(word).ok_or(CommandError::GetKeysCommand)?,
        _ => row,
    };
    let keys = row.keys.ok_or(CommandError::GetKeysNoKeys)?;
    if !row.arity_ok(call.len()) {
        return Err(CommandError::GetKeysArity);
    }
    let end = if keys.last < 0 { call.len() } else { usize::from(keys.last.unsigned_abs()) + 1 };
    let found = &call[usize::from(keys.first)..end];
    array(out, found.len());
    for key in found {
        bulk(out, key);
    }
    Ok(())
}

/// Renders a container's `HELP`: each subcommand's call and what it does.
pub fn help(out: &mut Vec<u8>, container: &CommandSpec) {
    array(out, 1 + 2 * container.subcommands.len());
    let name = container.name.to_ascii_uppercase();
    simple(out, &format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for row in container.subcommands {
        simple(out, &synopsis(row));
        simple(out, &format!("    {}", row.docs.summary));
    }
}

/// What `COMMAND LIST FILTERBY` lets through.
enum Filter<'a> {
    /// kvred loads no modules, so this accepts nothing.
    Module,
    AclCategory(&'a [u8]),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(kind: &[u8], value: &'a [u8]) -> Result<Self, CommandError> {
        match kind.to_ascii_lowercase().as_slice() {
            b"module" => Ok(Self::Module),
            b"aclcat" => Ok(Self::AclCategory(value)),
            b"pattern" => Ok(Self::Pattern(value)),
            _ => Err(CommandError::Syntax),
        }
    }

    fn accepts(&self, row: &CommandSpec) -> bool {
        match self {
            Self::Module => false,
            Self::AclCategory(name) => {
                row.categories().iter().any(|category| category.name().as_bytes().eq_ignore_ascii_case(name))
            }
            Self::Pattern(pattern) => glob::matches_ignoring_case(pattern, row.name.as_bytes()),
        }
    }
}

/// Appends the ten fields of one command in `COMMAND INFO`.
fn info_entry(out: &mut Vec<u8>, row: &CommandSpec, resp: Resp) {
    array(out, 10);
    bulk(out, row.name.as_bytes());
    integer(out, row.arity.into());
    simples(out, &row.flags.iter().map(|flag| flag.name().to_owned()).collect::<Vec<_>>());
    let (first, last, step) = row.keys.map_or((0, 0, 0), |keys| (keys.first, keys.last, 1));
    integer(out, first.into());
    integer(out, last.into());
    integer(out, step);
    simples(out, &row.categories().iter().map(|category| format!("@{}", category.name())).collect::<Vec<_>>());
    array(out, row.tips.len());
    for tip in row.tips {
        bulk(out, tip.as_bytes());
    }
    array(out, row.keys.iter().len());
    if let Some(keys) = row.keys {
        key_spec(out, keys, resp);
    }
    array(out, row.subcommands.len());
    for sub in row.subcommands {
        info_entry(out, sub, resp);
    }
}

fn simples(out: &mut Vec<u8>, words: &[String]) {
    array(out, words.len());
    for word in words {
        simple(out, word);
    }
}

/// Appends a key specification; its `lastkey` counts from the first key, unlike the legacy field.
fn key_spec(out: &mut Vec<u8>, keys: KeySpec, resp: Resp) {
    let first = i64::from(keys.first);
    let last = i64::from(keys.last);
    let noted = !keys.notes.is_empty();
    map(out, 3 + usize::from(noted), resp);
    if noted {
        text_field(out, "notes", keys.notes);
    }
    bulk(out, b"flags");
    array(out, keys.flags.len());
    for flag in keys.flags {
        simple(out, flag);
    }
    search(out, b"begin_search", "index", &[("index", first)], resp);
    let last_key = if last < 0 { last } else { last - first };
    search(out, b"find_keys", "range", &[("lastkey", last_key), ("keystep", 1), ("limit", 0)], resp);
}

fn search(out: &mut Vec<u8>, field: &[u8], kind: &str, spec: &[(&str, i64)], resp: Resp) {
    bulk(out, field);
    map(out, 2, resp);
    text_field(out, "type", kind);
    bulk(out, b"spec");
    map(out, spec.len(), resp);
    for (name, value) in spec {
        bulk(out, name.as_bytes());
        integer(out, *value);
    }
}

/// Appends a map from full names to documentation.
fn docs_map(out: &mut Vec<u8>, rows: &[&CommandSpec], resp: Resp) {
    map(out, rows.len(), resp);
    for row in rows {
        bulk(out, row.name.as_bytes());
        docs_entry(out, row, resp);
    }
}

fn docs_entry(out: &mut Vec<u8>, row: &CommandSpec, resp: Resp) {
    let docs = &row.docs;
    let deprecation = if docs.deprecated.is_some() { 3 } else { 0 };
    let fields = 4 + deprecation + usize::from(!docs.args.is_empty()) + usize::from(row.is_container());
    map(out, fields, resp);
    text_field(out, "summary", docs.summary);
    text_field(out, "since", docs.since);
    text_field(out, "group", row.group.name());
    text_field(out, "complexity", docs.complexity);
    if let Some((since, replaced_by)) = docs.deprecated {
        bulk(out, b"doc_flags");
        array(out, 1);
        simple(out, "deprecated");
        text_field(out, "deprecated_since", since);
        text_field(out, "replaced_by", replaced_by);
    }
    if !docs.args.is_empty() {
        arguments(out, docs.args, resp);
    }
    if row.is_container() {
        bulk(out, b"subcommands");
        docs_map(out, row.subcommands, resp);
    }
}

fn arguments(out: &mut Vec<u8>, args: &[Arg], resp: Resp) {
    bulk(out, b"arguments");
    array(out, args.len());
    for arg in args {
        argument(out, arg, resp);
    }
}

fn argument(out: &mut Vec<u8>, arg: &Arg, resp: Resp) {
    let nested = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let is_key = arg.kind == ArgKind::Key;
    let flags: Vec<&str> = [(arg.optional, "optional"), (arg.multiple, "multiple")]
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .collect();
    // A nested argument has a list of arguments where a plain one has the text to display.
    let fields = 3
        + usize::from(is_key)
        + usize::from(arg.token.is_some())
        + usize::from(arg.since.is_some())
        + usize::from(!flags.is_empty());
    map(out, fields, resp);
    text_field(out, "name", arg.name);
    text_field(out, "type", arg.kind.name());
    if !nested {
        text_field(out, "display_text", arg.display);
    }
    if is_key {
        // No command of the table has a second key specification.
        bulk(out, b"key_spec_index");
        integer(out, 0);
    }
    if let Some(token) = arg.token {
        text_field(out, "token", token);
    }
    if let Some(since) = arg.since {
        text_field(out, "since", since);
    }
    if !flags.is_empty() {
        bulk(out, b"flags");
        array(out, flags.len());
        for flag in flags {
            simple(out, flag);
        }
    }
    if nested {
        arguments(out, arg.args, resp);
    }
}

fn text_field(out: &mut Vec<u8>, name: &str, value: &str) {
    bulk(out, name.as_bytes());
    bulk(out, value.as_bytes());
}

#[cfg(test)]
mod tests;
