//! Commands on keys that look at many of them, or at how a value is stored.

use super::Context;
use crate::command::batch::Count;
use crate::command::errors::{CommandError, c_string};
use crate::command::glob;
use crate::db::state::ValueRef;
use crate::protocol::decode::Args;
use crate::protocol::encode::{array, bulk, integer, null};
use crate::protocol::number::parse_i64;

/// Keys met in one step of a walk over all of them, so that no lock is held for long.
const WALK_STEP: usize = 1000;

pub(super) fn keys(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let keyspace = context.keyspace();
    let (mut cursor, mut found, mut count) = (0, Vec::new(), 0);
    loop {
        cursor = keyspace.scan(cursor, WALK_STEP, |key, _| {
            if glob::matches(args.at(1), key) {
                bulk(&mut found, key);
                count += 1;
            }
        });
        if cursor == 0 {
            break;
        }
    }
    array(out, count);
    out.extend_from_slice(&found);
}

pub(super) fn scan(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let cursor = parse_cursor(args.at(1)).ok_or(CommandError::InvalidCursor)?;
    let (mut pattern, mut count, mut of_type) = (None, 10, true);
    let mut options = args.from(2);
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"novalues") {
            return Err(CommandError::ScanNoValues);
        }
        let value = options.next().ok_or(CommandError::Syntax)?;
        match option.to_ascii_lowercase().as_slice() {
            b"match" => pattern = Some(value),
            b"count" => {
                let number = parse_i64(value).ok_or(CommandError::NotAnInteger)?;
                count = usize::try_from(number).ok().filter(|n| *n > 0).ok_or(CommandError::Syntax)?;
            }
            b"type" => of_type = value.eq_ignore_ascii_case(b"string"),
            _ => return Err(CommandError::Syntax),
        }
    }
    let keyspace = context.keyspace();
    let (mut found, mut keys) = (Vec::new(), 0);
    let next = keyspace.scan(cursor, count, |key, _| {
        if of_type && pattern.is_none_or(|p| glob::matches(p, key)) {
            bulk(&mut found, key);
            keys += 1;
        }
    });
    array(out, 2);
    bulk(out, next.to_string().as_bytes());
    array(out, keys);
    out.extend_from_slice(&found);
    Ok(())
}

/// Reads a cursor as Redis does: a number as `string2ll` takes it but not negative, or else whatever C's `strtoull`
/// takes.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let text = c_string(text, usize::MAX);
    let start = text.iter().position(|c| !matches!(c, b' ' | b'\t'..=b'\r'))?;
    let (negative, digits) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

pub(super) fn random_key(context: &Context<'_>, out: &mut Vec<u8>) {
    let mut key = Vec::new();
    if context.keyspace().random_key(fastrand::u64(..), &mut key) {
        bulk(out, &key);
    } else {
        null(out, context.session.resp);
    }
}

pub(super) fn object_encoding(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let keyspace = context.keyspace();
    let key = args.at(2);
    let encoding = keyspace.get(keyspace.hash(key), key, encoding);
    context.worker.stats.lookup(encoding.is_some());
    match encoding {
        Some(encoding) => bulk(out, encoding.as_bytes()),
        None => null(out, context.session.resp),
    }
}

/// What Redis would call the encoding of such a value.
fn encoding(value: ValueRef<'_>) -> &'static str {
    /// The longest string that Redis embeds in its object.
    const EMBEDDED_BYTES: usize = 44;
    let value = value.as_slice();
    if parse_i64(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_BYTES {
        "embstr"
    } else {
        "raw"
    }
}

pub(super) fn memory_usage(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let mut options = args.from(3);
    while let Some(option) = options.next() {
        let samples = options.next().filter(|_| option.eq_ignore_ascii_case(b"SAMPLES")).ok_or(CommandError::Syntax)?;
        if parse_i64(samples).ok_or(CommandError::NotAnInteger)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let keyspace = context.keyspace();
    let key = args.at(2);
    let hash = keyspace.hash(key);
    // Bound, so that the lock is not held while the reply is written.
    let bytes = keyspace.lock(keyspace.shard_of(hash)).entry_bytes(hash, key);
    match bytes {
        Some(bytes) => integer(out, bytes as i64),
        None => null(out, context.session.resp),
    }
    Ok(())
}
