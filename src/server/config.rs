//! The server's settings: resolved once from the arguments, shown by `CONFIG GET`.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

use super::tls::TlsFiles;
use super::worker::balance::Moves;
use crate::args::{ServeArgs, Size, TlsAuthClients, name_of};
use crate::machine;
use crate::persistence::FsyncPolicy;
use crate::protocol::limits::HIGHEST_MAX_BULK_BYTES;
use crate::protocol::number::parse_i64;

/// What the server was started with, and keeps.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on, without a port: none before they are taken.
    pub bind: Vec<SocketAddr>,
    /// The port, if there is one; after start-up the one in use.
    pub port: Option<u16>,
    /// The port for TLS, likewise.
    pub tls_port: Option<u16>,
    /// What TLS needs; there if `tls_port` is, or where systemd may hand over a socket for it.
    pub tls: Option<TlsFiles>,
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
    /// Worker threads.
    pub threads: usize,
    /// Whether there is one more, for deep pipelines while a core idles.
    pub spare_worker: bool,
    /// When connections change workers.
    pub moves: Moves,
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
    /// Whether `given` is it, in a time that depends on the length of `given` alone: it tells neither how much of it fits
    /// nor how long the password is.
    pub fn matches(&self, given: &[u8]) -> bool {
        let mut expected = self.0.to_vec();
        expected.resize(given.len(), 0);
        let same = subtle::ConstantTimeEq::ct_eq(&expected[..], given);
        (same & subtle::ConstantTimeEq::ct_eq(&self.0.len(), &given.len())).into()
    }
}

impl Config {
    /// How many worker threads there are, the spare one included.
    pub fn workers(&self) -> usize {
        self.threads + usize::from(self.spare_worker)
    }

    /// Whether this worker is the spare one, the last.
    pub fn is_spare(&self, worker: usize) -> bool {
        worker >= self.threads
    }

    /// Whether this worker may busy-poll: one core at least is the clients' and the log thread's.
    pub fn may_busy_poll(&self, worker: usize) -> bool {
        !self.is_spare(worker) && self.threads < machine::cores()
    }

    /// Checks and completes what was given.
    ///
    /// # Errors
    /// A setting that cannot be, or a password file that cannot be read.
    pub fn resolve(args: &ServeArgs) -> Result<Self> {
        let environment = std::env::var_os("KVRED_REQUIREPASS").map(std::ffi::OsString::into_encoded_bytes);
        let password = match &args.requirepass_file {
            Some(file) => Some(read_password(file)?),
            None => environment,
        };
        if args.port.0.is_none() && args.tls_port.is_none() && args.unixsocket.is_none() {
            bail!("--port none needs --tls-port or --unixsocket: nobody could connect");
        }
        let moves = Moves::from_environment()?;
        // One core is left to the clients. With two cores, a second worker takes from them and from the log thread what it
        // gives, but for deep pipelines (measured there); for these there is a spare one, see `balance`.
        let cores = machine::cores();
        Ok(Self {
            bind: Vec::new(),
            port: args.port.0,
            tls_port: args.tls_port,
            tls: tls_files(args),
            unix_socket: args.unixsocket.clone(),
            dir: std::path::absolute(&args.dir).context("the working directory is not known")?,
            append_only: args.appendonly.into(),
            append_filename: args.appendfilename.clone(),
            fsync: args.fsync.into(),
            threads: args.threads.map_or_else(|| cores.saturating_sub(1).clamp(1, 64), usize::from),
            spare_worker: args.threads.is_none() && (cores > 1 || moves == Moves::Deep),
            moves,
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
        let addresses: Vec<String> = self.bind.iter().map(without_port).collect();
        let tls_file = |of: fn(&TlsFiles) -> Option<&Path>| {
            self.tls.as_ref().and_then(of).unwrap_or(Path::new("")).display().to_string()
        };
        let mut settings: Vec<_> =
            LIVE_SETTINGS.iter().map(|s| (s.name, s.show((s.value)(live).load(Ordering::Relaxed)))).collect();
        settings.extend([
            ("appendfilename", self.append_filename.display().to_string()),
            (APPEND_FSYNC, fsync.redis_name().to_owned()),
            ("appendonly", yes_no(self.append_only)),
            ("bind", addresses.join(" ")),
            ("databases", "1".to_owned()),
            ("dir", self.dir.display().to_string()),
            ("io-threads", self.threads.to_string()),
            ("maxmemory-policy", "noeviction".to_owned()),
            ("port", self.port.unwrap_or(0).to_string()),
            ("protected-mode", yes_no(self.protected_mode)),
            ("save", String::new()),
            ("tcp-keepalive", super::listen::KEEPALIVE.as_secs().to_string()),
            ("tls-auth-clients", name_of(self.tls.as_ref().map_or(&TlsAuthClients::Yes, |tls| &tls.auth_clients))),
            ("tls-ca-cert-file", tls_file(|tls| tls.ca_cert.as_deref())),
            ("tls-cert-file", tls_file(|tls| Some(&tls.cert))),
            ("tls-key-file", tls_file(|tls| Some(&tls.key))),
            ("tls-port", self.tls_port.unwrap_or(0).to_string()),
            ("unixsocket", self.unix_socket.as_deref().unwrap_or(Path::new("")).display().to_string()),
        ]);
        settings.sort_unstable();
        settings
    }
}

/// An address as `--bind` takes it.
fn without_port(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(address) if address.scope_id() != 0 => format!("{}%{}", address.ip(), address.scope_id()),
        address => address.ip().to_string(),
    }
}

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
    pub range: std::ops::RangeInclusive<i128>,
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
    range: std::ops::RangeInclusive<i128>,
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

/// Files for TLS mean that it is wanted; it takes a port too, unless a socket for it is handed over.
///
/// # Errors
/// There is none.
pub fn tls_has_its_port(args: &ServeArgs) -> Result<()> {
    let files = [
        (&args.tls_cert_file, "--tls-cert-file (or KVRED_TLS_CERT_FILE)"),
        (&args.tls_key_file, "--tls-key-file (or KVRED_TLS_KEY_FILE)"),
        (&args.tls_ca_cert_file, "--tls-ca-cert-file (or KVRED_TLS_CA_CERT_FILE)"),
    ];
    match files.iter().find(|(file, _)| file.is_some() && args.tls_port.is_none()) {
        Some((_, flag)) => bail!(
            "{flag} is given, but --tls-port is not: TLS would not be offered; give --tls-port \
             too, or neither"
        ),
        None => Ok(()),
    }
}

fn tls_files(args: &ServeArgs) -> Option<TlsFiles> {
    Some(TlsFiles {
        cert: args.tls_cert_file.clone()?,
        key: args.tls_key_file.clone()?,
        ca_cert: args.tls_ca_cert_file.clone(),
        auth_clients: args.tls_auth_clients,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_matched_by_itself_alone() {
        let password = Password(b"secret".as_slice().into());
        assert!(password.matches(b"secret"));
        for wrong in [&b""[..], b"secre", b"secret ", b"secret\0", b"\0", b"Secret", b"secrets", b"terces"] {
            assert!(!password.matches(wrong), "{}", wrong.escape_ascii());
        }
        let nul = Password(b"a\0".as_slice().into());
        assert!(nul.matches(b"a\0") && !nul.matches(b"a") && !nul.matches(b"a\0\0"));
    }
}
