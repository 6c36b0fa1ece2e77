//! The flags of `kvred bench`. Where `redis-benchmark` has a flag for the same thing, the name is its.

mod report;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

pub use self::report::{Peer, ReportArgs};
pub use self::values::{BenchFormat, DataSize, Distribution, Ratio, Test};
use self::values::{count, count_or_none, keyspace, some_seconds};
use super::ConnectArgs;
use super::cli::seconds;
use super::number::number;

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
                        latency_us, errors, wrong, hits, misses, partial,
                        server_cpu_us; with --repeats also min, median and max
                        of ops_per_sec, and runs, the same for each run
  seconds               from the first request to the last reply; with --rate,
                        unless it ended early, at least until one more request
                        would have been due
  latency_us            mean, p50, p95, p99, p99_9, p99_99, max
  server_cpu_us         the server's CPU time for an operation, from INFO cpu,
                        which may count in steps of 10 ms, and counts what its
                        other clients cost it, too; null where it is not told
  compare               with --compare: server, results, and ratios, a list:
                        test, ratio (min, median, max), verdict: a t-test of
                        the pairs, 95 %, with --rate of their mean latencies;
                        and server_cpu_ratio

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
  kvred bench -t get --repeats 5 -o before.json
  kvred bench diff before.json after.json

The server after is faster or slower where a t-test of the runs' rates says so,
at 95 %; of their mean latencies where --rate set the rates. The 95 % holds for
independent runs only: a machine that is slower meanwhile looks the same. Where
both servers can run, take kvred bench --compare, which measures them in turn.
Runs that were cut short do not count, and of one run nothing can be told.

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
    #[arg(long, value_name = "N", value_parser = number(0..=u32::MAX))]
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
    #[arg(short, long, value_name = "CLIENTS", default_value_t = 50, value_parser = number(1..=60_000_u32))]
    pub clients: u32,

    /// Requests that a connection sends before it waits for their replies
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, value_parser = number(1..=1_000_000_u32))]
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
    #[arg(long, value_name = "N", value_parser = number(1..=1024_u32))]
    pub threads: Option<u32>,

    /// Send so many requests a second on a fixed schedule, and measure from when each should have left
    #[arg(long, value_name = "OPS_PER_SEC", value_parser = count)]
    pub rate: Option<u64>,

    /// Requests before each test that do not count
    #[arg(long, value_name = "OPS", default_value = "0", value_parser = count_or_none)]
    pub warmup: u64,

    /// Run each test so many times: ops/s is the median, all else is over the requests of all runs [default: 1, with
    /// --compare 5]
    #[arg(long, value_name = "N", value_parser = number(1..=1000_u32))]
    pub repeats: Option<u32>,

    /// What keys and values are chosen by: the same seed, the same requests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(0..=u64::MAX))]
    pub seed: u64,

    /// Check each value that is read; it follows from key and seed
    #[arg(long)]
    pub verify: bool,

    /// Measure this server too, in turn with the first: HOST:PORT, with the first one's login, database and TLS; or a
    /// URI, with its own; --db is for both
    #[arg(long, value_name = "HOST:PORT")]
    pub compare: Option<String>,

    /// Exit with 1 when this is true, for instance 'p99>2ms'; may be given several times; with --compare, of the first
    /// server
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
    #[arg(short, long, action = ArgAction::Help, long_help = "Print help (see a summary with '-h')")]
    pub help: Option<bool>,
}
