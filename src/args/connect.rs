//! The flags that say where a server is and who asks, for what connects to one.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, Error, ValueHint};

use super::TlsArgs;
use super::number::number;

/// Where the server is, how it is spoken to, and who asks.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// The server's host
    #[arg(short = 'h', long, env = "KVRED_HOST", value_name = "HOST", default_value = "127.0.0.1", value_hint = ValueHint::Hostname)]
    pub host: String,

    /// The server's port
    #[arg(short, long, env = "KVRED_PORT", value_name = "PORT", default_value_t = 6380, value_parser = PortParser)]
    pub port: u16,

    /// The server's unix socket; comes before -u, -h and -p
    #[arg(short, long, value_name = "SOCKET")]
    pub socket: Option<PathBuf>,

    /// The server as a URI.
    #[arg(
        help = "redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone"
    )]
    #[arg(short, long, env = "KVRED_URI", hide_env_values = true, value_name = "URI")]
    pub uri: Option<String>,

    /// Log in as this user; comes before a URI's, and that before KVRED_USER
    #[arg(long, env = "KVRED_USER", value_name = "NAME")]
    pub user: Option<String>,

    /// The user that `KVRED_USER` names, where no flag does
    #[arg(skip)]
    pub user_of_variable: Option<String>,

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

impl ConnectArgs {
    /// Puts flags before variables also where they say the same in other words: a host or a socket that is given is
    /// meant, whatever `KVRED_URI` says. `matches` are what these were made from.
    pub(super) fn prefer_flags(&mut self, matches: &ArgMatches) {
        let is_flag = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if !is_flag("uri") && ["host", "port", "socket"].into_iter().any(is_flag) {
            self.uri = None;
        }
        if !is_flag("user") {
            self.user_of_variable = self.user.take();
        }
    }
}

/// Reads a port to connect to. `KVRED_PORT` is `kvred serve`'s too, where `none` and 0 are allowed: from the
/// environment they give 0, which is refused only where a port is needed.
#[derive(Debug, Clone)]
struct PortParser;

impl TypedValueParser for PortParser {
    type Value = u16;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<u16, Error> {
        number(1..=u16::MAX).parse_ref(command, arg, value)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<u16, Error> {
        let names_none = source == ValueSource::EnvVariable && (value == "none" || value == "0");
        if names_none { Ok(0) } else { self.parse_ref(command, arg, value) }
    }
}
