//! Every flag of every subcommand: the one source for the parser, the help, the completions and the man pages.

mod aof;
mod bench;
mod cli;
mod serve;
mod tls;

use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

pub use self::aof::{AofArgs, AofCommand, CheckArgs, DumpArgs, DumpFormat, Moment, RewriteArgs};
pub use self::bench::{
    BenchArgs, BenchCommand, BenchFormat, BenchServer, DataSize, DiffArgs, Distribution, Peer, Ratio, ReportArgs, Test,
};
pub use self::cli::{CliArgs, ColorWhen, OutputFormat};
pub use self::serve::{Fsync, LogFormat, LogLevel, Port, ServeArgs, TlsAuthClients};
pub use self::tls::TlsArgs;

/// A durable string store that speaks Redis.
#[derive(Debug, Parser)]
#[command(name = "kvred", version, max_term_width = 100, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Check, dump or rewrite a log
    Aof(AofArgs),
    /// Talk to a server: one command, a script, or an interactive session
    Cli(Box<CliArgs>),
    /// Measure a server: throughput and latency
    Bench(Box<BenchArgs>),
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

/// A number of bytes, with Redis's units: `k` is 1000, `kb` 1024, and so on to `gb`, in any letter case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match &lower[digits.len()..] {
            "" | "b" => 1,
            "k" => 1000,
            "kb" => 1 << 10,
            "m" => 1_000_000,
            "mb" => 1 << 20,
            "g" => 1_000_000_000,
            "gb" => 1 << 30,
            other => return Err(format!("unknown unit '{other}'; use b, k, kb, m, mb, g or gb")),
        };
        if digits.starts_with('+') {
            return Err(format!("'{text}' is not a size like 512mb or 1gb"));
        }
        let number: u64 = digits.parse().map_err(|_| format!("'{text}' is not a size like 512mb or 1gb"))?;
        number.checked_mul(unit).map(Self).ok_or_else(|| format!("'{text}' is too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

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
    }
}
