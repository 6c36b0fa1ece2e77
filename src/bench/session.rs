//! Runs tests against servers: fills the key space where keys must be there, warms up, measures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::keys::Picker;
use super::load::Load;
use super::phase::{self, End, Outcome, Phase};
use super::plan::{Kind, Plan};
use super::progress::Progress;
use super::values::Values;
use crate::args::{Distribution, Test};
use crate::client::{EventLoop, Target};
use crate::exit::{Failure, OrExit};
use crate::interrupt::Interrupt;
use crate::protocol::number::counted;

/// Connections that fill the key space, at most.
const FILL_CLIENTS: u32 = 8;

/// Requests in a pipeline that fills the key space, at most, and bytes.
const FILL_PIPELINE: u32 = 64;
const FILL_PIPELINE_BYTES: u32 = 1 << 20;

/// A server, and what is known to be in it.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) target: Target,
    /// So many keys, from the first on, are there.
    pub(super) filled: u64,
}

impl Side {
    pub(super) fn new(target: Target) -> Self {
        Self { target, filled: 0 }
    }
}

/// What runs the tests.
pub(super) struct Session {
    pub(super) runtime: EventLoop,
    interrupt: Interrupt,
    connect_limit: Duration,
    pub(super) progress: Progress,
}

impl Session {
    /// Starts to listen for Ctrl-C.
    pub(super) fn new(connect_limit: Duration) -> Result<Self, Failure> {
        let doing = || "cannot start the event loop".to_owned();
        let runtime = EventLoop::new().or_unavailable(doing)?;
        let interrupt = {
            let _inside = runtime.enter();
            Interrupt::listen().or_unavailable(doing)?
        };
        Ok(Self { runtime, interrupt, connect_limit, progress: Progress::default() })
    }

    /// Does something that may take a while; `None`: it was interrupted.
    pub(super) fn until_interrupted<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                result = work => Some(result),
                () = self.interrupt.wait() => None,
            }
        })
    }

    /// Runs a test once, with what has to come before it. An outcome without operations: it ended before.
    pub(super) fn measure(&mut self, side: &mut Side, kind: Kind, plan: &Plan, what: &str) -> Result<Outcome, Failure> {
        let values = Arc::new(Values::new(plan.size, plan.seed));
        let keys = plan.keys(kind);
        let picker =
            if kind.deletes() { Picker::once(keys, plan.distribution) } else { Picker::new(keys, plan.distribution) };
        let load = Load { kind, picker, values, verify: plan.verify, rng: Rng::new() };
        if kind.needs_keys()
            && let Some(ended) = self.fill(side, keys, plan, &load)?
        {
            return Ok(ended);
        }
        let mut phase = Phase {
            target: &side.target.clone(),
            connect_limit: self.connect_limit,
            clients: plan.clients,
            threads: plan.threads,
            pipeline: plan.pipeline,
            total: plan.warmup,
            duration: None,
            rate: plan.rate,
            asks_cpu: false,
            load: load.clone(),
            seed: plan.seed ^ 1,
        };
        if plan.warmup > 0 {
            let outcome = self.run(&phase, &format!("{what} (warm-up)"))?;
            if outcome.end != End::Finished {
                return Ok(unmeasured(outcome));
            }
            if kind.deletes() {
                side.filled = 0;
                if let Some(ended) = self.fill(side, keys, plan, &load)? {
                    return Ok(ended);
                }
            }
        }
        phase.total = plan.requests.unwrap_or(if kind.deletes() { keys } else { u64::MAX });
        phase.duration = plan.duration;
        phase.asks_cpu = true;
        phase.seed = plan.seed;
        if kind.deletes() {
            side.filled = 0;
        }
        self.run(&phase, what)
    }

    /// Sees to it that the first `keys` keys are there. An outcome: that did not work.
    fn fill(&mut self, side: &mut Side, keys: u64, plan: &Plan, load: &Load) -> Result<Option<Outcome>, Failure> {
        if side.filled >= keys {
            return Ok(None);
        }
        let began = Instant::now();
        let phase = Phase {
            target: &side.target.clone(),
            connect_limit: self.connect_limit,
            clients: plan.clients.min(FILL_CLIENTS),
            threads: plan.threads,
            pipeline: (FILL_PIPELINE_BYTES / plan.size.1.max(1)).clamp(1, FILL_PIPELINE),
            total: keys,
            duration: None,
            rate: None,
            asks_cpu: false,
            load: Load {
                kind: Kind::Single(Test::Set),
                picker: Picker::new(keys, Distribution::Sequential),
                ..load.clone()
            },
            seed: plan.seed,
        };
        let outcome = self.run(&phase, "filling")?;
        let address = &side.target.address;
        if outcome.end != End::Finished {
            return Ok(Some(unmeasured(outcome)));
        }
        let failed = outcome.tally.errors + outcome.tally.wrong;
        if failed > 0 {
            let said = outcome.tally.first_error.or(outcome.tally.first_wrong).unwrap_or_default();
            say!("warning: {failed} of {keys} SETs that fill {address} failed: {said}");
        } else if !self.progress.fills_silently {
            let seconds = began.elapsed().as_secs_f64();
            say!("filled {address} with {} in {seconds:.1} s, so that lookups hit", counted(keys, "key"));
        }
        // Filled or not, it was tried; the tests will show it.
        side.filled = keys;
        Ok(None)
    }

    fn run(&mut self, phase: &Phase<'_>, what: &str) -> Result<Outcome, Failure> {
        let bar = self.progress.start(what, phase);
        let outcome = phase::run(phase, &self.runtime, &mut self.interrupt, &mut |replies| bar.at(replies));
        bar.end();
        Ok(outcome?)
    }
}

/// An outcome of something that was no measurement, of which nothing counts but how it ended.
fn unmeasured(outcome: Outcome) -> Outcome {
    let unanswered = super::drive::Unanswered::default();
    Outcome { tally: super::tally::Tally::new(), seconds: 0.0, unanswered, ..outcome }
}
