//! The flags that say where a server is and who asks, for what connects to one.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::TlsArgs;

/// Where the server is, how it is spoken to, and who asks.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// The server's host
    #[arg(short = 'h', long, env = "KVRED_HOST", value_name = "HOST", default_value = "127.0.0.1", value_hint = ValueHint::Hostname)]
    pub host: String,

    /// The server's port
    #[arg(short, long, env = "KVRED_PORT", value_name = "PORT", default_value_t = 6380)]
    pub port: u16,

    /// The server's unix socket; comes before -u, -h and -p
    #[arg(short, long, value_name = "SOCKET")]
    pub socket: Option<PathBuf>,

    /// The server as a URI.
    #[arg(
        help = "redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p"
    )]
    #[arg(short, long, env = "KVRED_URI", hide_env_values = true, value_name = "URI")]
    pub uri: Option<String>,

    /// Log in as this user
    #[arg(long, env = "KVRED_USER", value_name = "NAME")]
    pub user: Option<String>,

    /// Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD
    #[arg(short = 'a', long = "pass", value_name = "PASSWORD", conflicts_with_all = ["askpass", "password_file"])]
    pub pass: Option<String>,

    /// Ask for the password at the terminal
    #[arg(long, conflicts_with = "password_file")]
    pub askpass: bool,

    /// Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "see TlsArgs")]
    pub tls: TlsArgs,
}
