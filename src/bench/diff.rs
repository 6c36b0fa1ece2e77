//! `kvred bench diff`: two saved results side by side.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::environment;
use super::output::{plain_table, push};
use super::results::{Document, RATE_WAS_SET, verdict};
use super::text::{compact, micros};
use crate::args::DiffArgs;
use crate::exit::{Failure, OrExit, Status, print};
use crate::terminal::shown_lines;

/// Prints the two beside each other.
pub(super) fn run(args: &DiffArgs) -> Result<Status, Failure> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    for (path, document) in [(&args.before, &before), (&args.after, &after)] {
        if document.partial {
            say!("warning: {} is partial: its run ended early", path.display());
        }
        for doubt in doubts(document) {
            say!("warning: {}: {doubt}", path.display());
        }
    }
    for difference in differences(&before, &after) {
        say!("warning: not measured alike: {difference}");
    }
    let header = ["test", "ops/s before", "after", "after/before", "p99 before", "after", "after is"];
    let mut table = plain_table(&header);
    let set = [&before, &after].into_iter().find(|document| document.settings.rate.is_some());
    let speed = set.unwrap_or(&after).settings.speed();
    let (mut rows, mut differs) = (0, false);
    for new in &after.results {
        let Some(old) = before.results.iter().find(|old| old.figures.test == new.figures.test) else { continue };
        let (old_rate, new_rate) = (old.rate(), new.rate());
        let ratio = |new: f64, old: f64| if old > 0.0 { format!("{:.2}", new / old) } else { "-".to_owned() };
        let times = if old.spread.is_some() && new.spread.is_some() {
            let (least, most) = (ratio(new_rate.min, old_rate.max), ratio(new_rate.max, old_rate.min));
            format!("{} ({least}…{most})", ratio(new_rate.median, old_rate.median))
        } else {
            ratio(new_rate.median, old_rate.median)
        };
        let verdict = verdict(new, old, speed);
        differs |= matches!(verdict, "faster" | "slower");
        table.add_row([
            new.figures.test.clone(),
            compact(old_rate.median),
            compact(new_rate.median),
            times,
            micros(old.figures.latency_us.p99),
            micros(new.figures.latency_us.p99),
            verdict.to_owned(),
        ]);
        rows += 1;
    }
    if rows == 0 {
        say!("the two have no test in common");
        return Ok(Status::Negative);
    }
    for (path, document, other) in [(&args.before, &before, &after), (&args.after, &after, &before)] {
        for test in document.results.iter().map(|result| &result.figures.test) {
            if other.results.iter().all(|result| result.figures.test != *test) {
                say!("warning: only {} has the test {test}", path.display());
            }
        }
    }
    let mut out = String::new();
    push(&mut out, &table);
    if set.is_some() {
        writeln!(out, "{RATE_WAS_SET}").expect("a string takes any text");
    }
    if differs {
        out.push_str(
            "Measured at other times: a machine whose speed changes looks the same;\nkvred bench --compare tells\n",
        );
    }
    // The files may be anybody's.
    print(&shown_lines(&out))?;
    Ok(Status::Fine)
}

fn read(path: &Path) -> Result<Document, Failure> {
    let text = fs::read_to_string(path).or_unavailable(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .or_unavailable(|| format!("{} is no result of kvred bench --format json", path.display()))
}

/// What makes the figures of one doubtful: a refusal may come sooner than what was asked for.
fn doubts(document: &Document) -> Vec<String> {
    let mut doubts = document.warnings.clone();
    for figures in document.results.iter().map(|result| &result.figures) {
        let bad = [
            (figures.errors, "were errors"),
            (figures.wrong, "were wrong"),
            (figures.misses, "missed keys that should be there"),
        ];
        for (replies, what) in bad.into_iter().filter(|&(replies, _)| replies > 0) {
            doubts.push(format!("{replies} of {} replies of {} {what}", figures.operations, figures.test));
        }
    }
    doubts
}

/// What makes the two hard to compare.
fn differences(before: &Document, after: &Document) -> Vec<String> {
    let settings = |document: &Document| match serde_json::to_value(&document.settings) {
        Ok(Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (settings(before), settings(after));
    let mut differences: Vec<String> = new
        .iter()
        .filter(|(name, value)| !matches!(&name[..], "tests" | "repeats") && old.get(*name) != Some(value))
        .map(|(name, value)| format!("{name} was {} and is {value}", old.get(name).unwrap_or(&Value::Null)))
        .collect();
    let machines = [
        ("CPU", before.host.cpu.clone(), after.host.cpu.clone()),
        ("kernel", before.host.kernel.clone(), after.host.kernel.clone()),
        ("server", environment::name(&before.server), environment::name(&after.server)),
    ];
    differences.extend(
        machines
            .iter()
            .filter(|(_, old, new)| old != new)
            .map(|(what, old, new)| format!("{what} was {old} and is {new}")),
    );
    differences
}
