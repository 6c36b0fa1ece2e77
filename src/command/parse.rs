//! The commands on data, typed: arguments -> [`DataCommand`].
//!
//! These are the commands that run in batches, on the published state or in the writer's view. What concerns the
//! connection or the server is not here: it runs alone, in [`server`](crate::server).

use super::errors::CommandError;
use super::refused::Family;
use super::table::DataId;
use crate::protocol::decode::Args;

/// A command on data, its arguments checked.
#[derive(Debug, Clone, Copy)]
pub enum DataCommand<'a> {
    /// `PING [message]`
    Ping(Option<&'a [u8]>),
    /// `ECHO message`
    Echo(&'a [u8]),
    /// `GET key`
    Get(&'a [u8]),
    /// `SET key value [NX | XX] [GET]`
    Set {
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
        /// What must hold for it to be set.
        when: When,
        /// Whether the reply is the value that it had before.
        get: bool,
    },
    /// `STRLEN key`
    StrLen(&'a [u8]),
    /// `DEL key [key …]`
    Del(Args<'a>),
    /// `EXISTS key [key …]`
    Exists(Args<'a>),
    /// `TYPE key`
    Type(&'a [u8]),
    /// `FLUSHALL [ASYNC | SYNC]`, `FLUSHDB [ASYNC | SYNC]`
    FlushAll,
}

/// The condition of a `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// None.
    #[default]
    Always,
    /// `NX`: the key must not exist.
    Missing,
    /// `XX`: the key must exist.
    Exists,
}

impl When {
    /// Whether it lets a key be set, which `exists` looks up.
    #[inline]
    pub(super) fn allows(self, exists: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Missing => !exists(),
            Self::Exists => exists(),
        }
    }
}

/// Checks the arguments of a command on data. Their number is right already.
///
/// # Errors
/// The exact reply.
#[inline(always)]
pub fn parse(id: DataId, args: Args<'_>) -> Result<DataCommand<'_>, CommandError> {
    Ok(match id {
        DataId::Get => DataCommand::Get(args.at(1)),
        DataId::Set if args.len() > 3 => return parse_set_with_options(args),
        DataId::Set => DataCommand::Set { key: args.at(1), value: args.at(2), when: When::Always, get: false },
        DataId::StrLen => DataCommand::StrLen(args.at(1)),
        DataId::Del => DataCommand::Del(args),
        DataId::Exists => DataCommand::Exists(args),
        DataId::Type => DataCommand::Type(args.at(1)),
        DataId::Ping if args.len() > 2 => return Err(CommandError::WrongArity("ping")),
        DataId::Ping => DataCommand::Ping((args.len() == 2).then(|| args.at(1))),
        DataId::Echo => DataCommand::Echo(args.at(1)),
        DataId::FlushAll | DataId::FlushDb => return parse_flush(args),
    })
}

#[inline(never)]
fn parse_set_with_options(args: Args<'_>) -> Result<DataCommand<'_>, CommandError> {
    parse_set(args, args.from(3))
}

/// Parses a `SET` of whose options these count.
pub(super) fn parse_set<'a>(
    args: Args<'a>,
    options: impl Iterator<Item = &'a [u8]>,
) -> Result<DataCommand<'a>, CommandError> {
    let (mut when, mut get) = (None, false);
    for option in options {
        let lower = option.to_ascii_lowercase();
        match &lower[..] {
            b"nx" if when != Some(When::Exists) => when = Some(When::Missing),
            b"xx" if when != Some(When::Missing) => when = Some(When::Exists),
            b"get" => get = true,
            b"ex" | b"px" | b"exat" | b"pxat" | b"keepttl" => {
                let option = match &lower[..] {
                    b"ex" => "EX",
                    b"px" => "PX",
                    b"exat" => "EXAT",
                    b"pxat" => "PXAT",
                    _ => "KEEPTTL",
                };
                return Err(CommandError::OptionNotSupported { command: "set", option, family: Family::Expiry });
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(DataCommand::Set { key: args.at(1), value: args.at(2), when: when.unwrap_or_default(), get })
}

#[cold]
fn parse_flush(args: Args<'_>) -> Result<DataCommand<'_>, CommandError> {
    let ok = match args.len() {
        1 => true,
        2 => args.at(1).eq_ignore_ascii_case(b"sync") || args.at(1).eq_ignore_ascii_case(b"async"),
        _ => false,
    };
    if ok { Ok(DataCommand::FlushAll) } else { Err(CommandError::Syntax) }
}
