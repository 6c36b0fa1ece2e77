//! Results as a table of at most 80 columns, as JSON, as CSV.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

use super::environment;
use super::results::{Beside, Compared, Document, Figures, NO_DIFFERENCE, RATE_WAS_SET, TestResult};
use super::text::{compact, fine, micros, percent, short};
use crate::args::BenchFormat;
use crate::exit::{Failure, OrExit};
use crate::protocol::number::counted;
use crate::terminal::size;

/// How wide a table in a file may be.
pub(super) const COLUMNS: usize = 80;

/// The document in a format, with the newline at its end; a table of so many columns.
pub(super) fn render(document: &Document, format: BenchFormat, columns: usize) -> String {
    match format {
        BenchFormat::Table => tables(document, columns),
        BenchFormat::Json => {
            let text = serde_json::to_string_pretty(document).expect("the document has no odd keys");
            text + "\n"
        }
        BenchFormat::Csv => csv(document),
    }
}

/// What the name of a file asks for.
pub(super) fn format_of(path: &Path) -> BenchFormat {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json") => BenchFormat::Json,
        Some("csv") => BenchFormat::Csv,
        _ => BenchFormat::Table,
    }
}

/// Writes a file in one step, so that whoever reads it meanwhile sees the old or the new one, whole; with the mode of
/// the old one.
pub(super) fn save(path: &Path, text: &str) -> Result<(), Failure> {
    // Whatever has a name already is somebody's, and stays.
    let new = path.with_file_name(format!(".kvred-bench-{:016x}.new", fastrand::u64(..)));
    let saved = File::create_new(&new).and_then(|mut file| {
        let mode = fs::metadata(path).map(|old| old.permissions());
        let written = mode.map_or(Ok(()), |mode| file.set_permissions(mode));
        let written = written.and_then(|()| file.write_all(text.as_bytes())).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            // Half a file is of no use to anybody.
            drop(fs::remove_file(&new));
        }
        written
    });
    saved.or_unavailable(|| format!("cannot write {}", path.display()))
}

fn tables(document: &Document, columns: usize) -> String {
    let s = &document.settings;
    let rate = s.rate.map_or(String::new(), |rate| format!(", {rate} requests/s on schedule"));
    let mut out = format!(
        "{}\n{}, pipeline {}, {}{rate}\n{} ({}), values of {} bytes\n",
        described(&document.server),
        counted(s.clients.into(), "connection"),
        s.pipeline,
        counted(s.threads.into(), "thread"),
        counted(s.keyspace, "key"),
        s.distribution,
        s.value_sizes(),
    );
    if document.partial {
        out.push_str("PARTIAL: it ended early\n");
    }
    table(&mut out, &document.results, columns);
    if let Some(compared) = &document.compare {
        write!(out, "\n{}\n", described(&compared.server)).expect("a string takes any text");
        table(&mut out, &compared.results, columns);
        ratios(&mut out, compared, s.rate.is_some());
    }
    out
}

fn described(server: &std::collections::BTreeMap<String, String>) -> String {
    let address = server.get("address").map_or("?", String::as_str);
    format!("{} at {address}", environment::name(server))
}

/// A table with little air, so that much fits.
pub(super) fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        column.set_cell_alignment(if at == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

/// Appends its lines.
pub(super) fn push(out: &mut String, table: &Table) {
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// The columns of a table of results.
const HEADER: [&str; 12] =
    ["test", "ops", "ops/s", "mean us", "p50", "p95", "p99", "p99.9", "max", "errors", "hits", "cpu us"];

/// Columns that a narrow terminal does without, the first to go first.
const SPARE: [&str; 5] = ["cpu us", "p95", "mean us", "p99.9", "ops"];

fn table(out: &mut String, results: &[TestResult], columns: usize) {
    if results.is_empty() {
        out.push_str("nothing was measured\n");
        return;
    }
    let rows: Vec<[String; HEADER.len()]> = results.iter().map(row).collect();
    let with = |spared: &[&str]| {
        let kept: Vec<usize> = (0..HEADER.len()).filter(|&at| !spared.contains(&HEADER[at])).collect();
        let mut table = plain_table(&kept.iter().map(|&at| HEADER[at]).collect::<Vec<_>>());
        table.add_rows(rows.iter().map(|row| kept.iter().map(|&at| row[at].clone()).collect::<Vec<_>>()));
        table
    };
    let fits = |table: &Table| table.lines().all(|line| line.trim_end().chars().count() <= columns);
    let mut shown = with(&[]);
    for spared in 1..=SPARE.len() {
        if !fits(&shown) {
            shown = with(&SPARE[..spared]);
        }
    }
    push(out, &shown);
    if results.iter().any(|result| result.figures.partial) {
        out.push_str("* ended early\n");
    }
}

/// How wide a printed table may be: as in a file, unless a terminal has more or fewer columns.
pub(super) fn columns() -> usize {
    if io::stdout().is_terminal() { size().0 } else { COLUMNS }
}

fn row(result: &TestResult) -> [String; HEADER.len()] {
    let figures = &result.figures;
    let latency = figures.latency_us;
    let name = if figures.partial { format!("{}*", figures.test) } else { figures.test.clone() };
    let rate = match result.spread {
        Some(spread) => format!("{}\n{}…{}", compact(spread.median), short(spread.min), short(spread.max)),
        None => compact(figures.ops_per_sec),
    };
    [
        name,
        compact(figures.operations as f64),
        rate,
        micros(latency.mean),
        micros(latency.p50),
        micros(latency.p95),
        micros(latency.p99),
        micros(latency.p99_9),
        micros(latency.max),
        compact((figures.errors + figures.wrong) as f64),
        figures.hit_rate().map_or_else(|| "-".to_owned(), percent),
        server_cpu(figures),
    ]
}

/// The server's CPU time for an operation, in microseconds.
pub(super) fn server_cpu(figures: &Figures) -> String {
    figures.server_cpu_us.filter(|&us| us > 0.0).map_or_else(|| "-".to_owned(), fine)
}

fn ratios(out: &mut String, compared: &Compared, rate_was_set: bool) {
    if compared.ratios.is_empty() {
        return;
    }
    out.push_str("\nThe first server beside the second, from runs in turn\n");
    if rate_was_set {
        writeln!(out, "{RATE_WAS_SET}").expect("a string takes any text");
    }
    let mut table = plain_table(&["test", "ratio of ops/s", "min…max", "server CPU", "the first is"]);
    for Beside { test, ratio, verdict, server_cpu_ratio } in &compared.ratios {
        let spread = format!("{:.2}…{:.2}", ratio.min, ratio.max);
        let cpu = server_cpu_ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        table.add_row([test.clone(), format!("{:.2}", ratio.median), spread, cpu, in_words(verdict).to_owned()]);
    }
    push(out, &table);
}

fn in_words(verdict: &str) -> &str {
    if verdict == NO_DIFFERENCE { "neither, for all that they tell" } else { verdict }
}

fn csv(document: &Document) -> String {
    let mut out = format!("server,{CSV_FIGURES},min,median,max,partial,kvred_version,cpu,kernel,{CSV_SERVER_CPU}\n");
    let compared = document.compare.iter().map(|compared| (&compared.server, &compared.results));
    for (server, results) in std::iter::once((&document.server, &document.results)).chain(compared) {
        for result in results {
            let spread = result.rate();
            writeln!(
                out,
                "{},{},{},{},{},{},{},{},{},{}",
                quoted(&described(server)),
                csv_figures(&result.figures),
                spread.min,
                spread.median,
                spread.max,
                result.figures.partial,
                document.kvred_version,
                quoted(&document.host.cpu),
                quoted(&document.host.kernel),
                csv_server_cpu(&result.figures)
            )
            .expect("a string takes any text");
        }
    }
    out
}

/// The columns of [`csv_figures`]: the names of JSON, those of latencies with `latency_us_` before them.
pub(super) const CSV_FIGURES: &str = "test,operations,seconds,ops_per_sec,latency_us_mean,latency_us_p50,latency_us_p95,\
latency_us_p99,latency_us_p99_9,latency_us_p99_99,latency_us_max,errors,wrong,hits,misses";

/// Figures as columns.
pub(super) fn csv_figures(f: &Figures) -> String {
    let latencies: Vec<String> = f.latency_us.named().iter().map(|(_, us)| us.to_string()).collect();
    format!(
        "{},{},{},{},{},{},{},{},{}",
        f.test,
        f.operations,
        f.seconds,
        f.ops_per_sec,
        latencies.join(","),
        f.errors,
        f.wrong,
        f.hits,
        f.misses
    )
}

/// The last column, which came after all others; empty where the server does not tell.
pub(super) const CSV_SERVER_CPU: &str = "server_cpu_us";

pub(super) fn csv_server_cpu(f: &Figures) -> String {
    f.server_cpu_us.map(|us| us.to_string()).unwrap_or_default()
}

/// Text as a CSV field (RFC 4180).
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
