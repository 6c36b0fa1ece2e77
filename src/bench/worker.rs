//! A worker: a thread with an event loop of its own, and its share of the connections.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use fastrand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use super::drive::{DriveError, Shared, Unanswered, drive};
use super::phase::Phase;
use super::schedule::Schedule;
use super::tally::Tally;
use super::values::mix;
use crate::client::{ClientError, Connection, EventLoop, SetupError};
use crate::machine::thread_time;

/// Why a task that is waited for has a result.
const JOINED: &str = "no task is cancelled while it is waited for, and a panic goes on";

/// Connections that a worker opens beside each other: to a server far away, each takes some round trips.
const OPENING: usize = 64;

/// What the workers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Connect, then wait.
    Wait,
    /// All are connected; time counts from here.
    Go(Instant),
    /// Leave everything as it is.
    Abort,
}

/// What a worker says.
#[derive(Debug)]
pub(super) enum Report {
    /// All its connections are set up.
    Ready,
    /// One was not to be had.
    Unreachable(SetupError),
    /// It has ended.
    Done(Box<Done>),
}

/// What a worker did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) tally: Tally,
    pub(super) unanswered: Unanswered,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// The share of the time in which it was computing.
    pub(super) busy: f64,
    /// Why it ended early, if not because it was told to.
    pub(super) lost: Option<String>,
}

/// What a worker is to do.
pub(super) struct Job<'a> {
    pub(super) phase: &'a Phase<'a>,
    /// Which one it is, and of how many.
    pub(super) index: u32,
    pub(super) threads: u32,
    pub(super) schedule: &'a Arc<Schedule>,
    pub(super) replies: &'a Arc<AtomicU64>,
    pub(super) state: watch::Receiver<State>,
}

/// The body of the thread.
pub(super) fn run(job: Job<'_>, reports: &mpsc::UnboundedSender<Report>) {
    // Who would read the report has gone only when everything ends.
    drop(match EventLoop::new() {
        Ok(runtime) => runtime.block_on(work(job, reports)),
        Err(e) => reports.send(Report::Unreachable(ClientError::Io(e).into())),
    });
}

async fn work(job: Job<'_>, reports: &mpsc::UnboundedSender<Report>) -> Result<(), mpsc::error::SendError<Report>> {
    let mut state = job.state.clone();
    let connections = tokio::select! {
        connections = connect(&job) => connections,
        _ = state.wait_for(|state| *state == State::Abort) => return Ok(()),
    };
    let connections = match connections {
        Ok(connections) => connections,
        Err(error) => return reports.send(Report::Unreachable(error)),
    };
    reports.send(Report::Ready)?;
    let told = state.wait_for(|state| *state != State::Wait).await.map(|state| *state);
    let Ok(State::Go(started)) = told else { return Ok(()) };
    let shared = Rc::new(Shared {
        schedule: Arc::clone(job.schedule),
        started,
        pipeline: job.phase.pipeline.into(),
        tally: RefCell::new(Tally::new()),
        unanswered: Cell::default(),
        replies: Arc::clone(job.replies),
    });
    let (began, cpu_before) = (Instant::now(), thread_time());
    let driven = tokio::select! {
        driven = drive_all(connections, &job, &shared) => driven,
        _ = state.wait_for(|state| *state == State::Abort) => Ok(()),
    };
    let ended = Instant::now();
    let busy = thread_time().saturating_sub(cpu_before).as_secs_f64() / (ended - began).as_secs_f64().max(1e-9);
    let tally = shared.tally.replace(Tally::new());
    let unanswered = shared.unanswered.get();
    let done = Done { tally, unanswered, began, ended, busy, lost: driven.err().map(|e| e.to_string()) };
    reports.send(Report::Done(Box::new(done)))
}

/// The worker's share: every `threads`-th connection, from `index` on.
fn share(job: &Job<'_>) -> impl Iterator<Item = u32> {
    (job.index..job.phase.clients).step_by(job.threads as usize)
}

async fn connect(job: &Job<'_>) -> Result<Vec<Connection>, SetupError> {
    let (mut left, limit) = (share(job).count(), job.phase.connect_limit);
    let (mut connections, mut opening) = (Vec::new(), JoinSet::new());
    loop {
        while left > 0 && opening.len() < OPENING {
            let target = job.phase.target.clone();
            // No request need fall to each of them, which would find one that the server has no room for.
            opening.spawn(async move { target.connect_answered(limit).await });
            left -= 1;
        }
        match opening.join_next().await {
            Some(opened) => connections.push(opened.expect(JOINED)?),
            None => return Ok(connections),
        }
    }
}

/// Runs all connections to their end, or to the first that fails.
async fn drive_all(connections: Vec<Connection>, job: &Job<'_>, shared: &Rc<Shared>) -> Result<(), DriveError> {
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for (connection, index) in connections.into_iter().zip(share(job)) {
        let mut load = job.phase.load.clone();
        load.rng = Rng::with_seed(mix(job.phase.seed.wrapping_add(mix(index.into()))));
        tasks.spawn_local_on(drive(connection, load, Rc::clone(shared)), &local);
    }
    local
        .run_until(async {
            while let Some(ended) = tasks.join_next().await {
                ended.expect(JOINED)?;
            }
            Ok(())
        })
        .await
}
