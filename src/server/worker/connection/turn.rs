//! A turn of a connection: the commands that it runs before others have theirs.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Connection, Pause, State, env};
use crate::command::batch::{Control, Count, Queue, Ran, Replies, Stop, TURN_BYTES, TURN_COMMANDS, Taken, count_error};
use crate::db::ahead::Ahead;
use crate::protocol::decode::{Args, ProtocolError};
use crate::protocol::encode;
use crate::protocol::rope::Mark;
use crate::server::control::{self, After};
use crate::server::worker::Worker;
use crate::server::worker::session::Answers;
use crate::sparing::Sparing;

/// Commands that were taken from a connection's input, to be run next.
pub struct Next<'q, 'k> {
    /// Where they are.
    pub queue: &'q Queue,
    /// Which.
    pub taken: Taken,
    /// Loads ahead for the queue.
    pub ahead: &'q mut Ahead<'k>,
}

/// How far a turn has come.
struct Turn {
    /// One past the last byte of the input that is done with.
    at: usize,
    /// Commands that were run.
    commands: usize,
}

impl Connection {
    /// Runs a turn on what the worker's intake has of it: `next`, and what follows up to the end of `input`.
    pub fn run_taken(self: &Rc<Self>, worker: &Rc<Worker>, next: Next<'_, '_>, rest: &mut Queue, input: &mut [u8]) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.pause = Pause::None;
        // It has run nothing of this, and answers nothing.
        if self.close_if_killed(state) {
            return;
        }
        let at = next.taken.start;
        let consumed = self.turn(state, worker, rest, input, at, Some(next));
        if consumed < input.len() {
            state.input.keep(&input[consumed..], state.decoder.bytes_wanted());
        }
        self.check_limits(state, worker);
        // What is answered in front of `WAITAOF` does not wait with it: the task writes it.
        if !state.held_up() || matches!(state.pause, Pause::Sync { .. }) {
            state.wake_if_due();
        }
    }

    /// Runs a turn on input that is there.
    pub(super) fn run(self: &Rc<Self>, worker: &Rc<Worker>) {
        let mut state = self.state.borrow_mut();
        let mut scratch = worker.scratch.borrow_mut();
        if !state.held_up() {
            self.turn_on_input(&mut state, worker, &mut scratch.queue);
        }
        self.check_limits(&mut state, worker);
    }

    pub(super) fn turn_on_input(self: &Rc<Self>, state: &mut State, worker: &Rc<Worker>, queue: &mut Queue) {
        if self.close_if_killed(state) {
            return;
        }
        let mut input = std::mem::take(&mut state.input);
        input.start = self.turn(state, worker, queue, &mut input.buffer, input.start, None);
        input.drop_consumed();
        state.input = input;
    }

    /// Closes it if it was killed: it runs nothing more once the `CLIENT KILL` was answered. Whether it is closed.
    fn close_if_killed(&self, state: &mut State) -> bool {
        state.closed |= self.client.killed.load(Ordering::Relaxed);
        state.closed
    }

    /// Runs the commands in `input[at..]`, as many as a turn may, and has the replies written: where it stopped. `next`
    /// are the first of them, if they are taken already.
    fn turn(
        self: &Rc<Self>,
        state: &mut State,
        worker: &Rc<Worker>,
        queue: &mut Queue,
        input: &mut [u8],
        at: usize,
        next: Option<Next<'_, '_>>,
    ) -> usize {
        state.out.buffer = worker.take_buffer(std::mem::take(&mut state.out.buffer));
        state.more = true;
        let mut turn = Turn { at, commands: 0 };
        let mut goes_on = next.is_none_or(|next| self.run_batch(state, worker, next, input, &mut turn));
        // Empty lines are no commands, so bytes are counted too.
        while goes_on
            && turn.commands < TURN_COMMANDS
            && turn.at - at <= TURN_BYTES
            && state.out.len() < TURN_BYTES
            && !state.closing
        {
            state.renew_limits(worker);
            let taken = queue.fill(input, turn.at, &mut state.decoder, &env(state.session, worker));
            let mut ahead = queue.ahead(worker.server.writer.keyspace());
            goes_on = self.run_batch(state, worker, Next { queue, taken, ahead: &mut ahead }, input, &mut turn);
            queue.clear();
        }
        state.depth.note(turn.commands);
        if state.out.is_empty() {
            // Nothing will be written that gives it back: of half a command, or where nothing is answered.
            worker.give_buffer(std::mem::take(&mut state.out.buffer));
        } else if !matches!(state.pause, Pause::Commit { .. } | Pause::Sync { .. }) {
            // After the others that are ready now: clients and the scheduler then meet many replies at once.
            state.flush_due = true;
            worker.flush_later(self);
        }
        turn.at
    }

    /// Runs what was taken, and the command that stands alone behind it: whether the turn may go on.
    fn run_batch(
        self: &Rc<Self>,
        state: &mut State,
        worker: &Rc<Worker>,
        next: Next<'_, '_>,
        input: &mut [u8],
        turn: &mut Turn,
    ) -> bool {
        let Next { queue, taken, ahead } = next;
        let batch = queue.batch(&taken);
        turn.at = taken.end;
        if !batch.is_empty() {
            let answered = state.out.mark();
            let began = Instant::now();
            let ran = batch.run(input, &state.decoder, ahead, &env(state.session, worker), &mut state.out);
            worker.time_batch(began, &batch, ran.commands, input, &self.client);
            let muted = state.session.answers != Answers::All && state.drop_answers(answered, &ran);
            turn.commands += ran.commands;
            let all = ran.commands == batch.len();
            if !all {
                turn.at = ran.consumed;
            }
            if !all || matches!(taken.stop, Stop::NotResp(_)) && !matches!(ran.replies, Replies::Ready) {
                state.decoder.restart();
                state.decoder.restore(input, turn.at);
            }
            match ran.replies {
                Replies::Ready if all => {}
                Replies::Ready => return true,
                Replies::Held(held) => {
                    state.pause = Pause::Commit { muted };
                    state.more = turn.at < input.len();
                    worker.hold(held, self);
                    return false;
                }
                Replies::NoRoom => {
                    state.pause = Pause::Room;
                    worker.wait_for_room(self);
                    return false;
                }
            }
        }
        self.after_batch(state, worker, queue, taken.stop, input, turn)
    }

    /// Sees to what ended a batch, once that has run: whether the turn may go on.
    #[inline]
    fn after_batch(
        self: &Rc<Self>,
        state: &mut State,
        worker: &Rc<Worker>,
        queue: &Queue,
        stop: Stop,
        input: &[u8],
        turn: &mut Turn,
    ) -> bool {
        match stop {
            Stop::Full => true,
            Stop::Incomplete => {
                state.more = false;
                false
            }
            Stop::Control(command) => {
                turn.commands += 1;
                turn.at = command.end_byte;
                let args = queue.control_args(&command, input);
                self.run_control(state, worker, &command, args)
            }
            Stop::NotResp(error) => {
                let text = error.text();
                count_error(&*worker.stats, None, &text);
                static TOLD: Sparing = Sparing::new();
                if error == ProtocolError::InlineNul
                    && let Some(left_out) = TOLD.due()
                {
                    tracing::warn!(
                        client = self.client.id,
                        addr = %self.client.addr,
                        "closing a client that sent a NUL byte in an inline command: it may speak TLS to the plain \
                         port, and somebody may have hidden commands in that{left_out}"
                    );
                }
                if state.session.answers == Answers::All {
                    encode::error(&mut state.out.buffer, text);
                }
                state.closing = true;
                state.more = false;
                true
            }
            Stop::Http => {
                static TOLD: Sparing = Sparing::new();
                if let Some(left_out) = TOLD.due() {
                    tracing::warn!(
                        client = self.client.id,
                        addr = %self.client.addr,
                        "closing a client that sent POST or Host: as a command: somebody may be attacking by HTTP \
                         requests with commands in them, which a web page has its visitor's browser send{left_out}"
                    );
                }
                // Without the replies that are due, as in Redis: whoever has a browser send this is told nothing. But a
                // write in front of it was answered when it was committed, and what stands before a write with it.
                state.closed = true;
                false
            }
        }
    }

    /// Runs a command that stands alone: whether the turn may go on.
    fn run_control(self: &Rc<Self>, state: &mut State, worker: &Rc<Worker>, command: &Control, args: Args<'_>) -> bool {
        worker.stats.command(command.spec.id);
        state.session.begin_command();
        let answered = state.out.mark();
        let mut context = control::Context { worker, client: &self.client, session: &mut state.session };
        let began = Instant::now();
        let after = control::run(command, args, &mut context, &mut state.out.buffer);
        worker.time_control(began, command.spec, args, &self.client);
        let muted = state.session.end_command();
        if muted {
            state.out.truncate(answered);
        }
        match after {
            After::GoOn => {}
            After::Close => {
                state.closing = true;
                state.more = false;
            }
            After::WaitForSync { group, timeout_ms } => {
                state.pause = Pause::Sync { muted };
                worker.wait_for_sync(self, group, timeout_ms);
                return false;
            }
        }
        true
    }
}

impl State {
    /// Takes back the replies of a batch that is not to be answered: whether it has any commands.
    fn drop_answers(&mut self, from: Mark, ran: &Ran) -> bool {
        let any = ran.commands > 0;
        if any {
            self.out.truncate(from);
            if self.session.answers == Answers::SkipNext {
                self.session.answers = Answers::All;
            }
        }
        any
    }
}
