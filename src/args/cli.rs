//! The flags of `kvred cli`. Where `redis-cli` has a flag for the same thing, the name is its.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, ValueEnum};

use super::ConnectArgs;
use super::number::number;

const CLI_EXAMPLES: &str = "\
Examples:
  kvred cli                             an interactive session; try help there
  kvred cli set greeting 'hello world'  one command
  kvred cli -x set picture < cat.png    the last argument from a file, its bytes
  kvred cli --no-newline get picture > copy.png
  kvred cli < script.txt                a command a line; an error stops it
  kvred cli --pipe < commands.txt       mass insertion, of RESP or command lines
  kvred cli -r 5 -i 1 dbsize            five times, a second apart
  kvred cli --scan --pattern 'user:*'   the keys that match

Quoting in scripts and sessions: \"...\" knows \\n \\r \\t \\a \\b \\xHH, '...' knows \\' only.

A line that is quit or exit, and nothing else, ends a script or a session.

Environment:
  KVRED_PASSWORD        the password, unless a flag gives one
  REDISCLI_AUTH         the same, where KVRED_PASSWORD is not set
  KVRED_HISTFILE        the session's history; /dev/null or empty: none is kept
  NO_COLOR              no colour, if it is not empty
  TERM                  dumb: no colour and no progress bars
  PAGER                 shows long replies of a session

Files:
  ~/.local/state/kvred/cli_history
                        the session's history, without lines that have a
                        password; under XDG_STATE_HOME, where that is set

Exit status:
  0    fine
  1    the server answered an error
  2    wrong usage
  3    the server cannot be reached, the connection was lost (then the outcome
       of the command is unknown, and it is not sent again), a file cannot be
       read, nobody reads what a script prints while lines of it are left, or
       the output cannot be written
  130  interrupted";

/// `kvred cli`
#[derive(Debug, Clone, Args)]
#[command(version, disable_version_flag = true, disable_help_flag = true, after_long_help = CLI_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub struct CliArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "see ConnectArgs")]
    pub connect: ConnectArgs,

    /// Select this database
    #[arg(short = 'n', long = "db", value_name = "N", value_parser = number(0..=u32::MAX))]
    pub db: Option<u32>,

    /// Speak RESP2 also where the output is JSON: no HELLO is sent
    #[arg(short = '2', conflicts_with = "resp3")]
    pub resp2: bool,

    /// Ask for RESP3 with HELLO
    #[arg(short = '3')]
    pub resp3: bool,

    /// Give up connecting after so many seconds
    #[arg(
        short = 't',
        long,
        env = "KVRED_CONNECT_TIMEOUT",
        value_name = "SECS",
        default_value = "5",
        value_parser = seconds
    )]
    pub connect_timeout: f64,

    /// Run the command so many times; for --stat, --latency: print so many lines [-1: without end]
    #[arg(short, long, value_name = "N", value_parser = number(i64::MIN..=i64::MAX))]
    pub repeat: Option<i64>,

    /// Wait so many seconds between repetitions, lines of --stat, cycles of --scan; --latency measures for so long
    #[arg(short, long, value_name = "SECS", value_parser = seconds)]
    pub interval: Option<f64>,

    /// Take the last argument from the standard input, byte for byte
    #[arg(short = 'x')]
    pub stdin_argument: bool,

    /// Arguments are quoted as in scripts: "\x00" is a NUL byte
    #[arg(long)]
    pub quoted_input: bool,

    /// How replies are printed
    #[arg(long, env = "KVRED_OUTPUT", value_name = "FORMAT", default_value = "auto")]
    pub output: OutputFormat,

    /// The same as --output raw
    #[arg(long, group = "format")]
    pub raw: bool,

    /// The same as --output pretty
    #[arg(long, group = "format")]
    pub no_raw: bool,

    /// The same as --output csv
    #[arg(long, group = "format")]
    pub csv: bool,

    /// The same as --output json
    #[arg(long, group = "format")]
    pub json: bool,

    /// Print no newline behind a reply: a value comes out exactly as it was stored
    #[arg(long)]
    pub no_newline: bool,

    /// In a script: go on after an error, and exit 1 at the end
    #[arg(long)]
    pub keep_going: bool,

    /// Send RESP or command lines from the standard input as fast as they go, and count replies and errors
    #[arg(long, group = "mode")]
    pub pipe: bool,

    /// With --pipe: give up when no reply comes for so many seconds after all was sent; 0: never [default: 30]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub pipe_timeout: Option<f64>,

    /// Print a line of the server's figures each second
    #[arg(long, group = "mode")]
    pub stat: bool,

    /// Measure the time of a PING, until Ctrl-C; for one second with --raw, --csv, --json or no terminal to print to
    #[arg(long, group = "mode")]
    pub latency: bool,

    /// Print all keys
    #[arg(long, group = "mode")]
    pub scan: bool,

    /// Find the biggest keys of each type
    #[arg(long, group = "mode")]
    pub bigkeys: bool,

    /// With --scan and --bigkeys: only keys that match, for instance 'user:*'
    #[arg(long, value_name = "GLOB")]
    pub pattern: Option<OsString>,

    /// With --scan and --bigkeys: how many keys to ask for at a time
    #[arg(long, value_name = "N", value_parser = number(1..=u32::MAX))]
    pub count: Option<u32>,

    /// Exit codes always tell of errors; taken for the sake of habit
    #[arg(short = 'e')]
    pub exit_error: bool,

    /// Do not warn about -a
    #[arg(long)]
    pub no_auth_warning: bool,

    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    pub help: Option<bool>,

    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    pub version: Option<bool>,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

impl CliArgs {
    /// How often `-r` asks for something: so often if it is not given, without end if it is negative.
    pub(crate) fn rounds(&self, without: u64) -> u64 {
        self.repeat.map_or(without, |rounds| u64::try_from(rounds).unwrap_or(u64::MAX))
    }

    /// See [`ConnectArgs::prefer_flags`]. What says how replies are printed comes before the variable, too; a value as
    /// it was stored is in no format at all.
    pub(super) fn prefer_flags(&mut self, matches: &ArgMatches) {
        self.connect.prefer_flags(matches);
        if (self.no_newline || self.names_format()) && matches.value_source("output") == Some(ValueSource::EnvVariable)
        {
            self.output = OutputFormat::Auto;
        }
    }

    /// Whether a flag names a format by itself.
    pub(crate) fn names_format(&self) -> bool {
        self.raw || self.no_raw || self.csv || self.json
    }
}

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// pretty on a terminal, raw elsewhere
    Auto,
    /// Typed and quoted, as redis-cli prints at a terminal
    Pretty,
    /// The bytes of the value and a newline; errors go to stderr
    Raw,
    /// A line for each reply: strings in quotes (RFC 4180), a null is NULL
    Csv,
    /// A line of JSON for each reply, for which RESP3 is asked for: a map is an object; strings that are not UTF-8 are
    /// {"base64": "..."}
    Json,
}

/// `--color`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A duration in seconds, with fractions, that a timer can take.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    /// A hundred years: enough for anybody, and far from any overflow.
    const MOST: f64 = 100.0 * 365.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(n) if (0.0..=MOST).contains(&n) => Ok(n),
        _ => Err("give seconds, for instance 0.5".to_owned()),
    }
}
