//! `summary.md`: the tables, the charts, and what one should know about them.

use std::fmt::Write;

use super::book::Book;
use super::{READS, WRITES};
use crate::bench::environment;
use crate::bench::output::server_cpu;
use crate::bench::results::{Beside, Spread};
use crate::bench::text::{compact, micros};
use crate::protocol::number::counted;

/// The whole file.
pub(super) fn markdown(book: &Book) -> String {
    let mut out = String::from("# kvred bench report\n\n");
    if book.partial {
        out.push_str("**Partial**: not all runs are finished.\n\n");
    }
    let host = &book.host;
    let memory_gib = host.memory_bytes as f64 / f64::from(1 << 30);
    let s = &book.settings;
    let servers: Vec<String> = book
        .servers
        .iter()
        .map(|(name, info)| {
            let version = environment::name(info);
            if version.to_lowercase().starts_with(&format!("{name} ")) {
                version
            } else {
                format!("{name} ({version})")
            }
        })
        .collect();
    let lines = format!(
        "- Machine: {}, {}, {memory_gib:.0} GiB, {} {}\n\
         - Servers: {}\n\
         - One connection, one request at a time; {} requests in a run of PING, GET and EXISTS (of keys that are there), {} of SET and DEL; \
         values of {} bytes, {} keys\n\
         - {} of each test, servers in turn, after {} that did not count\n\n",
        host.cpu,
        counted(host.cores as u64, "core"),
        host.kernel,
        host.arch,
        servers.join(", "),
        s.ops_read,
        s.ops_write,
        s.load.value_sizes(),
        s.load.keyspace,
        counted(s.repeats.into(), "run"),
        s.warmup,
    );
    out.push_str(&lines);
    for problem in book.warnings.iter().chain(&book.problems) {
        writeln!(out, "> {problem}\n").expect("a string takes any text");
    }
    for policy in book.shown_policies() {
        policy_section(&mut out, book, policy);
    }
    out.push_str(
        "Throughput is the median of the runs; percentiles are over the requests of all runs, in microseconds; CPU is \
         the server's for a request, as `INFO cpu` tells it.\n",
    );
    if book.servers().len() > 1 {
        out.push_str(
            "A ratio is kvred's throughput over the server's, of runs in turn, with its minimum and maximum; a t-test of \
             the pairs (95 %) tells whether there is a difference.\n",
        );
    }
    out
}

fn policy_section(out: &mut String, book: &Book, policy: &str) {
    let servers = book.servers();
    let (title, rule) = if servers.len() > 1 { (" ratio |", "---|") } else { ("", "") };
    let head = format!(
        "## fsync {policy}\n\n![Throughput under fsync {policy}](charts/fsync-{policy}.svg)\n\n\
         | test | server | ops/s | min | max | p50 | p95 | p99 | p99.9 | p99.99 | max | CPU us |{title}\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|{rule}\n"
    );
    out.push_str(&head);
    let rows = READS.into_iter().chain(WRITES).flat_map(|test| servers.iter().map(move |server| (test, server)));
    for (test, server) in rows {
        let Some(result) = book.find(policy, server, test) else { continue };
        let spread = result.rate();
        let rates = [spread.median, spread.min, spread.max].map(compact);
        let latencies = result.figures.latency_us.percentiles().map(micros);
        let beside = (servers.len() > 1).then(|| {
            let kvred = book.find(policy, servers[0], test).filter(|_| *server != servers[0]);
            kvred
                .and_then(|kvred| Beside::of(&kvred, &result, book.settings.load.speed()))
                .map(|beside| in_words(&beside))
                .unwrap_or_default()
        });
        let cells: Vec<String> =
            rates.into_iter().chain(latencies).chain([server_cpu(&result.figures)]).chain(beside).collect();
        writeln!(out, "| {} | {} | {} |", result.figures.test.to_uppercase(), server, cells.join(" | "))
            .expect("a string takes any text");
    }
    writeln!(out, "\n![Latency under fsync {policy}](charts/latency-{policy}.svg)\n").expect("a string takes any text");
}

/// kvred beside another server: `1.31 (1.10…1.47), faster`.
fn in_words(kvred: &Beside) -> String {
    let Spread { min, median, max } = kvred.ratio;
    format!("{median:.2} ({min:.2}…{max:.2}), {}", kvred.verdict)
}
