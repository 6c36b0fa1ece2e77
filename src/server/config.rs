//! The server's settings: resolved once from the arguments, shown by `CONFIG GET`.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

use crate::args::{ServeArgs, Size};
use crate::persistence::FsyncPolicy;
use crate::protocol::limits::HIGHEST_MAX_BULK_BYTES;

/// What the server was started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on.
    pub bind: Vec<IpAddr>,
    /// The port; after start-up the one in use.
    pub port: u16,
    /// The unix socket to listen on too.
    pub unix_socket: Option<PathBuf>,
    /// Where the log lies; absolute.
    pub dir: PathBuf,
    /// Whether there is a log.
    pub append_only: bool,
    /// The log's name in `dir`.
    pub append_filename: PathBuf,
    /// The policy to start with.
    pub fsync: FsyncPolicy,
    /// Growth in percent that starts a rewrite; 0: never.
    pub rewrite_percentage: u32,
    /// Size below which none starts by itself.
    pub rewrite_min_bytes: u64,
    /// Worker threads.
    pub threads: usize,
    /// Most clients at a time.
    pub max_clients: usize,
    /// Most bytes of keys and values; 0: no limit.
    pub max_memory_bytes: usize,
    /// Longest argument.
    pub max_bulk_bytes: usize,
    /// Most unexecuted input of a client.
    pub max_query_bytes: usize,
    /// Idle time after which a client is closed; 0: never.
    pub timeout_seconds: u64,
    /// What clients must give.
    pub password: Option<Password>,
    /// Whether peers from elsewhere are refused without a password.
    pub protected_mode: bool,
}

/// A password; it shows nowhere.
#[derive(Clone)]
pub struct Password(Box<[u8]>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// Whether `given` is it, in a time that does not tell how much of it fits.
    pub fn matches(&self, given: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], given).into()
    }
}

/// Worker threads where none are given. With two cores, a second worker takes from the clients and from the log thread
/// what it gives (measured with `perf.py`); with more, all but one for these.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).clamp(1, 64))
}

impl Config {
    /// Checks and completes what was given.
    ///
    /// # Errors
    /// A setting that cannot be, or a password file that cannot be read.
    pub fn resolve(args: &ServeArgs) -> Result<Self> {
        let max_bulk_bytes = bytes(args.proto_max_bulk_len);
        if !(1 << 20..=HIGHEST_MAX_BULK_BYTES).contains(&max_bulk_bytes) {
            bail!("--proto-max-bulk-len must lie between 1mb and 1gb");
        }
        let max_query_bytes = bytes(args.client_query_buffer_limit);
        if !(1 << 20..=MAX_QUERY_BYTES as usize).contains(&max_query_bytes) {
            bail!("--client-query-buffer-limit must lie between 1mb and 2gb");
        }
        let environment = std::env::var_os("KVRED_REQUIREPASS").map(std::ffi::OsString::into_encoded_bytes);
        let password = match &args.requirepass_file {
            Some(file) => Some(read_password(file)?),
            None => environment,
        };
        Ok(Self {
            bind: args.bind.clone(),
            port: args.port,
            unix_socket: args.unixsocket.clone(),
            dir: std::path::absolute(&args.dir).context("the working directory is not known")?,
            append_only: args.appendonly.into(),
            append_filename: args.appendfilename.clone(),
            fsync: args.fsync.into(),
            rewrite_percentage: args.auto_aof_rewrite_percentage,
            rewrite_min_bytes: args.auto_aof_rewrite_min_size.0,
            threads: args.threads.map_or_else(default_threads, usize::from),
            max_clients: args.maxclients as usize,
            max_memory_bytes: bytes(args.maxmemory),
            max_bulk_bytes,
            max_query_bytes,
            timeout_seconds: args.timeout,
            password: password.filter(|p| !p.is_empty()).map(|p| Password(p.into())),
            protected_mode: args.protected_mode.into(),
        })
    }

    /// The log's path.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join(&self.append_filename)
    }

    /// The settings by their Redis names, as `CONFIG GET` shows them.
    pub fn settings(&self, live: &Live, fsync: FsyncPolicy) -> Vec<(&'static str, String)> {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let addresses: Vec<String> = self.bind.iter().map(ToString::to_string).collect();
        let mut settings: Vec<_> =
            LIVE_SETTINGS.iter().map(|s| (s.name, (s.value)(live).load(Ordering::Relaxed).to_string())).collect();
        settings.extend([
            ("appendfilename", self.append_filename.display().to_string()),
            ("appendfsync", fsync.to_string()),
            ("appendonly", yes_no(self.append_only)),
            ("bind", addresses.join(" ")),
            ("databases", "1".to_owned()),
            ("dir", self.dir.display().to_string()),
            ("io-threads", self.threads.to_string()),
            ("maxmemory-policy", "noeviction".to_owned()),
            ("port", self.port.to_string()),
            ("protected-mode", yes_no(self.protected_mode)),
            ("save", String::new()),
            ("tcp-keepalive", super::listen::KEEPALIVE.as_secs().to_string()),
            ("unixsocket", self.unix_socket.as_deref().unwrap_or(Path::new("")).display().to_string()),
        ]);
        settings.sort_unstable();
        settings
    }
}

/// The settings that `CONFIG SET` can change, as they are now. (`appendfsync` is the writer's.)
#[derive(Debug)]
#[expect(missing_docs, reason = "as the fields of Config of the same names")]
pub struct Live {
    pub rewrite_min_bytes: AtomicU64,
    pub rewrite_percentage: AtomicU64,
    pub max_query_bytes: AtomicU64,
    pub max_clients: AtomicU64,
    pub max_memory_bytes: AtomicU64,
    pub max_bulk_bytes: AtomicU64,
    pub timeout_seconds: AtomicU64,
}

impl Live {
    /// What the server starts with.
    pub fn new(config: &Config) -> Self {
        Self {
            rewrite_min_bytes: config.rewrite_min_bytes.into(),
            rewrite_percentage: u64::from(config.rewrite_percentage).into(),
            max_query_bytes: (config.max_query_bytes as u64).into(),
            max_clients: (config.max_clients as u64).into(),
            max_memory_bytes: (config.max_memory_bytes as u64).into(),
            max_bulk_bytes: (config.max_bulk_bytes as u64).into(),
            timeout_seconds: config.timeout_seconds.into(),
        }
    }
}

/// A setting that can be changed while the server runs.
#[derive(Debug)]
pub struct LiveSetting {
    /// Redis's name for it.
    pub name: &'static str,
    /// Whether it takes units.
    pub is_size: bool,
    /// What it can be set to.
    pub range: std::ops::RangeInclusive<u64>,
    /// Where it is kept.
    pub value: fn(&Live) -> &AtomicU64,
}

impl LiveSetting {
    /// Finds a setting by its name, in any letter case.
    pub fn find(name: &str) -> Option<&'static Self> {
        LIVE_SETTINGS.iter().find(|s| s.name.eq_ignore_ascii_case(name))
    }

    /// Reads a value for it.
    ///
    /// # Errors
    /// Why it cannot be, in Redis's words.
    pub fn parse(&self, text: &str) -> Result<u64, String> {
        let number = if self.is_size {
            text.parse::<Size>().map_err(|_| "argument must be a memory value".to_owned())?.0
        } else {
            text.parse::<u64>().map_err(|_| "argument couldn't be parsed into an integer".to_owned())?
        };
        if self.range.contains(&number) {
            Ok(number)
        } else {
            Err(format!("argument must be between {} and {} inclusive", self.range.start(), self.range.end()))
        }
    }
}

const fn live(
    name: &'static str,
    is_size: bool,
    range: std::ops::RangeInclusive<u64>,
    value: fn(&Live) -> &AtomicU64,
) -> LiveSetting {
    LiveSetting { name, is_size, range, value }
}

/// Every setting that can be changed while the server runs, but for `appendfsync`.
pub static LIVE_SETTINGS: &[LiveSetting] = &[
    live("auto-aof-rewrite-min-size", true, 0..=u64::MAX, |l| &l.rewrite_min_bytes),
    live("auto-aof-rewrite-percentage", false, 0..=u32::MAX as u64, |l| &l.rewrite_percentage),
    live("client-query-buffer-limit", true, 1 << 20..=MAX_QUERY_BYTES, |l| &l.max_query_bytes),
    live("maxclients", false, 1..=u32::MAX as u64, |l| &l.max_clients),
    live("maxmemory", true, 0..=u64::MAX, |l| &l.max_memory_bytes),
    live("proto-max-bulk-len", true, 1 << 20..=HIGHEST_MAX_BULK_BYTES as u64, |l| &l.max_bulk_bytes),
    live("timeout", false, 0..=i32::MAX as u64, |l| &l.timeout_seconds),
];

/// The most that `client-query-buffer-limit` can be: positions in a buffer are 32 bits wide.
const MAX_QUERY_BYTES: u64 = 2 << 30;

fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn read_password(file: &Path) -> Result<Vec<u8>> {
    let name = file.display();
    let content = std::fs::read(file).with_context(|| format!("cannot read the password file {name}"))?;
    let mode = std::fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!("{name} can be read by others than its owner; chmod 600 it");
    }
    let line = content.split(|&c| c == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        bail!("the password file {name} is empty");
    }
    Ok(line.to_vec())
}
