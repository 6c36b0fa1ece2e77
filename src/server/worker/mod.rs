//! A worker: one thread with a runtime of its own, and the connections that it serves.
//!
//! It works in **rounds**: each connection that is ready reads, then the end of the round runs what was read of all of
//! them, writes all replies, and commits for all at once. That end is a task. The first connection with input wakes it,
//! so it comes after the others that are ready.
//!
//! | module | what it does |
//! |---|---|
//! | [`connection`] | one client: reading, turns, writing, waiting |
//! | [`session`] | what a client has set for its connection |
//! | `round` | the end of the round, and what waits for it or for a commit |
//! | [`intake`] | what was read from connections that are ready, and is run together |
//! | [`timing`] | how long commands take |
//! | [`busy_poll`] | how a worker waits for more to do |
//! | `limits` | how much unexecuted input clients may have |
//! | [`connection_count`] | how many connections it has, and whether it takes more |
//! | [`balance`] | which of them it had better hand to another |
//! | `housekeeping` | what it does once in a while, and at its end |

pub mod balance;
pub mod busy_poll;
pub mod connection;
pub mod connection_count;
mod housekeeping;
pub mod intake;
mod limits;
mod round;
pub mod session;
pub mod timing;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use self::balance::{Lookout, Moving};
use self::busy_poll::BusyPoll;
use self::connection::Connection;
use self::connection_count::ConnectionCount;
use self::intake::Intake;
use super::Server;
use super::clients::Client;
use super::listen::Accepted;
use super::stats::WorkerStats;
use super::tls::HANDSHAKE_LIMIT;
use crate::command::batch::{Held, Queue};
use crate::sparing::Sparing;

/// Reply buffers kept for the next turn, and the largest that is worth keeping.
const SPARE_BUFFERS: usize = 64;
const SPARE_BUFFER_BYTES: usize = 1 << 20;

/// How long it waits awake for the next request, and for a commit with a sync that many connections wait for.
const REQUEST_POLL: Duration = Duration::from_micros(50);
const COMMIT_POLL: Duration = Duration::from_micros(150);

/// What reaches a worker from other threads.
#[derive(Debug)]
pub enum Message {
    /// Serve this connection.
    Serve(Accepted),
    /// Serve this one from now on.
    Adopt(Box<Moving>),
    /// Look for killed connections now.
    Sweep,
    /// Finish what is under way and end.
    Stop,
}

/// How others reach a worker.
#[derive(Debug)]
pub struct WorkerHandle {
    /// Where messages go.
    pub messages: mpsc::UnboundedSender<Message>,
    /// How many connections it serves.
    pub connection_count: ConnectionCount,
}

/// A worker's own state; it never leaves its thread.
#[derive(Debug)]
pub struct Worker {
    /// Which one it is.
    pub number: usize,
    /// What all workers share.
    pub server: Arc<Server>,
    /// Its counters.
    pub stats: Arc<WorkerStats>,
    /// Buffers that every round uses.
    scratch: RefCell<Scratch>,
    /// Looks for who had better be served elsewhere.
    lookout: Lookout,
    /// Whom it serves, by id.
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    notify: Arc<Notify>,
    /// How it waits for requests, and for a commit with a sync that many wait for.
    request_poll: BusyPoll,
    commit_poll: BusyPoll,
    /// Told whenever a sync may have ended.
    sync_news: Notify,
    /// Connections whose replies wait for a commit, in the order of the groups. Weak: a connection that waits for the
    /// disk can still end, and its socket then closes at once, however long the disk takes.
    held: RefCell<VecDeque<(Held, Weak<Connection>)>>,
    /// Connections that wait for room in the log.
    no_room: RefCell<Vec<Weak<Connection>>>,
    /// Connections with replies to write at the end of the round.
    to_flush: RefCell<Vec<Rc<Connection>>>,
    commit_due: Cell<bool>,
    /// The task that ends the round has been woken.
    round_end_due: Cell<bool>,
    spare_buffers: RefCell<Vec<Vec<u8>>>,
    stopping: Cell<bool>,
}

/// Buffers that hold nothing between rounds.
#[derive(Debug, Default)]
struct Scratch {
    /// What was read, of several connections, and is run together.
    intake: Intake,
    /// The commands of a connection that runs by itself.
    queue: Queue,
}

impl Worker {
    /// Runs a worker until it is told to stop, and has.
    pub async fn run(
        number: usize,
        server: Arc<Server>,
        notify: Arc<Notify>,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) {
        let may_poll = server.config.may_busy_poll(number);
        let worker = Rc::new(Self {
            number,
            stats: server.stats.worker(number),
            request_poll: BusyPoll::new(may_poll.then_some(REQUEST_POLL)),
            commit_poll: BusyPoll::new(may_poll.then_some(COMMIT_POLL)),
            server,
            scratch: RefCell::default(),
            lookout: Lookout::default(),
            connections: RefCell::default(),
            notify,
            sync_news: Notify::new(),
            held: RefCell::default(),
            no_room: RefCell::default(),
            to_flush: RefCell::default(),
            commit_due: Cell::new(false),
            round_end_due: Cell::new(false),
            spare_buffers: RefCell::default(),
            stopping: Cell::new(false),
        });
        let rounds = tokio::task::spawn_local(Self::end_rounds(Rc::clone(&worker)));
        let sweeper = tokio::task::spawn_local(Self::sweep_regularly(Rc::clone(&worker)));
        while let Some(message) = messages.recv().await {
            match message {
                Message::Serve(accepted) => worker.serve(accepted),
                Message::Adopt(moving) => worker.adopt(*moving),
                Message::Sweep => worker.sweep(),
                Message::Stop => break,
            }
        }
        worker.drain().await;
        sweeper.abort();
        rounds.abort();
    }

    fn serve(self: &Rc<Self>, accepted: Accepted) {
        let unix_path = self.server.config.unix_socket.clone().unwrap_or_default();
        let (addr, laddr) = accepted.addresses(&unix_path);
        let socket = match accepted.into_socket() {
            Ok(socket) => socket,
            Err(e) => {
                static TOLD: Sparing = Sparing::new();
                if let Some(left_out) = TOLD.due() {
                    tracing::warn!("a connection from {addr} cannot be served: {e}{left_out}");
                }
                self.connection_count().subtract();
                return;
            }
        };
        let client = self.server.clients.add(addr, laddr, self.number, self.now_seconds());
        let connection = Rc::new(Connection::new(socket, client, self));
        let handshaking = connection.is_handshaking().then(|| Rc::downgrade(&connection));
        let served = self.start(connection);
        if let Some(connection) = handshaking {
            drop(tokio::task::spawn_local(Self::limit_handshake(connection, served)));
        }
    }

    fn connection_count(&self) -> &ConnectionCount {
        &self.server.workers[self.number].connection_count
    }

    /// Lets a connection run: the task that does.
    fn start(self: &Rc<Self>, connection: Rc<Connection>) -> JoinHandle<()> {
        self.connections.borrow_mut().insert(connection.client.id, Rc::clone(&connection));
        tokio::task::spawn_local(connection.serve(Rc::clone(self)))
    }

    /// Closes a connection that has not begun to speak TLS in time. It ends with the connection, which `served` tells:
    /// even a weak reference keeps the memory of one.
    async fn limit_handshake(connection: Weak<Connection>, served: JoinHandle<()>) {
        if tokio::time::timeout(HANDSHAKE_LIMIT, served).await.is_ok() {
            return;
        }
        if let Some(connection) = connection.upgrade().filter(|c| c.is_handshaking()) {
            static TOLD: Sparing = Sparing::new();
            if let Some(left_out) = TOLD.due() {
                let addr = &connection.client.addr;
                tracing::info!(%addr, "closing a client that did not shake hands in time{left_out}");
            }
            connection.close_now();
        }
    }

    /// Strikes off a client whose connection has ended.
    fn forget(&self, client: &Client) {
        self.connections.borrow_mut().remove(&client.id);
        self.connection_count().subtract();
        self.server.clients.remove(client);
        // Nobody waits for a sync on its behalf any more.
        self.sync_news.notify_waiters();
    }

    /// Whether no further command is to be run.
    fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whole seconds since the server's start.
    pub fn now_seconds(&self) -> u64 {
        self.server.now_seconds.load(Ordering::Relaxed)
    }

    /// An empty reply buffer: `own`, if that has an allocation, or a spare one.
    fn take_buffer(&self, own: Vec<u8>) -> Vec<u8> {
        if own.capacity() > 0 { own } else { self.spare_buffers.borrow_mut().pop().unwrap_or_default() }
    }

    /// Keeps an emptied reply buffer for another turn.
    fn give_buffer(&self, buffer: Vec<u8>) {
        let mut spare = self.spare_buffers.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= SPARE_BUFFER_BYTES && spare.len() < SPARE_BUFFERS {
            debug_assert!(buffer.is_empty(), "what a client was to get must not reach another one");
            spare.push(buffer);
        }
    }
}
