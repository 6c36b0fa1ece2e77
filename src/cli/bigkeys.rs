//! `--bigkeys`: the biggest key of each type, and how many of each there are.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::interrupt::{Waited, interruptible};
use super::keys::Walk;
use super::output::{Format, Printer, quote_if_needed};
use super::progress;
use super::session::{CallError, Session};
use super::stop::{Stop, refused};
use crate::args::CliArgs;
use crate::client::ClientError;
use crate::exit::{Status, write_out};
use crate::protocol::encode;
use crate::protocol::frame::Frame;
use crate::protocol::json as json_format;
use crate::protocol::number::{counted, plural};
use crate::terminal::shown;

/// `-i` waits once in so many cycles, as in `redis-cli`.
const CYCLES_A_WAIT: u64 = 100;

/// What is known of a type.
#[derive(Debug, Default)]
struct Tally {
    keys: u64,
    size: u64,
    biggest: Option<(Bytes, u64)>,
}

/// How the sizes of a type are found, and what they count.
fn measure(kind: &str, has_strlen: bool) -> (&'static [&'static str], &'static str) {
    match kind {
        "string" if has_strlen => (&["STRLEN"], "byte"),
        // Exact sizes would mean to fetch every value.
        "string" => (&["MEMORY", "USAGE"], "byte of memory"),
        "list" => (&["LLEN"], "item"),
        "set" => (&["SCARD"], "member"),
        "hash" => (&["HLEN"], "field"),
        "zset" => (&["ZCARD"], "member"),
        "stream" => (&["XLEN"], "entry"),
        _ => (&[], "key"),
    }
}

/// Walks all keys; Ctrl-C ends that early, and what was found so far is printed.
pub(crate) async fn run(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    let has_strlen = match session.call(&["COMMAND", "INFO", "strlen"]).await?.reply {
        Frame::Array(items) => !matches!(items.first(), Some(Frame::Null) | None),
        _ => true,
    };
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut walk = Walk::new(args);
    let bar = progress::count("keys looked at");
    let mut cycles = 0_u64;
    let all = async {
        while let Some(keys) = walk.next(session).await? {
            let count = keys.len() as u64;
            look_at(session, keys, has_strlen, &mut tallies).await?;
            bar.inc(count);
            cycles += 1;
            if let Some(wait) = args.interval.filter(|_| cycles.is_multiple_of(CYCLES_A_WAIT)) {
                tokio::time::sleep(Duration::from_secs_f64(wait)).await;
            }
        }
        Ok::<_, Stop>(())
    };
    let result = interruptible(all).await;
    bar.finish_and_clear();
    let status = match result {
        Waited::Done(result) => result.map(|()| Status::Fine)?,
        Waited::Interrupted => {
            say!("kvred: interrupted; these are the keys looked at so far");
            Status::Interrupted
        }
    };
    let out = match printer.format {
        Format::Json => as_json(&tallies, has_strlen),
        Format::Csv => as_csv(&tallies, has_strlen),
        Format::Pretty | Format::Raw => as_text(&tallies, has_strlen)?,
    };
    write_out(&out)?;
    Ok(status)
}

/// Asks for the types and then the sizes of keys, each in one pipeline.
async fn look_at(
    session: &mut Session,
    keys: Vec<Bytes>,
    has_strlen: bool,
    tallies: &mut BTreeMap<String, Tally>,
) -> Result<(), Stop> {
    let types = pipeline(session, keys.iter().map(|key| vec![&b"TYPE"[..], key])).await?;
    let mut named = Vec::new();
    for (key, reply) in keys.into_iter().zip(types) {
        match reply {
            // Gone since the SCAN.
            Frame::Simple(kind) if &kind[..] == b"none" => {}
            Frame::Simple(kind) => named.push((key, shown(&kind))),
            Frame::Error(text) => return Err(refused("TYPE", &text)),
            _ => {}
        }
    }
    let measured: Vec<&(Bytes, String)> =
        named.iter().filter(|(_, kind)| !measure(kind, has_strlen).0.is_empty()).collect();
    let commands = measured.iter().map(|(key, kind)| {
        let mut command: Vec<&[u8]> = measure(kind, has_strlen).0.iter().map(|word| word.as_bytes()).collect();
        command.push(key);
        command
    });
    let mut sizes = pipeline(session, commands).await?.into_iter();
    for (key, kind) in &named {
        let command = measure(kind, has_strlen).0;
        let answer = if command.is_empty() { Some(Frame::Integer(0)) } else { sizes.next() };
        let size = match answer {
            Some(Frame::Integer(size)) => u64::try_from(size).unwrap_or(0),
            Some(Frame::Error(text)) if !text.starts_with(b"WRONGTYPE") => {
                return Err(refused(&command.join(" "), &text));
            }
            // Gone, or of another type, by now.
            _ => continue,
        };
        let tally = tallies.entry(kind.clone()).or_default();
        tally.keys += 1;
        tally.size += size;
        if tally.biggest.as_ref().is_none_or(|(_, most)| size > *most) {
            tally.biggest = Some((key.clone(), size));
        }
    }
    Ok(())
}

async fn pipeline<'a>(
    session: &mut Session,
    commands: impl Iterator<Item = Vec<&'a [u8]>>,
) -> Result<Vec<Frame>, Stop> {
    let mut out = Vec::new();
    let mut count = 0;
    for command in commands {
        encode::request(&mut out, &command);
        count += 1;
    }
    let mut replies = Vec::with_capacity(count);
    if count > 0 {
        session.send_encoded(&out).await?;
    }
    while replies.len() < count {
        match session.next().await {
            Ok(Frame::Push(_)) => {}
            Ok(reply) => replies.push(reply),
            Err(CallError::Unknown(ClientError::Closed)) => {
                return Err(CallError::NotSent(ClientError::Closed.into()).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(replies)
}

fn as_text(tallies: &BTreeMap<String, Tally>, has_strlen: bool) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::new();
    let total: u64 = tallies.values().map(|tally| tally.keys).sum();
    writeln!(out, "{}", counted(total, "key"))?;
    for (kind, tally) in tallies {
        let (_, unit) = measure(kind, has_strlen);
        let average = tally.size as f64 / (tally.keys as f64).max(1.0);
        let (keys, size) = (counted(tally.keys, "key"), counted(tally.size, unit));
        writeln!(out, "{kind}: {keys}, {size}, {average:.2} on average")?;
        if let Some((key, size)) = &tally.biggest {
            writeln!(out, "  biggest: {} with {}", quote_if_needed(key), counted(*size, unit))?;
        }
    }
    Ok(out)
}

fn as_csv(tallies: &BTreeMap<String, Tally>, has_strlen: bool) -> Vec<u8> {
    let mut out = b"type,keys,size,unit,biggest_size,biggest_key\n".to_vec();
    for (kind, tally) in tallies {
        let (key, size) = tally.biggest.clone().unwrap_or_default();
        let unit = plural(measure(kind, has_strlen).1);
        let row = format!("{kind},{},{},{unit},{size},", tally.keys, tally.size);
        out.extend_from_slice(row.as_bytes());
        super::output::csv::render(&mut out, &Frame::Bulk(key));
        out.push(b'\n');
    }
    out
}

fn as_json(tallies: &BTreeMap<String, Tally>, has_strlen: bool) -> Vec<u8> {
    let types: Vec<Value> = tallies
        .iter()
        .map(|(kind, tally)| {
            let biggest =
                tally.biggest.as_ref().map(|(key, size)| json!({"key": json_format::Text(key), "size": size}));
            let unit = plural(measure(kind, has_strlen).1);
            json!({"type": kind, "keys": tally.keys, "size": tally.size, "unit": unit, "biggest": biggest})
        })
        .collect();
    json_format::line(&Value::Array(types))
}
