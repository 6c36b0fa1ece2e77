//! Values, as they are read and as they are given.

use bytes::Bytes;

use crate::protocol::encode;
use crate::protocol::rope::{Rope, SHARE_AT_LEAST_BYTES};

/// A value where it is stored.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A small one, to be copied while the lock is held.
    Inline(&'a [u8]),
    /// A large one, which a clone of the handle keeps for as long as needed.
    Shared(&'a Bytes),
}

impl<'a> ValueRef<'a> {
    /// The bytes of the value.
    pub fn as_slice(self) -> &'a [u8] {
        match self {
            ValueRef::Inline(bytes) => bytes,
            ValueRef::Shared(bytes) => bytes,
        }
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.as_slice().len()
    }

    /// Appends it as a bulk string, a large one without copying it.
    #[inline]
    pub fn append_bulk(self, out: &mut Rope) {
        match self {
            ValueRef::Inline(bytes) => encode::bulk(&mut out.buffer, bytes),
            ValueRef::Shared(bytes) => encode::bulk_shared(out, bytes),
        }
    }
}

/// A value to be stored. How it is given does not decide how it is stored.
#[derive(Clone, Debug)]
pub enum NewValue<'a> {
    /// Copied in; into an allocation of its own if it is large (which is better done before locking).
    Copy(&'a [u8]),
    /// Taken over if it is large, copied in otherwise. It must be an allocation of its own, not a part of a read
    /// buffer, which it would keep alive.
    Shared(Bytes),
}

impl NewValue<'_> {
    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            NewValue::Copy(bytes) => bytes,
            NewValue::Shared(bytes) => bytes,
        }
    }

    /// The value in an allocation of its own.
    pub(super) fn into_owned(self) -> Bytes {
        match self {
            NewValue::Copy(bytes) => Bytes::copy_from_slice(bytes),
            NewValue::Shared(bytes) => bytes,
        }
    }

    /// Once it was copied: what it was given in, for the garbage.
    pub(super) fn unused(self) -> Option<Bytes> {
        match self {
            NewValue::Copy(_) => None,
            NewValue::Shared(bytes) => Some(bytes),
        }
    }
}

/// A value as a group takes it: a large one in an allocation of its own. That is better made before locking.
pub fn own_if_large(value: NewValue<'_>) -> NewValue<'_> {
    match value {
        NewValue::Copy(bytes) if bytes.len() >= SHARE_AT_LEAST_BYTES => NewValue::Shared(Bytes::copy_from_slice(bytes)),
        value => value,
    }
}
