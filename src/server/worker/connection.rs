//! One client's connection: reads, runs turns of commands, writes, and waits for what holds it up.
//!
//! A **turn** reads what the socket has, runs the complete commands as batches and writes all replies at once. All
//! connections that are ready read before the first of them runs, into the worker's [`Intake`](super::intake::Intake).
//! Between turns a connection may be held up: by a commit that its replies wait for, by a lack of room in the log, or
//! by a client that does not read. It then runs nothing. In the last case it goes on reading, up to a limit: many
//! clients send a whole pipeline before they read the first reply, and both sides would otherwise wait for each other
//! forever.
//!
//! Everything here runs on the connection's own worker, so a `RefCell` guards the state, and is never borrowed across
//! an `await`.

mod input;
mod turn;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use self::input::Input;
pub use self::turn::Next;
use super::Worker;
use super::balance::Depth;
use super::session::{Answers, Session};
use crate::command::batch::{Env, Held, TURN_COMMANDS, count_error};
use crate::command::table::{CommandId, ControlId};
use crate::db::writer::WriteFailure;
use crate::protocol::decode::RequestDecoder;
use crate::protocol::encode::{self, Resp};
use crate::protocol::limits::RequestLimits;
use crate::protocol::rope::Rope;
use crate::server::clients::Client;
use crate::server::control;
use crate::server::socket::Socket;
use crate::sparing::Sparing;

/// A connection, shared by its own task and by the one that ends the worker's rounds.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    /// What others may know of it.
    pub client: Arc<Client>,
    state: RefCell<State>,
    /// The worker that is to serve it from its next turn on.
    leaves_for: Cell<Option<usize>>,
}

/// What a connection is in the middle of.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a reason of its own to wait or to go on")]
pub struct State {
    session: Session,
    /// How deep the pipeline is.
    depth: Depth,
    decoder: RequestDecoder,
    input: Input,
    out: Rope,
    /// How much of `out` is written.
    sent: usize,
    pause: Pause,
    /// The worker will write the replies at the end of its round.
    flush_due: bool,
    /// There may be a whole command in `input`.
    more: bool,
    /// The socket has something to read, which waits until the connection is not held up any more.
    read_when_resumed: bool,
    /// The client will send nothing more.
    end_of_input: bool,
    /// Close once all replies are written.
    closing: bool,
    closed: bool,
    /// What of `input` the worker counts for the limit over all clients.
    accounted_bytes: usize,
    waker: Option<Waker>,
}

/// What holds a connection up, besides replies that are not written yet. `muted`: what it waits for is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Pause {
    #[default]
    None,
    /// Its input is in the worker's intake.
    Intake,
    /// Replies wait for a commit.
    Commit { muted: bool },
    /// `WAITAOF` waits for its reply.
    Sync { muted: bool },
    /// The next command waits for room in the log.
    Room,
}

/// What a connection can do next.
enum Ready {
    Read,
    Write,
    Run,
    /// To another worker.
    Leave(usize),
    Closed,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(socket: Socket, client: Arc<Client>, worker: &Worker) -> Self {
        let authenticated = worker.server.config.password.is_none();
        let state = State {
            session: Session { authenticated, resp: Resp::V2, answers: Answers::All },
            depth: Depth::default(),
            decoder: RequestDecoder::new(limits(authenticated, worker)),
            input: Input::default(),
            out: Rope::default(),
            sent: 0,
            pause: Pause::None,
            flush_due: false,
            more: false,
            read_when_resumed: false,
            end_of_input: false,
            closing: false,
            closed: false,
            accounted_bytes: 0,
            waker: None,
        };
        Self::from_parts(socket, client, state)
    }

    /// A connection that comes from another worker.
    pub fn from_parts(socket: Socket, client: Arc<Client>, state: State) -> Self {
        Self { socket, client, state: RefCell::new(state), leaves_for: Cell::default() }
    }

    /// What goes to another worker.
    pub fn into_parts(self) -> (Socket, Arc<Client>, State) {
        (self.socket, self.client, self.state.into_inner())
    }

    /// How deep its pipeline is.
    pub fn depth(&self) -> Depth {
        self.state.borrow().depth
    }

    /// Serves the client until it goes, or is made to.
    pub async fn serve(self: Rc<Self>, worker: Rc<Worker>) {
        loop {
            match poll_fn(|cx| self.poll_ready(cx, &worker)).await {
                Ready::Read => {
                    self.read(&worker);
                    worker.look_around(&self);
                }
                Ready::Write => self.flush(&mut self.state.borrow_mut(), &worker),
                Ready::Run => {
                    // Others first: this connection has just had a turn.
                    tokio::task::yield_now().await;
                    self.run(&worker);
                    worker.look_around(&self);
                }
                Ready::Leave(to) => return worker.send_away(self, to),
                Ready::Closed => break,
            }
        }
        let mut state = self.state.borrow_mut();
        // What is in the intake is not run any more.
        state.closed = true;
        state.end(&worker);
        drop(state);
        worker.forget(&self.client);
    }

    /// Whether another worker could serve it.
    pub fn can_move(&self) -> bool {
        self.socket.can_move()
    }

    /// Has another worker serve it, as soon as nothing of it is under way; its own task sees to that.
    pub fn leave_for(&self, worker: usize) {
        self.leaves_for.set(Some(worker));
        if let Ok(mut state) = self.state.try_borrow_mut() {
            state.wake();
        }
    }

    /// Whether the client has yet to finish its TLS handshake.
    pub fn is_handshaking(&self) -> bool {
        self.socket.is_handshaking()
    }

    /// Whether it waits for the server, and not for its client: it is not idle then.
    pub fn waits_for_server(&self) -> bool {
        let state = self.state.borrow();
        state.goes_on_by_itself() || state.more && !state.held_up()
    }

    /// Asks it to close: at once if nothing is held up, else after the replies that are due.
    pub fn close_when_answered(&self, worker: &Worker) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        self.flush(&mut state, worker);
        state.wake();
    }

    /// Closes it without ado.
    pub fn close_now(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        state.wake();
    }

    /// Goes on after the commit that its replies waited for.
    pub fn resume(&self, held: Held, outcome: &Result<(), WriteFailure>, worker: &Worker) {
        let mut state = self.state.borrow_mut();
        let pause = std::mem::take(&mut state.pause);
        if let Err(failure) = outcome
            && pause != (Pause::Commit { muted: true })
        {
            let session = state.session;
            held.answer_failed(failure, &env(session, worker), &mut state.out);
        }
        self.flush(&mut state, worker);
        state.wake_if_due();
    }

    /// Writes the replies of a turn that has ended.
    pub fn flush_turn(&self, worker: &Worker) {
        let mut state = self.state.borrow_mut();
        state.flush_due = false;
        self.flush(&mut state, worker);
        state.wake_if_due();
    }

    /// Replies to `WAITAOF`, and goes on.
    pub fn resume_synced(&self, synced: &Result<bool, WriteFailure>, worker: &Worker) {
        let mut state = self.state.borrow_mut();
        let pause = std::mem::take(&mut state.pause);
        match synced {
            _ if pause == (Pause::Sync { muted: true }) => {}
            Ok(synced) => control::reply_wait_aof(*synced, &mut state.out.buffer),
            Err(failure) => {
                let text = failure.to_string();
                count_error(&*worker.stats, Some(CommandId::Control(ControlId::WaitAof)), text.as_bytes());
                encode::error(&mut state.out.buffer, text);
            }
        }
        self.flush(&mut state, worker);
        state.wake();
    }

    /// Goes on after room was made in the log.
    pub fn resume_with_room(&self) {
        let mut state = self.state.borrow_mut();
        state.pause = Pause::None;
        state.wake();
    }

    fn poll_ready(&self, cx: &mut Context<'_>, worker: &Worker) -> Poll<Ready> {
        let mut state = self.state.borrow_mut();
        if state.closed {
            return Poll::Ready(Ready::Closed);
        }
        let held_up = state.held_up();
        let stays = held_up || state.end_of_input || state.closing || worker.stopping() || !self.can_move();
        if let Some(to) = self.leaves_for.get().filter(|_| !stays) {
            return Poll::Ready(Ready::Leave(to));
        }
        if !held_up && state.more && !worker.stopping() {
            return Poll::Ready(Ready::Run);
        }
        if !matches!(state.pause, Pause::Commit { .. }) && !state.flush_due && !state.out.is_empty() {
            match self.socket.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ready::Write),
                Poll::Ready(Err(_)) => return Poll::Ready(Ready::Closed),
                Poll::Pending => {}
            }
        }
        if !held_up && (state.end_of_input || state.closing) {
            return Poll::Ready(Ready::Closed);
        }
        // Reads on even while replies wait for the client: it may send its whole pipeline before it reads the first
        // one.
        if !state.end_of_input && !state.closing && !worker.stopping() {
            match self.socket.poll_read_ready(cx) {
                Poll::Ready(Ok(())) if state.goes_on_by_itself() => state.read_when_resumed = true,
                Poll::Ready(Ok(())) => return Poll::Ready(Ready::Read),
                Poll::Ready(Err(_)) => return Poll::Ready(Ready::Closed),
                Poll::Pending => {}
            }
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Reads once: into the worker's intake, to be run soon, or behind what the connection has still to run.
    fn read(self: &Rc<Self>, worker: &Rc<Worker>) {
        let mut state = self.state.borrow_mut();
        let mut scratch = worker.scratch.borrow_mut();
        let to_intake = state.input.buffer.is_empty() && !state.held_up();
        let read = if to_intake {
            self.socket.read(scratch.intake.room())
        } else {
            let wanted = state.decoder.bytes_wanted();
            state.input.make_room(wanted);
            self.note_input(&state);
            self.socket.read_append(&mut state.input.buffer)
        };
        let read = match read {
            Ok(Some(0)) => {
                state.end_of_input = true;
                return;
            }
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(_) => {
                // The client is gone; what it had sent before is executed, as far as it has come.
                state.closed = true;
                return;
            }
        };
        worker.stats.reads.add(1);
        worker.stats.input_bytes.add(read as u64);
        self.client.note_activity(worker.now_seconds());
        if to_intake {
            let env = env(state.session, worker);
            state.renew_limits(worker);
            scratch.intake.take(self, read, &mut state.decoder, &env);
            state.pause = Pause::Intake;
            drop((state, scratch));
            return worker.run_intake_soon();
        }
        if state.held_up() {
            // Nothing else will tell that there is something to run, once the client has read its replies.
            state.more = true;
        } else {
            self.turn_on_input(&mut state, worker, &mut scratch.queue);
        }
        self.check_limits(&mut state, worker);
    }

    /// Writes what can be written.
    fn flush(&self, state: &mut State, worker: &Worker) {
        if matches!(state.pause, Pause::Commit { .. }) {
            return;
        }
        if !state.out.is_empty() && !state.closed {
            match self.socket.write(&state.out, state.sent) {
                Ok(written) => {
                    let written = written.unwrap_or(0);
                    worker.stats.writes.add(1);
                    worker.stats.output_bytes.add(written as u64);
                    state.sent += written;
                    if written > 0 {
                        self.client.note_activity(worker.now_seconds());
                    }
                }
                Err(_) => {
                    state.closed = true;
                    return;
                }
            }
        }
        if state.sent == state.out.len() {
            state.out.clear();
            state.sent = 0;
            worker.give_buffer(std::mem::take(&mut state.out.buffer));
            // `WAITAOF` has yet to be answered.
            state.closed |= state.closing && !matches!(state.pause, Pause::Sync { .. });
        }
        self.client.reply_bytes.store(state.out.len() - state.sent, Ordering::Relaxed);
    }

    /// Shows others how much input waits, and what its buffer has room for besides. Returns the former.
    fn note_input(&self, state: &State) -> usize {
        let waiting_bytes = state.input.waiting_bytes();
        self.client.query_bytes.store(waiting_bytes, Ordering::Relaxed);
        self.client.query_free_bytes.store(state.input.buffer.capacity() - waiting_bytes, Ordering::Relaxed);
        waiting_bytes
    }

    /// Closes a connection that has piled up more input than it may.
    fn check_limits(&self, state: &mut State, worker: &Worker) {
        let waiting_bytes = self.note_input(state);
        worker.account(&mut state.accounted_bytes, waiting_bytes);
        if let Some(limit) = worker.over_limit(waiting_bytes, state.session.authenticated) {
            worker.stats.query_limit_closed.add(1);
            static TOLD: Sparing = Sparing::new();
            if let Some(left_out) = TOLD.due() {
                tracing::warn!(
                    client = self.client.id,
                    addr = %self.client.addr,
                    "closing a client with {waiting_bytes} bytes of commands that are not executed yet; {limit}{left_out}"
                );
            }
            state.closed = true;
        }
    }
}

impl State {
    /// Gives back what the worker counts of it.
    pub fn end(&mut self, worker: &Worker) {
        worker.account(&mut self.accounted_bytes, 0);
    }

    /// Holds what is decoded from now on to what is set: the client may have authenticated, anybody may have changed
    /// it.
    fn renew_limits(&mut self, worker: &Worker) {
        self.decoder.set_limits(limits(self.session.authenticated, worker));
    }

    /// Whether it is sure to go on without the client's doing: so is what waits for a commit or for room.
    fn goes_on_by_itself(&self) -> bool {
        self.pause != Pause::None || self.flush_due
    }

    /// Whether it runs no commands for the time being.
    fn held_up(&self) -> bool {
        self.pause != Pause::None || !self.out.is_empty()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes the connection's task if there is something for it to do but wait for input.
    fn wake_if_due(&mut self) {
        let read = std::mem::take(&mut self.read_when_resumed);
        if read || self.more || self.closed || self.closing || self.end_of_input || !self.out.is_empty() {
            self.wake();
        }
    }
}

fn env(session: Session, worker: &Worker) -> Env<'_> {
    Env {
        keyspace: worker.server.writer.keyspace(),
        writer: &worker.server.writer,
        worker: worker.number,
        resp: session.resp,
        authenticated: session.authenticated,
        max_memory_bytes: worker.server.live.max_memory_bytes.load(Ordering::Relaxed) as usize,
        counters: &*worker.stats,
        most_commands: if session.answers == Answers::SkipNext { 1 } else { TURN_COMMANDS },
    }
}

fn limits(authenticated: bool, worker: &Worker) -> RequestLimits {
    let max_bulk_bytes = worker.server.live.max_bulk_bytes.load(Ordering::Relaxed) as usize;
    if authenticated {
        RequestLimits::new(max_bulk_bytes)
    } else {
        RequestLimits::before_authentication(max_bulk_bytes)
    }
}
