//! A worker: one thread with a runtime of its own, and the connections that it serves.
//!
//! It works in **rounds**: each connection that is ready reads, then the end of the round runs what was read of all of
//! them, writes all replies, and commits for all at once. That end is a task. The first connection with input wakes it, so
//! it comes after the others that are ready.
//!
//! | module | what it does |
//! |---|---|
//! | [`connection`] | one client: reading, turns, writing, waiting |
//! | [`intake`] | what was read from connections that are ready, and is run together |
//! | [`timing`] | how long commands take |
//! | [`busy_poll`] | how a worker waits for more to do |
//! | [`connection_count`] | how many connections it has, and whether it takes more |
//! | [`balance`] | which of them it had better hand to another |

pub mod balance;
pub mod busy_poll;
pub mod connection;
pub mod connection_count;
pub mod intake;
pub mod timing;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use self::balance::{Lookout, Moving};
use self::busy_poll::BusyPoll;
use self::connection::Connection;
use self::connection_count::ConnectionCount;
use self::intake::Intake;
use super::Server;
use super::clients::Client;
use super::listen::Accepted;
use super::purge;
use super::stats::WorkerStats;
use super::tls::HANDSHAKE_LIMIT;
use crate::command::batch::{Held, Queue};
use crate::protocol::limits::MAX_QUERY_BYTES_UNAUTHENTICATED;

/// So much unexecuted input each client may have, though all together have more than they may.
const SMALL_QUERY_BYTES: usize = 64 << 10;

/// Reply buffers kept for the next turn, and the largest that is worth keeping.
const SPARE_BUFFERS: usize = 64;
const SPARE_BUFFER_BYTES: usize = 1 << 20;

/// How long it waits awake for the next request, and for a commit with a sync that so many connections wait for.
const REQUEST_POLL: Duration = Duration::from_micros(50);
const COMMIT_POLL: Duration = Duration::from_micros(150);
const MANY_HELD: usize = 8;

/// How often idle connections are looked for, and memory is given back; killed connections are at once, see
/// [`Message::Sweep`].
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long replies may take to be read at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Unexecuted input of all clients together may be so many times the limit of one.
const ALL_CLIENTS_FACTOR: usize = 4;

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
    /// Connections whose replies wait for a commit, in the order of the groups. Weak: a connection that waits for the disk
    /// can still end, and its socket then closes at once, however long the disk takes.
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
                tracing::warn!("a connection from {addr} cannot be served: {e}");
                self.connection_count().subtract();
                return;
            }
        };
        let client = self.server.clients.add(addr, laddr, self.number, self.now_seconds());
        let connection = Rc::new(Connection::new(socket, client, self));
        if connection.is_handshaking() {
            drop(tokio::task::spawn_local(Self::limit_handshake(Rc::downgrade(&connection))));
        }
        self.start(connection);
    }

    fn connection_count(&self) -> &ConnectionCount {
        &self.server.workers[self.number].connection_count
    }

    /// Lets a connection run.
    fn start(self: &Rc<Self>, connection: Rc<Connection>) {
        self.connections.borrow_mut().insert(connection.client.id, Rc::clone(&connection));
        drop(tokio::task::spawn_local(connection.serve(Rc::clone(self))));
    }

    /// Closes a connection that has not begun to speak TLS in time.
    async fn limit_handshake(connection: Weak<Connection>) {
        tokio::time::sleep(HANDSHAKE_LIMIT).await;
        if let Some(connection) = connection.upgrade().filter(|c| c.is_handshaking()) {
            tracing::info!(addr = %connection.client.addr, "closing a client that did not shake hands in time");
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

    // ---- rounds and commits ----------------------------------------------------------------------------------------

    /// Keeps a connection's replies back until its group is committed, and sees to it that it will be.
    fn hold(&self, held: Held, connection: &Rc<Connection>) {
        self.held.borrow_mut().push_back((held, Rc::downgrade(connection)));
        self.request_commit();
    }

    /// Lets a connection wait until the log has room.
    fn wait_for_room(&self, connection: &Rc<Connection>) {
        self.no_room.borrow_mut().push(Rc::downgrade(connection));
        self.request_commit();
    }

    /// Lets a connection wait until so many groups are synced, the time is over, or it has ended.
    fn wait_for_sync(self: &Rc<Self>, connection: &Rc<Connection>, group: u64, timeout_ms: u64) {
        let (worker, connection) = (Rc::clone(self), Rc::downgrade(connection));
        drop(tokio::task::spawn_local(async move {
            let writer = &worker.server.writer;
            writer.sync_waiter_joined();
            let is_wanted = || !worker.stopping() && connection.strong_count() > 0;
            let synced = async {
                loop {
                    let news = worker.sync_news.notified();
                    match writer.synced_group() {
                        Ok(synced) if synced < group && is_wanted() => news.await,
                        Ok(synced) => return Ok(synced >= group),
                        Err(failure) => return Err(failure),
                    }
                }
            };
            let result = if timeout_ms == 0 {
                synced.await
            } else {
                tokio::time::timeout(Duration::from_millis(timeout_ms), synced).await.unwrap_or(Ok(false))
            };
            writer.sync_waiter_left();
            if let Some(connection) = connection.upgrade() {
                connection.resume_synced(&result, &worker);
            }
        }));
    }

    fn request_commit(&self) {
        self.commit_due.set(true);
        self.end_round_soon();
    }

    /// Writes a connection's replies when the other connections that are ready now have run too.
    fn flush_later(&self, connection: &Rc<Connection>) {
        self.to_flush.borrow_mut().push(Rc::clone(connection));
        self.end_round_soon();
    }

    /// Runs the intake when it is full, or when the other connections that are ready now are in it too.
    fn run_intake_soon(self: &Rc<Self>) {
        self.end_round_soon();
        if self.scratch.borrow().intake.is_full() {
            self.run_intake();
        }
    }

    fn run_intake(self: &Rc<Self>) {
        let mut scratch = self.scratch.borrow_mut();
        let Scratch { intake, queue } = &mut *scratch;
        intake.run(self, queue);
    }

    /// Wakes the task that ends the round; it runs behind those that are ready already.
    fn end_round_soon(&self) {
        if !self.round_end_due.replace(true) {
            self.notify.notify_one();
        }
    }

    async fn end_rounds(self: Rc<Self>) {
        let mut held_before = 0;
        loop {
            let held = self.held.borrow().len();
            match held {
                0 if held_before == 0 => self.request_poll.wait(&self.notify).await,
                MANY_HELD.. if self.server.writer.commits_may_sync() => self.commit_poll.wait(&self.notify).await,
                // The log thread may need this core, now or for the next request.
                _ => self.notify.notified().await,
            }
            held_before = held;
            self.run_intake();
            self.round_end_due.set(false);
            self.flush_round();
            if self.commit_due.take() {
                self.commit();
            }
            self.resume_resolved();
            self.sync_news.notify_waiters();
        }
    }

    /// Commits what is open, or leaves it to the log thread: so while a sync is running, this one serves on. But if all that
    /// it serves wait for this commit, it may as well sync itself, which saves two hand-overs. Somebody who comes meanwhile
    /// is served by another worker.
    fn commit(&self) {
        let writer = &self.server.writer;
        let may_sync = writer.commits_may_sync() && self.server.config.workers() > 1 && self.close_if_all_wait();
        writer.commit_from_worker(self.number, may_sync);
        if may_sync {
            self.connection_count().open();
        }
    }

    /// Takes no more connections, if all that are there, or on the way, wait for a commit.
    fn close_if_all_wait(&self) -> bool {
        let (held, connections) = (self.held.borrow(), self.connections.borrow());
        // One that was killed meanwhile is not there any more.
        let all_are_there = || held.iter().all(|(_, held)| held.strong_count() > 0);
        held.len() == connections.len() && all_are_there() && self.connection_count().close_at(held.len())
    }

    fn flush_round(&self) {
        let mut flushed = self.to_flush.take();
        for connection in flushed.drain(..) {
            connection.flush_turn(self);
        }
        // Nothing was added meanwhile; the list keeps its allocation.
        self.to_flush.replace(flushed);
    }

    fn resume_resolved(&self) {
        loop {
            let mut held = self.held.borrow_mut();
            let Some(outcome) = held.front().and_then(|(held, _)| held.ticket.outcome().cloned()) else { break };
            let Some((first, connection)) = held.pop_front() else { break };
            drop(held);
            if let Some(connection) = connection.upgrade() {
                connection.resume(first, &outcome, self);
            }
        }
        if !self.no_room.borrow().is_empty() && self.server.writer.has_room(self.number) {
            for connection in self.no_room.take().iter().filter_map(Weak::upgrade) {
                connection.resume_with_room();
            }
        }
    }

    // ---- what connections need -------------------------------------------------------------------------------------

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

    /// Notes how much unexecuted input a connection has, for the limit over all of them.
    fn account(&self, accounted: &mut usize, now: usize) {
        if *accounted != now {
            let total = &self.server.query_bytes;
            if now > *accounted {
                total.fetch_add(now - *accounted, Ordering::Relaxed);
            } else {
                total.fetch_sub(*accounted - now, Ordering::Relaxed);
            }
            *accounted = now;
        }
    }

    /// Whether a connection with so much unexecuted input has to go, and for which reason.
    fn over_limit(&self, query_bytes: usize, authenticated: bool) -> Option<String> {
        let limit = self.server.live.max_query_bytes.load(Ordering::Relaxed) as usize;
        if !authenticated && query_bytes > MAX_QUERY_BYTES_UNAUTHENTICATED {
            return Some(format!("before authentication, {MAX_QUERY_BYTES_UNAUTHENTICATED} is the limit"));
        }
        if query_bytes > limit {
            return Some(format!("--client-query-buffer-limit is {limit}"));
        }
        let total = self.server.query_bytes.load(Ordering::Relaxed);
        (total > limit.saturating_mul(ALL_CLIENTS_FACTOR) && query_bytes > SMALL_QUERY_BYTES)
            .then(|| format!("all clients together have {total}"))
    }

    // ---- housekeeping ----------------------------------------------------------------------------------------------

    async fn sweep_regularly(self: Rc<Self>) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // What was a busy moment's only is not kept: with many large replies, that is a lot.
            self.spare_buffers.take();
            purge::give_back();
            if self.server.live.timeout_seconds.load(Ordering::Relaxed) > 0 {
                self.sweep();
            }
        }
    }

    /// Closes connections that were killed, or were idle for too long.
    fn sweep(&self) {
        let (now, timeout) = (self.now_seconds(), self.server.live.timeout_seconds.load(Ordering::Relaxed));
        let connections: Vec<Rc<Connection>> = self.connections.borrow().values().cloned().collect();
        for connection in connections {
            let client = &connection.client;
            if client.killed.load(Ordering::Relaxed) {
                connection.close_now();
            } else if timeout > 0 && client.idle_seconds(now) > timeout && !connection.waits_for_server() {
                tracing::debug!(client = client.id, addr = %client.addr, "closing an idle client");
                connection.close_now();
            }
        }
    }

    /// Runs nothing more; waits until what is under way is answered and the replies are read, for a while.
    async fn drain(self: &Rc<Self>) {
        self.stopping.set(true);
        // What was read was sent in time.
        self.run_intake();
        self.sync_news.notify_waiters();
        let connections: Vec<Rc<Connection>> = self.connections.borrow().values().cloned().collect();
        for connection in connections {
            connection.close_when_answered(self);
        }
        let all_closed = async {
            while !self.connections.borrow().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_GRACE, all_closed).await.is_err() {
            let left = self.connections.borrow().len();
            tracing::warn!("{left} clients did not read their replies within {SHUTDOWN_GRACE:?}");
        }
    }
}
