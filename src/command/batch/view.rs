//! Runs commands in the writer's view: what is published and what is pending.

use bytes::Bytes;

use super::Env;
use super::read::{reply_count, reply_len, reply_missing, reply_ping, reply_type};
use crate::command::errors::CommandError;
use crate::command::parse::{DataCommand, When, parse};
use crate::command::spec::{CommandSpec, Flag};
use crate::command::table::DataId;
use crate::db::state::{KeyHash, NewValue};
use crate::db::writer::{WriteBatch, can_be_logged};
use crate::protocol::decode::Args;
use crate::protocol::encode;
use crate::protocol::rope::Rope;

/// See the file's header.
pub(super) struct WriterView<'v, 'w> {
    pub(super) batch: &'v mut WriteBatch<'w>,
    pub(super) env: &'v Env<'v>,
    /// No key is set then.
    pub(super) out_of_memory: bool,
}

impl WriterView<'_, '_> {
    /// Runs one, appending its reply to `out`. `large`: its value, if that was copied for it.
    pub(super) fn run(
        &mut self,
        spec: &CommandSpec,
        id: DataId,
        args: Args<'_>,
        hash: KeyHash,
        large: Option<Bytes>,
        out: &mut Rope,
    ) -> Result<(), CommandError> {
        // Before the arguments are looked at, as in Redis.
        if self.out_of_memory && spec.flags.contains(Flag::DenyOom) {
            return Err(CommandError::OutOfMemory);
        }
        match parse(id, args)? {
            DataCommand::Set { key, value, when, get } => {
                let value = large.map_or(NewValue::Copy(value), NewValue::Shared);
                self.set(hash, key, value, when, get, out)?;
            }
            DataCommand::Del(args) => {
                if !can_be_logged(args.total_bytes(), args.len()) {
                    return Err(CommandError::TooLargeToLog);
                }
                let keyspace = self.env.keyspace;
                let deleted = self.batch.delete(args.from(1).map(|key| (keyspace.hash(key), key)));
                encode::integer(&mut out.buffer, deleted as i64);
            }
            DataCommand::FlushAll => {
                self.batch.delete_all();
                encode::simple(&mut out.buffer, "OK");
            }
            DataCommand::Get(key) => {
                self.get(hash, key, out);
            }
            DataCommand::Exists(args) => {
                let count = args.from(1).filter(|key| self.batch.exists(self.env.keyspace.hash(key), key)).count();
                reply_count(count, args, self.env, out);
            }
            DataCommand::StrLen(key) => {
                let len = self.batch.get(hash, key, |value| value.as_slice().len());
                reply_len(len, self.env, out);
            }
            DataCommand::Type(key) => reply_type(self.batch.exists(hash, key), self.env, out),
            DataCommand::Ping(message) => reply_ping(message, out),
            DataCommand::Echo(message) => encode::bulk(&mut out.buffer, message),
        }
        Ok(())
    }

    /// Replies with a key's value: whether there is one.
    fn get(&mut self, hash: KeyHash, key: &[u8], out: &mut Rope) -> bool {
        let exists = self.batch.get(hash, key, |value| value.append_bulk(out)).is_some();
        reply_missing(!exists, self.env, out);
        exists
    }

    fn set(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        value: NewValue<'_>,
        when: When,
        get: bool,
        out: &mut Rope,
    ) -> Result<(), CommandError> {
        if !is_set_loggable(key, value.as_slice()) {
            return Err(CommandError::TooLargeToLog);
        }
        let exists = get.then(|| self.get(hash, key, out));
        let may_set = when.allows(|| exists.unwrap_or_else(|| self.batch.exists(hash, key)));
        if may_set {
            self.batch.set(hash, key, value);
        }
        if !get {
            if may_set {
                out.buffer.extend_from_slice(b"+OK\r\n");
            } else {
                encode::null(&mut out.buffer, self.env.resp);
            }
        }
        Ok(())
    }
}

/// Whether a batch of the log has room for a key and its value.
pub(super) fn is_set_loggable(key: &[u8], value: &[u8]) -> bool {
    can_be_logged(key.len() + value.len(), 2)
}
