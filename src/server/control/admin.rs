//! The server's settings, its slow log, its syncs and its end.

use std::sync::atomic::Ordering;

use super::{After, Context, rest};
use crate::command::errors::CommandError;
use crate::command::glob;
use crate::persistence::FsyncPolicy;
use crate::protocol::decode::Args;
use crate::protocol::encode::{array, bulk, integer, map};
use crate::protocol::number::parse_i64;
use crate::server::Server;
use crate::server::config::LiveSetting;

pub(super) fn config_get(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
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
pub(super) fn config_set(args: Args<'_>, context: &Context<'_>) -> Result<(), CommandError> {
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

/// `WAITAOF numlocal numreplicas timeout`: waits until what the connection has written is synced. There are no replicas,
/// and never will be, so none is waited for.
pub(super) fn wait_aof(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
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
pub(super) fn shutdown(args: Args<'_>, context: &Context<'_>) -> Result<(), CommandError> {
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
