//! The settings that can be changed while the server runs, by `CONFIG SET`.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};

use crate::args::{ServeArgs, Size};
use crate::persistence::FsyncPolicy;
use crate::protocol::limits::HIGHEST_MAX_BULK_BYTES;
use crate::protocol::number::parse_i64;

/// The settings that `CONFIG SET` can change, as they are now. (`appendfsync` is the writer's.)
#[derive(Debug)]
pub struct Live {
    /// Size of the log below which no rewrite starts by itself.
    pub rewrite_min_bytes: AtomicU64,
    /// Growth in percent that starts a rewrite; 0: never.
    pub rewrite_percentage: AtomicU64,
    /// Most unexecuted input of a client.
    pub max_query_bytes: AtomicU64,
    /// Most clients at a time.
    pub max_clients: AtomicU64,
    /// Most bytes of keys and values; 0: no limit.
    pub max_memory_bytes: AtomicU64,
    /// Longest argument.
    pub max_bulk_bytes: AtomicU64,
    /// Idle time after which a client is closed; 0: never.
    pub timeout_seconds: AtomicU64,
    /// Commands that take so many microseconds go into the slow log; negative: none does. An `i64`, as its bits.
    pub slowlog_slower_than_us: AtomicU64,
    /// Most entries of the slow log.
    pub slowlog_max_len: AtomicU64,
}

impl Live {
    /// What the server starts with.
    ///
    /// # Errors
    /// One of them cannot be so: `CONFIG SET` would not take it either.
    pub fn new(args: &ServeArgs) -> Result<Self> {
        let live = Self {
            rewrite_min_bytes: args.auto_aof_rewrite_min_size.0.into(),
            rewrite_percentage: u64::from(args.auto_aof_rewrite_percentage).into(),
            max_query_bytes: args.client_query_buffer_limit.0.into(),
            max_clients: u64::from(args.maxclients).into(),
            max_memory_bytes: args.maxmemory.0.into(),
            max_bulk_bytes: args.proto_max_bulk_len.0.into(),
            timeout_seconds: args.timeout.into(),
            slowlog_slower_than_us: args.slowlog_log_slower_than.cast_unsigned().into(),
            slowlog_max_len: u64::from(args.slowlog_max_len).into(),
        };
        for setting in LIVE_SETTINGS {
            if !setting.range.contains(&setting.number((setting.value)(&live).load(Ordering::Relaxed))) {
                let [least, most] = [setting.range.start(), setting.range.end()].map(|end| setting.written(*end));
                let variable = setting.name.to_uppercase().replace('-', "_");
                bail!("--{} (or KVRED_{variable}) must lie between {least} and {most}", setting.name);
            }
        }
        Ok(live)
    }
}

/// A setting that can be changed while the server runs.
#[derive(Debug)]
pub struct LiveSetting {
    /// Redis's name for it.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// What it can be set to.
    pub range: RangeInclusive<i128>,
    /// Where it is kept.
    pub value: fn(&Live) -> &AtomicU64,
}

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A number that may be negative; it is kept as the bits of an `i64`.
    Signed,
    /// A number of bytes, with units.
    Size,
}

impl LiveSetting {
    /// Finds a setting by its name, in any letter case.
    pub fn find(name: &str) -> Option<&'static Self> {
        LIVE_SETTINGS.iter().find(|s| s.name.eq_ignore_ascii_case(name))
    }

    /// Its value as `CONFIG GET` shows it.
    pub fn show(&self, value: u64) -> String {
        self.number(value).to_string()
    }

    fn number(&self, value: u64) -> i128 {
        if self.kind == Kind::Signed { value.cast_signed().into() } else { value.into() }
    }

    /// A number as one would give it.
    fn written(&self, number: i128) -> String {
        if self.kind == Kind::Size { Size(number as u64).to_string() } else { number.to_string() }
    }

    /// Reads a value for it.
    ///
    /// # Errors
    /// Why it cannot be, in Redis's words.
    pub fn parse(&self, text: &str) -> Result<u64, String> {
        let number = if self.kind == Kind::Size {
            text.parse::<Size>().map_err(|_| "argument must be a memory value".to_owned())?.0.into()
        } else {
            let number = parse_i64(text.as_bytes());
            number.ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?.into()
        };
        if self.range.contains(&number) {
            Ok(number as u64)
        } else {
            Err(format!("argument must be between {} and {} inclusive", self.range.start(), self.range.end()))
        }
    }
}

const fn live(
    name: &'static str,
    kind: Kind,
    range: RangeInclusive<i128>,
    value: fn(&Live) -> &AtomicU64,
) -> LiveSetting {
    LiveSetting { name, kind, range, value }
}

/// The setting that is the writer's.
pub const APPEND_FSYNC: &str = "appendfsync";

/// The settings that Redis cannot change either; `dir` it could, but protects.
pub const FIXED_IN_REDIS: [&str; 5] = ["appendfilename", "databases", "dir", "io-threads", "unixsocket"];

/// The setting that the system may not allow.
pub const MAX_CLIENTS: &str = "maxclients";

/// Every setting that can be changed while the server runs, but for `appendfsync`.
pub static LIVE_SETTINGS: &[LiveSetting] = &[
    live("auto-aof-rewrite-min-size", Kind::Size, 0..=i64::MAX as i128, |l| &l.rewrite_min_bytes),
    live("auto-aof-rewrite-percentage", Kind::Number, 0..=i32::MAX as i128, |l| &l.rewrite_percentage),
    live("client-query-buffer-limit", Kind::Size, 1 << 20..=MAX_QUERY_BYTES as i128, |l| &l.max_query_bytes),
    live(MAX_CLIENTS, Kind::Number, 1..=u32::MAX as i128, |l| &l.max_clients),
    live("maxmemory", Kind::Size, 0..=u64::MAX as i128, |l| &l.max_memory_bytes),
    live("proto-max-bulk-len", Kind::Size, 1 << 20..=HIGHEST_MAX_BULK_BYTES as i128, |l| &l.max_bulk_bytes),
    live("slowlog-log-slower-than", Kind::Signed, -1..=i64::MAX as i128, |l| &l.slowlog_slower_than_us),
    live("slowlog-max-len", Kind::Number, 0..=i64::MAX as i128, |l| &l.slowlog_max_len),
    live("timeout", Kind::Number, 0..=i32::MAX as i128, |l| &l.timeout_seconds),
];

/// The most that `client-query-buffer-limit` can be: positions in a buffer are 32 bits wide.
const MAX_QUERY_BYTES: u64 = 2 << 30;

/// Reads a value for [`APPEND_FSYNC`], in any letter case; `none`, as `--fsync` has it, is taken too.
///
/// # Errors
/// Why it cannot be, in Redis's words.
pub fn parse_fsync(text: &str) -> Result<FsyncPolicy, String> {
    match &text.to_ascii_lowercase()[..] {
        "always" => Ok(FsyncPolicy::Always),
        "everysec" => Ok(FsyncPolicy::Everysec),
        "no" | "none" => Ok(FsyncPolicy::None),
        _ => Err("argument(s) must be one of the following: everysec, always, no".to_owned()),
    }
}
