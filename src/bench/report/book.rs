//! What was measured so far, and the files that keep it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{chart, summary};
use crate::args::{ReportArgs, Test};
use crate::bench::environment;
use crate::bench::output::{CSV_FIGURES, csv_figures, quoted, save};
use crate::bench::phase::Outcome;
use crate::bench::plan::Kind;
use crate::bench::results::{Figures, Host, Series, Settings, TestResult};
use crate::exit::Failure;

/// A finished run.
pub(super) struct Run<'a> {
    pub(super) policy: &'static str,
    pub(super) server: &'a str,
    pub(super) kind: Kind,
    /// From 1 on; `None`: a warm-up.
    pub(super) number: Option<u32>,
    pub(super) outcome: Outcome,
}

/// All runs of a test of a server under a policy.
pub(super) struct Entry {
    pub(super) policy: &'static str,
    pub(super) server: String,
    pub(super) test: &'static str,
    series: Series,
}

impl Entry {
    /// `None` before the first run that counts.
    pub(super) fn result(&self) -> Option<TestResult> {
        self.series.result(true)
    }
}

/// The report.
pub(super) struct Book {
    root: PathBuf,
    pub(super) host: Host,
    pub(super) settings: ReportSettings,
    /// The names in the order of the charts, kvred first.
    names: Vec<String>,
    pub(super) servers: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<String>,
    pub(super) partial: bool,
    pub(super) entries: Vec<Entry>,
    runs: Vec<Saved>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(super) struct ReportSettings {
    pub(super) ops_read: u64,
    pub(super) ops_write: u64,
    pub(super) repeats: u32,
    pub(super) warmup: u32,
    /// What all runs have in common.
    pub(super) load: Settings,
}

/// A run in `raw/results.json`.
#[derive(Debug, Serialize)]
struct Saved {
    fsync: &'static str,
    server: String,
    /// `null`: a warm-up.
    run: Option<u32>,
    #[serde(flatten)]
    figures: Figures,
}

/// A line of `raw/summary.json`.
#[derive(Debug, Serialize)]
struct Summed {
    fsync: &'static str,
    server: String,
    #[serde(flatten)]
    result: TestResult,
}

/// The frame of both JSON files.
#[derive(Debug, Serialize)]
struct Document<'a, T> {
    kvred_version: &'static str,
    host: &'a Host,
    settings: &'a ReportSettings,
    servers: &'a BTreeMap<String, BTreeMap<String, String>>,
    partial: bool,
    warnings: &'a [String],
    results: T,
}

impl Book {
    pub(super) fn new(args: &ReportArgs, root: &Path, load: Settings) -> Self {
        let settings = ReportSettings {
            ops_read: args.ops_read,
            ops_write: args.ops_write,
            repeats: args.repeats,
            warmup: args.warmup,
            load: Settings { tests: Vec::new(), requests: None, ..load },
        };
        Self {
            root: root.to_owned(),
            host: environment::host(),
            settings,
            names: std::iter::once("kvred").chain(args.peers.iter().map(|p| &p.name[..])).map(str::to_owned).collect(),
            servers: BTreeMap::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
            // Until the last run it is.
            partial: true,
            entries: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Enters a finished run.
    pub(super) fn add(&mut self, run: &Run<'_>) {
        let test = run.kind.name();
        let mut alone = Series::new(test);
        alone.push(&run.outcome);
        let (fsync, server) = (run.policy, run.server.to_owned());
        for figures in alone.runs() {
            let figures = figures.clone();
            self.runs.push(Saved { fsync, server: server.clone(), run: run.number, figures });
        }
        if run.number.is_none() {
            return;
        }
        let known = self.entries.iter().position(|e| (e.policy, &e.server, e.test) == (fsync, &server, test));
        let at = known.unwrap_or_else(|| {
            self.entries.push(Entry { policy: fsync, server, test, series: Series::new(test) });
            self.entries.len() - 1
        });
        self.entries[at].series.push(&run.outcome);
    }

    /// The policies with something to show, in the order in which they were measured.
    pub(super) fn policies(&self) -> Vec<&'static str> {
        let mut policies = Vec::new();
        for entry in &self.entries {
            if !policies.contains(&entry.policy) {
                policies.push(entry.policy);
            }
        }
        policies
    }

    /// The servers with something to show under a policy, kvred first.
    pub(super) fn servers_of(&self, policy: &str) -> Vec<String> {
        let measured = |name: &&String| self.entries.iter().any(|e| e.policy == policy && e.server == **name);
        self.names.iter().filter(measured).cloned().collect()
    }

    /// What a test of a server under a policy came to so far.
    pub(super) fn find(&self, policy: &str, server: &str, test: Test) -> Option<TestResult> {
        let name = Kind::Single(test).name();
        self.entries.iter().find(|e| (e.policy, &e.server[..], e.test) == (policy, server, name))?.result()
    }

    /// Writes all files anew.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let raw = self.root.join("raw");
        save(&raw.join("results.json"), &self.json(&self.runs))?;
        let mut csv = format!("fsync,server,run,{CSV_FIGURES}\n");
        for Saved { fsync, server, run, figures } in &self.runs {
            let run = run.map_or_else(|| "warmup".to_owned(), |run| run.to_string());
            writeln!(csv, "{fsync},{},{run},{}", quoted(server), csv_figures(figures))
                .expect("a string takes any text");
        }
        save(&raw.join("results.csv"), &csv)?;
        let summed: Vec<Summed> = self
            .entries
            .iter()
            .filter_map(|e| Some(Summed { fsync: e.policy, server: e.server.clone(), result: e.result()? }))
            .collect();
        save(&raw.join("summary.json"), &self.json(&summed))?;
        let mut csv = format!("fsync,server,{CSV_FIGURES},min,median,max\n");
        for Summed { fsync, server, result } in &summed {
            let (spread, figures) = (result.rate(), csv_figures(&result.figures));
            let line = format!("{fsync},{},{figures},{},{},{}", quoted(server), spread.min, spread.median, spread.max);
            csv.push_str(&line);
            csv.push('\n');
        }
        save(&raw.join("summary.csv"), &csv)?;
        for policy in self.policies() {
            let charts = self.root.join("charts");
            save(&charts.join(format!("fsync-{policy}.svg")), &chart::throughput(self, policy))?;
            save(&charts.join(format!("latency-{policy}.svg")), &chart::latency(self, policy))?;
        }
        save(&self.root.join("summary.md"), &summary::markdown(self))
    }

    fn json<T: Serialize>(&self, results: T) -> String {
        let document = Document {
            kvred_version: env!("CARGO_PKG_VERSION"),
            host: &self.host,
            settings: &self.settings,
            servers: &self.servers,
            partial: self.partial,
            warnings: &self.warnings,
            results,
        };
        serde_json::to_string_pretty(&document).expect("the document has no odd keys") + "\n"
    }
}
