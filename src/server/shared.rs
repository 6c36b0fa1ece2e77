//! What all workers share: the settings, the writer, the register of clients, what is counted, and how to reach each
//! other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::clients::Clients;
use super::config::Config;
use super::live::Live;
use super::slowlog::SlowLog;
use super::stats::{Rate, Stats};
use super::tls::Certificates;
use super::worker::{Message, WorkerHandle};
use crate::db::writer::Writer;
use crate::machine::random_u64;

/// How often what is counted by the second is looked at.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Debug)]
pub struct Server {
    /// The settings.
    pub config: Config,
    /// Those that can change, as they are now.
    pub live: Live,
    /// What is shown to those who speak TLS.
    pub certificates: Option<Arc<Certificates>>,
    /// The way to write, and the keyspace behind it.
    pub writer: Arc<Writer>,
    /// Who is connected.
    pub clients: Clients,
    /// What was counted.
    pub stats: Stats,
    /// What was slow.
    pub slow_log: SlowLog,
    /// When the process began to serve.
    pub started: Instant,
    /// When the process began to serve, in seconds since 1970.
    pub started_unix_seconds: u64,
    /// Random, new with each start: 40 hexadecimal digits.
    pub run_id: String,
    /// Whole seconds since `started`; a clock that costs nothing to read.
    pub now_seconds: AtomicU64,
    /// How many commands a second.
    pub commands: Rate,
    /// Bytes a second that are read from clients.
    pub input: Rate,
    /// Bytes a second that are written to them.
    pub output: Rate,
    /// The most memory that the data has taken, as far as it was looked at: once a second, and by `INFO`.
    pub peak_memory_bytes: AtomicUsize,
    /// What the process took before it had any data.
    pub startup_bytes: usize,
    /// Unexecuted input of all clients.
    pub query_bytes: AtomicUsize,
    /// Notified to stop the server.
    pub stop: Notify,
    pub(super) workers: Vec<WorkerHandle>,
}

impl Server {
    /// A server that nobody has connected to yet.
    pub(super) fn new(
        config: Config,
        live: Live,
        certificates: Option<Arc<Certificates>>,
        writer: Arc<Writer>,
        startup_bytes: usize,
        workers: Vec<WorkerHandle>,
    ) -> Self {
        Self {
            live,
            certificates,
            stats: Stats::new(config.workers()),
            writer,
            clients: Clients::default(),
            slow_log: SlowLog::default(),
            started: Instant::now(),
            started_unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            run_id: format!("{:016x}{:016x}{:08x}", random_u64(), random_u64(), random_u64() as u32),
            now_seconds: AtomicU64::new(0),
            commands: Rate::default(),
            input: Rate::default(),
            output: Rate::default(),
            peak_memory_bytes: AtomicUsize::new(0),
            startup_bytes,
            query_bytes: AtomicUsize::new(0),
            stop: Notify::new(),
            workers,
            config,
        }
    }

    /// Keeps what is counted by the second.
    pub(super) async fn tick_regularly(&self) {
        let mut interval = tokio::time::interval(TICK_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.tick();
        }
    }

    fn tick(&self) {
        self.now_seconds.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
        let totals = self.stats.totals();
        self.commands.tick(totals.commands);
        self.input.tick(totals.input_bytes);
        self.output.tick(totals.output_bytes);
        self.note_peak_memory(self.writer.keyspace().memory().total_bytes());
        self.rewrite_if_grown();
    }

    /// Takes note of how much memory the data takes now: the most so far, which is no less.
    pub fn note_peak_memory(&self, now: usize) -> usize {
        self.peak_memory_bytes.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// Starts a rewrite when the log has grown enough since the last.
    fn rewrite_if_grown(&self) {
        let percentage = self.live.rewrite_percentage.load(Ordering::Relaxed);
        let log = self.writer.stats();
        let least = self.live.rewrite_min_bytes.load(Ordering::Relaxed);
        let may_start = log.rewrite.may_start_by_itself(self.writer.clock().monotonic());
        if percentage == 0 || log.log_bytes < least || log.poisoned.is_some() || !may_start {
            return;
        }
        let grown = log.log_bytes.saturating_sub(log.base_bytes);
        if u128::from(grown) * 100 >= u128::from(percentage) * u128::from(log.base_bytes.max(1))
            && self.writer.request_rewrite()
        {
            tracing::info!(
                "the append-only file has grown from {} to {} bytes: rewriting it",
                log.base_bytes,
                log.log_bytes
            );
        }
    }

    /// Sets what is counted back to zero.
    pub fn reset_stats(&self) {
        self.stats.reset();
        for rate in [&self.commands, &self.input, &self.output] {
            rate.begin_anew();
        }
        self.peak_memory_bytes.store(0, Ordering::Relaxed);
    }

    /// The worker with the fewest connections that takes more now; the spare one if no other does.
    pub fn least_loaded_worker(&self) -> usize {
        let load = |worker: &usize| {
            let count = &self.workers[*worker].connection_count;
            (count.is_closed(), self.config.is_spare(*worker), count.get())
        };
        (0..self.config.workers()).min_by_key(load).unwrap_or(0)
    }

    /// The worker for a new connection, which it counts already.
    pub(super) fn assign_worker(&self) -> &WorkerHandle {
        loop {
            let worker = &self.workers[self.least_loaded_worker()];
            // At most one worker stays closed, the one that syncs; any other opens again as soon as it finds a commit
            // under way. So this loop ends.
            if worker.connection_count.add() {
                return worker;
            }
        }
    }

    /// How many connections the spare worker has.
    pub fn spare_worker_connections(&self) -> usize {
        self.workers[self.config.threads..].iter().map(|w| w.connection_count.get()).sum()
    }

    /// Passes a connection on from one worker to another; it stays if that one takes none now.
    pub fn pass_on(&self, from: usize, to: usize, connection: Message) {
        let to = if self.workers[to].connection_count.add() {
            self.workers[from].connection_count.subtract();
            to
        } else {
            from
        };
        // A worker that has ended, at shutdown, closes it.
        drop(self.workers[to].messages.send(connection));
    }

    /// Has a worker look for killed connections at once.
    pub fn sweep(&self, worker: usize) {
        // A worker that has ended has no connections.
        drop(self.workers[worker].messages.send(Message::Sweep));
    }
}
