//! `kvred bench`: one server, or two in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use super::destination::Destination;
use super::drive::Unanswered;
use super::environment::{self, Watch};
use super::output;
use super::phase::{End, Outcome};
use super::plan::{self, Kind, Plan};
use super::results::{Beside, Compared, Document, Series, TestResult};
use super::session::{Session, Side};
use super::tally::Tally;
use super::threshold::Threshold;
use crate::args::{BenchArgs, BenchFormat};
use crate::client::explain::hint;
use crate::exit::{Failure, Status, print};
use crate::protocol::number::counted;

/// A worker that computes for more than this share of its time may be what limits.
const BUSY: f64 = 0.9;

/// In a run that takes no longer than this, in seconds, starting is most of what is done.
const A_MOMENT: f64 = 0.05;

/// A server, and what was measured of it.
struct Contender {
    side: Side,
    info: BTreeMap<String, String>,
    series: Vec<Series>,
    /// Of each test.
    warnings: Vec<Warnings>,
}

/// What makes figures doubtful, once of each kind: the same for each repetition would say nothing more.
type Warnings = [Option<String>; 4];

impl Contender {
    /// What a line about a test begins with: its name, and where it ran if that can be two places.
    fn names(&self, test: &str, compared: bool) -> String {
        if compared { format!("{test} at {}", self.side.target.address) } else { test.to_owned() }
    }

    fn results(&self, repeated: bool) -> Vec<TestResult> {
        self.series.iter().filter_map(|series| series.result(repeated)).collect()
    }
}

/// Runs the tests and prints what came of them.
pub(super) fn run(args: &BenchArgs) -> Result<Status, Failure> {
    let plan = Plan::new(args);
    let thresholds = plan::thresholds(args, &plan)?;
    let destination = args.output.as_deref().map(Destination::find).transpose()?;
    let first = plan::first_server(args)?;
    let second = args.compare.as_ref().map(|text| plan::second_server(text, &first, args)).transpose()?;
    let limit = Duration::from_secs_f64(args.connect_timeout);
    let mut session = Session::new(limit)?;
    let mut contenders = Vec::new();
    for target in std::iter::once(first).chain(second) {
        let Some(info) = session.until_interrupted(environment::server(&target, limit)) else {
            return Ok(Status::Interrupted);
        };
        let info = info.map_err(|error| match &args.compare {
            Some(text) if !contenders.is_empty() => plan::second_refused(error, text, &target),
            _ => error.into(),
        })?;
        let series = plan.tests.iter().map(|kind| Series::new(kind.name())).collect();
        let warnings = vec![Warnings::default(); plan.tests.len()];
        contenders.push(Contender { side: Side::new(target), info, series, warnings });
    }
    let watch = Watch::start();
    let mut warnings: Vec<String> = environment::clock_warning().into_iter().collect();
    let measured = measure(&mut session, &plan, &mut contenders);
    let end = match &measured {
        Ok(end) => end.clone(),
        // What was measured before is worth printing.
        Err(failure) if contenders.iter().any(|c| !c.results(false).is_empty()) => End::Lost(format!("{failure:#}")),
        Err(_) => return measured.map(|_| Status::Fine),
    };
    for (test, kind) in plan.tests.iter().enumerate() {
        for contender in &contenders {
            let what = contender.names(kind.name(), contenders.len() > 1);
            warnings.extend(contender.warnings[test].iter().flatten().map(|warning| format!("{what}: {warning}")));
        }
    }
    warnings.extend(watch.warnings());
    let document = document(&plan, &contenders, &end, warnings);
    let published = publish(args, destination.as_ref(), &document);
    let concluded = conclude(&document, &contenders, &thresholds, end);
    if let (Err(_), Err(lost)) = (&published, &concluded) {
        lost.report();
    }
    published.and(concluded)
}

/// The servers in turn, each second time the other way round.
pub(super) fn in_turn(servers: usize, round: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..servers).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// All tests and repetitions, the servers in turn.
fn measure(session: &mut Session, plan: &Plan, contenders: &mut [Contender]) -> Result<End, Failure> {
    let runs = plan.tests.len() * plan.repeats as usize * contenders.len();
    let mut done = 0;
    for (test, &kind) in plan.tests.iter().enumerate() {
        for repeat in 0..plan.repeats {
            for at in in_turn(contenders.len(), repeat) {
                done += 1;
                session.progress.prefix = if runs > 1 { format!("{done}/{runs} ") } else { String::new() };
                let contender = &mut contenders[at];
                let mut outcome = session.measure(&mut contender.side, kind, plan, kind.name())?;
                if let End::Lost(reason) = &mut outcome.end {
                    reason.insert_str(0, &format!("{}: ", contender.side.target.address));
                }
                contender.series[test].push(&outcome);
                for (told, warning) in contender.warnings[test].iter_mut().zip(warnings_of(kind, plan, &outcome)) {
                    *told = told.take().or(warning);
                }
                if kind.deletes() {
                    // The other one may be the same server.
                    for contender in contenders.iter_mut() {
                        contender.side.filled = 0;
                    }
                }
                if outcome.end != End::Finished {
                    return Ok(outcome.end);
                }
            }
        }
    }
    Ok(End::Finished)
}

fn warnings_of(kind: Kind, plan: &Plan, outcome: &Outcome) -> Warnings {
    let unanswered = unanswered(outcome);
    if outcome.tally.operations == 0 {
        return [unanswered, None, None, None];
    }
    let finished = outcome.end == End::Finished;
    let busy = (outcome.busy > BUSY && outcome.seconds > A_MOMENT).then(|| {
        format!(
            "the generator was computing {:.0} % of the time, so the server may be faster than this; more --threads \
             may help, on a machine with more cores",
            outcome.busy.min(1.0) * 100.0
        )
    });
    let late = (outcome.unsent > 0 && finished).then(|| {
        format!(
            "{} due and not sent in time: the rate is more than {} and the server can keep, and the true latencies are \
             longer than those shown",
            if outcome.unsent == 1 { "1 request was".to_owned() } else { format!("{} requests were", outcome.unsent) },
            counted(plan.clients.into(), "connection")
        )
    });
    let late = late.or_else(|| behind(plan, outcome).filter(|_| finished));
    let meant = plan.duration.filter(|_| kind.deletes() && finished).map_or(0.0, |duration| duration.as_secs_f64());
    let short = (outcome.seconds < meant * 0.9).then(|| {
        format!(
            "all {} keys were deleted after {:.2} s; use a larger -r to measure for longer",
            plan.keys(kind),
            outcome.seconds
        )
    });
    [unanswered, busy, late, short]
}

/// Of a run with a rate and no end but its last request: all are sent, however late.
fn behind(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let asked = plan.rate.filter(|_| plan.duration.is_none() && outcome.seconds > A_MOMENT)?;
    let reached = outcome.tally.operations as f64 / outcome.seconds;
    (reached < asked as f64 * 0.95).then(|| {
        format!(
            "{reached:.0} of the {asked} requests a second were reached: the rate is more than {} and the server can \
             keep, and the latencies grow with the number of requests",
            counted(plan.clients.into(), "connection")
        )
    })
}

/// Of a run that ended early: what had waited for long, and longer than any reply took, shows in no figure.
fn unanswered(outcome: &Outcome) -> Option<String> {
    const LONG_NS: u64 = 100_000_000;
    let Unanswered { requests, longest_ns } = outcome.unanswered;
    (longest_ns > outcome.tally.latency_ns.max().max(LONG_NS)).then(|| {
        let more =
            if outcome.unsent > 0 { format!(", and {} were due and not sent", outcome.unsent) } else { String::new() };
        format!(
            "{} had no answer yet, the oldest after {:.1} s{more}: the true latencies are longer than what is shown",
            counted(requests, "request"),
            longest_ns as f64 / 1e9
        )
    })
}

fn document(plan: &Plan, contenders: &[Contender], end: &End, warnings: Vec<String>) -> Document {
    let repeated = plan.repeats > 1;
    let results: Vec<_> = contenders.iter().map(|contender| contender.results(repeated)).collect();
    let compare = contenders.get(1).map(|second| {
        let pairs =
            results[0].iter().filter_map(|a| Some((a, results[1].iter().find(|b| b.figures.test == a.figures.test)?)));
        Compared {
            server: second.info.clone(),
            results: results[1].clone(),
            ratios: pairs.filter_map(|(a, b)| Beside::of(a, b, plan.settings().speed())).collect(),
        }
    });
    Document {
        kvred_version: env!("CARGO_PKG_VERSION").to_owned(),
        server: contenders[0].info.clone(),
        host: environment::host(),
        settings: plan.settings(),
        partial: *end != End::Finished,
        warnings,
        results: results[0].clone(),
        compare,
    }
}

fn publish(args: &BenchArgs, destination: Option<&Destination>, document: &Document) -> Result<(), Failure> {
    for warning in &document.warnings {
        say!("warning: {warning}");
    }
    let (Some(path), Some(destination)) = (&args.output, destination) else {
        return print(&output::render(document, args.format.unwrap_or(BenchFormat::Table), output::columns()));
    };
    let is_stdout = matches!(destination, Destination::Stdout);
    let (format, columns) =
        if is_stdout { (BenchFormat::Json, output::columns()) } else { (output::format_of(path), output::COLUMNS) };
    // The file first: it is what a script waits for.
    let written = destination.write(&output::render(document, args.format.unwrap_or(format), columns));
    if is_stdout {
        return written;
    }
    // What cannot be written there is to be seen at least.
    let printed = print(&output::render(document, BenchFormat::Table, output::columns()));
    written.and(printed)
}

/// Says what was wrong, and with which exit code to end.
fn conclude(
    document: &Document,
    contenders: &[Contender],
    thresholds: &[Threshold],
    end: End,
) -> Result<Status, Failure> {
    let mut status = Status::Fine;
    for contender in contenders {
        for (kind, series) in document.settings.tests.iter().zip(&contender.series) {
            for problem in problems(series.all()) {
                say!("{kind} at {}: {problem}", contender.side.target.address);
                status = Status::Negative;
            }
        }
    }
    for threshold in thresholds {
        for result in &document.results {
            if let Some(broken) = threshold.broken_by(&result.figures) {
                say!("failed: {}: {broken}", contenders[0].names(&result.figures.test, document.compare.is_some()));
                status = Status::Negative;
            }
        }
    }
    match end {
        End::Finished => Ok(status),
        End::Interrupted => Ok(Status::Interrupted),
        End::Lost(reason) => Err(failure!(Unavailable, "the run ended early: {reason}")),
    }
}

/// What must not be, in the words for it.
pub(super) fn problems(tally: &Tally) -> Vec<String> {
    let mut problems = Vec::new();
    let of = format!("of {} replies", tally.operations);
    if let Some(text) = &tally.first_error {
        let hint = hint(text.as_bytes()).map_or_else(String::new, |hint| format!("; {hint}"));
        problems.push(format!("{} {of} were errors, the first: {text}{hint}", tally.errors));
    }
    if let Some(text) = &tally.first_wrong {
        problems.push(format!("{} {of} were wrong, the first: {text}", tally.wrong));
    }
    if tally.misses > 0 {
        problems.push(format!("{} {of} missed keys that should be there", tally.misses));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn each_second_round_is_the_other_way_round() {
        assert_eq!([0, 1, 2].map(|round| in_turn(2, round)), [[0, 1], [1, 0], [0, 1]]);
    }
}
