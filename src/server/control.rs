//! The commands that concern the connection or the server: each runs alone, after all before it are answered.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Server;
use super::clients::Client;
use super::config::LiveSetting;
use super::connection::{Answers, Session};
use super::info;
use super::worker::Worker;
use crate::command::batch::Count;
use crate::command::errors::{CommandError, c_string};
use crate::command::glob;
use crate::command::introspect;
use crate::command::spec::CommandSpec;
use crate::command::table::{COMMANDS, CommandId as Id};
use crate::db::state::ValueRef;
use crate::persistence::FsyncPolicy;
use crate::protocol::decode::Args;
use crate::protocol::encode::{Resp, array, bulk, error, integer, map, null, simple};
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
    /// The same, held to other limits: it has authenticated, or is a stranger again.
    NewLimits,
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
            let code = out[start + 1..].split(|&c| c == b' ').next().unwrap_or_default();
            context.worker.stats.error(Some(spec.id), std::str::from_utf8(code).unwrap_or("ERR"));
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
        Id::Hello => return hello(args, context, out),
        Id::Auth => return auth(args, context, out),
        Id::Reset => {
            context.session.resp = Resp::V2;
            context.session.authenticated = server.config.password.is_none();
            if context.session.answers != Answers::SkipThis {
                context.session.answers = Answers::All;
            }
            *context.client.about.lock() = super::clients::About::default();
            simple(out, "RESET");
            return Ok(After::NewLimits);
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
            check_printable(args.at(2)).map_err(|()| CommandError::ClientName)?;
            context.client.about.lock().name = args.at(2).to_vec();
            simple(out, "OK");
        }
        Id::ClientSetInfo => client_set_info(args, context.client, out)?,
        Id::ClientInfo => {
            let mut line = context.client.describe(context.worker.now_seconds());
            line.push(b'\n');
            bulk(out, &line);
        }
        Id::ClientList => client_list(args, context, out)?,
        Id::ClientKill => return client_kill(args, context, out),
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
        Id::ClientNoEvict | Id::ClientNoTouch => {
            on_or_off(args.at(2))?;
            simple(out, "OK");
        }

        Id::Command => introspect::all(out, resp),
        Id::CommandCount => introspect::count(out),
        Id::CommandList => introspect::list(out, &rest(args, 2))?,
        Id::CommandInfo => introspect::info(out, &rest(args, 2), resp),
        Id::CommandDocs => introspect::docs(out, &rest(args, 2), resp),
        Id::CommandGetKeys => introspect::get_keys(out, &rest(args, 2))?,

        Id::ConfigGet => config_get(args, context, out),
        Id::ConfigSet => {
            config_set(args, context)?;
            simple(out, "OK");
            return Ok(After::NewLimits);
        }
        Id::ConfigResetStat => {
            server.reset_stats();
            simple(out, "OK");
        }
        Id::BgRewriteAof => {
            if !server.config.append_only {
                return Err(CommandError::NoLog("BGREWRITEAOF"));
            }
            if !server.writer.request_rewrite() {
                return Err(CommandError::RewriteInProgress);
            }
            simple(out, "Background append only file rewriting started");
        }
        Id::WaitAof => return wait_aof(args, context, out),
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

        Id::Keys => keys(args, context, out),
        Id::Scan => scan(args, context, out)?,
        Id::RandomKey => {
            let mut key = Vec::new();
            if keyspace.random_key(random(), &mut key) {
                bulk(out, &key);
            } else {
                null(out, resp);
            }
        }
        Id::ObjectEncoding => {
            let key = args.at(2);
            match keyspace.get(keyspace.hash(key), key, encoding) {
                Some(encoding) => bulk(out, encoding.as_bytes()),
                None => null(out, resp),
            }
        }
        Id::MemoryUsage => memory_usage(args, context, out)?,

        // As Redis with its default `latency-monitor-threshold` of 0: nothing is sampled.
        Id::LatencyLatest | Id::LatencyHistory => array(out, 0),
        Id::LatencyReset => integer(out, 0),
        Id::LatencyDoctor => bulk(out, b"Latency monitoring is not offered; see INFO persistence for the disk's part."),
        Id::Shutdown => shutdown(args, context)?,

        Id::SlowLogGet => slow_log_get(args, server, out)?,
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

fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

fn help(args: Args<'_>, out: &mut Vec<u8>) {
    let container = COMMANDS.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(args.at(0)));
    introspect::help(out, container.expect("the call was resolved through it"));
}

// ---- the connection ----------------------------------------------------------------------------------------------------

fn hello(args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let resp = match (args.len() > 1).then(|| parse_i64(args.at(1))) {
        None => context.session.resp,
        Some(Some(2)) => Resp::V2,
        Some(Some(3)) => Resp::V3,
        Some(Some(_)) => return Err(CommandError::NoProto),
        Some(None) => return Err(CommandError::ProtocolVersion),
    };
    let (mut credentials, mut name) = (None, None);
    let mut options = args.from(args.len().min(2));
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"AUTH") && options.len() >= 2 {
            credentials = options.next().zip(options.next());
        } else if option.eq_ignore_ascii_case(b"SETNAME") && options.len() >= 1 {
            let given = options.next();
            check_printable(given.unwrap_or_default()).map_err(|()| CommandError::ClientName)?;
            name = given;
        } else {
            return Err(CommandError::hello_option(option));
        }
    }
    if let Some((user, password)) = credentials {
        check_password(user, password, context)?;
        context.session.authenticated = true;
    } else if !context.session.authenticated {
        return Err(CommandError::NoAuthHello);
    }
    if let Some(name) = name {
        context.client.about.lock().name = name.to_vec();
    }
    context.session.resp = resp;
    context.client.about.lock().resp = resp;

    map(out, 7, resp);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        bulk(out, field.as_bytes());
        bulk(out, value.as_bytes());
    }
    bulk(out, b"proto");
    integer(out, if resp == Resp::V3 { 3 } else { 2 });
    bulk(out, b"id");
    integer(out, context.client.id.cast_signed());
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        bulk(out, field.as_bytes());
        bulk(out, value.as_bytes());
    }
    bulk(out, b"modules");
    array(out, 0);
    Ok(After::NewLimits)
}

fn auth(args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let (user, password) = match args.len() {
        2 if context.worker.server.config.password.is_none() => return Err(CommandError::AuthWithoutPassword),
        2 => (&b"default"[..], args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(CommandError::Syntax),
    };
    check_password(user, password, context)?;
    context.session.authenticated = true;
    simple(out, "OK");
    Ok(After::NewLimits)
}

/// There is one user, `default`; without a password set, any is right for it, as in Redis.
fn check_password(user: &[u8], password: &[u8], context: &Context<'_>) -> Result<(), CommandError> {
    let right = match &context.worker.server.config.password {
        Some(expected) => expected.matches(password),
        None => true,
    };
    if right && user == b"default" { Ok(()) } else { Err(CommandError::WrongPass) }
}

/// Redis takes no spaces, control characters or bytes beyond ASCII in names, as far as it looks: to the first NUL.
fn check_printable(text: &[u8]) -> Result<(), ()> {
    if c_string(text, usize::MAX).iter().all(|c| (b'!'..=b'~').contains(c)) { Ok(()) } else { Err(()) }
}

fn client_set_info(args: Args<'_>, client: &Client, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let (option, value) = (args.at(2), args.at(3));
    let mut about = client.about.lock();
    let field = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut about.lib_name,
        b"lib-ver" => &mut about.lib_version,
        _ => return Err(CommandError::client_info_option(option)),
    };
    check_printable(value).map_err(|()| CommandError::client_info_value(option))?;
    *field = value.to_vec();
    simple(out, "OK");
    Ok(())
}

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

fn client_list(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let filter = rest(args, 2);
    let clients = context.worker.server.clients.all();
    let chosen = match filter[..] {
        [] => clients,
        [word, kind] if word.eq_ignore_ascii_case(b"TYPE") => match kind.to_ascii_lowercase().as_slice() {
            b"normal" => clients,
            b"master" | b"replica" | b"slave" | b"pubsub" => Vec::new(),
            _ => return Err(CommandError::client_type(kind)),
        },
        [word, ref ids @ ..] if word.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
            let ids = ids.iter().map(|id| parse_i64(id).ok_or(CommandError::InvalidClientId));
            let ids = ids.collect::<Result<Vec<i64>, _>>()?;
            let by_id = |id| clients.iter().find(|c| c.id.cast_signed() == id).cloned();
            ids.into_iter().filter_map(by_id).collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    let mut lines = Vec::new();
    for client in chosen {
        lines.extend_from_slice(&client.describe(context.worker.now_seconds()));
        lines.push(b'\n');
    }
    bulk(out, &lines);
    Ok(())
}

/// `CLIENT KILL addr`, or `CLIENT KILL [ID id] [ADDR addr] [LADDR addr] [TYPE type] [USER user] [SKIPME yes|no]`.
fn client_kill(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let old_form = args.len() == 3;
    let mut chosen = context.worker.server.clients.all();
    let mut skip_me = !old_form;
    if old_form {
        chosen.retain(|c| c.addr.as_bytes() == args.at(2));
        if chosen.is_empty() {
            return Err(CommandError::NoSuchClient);
        }
    } else {
        if !args.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        let mut filters = args.from(2);
        while let (Some(option), Some(value)) = (filters.next(), filters.next()) {
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_i64(value).filter(|id| *id > 0).ok_or(CommandError::ClientIdNotPositive)?;
                    chosen.retain(|c| c.id.cast_signed() == id);
                }
                b"addr" => chosen.retain(|c| c.addr.as_bytes() == value),
                b"laddr" => chosen.retain(|c| c.laddr.as_bytes() == value),
                b"user" if value == b"default" => {}
                b"user" => return Err(CommandError::no_such_user(value)),
                b"type" => match value.to_ascii_lowercase().as_slice() {
                    b"normal" => {}
                    b"master" | b"replica" | b"slave" | b"pubsub" => chosen.clear(),
                    _ => return Err(CommandError::client_type(value)),
                },
                b"skipme" => match value.to_ascii_lowercase().as_slice() {
                    b"yes" => skip_me = true,
                    b"no" => skip_me = false,
                    _ => return Err(CommandError::Syntax),
                },
                b"maxage" => {
                    let age = parse_i64(value).ok_or(CommandError::MaxAgeNotAnInteger)?;
                    if age <= 0 {
                        return Err(CommandError::MaxAgeNotPositive);
                    }
                    chosen.retain(|c| c.age_seconds().cast_signed() >= age);
                }
                _ => return Err(CommandError::Syntax),
            }
        }
    }
    let mine = context.client.id;
    if skip_me {
        chosen.retain(|c| c.id != mine);
    }
    for client in chosen.iter().filter(|c| c.id != mine) {
        client.killed.store(true, Ordering::SeqCst);
        context.worker.server.sweep(client.worker.load(Ordering::SeqCst));
    }
    if old_form {
        simple(out, "OK");
    } else {
        integer(out, chosen.len() as i64);
    }
    Ok(if chosen.iter().any(|c| c.id == mine) { After::Close } else { After::GoOn })
}

// ---- the server --------------------------------------------------------------------------------------------------------

fn config_get(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let server = &*context.worker.server;
    let settings = server.config.settings(&server.live, server.writer.policy());
    // As in Redis, a setting that was named is given the name as it was written.
    let named = |name: &str| args.from(2).find(|arg| arg.eq_ignore_ascii_case(name.as_bytes()));
    let wanted = |name: &str| args.from(2).any(|pattern| glob::matches_ignoring_case(pattern, name.as_bytes()));
    let found: Vec<_> = settings.iter().filter(|(name, _)| wanted(name)).collect();
    map(out, found.len(), context.session.resp);
    for (name, value) in found {
        bulk(out, named(name).unwrap_or(name.as_bytes()));
        bulk(out, value.as_bytes());
    }
}

/// Changes settings: all of them, or none.
fn config_set(args: Args<'_>, context: &Context<'_>) -> Result<(), CommandError> {
    let server = &*context.worker.server;
    let pairs = rest(args, 2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("config|set"));
    }
    let (mut policy, mut changes) = (None, Vec::new());
    for (i, pair) in pairs.chunks_exact(2).enumerate() {
        let [name, value] = [pair[0], pair[1]].map(|text| String::from_utf8_lossy(text).into_owned());
        let refused = |reason: String| CommandError::SettingRefused(name.to_ascii_lowercase(), reason);
        if pairs.chunks_exact(2).take(i).any(|earlier| earlier[0].eq_ignore_ascii_case(pair[0])) {
            return Err(CommandError::SettingRefused(name, "duplicate parameter".to_owned()));
        } else if name.eq_ignore_ascii_case("appendfsync") {
            policy = Some(match value.to_ascii_lowercase().as_str() {
                "always" => FsyncPolicy::Always,
                "everysec" => FsyncPolicy::Everysec,
                "no" | "none" => FsyncPolicy::None,
                _ => return Err(refused("argument(s) must be one of the following: everysec, always, no".to_owned())),
            });
        } else if let Some(setting) = LiveSetting::find(&name) {
            changes.push((setting, setting.parse(&value).map_err(refused)?));
        } else if server
            .config
            .settings(&server.live, server.writer.policy())
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(&name))
        {
            return Err(CommandError::SettingRefused(name, "can't set immutable config".to_owned()));
        } else {
            return Err(CommandError::unknown_setting(pair[0]));
        }
    }
    for (setting, value) in changes {
        (setting.value)(&server.live).store(value, Ordering::Relaxed);
    }
    if let Some(policy) = policy {
        server.writer.set_policy(policy);
    }
    Ok(())
}

/// `SLOWLOG GET [count]`
fn slow_log_get(args: Args<'_>, server: &Server, out: &mut Vec<u8>) -> Result<(), CommandError> {
    /// Redis's default.
    const NEWEST: usize = 10;
    let most = match args.len() {
        2 => NEWEST,
        3 => match parse_i64(args.at(2)) {
            Some(-1) => usize::MAX,
            Some(count @ 0..) => count as usize,
            _ => return Err(CommandError::CountTooSmall),
        },
        _ => return Err(CommandError::subcommand_arity(args)),
    };
    server.slow_log.encode(most, out);
    Ok(())
}

/// `WAITAOF numlocal numreplicas timeout`: waits until what the connection has written is synced. There are no replicas,
/// and never will be, so none is waited for.
fn wait_aof(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let local = parse_i64(args.at(1)).ok_or(CommandError::NotAnInteger)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::OneLocalLog);
    }
    parse_i64(args.at(2)).filter(|n| *n >= 0).ok_or(CommandError::NotPositive)?;
    let timeout_ms = parse_i64(args.at(3)).ok_or(CommandError::TimeoutNotAnInteger)?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| CommandError::NegativeTimeout)?;
    if local > 0 && !context.worker.server.config.append_only {
        return Err(CommandError::NoLog("WAITAOF"));
    }
    let writer = &context.worker.server.writer;
    let group = writer.written_group();
    let synced = writer.synced_group().map_err(|e| CommandError::SyncFailed(e.to_string()))? >= group;
    if synced || local == 0 {
        reply_wait_aof(synced && context.worker.server.config.append_only, out);
        return Ok(After::GoOn);
    }
    Ok(After::WaitForSync { group, timeout_ms })
}

/// The reply to `WAITAOF`: logs that have synced, here and on replicas.
pub fn reply_wait_aof(synced: bool, out: &mut Vec<u8>) {
    array(out, 2);
    integer(out, i64::from(synced));
    integer(out, 0);
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE]`: the log is always written and synced, so all of them mean the same; there
/// is no reply, the connection closes.
fn shutdown(args: Args<'_>, context: &Context<'_>) -> Result<(), CommandError> {
    let (mut save, mut abort) = (None, false);
    for option in args.from(1) {
        match option.to_ascii_lowercase().as_slice() {
            b"save" if save != Some(false) => save = Some(true),
            b"nosave" if save != Some(true) => save = Some(false),
            b"now" | b"force" => {}
            b"abort" => abort = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    match (abort, args.len()) {
        (false, _) => {}
        (true, 2) => return Err(CommandError::NoShutdown),
        (true, _) => return Err(CommandError::Syntax),
    }
    context.worker.server.stop.notify_one();
    Ok(())
}

// ---- keys --------------------------------------------------------------------------------------------------------------

/// Keys met in one step of a walk over all of them, so that no lock is held for long.
const WALK_STEP: usize = 1000;

fn keys(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let keyspace = context.worker.server.writer.keyspace();
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

fn scan(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let cursor = parse_cursor(args.at(1)).ok_or(CommandError::InvalidCursor)?;
    let (mut pattern, mut count, mut of_type) = (None, 10, true);
    let mut options = args.from(2);
    while let Some(option) = options.next() {
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
    let keyspace = context.worker.server.writer.keyspace();
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

/// Reads a cursor as Redis does: a number as `string2ll` takes it but not negative, or else whatever C's `strtoull` takes.
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

fn memory_usage(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let mut options = args.from(3);
    while let Some(option) = options.next() {
        let samples = options.next().filter(|_| option.eq_ignore_ascii_case(b"SAMPLES")).ok_or(CommandError::Syntax)?;
        if parse_i64(samples).ok_or(CommandError::NotAnInteger)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let keyspace = context.worker.server.writer.keyspace();
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

/// Refuses a connection while there is no password and the peer is elsewhere; Redis's `protected-mode`.
pub fn refuse_unprotected(out: &mut Vec<u8>) {
    error(
        out,
        "DENIED kvred is running in protected mode because it has no password and this connection does not come from \
         the same machine. To be reached from elsewhere, start it with --requirepass-file FILE (or KVRED_REQUIREPASS), \
         or, if the network is trusted, with --protected-mode no.",
    );
}
