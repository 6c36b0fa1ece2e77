//! The flags of `kvred bench`. Where `redis-benchmark` has a flag for the same thing, the name is its.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::ConnectArgs;
use super::Fsync;
use super::cli::seconds;

const BENCH_EXAMPLES: &str = "\
Examples:
  kvred bench                           five tests, 100000 requests each
  kvred bench -t get,set -P 16 --duration 10 --repeats 5
  kvred bench -t get --rate 20000 --duration 30
                                        an open loop: what a request waits that
                                        should have left counts
  kvred bench --ratio 1:10 --distribution zipf -d 16-1024 --verify
  kvred bench --compare 127.0.0.1:6379 -t get,set
                                        two servers in turn, and whether there
                                        is a difference
  kvred bench -t get --fail-if 'p99>2ms' -o run.json
  kvred bench diff before.json after.json
  kvred bench report --peer redis=/usr/bin/redis-server

It writes and deletes keys of the form key:000000000042, as redis-benchmark does.

Metrics of --fail-if: ops_per_sec, mean, p50, p95, p99, p99_9, p99_99, max
(times: us unless ns, ms or s follows), operations, errors, wrong, hits, misses,
hit_rate (0 to 1); with a test and a dot before it, for that test only:
get.ops_per_sec<50k.

Results:
  kvred_version, server, host, settings, partial, warnings
                        what was measured, where and how
  results               a list: test, operations, seconds, ops_per_sec,
                        latency_us, errors, wrong, hits, misses, partial; with
                        --repeats also min, median and max of ops_per_sec, and
                        runs, the same for each run
  latency_us            mean, p50, p95, p99, p99_9, p99_99, max
  compare               with --compare: server, results, and ratios, a list:
                        test, ratio (min, median, max), verdict

These are the names in JSON, and they stay. CSV has a line for each test, with
the same names as columns; those of latencies are latency_us_mean and so on.

Environment:
  KVRED_PASSWORD        the password, unless a flag gives one
  REDISCLI_AUTH         the same, where KVRED_PASSWORD is not set
  TERM                  dumb: no progress bar

Files:
  FILE                  of -o: the results, as JSON or CSV where its name ends
                        so

Exit status:
  0    fine
  1    errors, wrong replies, misses where keys should be, or a --fail-if that
       came true
  2    wrong usage
  3    a server cannot be reached or went away, or a file cannot be read or
       written
  130  interrupted; what there is is printed and marked partial";

const DIFF_EXAMPLES: &str = "\
Examples:
  kvred bench diff before.json after.json

Files:
  before.json, after.json
                        written by kvred bench -o FILE.json

Exit status:
  0    fine
  1    the two have no test in common
  2    wrong usage
  3    a file cannot be read";

/// `kvred bench`
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_long_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// Something else than a run.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,

    /// Where the server is.
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Select this database
    #[arg(long, value_name = "N")]
    pub db: Option<u32>,

    /// Give up connecting after so many seconds
    #[arg(long, env = "KVRED_CONNECT_TIMEOUT", value_name = "SECS", default_value = "5", value_parser = seconds)]
    pub connect_timeout: f64,

    /// The tests, with commas between them; ping, set, get, exists and del unless given
    #[arg(
        short,
        long = "tests",
        value_name = "TESTS",
        value_delimiter = ',',
        ignore_case = true,
        conflicts_with = "ratio"
    )]
    pub tests: Vec<Test>,

    /// One test of SETs and GETs in this ratio, for instance 1:10
    #[arg(long, value_name = "SET:GET")]
    pub ratio: Option<Ratio>,

    /// Requests of each test [default: 100000]
    #[arg(short = 'n', long = "requests", value_name = "OPS", value_parser = count, conflicts_with = "duration")]
    pub requests: Option<u64>,

    /// Seconds of each test
    #[arg(long, value_name = "SECS", value_parser = some_seconds)]
    pub duration: Option<f64>,

    /// Connections
    #[arg(short, long, value_name = "CLIENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub clients: u32,

    /// Requests that a connection sends before it waits for their replies
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pipeline: u32,

    /// Bytes of a value: a size, or a range like 16-1024
    #[arg(short = 'd', long = "data", value_name = "BYTES", default_value = "64")]
    pub data: DataSize,

    /// How many keys there are
    #[arg(short = 'r', long = "keyspace", value_name = "KEYS", default_value = "100000", value_parser = keyspace)]
    pub keyspace: u64,

    /// How keys are chosen
    #[arg(long, value_name = "HOW", default_value = "uniform")]
    pub distribution: Distribution,

    /// Worker threads [default: one for every two cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// Send so many requests a second on a fixed schedule, and measure from when each should have left
    #[arg(long, value_name = "OPS_PER_SEC", value_parser = count)]
    pub rate: Option<u64>,

    /// Requests before each test that do not count
    #[arg(long, value_name = "OPS", default_value = "0", value_parser = count_or_none)]
    pub warmup: u64,

    /// Run each test so many times; the median counts [default: 1, with --compare 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: Option<u32>,

    /// What keys and values are chosen by: the same seed, the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Check each value that is read; it follows from key and seed
    #[arg(long)]
    pub verify: bool,

    /// Measure this server too, in turn with the first: HOST:PORT, with the first one's login, database and TLS; or a URI,
    /// with its own; --db is for both
    #[arg(long, value_name = "HOST:PORT")]
    pub compare: Option<String>,

    /// Exit with 1 when this is true, for instance 'p99>2ms'; may be given several times; with --compare, of the first server
    #[arg(long, value_name = "EXPR")]
    pub fail_if: Vec<String>,

    /// How the results are printed [default: table, or what the name of -o ends in]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<BenchFormat>,

    /// Write the results to this file; the table then still goes to stdout. -: no table, but the results, as JSON
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    pub help: Option<bool>,
}

/// What `kvred bench` can do besides a run.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Compare two results that were saved as JSON
    Diff(DiffArgs),
    /// Measure servers of its own, with charts
    ///
    /// A server for each fsync policy, in a directory of its own, over one connection.
    Report(ReportArgs),
}

/// `kvred bench diff`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = DIFF_EXAMPLES)]
pub struct DiffArgs {
    /// The results before, as JSON
    pub before: PathBuf,
    /// The results after, as JSON
    pub after: PathBuf,

    /// Print help (see more with '--help')
    #[arg(short, long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

const REPORT_EXAMPLES: &str = "\
Examples:
  kvred bench report
  kvred bench report --fsync always --repeats 3 -o /data/report
  kvred bench report --peer redis=/usr/bin/redis-server
  kvred bench report --resume benchmark_reports/2026-01-31T12-00-00

Written anew after each run that is finished. The servers' data lies in a folder
of its own in the report's, so on its disk, and is removed at the end.

Files:
  summary.md            tables for people
  charts/fsync-POLICY.svg
                        medians, with whiskers from minimum to maximum
  charts/latency-POLICY.svg
                        percentiles of all runs together
  raw/results.json, raw/results.csv
                        each run
  raw/summary.json, raw/summary.csv
                        the medians
  raw/unfinished.json   until it is finished: what --resume needs
  servers-PID.N         while it runs: the servers' data; a report that is
                        killed leaves it behind

Exit status:
  0    fine
  1    errors or misses; with --resume, other servers or another machine
  2    wrong usage
  3    a server cannot be started or went away, or a file cannot be written
  130  interrupted; what was finished is there";

/// `kvred bench report`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    /// The kvred to measure [default: this one]
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,

    /// The policies, with commas between them
    #[arg(long, value_name = "POLICIES", value_delimiter = ',', default_value = "always,everysec,none")]
    pub fsync: Vec<Fsync>,

    /// Runs of each test that count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: u32,

    /// Runs of each test before those
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub warmup: u32,

    /// Requests in a run of PING, GET and EXISTS
    #[arg(long, value_name = "OPS", default_value = "100000", value_parser = count)]
    pub ops_read: u64,

    /// Requests in a run of SET and DEL
    #[arg(long, value_name = "OPS", default_value = "10000", value_parser = count)]
    pub ops_write: u64,

    /// Bytes of a value: a size, or a range like 16-1024
    #[arg(short = 'd', long = "data", value_name = "BYTES", default_value = "64")]
    pub data: DataSize,

    /// Another server to measure beside it
    ///
    /// Of Redis's, Valkey's or kvred's; may be given several times.
    #[arg(long = "peer", value_name = "NAME=PATH")]
    pub peers: Vec<Peer>,

    /// The folder to write to
    ///
    /// One that has no report yet. [default: benchmark_reports/ and the time]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Go on with the interrupted report in this folder
    ///
    /// Its flags are as they were: runs that are finished stay, and warm-ups come again, since the servers are new.
    #[arg(long, value_name = "DIR", exclusive = true)]
    pub resume: Option<PathBuf>,

    /// Print help (see more with '--help')
    #[arg(short, long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Test {
    /// PING
    Ping,
    /// SET of keys in the key space
    Set,
    /// GET of keys that are there
    Get,
    /// EXISTS of keys that are there
    Exists,
    /// DEL of keys that are there, each once
    Del,
}

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Distribution {
    /// Each as often as any other
    Uniform,
    /// A few very often (exponent 0.99, as in YCSB)
    Zipf,
    /// One after the other
    Sequential,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// For people, at most 80 columns
    Table,
    /// One object
    Json,
    /// A line for each test
    Csv,
}

/// How many bytes a value has: from, to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSize(pub u32, pub u32);

impl FromStr for DataSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// What Redis and kvred take unless told otherwise.
        const MOST: u64 = 512 << 20;
        let (from, to) = text.split_once("..").or_else(|| text.split_once('-')).unwrap_or((text, text));
        let size = |text: &str| match text.parse::<super::Size>() {
            Ok(size) if size.0 <= MOST => Ok(size.0 as u32),
            Ok(_) => Err("a value has at most 512mb".to_owned()),
            Err(_) => Err(format!("'{text}' is not a size; give bytes, for instance 64, 4kb or 16-1024")),
        };
        let (from, to) = (size(from)?, size(to)?);
        if from > to { Err("the range ends before it begins".to_owned()) } else { Ok(Self(from, to)) }
    }
}

/// So many SETs to so many GETs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(set, get)| Some((set.parse().ok()?, get.parse().ok()?)));
        match parts {
            Some((set, get)) if (set, get) != (0, 0) && set <= 1_000_000 && get <= 1_000_000 => Ok(Self(set, get)),
            _ => Err("give SETs and GETs, for instance 1:10".to_owned()),
        }
    }
}

/// A server to measure beside kvred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What it is called in tables and charts.
    pub name: String,
    /// Its program.
    pub path: PathBuf,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |name: &str| {
            (1..=16).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        match text.split_once('=') {
            Some((name, path)) if fits(name) && !path.is_empty() && name != "kvred" => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("give NAME=PATH, for instance redis=/usr/bin/redis-server; the name has at most 16 letters, \
                      digits, '-', '_' and '.', and is not kvred"
                .to_owned()),
        }
    }
}

/// A number of things, with `k` and `M`.
fn any_count(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1000),
        (at, 'm' | 'M') => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|&n| n <= 1 << 50)
}

fn count(text: &str) -> Result<u64, String> {
    any_count(text)
        .filter(|&n| n > 0)
        .ok_or_else(|| "give a number above 0, for instance 100000, 100k or 5M".to_owned())
}

fn count_or_none(text: &str) -> Result<u64, String> {
    any_count(text).ok_or_else(|| "give a number, for instance 10000 or 10k".to_owned())
}

/// As many as twelve digits can name.
fn keyspace(text: &str) -> Result<u64, String> {
    count(text).and_then(|n| if n <= 1_000_000_000_000 { Ok(n) } else { Err("at most 1000000000000 keys".to_owned()) })
}

fn some_seconds(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|s| if s > 0.0 { Ok(s) } else { Err("give more than 0 seconds".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sizes_ratios_and_peers_are_read() {
        assert_eq!(count("100k"), Ok(100_000));
        assert_eq!(count("5M"), Ok(5_000_000));
        for text in ["", "0", "-1", "k", "1.5k", "99999999999999999999", "5kk", "1 k", "é"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!("64".parse(), Ok(DataSize(64, 64)));
        assert_eq!("16-1kb".parse(), Ok(DataSize(16, 1024)));
        assert_eq!("0..3".parse(), Ok(DataSize(0, 3)));
        for text in ["", "9-1", "x", "-", "1gb", "1-2-3"] {
            assert!(text.parse::<DataSize>().is_err(), "{text}");
        }
        assert_eq!("1:10".parse(), Ok(Ratio(1, 10)));
        for text in ["", "1", "0:0", "a:b", "1:2:3", "-1:2"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        assert_eq!("redis=/a=b".parse(), Ok(Peer { name: "redis".into(), path: "/a=b".into() }));
        for text in ["", "redis", "=x", "redis=", "a b=x", "kvred=x", "<svg>=x"] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }
}
