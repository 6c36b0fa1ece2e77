//! What the records of a log mean; [`Loader`](super::loader::Loader) applies them.
//!
//! A record is a command, so it is resolved through the same table and checked by the same parser as one from a
//! client; what is only ever found in logs (`MSET`, `UNLINK`, `SELECT 0`, `KEEPTTL`) is read here, and where no server of
//! ours would take it, `aof dump` puts it in other words. Anything else is refused, never skipped.

use super::parse::{DataCommand, When, is_data, parse, parse_set};
use super::table::{CommandId, resolve};
use crate::protocol::decode::Args;

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
        let spec = resolve(args).map_err(|e| e.to_string())?;
        if !is_data(spec.id) {
            return Err(format!("'{}' does not belong in a log", spec.name));
        }
        let command = if spec.id == CommandId::Set {
            // There is no expiry to keep.
            parse_set(args, args.from(3).filter(|option| !option.eq_ignore_ascii_case(b"KEEPTTL")))
        } else {
            parse(spec.id, args)
        };
        match command.map_err(|e| e.to_string())? {
            DataCommand::Set { key, value, when, get: _ } => Ok(Self::Set { key, value, when }),
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
}

fn unsupported_database(number: &[u8]) -> String {
    format!("SELECT {}: kvred has one database, 0", String::from_utf8_lossy(number))
}
