//! `--stat`: a line of the server's figures each second, until Ctrl-C.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::interrupt::{Waited, interruptible};
use super::output::{Format, Printer};
use super::session::{CallError, Session};
use super::stop::Stop;
use crate::args::CliArgs;
use crate::client::SetupError;
use crate::client::explain::explain;
use crate::client::replies::info_fields;
use crate::exit::{Status, write_out};
use crate::protocol::frame::Frame;
use crate::protocol::json as json_format;
use crate::protocol::number::human;

/// The header comes again after so many lines, as in `redis-cli`.
const LINES_UNDER_A_HEADER: u64 = 20;

/// The figures of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    keys: u64,
    memory_bytes: u64,
    clients: u64,
    blocked: u64,
    requests: u64,
    connections: u64,
}

/// Prints lines until Ctrl-C, or as many as `-r` says. A server that goes away is waited for.
pub(crate) async fn run(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    session.connect().await?;
    match interruptible(watch(session, args, printer)).await {
        Waited::Done(result) => result.map(|()| Status::Fine),
        Waited::Interrupted => Ok(Status::Interrupted),
    }
}

async fn watch(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<(), Stop> {
    let wait = Duration::from_secs_f64(args.interval.unwrap_or(1.0));
    let lines = args.rounds(u64::MAX);
    let mut last: Option<u64> = None;
    let mut so_far = 0;
    while so_far < lines {
        match sample(session, &mut last, so_far, printer.format).await {
            Ok(line) => {
                write_out(line.as_bytes())?;
                so_far += 1;
            }
            // Watching a server is watching it come and go; but one that refuses will do so the next time.
            Err(CallError::NotSent(error @ SetupError::Client(_))) => {
                say!("kvred: {}", explain(&error));
            }
            Err(CallError::Unknown(error)) => say!("kvred: {error}; connecting again"),
            Err(error) => return Err(error.into()),
        }
        if so_far < lines {
            tokio::time::sleep(wait).await;
        }
    }
    Ok(())
}

async fn sample(
    session: &mut Session,
    last: &mut Option<u64>,
    so_far: u64,
    format: Format,
) -> Result<String, CallError> {
    let text = match session.call(&["INFO"]).await?.reply {
        Frame::Bulk(text) | Frame::Verbatim(_, text) => String::from_utf8_lossy(&text).into_owned(),
        Frame::Error(text) => {
            let reply = String::from_utf8_lossy(&text).into_owned();
            let address = session.target.address.clone();
            return Err(CallError::NotSent(SetupError::Refused { address, step: "INFO", reply }));
        }
        _ => String::new(),
    };
    let figures = figures(&text);
    let since = last.map_or(0, |last| figures.requests.saturating_sub(last));
    *last = Some(figures.requests);
    let header = match format {
        // A file has it on top alone.
        Format::Csv => so_far == 0,
        _ => so_far.is_multiple_of(LINES_UNDER_A_HEADER),
    };
    Ok(line(&figures, since, header, format))
}

/// Reads `INFO`.
fn figures(info: &str) -> Figures {
    let fields: HashMap<&str, &str> = info_fields(info).collect();
    let number = |name: &str| fields.get(name).and_then(|v| v.parse().ok()).unwrap_or(0);
    let keys = fields
        .iter()
        .filter(|(name, _)| name.strip_prefix("db").is_some_and(|n| n.parse::<u32>().is_ok()))
        .filter_map(|(_, value)| value.split(',').find_map(|part| part.strip_prefix("keys="))?.parse::<u64>().ok())
        .sum();
    Figures {
        keys,
        memory_bytes: number("used_memory"),
        clients: number("connected_clients"),
        blocked: number("blocked_clients"),
        requests: number("total_commands_processed"),
        connections: number("total_connections_received"),
    }
}

fn line(f: &Figures, since: u64, header: bool, format: Format) -> String {
    match format {
        Format::Json => {
            let value = json!({
                "keys": f.keys, "memory_bytes": f.memory_bytes, "clients": f.clients, "blocked": f.blocked,
                "requests": f.requests, "requests_since_last": since, "connections": f.connections,
            });
            String::from_utf8(json_format::line(&value)).expect("JSON is text")
        }
        Format::Csv => {
            let header = if header {
                "keys,memory_bytes,clients,blocked,requests,requests_since_last,connections\n"
            } else {
                ""
            };
            let Figures { keys, memory_bytes, clients, blocked, requests, connections } = f;
            format!("{header}{keys},{memory_bytes},{clients},{blocked},{requests},{since},{connections}\n")
        }
        Format::Pretty | Format::Raw => {
            let header = if header {
                "------- data ------ --------------------- load --------------------\n\
                 keys       mem      clients blocked requests            connections\n"
            } else {
                ""
            };
            let requests = format!("{} (+{since})", f.requests);
            let memory = human(f.memory_bytes);
            let line =
                format!("{:<11}{memory:<9}{:<8}{:<8}{requests:<20}{}", f.keys, f.clients, f.blocked, f.connections);
            format!("{header}{}\n", line.trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_becomes_a_line() {
        let info = "# Clients\r\nconnected_clients:2\r\nused_memory:1572864\r\ntotal_commands_processed:30\r\n\
                    total_connections_received:4\r\ndb0:keys=5,expires=0\r\ndb11:keys=2,expires=0\r\ndbx:keys=9\r\n";
        let figures = figures(info);
        assert_eq!((figures.keys, figures.clients, figures.requests), (7, 2, 30));
        assert_eq!(
            line(&figures, 3, false, Format::Raw),
            "7          1.50M    2       0       30 (+3)             4\n"
        );
        assert_eq!(line(&figures, 3, false, Format::Csv), "7,1572864,2,0,30,3,4\n");
        assert!(line(&figures, 3, true, Format::Raw).contains("clients blocked requests"));
    }
}
