//! Busy polling: a worker with nothing to do stays awake for a moment, if that has paid lately.
//!
//! One that sleeps has to be woken for the next request, and its client for the reply before; where cores are virtual,
//! that takes longer than all the rest of a request (perf.py: one connection has 2.5 times the rate, and costs no more
//! CPU for a GET). While there is more to do than a worker can, it never gets here.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How long a worker stays awake at most.
const LONGEST: Duration = Duration::from_micros(50);

/// After so many times in vain in a row a worker goes to sleep at once...
const VAIN_MAX: u32 = 4;

/// ...but for each time of so many, to see whether it would pay again.
const TRY_EACH: u32 = 64;

/// Whether it pays; one for each worker.
#[derive(Debug)]
pub struct BusyPoll {
    allowed: bool,
    /// How many waits in a row the worker has slept in, polling before or not.
    in_vain: Cell<u32>,
}

impl BusyPoll {
    /// `allowed`: there is a core for it.
    pub fn new(allowed: bool) -> Self {
        Self { allowed, in_vain: Cell::new(0) }
    }

    /// Waits until `notify` tells that there is something to do, awake at first if that pays. `may_poll`: nothing that
    /// the worker waits for needs its core.
    pub async fn wait(&self, notify: &Notify, may_poll: bool) {
        let mut notified = pin!(notify.notified());
        if self.allowed && may_poll {
            if self.pays() && self.poll(notified.as_mut()).await {
                return self.in_vain.set(0);
            }
            self.in_vain.set(self.in_vain.get().wrapping_add(1));
        }
        notified.await;
    }

    /// Waits awake: whether something came.
    async fn poll(&self, mut notified: Pin<&mut Notified<'_>>) -> bool {
        let began = Instant::now();
        loop {
            let came = tokio::select! {
                biased;
                () = notified.as_mut() => true,
                () = tokio::task::yield_now() => false,
            };
            if came || began.elapsed() >= LONGEST {
                return came;
            }
            // Whoever else wants the core comes first.
            std::thread::yield_now();
        }
    }

    fn pays(&self) -> bool {
        let in_vain = self.in_vain.get();
        in_vain < VAIN_MAX || in_vain.is_multiple_of(TRY_EACH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made").block_on(test);
    }

    /// A wait in which something comes at once: whether the worker was awake.
    async fn is_awake(busy_poll: &BusyPoll, notify: &Notify) -> bool {
        tokio::join!(busy_poll.wait(notify, true), async { notify.notify_one() });
        busy_poll.in_vain.get() == 0
    }

    /// A wait in which nothing comes before the worker sleeps.
    async fn wait_in_vain(busy_poll: &BusyPoll, notify: &Notify) {
        let in_vain = busy_poll.in_vain.get();
        let notify_a_sleeper = async {
            while busy_poll.in_vain.get() == in_vain {
                tokio::task::yield_now().await;
            }
            notify.notify_one();
        };
        tokio::join!(busy_poll.wait(notify, true), notify_a_sleeper);
    }

    #[test]
    fn who_waits_in_vain_tries_less_often_until_it_pays_again() {
        run(async {
            for waits in 0..3 * TRY_EACH {
                let (busy_poll, notify) = (BusyPoll::new(true), Notify::new());
                for _ in 0..waits {
                    wait_in_vain(&busy_poll, &notify).await;
                }
                let awake = waits < 4 || waits % 64 == 0;
                assert_eq!(is_awake(&busy_poll, &notify).await, awake, "after {waits} waits in vain");
                assert!(!awake || is_awake(&busy_poll, &notify).await, "after one that paid");
            }
        });
    }

    #[test]
    fn who_may_not_sleeps_at_once() {
        run(async {
            let notify = Notify::new();
            for (allowed, may_poll) in [(false, true), (true, false)] {
                let busy_poll = BusyPoll::new(allowed);
                busy_poll.in_vain.set(1);
                tokio::join!(busy_poll.wait(&notify, may_poll), async { notify.notify_one() });
                assert_eq!(busy_poll.in_vain.get(), 1);
            }
        });
    }
}
