//! The slow log: the commands that took longer than a limit, the newest first.
//!
//! An entry keeps a bounded part of its command, and nothing that is secret.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::clients::Client;
use crate::command::table::{CommandId, ControlId};
use crate::protocol::decode::Args;
use crate::protocol::encode::{array, bulk, integer};

/// Most arguments that an entry keeps, as in Redis; the last then says how many more there were.
const MAX_ARGS: usize = 32;

/// Most bytes of an argument that an entry keeps, as in Redis; and of the client's name, which Redis keeps whole.
const MAX_ARG_BYTES: usize = 128;

/// The settings that are secret in Redis and Valkey; kvred has none of them.
const SECRETS: [&str; 7] = [
    "requirepass",
    "masterauth",
    "masteruser",
    "primaryauth",
    "primaryuser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];

/// Stands for what is secret.
const REDACTED: &[u8] = b"(redacted)";

/// The slow log of a server.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: Mutex<Entries>,
}

/// What it keeps. The ids ascend in the order in which they were added.
#[derive(Debug, Default)]
struct Entries {
    newest_first: VecDeque<Entry>,
    next_id: u64,
}

/// A command that was slow.
#[derive(Debug, Clone)]
struct Entry {
    id: u64,
    unix_seconds: u64,
    took_us: u64,
    args: Vec<Vec<u8>>,
    addr: String,
    name: Vec<u8>,
}

impl SlowLog {
    /// Keeps a command, and drops the oldest beyond `max_len`.
    pub fn add(&self, id: CommandId, args: Args<'_>, took_us: u64, unix_seconds: u64, client: &Client, max_len: usize) {
        let name = {
            let about = client.about.lock();
            about.name[..about.name.len().min(MAX_ARG_BYTES)].to_vec()
        };
        let (args, addr) = (kept(id, args), client.addr.clone());
        let mut entries = self.entries.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.newest_first.push_front(Entry { id, unix_seconds, took_us, args, addr, name });
        entries.newest_first.truncate(max_len);
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.lock().newest_first.len()
    }

    /// Drops all entries.
    pub fn reset(&self) {
        self.entries.lock().newest_first.clear();
    }

    /// Appends the newest entries as `SLOWLOG GET` gives them.
    pub fn encode(&self, most: usize, out: &mut Vec<u8>) {
        let newest: Vec<Entry> = self.entries.lock().newest_first.iter().take(most).cloned().collect();
        array(out, newest.len());
        for entry in newest {
            array(out, 6);
            integer(out, entry.id.cast_signed());
            integer(out, entry.unix_seconds.cast_signed());
            integer(out, entry.took_us.cast_signed());
            array(out, entry.args.len());
            entry.args.iter().for_each(|arg| bulk(out, arg));
            bulk(out, entry.addr.as_bytes());
            bulk(out, &entry.name);
        }
    }
}

/// What an entry keeps of a command.
fn kept(id: CommandId, args: Args<'_>) -> Vec<Vec<u8>> {
    let shown = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let mut kept: Vec<Vec<u8>> = args
        .from(0)
        .take(shown)
        .enumerate()
        .map(|(i, arg)| match arg.len().checked_sub(MAX_ARG_BYTES) {
            _ if is_secret(id, args, i) => REDACTED.to_vec(),
            Some(more @ 1..) => [&arg[..MAX_ARG_BYTES], format!("... ({more} more bytes)").as_bytes()].concat(),
            _ => arg.to_vec(),
        })
        .collect();
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}

/// Whether an argument is secret: names and passwords of `AUTH` and `HELLO`, and what Redis's secret settings are set
/// to.
fn is_secret(id: CommandId, args: Args<'_>, at: usize) -> bool {
    match id {
        CommandId::Control(ControlId::Auth) => at > 0,
        CommandId::Control(ControlId::Hello) => args.from(0).take(at).any(|arg| arg.eq_ignore_ascii_case(b"auth")),
        // No password can be set so; one that was tried is one all the same.
        CommandId::Control(ControlId::ConfigSet) if at % 2 == 1 => {
            SECRETS.iter().any(|secret| args.at(at - 1).eq_ignore_ascii_case(secret.as_bytes()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table::DataId;
    use crate::protocol::decode::Span;
    use crate::server::clients::Clients;

    #[test]
    fn ids_descend_whoever_adds() {
        const EACH: usize = 10_000;
        let (log, clients) = (SlowLog::default(), Clients::default());
        let client = clients.add(String::new(), String::new(), 0, 0);
        let ping = CommandId::Data(DataId::Ping);
        let add = || {
            for _ in 0..EACH {
                log.add(ping, Args::new(b"PING", &[Span { start: 0, end: 4 }]), 1, 1, &client, 2 * EACH);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(add);
            scope.spawn(add);
        });
        let ids = log.entries.lock().newest_first.iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert!(ids.into_iter().eq((0..2 * EACH as u64).rev()));
    }
}
