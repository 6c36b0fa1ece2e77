//! What a worker has read from connections that are ready, and runs when it has read from all of them.
//!
//! Requests of many clients then have what a deep pipeline of one has: their keys are loaded ahead of one another, and
//! the code that runs them stays in the processor's cache, which the kernel's network code empties in between.

use std::rc::Rc;

use super::Worker;
use super::connection::{Connection, Next};
use crate::command::batch::{Env, Queue, Taken};
use crate::protocol::decode::RequestDecoder;

/// Room for input.
const INPUT_BYTES: usize = 64 << 10;

/// With less room left than this, or as many commands as the first level of the cache holds, what is there is run
/// first.
const ROOM_BYTES: usize = 17 << 10;
const COMMANDS: usize = 256;

/// Input of several connections, and the commands in it.
#[derive(Debug)]
pub struct Intake {
    input: Vec<u8>,
    queue: Queue,
    waiting: Vec<Waiting>,
}

/// One connection's part.
#[derive(Debug)]
struct Waiting {
    connection: Rc<Connection>,
    /// Where its input ends; it begins where the one before it ends.
    input_end: usize,
    taken: Taken,
}

impl Default for Intake {
    fn default() -> Self {
        Self { input: vec![0; INPUT_BYTES], queue: Queue::default(), waiting: Vec::new() }
    }
}

impl Intake {
    /// Where a connection's input is to be read to.
    pub fn room(&mut self) -> &mut [u8] {
        let filled = self.filled();
        &mut self.input[filled..]
    }

    fn filled(&self) -> usize {
        self.waiting.last().map_or(0, |last| last.input_end)
    }

    /// Takes in what was read: so many bytes.
    pub fn take(&mut self, connection: &Rc<Connection>, read: usize, decoder: &mut RequestDecoder, env: &Env<'_>) {
        let start = self.filled();
        let input_end = start + read;
        let taken = self.queue.fill(&mut self.input[..input_end], start, decoder, env);
        self.waiting.push(Waiting { connection: Rc::clone(connection), input_end, taken });
    }

    /// Whether it is to be run before more is taken in.
    pub fn is_full(&self) -> bool {
        INPUT_BYTES - self.filled() < ROOM_BYTES || self.queue.len() >= COMMANDS
    }

    /// Runs all that was taken in. `rest` is for what follows in a connection's input.
    pub fn run(&mut self, worker: &Rc<Worker>, rest: &mut Queue) {
        let mut ahead = self.queue.ahead(worker.server.writer.keyspace());
        for Waiting { connection, input_end, taken } in self.waiting.drain(..) {
            let next = Next { queue: &self.queue, taken, ahead: &mut ahead };
            connection.run_taken(worker, next, rest, &mut self.input[..input_end]);
        }
        self.queue.clear();
    }
}
