//! A group of commands that is committed as one batch: their records as bytes, and what they do to the keyspace.
//!
//! The bytes are both what the log gets and where keys and values are read from until they are published, so a
//! value is copied once into the group and once into the keyspace, and nothing is allocated for each command.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::db::state::{KeyHash, NewValue, ValueRef};
use crate::db::value::own_if_large;
use crate::persistence::aof::BATCH_OVERHEAD_BYTES;
use crate::persistence::format::MAX_BATCH_BYTES;
use crate::protocol::encode;
use crate::protocol::rope::Rope;

/// Past so much a group takes no further commands; the next one follows as soon as it is committed.
const GROUP_FULL_BYTES: usize = 32 << 20;

/// The most that a group's records may be.
const MAX_RECORD_BYTES: usize = MAX_BATCH_BYTES - BATCH_OVERHEAD_BYTES;

/// The most that one command's may be: there is room for them in any group that takes commands.
const MAX_COMMAND_BYTES: usize = 960 << 20;
const _: () = assert!(GROUP_FULL_BYTES + MAX_COMMAND_BYTES < MAX_RECORD_BYTES);

/// Whether a command with `bytes` of arguments, `args` of them, can be logged.
pub fn can_be_logged(bytes: usize, args: usize) -> bool {
    /// `$4294967295\r\n…\r\n`
    const HEADER_BYTES: usize = 15;
    bytes.saturating_add((args + 2) * HEADER_BYTES) <= MAX_COMMAND_BYTES
}

/// A stretch of the group's copied bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    start: u32,
    len: u32,
}

/// What an operation does to its key.
#[derive(Debug)]
pub(super) enum Effect {
    /// Sets it to bytes of the group.
    SetCopied(Piece),
    /// Sets it to a shared value.
    SetShared(Bytes),
    /// Deletes it.
    Delete,
    /// Deletes every key; the operation's own key means nothing.
    DeleteAll,
}

/// What one command does to one key.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) hash: KeyHash,
    key: Piece,
    pub(super) effect: Effect,
    /// Whether the command has a further operation behind this one; all of a command is published as one step.
    pub(super) continued: bool,
}

/// Commands in the order in which they take effect.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) rope: Rope,
    pub(super) ops: Vec<Op>,
    pub(super) outcome: Arc<Outcome>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether it should be committed before it takes more.
    pub(super) fn is_full(&self) -> bool {
        self.rope.len() >= GROUP_FULL_BYTES
    }

    /// Whether a command of `bytes`, as sent, is taken although the group is full, since it is copied already.
    pub(super) fn takes_copied(&self, bytes: usize) -> bool {
        /// The record is longer than the command as sent by less than this.
        const SLACK_BYTES: usize = 1 << 20;
        bytes > 0 && self.rope.len() + bytes + SLACK_BYTES <= MAX_RECORD_BYTES
    }

    /// Whether its buffers are worth keeping: a rare large group has made them huge.
    pub(super) fn is_small(&self) -> bool {
        const KEEP_BYTES: usize = 4 << 20;
        self.rope.len().max(self.rope.buffer.capacity()) <= KEEP_BYTES
    }

    /// An empty group with the buffers of this one.
    pub(super) fn emptied(mut self) -> Self {
        self.rope.clear();
        self.ops.clear();
        Self { rope: self.rope, ops: self.ops, ..Self::default() }
    }

    /// The bytes of an operation's key.
    pub(super) fn key(&self, op: &Op) -> &[u8] {
        self.piece(op.key)
    }

    pub(super) fn piece(&self, piece: Piece) -> &[u8] {
        &self.rope.buffer[piece.start as usize..(piece.start + piece.len) as usize]
    }

    /// The value that an operation gives its key; `None` if it deletes it.
    pub(super) fn value<'a>(&'a self, op: &'a Op) -> Option<ValueRef<'a>> {
        match &op.effect {
            Effect::SetCopied(piece) => Some(ValueRef::Inline(self.piece(*piece))),
            Effect::SetShared(bytes) => Some(ValueRef::Shared(bytes)),
            Effect::Delete | Effect::DeleteAll => None,
        }
    }

    /// Appends `SET key value`.
    pub(super) fn set(&mut self, hash: KeyHash, key: &[u8], value: NewValue<'_>) {
        self.rope.buffer.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        let key = self.bulk(key);
        let effect = match own_if_large(value) {
            NewValue::Copy(value) => Effect::SetCopied(self.bulk(value)),
            NewValue::Shared(value) => {
                encode::bulk_shared(&mut self.rope, &value);
                Effect::SetShared(value)
            }
        };
        self.ops.push(Op { hash, key, effect, continued: false });
    }

    /// Appends `DEL key [key …]`. There is at least one.
    pub(super) fn delete<'k>(&mut self, keys: impl ExactSizeIterator<Item = (KeyHash, &'k [u8])>) {
        encode::array(&mut self.rope.buffer, keys.len() + 1);
        self.rope.buffer.extend_from_slice(b"$3\r\nDEL\r\n");
        for (hash, key) in keys {
            let key = self.bulk(key);
            self.ops.push(Op { hash, key, effect: Effect::Delete, continued: true });
        }
        if let Some(last) = self.ops.last_mut() {
            last.continued = false;
        }
    }

    /// Appends `FLUSHALL`.
    pub(super) fn delete_all(&mut self) {
        self.rope.buffer.extend_from_slice(b"*1\r\n$8\r\nFLUSHALL\r\n");
        let key = Piece { start: 0, len: 0 };
        self.ops.push(Op { hash: KeyHash::default(), key, effect: Effect::DeleteAll, continued: false });
    }

    fn bulk(&mut self, bytes: &[u8]) -> Piece {
        encode::bulk(&mut self.rope.buffer, bytes);
        let end = self.rope.buffer.len() - 2;
        Piece { start: (end - bytes.len()) as u32, len: bytes.len() as u32 }
    }
}

/// How the commit of a group ended; unset while it is under way.
#[derive(Debug, Default)]
pub(super) struct Outcome(pub(super) OnceLock<Result<(), WriteFailure>>);

/// Why a write was not acknowledged; it displays as the reply's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteFailure {
    /// Nothing was written; Redis's text.
    #[error("MISCONF Errors writing to the AOF file: {0}")]
    Refused(Arc<str>),
    /// Whether it will be there after a restart is not known.
    #[error("ERR the outcome of this write is unknown: {0}")]
    Unknown(Arc<str>),
}
