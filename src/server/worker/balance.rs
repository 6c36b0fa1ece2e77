//! A spare worker for deep pipelines.
//!
//! Where the number of workers is chosen by itself, one core is left to the clients. Clients with deep pipelines need
//! little of it: a worker is then full while a core idles. Such a worker hands half of its connections with deep
//! pipelines to the spare one, which gives back those that are deep no more. With shallow pipelines a second worker on
//! the clients' core costs more than it does, so these stay where they are (measured on two cores).
//!
//! Nothing here runs on a timer: a worker looks around after turns of deep pipelines, and an idle server stays idle.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection::{Connection, State};
use super::{Message, Worker};
use crate::machine;
use crate::server::clients::Client;
use crate::server::socket::Detached;

/// A pipeline of so many commands in a turn is deep; one of half as many is not any more.
const DEEP_COMMANDS: u32 = 32;

/// How long a worker watches before it judges. If nothing deep ran for twice as long, it watches anew.
const WATCH: Duration = Duration::from_millis(100);

/// A worker is full that ran for so much of the time, in percent.
const FULL_PERCENT: u32 = 90;

/// There is room if all cores together idled for so much of the time of one, in percent.
const ROOM_PERCENT: u32 = 30;

/// When connections change workers. `KVRED_TEST_MOVES` has them do it more often, for tests; users are not told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// When that helps.
    Helpful,
    /// As if all workers were full and a core idle.
    Deep,
    /// After each turn.
    Always,
}

impl Moves {
    /// What the environment says.
    ///
    /// # Errors
    /// It says something else.
    pub fn from_environment() -> anyhow::Result<Self> {
        Ok(match std::env::var_os("KVRED_TEST_MOVES") {
            None => Self::Helpful,
            Some(when) if when == "deep" => Self::Deep,
            Some(when) if when == "always" => Self::Always,
            Some(_) => anyhow::bail!("KVRED_TEST_MOVES is deep or always, and for tests"),
        })
    }
}

/// How many commands the turns of a connection have, in the mean of the last eight or so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Depth {
    eighths: u32,
}

impl Depth {
    /// Takes in one more turn.
    pub fn note(&mut self, commands: usize) {
        self.eighths = self.eighths - self.eighths / 8 + commands as u32;
    }

    fn is_deep(self) -> bool {
        self.eighths >= 8 * DEEP_COMMANDS
    }

    fn is_shallow(self) -> bool {
        self.eighths < 8 * DEEP_COMMANDS / 2
    }
}

/// What a worker saw when it last looked around.
#[derive(Debug, Clone, Copy)]
struct Sight {
    at: Instant,
    /// CPU time of this thread.
    busy: Duration,
    /// Idle time of all cores that the process may use.
    idle: Duration,
}

/// When a worker looked around.
#[derive(Debug, Default)]
pub struct Lookout(Cell<Option<Sight>>);

impl Lookout {
    /// What happened since the last look, if it is time for the next.
    fn look(&self) -> Option<(Sight, Sight)> {
        let now = Instant::now();
        if self.0.get().is_some_and(|last| now - last.at < WATCH) {
            return None;
        }
        let sight = Sight { at: now, busy: machine::thread_time(), idle: machine::idle_time()? };
        let last = self.0.replace(Some(sight))?;
        (now - last.at < 2 * WATCH).then_some((last, sight))
    }
}

impl Sight {
    /// Whether from `self` to `then` this worker was full while a core was not.
    fn calls_for_help(&self, then: &Self) -> bool {
        let elapsed = then.at - self.at;
        then.busy.saturating_sub(self.busy) * 100 >= elapsed * FULL_PERCENT
            && then.idle.saturating_sub(self.idle) * 100 >= elapsed * ROOM_PERCENT
    }
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub struct Moving {
    socket: Detached,
    client: Arc<Client>,
    state: State,
}

impl Worker {
    /// Looks around after a turn of a connection, if it is time to: who had better be served by another worker?
    pub fn look_around(&self, connection: &Connection) {
        let config = &self.server.config;
        if config.moves == Moves::Always {
            return connection.leave_for((self.number + 1) % config.workers());
        }
        let is_spare = config.is_spare(self.number);
        if !config.spare_worker || !is_spare && !connection.depth().is_deep() {
            return;
        }
        let Some((last, now)) = self.lookout.look() else { return };
        let connections = self.connections.borrow();
        if is_spare {
            for connection in connections.values().filter(|c| c.depth().is_shallow()) {
                connection.leave_for(self.server.least_loaded_worker());
            }
        } else if config.moves == Moves::Deep || last.calls_for_help(&now) {
            let deep = connections.values().filter(|c| c.depth().is_deep() && c.can_move());
            for connection in deep.skip(1).step_by(2) {
                connection.leave_for(config.threads);
            }
        }
    }

    /// Sends a connection to another worker. Nothing of it is under way.
    pub(super) fn send_away(&self, connection: Rc<Connection>, to: usize) {
        self.connections.borrow_mut().remove(&connection.client.id);
        let connection = Rc::into_inner(connection).expect("only what is held up is known to others");
        let (socket, client, state) = connection.into_parts();
        match socket.detach() {
            Ok(socket) => {
                self.server.pass_on(self.number, to, Message::Adopt(Box::new(Moving { socket, client, state })));
            }
            Err(e) => self.lose(&client, state, &e),
        }
    }

    /// Serves a connection that another worker has sent.
    pub fn adopt(self: &Rc<Self>, moving: Moving) {
        let Moving { socket, client, state } = moving;
        let socket = match socket.attach() {
            Ok(socket) => socket,
            Err(e) => return self.lose(&client, state, &e),
        };
        // In this order, and `CLIENT KILL` does it the other way round: one of the two sees what the other did.
        client.worker.store(self.number, Ordering::SeqCst);
        let killed = client.killed.load(Ordering::SeqCst);
        let connection = Rc::new(Connection::from_parts(socket, client, state));
        if killed {
            connection.close_now();
        }
        drop(self.start(connection));
    }

    fn lose(&self, client: &Client, mut state: State, why: &std::io::Error) {
        tracing::warn!(client = client.id, addr = %client.addr, "closing a client that could not change workers: {why}");
        state.end(self);
        self.forget(client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_follows_the_turns() {
        let mut depth = Depth::default();
        assert!(depth.is_shallow() && !depth.is_deep());
        (0..40).for_each(|_| depth.note(100));
        assert!(depth.is_deep());
        depth.note(1);
        assert!(depth.is_deep(), "one short turn, as where a pipeline arrives in two parts, says nothing");
        (0..40).for_each(|_| depth.note(24));
        assert!(!depth.is_deep() && !depth.is_shallow(), "between the two, all stays as it is");
        (0..40).for_each(|_| depth.note(1));
        assert!(depth.is_shallow());
        (0..1000).for_each(|_| depth.note(0));
        assert!(depth.is_shallow());
    }

    #[test]
    fn a_full_worker_beside_an_idle_core_calls_for_help() {
        let ms = Duration::from_millis;
        let from = Sight { at: Instant::now(), busy: ms(5000), idle: ms(700) };
        let calls = |busy: u64, idle: u64| {
            from.calls_for_help(&Sight { at: from.at + ms(100), busy: ms(5000 + busy), idle: ms(700 + idle) })
        };
        assert!(calls(95, 50));
        assert!(calls(90, 30));
        assert!(!calls(89, 50), "it was not full");
        assert!(!calls(99, 20), "no core was free");
        assert!(!calls(99, 0));
    }
}
