//! The commands that concern the connection or the server: each runs alone, after all before it are answered.

mod admin;
mod client;
mod keys;

pub use self::admin::reply_wait_aof;
use super::Server;
use super::clients::Client;
use super::worker::Worker;
use super::worker::session::Session;
use crate::command::batch::{Control, count_error};
use crate::command::errors::CommandError;
use crate::command::introspect;
use crate::command::table::{self, ControlId as Id};
use crate::db::state::Keyspace;
use crate::protocol::decode::Args;
use crate::protocol::encode::{array, bulk, integer};

/// The version of Redis that clients are told, who choose what they use by it: the newest of which kvred does all.
/// (Texts and shapes of replies are those of 8.0.)
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

impl<'c> Context<'c> {
    fn server(&self) -> &'c Server {
        &self.worker.server
    }

    fn keyspace(&self) -> &'c Keyspace {
        self.server().writer.keyspace()
    }
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
pub fn run(command: &Control, args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> After {
    context.client.about.lock().last_command = command.spec.name;
    let start = out.len();
    match dispatch(command.id, args, context, out) {
        Ok(after) => after,
        Err(e) => {
            out.truncate(start);
            e.encode(out);
            count_error(&*context.worker.stats, Some(command.spec.id), &out[start + 1..]);
            After::GoOn
        }
    }
}

fn dispatch(id: Id, args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let resp = context.session.resp;
    let server = context.server();
    match id {
        Id::Quit => return Ok(client::quit(out)),
        Id::Hello => client::hello(args, context, out)?,
        Id::Auth => client::auth(args, context, out)?,
        Id::Reset => client::reset(context, out),
        Id::Select => client::select(args, out)?,

        Id::ClientId => integer(out, context.client.id.cast_signed()),
        Id::ClientGetName => client::get_name(context.client, resp, out),
        Id::ClientSetName => client::set_name(args, context.client, out)?,
        Id::ClientSetInfo => client::set_info(args, context.client, out)?,
        Id::ClientInfo => client::info(context, out),
        Id::ClientList => client::list(args, context, out)?,
        Id::ClientKill => return client::kill(args, context, out),
        Id::ClientReply => client::reply(args, context.session, out)?,
        Id::ClientNoEvict => client::no_evict(args, context.client, out)?,
        Id::ClientNoTouch => client::no_touch(args, context.client, out)?,

        Id::Command => introspect::all(out, resp),
        Id::CommandCount => introspect::count(out),
        Id::CommandList => introspect::list(out, &rest(args, 2))?,
        Id::CommandInfo => introspect::info(out, &rest(args, 2), resp),
        Id::CommandDocs => introspect::docs(out, &rest(args, 2), resp),
        Id::CommandGetKeys => introspect::get_keys(out, &rest(args, 2))?,

        Id::ConfigGet => admin::config_get(args, context, out),
        Id::ConfigSet => admin::config_set(args, context, out)?,
        Id::ConfigResetStat => admin::config_reset_stat(server, out),
        Id::BgRewriteAof => admin::bg_rewrite_aof(server, out)?,
        Id::WaitAof => return admin::wait_aof(args, context, out),
        Id::Info => admin::info(args, server, out),
        Id::DbSize => integer(out, server.writer.keyspace().len() as i64),
        Id::Time => admin::time(server, out),
        Id::LastSave => integer(out, server.started_unix_seconds as i64),
        Id::Shutdown => return admin::shutdown(args, context),

        Id::Keys => keys::keys(args, context, out),
        Id::Scan => keys::scan(args, context, out)?,
        Id::RandomKey => keys::random_key(context, out),
        Id::ObjectEncoding => keys::object_encoding(args, context, out),
        Id::MemoryUsage => keys::memory_usage(args, context, out)?,

        // As Redis with its default `latency-monitor-threshold` of 0: nothing is sampled.
        Id::LatencyLatest | Id::LatencyHistory => array(out, 0),
        Id::LatencyReset => integer(out, 0),
        Id::LatencyDoctor => bulk(out, b"Latency monitoring is not offered; see INFO persistence for the disk's part."),

        Id::SlowLogGet => admin::slow_log_get(args, server, out)?,
        Id::SlowLogLen => integer(out, server.slow_log.len() as i64),
        Id::SlowLogReset => admin::slow_log_reset(server, out),

        Id::ClientHelp
        | Id::CommandHelp
        | Id::ConfigHelp
        | Id::ObjectHelp
        | Id::MemoryHelp
        | Id::SlowLogHelp
        | Id::LatencyHelp => help(args, out),

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
