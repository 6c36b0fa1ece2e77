//! One connection under load: sends a pipeline, takes its replies, and so on until the schedule has nothing left.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::load::{Load, Sent, mismatch};
use super::schedule::Schedule;
use super::tally::Tally;
use super::timer::Timer;
use crate::client::{Arrived, ClientError, Connection, Receiver};

/// Why a connection stopped before its time.
#[derive(Debug, Error)]
pub(super) enum DriveError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the server sent more replies than it was sent requests")]
    TooManyReplies,
    #[error("a timer failed: {0}")]
    Timer(std::io::Error),
}

/// What the connections of a worker share.
pub(super) struct Shared {
    pub(super) schedule: Arc<Schedule>,
    pub(super) started: Instant,
    pub(super) pipeline: u64,
    pub(super) tally: RefCell<Tally>,
    pub(super) unanswered: Cell<Unanswered>,
    /// Replies so far, of all workers, for who watches.
    pub(super) replies: Arc<AtomicU64>,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// Requests that were under way when all ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unanswered {
    pub(super) requests: u64,
    /// How long the one that waited longest had done so.
    pub(super) longest_ns: u64,
}

impl Unanswered {
    /// Adds those of others.
    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }
}

/// Requests that were sent together, of which some have their replies. Dropped with others left, it counts them.
struct Waiting<'a> {
    shared: &'a Shared,
    sent: &'a [Sent],
    answered: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let left = &self.sent[self.answered..];
        let Some(first) = left.first() else { return };
        // Where they all left together, only the very first says when.
        let since_ns = first.due_ns.max(self.sent[0].due_ns);
        let longest_ns = self.shared.now_ns().saturating_sub(since_ns);
        let mut all = self.shared.unanswered.get();
        all.add(Unanswered { requests: left.len() as u64, longest_ns });
        self.shared.unanswered.set(all);
    }
}

/// Runs a connection until the schedule is at its end.
pub(super) async fn drive(mut connection: Connection, mut load: Load, shared: Rc<Shared>) -> Result<(), DriveError> {
    let timer = shared.schedule.is_open().then(Timer::new).transpose().map_err(DriveError::Timer)?;
    let (mut out, mut sent) = (Vec::new(), Vec::new());
    loop {
        out.clear();
        sent.clear();
        match &timer {
            None => closed(&mut load, &shared, &mut out, &mut sent),
            Some(timer) => open(&mut load, &shared, timer, &mut out, &mut sent).await?,
        }
        if sent.is_empty() {
            return Ok(());
        }
        // Both at once: a server may want its replies taken before it takes more requests.
        tokio::try_join!(
            async { Ok(connection.sender.send(&out).await?) },
            receive(&mut connection.receiver, &load, &sent, &shared, timer.is_none())
        )?;
    }
}

/// The next pipeline leaves when the last one was answered.
fn closed(load: &mut Load, shared: &Shared, out: &mut Vec<u8>, sent: &mut Vec<Sent>) {
    for index in shared.schedule.claim(shared.pipeline).into_iter().flatten() {
        load.push(index, 0, out, sent);
    }
    if let Some(first) = sent.first_mut() {
        first.due_ns = shared.now_ns();
    }
}

/// A request leaves when it is due, together with those that should have left before.
async fn open(
    load: &mut Load,
    shared: &Shared,
    timer: &Timer,
    out: &mut Vec<u8>,
    sent: &mut Vec<Sent>,
) -> Result<(), DriveError> {
    let schedule = &shared.schedule;
    let Some(first) = schedule.claim(1) else { return Ok(()) };
    let wait = schedule.due_ns(first.start).saturating_sub(shared.now_ns());
    timer.sleep(Duration::from_nanos(wait)).await.map_err(DriveError::Timer)?;
    for index in first.chain(schedule.claim_due(shared.pipeline - 1, shared.now_ns())) {
        load.push(index, schedule.due_ns(index), out, sent);
    }
    Ok(())
}

/// Takes the replies to all that was sent. One look at the clock serves the replies of one read.
async fn receive(
    receiver: &mut Receiver,
    load: &Load,
    sent: &[Sent],
    shared: &Shared,
    together: bool,
) -> Result<(), DriveError> {
    let mut waiting = Waiting { shared, sent, answered: 0 };
    while waiting.answered < sent.len() {
        receiver.fill().await?;
        let now_ns = shared.now_ns();
        let mut tally = shared.tally.borrow_mut();
        let left = &sent[waiting.answered..];
        let answered = take(receiver, load, left, &mut tally)?;
        if together {
            tally.took(now_ns.saturating_sub(sent[0].due_ns), answered as u64);
        } else {
            for request in &left[..answered] {
                tally.took(now_ns.saturating_sub(request.due_ns), 1);
            }
        }
        waiting.answered += answered;
        shared.replies.fetch_add(answered as u64, Ordering::Relaxed);
    }
    if receiver.is_drained() { Ok(()) } else { Err(DriveError::TooManyReplies) }
}

/// Judges the replies that have arrived whole, and says how many those are.
fn take(receiver: &mut Receiver, load: &Load, waiting: &[Sent], tally: &mut Tally) -> Result<usize, ClientError> {
    let mut requests = waiting.iter();
    receiver.take(waiting.len(), |arrived| {
        let request = requests.next().expect("no more replies are taken than requests wait");
        match arrived {
            Arrived::Here(reply) => load.judge(request, &reply, tally),
            Arrived::Decoded(frame) => tally.wrong(|| mismatch(request.test, &frame)),
        }
    })
}
