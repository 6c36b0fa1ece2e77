//! Applies a log's records to the keyspace, as they were applied when they were written.
//!
//! A record is a command, so it is resolved through the same table and checked by the same parser as one from a
//! client; what is only ever found in logs (`MSET`, `UNLINK`, `SELECT 0`) is read here. Anything else is refused,
//! never skipped.

use super::parse::{DataCommand, When, is_data, parse};
use super::table::resolve;
use crate::db::state::{KeyHash, Keyspace, NewValue};
use crate::persistence::reader::Batch;
use crate::persistence::replay::RefusedRecord;
use crate::protocol::decode::Args;

/// Records hashed and prefetched ahead.
const WINDOW: usize = 16;

/// Applies a batch, in order.
///
/// # Errors
/// The first record that kvred does not offer; those before it are applied.
pub fn apply(keyspace: &Keyspace, batch: &Batch<'_>) -> Result<(), RefusedRecord> {
    let mut window: [Option<(Record<'_>, KeyHash)>; WINDOW] = [const { None }; WINDOW];
    let mut records = batch.records().enumerate();
    loop {
        let mut filled = 0;
        let mut refused = None;
        for (index, (_, args)) in records.by_ref().take(WINDOW) {
            match Record::parse(args) {
                Ok(record) => {
                    let hash = record.key().map(|key| keyspace.hash(key)).unwrap_or_default();
                    keyspace.prefetch_bucket(hash);
                    window[filled] = Some((record, hash));
                    filled += 1;
                }
                Err(reason) => {
                    refused = Some(RefusedRecord { index, reason });
                    break;
                }
            }
        }
        for (_, hash) in window[..filled].iter().flatten() {
            keyspace.prefetch_entry(*hash);
        }
        for (record, hash) in window[..filled].iter_mut().filter_map(Option::take) {
            record.apply(hash, keyspace);
        }
        match refused {
            Some(refused) => return Err(refused),
            None if filled < WINDOW => return Ok(()),
            None => {}
        }
    }
}

/// Checks a record without applying it; for the tools.
///
/// # Errors
/// Why a server would refuse it.
pub fn check(args: Args<'_>) -> Result<(), String> {
    Record::parse(args).map(drop)
}

/// What a record does.
#[derive(Debug, Clone, Copy)]
enum Record<'a> {
    Set { key: &'a [u8], value: &'a [u8], when: When },
    SetMany(Args<'a>),
    Delete(Args<'a>),
    DeleteAll,
    Nothing,
}

impl<'a> Record<'a> {
    fn parse(args: Args<'a>) -> Result<Self, String> {
        let name = args.at(0);
        if name == b"SET" && args.len() == 3 {
            return Ok(Self::Set { key: args.at(1), value: args.at(2), when: When::Always });
        }
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("MSET") && args.len() >= 3 && args.len() % 2 == 1 {
            return Ok(Self::SetMany(args));
        }
        if is("UNLINK") && args.len() >= 2 {
            return Ok(Self::Delete(args));
        }
        if is("SELECT") && args.len() == 2 {
            return if args.at(1) == b"0" { Ok(Self::Nothing) } else { Err(unsupported_database(args.at(1))) };
        }
        if is("SET") && args.len() == 4 && args.at(3).eq_ignore_ascii_case(b"KEEPTTL") {
            // There is no expiry to keep.
            return Ok(Self::Set { key: args.at(1), value: args.at(2), when: When::Always });
        }
        let spec = resolve(args).map_err(|e| e.to_string())?;
        if !is_data(spec.id) {
            return Err(format!("'{}' does not belong in a log", spec.name));
        }
        match parse(spec.id, args).map_err(|e| e.to_string())? {
            DataCommand::Set { key, value, when, get: _ } => Ok(Self::Set { key, value, when }),
            DataCommand::Del(args) => Ok(Self::Delete(args)),
            DataCommand::FlushAll => Ok(Self::DeleteAll),
            DataCommand::Ping(_)
            | DataCommand::Echo(_)
            | DataCommand::Get(_)
            | DataCommand::Exists(_)
            | DataCommand::Type(_) => Err(format!("'{}' does not belong in a log", spec.name)),
        }
    }

    fn key(&self) -> Option<&'a [u8]> {
        match self {
            Self::Set { key, .. } => Some(key),
            Self::SetMany(args) | Self::Delete(args) => Some(args.at(1)),
            Self::DeleteAll | Self::Nothing => None,
        }
    }

    fn apply(self, hash: KeyHash, keyspace: &Keyspace) {
        match self {
            Self::Set { key, value, when } => {
                let mut shard = keyspace.lock(keyspace.shard_of(hash));
                let may_set = match when {
                    When::Always => true,
                    When::Missing => shard.get(hash, key).is_none(),
                    When::Exists => shard.get(hash, key).is_some(),
                };
                if may_set {
                    drop(shard.set(hash, key, NewValue::Copy(value)));
                }
            }
            Self::SetMany(args) => {
                let mut pairs = args.from(1);
                while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
                    let hash = keyspace.hash(key);
                    drop(keyspace.lock(keyspace.shard_of(hash)).set(hash, key, NewValue::Copy(value)));
                }
            }
            Self::Delete(args) => {
                for key in args.from(1) {
                    let hash = keyspace.hash(key);
                    drop(keyspace.lock(keyspace.shard_of(hash)).remove(hash, key));
                }
            }
            Self::DeleteAll => drop(keyspace.clear()),
            Self::Nothing => {}
        }
    }
}

fn unsupported_database(number: &[u8]) -> String {
    format!("SELECT {}: kvred has one database, 0", String::from_utf8_lossy(number))
}
