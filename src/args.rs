//! Every flag of every subcommand: the one source for the parser, the help, the completions and the man pages.

mod aof;
mod bench;
mod cli;
mod connect;
mod manual;
mod number;
mod serve;
mod tls;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::str::FromStr;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{
    Arg, ArgMatches, ColorChoice, Command as Definition, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};

pub use self::aof::{AofArgs, AofCommand, CheckArgs, DumpArgs, DumpFormat, Moment, RewriteArgs};
pub use self::bench::{
    BenchArgs, BenchCommand, BenchFormat, DataSize, DiffArgs, Distribution, Peer, Ratio, ReportArgs, Test,
};
pub use self::cli::{CliArgs, ColorWhen, OutputFormat};
pub use self::connect::ConnectArgs;
pub use self::manual::{CompletionsArgs, ManArgs};
pub use self::serve::{Fsync, LogFormat, LogLevel, Port, ServeArgs, TlsAuthClients};
pub use self::tls::TlsArgs;

const EXAMPLES: &str = "\
Examples:
  kvred serve                           a server on 127.0.0.1:6380
  kvred cli SET greeting hello          a command to it
  kvred aof check kvred.aof             is its log sound?
  kvred serve --help                    each command tells all about itself

Environment:
  KVRED_*               most flags have a variable, which the command's help
                        names; the flag comes before it
  NO_COLOR              no colour, if it is not empty
  TERM                  dumb: no colour and no progress bars

Files:
  kvred.aof             the log, in the server's --dir

Exit status:
  0    fine
  1    what was asked for came back negative: an error reply, a torn log, a
       threshold that was not kept
  2    wrong usage
  3    the server cannot be reached, or a file cannot be read or written
  4    a log is damaged in its middle
  130  interrupted";

/// A durable string store that speaks Redis
///
/// One binary: a server that keeps strings under keys, in memory and in a checksummed append-only log that Redis and
/// Valkey can read; a client for any Redis server; and tools for the log.
#[derive(Debug, Parser)]
#[command(name = "kvred", version, max_term_width = 80, arg_required_else_help = true, after_long_help = EXAMPLES)]
pub struct Cli {
    /// When to use colour
    #[arg(long, global = true, env = "KVRED_COLOR", value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// See [`ConnectArgs::prefer_flags`].
    fn prefer_flags(&mut self, matches: &ArgMatches) {
        let Some((_, matches)) = matches.subcommand() else { return };
        match &mut self.command {
            Command::Cli(args) => args.prefer_flags(matches),
            Command::Bench(args) => args.connect.prefer_flags(matches),
            Command::Serve(_) | Command::Aof(_) | Command::Completions(_) | Command::Man(_) => {}
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    ///
    /// Loads the log, then listens, and logs "ready to accept connections" with its addresses. SIGTERM and SIGINT stop
    /// it: commands in flight finish, the log is written, synced and closed. A second one ends it at once,
    /// unless it comes within a tenth of a second, as `timeout` sends them. SIGHUP only reads certificates anew.
    Serve(Box<ServeArgs>),
    /// Check, dump or rewrite a log
    ///
    /// For logs of kvred, and of Redis and Valkey as far as they hold strings. `check` and `dump` may read a log that a
    /// server is writing.
    Aof(AofArgs),
    /// Talk to a server: a command, a script or a session
    ///
    /// For any Redis server. With a command it prints the reply; without one, at a terminal it begins a session, and
    /// elsewhere it runs the lines of its standard input.
    Cli(Box<CliArgs>),
    /// Measure a server: throughput and latency
    ///
    /// Any Redis server. Lookups are of keys that are there, which it fills in first; errors, wrong replies and misses
    /// are counted, and make the exit code 1.
    Bench(Box<BenchArgs>),
    /// Print the completions for a shell
    ///
    /// Commands, flags and their values are completed; files and hosts where they belong.
    Completions(CompletionsArgs),
    /// Write the man pages
    ///
    /// One for each command, from the same texts as --help.
    Man(ManArgs),
}

/// Parses the arguments of this process. `-h` has a line for each flag; what they are by default, their variables and
/// values are told by `--help`.
///
/// # Errors
/// Wrong usage, or help or a version to print.
pub fn parse() -> Result<Cli, clap::Error> {
    let is_set = |variable: &OsStr| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let parse = |command: Definition| -> Result<Cli, clap::Error> {
        let mut command = command.color(color());
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        cli.prefer_flags(&matches);
        Ok(cli)
    };
    parse(with_variables(Cli::command(), &is_set)).map_err(|error| {
        if error.kind() == ErrorKind::DisplayHelp {
            // It names the variables that are empty, too.
            let mut asked = std::env::args_os().filter(|arg| arg == "-h" || arg == "--help");
            let is_brief = asked.next().is_some_and(|arg| arg == "-h");
            let command = if is_brief { brief(Cli::command()) } else { Cli::command() };
            return parse(command).err().unwrap_or(error);
        }
        let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
        let lacks_value = error.get(ContextKind::InvalidValue) == Some(&ContextValue::String(String::new()));
        if lacks_value && flag.starts_with("--host ") {
            return with_tip(error, "-h is the host here, as in redis-cli; --help helps".to_owned());
        }
        let mut built = Cli::command();
        built.build();
        let guilty = variables_of(&built, flag).into_iter().find(|variable| {
            let without = parse(with_variables(Cli::command(), &|name| is_set(name) && name != variable));
            without.err().is_none_or(|other| other.to_string() != error.to_string())
        });
        match guilty {
            Some(variable) => with_tip(error, format!("this comes from the variable {}", variable.to_string_lossy())),
            None => error,
        }
    })
}

/// The colour of help and of errors: what `--color`, or its variable, will come to once the arguments are understood.
fn color() -> ColorChoice {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let mut args = args.skip_while(|arg| arg != "--color" && !arg.starts_with("--color="));
    let flag = args.next().and_then(|arg| match arg.strip_prefix("--color=") {
        Some(when) => Some(when.to_owned()),
        None => args.next(),
    });
    let when = flag.or_else(|| std::env::var("KVRED_COLOR").ok()).unwrap_or_default();
    match ColorWhen::from_str(&when, false) {
        Ok(ColorWhen::Always) => ColorChoice::Always,
        Ok(ColorWhen::Never) => ColorChoice::Never,
        Ok(ColorWhen::Auto) | Err(_) => ColorChoice::Auto,
    }
}

/// The command with only those environment variables that `wanted` accepts; and its flags take `-1` as a value, so that
/// the error says why it cannot be.
fn with_variables(command: Definition, wanted: &dyn Fn(&OsStr) -> bool) -> Definition {
    let only = |arg: Arg| {
        let is_flag = !arg.is_positional() && arg.get_action().takes_values();
        let arg = if is_flag { arg.allow_negative_numbers(true) } else { arg };
        if arg.get_env().is_some_and(|name| !wanted(name)) { arg.env(Resettable::Reset) } else { arg }
    };
    command.mut_args(only).mut_subcommands(|command| with_variables(command, wanted))
}

/// The variables of flags that an error calls so.
fn variables_of(command: &Definition, flag: &str) -> Vec<OsString> {
    let own = command.get_arguments().filter(|arg| arg.to_string() == flag);
    let own = own.filter_map(|arg| Some(arg.get_env()?.to_owned()));
    own.chain(command.get_subcommands().flat_map(|command| variables_of(command, flag))).collect()
}

/// Says more about an error.
fn with_tip(mut error: clap::Error, tip: String) -> clap::Error {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// The command with less about each flag, for `-h`; but in full where `-h` means a host.
fn brief(command: Definition) -> Definition {
    if command.is_disable_help_flag_set() {
        return command.mut_subcommands(brief);
    }
    command
        .mut_args(|arg| {
            if !arg.get_action().takes_values() {
                return arg;
            }
            arg.hide_env(true).hide_default_value(true).hide_possible_values(true)
        })
        .mut_subcommands(brief)
}

/// `yes` or `no`, as Redis's settings have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    /// On.
    Yes,
    /// Off.
    No,
}

impl From<YesNo> for bool {
    fn from(value: YesNo) -> Self {
        value == YesNo::Yes
    }
}

/// A value of a flag, as it is written behind the flag.
pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().expect("the help shows every value").get_name().to_owned()
}

/// A number of bytes, with Redis's units in any letter case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// What a unit stands for, the largest first.
const UNITS: [(&str, u64); 7] =
    [("gb", 1 << 30), ("g", 1_000_000_000), ("mb", 1 << 20), ("m", 1_000_000), ("kb", 1 << 10), ("k", 1000), ("b", 1)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &lower[digits.len()..] {
            "" => 1,
            name => match UNITS.iter().find(|(known, _)| *known == name) {
                Some((_, bytes)) => *bytes,
                None => return Err(format!("unknown unit '{name}'; use b, k, kb, m, mb, g or gb")),
            },
        };
        if digits.starts_with('+') {
            return Err(format!("'{text}' is not a size like 512mb or 1gb"));
        }
        let number: u64 = digits.parse().map_err(|_| format!("'{text}' is not a size like 512mb or 1gb"))?;
        number.checked_mul(unit).map(Self).ok_or_else(|| format!("'{text}' is too large"))
    }
}

impl fmt::Display for Size {
    /// In the largest unit of which it is a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, bytes)| *bytes > 1 && self.0 > 0 && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_redis_units() {
        for (text, want) in [
            ("0", 0),
            ("100", 100),
            ("1k", 1000),
            ("1kb", 1024),
            ("64mb", 64 << 20),
            ("2M", 2_000_000),
            ("1GB", 1 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(want)), "{text}");
        }
        for text in ["", "mb", "-1", "+1", "1.5mb", "1tb", "99999999999gb", "1 mb"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["0", "100", "1k", "1kb", "1023", "64mb", "2m", "1500m", "3gb", "18446744073709551615"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
