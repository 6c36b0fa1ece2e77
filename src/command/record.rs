//! What the records of a log mean; [`Loader`](super::loader::Loader) applies them.
//!
//! A record is a command, so it is resolved through the same table and checked by the same parser as one from a
//! client; what is only ever found in logs (`MSET`, `UNLINK`, `SELECT 0`, `KEEPTTL`) is read here, and where no server
//! of ours would take it, `aof dump` puts it in other words. Anything else is refused, never skipped.

use super::errors::CommandError;
use super::parse::{DataCommand, When, parse, parse_set};
use super::table::{CommandId, DataId, resolve};
use crate::persistence::aof::BATCH_OVERHEAD_BYTES;
use crate::persistence::format::MAX_BATCH_BYTES;
use crate::protocol::decode::Args;
use crate::terminal::shown;

/// Checks a record without applying it; for the tools.
///
/// # Errors
/// Why a server would refuse it.
pub fn check(args: Args<'_>) -> Result<(), String> {
    Record::parse(args).map(drop)
}

/// What a record does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Record<'a> {
    Set { key: &'a [u8], value: &'a [u8], when: When },
    SetMany(Args<'a>),
    Delete(Args<'a>),
    DeleteAll,
    Nothing,
}

impl<'a> Record<'a> {
    pub(super) fn parse(args: Args<'a>) -> Result<Self, String> {
        let name = args.at(0);
        if name == b"SET" && args.len() == 3 {
            return Self::set(args.at(1), args.at(2), When::Always);
        }
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("MSET") && args.len() >= 3 && args.len() % 2 == 1 {
            args.pairs(1).try_for_each(|(key, value)| Self::set(key, value, When::Always).map(drop))?;
            return Ok(Self::SetMany(args));
        }
        if is("UNLINK") && args.len() >= 2 {
            return Ok(Self::Delete(args));
        }
        if is("SELECT") && args.len() == 2 {
            return if args.at(1) == b"0" { Ok(Self::Nothing) } else { Err(unsupported_database(args.at(1))) };
        }
        let spec = resolve(args).map_err(|e| e.to_string())?;
        let CommandId::Data(id) = spec.id else {
            return Err(format!("'{}' does not belong in a log", spec.name));
        };
        let command = if id == DataId::Set {
            // There is no expiry to keep.
            parse_set(args, args.from(3).filter(|option| !option.eq_ignore_ascii_case(b"KEEPTTL")))
        } else {
            parse(id, args)
        };
        let command = command.map_err(|e| match (id, e) {
            // Redis and Valkey have more of them, as IFEQ.
            (DataId::Set, CommandError::Syntax) => unsupported_options(args),
            (_, e) => e.to_string(),
        })?;
        match command {
            DataCommand::Set { key, value, when, get: _ } => Self::set(key, value, when),
            DataCommand::Del(args) => Ok(Self::Delete(args)),
            DataCommand::FlushAll => Ok(Self::DeleteAll),
            DataCommand::Ping(_)
            | DataCommand::Echo(_)
            | DataCommand::Get(_)
            | DataCommand::StrLen(_)
            | DataCommand::Exists(_)
            | DataCommand::Type(_) => Err(format!("'{}' does not belong in a log", spec.name)),
        }
    }

    /// A key and a value that no batch can have would be in the way of every rewrite.
    fn set(key: &'a [u8], value: &'a [u8], when: When) -> Result<Self, String> {
        if key.len().saturating_add(value.len()) > MAX_ENTRY_BYTES {
            return Err("the key and the value are together longer than kvred can log, 1 GiB less 4 KiB".to_owned());
        }
        Ok(Self::Set { key, value, when })
    }
}

/// The rest of the batch is for what stands around them.
const MAX_ENTRY_BYTES: usize = MAX_BATCH_BYTES - (4 << 10);
const _: () = assert!(BATCH_OVERHEAD_BYTES + 100 < 4 << 10);

fn unsupported_options(args: Args<'_>) -> String {
    let options = args.from(3).collect::<Vec<_>>().join(&b' ');
    format!("'set' with options that kvred does not take: {}", shown(&options[..options.len().min(128)]))
}

fn unsupported_database(number: &[u8]) -> String {
    format!("SELECT {}: kvred has one database, 0", shown(&number[..number.len().min(128)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::decode::RequestDecoder;

    #[test]
    fn what_no_batch_can_have_is_refused() {
        for (name, over) in [("SET", 0), ("SET", 1), ("MSET", 1), ("set", 1)] {
            // Nothing looks at the value, so the system need not have its bytes.
            let len = MAX_ENTRY_BYTES - "key".len() + over;
            let header = format!("*3\r\n${}\r\n{name}\r\n$3\r\nkey\r\n${len}\r\n", name.len());
            let mut log = vec![0; header.len() + len + 2];
            log[..header.len()].copy_from_slice(header.as_bytes());
            log[header.len() + len..].copy_from_slice(b"\r\n");
            let mut spans = Vec::new();
            RequestDecoder::for_log().decode(&mut log, 0, &mut spans).unwrap().unwrap();
            let refused = check(Args::new(&log, &spans)).err();
            assert_eq!(refused.is_some_and(|why| why.contains("longer than kvred can log")), over > 0, "{name} {over}");
        }
    }
}
