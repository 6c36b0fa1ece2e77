//! `kvred serve`: listening, workers, connections, and the life of the process from loading to shutdown.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`], [`live`] | the settings; those of them that can be changed while it runs |
//! | [`load`] | the log of the last run -> keyspace and log |
//! | [`addresses`], [`listen`], [`tls`] | what is listened on, and when; listening sockets; certificates |
//! | `shared` | what all workers share |
//! | [`accept`] | who is served, and by which worker |
//! | [`worker`] | a thread that serves its share of the connections |
//! | [`socket`] | the socket of a connection |
//! | [`control`] | commands about connection and server |
//! | [`clients`], [`stats`], [`info`] | who is connected, what was counted, what `INFO` says |
//! | [`file_limit`] | how many files may be open, so how many clients connected |
//! | [`purge`] | memory that was freed, given back to the system |
//! | [`signals`], [`stop`] | `SIGTERM`, `SIGINT`, `SIGHUP`; what is finished before the end |
//! | [`systemd`] | what systemd is told, and the sockets that it hands over |
//! | [`slowlog`] | the commands that took long |
//! | `logging` | log messages on stderr, as text or as JSON Lines |

pub mod accept;
pub mod addresses;
pub mod clients;
pub mod config;
pub mod control;
pub mod file_limit;
pub mod info;
pub mod listen;
pub mod live;
pub mod load;
mod logging;
pub mod purge;
mod shared;
pub mod signals;
pub mod slowlog;
pub mod socket;
pub mod stats;
pub mod stop;
pub mod systemd;
pub mod tls;
pub mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;

use self::addresses::{Addresses, with_port};
use self::config::Config;
use self::live::Live;
use self::load::Loaded;
pub use self::shared::Server;
use self::signals::StopSignals;
use self::worker::connection_count::ConnectionCount;
use self::worker::{Message, Worker, WorkerHandle};
use crate::args::{ColorWhen, LogFormat, ServeArgs};
use crate::db::state::Keyspace;
use crate::db::writer::threads::LogThreads;
use crate::db::writer::{SystemClock, Wake, Writer};
use crate::exit::{Failure, OrExit, Status};
use crate::machine::{self, no_thread};

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
    // Before the event loop is made: without a descriptor for each of its parts it panics.
    if file_limit::raise(1, 1) == 0 {
        return Err(too_few_files(1));
    }
    let runtime = new_runtime().or_unavailable(|| "cannot start the event loop".to_owned())?;
    runtime.block_on(async {
        // First of all: without them a process 1, as in a container, hears no signal, and `SIGHUP` ends any other.
        let mut stop = StopSignals::new().or_unavailable(|| "cannot wait for signals".to_owned())?;
        let args = args.clone();
        let (done, prepared) = oneshot::channel();
        // Not one of tokio's threads: it panics where the system gives none.
        std::thread::Builder::new()
            .name("kvred-load".to_owned())
            .spawn(move || drop(done.send(prepare(&args))))
            .or_unavailable(|| no_thread("the thread that loads the log"))?;
        let prepared = tokio::select! {
            prepared = prepared => prepared.expect("a panic ends the process")?,
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
    fit_clients(&live, config.workers())?;
    // What would be in the way of serving is found before the log is loaded, which may take long, or made.
    let addresses = Addresses::take(&mut config, args)?;
    let startup_bytes = machine::resident_bytes();
    let keyspace = Arc::new(Keyspace::new(std::array::from_fn(|_| machine::random_u64())));
    let log = if config.append_only { Some(load::load(&config, &keyspace)?) } else { None };
    Ok(Prepared { config, live, addresses, startup_bytes, keyspace, log })
}

/// Lowers `maxclients` to what the system has files for, as Redis does: else clients would take those of a rewrite, and
/// one too many would wait for an answer instead of being told.
fn fit_clients(live: &Live, workers: usize) -> Result<(), Failure> {
    let wanted = live.max_clients.load(Ordering::Relaxed);
    let fit = file_limit::raise(wanted, workers);
    if fit == 0 {
        return Err(too_few_files(workers));
    }
    if fit < wanted {
        tracing::warn!(
            "maxclients is {fit}, not the {wanted} of --maxclients: the system allows no more open files; to have more, raise \
             the limit (ulimit -n, or LimitNOFILE= of a systemd unit)"
        );
        live.max_clients.store(fit, Ordering::Relaxed);
    }
    Ok(())
}

fn too_few_files(workers: usize) -> Failure {
    failure!(
        Unavailable,
        "the system allows too few open files for even one client; {} are needed besides those of clients: raise the limit \
         (ulimit -n, or LimitNOFILE= of a systemd unit)",
        file_limit::other_files(workers)
    )
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
    let log_threads = LogThreads::start(&writer).or_unavailable(|| no_thread("the log's threads"))?;

    let (handles, receivers): (Vec<_>, Vec<_>) = (0..config.workers())
        .map(|_| {
            let (messages, receiver) = mpsc::unbounded_channel();
            (WorkerHandle { messages, connection_count: ConnectionCount::default() }, receiver)
        })
        .unzip();
    let server = Arc::new(Server::new(config, live, certificates, writer, startup_bytes, handles));
    let threads = receivers
        .into_iter()
        .zip(notifies)
        .enumerate()
        .map(|(number, (receiver, notify))| start_worker(number, &server, notify, receiver))
        .collect::<Result<Vec<_>, _>>()?;
    let closed = stop::close_behind(threads, log_threads, &server)
        .or_unavailable(|| no_thread("the thread that closes the log"))?;

    announce(&server);
    tokio::select! {
        () = accept::from_all(&listeners, &server) => unreachable!("accepting never ends by itself"),
        () = server.tick_regularly() => unreachable!("it goes on for ever"),
        () = stop.next(server.certificates.as_deref()) => {}
        () = server.stop.notified() => {}
    }
    drop(listeners);
    stop::shut_down(&server, closed, stop).await
}

fn start_worker(
    number: usize,
    server: &Arc<Server>,
    notify: Arc<Notify>,
    receiver: mpsc::UnboundedReceiver<Message>,
) -> Result<JoinHandle<()>, Failure> {
    let server = Arc::clone(server);
    // Made once there is a thread for it: a runtime must not be dropped within another one.
    let (runtime, given) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(format!("kvred-worker-{number}"))
        .spawn(move || {
            if let Ok(runtime) = given.blocking_recv() {
                LocalSet::new().block_on(&runtime, Worker::run(number, server, notify, receiver));
            }
        })
        .or_unavailable(|| no_thread("a worker thread"))?;
    let built = new_runtime().or_unavailable(|| "cannot start the event loop of a worker".to_owned())?;
    runtime.send(built).expect("the thread waits for it");
    Ok(thread)
}

fn new_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Says that clients can connect: to people in the log, to systemd by its protocol.
fn announce(server: &Server) {
    let config = &server.config;
    let on = |port: Option<u16>| config.bind.iter().filter_map(move |a| Some(with_port(*a, port?)));
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
