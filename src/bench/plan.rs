//! What is to be measured: the flags, checked and resolved.

use std::time::Duration;

use anyhow::anyhow;

use super::results::Settings;
use super::threshold::Threshold;
use crate::args::{BenchArgs, DataSize, Distribution, Ratio, Test, TlsArgs, name_of};
use crate::client::address::uri_wants_tls;
use crate::client::flags;
use crate::client::{Address, SetupError, Target};
use crate::exit::{Failure, OrExit, Status};
use crate::machine;

/// Requests of a test unless told otherwise.
const REQUESTS: u64 = 100_000;

/// Runs of each test with `--compare`, unless told otherwise: fewer show no spread.
const REPEATS_COMPARED: u32 = 5;

/// The order in which tests run unless given: what SET wrote is there for the others, and DEL comes last.
const TESTS: [Test; 5] = [Test::Ping, Test::Set, Test::Get, Test::Exists, Test::Del];

/// A test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single(Test),
    /// SETs and GETs at random, in this ratio.
    Mixed(Ratio),
}

impl Kind {
    /// The names of all.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        TESTS.map(Self::Single).into_iter().chain([Self::Mixed(Ratio(1, 1))]).map(Self::name)
    }

    /// As it is called in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Single(Test::Ping) => "ping",
            Self::Single(Test::Set) => "set",
            Self::Single(Test::Get) => "get",
            Self::Single(Test::Exists) => "exists",
            Self::Single(Test::Del) => "del",
            Self::Mixed(_) => "mixed",
        }
    }

    /// Whether it looks up keys that must be there.
    pub(super) fn needs_keys(self) -> bool {
        !matches!(self, Self::Single(Test::Ping | Test::Set) | Self::Mixed(Ratio(_, 0)))
    }

    /// Whether it takes away the keys that it asks for.
    pub(super) fn deletes(self) -> bool {
        self == Self::Single(Test::Del)
    }
}

/// What each run of each test is.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tests: Vec<Kind>,
    /// `None`: as many as there is time for.
    pub(super) requests: Option<u64>,
    pub(super) duration: Option<Duration>,
    pub(super) clients: u32,
    pub(super) threads: u32,
    pub(super) pipeline: u32,
    pub(super) size: DataSize,
    pub(super) keyspace: u64,
    pub(super) distribution: Distribution,
    pub(super) rate: Option<u64>,
    pub(super) warmup: u64,
    pub(super) repeats: u32,
    pub(super) seed: u64,
    pub(super) verify: bool,
}

impl Plan {
    /// The plan that the flags mean.
    pub(super) fn new(args: &BenchArgs) -> Self {
        let tests = match (args.ratio, &args.tests[..]) {
            (Some(ratio), _) => vec![Kind::Mixed(ratio)],
            (None, []) => TESTS.map(Kind::Single).to_vec(),
            // Once each, as with redis-benchmark: results are known by their names.
            (None, tests) => {
                let first = tests.iter().enumerate().filter(|(at, test)| !tests[..*at].contains(test));
                first.map(|(_, test)| Kind::Single(*test)).collect()
            }
        };
        let usual_threads = (machine::cores() / 2).max(1) as u32;
        Self {
            tests,
            requests: if args.duration.is_some() { None } else { Some(args.requests.unwrap_or(REQUESTS)) },
            duration: args.duration.map(Duration::from_secs_f64),
            clients: args.clients,
            threads: args.threads.unwrap_or(usual_threads).min(args.clients),
            pipeline: args.pipeline,
            size: args.data,
            keyspace: args.keyspace,
            distribution: args.distribution,
            rate: args.rate,
            warmup: args.warmup,
            repeats: args.repeats.unwrap_or(if args.compare.is_some() { REPEATS_COMPARED } else { 1 }),
            seed: args.seed,
            verify: args.verify,
        }
    }

    /// How many keys a test is about. DEL takes each away, so it needs as many as it has requests.
    pub(super) fn keys(&self, kind: Kind) -> u64 {
        if kind.deletes() { self.keyspace.max(self.requests.unwrap_or(0)).max(self.warmup) } else { self.keyspace }
    }

    /// The plan, as it is saved.
    pub(super) fn settings(&self) -> Settings {
        let ratio = self.tests.iter().find_map(|kind| match kind {
            Kind::Mixed(Ratio(set, get)) => Some(format!("{set}:{get}")),
            Kind::Single(_) => None,
        });
        Settings {
            tests: self.tests.iter().map(|kind| kind.name().to_owned()).collect(),
            requests: self.requests,
            duration_ms: self.duration.map(|d| d.as_millis() as u64),
            clients: self.clients,
            threads: self.threads,
            pipeline: self.pipeline,
            value_bytes_min: self.size.0,
            value_bytes_max: self.size.1,
            keyspace: self.keyspace,
            distribution: name_of(&self.distribution),
            ratio,
            rate: self.rate,
            warmup: self.warmup,
            repeats: self.repeats,
            seed: self.seed,
            verify: self.verify,
        }
    }
}

/// The thresholds of `--fail-if`, each about a test that runs.
pub(super) fn thresholds(args: &BenchArgs, plan: &Plan) -> Result<Vec<Threshold>, Failure> {
    let mut thresholds = Vec::new();
    for text in &args.fail_if {
        let threshold: Threshold =
            text.parse().map_err(|e| anyhow!("{e}")).or_exit(Status::Usage, || "--fail-if".to_owned())?;
        let refuse = |why: String| Err(failure!(Usage, "--fail-if '{threshold}': {why}"));
        let mut about = plan.tests.iter().filter(|kind| threshold.test().is_none_or(|test| test == kind.name()));
        if let (Some(test), None) = (threshold.test(), about.clone().next()) {
            return refuse(format!("the test {test} is not among those that run"));
        }
        if threshold.needs_lookups() && !about.any(|kind| kind.needs_keys()) {
            return refuse(
                "there is no hit_rate where no key is looked up; get, exists, del and mixtures have one".to_owned(),
            );
        }
        thresholds.push(threshold);
    }
    Ok(thresholds)
}

/// The server that is measured first, or alone.
pub(super) fn first_server(args: &BenchArgs) -> Result<Target, Failure> {
    let mut connect = args.connect.clone();
    let (socket, uri) = (connect.socket.as_deref(), connect.uri.as_deref());
    if args.compare.as_deref().is_some_and(uri_wants_tls) && !flags::wants_tls(&connect.tls, socket, uri) {
        // What is said of TLS is meant for the second alone.
        connect.tls = TlsArgs::default();
    }
    flags::target(&connect, args.db, true)
}

/// The server of `--compare`: a URI, or a host and a port with the first server's login, database and TLS.
pub(super) fn second_server(text: &str, first: &Target, args: &BenchArgs) -> Result<Target, Failure> {
    if text.contains("://") {
        let target = Target::from_uri(text).or_exit(Status::Usage, || "--compare".to_owned())?;
        let tls = if uri_wants_tls(text) { &args.connect.tls } else { &TlsArgs::default() };
        return Ok(Target { tls: flags::tls(tls, None, Some(text))?, db: args.db.unwrap_or(target.db), ..target });
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    match port.parse() {
        Ok(port) if port != 0 && !host.is_empty() => {
            let address = Address::Tcp { host: host.to_owned(), port };
            Ok(Target { address, ..first.clone() })
        }
        _ => Err(failure!(Usage, "--compare takes HOST:PORT or a URI, for instance 127.0.0.1:6379, and not '{text}'")),
    }
}

/// Why the server of `--compare` cannot be measured, and what to do about a login that was not meant for it.
pub(super) fn second_refused(error: SetupError, text: &str, second: &Target) -> Failure {
    let is_login = matches!(error, SetupError::Refused { step: "AUTH", .. });
    let failure = Failure::from(error);
    if !is_login || text.contains("://") {
        return failure;
    }
    let scheme = if second.tls.is_some() { "rediss" } else { "redis" };
    let hint = format!("the login was the first server's; a URI has its own: --compare {scheme}://{}", second.address);
    Failure::new(failure.status(), anyhow!("{failure}; {hint}"))
}
