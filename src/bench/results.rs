//! The results as they are saved: names here are the interface's, and stay.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::phase::{End, Outcome};
use super::tally::Tally;

/// A whole run set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) kvred_version: String,
    /// Its address, and what its `INFO server` said.
    pub(super) server: BTreeMap<String, String>,
    pub(super) host: Host,
    pub(super) settings: Settings,
    /// Whether it ended before its end.
    pub(super) partial: bool,
    pub(super) warnings: Vec<String>,
    pub(super) results: Vec<TestResult>,
    /// The other server of `--compare`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) compare: Option<Compared>,
}

/// The machine that the load came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
    pub(super) arch: String,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) tests: Vec<String>,
    pub(super) requests: Option<u64>,
    /// In thousandths of a second.
    pub(super) duration_ms: Option<u64>,
    pub(super) clients: u32,
    pub(super) threads: u32,
    pub(super) pipeline: u32,
    pub(super) value_bytes_min: u32,
    pub(super) value_bytes_max: u32,
    pub(super) keyspace: u64,
    pub(super) distribution: String,
    pub(super) ratio: Option<String>,
    pub(super) rate: Option<u64>,
    pub(super) warmup: u64,
    pub(super) repeats: u32,
    pub(super) seed: u64,
    pub(super) verify: bool,
}

impl Settings {
    /// What tells how fast a run was: its rate, or, where a schedule sets that, how soon its requests were answered.
    pub(super) fn speed(&self) -> Speed {
        if self.rate.is_some() { |run| 1.0 / run.latency_us.mean } else { |run| run.ops_per_sec }
    }

    /// How long values are, in bytes: `16`, `16 to 1024`.
    pub(super) fn value_sizes(&self) -> String {
        let (least, most) = (self.value_bytes_min, self.value_bytes_max);
        if least == most { most.to_string() } else { format!("{least} to {most}") }
    }
}

/// The more of it, the faster.
pub(super) type Speed = fn(&Figures) -> f64;

/// What verdicts go by under a rate.
pub(super) const RATE_WAS_SET: &str = "The rate was set: the runs' mean latencies decide";

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) p99_99: f64,
    pub(super) max: f64,
}

impl Latency {
    pub(super) fn of(tally: &Tally) -> Self {
        let h = &tally.latency_ns;
        // Three digits are kept, so nanoseconds are more than enough.
        let us = |ns: f64| ns.round() / 1000.0;
        let at = |quantile| us(h.value_at_quantile(quantile).min(h.max()) as f64);
        if h.is_empty() {
            return Self::default();
        }
        Self {
            mean: us(h.mean()),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: us(h.max() as f64),
        }
    }

    /// All of them, with their names.
    pub(super) fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("mean", self.mean),
            ("p50", self.p50),
            ("p95", self.p95),
            ("p99", self.p99),
            ("p99_9", self.p99_9),
            ("p99_99", self.p99_99),
            ("max", self.max),
        ]
    }

    /// All but the mean.
    pub(super) fn percentiles(&self) -> [f64; 6] {
        [self.p50, self.p95, self.p99, self.p99_9, self.p99_99, self.max]
    }
}

/// What one run of a test, or all of them together, gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) test: String,
    pub(super) operations: u64,
    pub(super) seconds: f64,
    pub(super) ops_per_sec: f64,
    pub(super) latency_us: Latency,
    pub(super) errors: u64,
    /// Replies of the wrong kind, or with the wrong value.
    pub(super) wrong: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) partial: bool,
    /// The server's CPU time for an operation, in microseconds, where it tells that: Linux may count it in steps of
    /// 10 ms, so that of a short run it is nothing.
    pub(super) server_cpu_us: Option<f64>,
}

impl Figures {
    /// What a run gave, if that is anything.
    pub(super) fn of(test: &str, outcome: &Outcome) -> Option<Self> {
        let partial = outcome.end != End::Finished;
        let operations = outcome.tally.operations;
        (operations > 0).then(|| Self {
            server_cpu_us: outcome.server_cpu_seconds.map(|seconds| round(seconds * 1e6 / operations as f64, 1e3)),
            ..Self::new(test, &outcome.tally, outcome.seconds, partial)
        })
    }

    fn new(test: &str, tally: &Tally, seconds: f64, partial: bool) -> Self {
        Self {
            test: test.to_owned(),
            operations: tally.operations,
            seconds: round(seconds, 1e6),
            ops_per_sec: if seconds > 0.0 { round(tally.operations as f64 / seconds, 10.0) } else { 0.0 },
            latency_us: Latency::of(tally),
            errors: tally.errors,
            wrong: tally.wrong,
            hits: tally.hits,
            misses: tally.misses,
            partial,
            server_cpu_us: None,
        }
    }

    /// The share of the lookups that found their key; `None` where nothing was looked up.
    pub(super) fn hit_rate(&self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

fn round(x: f64, steps: f64) -> f64 {
    (x * steps).round() / steps
}

/// What a test gave: with several runs, their median rate, and everything else over all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TestResult {
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Of `ops_per_sec`, with several runs.
    #[serde(flatten)]
    pub(super) spread: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) runs: Option<Vec<Figures>>,
}

/// How far the runs differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of at least one number.
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let upper = sorted[sorted.len() / 2];
        let lower = sorted[(sorted.len() - 1) / 2];
        Some(Self { min, median: f64::midpoint(lower, upper), max })
    }
}

impl TestResult {
    /// The rate and how far it goes up and down; with one run, not at all.
    pub(super) fn rate(&self) -> Spread {
        let rate = self.figures.ops_per_sec;
        self.spread.unwrap_or(Spread { min: rate, median: rate, max: rate })
    }
}

/// The runs of a test so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Series {
    test: String,
    all: Tally,
    seconds: f64,
    runs: Vec<Figures>,
}

impl Series {
    pub(super) fn new(test: &str) -> Self {
        Self { test: test.to_owned(), all: Tally::new(), seconds: 0.0, runs: Vec::new() }
    }

    /// Adds what a run gave, if that is anything.
    pub(super) fn push(&mut self, outcome: &Outcome) {
        let Some(figures) = Figures::of(&self.test, outcome) else { return };
        self.all.add(&outcome.tally);
        self.seconds += outcome.seconds;
        self.runs.push(figures);
    }

    /// Everything that was counted.
    pub(super) fn all(&self) -> &Tally {
        &self.all
    }

    /// What it comes to; `None` before the first run. `repeated`: with the runs one by one.
    pub(super) fn result(&self, repeated: bool) -> Option<TestResult> {
        // A run that was cut short has a rate, but one of another load.
        let whole = self.runs.iter().filter(|run| !run.partial).map(|run| run.ops_per_sec);
        let spread = Spread::of(whole).or_else(|| Spread::of(self.runs.iter().map(|run| run.ops_per_sec)))?;
        let mut figures = Figures::new(&self.test, &self.all, self.seconds, self.runs.iter().any(|run| run.partial));
        figures.ops_per_sec = spread.median;
        let told =
            self.runs.iter().filter_map(|run| Some((run.server_cpu_us? * run.operations as f64, run.operations)));
        let (us, operations) = told.fold((0.0, 0), |(us, operations), run| (us + run.0, operations + run.1));
        figures.server_cpu_us = (operations > 0).then(|| round(us / operations as f64, 1e3));
        Some(TestResult { figures, spread: repeated.then_some(spread), runs: repeated.then(|| self.runs.clone()) })
    }
}

/// The second server, and the first beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Compared {
    pub(super) server: BTreeMap<String, String>,
    pub(super) results: Vec<TestResult>,
    pub(super) ratios: Vec<Beside>,
}

/// The first server's rate over the second's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Beside {
    pub(super) test: String,
    /// Of the ratios within the pairs of runs.
    pub(super) ratio: Spread,
    /// `faster`, `slower`, `no difference` or `one run: unknown`, of the first.
    pub(super) verdict: String,
    /// Of the servers' CPU time for an operation, where both tell that.
    pub(super) server_cpu_ratio: Option<f64>,
}

impl Beside {
    /// Compares runs made in turn; `None` when there is no pair. What the machine does meanwhile changes the rates of
    /// both, which their ratios hardly show: these decide.
    pub(super) fn of(first: &TestResult, second: &TestResult, speed: Speed) -> Option<Self> {
        let one = |result: &TestResult| vec![result.figures.clone()];
        let (a, b) =
            (first.runs.clone().unwrap_or_else(|| one(first)), second.runs.clone().unwrap_or_else(|| one(second)));
        let pairs =
            a.iter().zip(&b).filter(|(a, b)| !a.partial && !b.partial && a.ops_per_sec > 0.0 && b.ops_per_sec > 0.0);
        let ratios = |of: Speed| pairs.clone().map(|(a, b)| of(a) / of(b)).collect::<Vec<_>>();
        let ratio = Spread::of(ratios(|run| run.ops_per_sec))?;
        let verdict = Estimate::of(&ratios(speed)).map_or(ONE_RUN, |ratio| ratio.tells());
        let cpu = first.figures.server_cpu_us.zip(second.figures.server_cpu_us);
        // What has taken no time, as far as the server's clock goes, is beside nothing.
        let cpu = cpu.filter(|&(first, second)| first > 0.0 && second > 0.0);
        Some(Self {
            test: first.figures.test.clone(),
            ratio,
            verdict: verdict.to_owned(),
            server_cpu_ratio: cpu.map(|(first, second)| round(first / second, 1e3)),
        })
    }
}

/// What some numbers let expect of their like: the mean of their logarithms, and how sure it is.
struct Estimate {
    mean: f64,
    /// Of the mean.
    variance: f64,
    /// Degrees of freedom of the variance.
    freedom: usize,
}

impl Estimate {
    /// Of at least two numbers.
    fn of(numbers: &[f64]) -> Option<Self> {
        let freedom = numbers.len().checked_sub(1).filter(|&freedom| freedom > 0)?;
        let logarithms = numbers.iter().map(|number| number.ln());
        let count = numbers.len() as f64;
        let mean = logarithms.clone().sum::<f64>() / count;
        let variance = logarithms.map(|l| (l - mean).powi(2)).sum::<f64>() / freedom as f64;
        Some(Self { mean, variance: variance / count, freedom })
    }

    /// The ratio of the two, by Welch; of the degrees of freedom the fewer, to be careful.
    fn over(&self, other: &Self) -> Self {
        Self {
            mean: self.mean - other.mean,
            variance: self.variance + other.variance,
            freedom: self.freedom.min(other.freedom),
        }
    }

    /// What it tells as a ratio: a t-test at 95 %.
    fn tells(&self) -> &'static str {
        /// Student's t for 95 %, two-sided, by degrees of freedom from 1 on. For more of them it is less: to take the
        /// last is to be careful.
        const T: [f64; 10] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23];
        /// What rounding may make of rates that a schedule sets, and too little to matter.
        const LEAST: f64 = 0.001;
        let reach = (T[self.freedom.min(T.len()) - 1] * self.variance.sqrt()).max(LEAST);
        if self.mean > reach {
            "faster"
        } else if self.mean < -reach {
            "slower"
        } else {
            NO_DIFFERENCE
        }
    }
}

/// What a verdict is where there is no telling.
const ONE_RUN: &str = "one run: unknown";
pub(super) const NO_DIFFERENCE: &str = "no difference";

/// Whether the first is faster, slower, or neither for all that the runs show, which were not made in turn.
pub(super) fn verdict(first: &TestResult, second: &TestResult, speed: Speed) -> &'static str {
    let estimate = |result: &TestResult| {
        // A run that was cut short was one of another load.
        let whole = result.runs.iter().flatten().filter(|run| !run.partial && run.ops_per_sec > 0.0);
        Estimate::of(&whole.map(speed).filter(|speed| speed.is_finite()).collect::<Vec<_>>())
    };
    estimate(first).zip(estimate(second)).map_or(ONE_RUN, |(first, second)| first.over(&second).tells())
}

#[cfg(test)]
mod tests {
    use super::super::drive::Unanswered;
    use super::*;

    const RATE: Speed = |run| run.ops_per_sec;

    fn outcome(tally: Tally) -> Outcome {
        let unanswered = Unanswered::default();
        let server_cpu_seconds = None;
        Outcome { tally, seconds: 1.0, busy: 0.0, unsent: 0, unanswered, server_cpu_seconds, end: End::Finished }
    }

    fn result(rates: &[f64]) -> TestResult {
        let mut series = Series::new("get");
        for &rate in rates {
            let mut tally = Tally::new();
            tally.took(5_000, rate as u64);
            series.push(&outcome(tally));
        }
        series.result(true).unwrap()
    }

    #[test]
    fn each_percentile_is_its_own() {
        let mut tally = Tally::new();
        // Of each latency so many that the next percentile is the next one's.
        for (ns, replies) in [(100, 5000), (200, 4500), (300, 400), (400, 90), (500, 9), (600, 1)] {
            tally.took(ns, replies);
        }
        let expected =
            [("mean", 0.156), ("p50", 0.1), ("p95", 0.2), ("p99", 0.3), ("p99_9", 0.4), ("p99_99", 0.5), ("max", 0.6)];
        assert_eq!(Latency::of(&tally).named(), expected);
    }

    #[test]
    fn the_median_of_runs_lies_between_them() {
        assert_eq!(result(&[30.0, 10.0, 20.0]).rate(), Spread { min: 10.0, median: 20.0, max: 30.0 });
        assert_eq!(result(&[40.0, 10.0]).rate(), Spread { min: 10.0, median: 25.0, max: 40.0 });
        assert!(Series::new("get").result(true).is_none());
    }

    #[test]
    fn a_run_that_was_cut_short_moves_no_median() {
        let mut series = Series::new("get");
        let mut tally = Tally::new();
        tally.took(5_000, 100);
        let whole = outcome(tally);
        series.push(&whole);
        series.push(&Outcome { seconds: 50.0, end: End::Interrupted, ..whole });
        let result = series.result(true).unwrap();
        assert_eq!((result.rate().min, result.figures.operations, result.figures.partial), (100.0, 200, true));
    }

    #[test]
    fn of_runs_at_other_times_each_side_has_to_be_sure() {
        let of = |a: &[f64], b: &[f64]| verdict(&result(a), &result(b), RATE);
        let (slow, fast) = ([101.0, 99.0, 104.0, 100.0, 97.0], [110.0, 108.0, 106.0, 112.0, 109.0]);
        assert_eq!((of(&fast, &slow), of(&slow, &fast)), ("faster", "slower"));
        assert_eq!(of(&slow, &[102.0, 103.0, 98.0, 99.0, 105.0]), "no difference");
        // Ranges that do not meet: two runs of the same server have such every third time, three every tenth.
        assert_eq!(of(&[100.0, 110.0], &[90.0, 99.0]), "no difference");
        assert_eq!(of(&[105.0, 110.0, 101.0], &[100.0, 94.0, 99.0]), "no difference");
        let unsteady = [100.0, 103.0, 97.0, 108.0, 92.0];
        assert_eq!((of(&unsteady, &[102.0; 5]), of(&[102.0; 5], &unsteady)), ("no difference", "no difference"));
        // A side of two knows little of itself, however many the other has.
        assert_eq!((of(&fast, &slow[..2]), of(&slow[..2], &fast)), ("no difference", "no difference"));
        // What a schedule has set is alike, but for rounding.
        assert_eq!(of(&[3000.0; 5], &[3001.0; 5]), "no difference");
        assert_eq!((of(&[10.0], &[90.0, 91.0]), of(&[90.0, 91.0], &[10.0])), ("one run: unknown", "one run: unknown"));
        let single = TestResult { spread: None, runs: None, ..result(&[10.0]) };
        assert_eq!(verdict(&single, &single, RATE), "one run: unknown");
    }

    #[test]
    fn a_run_that_was_cut_short_counts_for_no_verdict() {
        let whole = result(&[100.0, 101.0, 102.0]);
        let mut cut = result(&[10.0, 11.0, 12.0]);
        for run in &mut cut.runs.as_mut().unwrap()[1..] {
            run.partial = true;
        }
        assert_eq!(
            (verdict(&whole, &cut, RATE), verdict(&cut, &whole, RATE)),
            ("one run: unknown", "one run: unknown")
        );
    }

    /// However much the machine's speed changes from one pair to the next.
    #[test]
    fn of_runs_in_turn_the_pairs_decide() {
        let of = |a: &[f64], b: &[f64]| Beside::of(&result(a), &result(b), RATE).unwrap().verdict;
        assert_eq!(of(&[100.0, 300.0, 200.0], &[50.0, 140.0, 90.0]), "faster");
        assert_eq!(of(&[50.0, 140.0, 90.0], &[100.0, 300.0, 200.0]), "slower");
        assert_eq!(of(&[100.0, 110.0, 90.0], &[90.0, 120.0, 90.0]), "no difference");
        assert_eq!(of(&[100.0, 100.0], &[100.0, 100.0]), "no difference");
        // All on one side, which three pairs of the same server are every fourth time.
        assert_eq!(of(&[104.0, 110.0, 101.0], &[100.0, 100.0, 100.0]), "no difference");
        let five = [104.0, 110.0, 101.0, 103.0, 107.0];
        assert_eq!(of(&five, &[100.0; 5]), "faster");
        assert_eq!(of(&five.repeat(4), &[100.0; 20]), "faster");
        assert_eq!(of(&[10.0], &[90.0]), "one run: unknown");
        assert_eq!(of(&[10.0, 11.0], &[90.0]), "one run: unknown");
        let ratio = Beside::of(&result(&[100.0, 200.0, 300.0]), &result(&[100.0, 100.0, 100.0]), RATE).unwrap().ratio;
        assert_eq!(ratio, Spread { min: 1.0, median: 2.0, max: 3.0 });
    }

    #[test]
    fn under_a_rate_the_pairs_latencies_decide() {
        let quick = result(&[100.0; 3]);
        let mut slow = quick.clone();
        slow.runs.iter_mut().flatten().for_each(|run| run.latency_us.mean *= 100.0);
        let of = |a, b| Beside::of(a, b, |run| 1.0 / run.latency_us.mean).unwrap();
        assert_eq!((&of(&slow, &quick).verdict[..], &of(&quick, &slow).verdict[..]), ("slower", "faster"));
        assert_eq!(of(&slow, &quick).ratio, Spread { min: 1.0, median: 1.0, max: 1.0 });
    }

    #[test]
    fn what_is_saved_is_read_back() {
        for result in [result(&[1.0, 2.0]), TestResult { spread: None, runs: None, ..result(&[5.0]) }] {
            let text = serde_json::to_string(&result).unwrap();
            assert_eq!(serde_json::from_str::<TestResult>(&text).unwrap(), result, "{text}");
        }
    }
}
