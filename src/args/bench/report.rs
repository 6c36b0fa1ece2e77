//! The flags of `kvred bench report`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args};
use serde::{Deserialize, Serialize};

use super::values::{DataSize, count};
use crate::args::Fsync;
use crate::args::number::number;

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
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = number(1..=1000_u32))]
    pub repeats: u32,

    /// Runs of each test before those
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(0..=1000_u32))]
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
    #[arg(short, long, action = ArgAction::Help, long_help = "Print help (see a summary with '-h')")]
    pub help: Option<bool>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read() {
        assert_eq!("redis=/a=b".parse(), Ok(Peer { name: "redis".into(), path: "/a=b".into() }));
        for text in ["", "redis", "=x", "redis=", "a b=x", "kvred=x", "<svg>=x"] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }
}
