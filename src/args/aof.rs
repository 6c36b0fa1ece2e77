//! The flags of `kvred aof check | dump | rewrite`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};

use super::number::number;

const AOF_EXAMPLES: &str = "\
Examples:
  kvred aof check kvred.aof             is it sound, and what is in it?
  kvred aof dump kvred.aof              what is in it, command by command
  kvred aof rewrite kvred.aof           make it as short as its data

Environment:
  TERM                  dumb: no progress bars

Files:
  kvred.aof.lock        held by the server that uses the log

Exit status:
  0    fine
  1    the log's tail is torn, what was asked for is not in it, --salvage lost
       something, or what it saved is a part of a log
  2    wrong usage
  3    a file cannot be read or written, or a server holds the log
  4    the log is damaged, or has a command that kvred does not take
  130  interrupted";

const CHECK_EXAMPLES: &str = "\
Examples:
  kvred aof check kvred.aof             is it sound, and what is in it?
  kvred aof check --fix kvred.aof       cut off what is torn
  kvred aof check --salvage saved.aof kvred.aof
                                        all that still verifies, into a new log;
                                        of a server's log too, as a backup
  kvred aof check appendonlydir/appendonly.aof.manifest
                                        a log of Redis's in several parts

Without --fix nothing is written to the log. --fix asks first; without a
terminal it needs --yes.

Environment:
  TERM                  dumb: no progress bar

Files:
  FILE.cut-OFFSET       what --fix has cut off
  FILE.lock             held while --fix works, so that no server starts
  temp-rewrite-OUT.*    what --salvage has written so far; Ctrl-C, SIGTERM
                        and SIGHUP remove it

Exit status:
  0    fine
  1    the log's tail is torn, --salvage lost something, or what it saved is a
       part of a log
  2    wrong usage
  3    a file cannot be read or written, or a server holds the log (--fix)
  4    the log is damaged, or has a command that kvred does not take
  130  interrupted";

const DUMP_EXAMPLES: &str = "\
Examples:
  kvred aof dump kvred.aof | kvred cli -p 6381
                                        the data, into another server
  kvred aof dump --format table --key 'user:*' --limit 20 kvred.aof
  kvred aof dump --format json --since 1h kvred.aof | jq -c .args
  kvred aof dump -f --format resp kvred.aof | kvred cli --pipe -h b2
                                        a copy that follows

A follower shows committed batches only. When the log was replaced by something
that does not continue it, or cut back behind what was shown, it says so on
stderr, shows FLUSHALL, and then the log from its beginning.

T is a time in unix seconds, in UTC like 2026-05-01T12:00:00Z, or so long ago:
90s, 10m, 2h, 3d.

Environment:
  COLUMNS               width of a table that does not go to a terminal
  TERM                  dumb: no progress bar

Files:
  FILE                  is only read, also while a server writes it

Exit status:
  0    fine
  1    the log's tail is torn, or what was asked for is not in it
  2    wrong usage
  3    a file cannot be read, or the output cannot be written
  4    the log is damaged
  130  interrupted";

const REWRITE_EXAMPLES: &str = "\
Examples:
  kvred aof rewrite kvred.aof           make it as short as its data, in place
  kvred aof rewrite -o noon.aof --until 2026-05-01T12:00:00Z kvred.aof
                                        the data as it was then

T is a time in unix seconds, in UTC like 2026-05-01T12:00:00Z, or so long ago:
90s, 10m, 2h, 3d.

Environment:
  TERM                  dumb: no progress bar

Files:
  temp-rewrite-FILE     the new log, until it is complete and takes the place of
                        the old one
  temp-rewrite-OUT.*    the same with -o; Ctrl-C, SIGTERM and SIGHUP
                        remove it
  FILE.lock             held meanwhile, so that no server starts

Exit status:
  0    fine
  1    the log's tail is torn, or what it was at T is not in it any more
  2    wrong usage
  3    a file cannot be read or written, or a server holds the log
  4    the log is damaged, or has a command that kvred does not take
  130  interrupted";

/// `kvred aof`
#[derive(Debug, Clone, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_long_help = AOF_EXAMPLES)]
pub struct AofArgs {
    /// What to do with the log.
    #[command(subcommand)]
    pub command: AofCommand,
}

/// The tools.
#[derive(Debug, Clone, Subcommand)]
pub enum AofCommand {
    /// Say whether a log is sound, and repair it
    ///
    /// Prints its size, how many batches, commands and keys it has, how much of it is covered by checksums, and for
    /// damage the byte, the command and the reason. Repairs are made only by --fix and --salvage.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Print what a log holds, as commands, JSON, RESP or a table
    ///
    /// The commands restore the data when they are fed to a server, whatever bytes they have; so an MSET of Redis's is
    /// printed as SETs, but in JSON and tables as it is. A torn log is printed up to the tear, with a warning.
    #[command(after_long_help = DUMP_EXAMPLES)]
    Dump(DumpArgs),
    /// Write a log anew with nothing but its data
    ///
    /// What was overwritten or deleted is left out. Prints what it was before and after.
    #[command(after_long_help = REWRITE_EXAMPLES)]
    Rewrite(RewriteArgs),
}

/// `kvred aof check`
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,

    /// Cut a torn log off where it is sound
    ///
    /// What is cut is kept in FILE.cut-OFFSET, and synced, before the log is changed.
    #[arg(long, conflicts_with = "salvage")]
    pub fix: bool,

    /// Do not ask before --fix
    #[arg(long, short = 'y', requires = "fix")]
    pub yes: bool,

    /// Save what verifies to a new log
    ///
    /// Every batch that verifies is written, and synced; the ranges of bytes that are lost are listed. A server may be
    /// writing to the log.
    #[arg(long, value_name = "OUT")]
    pub salvage: Option<PathBuf>,

    /// The log, or a manifest
    ///
    /// Of kvred's, Redis's or Valkey's; or the manifest of one in several parts.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `kvred aof dump`
#[derive(Debug, Clone, Args)]
pub struct DumpArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = DumpFormat::Commands)]
    pub format: DumpFormat,

    /// Only what concerns keys that match
    #[arg(long, value_name = "GLOB")]
    pub key: Option<OsString>,

    /// Only from this byte of the file on
    #[arg(long, value_name = "OFFSET", default_value_t = 0, value_parser = number(0..=u64::MAX))]
    pub from: u64,

    /// Only what was written at T or later
    ///
    /// What a rewrite has written has no times. If that was at T or later, it is shown too, with a warning; and so is
    /// what has an earlier time and stands behind something of T or later, since a clock was wrong.
    #[arg(long, value_name = "T")]
    pub since: Option<Moment>,

    /// Only what was written until T
    ///
    /// Refused if the log was rewritten later than T: what it was before that is not in it any more; and if what was
    /// written until T stands behind something later, since a clock was wrong.
    #[arg(long, value_name = "T")]
    pub until: Option<Moment>,

    /// Stop after so many commands
    #[arg(long, value_name = "N", value_parser = number(0..=u64::MAX))]
    pub limit: Option<u64>,

    /// Go on as a server writes
    ///
    /// Across its rewrites and restarts, until Ctrl-C.
    #[arg(long, short = 'f')]
    pub follow: bool,

    /// The log, or a manifest
    ///
    /// Of kvred's, Redis's or Valkey's; or the manifest of one in several parts.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What `dump` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DumpFormat {
    /// One command a line, quoted for `kvred cli` and redis-cli
    Commands,
    /// JSON Lines: offset, batch, time, command, args
    Json,
    /// RESP, for `redis-cli --pipe`
    Resp,
    /// For eyes, shortened to the terminal's width
    Table,
}

/// `kvred aof rewrite`
#[derive(Debug, Clone, Args)]
pub struct RewriteArgs {
    /// Write to this new file instead
    ///
    /// The log stays as it is.
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,

    /// The data as it was at T (needs -o)
    ///
    /// Refused if the log was rewritten later than T: what it was before that is not in it any more; and if what was
    /// written until T stands behind something later, since a clock was wrong.
    #[arg(long, value_name = "T", requires = "output")]
    pub until: Option<Moment>,

    /// The log, or (with -o) a manifest
    ///
    /// Of kvred's, Redis's or Valkey's; or the manifest of one in several parts.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// A time in unix seconds, the precision that logs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        if let Ok(time) = humantime::parse_rfc3339_weak(text) {
            return Ok(Self(time.duration_since(UNIX_EPOCH).map(seconds).map_err(|e| e.to_string())?));
        }
        let ago = humantime::parse_duration(text).map_err(|_| {
            format!(
                "'{text}' is no time; give unix seconds, 2026-05-01T12:00:00Z (in UTC), or 10m, 2h, 3d for so long ago"
            )
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?;
        Ok(Self(seconds(now.saturating_sub(ago))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_three_spellings() {
        assert_eq!("1700000000".parse(), Ok(Moment(1_700_000_000)));
        assert_eq!("2023-11-14T22:13:20Z".parse(), Ok(Moment(1_700_000_000)));
        assert_eq!("2023-11-14 22:13:20".parse(), Ok(Moment(1_700_000_000)));
        let hour_ago: Moment = "1h".parse().unwrap();
        let minute_ago: Moment = "1m".parse().unwrap();
        assert!((3540..=3541).contains(&(minute_ago.0 - hour_ago.0)));
        for text in ["yesterday", "1m ago"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
