//! The flags of `kvred serve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::{Size, YesNo};
use crate::persistence::FsyncPolicy;

const SERVE_EXAMPLES: &str = "\
Examples:
  kvred serve                                   listen on 127.0.0.1:6380, log to ./kvred.aof
  kvred serve --dir /var/lib/kvred --fsync always
  KVRED_FSYNC=none kvred serve --port 0         any free port; the log line names it
  kvred serve --port none --tls-port 6380 --tls-cert-file cert.pem --tls-key-file key.pem --tls-auth-clients no

Exit status: 0 after SIGTERM or SIGINT; 2 wrong usage; 3 an address, a file or the log's lock cannot be had, or the
last write or sync failed; 4 the log is damaged in its middle (see `kvred aof check`).";

/// `kvred serve`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub struct ServeArgs {
    /// Address to listen on; may be given several times, or separated by commas
    #[arg(long, env = "KVRED_BIND", value_name = "ADDR", value_delimiter = ',', default_value = "127.0.0.1")]
    pub bind: Vec<IpAddr>,

    /// TCP port; 0 takes any free one, `none` listens on none (for TLS or a unix socket alone)
    #[arg(long, env = "KVRED_PORT", value_name = "N", default_value = "6380")]
    pub port: Port,

    /// TCP port for TLS, on the same addresses; 0 takes any free one
    #[arg(long, env = "KVRED_TLS_PORT", value_name = "N", requires_all = ["tls_cert_file", "tls_key_file"])]
    pub tls_port: Option<u16>,

    /// The server's certificate and those above it, PEM; read anew on SIGHUP
    #[arg(long, env = "KVRED_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,

    /// The private key of the certificate, PEM; read anew on SIGHUP
    #[arg(long, env = "KVRED_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,

    /// Certificates of the CAs that clients' certificates are signed by, PEM; read anew on SIGHUP
    #[arg(long, env = "KVRED_TLS_CA_CERT_FILE", value_name = "FILE")]
    pub tls_ca_cert_file: Option<PathBuf>,

    /// Whether clients must show a certificate: `optional` checks it where there is one
    #[arg(long, env = "KVRED_TLS_AUTH_CLIENTS", value_name = "WHEN", default_value = "yes")]
    pub tls_auth_clients: TlsAuthClients,

    /// Listen on this unix socket too
    #[arg(long, env = "KVRED_UNIXSOCKET", value_name = "PATH")]
    pub unixsocket: Option<PathBuf>,

    /// Working directory, made if missing
    #[arg(long, env = "KVRED_DIR", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// Keep a log; `no` writes nothing to disk
    #[arg(long, env = "KVRED_APPENDONLY", value_name = "YES|NO", default_value = "yes", hide_possible_values = true)]
    pub appendonly: YesNo,

    /// Name of the log, in --dir
    #[arg(long, env = "KVRED_APPENDFILENAME", value_name = "NAME", default_value = "kvred.aof", value_parser = file_name)]
    pub appendfilename: PathBuf,

    /// When writes are synced to the disk, and with that what a power cut can take
    #[arg(long, env = "KVRED_FSYNC", value_name = "POLICY", default_value = "everysec")]
    pub fsync: Fsync,

    /// Growth over the last rewrite, in percent, that starts another; 0: never
    #[arg(long, env = "KVRED_AUTO_AOF_REWRITE_PERCENTAGE", value_name = "N", default_value_t = 100)]
    pub auto_aof_rewrite_percentage: u32,

    /// Size below which no rewrite starts by itself
    #[arg(long, env = "KVRED_AUTO_AOF_REWRITE_MIN_SIZE", value_name = "SIZE", default_value = "64mb")]
    pub auto_aof_rewrite_min_size: Size,

    /// Worker threads [default: chosen from the cores]
    #[arg(long, env = "KVRED_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Most clients at a time
    #[arg(long, env = "KVRED_MAXCLIENTS", value_name = "N", default_value_t = 10_000)]
    pub maxclients: u32,

    /// Memory for keys and values past which writes that need more are refused; 0: no limit
    #[arg(long, env = "KVRED_MAXMEMORY", value_name = "SIZE", default_value = "0")]
    pub maxmemory: Size,

    /// Longest key or value, at most 1gb
    #[arg(long, env = "KVRED_PROTO_MAX_BULK_LEN", value_name = "SIZE", default_value = "512mb")]
    pub proto_max_bulk_len: Size,

    /// Input of one client that is not executed yet, past which it is closed
    #[arg(long, env = "KVRED_CLIENT_QUERY_BUFFER_LIMIT", value_name = "SIZE", default_value = "1gb")]
    pub client_query_buffer_limit: Size,

    /// Close connections that are idle for so many seconds; 0: never
    #[arg(long, env = "KVRED_TIMEOUT", value_name = "SECS", default_value_t = 0)]
    pub timeout: u64,

    /// Commands that take longer, in microseconds, are kept in the slow log; 0: all, -1: none
    #[arg(
        long,
        env = "KVRED_SLOWLOG_LOG_SLOWER_THAN",
        value_name = "USEC",
        default_value_t = 10_000,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..)
    )]
    pub slowlog_log_slower_than: i64,

    /// Most entries of the slow log
    #[arg(long, env = "KVRED_SLOWLOG_MAX_LEN", value_name = "N", default_value_t = 128)]
    pub slowlog_max_len: u32,

    /// File with the password that clients must give (its first line); or set KVRED_REQUIREPASS to the password
    #[arg(long, env = "KVRED_REQUIREPASS_FILE", value_name = "FILE")]
    pub requirepass_file: Option<PathBuf>,

    /// Refuse peers from other machines while no password is set
    #[arg(
        long,
        env = "KVRED_PROTECTED_MODE",
        value_name = "YES|NO",
        default_value = "yes",
        hide_possible_values = true
    )]
    pub protected_mode: YesNo,

    /// Least severe messages to log
    #[arg(long, env = "KVRED_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Form of the log messages, on stderr
    #[arg(long, env = "KVRED_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// `--fsync`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// A write is answered once the disk has it: nothing acknowledged is ever lost
    Always,
    /// Answered once the kernel has it, synced each second: a power cut takes 1 to 2 seconds at most
    Everysec,
    /// Synced at shutdown only: a power cut takes what the kernel had not written
    #[value(alias = "no")]
    None,
}

impl From<Fsync> for FsyncPolicy {
    fn from(value: Fsync) -> Self {
        match value {
            Fsync::Always => Self::Always,
            Fsync::Everysec => Self::Everysec,
            Fsync::None => Self::None,
        }
    }
}

/// `--port`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub Option<u16>);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let port = text.parse().map_err(|_| "give a number from 0 to 65535, or none".to_owned())?;
        Ok(Self(Some(port)))
    }
}

/// `--tls-auth-clients`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsAuthClients {
    /// They must, signed by one of --tls-ca-cert-file
    Yes,
    /// They may; one that they show must be right
    Optional,
    /// They are not asked
    No,
}

impl TlsAuthClients {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Optional => "optional",
            Self::No => "no",
        }
    }
}

/// `--log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `--log-format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// A name without directories, since the log lies in `--dir`.
fn file_name(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.file_name() {
        Some(name) if name == path.as_os_str() => Ok(path),
        _ => Err("give a name without directories; --dir says where the log lies".to_owned()),
    }
}
