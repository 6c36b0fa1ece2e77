//! The commands that concern the connection or the server: each runs alone, after all before it are answered.

mod admin;
mod client;
mod keys;

use std::time::{SystemTime, UNIX_EPOCH};

pub use self::admin::reply_wait_aof;
use super::clients::Client;
use super::connection::{Answers, Session};
use super::info;
use super::worker::Worker;
use crate::command::batch::{Count, count_error};
use crate::command::errors::CommandError;
use crate::command::introspect;
use crate::command::spec::CommandSpec;
use crate::command::table::{self, CommandId as Id};
use crate::protocol::decode::Args;
use crate::protocol::encode::{Resp, array, bulk, integer, null, simple};
use crate::protocol::number::parse_i64;

/// The version of Redis whose replies kvred gives; clients choose what they use by it.
pub const REDIS_VERSION: &str = "7.4.0";

/// What a command runs on.
pub struct Context<'c> {
    /// The connection's worker.
    pub worker: &'c Worker,
    /// The connection, as others see it.
    pub client: &'c Client,
    /// The connection's own settings.
    pub session: &'c mut Session,
}

/// What the connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Its next command.
    GoOn,
    /// It sends the reply and closes.
    Close,
    /// It waits until so many groups are synced, for some time (0: however long), and then replies.
    WaitForSync {
        /// The number that the synced groups have to reach.
        group: u64,
        /// In milliseconds.
        timeout_ms: u64,
    },
}

/// Runs a command and appends its reply.
pub fn run(spec: &'static CommandSpec, args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> After {
    context.client.about.lock().last_command = spec.name;
    let start = out.len();
    match dispatch(spec.id, args, context, out) {
        Ok(after) => after,
        Err(e) => {
            out.truncate(start);
            e.encode(out);
            count_error(&*context.worker.stats, Some(spec.id), &out[start + 1..]);
            After::GoOn
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each command")]
fn dispatch(id: Id, args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let resp = context.session.resp;
    let server = &*context.worker.server;
    let keyspace = server.writer.keyspace();
    match id {
        Id::Quit => {
            simple(out, "OK");
            return Ok(After::Close);
        }
        Id::Hello => client::hello(args, context, out)?,
        Id::Auth => client::auth(args, context, out)?,
        Id::Reset => {
            context.session.resp = Resp::V2;
            context.session.authenticated = server.config.password.is_none();
            if context.session.answers != Answers::SkipThis {
                context.session.answers = Answers::All;
            }
            context.client.about.lock().reset();
            simple(out, "RESET");
        }
        Id::Select => match parse_i64(args.at(1)).map(i32::try_from) {
            Some(Ok(0)) => simple(out, "OK"),
            Some(Ok(_)) => return Err(CommandError::DbIndex),
            Some(Err(_)) => return Err(CommandError::NotAnInt32),
            None => return Err(CommandError::NotAnInteger),
        },

        Id::ClientId => integer(out, context.client.id.cast_signed()),
        Id::ClientGetName => match &context.client.about.lock().name {
            name if name.is_empty() => null(out, resp),
            name => bulk(out, name),
        },
        Id::ClientSetName => {
            if !client::is_printable(args.at(2)) {
                return Err(CommandError::ClientName);
            }
            context.client.about.lock().name = args.at(2).to_vec();
            simple(out, "OK");
        }
        Id::ClientSetInfo => client::set_info(args, context.client, out)?,
        Id::ClientInfo => {
            let mut line = context.client.describe(context.worker.now_seconds());
            line.push(b'\n');
            bulk(out, &line);
        }
        Id::ClientList => client::list(args, context, out)?,
        Id::ClientKill => return client::kill(args, context, out),
        Id::ClientReply => {
            context.session.answers = match args.at(2).to_ascii_lowercase().as_slice() {
                b"on" => Answers::All,
                b"off" => Answers::None,
                // Where nothing is answered, there is nothing to skip.
                b"skip" if context.session.answers == Answers::None => Answers::None,
                b"skip" => Answers::SkipNext,
                _ => return Err(CommandError::Syntax),
            };
            simple(out, "OK");
        }
        Id::ClientNoEvict => {
            context.client.about.lock().no_evict = client::on_or_off(args.at(2))?;
            simple(out, "OK");
        }
        Id::ClientNoTouch => {
            context.client.about.lock().no_touch = client::on_or_off(args.at(2))?;
            simple(out, "OK");
        }

        Id::Command => introspect::all(out, resp),
        Id::CommandCount => introspect::count(out),
        Id::CommandList => introspect::list(out, &rest(args, 2))?,
        Id::CommandInfo => introspect::info(out, &rest(args, 2), resp),
        Id::CommandDocs => introspect::docs(out, &rest(args, 2), resp),
        Id::CommandGetKeys => introspect::get_keys(out, &rest(args, 2))?,

        Id::ConfigGet => admin::config_get(args, context, out),
        Id::ConfigSet => {
            admin::config_set(args, context)?;
            simple(out, "OK");
        }
        Id::ConfigResetStat => {
            server.reset_stats();
            simple(out, "OK");
        }
        Id::BgRewriteAof => {
            if !server.config.append_only {
                return Err(CommandError::NoLog);
            }
            if !server.writer.request_rewrite() {
                return Err(CommandError::RewriteInProgress);
            }
            simple(out, "Background append only file rewriting started");
        }
        Id::WaitAof => return admin::wait_aof(args, context, out),
        Id::Info => {
            let sections: Vec<String> = args.from(1).map(|s| String::from_utf8_lossy(s).to_ascii_lowercase()).collect();
            bulk(out, info::render(server, &sections).as_bytes());
        }
        Id::DbSize => integer(out, keyspace.len() as i64),
        Id::Time => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            array(out, 2);
            bulk(out, now.as_secs().to_string().as_bytes());
            bulk(out, now.subsec_micros().to_string().as_bytes());
        }
        Id::LastSave => integer(out, server.started_unix_seconds as i64),

        Id::Keys => keys::keys(args, context, out),
        Id::Scan => keys::scan(args, context, out)?,
        Id::RandomKey => {
            let mut key = Vec::new();
            if keyspace.random_key(fastrand::u64(..), &mut key) {
                bulk(out, &key);
            } else {
                null(out, resp);
            }
        }
        Id::ObjectEncoding => {
            let key = args.at(2);
            let encoding = keyspace.get(keyspace.hash(key), key, keys::encoding);
            context.worker.stats.lookup(encoding.is_some());
            match encoding {
                Some(encoding) => bulk(out, encoding.as_bytes()),
                None => null(out, resp),
            }
        }
        Id::MemoryUsage => keys::memory_usage(args, context, out)?,

        // As Redis with its default `latency-monitor-threshold` of 0: nothing is sampled.
        Id::LatencyLatest | Id::LatencyHistory => array(out, 0),
        Id::LatencyReset => integer(out, 0),
        Id::LatencyDoctor => bulk(out, b"Latency monitoring is not offered; see INFO persistence for the disk's part."),
        Id::Shutdown => {
            admin::shutdown(args, context)?;
            return Ok(After::Close);
        }

        Id::SlowLogGet => admin::slow_log_get(args, server, out)?,
        Id::SlowLogLen => integer(out, server.slow_log.len() as i64),
        Id::SlowLogReset => {
            server.slow_log.reset();
            simple(out, "OK");
        }

        Id::ClientHelp
        | Id::CommandHelp
        | Id::ConfigHelp
        | Id::ObjectHelp
        | Id::MemoryHelp
        | Id::SlowLogHelp
        | Id::LatencyHelp => help(args, out),

        Id::Get
        | Id::Set
        | Id::StrLen
        | Id::Del
        | Id::Exists
        | Id::Type
        | Id::Ping
        | Id::Echo
        | Id::FlushAll
        | Id::FlushDb => {
            unreachable!("commands on data run in batches")
        }
        Id::Client | Id::Config | Id::Object | Id::Memory | Id::SlowLog | Id::Latency => {
            unreachable!("a container needs a subcommand")
        }
    }
    Ok(After::GoOn)
}

fn rest(args: Args<'_>, from: usize) -> Vec<&[u8]> {
    args.from(from).collect()
}

fn help(args: Args<'_>, out: &mut Vec<u8>) {
    introspect::help(out, table::lookup(args.at(0)).expect("the call was resolved through it"));
}
