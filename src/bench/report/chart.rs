//! The charts: throughput as bars with whiskers, latencies as a line over the percentiles. Reads and writes have scales
//! of their own, since a sync costs a write a hundred times what a read takes.

use super::book::Book;
use super::svg::{Anchor, Svg};
use super::{READS, WRITES};
use crate::args::Test;
use crate::bench::environment;
use crate::bench::plan::Kind;
use crate::bench::results::{Latency, Spread};
use crate::bench::text::short;
use crate::protocol::number::counted;

/// Room for the title, the machine and the legend.
const TOP: f64 = 134.0;
/// Room for the names on the x axis.
const BOTTOM: f64 = 44.0;
/// Room for the numbers on a y axis.
const LEFT: f64 = 64.0;
/// The height of a panel.
const PANEL: f64 = 250.0;

/// Throughput under a policy.
pub(super) fn throughput(book: &Book, policy: &str) -> String {
    let servers = book.servers();
    // As wide as its number, so that numbers never meet.
    let bar = if servers.len() < 3 { 44.0 } else { 42.0 };
    let group = bar * servers.len() as f64 + 34.0;
    let panel = |tests: usize| (group * tests as f64).max(70.0 * tests as f64);
    let widths = [panel(READS.len()), panel(WRITES.len())];
    let width = (widths[0] + widths[1] + 2.0 * LEFT + 48.0).max(760.0);
    let height = TOP + PANEL + BOTTOM;
    let mut svg = Svg::new(width, height, &format!("Throughput under fsync {policy}"));
    let shown = "whiskers from min to max, bars are the median of";
    heading(&mut svg, book, &format!("Throughput, fsync {policy}"), shown, &servers);
    let spare = (width - widths[0] - widths[1] - 2.0 * LEFT - 48.0) / 5.0;
    let mut left = LEFT;
    for (name, tests, inner) in
        [("reads", &READS[..], widths[0] + 3.0 * spare), ("writes", &WRITES[..], widths[1] + 2.0 * spare)]
    {
        let spreads: Vec<Vec<Option<Spread>>> = tests
            .iter()
            .map(|&test| servers.iter().map(|server| Some(book.find(policy, server, test)?.rate())).collect())
            .collect();
        let most = spreads.iter().flatten().flatten().map(|s| s.max).reduce(f64::max);
        let scale = most.map(Scale::linear);
        let title = format!("{name}, operations per second");
        frame(&mut svg, scale.as_ref(), (left, TOP), (inner, PANEL), &title, tick);
        for (at, (test, spreads)) in tests.iter().zip(&spreads).enumerate() {
            let middle = left + inner * (at as f64 + 0.5) / tests.len() as f64;
            svg.text((middle, TOP + PANEL + 20.0), "ink", Anchor::Middle, &label(*test));
            for (series, spread) in spreads.iter().enumerate() {
                let x = middle + bar * (series as f64 - servers.len() as f64 / 2.0);
                let (Some(spread), Some(scale)) = (spread, &scale) else { continue };
                let y = |rate: f64| TOP + PANEL * (1.0 - scale.place(rate));
                svg.bar(series, (x + 4.0, y(spread.median)), (bar - 8.0, PANEL * scale.place(spread.median)));
                whisker(&mut svg, x + bar / 2.0, y(spread.min), y(spread.max));
                svg.text((x + bar / 2.0, y(spread.max) - 6.0), "ink number", Anchor::Middle, &short(spread.median));
            }
        }
        left += inner + LEFT + 24.0;
    }
    svg.finish()
}

fn whisker(svg: &mut Svg, x: f64, low: f64, high: f64) {
    svg.line("whisker", (x, low), (x, high));
    for y in [low, high] {
        svg.line("whisker", (x - 5.0, y), (x + 5.0, y));
    }
}

/// Latency percentiles under a policy, a panel for each test.
pub(super) fn latency(book: &Book, policy: &str) -> String {
    const INNER: f64 = 230.0;
    const TALL: f64 = 190.0;
    const ROW: f64 = TALL + 74.0;
    let servers = book.servers();
    let width = 3.0 * (INNER + LEFT) + 30.0;
    let height = TOP + 2.0 * ROW - 10.0;
    let mut svg = Svg::new(width, height, &format!("Latency under fsync {policy}"));
    heading(&mut svg, book, &format!("Latency, fsync {policy}"), "all requests of", &servers);
    for (row, tests) in [&READS[..], &WRITES[..]].into_iter().enumerate() {
        let found: Vec<Vec<Option<Latency>>> = tests
            .iter()
            .map(|&test| servers.iter().map(|s| Some(book.find(policy, s, test)?.figures.latency_us)).collect())
            .collect();
        let all = || found.iter().flatten().flatten().flat_map(Latency::percentiles);
        let scale = all().reduce(f64::min).zip(all().reduce(f64::max)).map(|(l, m)| Scale::logarithmic(l, m));
        for (column, (test, found)) in tests.iter().zip(&found).enumerate() {
            let origin = (LEFT + column as f64 * (INNER + LEFT), TOP + row as f64 * ROW);
            let title = format!("{}, latency by percentile", label(*test));
            frame(&mut svg, scale.as_ref(), origin, (INNER, TALL), &title, time);
            let x = |at: usize| origin.0 + INNER * (at as f64 + 0.5) / 6.0;
            for (at, name) in ["50", "95", "99", "99.9", "99.99", "max"].into_iter().enumerate() {
                svg.text((x(at), origin.1 + TALL + 18.0), "soft", Anchor::Middle, name);
            }
            for (series, latency) in found.iter().enumerate() {
                let (Some(latency), Some(scale)) = (latency, &scale) else { continue };
                let place = |us: f64| origin.1 + TALL * (1.0 - scale.place(us));
                let curve: Vec<_> =
                    latency.percentiles().into_iter().enumerate().map(|(at, us)| (x(at), place(us))).collect();
                svg.curve(series, &curve);
            }
        }
    }
    svg.finish()
}

fn label(test: Test) -> String {
    Kind::Single(test).name().to_uppercase()
}

/// What the chart is, where it was made, and whose colours they are; `shown` says what is shown of the runs.
fn heading(svg: &mut Svg, book: &Book, title: &str, shown: &str, servers: &[&str]) {
    svg.text((24.0, 32.0), "ink title", Anchor::Start, title);
    let partial = if book.partial { ", not finished" } else { "" };
    let machine = format!("{}, {}, {}", book.host.cpu, counted(book.host.cores as u64, "core"), book.host.kernel);
    let runs = counted(book.settings.repeats.into(), "run");
    let what = format!("One connection, one request at a time; {shown} {runs}{partial}");
    svg.text((24.0, 52.0), "soft", Anchor::Start, &machine);
    svg.text((24.0, 69.0), "soft", Anchor::Start, &what);
    let mut x = 24.0;
    for (series, server) in servers.iter().enumerate() {
        let version = book.servers.get(*server).map(environment::name).unwrap_or_default();
        let shown =
            if version.to_lowercase().starts_with(&format!("{server} ")) { version } else { (*server).to_owned() };
        svg.bar(series, (x, 82.0), (12.0, 12.0));
        svg.text((x + 18.0, 92.5), "ink", Anchor::Start, &shown);
        x += 40.0 + 8.0 * shown.chars().count() as f64;
    }
}

/// The grid of a panel, the numbers beside it, and what it is about above it. Without a scale it says that it is empty.
fn frame(
    svg: &mut Svg,
    scale: Option<&Scale>,
    (left, top): (f64, f64),
    (width, height): (f64, f64),
    title: &str,
    number: fn(f64) -> String,
) {
    svg.text((left, top - 14.0), "ink head", Anchor::Start, title);
    match scale {
        None => svg.text((left + width / 2.0, top + height / 2.0), "soft", Anchor::Middle, "no run is finished yet"),
        Some(scale) => {
            for &tick in &scale.ticks {
                let y = top + height * (1.0 - scale.place(tick));
                svg.line("grid", (left, y), (left + width, y));
                svg.text((left - 8.0, y + 4.0), "soft", Anchor::End, &number(tick));
            }
        }
    }
    svg.line("axis", (left, top + height), (left + width, top + height));
}

/// A rate beside the axis, where it is a round number.
fn tick(rate: f64) -> String {
    match rate {
        rate if rate < 1e3 => format!("{}", (rate * 10.0).round() / 10.0),
        rate if rate < 1e6 => format!("{}k", rate / 1e3),
        rate => format!("{}M", rate / 1e6),
    }
}

/// Microseconds in the unit that suits them.
fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.0} s", us / 1e6),
    }
}

/// Where numbers stand on an axis, from 0 at its foot to 1 at its top.
#[derive(Debug)]
struct Scale {
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Scale {
    /// From 0 to a round number over `most`, with room for a label above it.
    fn linear(most: f64) -> Self {
        let most = most.max(1.0) * 1.12;
        let power = 10f64.powf((most / 5.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|n| n * power).find(|s| s * 6.0 >= most);
        let step = step.unwrap_or(power * 10.0);
        let ticks: Vec<f64> = (0..=6).map(|n| f64::from(n) * step).take_while(|t| *t < most + step).collect();
        Self { from: 0.0, to: ticks.last().copied().unwrap_or(most), logarithmic: false, ticks }
    }

    /// Whole powers of ten around both.
    fn logarithmic(least: f64, most: f64) -> Self {
        let from = least.max(1.0).log10().floor();
        let to = most.max(1.0).log10().ceil().max(from + 1.0);
        let ticks = (from as i32..=to as i32).map(|power| 10f64.powi(power)).collect();
        Self { from, to, logarithmic: true, ticks }
    }

    fn place(&self, n: f64) -> f64 {
        let n = if self.logarithmic { n.max(1.0).log10() } else { n };
        ((n - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_leave_room() {
        for most in [1.0, 7.3, 99.0, 100.0, 4321.0, 163_000.0, 9.9e6] {
            let scale = Scale::linear(most);
            assert!((4..=7).contains(&scale.ticks.len()), "{most}: {scale:?}");
            assert!(scale.place(most) < 0.95 && scale.place(most) > 0.55, "{most}: {scale:?}");
            assert!((scale.place(0.0), scale.place(scale.to)) == (0.0, 1.0));
        }
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten() {
        let scale = Scale::logarithmic(23.0, 45_000.0);
        assert_eq!(scale.ticks, [10.0, 100.0, 1e3, 1e4, 1e5]);
        assert!((scale.place(1000.0) - 0.5).abs() < 1e-9);
        assert!(Scale::logarithmic(20.0, 20.0).ticks.len() >= 2, "one latency has a scale too");
    }
}
