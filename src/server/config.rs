//! The server's settings: resolved once from the arguments, shown by `CONFIG GET`.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};

use super::live::{APPEND_FSYNC, LIVE_SETTINGS, Live};
use super::tls::TlsFiles;
use super::worker::balance::Moves;
use crate::args::{ServeArgs, TlsAuthClients, name_of};
use crate::machine;
use crate::persistence::FsyncPolicy;
use crate::terminal::password;

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
    /// Whether `given` is it, in a time that depends on the length of `given` alone: it tells neither how much of it
    /// fits nor how long the password is.
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
        // One core is left to the clients. With two cores, a second worker takes from them and from the log thread what
        // it gives, but for deep pipelines (measured there); for these there is a spare one, see `balance`.
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

/// Checks that `--tls-port` is given where a file for TLS is: without it TLS would silently not be offered.
///
/// # Errors
/// A file for TLS is given without `--tls-port`.
pub fn check_tls_port(args: &ServeArgs) -> Result<()> {
    match given_tls_file(args) {
        Some(flag) if args.tls_port.is_none() => bail!(
            "{flag} is given, but --tls-port is not: TLS would not be offered; give --tls-port \
             too, or neither"
        ),
        _ => Ok(()),
    }
}

/// The flag of a file for TLS, if one is given: whoever does that wants TLS, though not all may be there.
pub fn given_tls_file(args: &ServeArgs) -> Option<&'static str> {
    let files = [
        (&args.tls_cert_file, "--tls-cert-file (or KVRED_TLS_CERT_FILE)"),
        (&args.tls_key_file, "--tls-key-file (or KVRED_TLS_KEY_FILE)"),
        (&args.tls_ca_cert_file, "--tls-ca-cert-file (or KVRED_TLS_CA_CERT_FILE)"),
    ];
    files.into_iter().find_map(|(file, flag)| file.is_some().then_some(flag))
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
    let found = std::fs::metadata(file)?;
    // A device or a pipe is not the owner's to close.
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        tracing::warn!("{name} can be read by others than its owner; chmod 600 it");
    }
    let password = password::in_file(&content);
    if password.is_empty() {
        bail!("the password file {name} is empty");
    }
    Ok(password.to_vec())
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
