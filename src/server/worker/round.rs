//! Rounds and commits: what connections leave to the end of the round, and what that sees to.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::connection::Connection;
use super::{Scratch, Worker};
use crate::command::batch::Held;

/// With so many connections that wait for a commit with a sync, it is waited for awake.
const MANY_HELD: usize = 8;

impl Worker {
    /// Keeps a connection's replies back until its group is committed, and sees to it that it will be.
    pub(super) fn hold(&self, held: Held, connection: &Rc<Connection>) {
        self.held.borrow_mut().push_back((held, Rc::downgrade(connection)));
        self.request_commit();
    }

    /// Lets a connection wait until the log has room.
    pub(super) fn wait_for_room(&self, connection: &Rc<Connection>) {
        self.no_room.borrow_mut().push(Rc::downgrade(connection));
        self.request_commit();
    }

    /// Lets a connection wait until so many groups are synced, the time is over, or it has ended. At a stop, too: the
    /// sync is sure to come.
    pub(super) fn wait_for_sync(self: &Rc<Self>, connection: &Rc<Connection>, group: u64, timeout_ms: u64) {
        let (worker, connection) = (Rc::clone(self), Rc::downgrade(connection));
        drop(tokio::task::spawn_local(async move {
            let writer = &worker.server.writer;
            writer.sync_waiter_joined();
            let synced = async {
                loop {
                    let news = worker.sync_news.notified();
                    match writer.synced_group() {
                        Ok(synced) if synced < group && connection.strong_count() > 0 => news.await,
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
    pub(super) fn flush_later(&self, connection: &Rc<Connection>) {
        self.to_flush.borrow_mut().push(Rc::clone(connection));
        self.end_round_soon();
    }

    /// Runs the intake when it is full, or when the other connections that are ready now are in it too.
    pub(super) fn run_intake_soon(self: &Rc<Self>) {
        self.end_round_soon();
        if self.scratch.borrow().intake.is_full() {
            self.run_intake();
        }
    }

    pub(super) fn run_intake(self: &Rc<Self>) {
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

    pub(super) async fn end_rounds(self: Rc<Self>) {
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

    /// Commits what is open, or leaves it to the log thread: so while a sync is running, this one serves on. But if all
    /// that it serves wait for this commit, it may as well sync itself, which saves two hand-overs. Somebody who comes
    /// meanwhile is served by another worker.
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
}
