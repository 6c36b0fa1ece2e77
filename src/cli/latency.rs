//! `--latency`: how long a PING takes, over and over, and how that is spread.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::interrupt::{Waited, interruptible};
use super::output::{Format, Printer};
use super::session::Session;
use super::stop::{Stop, refused};
use crate::args::CliArgs;
use crate::exit::{Failure, Status, write_out};
use crate::protocol::frame::Frame;
use crate::protocol::json as json_format;
use crate::terminal::{is_dumb, size};

/// Between samples, as in `redis-cli`: 100 a second.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(10);

/// How often the line on the terminal is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// The width of the longest bar of the histogram, and what stands before it.
const BAR_WIDTH: u64 = 40;
const BEFORE_BAR: u64 = 23;

/// Measures until Ctrl-C on a terminal, else for the interval (a second unless `-i` says otherwise); with `-r`, so
/// many intervals.
pub(crate) async fn run(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    let live = io::stdout().is_terminal() && printer.format == Format::Pretty;
    let until = match (args.interval, live && args.repeat.is_none()) {
        (None, true) => None,
        (interval, _) => Some(Duration::from_secs_f64(interval.unwrap_or(1.0))),
    };
    for round in 0..args.rounds(1) {
        let mut histogram = new_histogram()?;
        let ended = interruptible(measure(session, &mut histogram, until, live)).await;
        if live {
            write_out(if is_dumb() { b"\n" } else { b"\r\x1b[K" })?;
        }
        // What was measured counts also where the connection failed then.
        if !(histogram.is_empty() && matches!(ended, Waited::Done(Err(_)))) {
            write_out(&render(&histogram, printer.format, round == 0))?;
        }
        match ended {
            Waited::Done(result) => result?,
            Waited::Interrupted => return Ok(Status::Interrupted),
        }
    }
    Ok(Status::Fine)
}

async fn measure(
    session: &mut Session,
    histogram: &mut Histogram<u64>,
    until: Option<Duration>,
    live: bool,
) -> Result<(), Stop> {
    let started = Instant::now();
    let mut drawn = started;
    while until.is_none_or(|until| started.elapsed() < until) {
        let before = Instant::now();
        let answer = session.call(&["PING"]).await?;
        let took = before.elapsed();
        if let Frame::Error(text) = answer.reply {
            return Err(refused("PING", &text));
        }
        histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        if live && drawn.elapsed() >= REDRAW && !is_dumb() {
            drawn = Instant::now();
            // A line that wraps could not be drawn over.
            let line: String = summary(histogram).chars().take(size().0.saturating_sub(1)).collect();
            write_out(format!("\r\x1b[K{line}").as_bytes())?;
        }
        tokio::time::sleep(BETWEEN_SAMPLES).await;
    }
    Ok(())
}

/// From a microsecond to a minute, to two digits.
fn new_histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, 60_000_000, 2).map_err(|e| failure!(Unavailable, "{e}"))
}

fn summary(h: &Histogram<u64>) -> String {
    let ms = |us: u64| us as f64 / 1000.0;
    if h.is_empty() {
        return "no samples yet".to_owned();
    }
    format!(
        "min: {:.2}, max: {:.2}, avg: {:.2}, p50: {:.2}, p99: {:.2} ms ({} samples)",
        ms(h.min()),
        ms(h.max()),
        h.mean() / 1000.0,
        ms(h.value_at_quantile(0.5)),
        ms(h.value_at_quantile(0.99)),
        h.len()
    )
}

/// The figures of one round; in CSV, the names of the columns stand over the first.
fn render(h: &Histogram<u64>, format: Format, first: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let quantile = |q| h.value_at_quantile(q);
    match format {
        Format::Json => {
            let value = json!({
                "samples": h.len(), "min_us": h.min(), "max_us": h.max(),
                "mean_us": h.mean(), "p50_us": quantile(0.5), "p95_us": quantile(0.95), "p99_us": quantile(0.99),
                "histogram": buckets(h).iter().map(|&(to, count)| json!({"to_us": to, "count": count})).collect::<Vec<_>>(),
            });
            return json_format::line(&value);
        }
        Format::Csv => {
            let header = if first { "samples,min_us,max_us,mean_us,p50_us,p95_us,p99_us\n" } else { "" };
            let row = format!(
                "{header}{},{},{},{:.1},{},{},{}\n",
                h.len(),
                h.min(),
                h.max(),
                h.mean(),
                quantile(0.5),
                quantile(0.95),
                quantile(0.99)
            );
            out.extend_from_slice(row.as_bytes());
        }
        Format::Pretty | Format::Raw => {
            writeln!(out, "{}", summary(h)).expect("a vector takes all bytes");
            chart(&mut out, h);
        }
    }
    out
}

/// The counts between powers of two: the upper bound in microseconds, and how many samples are at or below it. What the
/// histogram does not tell apart counts as the longest of it, so stands in one bar, also beside a power of two.
fn buckets(h: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for recorded in h.iter_recorded() {
        let bar = h.highest_equivalent(recorded.value_iterated_to()).next_power_of_two();
        while out.last().is_none_or(|&(to, _)| to < bar) {
            let next = out.last().map_or(bar, |&(to, _)| to * 2);
            out.push((next, 0));
        }
        if let Some((_, count)) = out.last_mut() {
            *count += recorded.count_at_value();
        }
    }
    out
}

fn chart(out: &mut Vec<u8>, h: &Histogram<u64>) {
    let buckets = buckets(h);
    let most = buckets.iter().map(|&(_, count)| count).max().unwrap_or(0).max(1);
    let widest = BAR_WIDTH.min((size().0 as u64).saturating_sub(BEFORE_BAR + 1)).max(1);
    for (to, count) in buckets {
        // What is there at all can be seen.
        let width = (count * widest).div_ceil(most) as usize;
        let bar = "#".repeat(width);
        let line = format!("<= {:>9} {count:>8} {bar}", microseconds(to));
        writeln!(out, "{}", line.trim_end()).expect("a vector takes all bytes");
    }
}

fn microseconds(us: u64) -> String {
    if us < 1000 { format!("{us} us") } else { format!("{:.2} ms", us as f64 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_stands_in_one_bar() {
        let mut h = new_histogram().unwrap();
        for us in [30, 40, 50, 60, 70, 130, 5000] {
            h.record(us).unwrap();
        }
        let buckets = buckets(&h);
        assert_eq!(buckets[0], (32, 1));
        assert_eq!(buckets.iter().map(|&(_, n)| n).sum::<u64>(), h.len());
        let text = String::from_utf8(render(&h, Format::Raw, true)).unwrap();
        assert!(text.contains("(7 samples)") && text.contains("<=     32 us"), "{text}");
    }

    #[test]
    fn a_sample_at_a_power_of_two_stands_in_one_bar() {
        let mut h = new_histogram().unwrap();
        for power in 0..26 {
            let us = 1_u64 << power;
            for us in [(us - 1).max(1), us, us + 1] {
                h.record(us).unwrap();
            }
            assert_eq!(buckets(&h).iter().map(|&(_, n)| n).sum::<u64>(), h.len(), "2^{power} us");
        }
        let bars: Vec<u64> = buckets(&h).iter().map(|&(to, _)| to).collect();
        assert_eq!(bars, (0..=26).map(|power| 1 << power).collect::<Vec<_>>());
    }

    #[test]
    fn no_sample_is_no_crash() {
        let h = new_histogram().unwrap();
        for format in Format::ALL {
            assert!(!render(&h, format, false).is_empty());
        }
    }
}
