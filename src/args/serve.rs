//! The flags of `kvred serve`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, ValueHint};

use super::number::number;
use super::{Size, YesNo};
use crate::persistence::FsyncPolicy;

const SERVE_EXAMPLES: &str = "\
Examples:
  kvred serve                           on 127.0.0.1:6380, log in ./kvred.aof
  kvred serve --dir /var/lib/kvred --fsync always
                                        nothing acknowledged is ever lost
  KVRED_FSYNC=none kvred serve --port 0
                                        any free port; a log line names it
  kvred serve --port none --unixsocket /run/kvred/kvred.sock
                                        for this machine alone

TLS takes --tls-port, --tls-cert-file and --tls-key-file; and --tls-ca-cert-file, unless --tls-auth-clients is no.

SIZE is a number of bytes, with a unit or without: k is 1000, kb 1024, m, mb, g, gb likewise.

Environment:
  KVRED_REQUIREPASS     the password that clients must give
  NO_COLOR              no colour in the messages, if it is not empty
  TERM                  dumb: no colour and no progress bar

Files:
  kvred.aof             the log, in --dir
  kvred.aof.lock        held by the server that uses the log; it is left behind
  kvred.aof.cut-OFFSET  what was cut off a log that had an incomplete end
  temp-rewrite-kvred.aof
                        a log that is being compacted; the next start removes
                        what a crash has left of it, if there is a log

Exit status:
  0    ended by SIGTERM, SIGINT or SHUTDOWN
  2    wrong usage
  3    an address, a file or the log's lock cannot be had, or the last write or
       sync failed
  4    the log is damaged in its middle, or there is none but what an
       interrupted rewrite has left: see kvred aof check
  130  ended at once by a second signal";

/// `kvred serve`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub struct ServeArgs {
    /// Address or name to listen on
    ///
    /// A name stands for all its addresses. May be given several times, or several with commas between them.
    #[arg(
        long,
        env = "KVRED_BIND",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub bind: Vec<String>,

    /// TCP port, or none
    ///
    /// 0: any free one, which a log line names; none: TLS or a unix socket alone.
    #[arg(long, env = "KVRED_PORT", value_name = "N", default_value = "6380")]
    pub port: Port,

    /// TCP port for TLS
    ///
    /// On the same addresses; 0: any free one.
    #[arg(long, env = "KVRED_TLS_PORT", value_name = "N", requires_all = ["tls_cert_file", "tls_key_file"])]
    #[arg(value_parser = number(0..=u16::MAX))]
    pub tls_port: Option<u16>,

    /// The server's certificate, PEM
    ///
    /// And those above it. Read anew on SIGHUP.
    #[arg(long, env = "KVRED_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,

    /// Its private key, PEM
    ///
    /// Read anew on SIGHUP.
    #[arg(long, env = "KVRED_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,

    /// CAs of the clients' certificates, PEM
    ///
    /// Read anew on SIGHUP.
    #[arg(long, env = "KVRED_TLS_CA_CERT_FILE", value_name = "FILE")]
    pub tls_ca_cert_file: Option<PathBuf>,

    /// Must clients show a certificate?
    #[arg(long, env = "KVRED_TLS_AUTH_CLIENTS", value_name = "WHEN", default_value = "yes")]
    pub tls_auth_clients: TlsAuthClients,

    /// Listen on this unix socket too
    ///
    /// A relative path starts where the server is started, not in --dir. The umask decides who may connect: with 022
    /// only the server's user, with 007 its group too.
    #[arg(long, env = "KVRED_UNIXSOCKET", value_name = "PATH")]
    pub unixsocket: Option<PathBuf>,

    /// Where the log lies
    ///
    /// Made if it is missing.
    #[arg(long, env = "KVRED_DIR", value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Keep a log: yes or no
    ///
    /// With `no`, nothing is written to disk, and a restart begins empty.
    #[arg(long, env = "KVRED_APPENDONLY", value_name = "YES|NO", default_value = "yes", hide_possible_values = true)]
    pub appendonly: YesNo,

    /// Name of the log, in --dir
    #[arg(long, env = "KVRED_APPENDFILENAME", value_name = "NAME", default_value = "kvred.aof", value_parser = file_name)]
    pub appendfilename: PathBuf,

    /// When writes reach the disk
    ///
    /// This decides what a power cut can take. A crash of kvred takes nothing that was acknowledged.
    #[arg(long, alias = "appendfsync", env = "KVRED_FSYNC", value_name = "POLICY", default_value = "everysec")]
    pub fsync: Fsync,

    /// Growth that starts a rewrite, in %
    ///
    /// Measured from the size after the last rewrite; 0: no rewrite starts by itself.
    #[arg(long, env = "KVRED_AUTO_AOF_REWRITE_PERCENTAGE", value_name = "N", default_value_t = 100)]
    #[arg(value_parser = number(0..=i32::MAX.cast_unsigned()))]
    pub auto_aof_rewrite_percentage: u32,

    /// Smallest log that is rewritten
    ///
    /// A smaller one is rewritten by BGREWRITEAOF only.
    #[arg(long, env = "KVRED_AUTO_AOF_REWRITE_MIN_SIZE", value_name = "SIZE", default_value = "64mb")]
    pub auto_aof_rewrite_min_size: Size,

    /// Worker threads
    ///
    /// [default: one less than there are cores, at most 64]
    ///
    /// Without this flag, one more worker serves half of the deep pipelines while a core would idle. Give the number of
    /// cores if all clients are on other machines. With fewer workers than cores, a worker stays awake for up to 50
    /// microseconds where the next request mostly comes that soon: a single busy client may keep a core busy.
    #[arg(long, alias = "io-threads", env = "KVRED_THREADS", value_name = "N")]
    #[arg(value_parser = number(1..=256_u16))]
    pub threads: Option<u16>,

    /// Most clients at a time
    ///
    /// One more is told so, and closed. Where the system allows fewer open files than that takes, it is lowered, and a
    /// line in the log says so.
    #[arg(long, env = "KVRED_MAXCLIENTS", value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = number(1..=u32::MAX))]
    pub maxclients: u32,

    /// Most memory for the data; 0: no limit
    ///
    /// Past it, writes that need more are refused with -OOM. Nothing is evicted.
    #[arg(long, env = "KVRED_MAXMEMORY", value_name = "SIZE", default_value = "0")]
    pub maxmemory: Size,

    /// Longest key or value
    ///
    /// From 1mb to 1gb.
    #[arg(long, env = "KVRED_PROTO_MAX_BULK_LEN", value_name = "SIZE", default_value = "512mb")]
    pub proto_max_bulk_len: Size,

    /// Most input waiting for one client
    ///
    /// A client that has sent more that is not executed yet is closed, with a log line. From 1mb to 2gb.
    #[arg(long, env = "KVRED_CLIENT_QUERY_BUFFER_LIMIT", value_name = "SIZE", default_value = "1gb")]
    pub client_query_buffer_limit: Size,

    /// Close clients idle for that long
    ///
    /// 0: never.
    #[arg(long, env = "KVRED_TIMEOUT", value_name = "SECS", default_value_t = 0, value_parser = number(0..=u64::MAX))]
    pub timeout: u64,

    /// Keep commands that took this long
    ///
    /// In microseconds; 0: all, -1: none. SLOWLOG GET shows them.
    #[arg(
        long,
        env = "KVRED_SLOWLOG_LOG_SLOWER_THAN",
        value_name = "USEC",
        default_value_t = 10_000,
        value_parser = number(-1..=i64::MAX)
    )]
    pub slowlog_log_slower_than: i64,

    /// Most entries of the slow log
    #[arg(long, env = "KVRED_SLOWLOG_MAX_LEN", value_name = "N", default_value_t = 128)]
    #[arg(value_parser = number(0..=u32::MAX))]
    pub slowlog_max_len: u32,

    /// File with the password for clients
    ///
    /// Its first line counts. Without the flag, the variable KVRED_REQUIREPASS is the password.
    #[arg(long, env = "KVRED_REQUIREPASS_FILE", value_name = "FILE")]
    pub requirepass_file: Option<PathBuf>,

    /// Refuse other machines: yes or no
    ///
    /// Only while no password is set. Connections by loopback (127.0.0.1, ::1) and by the unix socket are never
    /// refused.
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

    /// Form of the messages on stderr
    #[arg(long, env = "KVRED_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// `--fsync`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// Answered once the disk has it: nothing acknowledged is ever lost
    Always,
    /// Answered once the kernel has it, synced each second: a power cut takes 1 to 2 seconds at most
    Everysec,
    /// Synced at shutdown, or once 32 MiB have piled up: a power cut takes what the kernel had not written, and may
    /// leave a hole, with which a start is refused
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
    /// Lines for people
    Text,
    /// A JSON object a line
    Json,
}

/// A name without directories, since the log lies in `--dir`.
fn file_name(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.file_name() {
        Some(_) if text.starts_with("temp-rewrite-") => {
            Err("names that begin with temp-rewrite- belong to unfinished rewrites, which are removed; give another"
                .to_owned())
        }
        Some(name) if name == path.as_os_str() => Ok(path),
        _ => Err("give a name without directories; --dir says where the log lies".to_owned()),
    }
}
