//! The server's settings, what it tells of itself, its slow log, its syncs and its end.

use std::sync::atomic::Ordering;

use super::{After, Context, rest};
use crate::command::errors::CommandError;
use crate::command::glob;
use crate::protocol::decode::Args;
use crate::protocol::encode::{array, bulk, integer, map, simple};
use crate::protocol::number::parse_i64;
use crate::server::live::{APPEND_FSYNC, FIXED_IN_REDIS, LiveSetting, MAX_CLIENTS, parse_fsync};
use crate::server::{Server, file_limit, info};

pub(super) fn config_get(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let server = context.server();
    let settings = server.config.settings(&server.live, server.writer.policy());
    // As in Redis, the first argument that fits says how a name is written; one with none of these bytes is no pattern.
    let is_pattern = |arg: &[u8]| arg.iter().any(|byte| b"*?[".contains(byte));
    let written = |name: &'static str| {
        let name = name.as_bytes();
        args.from(2).find_map(|arg| {
            if is_pattern(arg) {
                glob::matches_ignoring_case(arg, name).then_some(name)
            } else {
                arg.eq_ignore_ascii_case(name).then_some(arg)
            }
        })
    };
    let found: Vec<_> = settings.iter().filter_map(|(name, value)| Some((written(name)?, value))).collect();
    map(out, found.len(), context.session.resp);
    for (name, value) in found {
        bulk(out, name);
        bulk(out, value.as_bytes());
    }
}

/// Changes settings: all of them, or none.
pub(super) fn config_set(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let server = context.server();
    let pairs = rest(args, 2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    check_names(&pairs, server)?;
    let (mut policy, mut changes) = (None, Vec::new());
    for pair in pairs.chunks_exact(2) {
        let [name, value] = [pair[0], pair[1]].map(String::from_utf8_lossy);
        let refused = |reason: String| CommandError::SettingRefused(name.to_ascii_lowercase(), reason);
        match LiveSetting::find(&name) {
            Some(setting) => changes.push((setting, setting.parse(&value).map_err(refused)?)),
            None if name.eq_ignore_ascii_case(APPEND_FSYNC) => policy = Some(parse_fsync(&value).map_err(refused)?),
            // It is so already, but for what is in a file.
            None => {}
        }
    }
    if let Some((setting, clients)) = changes.iter().find(|(setting, _)| setting.name == MAX_CLIENTS) {
        let fit = file_limit::raise(*clients, server.config.workers());
        if fit < *clients {
            let reason =
                format!("The operating system is not able to handle the specified number of clients, try with {fit}");
            return Err(CommandError::SettingRefused(setting.name.to_owned(), reason));
        }
    }
    reload_certificates(&pairs, server)?;
    for (setting, value) in changes {
        (setting.value)(&server.live).store(value, Ordering::Relaxed);
    }
    if let Some(policy) = policy {
        server.writer.set_policy(policy);
    }
    simple(out, "OK");
    Ok(())
}

/// Reads the certificates anew if one of their files was named, as Redis does: so they are renewed without a signal.
fn reload_certificates(pairs: &[&[u8]], server: &Server) -> Result<(), CommandError> {
    let mut names = pairs.chunks_exact(2).map(|pair| String::from_utf8_lossy(pair[0]).to_ascii_lowercase());
    let (Some(certificates), Some(name)) =
        (&server.certificates, names.find(|name| name.starts_with("tls-") && name.ends_with("-file")))
    else {
        return Ok(());
    };
    if certificates.reload(true) {
        return Ok(());
    }
    // Redis's words; the log has the reason, but of many within a minute.
    Err(CommandError::SettingRefused(name, "Unable to update TLS configuration. Check server logs.".to_owned()))
}

/// Checks that there are such settings, each once, and that they can be changed, or need not be. Redis looks at names
/// before it does at any value.
fn check_names(pairs: &[&[u8]], server: &Server) -> Result<(), CommandError> {
    let settings = server.config.settings(&server.live, server.writer.policy());
    let names = || pairs.chunks_exact(2).map(|pair| pair[0]);
    for (i, pair) in pairs.chunks_exact(2).enumerate() {
        let [name, value] = [pair[0], pair[1]];
        let text = String::from_utf8_lossy(name);
        let refused = |reason: &str| Err(CommandError::SettingRefused(text.clone().into_owned(), reason.to_owned()));
        let Some((known, current)) = settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(&text)) else {
            return Err(CommandError::unknown_setting(name));
        };
        let can_change = *known == APPEND_FSYNC || LiveSetting::find(known).is_some();
        if !can_change && !may_stay(known, current, value) {
            // Redis could change it, but does not unless it is told to.
            return refused(if *known == "dir" { "can't set protected config" } else { "can't set immutable config" });
        } else if names().take(i).any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            return refused("duplicate parameter");
        }
    }
    Ok(())
}

/// Whether a setting may be set to what it is: those that are fixed only here are, by programs that know Redis's.
fn may_stay(name: &str, current: &str, value: &[u8]) -> bool {
    let as_it_is = match name {
        _ if name.ends_with("-file") => current.as_bytes() == value,
        // Numbers, addresses and words like `yes`.
        _ => current.as_bytes().eq_ignore_ascii_case(value),
    };
    as_it_is && !FIXED_IN_REDIS.contains(&name)
}

pub(super) fn config_reset_stat(server: &Server, out: &mut Vec<u8>) {
    server.reset_stats();
    simple(out, "OK");
}

pub(super) fn bg_rewrite_aof(server: &Server, out: &mut Vec<u8>) -> Result<(), CommandError> {
    if !server.config.append_only {
        return Err(CommandError::NoLog);
    }
    if !server.writer.request_rewrite() {
        return Err(CommandError::RewriteInProgress);
    }
    simple(out, "Background append only file rewriting started");
    Ok(())
}

pub(super) fn info(args: Args<'_>, server: &Server, out: &mut Vec<u8>) {
    let sections: Vec<String> = args.from(1).map(|s| String::from_utf8_lossy(s).to_ascii_lowercase()).collect();
    bulk(out, info::render(server, &sections).as_bytes());
}

pub(super) fn time(server: &Server, out: &mut Vec<u8>) {
    let now = server.writer.clock().unix_time();
    array(out, 2);
    bulk(out, now.as_secs().to_string().as_bytes());
    bulk(out, now.subsec_micros().to_string().as_bytes());
}

/// `SLOWLOG GET [count]`
pub(super) fn slow_log_get(args: Args<'_>, server: &Server, out: &mut Vec<u8>) -> Result<(), CommandError> {
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

pub(super) fn slow_log_reset(server: &Server, out: &mut Vec<u8>) {
    server.slow_log.reset();
    simple(out, "OK");
}

/// `WAITAOF numlocal numreplicas timeout`: waits until what the connection has written is synced. There are no
/// replicas, and never will be, so none is waited for.
pub(super) fn wait_aof(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let local = parse_i64(args.at(1)).ok_or(CommandError::NotAnInteger)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::OneLocalLog);
    }
    parse_i64(args.at(2)).filter(|n| *n >= 0).ok_or(CommandError::NotPositive)?;
    let timeout_ms = parse_i64(args.at(3)).ok_or(CommandError::TimeoutNotAnInteger)?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| CommandError::NegativeTimeout)?;
    // When the time is over has to be a number of Redis's too.
    let now_ms = context.server().writer.clock().unix_time().as_millis();
    if u128::from(timeout_ms) + now_ms > i64::MAX as u128 {
        return Err(CommandError::TimeoutOutOfRange);
    }
    if local > 0 && !context.server().config.append_only {
        return Err(CommandError::NoLocalLog);
    }
    let writer = &context.server().writer;
    let group = writer.written_group();
    let synced = writer.synced_group().map_err(|e| CommandError::SyncFailed(e.to_string()))? >= group;
    if synced || local == 0 {
        reply_wait_aof(synced && context.server().config.append_only, out);
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
pub(super) fn shutdown(args: Args<'_>, context: &Context<'_>) -> Result<After, CommandError> {
    // Alone, though it may stand there more than once.
    let is_abort = |option: &[u8]| option.eq_ignore_ascii_case(b"abort");
    if args.len() > 1 && args.from(1).all(is_abort) {
        return Err(CommandError::NoShutdown);
    }
    let mut save = None;
    for option in args.from(1) {
        match option.to_ascii_lowercase().as_slice() {
            b"save" if save != Some(false) => save = Some(true),
            b"nosave" if save != Some(true) => save = Some(false),
            b"now" | b"force" => {}
            _ => return Err(CommandError::Syntax),
        }
    }
    context.server().stop.notify_one();
    Ok(After::Close)
}
