//! Runs commands on the published state, and writes the replies of those that only read.

use super::Env;
use crate::command::parse::DataCommand;
use crate::db::state::KeyHash;
use crate::protocol::decode::Args;
use crate::protocol::encode;
use crate::protocol::rope::Rope;

/// Runs a command that changes nothing, on the published state.
#[inline]
pub(super) fn run_read(command: DataCommand<'_>, hash: KeyHash, env: &Env<'_>, out: &mut Rope) {
    match command {
        DataCommand::Get(key) => {
            let found = env.keyspace.get(hash, key, |value| value.append_bulk(out));
            reply_missing(found.is_none(), env, out);
        }
        DataCommand::Exists(args) => {
            let count = env.keyspace.count_existing(args.from(1));
            reply_count(count, args, env, out);
        }
        DataCommand::StrLen(key) => {
            let len = env.keyspace.get(hash, key, |value| value.as_slice().len());
            reply_len(len, env, out);
        }
        DataCommand::Type(key) => reply_type(env.keyspace.contains(hash, key), env, out),
        DataCommand::Ping(message) => reply_ping(message, out),
        DataCommand::Echo(message) => encode::bulk(&mut out.buffer, message),
        DataCommand::Set { .. } | DataCommand::Del(_) | DataCommand::FlushAll => {
            unreachable!("a write is not run on the published state")
        }
    }
}

#[inline]
pub(super) fn reply_missing(missing: bool, env: &Env<'_>, out: &mut Rope) {
    if missing {
        encode::null(&mut out.buffer, env.resp);
    }
    env.counters.lookup(!missing);
}

pub(super) fn reply_count(count: usize, args: Args<'_>, env: &Env<'_>, out: &mut Rope) {
    encode::integer(&mut out.buffer, count as i64);
    env.counters.lookups(count as u64, (args.len() - 1 - count) as u64);
}

pub(super) fn reply_len(len: Option<usize>, env: &Env<'_>, out: &mut Rope) {
    encode::integer(&mut out.buffer, len.unwrap_or(0) as i64);
    env.counters.lookup(len.is_some());
}

pub(super) fn reply_type(exists: bool, env: &Env<'_>, out: &mut Rope) {
    encode::simple(&mut out.buffer, if exists { "string" } else { "none" });
    env.counters.lookup(exists);
}

pub(super) fn reply_ping(message: Option<&[u8]>, out: &mut Rope) {
    match message {
        Some(message) => encode::bulk(&mut out.buffer, message),
        None => out.buffer.extend_from_slice(b"+PONG\r\n"),
    }
}
