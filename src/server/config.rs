//! The server's settings: resolved once from the arguments, shown by `CONFIG GET`.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
        if !(1 << 20..=u32::MAX as usize / 2).contains(&max_query_bytes) {
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

    /// The settings by their Redis names, as `CONFIG GET` shows them, in alphabetical order.
    pub fn settings(&self, fsync: FsyncPolicy) -> Vec<(&'static str, String)> {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let addresses: Vec<String> = self.bind.iter().map(ToString::to_string).collect();
        vec![
            ("appendfilename", self.append_filename.display().to_string()),
            ("appendfsync", fsync.to_string()),
            ("appendonly", yes_no(self.append_only)),
            ("auto-aof-rewrite-min-size", self.rewrite_min_bytes.to_string()),
            ("auto-aof-rewrite-percentage", self.rewrite_percentage.to_string()),
            ("bind", addresses.join(" ")),
            ("client-query-buffer-limit", self.max_query_bytes.to_string()),
            ("databases", "1".to_owned()),
            ("dir", self.dir.display().to_string()),
            ("io-threads", self.threads.to_string()),
            ("maxclients", self.max_clients.to_string()),
            ("maxmemory", self.max_memory_bytes.to_string()),
            ("maxmemory-policy", "noeviction".to_owned()),
            ("port", self.port.to_string()),
            ("protected-mode", yes_no(self.protected_mode)),
            ("proto-max-bulk-len", self.max_bulk_bytes.to_string()),
            ("save", String::new()),
            ("tcp-keepalive", super::listen::KEEPALIVE.as_secs().to_string()),
            ("timeout", self.timeout_seconds.to_string()),
            ("unixsocket", self.unix_socket.as_deref().unwrap_or(Path::new("")).display().to_string()),
        ]
    }
}

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
