//! One load from its first to its last request: workers are started, watched, and what they counted is put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::drive::Unanswered;
use super::environment::ServerCpu;
use super::load::Load;
use super::schedule::Schedule;
use super::tally::Tally;
use super::worker::{self, Done, Job, Report, State};
use crate::client::{ClientError, SetupError, Target};
use crate::interrupt::Interrupt;
use crate::machine::thread_error;

/// With no reply at all for so long, a server counts as hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often who watches is told.
const TICK: Duration = Duration::from_millis(100);

/// What is to be done.
pub(super) struct Phase<'a> {
    pub(super) target: &'a Target,
    pub(super) connect_limit: Duration,
    pub(super) clients: u32,
    pub(super) threads: u32,
    pub(super) pipeline: u32,
    /// Requests at most.
    pub(super) total: u64,
    pub(super) duration: Option<Duration>,
    pub(super) rate: Option<u64>,
    /// Whether the server is asked for its CPU time.
    pub(super) asks_cpu: bool,
    /// Copied for each connection.
    pub(super) load: Load,
    pub(super) seed: u64,
}

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Interrupted,
    /// The server went away, or hangs.
    Lost(String),
}

/// What came of a phase.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// From the first request to the last reply; of a whole run with a rate, no less than its schedule lasts.
    pub(super) seconds: f64,
    /// The share of the time that the busiest worker was computing, 0 to 1.
    pub(super) busy: f64,
    /// Requests that were due and never sent, under a rate.
    pub(super) unsent: u64,
    /// Requests that were sent, and had no reply when it ended.
    pub(super) unanswered: Unanswered,
    /// The server's CPU time of it, where it was asked for and told.
    pub(super) server_cpu_seconds: Option<f64>,
    pub(super) end: End,
}

/// Runs a phase; `progress` is told the number of replies now and then.
///
/// # Errors
/// There was no connecting; nothing was sent.
pub(super) fn run(
    phase: &Phase<'_>,
    runtime: &Runtime,
    interrupt: &mut Interrupt,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, SetupError> {
    let schedule = Arc::new(Schedule::new(phase.total, phase.rate, phase.duration));
    let replies = Arc::new(AtomicU64::new(0));
    let (state, _) = watch::channel(State::Wait);
    let threads = phase.threads.min(phase.clients);
    let (reports, inbox) = mpsc::unbounded_channel();
    thread::scope(|scope| {
        for index in 0..threads {
            let job = Job { phase, index, threads, schedule: &schedule, replies: &replies, state: state.subscribe() };
            let of_worker = reports.clone();
            let thread = thread::Builder::new().spawn_scoped(scope, move || worker::run(job, &of_worker));
            if let Err(e) = thread {
                let error = ClientError::Io(thread_error("a thread for connections", &e));
                // In the place of the worker's own: the watcher waits for one of each.
                drop(reports.send(Report::Unreachable(error.into())));
            }
        }
        drop(reports);
        let watcher = Watcher {
            phase,
            schedule: &schedule,
            replies: &replies,
            state: &state,
            inbox,
            tally: Tally::new(),
            unanswered: Unanswered::default(),
            began: None,
            ended: None,
            busy: 0.0,
            end: End::Finished,
        };
        runtime.block_on(watcher.watch(threads, interrupt, progress))
    })
}

/// What the calling thread does while the workers run.
struct Watcher<'a> {
    phase: &'a Phase<'a>,
    schedule: &'a Schedule,
    replies: &'a AtomicU64,
    state: &'a watch::Sender<State>,
    inbox: mpsc::UnboundedReceiver<Report>,
    tally: Tally,
    unanswered: Unanswered,
    /// The first request of all workers, and their last reply.
    began: Option<Instant>,
    ended: Option<Instant>,
    busy: f64,
    end: End,
}

impl Watcher<'_> {
    /// Waits until all workers have their connections; if one has none, all are told to end.
    async fn all_connected(&mut self, threads: u32, interrupt: &mut Interrupt) -> Result<(), SetupError> {
        let mut failed = None;
        for _ in 0..threads {
            tokio::select! {
                report = self.inbox.recv() => match report {
                    Some(Report::Ready) => {}
                    Some(Report::Unreachable(error)) => failed = Some(error),
                    // A worker that ends without a word has panicked; the scope passes that on.
                    Some(Report::Done(_)) | None => break,
                },
                () = interrupt.wait() => {
                    self.abort(End::Interrupted);
                    break;
                }
            }
        }
        let Some(error) = failed else { return Ok(()) };
        self.state.send_replace(State::Abort);
        Err(error)
    }

    async fn watch(
        mut self,
        threads: u32,
        interrupt: &mut Interrupt,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Outcome, SetupError> {
        self.all_connected(threads, interrupt).await?;
        let cpu = ServerCpu::start(self.phase.target, self.phase.connect_limit);
        let cpu = self.if_it_tells(self.phase.asks_cpu, cpu, interrupt).await;
        let started = Instant::now();
        if self.end == End::Finished {
            self.state.send_replace(State::Go(started));
        }
        let mut alive = Alive { replies: 0, since: started };
        let mut tick = tokio::time::interval(TICK);
        let timed = self.phase.duration.is_some();
        let over = tokio::time::sleep(self.phase.duration.unwrap_or(Duration::MAX));
        tokio::pin!(over);
        let mut stopped = false;
        loop {
            tokio::select! {
                report = self.inbox.recv() => match report {
                    None => break,
                    Some(Report::Ready | Report::Unreachable(_)) => {}
                    Some(Report::Done(done)) => self.done(*done),
                },
                () = &mut over, if timed && !stopped => {
                    stopped = true;
                    self.schedule.stop();
                }
                () = interrupt.wait(), if self.end == End::Finished => self.abort(End::Interrupted),
                _ = tick.tick() => {
                    let replies = self.replies.load(Ordering::Relaxed);
                    progress(replies);
                    if self.end == End::Finished && alive.hangs(replies, self.phase.rate) {
                        let why = format!("the server has not answered for {} s", PATIENCE.as_secs());
                        self.abort(End::Lost(why));
                    }
                }
            }
        }
        progress(self.replies.load(Ordering::Relaxed));
        let took = self.began.zip(self.ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
        let (took, unsent) = if self.end == End::Finished {
            // By the time between the first request and the last, the rate would be more than was asked for.
            (took.max(Duration::from_nanos(self.schedule.lasts_ns())), self.schedule.unsent(None))
        } else {
            // What was due only later is not missed by a run that ended early.
            (took, self.schedule.unsent(Some(took.as_nanos() as u64)))
        };
        let seconds = took.as_secs_f64();
        let server_cpu_seconds = match cpu {
            Some(cpu) => self.if_it_tells(true, cpu.seconds(), interrupt).await,
            None => None,
        };
        let Self { tally, unanswered, busy, end, .. } = self;
        Ok(Outcome { tally, seconds, busy, unsent, unanswered, server_cpu_seconds, end })
    }

    /// What a server answers that is asked for its CPU time: in a run that goes well, and not for long.
    async fn if_it_tells<T>(
        &mut self,
        asks: bool,
        answer: impl Future<Output = Option<T>>,
        interrupt: &mut Interrupt,
    ) -> Option<T> {
        if !asks || self.end != End::Finished {
            return None;
        }
        tokio::select! {
            answer = answer => answer,
            () = interrupt.wait() => {
                self.abort(End::Interrupted);
                None
            }
        }
    }

    /// Adds what a worker has done.
    fn done(&mut self, done: Done) {
        self.tally.add(&done.tally);
        self.unanswered.add(done.unanswered);
        self.began = self.began.into_iter().chain([done.began]).min();
        self.ended = self.ended.into_iter().chain([done.ended]).max();
        self.busy = self.busy.max(done.busy);
        if let Some(reason) = done.lost {
            self.abort(End::Lost(reason));
        }
    }

    /// Has the workers end early; the first reason for that counts.
    fn abort(&mut self, why: End) {
        self.state.send_replace(State::Abort);
        if self.end == End::Finished {
            self.end = why;
        }
    }
}

/// When the last reply was seen.
struct Alive {
    replies: u64,
    since: Instant,
}

impl Alive {
    fn hangs(&mut self, replies: u64, rate: Option<u64>) -> bool {
        if replies != self.replies {
            *self = Self { replies, since: Instant::now() };
        }
        let between = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.min(u32::MAX.into()) as u32);
        self.since.elapsed() > PATIENCE + between
    }
}
