//! What was measured so far, and the files that keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::{chart, summary};
use crate::args::{Peer, Test};
use crate::bench::environment;
use crate::bench::output::{CSV_FIGURES, CSV_SERVER_CPU, csv_figures, csv_server_cpu, quoted, save};
use crate::bench::phase::Outcome;
use crate::bench::plan::Kind;
use crate::bench::results::{Figures, Host, Series, Settings, Spread, TestResult};
use crate::exit::{Failure, OrExit, Status};

/// Which run it is.
pub(super) struct Run<'a> {
    pub(super) policy: &'a str,
    pub(super) server: &'a str,
    pub(super) kind: Kind,
    /// From 1 on; `None`: a warm-up.
    pub(super) number: Option<u32>,
}

/// All runs of a test of a server under a policy.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    policy: String,
    server: String,
    test: String,
    series: Series,
}

/// The report.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Book {
    #[serde(skip)]
    pub(super) root: PathBuf,
    kvred_version: String,
    pub(super) host: Host,
    pub(super) settings: ReportSettings,
    /// The policies in the order in which they are measured.
    pub(super) policies: Vec<String>,
    /// What is measured, in the order of the charts, kvred first.
    pub(super) programs: Vec<Peer>,
    pub(super) servers: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) warnings: BTreeSet<String>,
    /// Each once, also where a report that is gone on with warms up again.
    pub(super) problems: BTreeSet<String>,
    pub(super) partial: bool,
    entries: Vec<Entry>,
    runs: Vec<Saved>,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReportSettings {
    pub(super) ops_read: u64,
    pub(super) ops_write: u64,
    pub(super) repeats: u32,
    pub(super) warmup: u32,
    /// What all runs have in common.
    pub(super) load: Settings,
}

/// A run in `raw/results.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    fsync: String,
    server: String,
    /// `null`: a warm-up.
    run: Option<u32>,
    #[serde(flatten)]
    figures: Figures,
}

/// A line of `raw/summary.json`.
#[derive(Debug, Serialize)]
struct Summed<'a> {
    fsync: &'a str,
    server: &'a str,
    #[serde(flatten)]
    result: TestResult,
}

/// The frame of both JSON files.
#[derive(Debug, Serialize)]
struct Document<'a, T> {
    kvred_version: &'a str,
    host: &'a Host,
    settings: &'a ReportSettings,
    servers: &'a BTreeMap<String, BTreeMap<String, String>>,
    partial: bool,
    warnings: &'a BTreeSet<String>,
    results: T,
}

/// While a report is not finished: everything that is needed to go on with it.
const UNFINISHED: &str = "raw/unfinished.json";

/// Each run.
const RESULTS: &str = "raw/results.json";

impl Book {
    /// A report that begins.
    pub(super) fn new(root: PathBuf, policies: Vec<String>, programs: Vec<Peer>, settings: ReportSettings) -> Self {
        Self {
            root,
            kvred_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: environment::host(),
            settings,
            policies,
            programs,
            servers: BTreeMap::new(),
            warnings: BTreeSet::new(),
            problems: BTreeSet::new(),
            // Until the last run it is.
            partial: true,
            entries: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Whether a folder has a report, finished or not.
    pub(super) fn lies_in(root: &Path) -> bool {
        root.join(RESULTS).exists()
    }

    /// A report that was interrupted, to go on with.
    pub(super) fn open(root: &Path) -> Result<Self, Failure> {
        let path = root.join(UNFINISHED);
        let doing = || format!("{} is no report to go on with", root.display());
        if !path.exists() && Self::lies_in(root) {
            return Err(anyhow!("it is finished")).or_unavailable(doing);
        }
        let text = fs::read(&path).with_context(|| path.display().to_string()).or_unavailable(doing)?;
        let book: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string()).or_unavailable(doing)?;
        let here = (env!("CARGO_PKG_VERSION"), environment::host());
        if (&book.kvred_version[..], &book.host) != (here.0, &here.1) {
            let error = anyhow!("it was begun by another version of kvred, or on another machine: start a new one");
            return Err(error).or_exit(Status::Negative, doing);
        }
        Ok(Self { root: root.to_owned(), ..book })
    }

    /// Enters a server that is to be measured. It must be what it was before, or its runs could not be put together.
    pub(super) fn meet(&mut self, name: &str, info: &BTreeMap<String, String>) -> Result<(), Failure> {
        if let Some(before) = self.servers.get(name) {
            let (before, now) = (environment::name(before), environment::name(info));
            if before != now {
                return Err(failure!(
                    Negative,
                    "{name} was {before} when the report began and is {now}: start a new one"
                ));
            }
        }
        self.servers.insert(name.to_owned(), info.clone());
        Ok(())
    }

    /// Whether a run that counts is finished.
    pub(super) fn has(&self, policy: &str, server: &str, kind: Kind, number: u32) -> bool {
        let wanted = (policy, server, kind.name(), Some(number));
        self.runs.iter().any(|r| (&r.fsync[..], &r.server[..], &r.figures.test[..], r.run) == wanted)
    }

    /// Enters a finished run.
    pub(super) fn add(&mut self, run: &Run<'_>, outcome: &Outcome) {
        let test = run.kind.name();
        let Some(figures) = Figures::of(test, outcome) else { return };
        let (fsync, server) = (run.policy.to_owned(), run.server.to_owned());
        self.runs.push(Saved { fsync: fsync.clone(), server: server.clone(), run: run.number, figures });
        if run.number.is_none() {
            return;
        }
        let at = self.position(run.policy, run.server, test).unwrap_or_else(|| {
            self.entries.push(Entry { policy: fsync, server, test: test.to_owned(), series: Series::new(test) });
            self.entries.len() - 1
        });
        self.entries[at].series.push(outcome);
    }

    fn position(&self, policy: &str, server: &str, test: &str) -> Option<usize> {
        self.entries.iter().position(|e| (&e.policy[..], &e.server[..], &e.test[..]) == (policy, server, test))
    }

    /// The policies with something to show, in the order in which they were measured.
    pub(super) fn shown_policies(&self) -> impl Iterator<Item = &str> {
        let measured = |policy: &&String| self.entries.iter().any(|e| e.policy == **policy);
        self.policies.iter().filter(measured).map(String::as_str)
    }

    /// The servers, kvred first: each has its colour, from the first run on.
    pub(super) fn servers(&self) -> Vec<&str> {
        self.programs.iter().map(|program| &program.name[..]).collect()
    }

    /// What a test of a server under a policy came to so far.
    pub(super) fn find(&self, policy: &str, server: &str, test: Test) -> Option<TestResult> {
        let at = self.position(policy, server, Kind::Single(test).name())?;
        self.entries[at].series.result(true)
    }

    /// Writes all files anew.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let raw = self.root.join("raw");
        save(&self.root.join(RESULTS), &self.json(&self.runs))?;
        let mut csv = format!("fsync,server,run,{CSV_FIGURES},{CSV_SERVER_CPU}\n");
        for Saved { fsync, server, run, figures } in &self.runs {
            let run = run.map_or_else(|| "warmup".to_owned(), |run| run.to_string());
            let (server, cpu) = (quoted(server), csv_server_cpu(figures));
            writeln!(csv, "{fsync},{server},{run},{},{cpu}", csv_figures(figures)).expect("a string takes any text");
        }
        save(&raw.join("results.csv"), &csv)?;
        let summed: Vec<Summed> = self
            .entries
            .iter()
            .filter_map(|e| Some(Summed { fsync: &e.policy, server: &e.server, result: e.series.result(true)? }))
            .collect();
        save(&raw.join("summary.json"), &self.json(&summed))?;
        let mut csv = format!("fsync,server,{CSV_FIGURES},min,median,max,{CSV_SERVER_CPU}\n");
        for Summed { fsync, server, result } in &summed {
            let Spread { min, median, max } = result.rate();
            let (server, figures, cpu) =
                (quoted(server), csv_figures(&result.figures), csv_server_cpu(&result.figures));
            writeln!(csv, "{fsync},{server},{figures},{min},{median},{max},{cpu}").expect("a string takes any text");
        }
        save(&raw.join("summary.csv"), &csv)?;
        let charts = self.root.join("charts");
        for policy in self.shown_policies() {
            save(&charts.join(format!("fsync-{policy}.svg")), &chart::throughput(self, policy))?;
            save(&charts.join(format!("latency-{policy}.svg")), &chart::latency(self, policy))?;
        }
        save(&self.root.join("summary.md"), &summary::markdown(self))?;
        let unfinished = self.root.join(UNFINISHED);
        if self.partial {
            let text = serde_json::to_string(self).expect("the book has no odd keys");
            return save(&unfinished, &text);
        }
        match fs::remove_file(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).or_unavailable(|| format!("cannot remove {}", unfinished.display()))
            }
            _ => Ok(()),
        }
    }

    fn json<T: Serialize>(&self, results: T) -> String {
        let document = Document {
            kvred_version: &self.kvred_version,
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
