//! `INFO`: the sections and fields that people and dashboards read, with true numbers.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::Server;
use super::control::REDIS_VERSION;
use super::stats::{Calls, Rate};
use crate::command::table::every_row;
use crate::db::state::MemoryUse;
use crate::machine;
use crate::protocol::number::human;

/// Writes one section's lines.
type Section = fn(&Server, &mut String);

/// All sections in Redis's order; the flag says whether plain `INFO` shows them.
const SECTIONS: &[(&str, bool, Section)] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("CPU", true, cpu),
    ("Commandstats", false, command_stats),
    ("Errorstats", true, error_stats),
    ("Cluster", true, cluster),
    ("Keyspace", true, keyspace),
];

/// The sections asked for (in lower case), or those that are shown by default.
pub fn render(server: &Server, wanted: &[String]) -> String {
    let is_wanted = |name: &str, by_default: bool| {
        let everything = wanted.iter().any(|w| w == "all" || w == "everything");
        let default = wanted.is_empty() || wanted.iter().any(|w| w == "default");
        everything || default && by_default || wanted.iter().any(|w| w.eq_ignore_ascii_case(name))
    };
    let mut out = String::with_capacity(4096);
    for (name, by_default, section) in SECTIONS {
        if is_wanted(name, *by_default) {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            line(&mut out, format_args!("# {name}"));
            section(server, &mut out);
        }
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
    out.push_str("\r\n");
}

macro_rules! lines {
    ($out:expr, $($format:literal $(, $arg:expr)*;)+) => { $(line($out, format_args!($format $(, $arg)*));)+ };
}

fn server(server: &Server, out: &mut String) {
    let uptime = server.started.elapsed().as_secs();
    let system = rustix::system::uname();
    lines!(out,
        "redis_version:{}", REDIS_VERSION;
        "kvred_version:{}", env!("CARGO_PKG_VERSION");
        "redis_mode:standalone";
        "os:{} {} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy(), system.machine().to_string_lossy();
        "arch_bits:{}", usize::BITS;
        "multiplexing_api:epoll";
        "process_id:{}", std::process::id();
        "run_id:{}", server.run_id;
        "tcp_port:{}", server.config.port.or(server.config.tls_port).unwrap_or(0);
        "server_time_usec:{}", server.writer.clock().unix_time().as_micros();
        "uptime_in_seconds:{}", uptime;
        "uptime_in_days:{}", uptime / 86_400;
        "hz:1";
        "configured_hz:1";
        "executable:{}", std::env::current_exe().unwrap_or_default().display();
        "config_file:";
        "io_threads_active:0";
        "worker_threads:{}", server.config.threads;
        "spare_worker_connections:{}", server.spare_worker_connections();
    );
}

fn clients(server: &Server, out: &mut String) {
    let all = server.clients.all();
    let most = |of: fn(&super::clients::Client) -> usize| all.iter().map(|c| of(c)).max().unwrap_or(0);
    lines!(out,
        "connected_clients:{}", all.len();
        "maxclients:{}", server.live.max_clients.load(Ordering::Relaxed);
        "client_recent_max_input_buffer:{}", most(|c| c.query_bytes.load(Ordering::Relaxed));
        "client_recent_max_output_buffer:{}", most(|c| c.reply_bytes.load(Ordering::Relaxed));
        "blocked_clients:{}", server.writer.sync_waiters();
        "tracking_clients:0";
        "pubsub_clients:0";
        "query_buffer_bytes:{}", server.query_bytes.load(Ordering::Relaxed);
    );
}

fn memory(server: &Server, out: &mut String) {
    let used = server.writer.keyspace().memory();
    let clients: usize = server.clients.all().iter().map(|c| c.memory_bytes()).sum();
    let rss = machine::resident_bytes();
    let limit = server.live.max_memory_bytes.load(Ordering::Relaxed) as usize;
    let total = used.total_bytes();
    let peak = server.note_peak_memory(total);
    let (data, overhead) = data_and_overhead(used);
    // An empty server takes memory too, which is no fragmentation.
    let accounted = server.startup_bytes + total;
    lines!(out,
        "used_memory:{}", total;
        "used_memory_human:{}", human(total as u64);
        "used_memory_rss:{}", rss;
        "used_memory_rss_human:{}", human(rss as u64);
        "used_memory_peak:{}", peak;
        "used_memory_peak_human:{}", human(peak as u64);
        "used_memory_peak_perc:{:.2}%", total as f64 * 100.0 / peak.max(1) as f64;
        "used_memory_dataset:{}", data;
        "used_memory_dataset_perc:{:.2}%", data as f64 * 100.0 / total.max(1) as f64;
        "used_memory_overhead:{}", overhead;
        "used_memory_startup:{}", server.startup_bytes;
        "used_memory_lua:0";
        "mem_fragmentation_ratio:{:.2}", rss as f64 / accounted.max(1) as f64;
        "mem_fragmentation_bytes:{}", rss.saturating_sub(accounted);
        "total_system_memory:{}", machine::total_memory_bytes();
        "maxmemory:{}", limit;
        "maxmemory_human:{}", human(limit as u64);
        "maxmemory_policy:noeviction";
        "mem_clients_normal:{}", clients;
        "mem_clients_slaves:0";
        "mem_replication_backlog:0";
        "mem_not_counted_for_evict:0";
        "mem_allocator:mimalloc";
        "mem_aof_buffer:{}", server.writer.stats().pending_bytes;
        "active_defrag_running:0";
        "lazyfree_pending_objects:0";
    );
}

/// What keys and values have of the total, and the rest of it. The figures are read one after the other: where a
/// `FLUSHALL` comes between, the data is that of before it.
fn data_and_overhead(used: MemoryUse) -> (usize, usize) {
    let total = used.total_bytes();
    let data = used.data_bytes.min(total);
    (data, total - data)
}

fn persistence(server: &Server, out: &mut String) {
    let log = server.writer.stats();
    let rewrite = &log.rewrite;
    let now = server.writer.clock().monotonic();
    let seconds = |d: std::time::Duration| d.as_secs().cast_signed();
    let status = |bad: bool| if bad { "err" } else { "ok" };
    lines!(out,
        "loading:0";
        "async_loading:0";
        "rdb_changes_since_last_save:0";
        "rdb_bgsave_in_progress:0";
        "rdb_last_save_time:{}", server.started_unix_seconds;
        "rdb_last_bgsave_status:ok";
        "rdb_last_bgsave_time_sec:-1";
        "rdb_current_bgsave_time_sec:-1";
        "rdb_last_cow_size:0";
        "aof_enabled:{}", u8::from(server.config.append_only);
        "aof_rewrite_in_progress:{}", u8::from(rewrite.scheduled || rewrite.running_since.is_some());
        "aof_rewrite_scheduled:{}", u8::from(rewrite.scheduled);
        "aof_rewrite_keys_written:{}", rewrite.keys;
        "aof_rewrites:{}", rewrite.finished;
        "aof_last_rewrite_time_sec:{}", rewrite.last_took.map_or(-1, seconds);
        "aof_current_rewrite_time_sec:{}", rewrite.running_since.map_or(-1, |since| seconds(now.saturating_sub(since)));
        "aof_last_bgrewrite_status:{}", status(rewrite.last_error.is_some());
        "aof_last_cow_size:0";
        "aof_last_write_status:{}", status(log.last_write_failed || log.poisoned.is_some());
        "aof_fsync_policy:{}", server.writer.policy().redis_name();
        "aof_current_size:{}", log.log_bytes;
        "aof_base_size:{}", log.base_bytes;
        "aof_unsynced_bytes:{}", log.unsynced_bytes;
        "aof_pending_bytes:{}", log.pending_bytes;
        "aof_buffer_length:{}", log.pending_bytes;
        "aof_pending_rewrite:0";
        "aof_pending_bio_fsync:0";
        "aof_delayed_fsync:{}", log.delayed_syncs;
        "aof_last_fsync_usec:{}", log.last_sync.as_micros();
        "aof_fsyncs:{}", log.syncs;
        "aof_groups:{}", log.groups;
        "aof_write_errors:{}", log.write_failures;
        "aof_poisoned:{}", log.poisoned.as_deref().unwrap_or("no");
    );
}

fn stats(server: &Server, out: &mut String) {
    let totals = server.stats.totals();
    let kib = |bytes: &Rate| bytes.per_second() as f64 / 1024.0;
    lines!(out,
        "total_connections_received:{}", server.stats.connections.load(Ordering::Relaxed);
        "total_commands_processed:{}", totals.commands;
        "instantaneous_ops_per_sec:{}", server.commands.per_second();
        "total_net_input_bytes:{}", totals.input_bytes;
        "total_net_output_bytes:{}", totals.output_bytes;
        "instantaneous_input_kbps:{:.2}", kib(&server.input);
        "instantaneous_output_kbps:{:.2}", kib(&server.output);
        "rejected_connections:{}", server.stats.rejected.load(Ordering::Relaxed);
        "expired_keys:0";
        "expired_stale_perc:0.00";
        "expired_time_cap_reached_count:0";
        "slave_expires_tracked_keys:0";
        "evicted_keys:0";
        "keyspace_hits:{}", totals.hits;
        "keyspace_misses:{}", totals.misses;
        "pubsub_channels:0";
        "pubsub_patterns:0";
        "sync_full:0";
        "sync_partial_ok:0";
        "sync_partial_err:0";
        "migrate_cached_sockets:0";
        "latest_fork_usec:0";
        "total_forks:0";
        "active_defrag_hits:0";
        "active_defrag_misses:0";
        "active_defrag_key_hits:0";
        "active_defrag_key_misses:0";
        "total_error_replies:{}", totals.errors.values().sum::<u64>();
        "total_reads_processed:{}", totals.reads;
        "total_writes_processed:{}", totals.writes;
        "client_query_buffer_limit_disconnections:{}", totals.query_limit_closed;
        "client_output_buffer_limit_disconnections:0";
        "slowlog_entries:{}", server.slow_log.len();
    );
}

fn replication(_: &Server, out: &mut String) {
    lines!(out,
        "role:master";
        "connected_slaves:0";
        "master_failover_state:no-failover";
        "master_repl_offset:0";
        "second_repl_offset:-1";
        "repl_backlog_active:0";
        "repl_backlog_size:0";
        "repl_backlog_first_byte_offset:0";
        "repl_backlog_histlen:0";
    );
}

fn cpu(_: &Server, out: &mut String) {
    let (user, system) = machine::cpu_seconds();
    lines!(out, "used_cpu_sys:{:.6}", system; "used_cpu_user:{:.6}", user; "used_cpu_sys_children:0.000000"; "used_cpu_user_children:0.000000";);
}

fn command_stats(server: &Server, out: &mut String) {
    for row in every_row() {
        let Calls { calls, failed, rejected, micros } = server.stats.calls(row.id);
        if calls + rejected > 0 {
            let mean = if calls > 0 { micros as f64 / calls as f64 } else { 0.0 };
            lines!(out,
                "cmdstat_{}:calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                row.name, calls, micros, mean, rejected, failed;
            );
        }
    }
}

fn error_stats(server: &Server, out: &mut String) {
    for (code, count) in server.stats.totals().errors {
        lines!(out, "errorstat_{}:count={}", code, count;);
    }
}

fn cluster(_: &Server, out: &mut String) {
    lines!(out, "cluster_enabled:0";);
}

fn keyspace(server: &Server, out: &mut String) {
    let keys = server.writer.keyspace().len();
    if keys > 0 {
        lines!(out, "db0:keys={},expires=0,avg_ttl=0,subexpiry=0", keys;);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_overhead_are_the_total_whatever_came_between() {
        let used = MemoryUse { data_bytes: 60, slab_bytes: 50, table_bytes: 20, blob_bytes: 30 };
        assert_eq!(data_and_overhead(used), (60, 40));
        let flushed_meanwhile = MemoryUse { data_bytes: 60, table_bytes: 20, ..MemoryUse::default() };
        assert_eq!(data_and_overhead(flushed_meanwhile), (20, 0));
    }
}
