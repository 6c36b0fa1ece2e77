//! `kvred serve`: listening, workers, connections, and the life of the process from loading to shutdown.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | the settings |
//! | [`load`] | the log of the last run -> keyspace and log |
//! | [`addresses`], [`listen`], [`tls`] | what is listened on, and when; listening sockets; certificates |
//! | [`accept`], [`places`] | who is served, and by which worker; how many connections that has |
//! | [`worker`] | a thread that serves its share of the connections |
//! | [`busy_poll`] | how it waits for more to do |
//! | [`balance`] | which connections a worker had better hand to another |
//! | [`intake`] | what it has read from connections that are ready, and runs together |
//! | [`connection`] | one client: reading, turns, writing, waiting |
//! | [`socket`] | its socket |
//! | [`control`] | commands about connection and server |
//! | [`clients`], [`stats`], [`info`] | who is connected, what was counted, what `INFO` says |
//! | [`file_limit`] | how many files may be open, so how many clients connected |
//! | [`purge`] | memory that was freed, given back to the system |
//! | [`signals`], [`stop`] | `SIGTERM`, `SIGINT`, `SIGHUP`; what is finished before the end |
//! | [`systemd`] | what systemd is told, and the sockets that it hands over |
//! | [`timing`], [`slowlog`] | how long commands take, and those that took long |
//! | `logging` | log messages on stderr, as text or as JSON Lines |

pub mod accept;
pub mod addresses;
pub mod balance;
pub mod busy_poll;
pub mod clients;
pub mod config;
pub mod connection;
pub mod control;
pub mod file_limit;
pub mod info;
pub mod intake;
pub mod listen;
pub mod load;
mod logging;
pub mod places;
pub mod purge;
pub mod signals;
pub mod slowlog;
pub mod socket;
pub mod stats;
pub mod stop;
pub mod systemd;
pub mod timing;
pub mod tls;
pub mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

use self::addresses::Addresses;
use self::clients::Clients;
use self::config::{Config, Live};
use self::load::Loaded;
use self::places::Places;
use self::signals::StopSignals;
use self::slowlog::SlowLog;
use self::stats::{Rate, Stats};
use self::tls::Certificates;
use self::worker::{Message, Worker, WorkerHandle};
use crate::args::{ColorWhen, LogFormat, ServeArgs};
use crate::db::state::Keyspace;
use crate::db::writer::threads::LogThreads;
use crate::db::writer::{SystemClock, Wake, Writer};
use crate::exit::{Failure, OrExit, Status};

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
    /// The same by the calendar.
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
    workers: Vec<WorkerHandle>,
}

impl Server {
    /// Keeps what is counted by the second.
    async fn tick_regularly(&self) {
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
        self.note_peak_memory();
        self.rewrite_if_grown();
    }

    /// Looks at how much memory the data takes: that, and the most so far.
    pub fn note_peak_memory(&self) -> (usize, usize) {
        let now = self.writer.keyspace().memory().total_bytes();
        (now, self.peak_memory_bytes.fetch_max(now, Ordering::Relaxed).max(now))
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
            let places = &self.workers[*worker].places;
            (places.are_closed(), self.config.is_spare(*worker), places.taken())
        };
        (0..self.config.workers()).min_by_key(load).unwrap_or(0)
    }

    /// Takes a place for a new connection.
    fn take_place(&self) -> &WorkerHandle {
        loop {
            let worker = &self.workers[self.least_loaded_worker()];
            // At most one worker stays closed, the one that syncs; any other opens again as soon as it finds a commit under
            // way. So this loop ends.
            if worker.places.take() {
                return worker;
            }
        }
    }

    /// How many connections the spare worker has.
    pub fn spare_worker_connections(&self) -> usize {
        self.workers[self.config.threads..].iter().map(|w| w.places.taken()).sum()
    }

    /// Passes a connection on from one worker to another; it stays if that one takes none now.
    pub fn pass_on(&self, from: usize, to: usize, connection: Message) {
        let to = if self.workers[to].places.take() {
            self.workers[from].places.give_back();
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

/// Runs the server until it is told to stop.
///
/// # Errors
/// It could not start, or its last write or sync failed.
pub fn serve(args: &ServeArgs, color: ColorWhen) -> Result<Status, Failure> {
    logging::init(args.log_level, args.log_format, color);
    abort_on_panic();
    match (start(args), args.log_format) {
        // Whoever reads JSON reads the last line too.
        (Err(failure), LogFormat::Json) => {
            tracing::error!("{failure:#}");
            Ok(failure.status())
        }
        (result, _) => result,
    }
}

/// All that is there before the first client is served.
struct Prepared {
    config: Config,
    live: Live,
    addresses: Addresses,
    startup_bytes: usize,
    keyspace: Arc<Keyspace>,
    log: Option<Loaded>,
}

fn start(args: &ServeArgs) -> Result<Status, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Status::Unavailable, || "cannot start the event loop".to_owned())?;
    runtime.block_on(async {
        // First of all: without them a process 1, as in a container, hears no signal, and `SIGHUP` ends any other.
        let mut stop = StopSignals::new().or_exit(Status::Unavailable, || "cannot wait for signals".to_owned())?;
        let args = args.clone();
        let prepared = tokio::select! {
            prepared = tokio::task::spawn_blocking(move || prepare(&args)) => prepared.expect("a panic ends the process")?,
            () = stop.stop() => {
                tracing::info!("stopped before clients could connect; the log keeps what is in it");
                // Wherever that meets the load: it is made to be killed.
                std::process::exit(Status::Fine.code().into());
            }
        };
        run(prepared, stop).await
    })
}

/// Does what may take long: reads files, takes addresses, loads the log.
fn prepare(args: &ServeArgs) -> Result<Prepared, Failure> {
    let live = Live::new(args).map_err(|e| Failure::new(Status::Usage, e))?;
    let mut config = Config::resolve(args).map_err(|e| {
        let status = if e.is::<std::io::Error>() { Status::Unavailable } else { Status::Usage };
        Failure::new(status, e)
    })?;
    let wanted = live.max_clients.load(Ordering::Relaxed);
    let fit = file_limit::raise(wanted, config.workers());
    if fit < wanted {
        tracing::warn!("the system allows files for {fit} clients, fewer than the {wanted} of --maxclients");
    }
    // What would be in the way of serving is found before the log is loaded, which may take long, or made.
    let addresses = Addresses::take(&mut config, args)?;
    let startup_bytes = info::resident_bytes();
    let keyspace = Arc::new(Keyspace::new(std::array::from_fn(|_| random_u64())));
    let log = if config.append_only { Some(load::load(&config, &keyspace)?) } else { None };
    Ok(Prepared { config, live, addresses, startup_bytes, keyspace, log })
}

async fn run(prepared: Prepared, mut stop: StopSignals) -> Result<Status, Failure> {
    let Prepared { mut config, live, addresses, startup_bytes, keyspace, log } = prepared;
    // The lock is kept to the end.
    let (log, _lock) = log.map(|l| ((l.aof, l.place), l.lock)).unzip();
    let certificates = addresses.certificates();
    let listeners = addresses.listen(&mut config)?;
    let notifies: Vec<Arc<Notify>> = (0..config.workers()).map(|_| Arc::default()).collect();
    let wakes = notifies.iter().cloned().map(|n| Box::new(move || n.notify_one()) as Wake).collect();
    let writer = Arc::new(Writer::new(keyspace, log, config.fsync, Arc::new(SystemClock::default()), wakes));
    let log_threads =
        LogThreads::start(&writer).or_exit(Status::Unavailable, || "cannot start the log's threads".to_owned())?;

    let (handles, receivers): (Vec<_>, Vec<_>) = (0..config.workers())
        .map(|_| {
            let (messages, receiver) = mpsc::unbounded_channel();
            (WorkerHandle { messages, places: Places::default() }, receiver)
        })
        .unzip();
    let server = Arc::new(Server {
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
        workers: handles,
        config,
    });
    let threads = receivers
        .into_iter()
        .zip(notifies)
        .enumerate()
        .map(|(number, (receiver, notify))| start_worker(number, &server, notify, receiver))
        .collect::<std::io::Result<Vec<_>>>()
        .or_exit(Status::Unavailable, || "cannot start a worker thread".to_owned())?;

    announce(&server);
    tokio::select! {
        () = accept::from_all(&listeners, &server) => unreachable!("accepting never ends by itself"),
        () = server.tick_regularly() => unreachable!("it goes on for ever"),
        () = stop.next(server.certificates.as_deref()) => {}
        () = server.stop.notified() => {}
    }
    drop(listeners);
    stop::shut_down(&server, log_threads, threads, stop).await
}

fn start_worker(
    number: usize,
    server: &Arc<Server>,
    notify: Arc<Notify>,
    receiver: mpsc::UnboundedReceiver<Message>,
) -> std::io::Result<JoinHandle<()>> {
    let server = Arc::clone(server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("kvred-worker-{number}")).spawn(move || {
        LocalSet::new().block_on(&runtime, Worker::run(number, server, notify, receiver));
    })
}

/// Says that clients can connect: to people in the log, to systemd by its protocol.
fn announce(server: &Server) {
    let config = &server.config;
    let on = |port: Option<u16>| config.bind.iter().filter_map(move |a| Some(SocketAddr::new(*a, port?)));
    let mut addresses: Vec<String> = on(config.port).map(|a| a.to_string()).collect();
    addresses.extend(on(config.tls_port).map(|a| format!("{a} (TLS)")));
    addresses.extend(config.unix_socket.as_ref().map(|p| p.display().to_string()));
    tracing::info!(
        port = config.port.unwrap_or(0),
        tls_port = config.tls_port,
        keys = server.writer.keyspace().len(),
        pid = std::process::id(),
        fsync = %config.fsync,
        threads = config.threads,
        "ready to accept connections on {}",
        addresses.join(", "),
    );
    systemd::ready(server.writer.keyspace().len());
}

/// A thread that panics would leave a server that looks alive and is not: end it, recovery handles the rest.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

/// A random number from the system.
fn random_u64() -> u64 {
    getrandom::u64().expect("the system has a source of randomness")
}
