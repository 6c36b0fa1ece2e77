//! Busy polling: a worker with nothing to do stays awake for a moment, if that has paid lately.
//!
//! One that sleeps has to be woken for the next request, and its client for the reply before; where cores are virtual,
//! that takes longer than all the rest of a request (measured: one connection has 2.5 times the rate, and costs no more
//! CPU for a GET). One that many wait with for a commit with a sync stays awake for a second reason: as long as it is
//! on its core, the scheduler has the clients and the log thread run beside it, not behind it. Beside a commit without
//! a sync that gains nothing and costs CPU (SET of 16 KiB, `everysec`: an eighth to a fifth).
//!
//! While there is more to do than a worker can, it never gets here.

use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// After so many times in vain in a row a worker goes to sleep at once...
const VAIN_MAX: u32 = 4;

/// ...but for each time of so many, to see whether it would pay again.
const TRY_EACH: u32 = 64;

/// Whether it pays; one for each worker and each kind of thing that it waits for.
#[derive(Debug)]
pub struct BusyPoll {
    /// How long the worker stays awake at most, if it may at all.
    longest: Option<Duration>,
    /// How many waits in a row the worker has slept in, polling before or not.
    in_vain: Cell<u32>,
}

impl BusyPoll {
    /// `longest`: how long the worker stays awake at most; `None`: it never does.
    pub fn new(longest: Option<Duration>) -> Self {
        Self { longest, in_vain: Cell::new(0) }
    }

    /// Waits until `notify` tells that there is something to do, awake at first if that pays.
    pub async fn wait(&self, notify: &Notify) {
        let mut notified = pin!(notify.notified());
        if let Some(longest) = self.longest.filter(|_| self.pays()) {
            let began = Instant::now();
            loop {
                tokio::select! {
                    biased;
                    () = notified.as_mut() => return self.in_vain.set(0),
                    () = tokio::task::yield_now() => {}
                }
                if began.elapsed() >= longest {
                    break;
                }
                // Whoever else wants the core comes first.
                std::thread::yield_now();
            }
        }
        self.in_vain.set(self.in_vain.get().wrapping_add(1));
        notified.await;
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
        tokio::join!(busy_poll.wait(notify), async { notify.notify_one() });
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
        tokio::join!(busy_poll.wait(notify), notify_a_sleeper);
    }

    #[test]
    fn who_waits_in_vain_tries_less_often_until_it_pays_again() {
        run(async {
            for waits in 0..3 * TRY_EACH {
                let (busy_poll, notify) = (BusyPoll::new(Some(Duration::from_micros(50))), Notify::new());
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
            let (busy_poll, notify) = (BusyPoll::new(None), Notify::new());
            assert!(!is_awake(&busy_poll, &notify).await);
        });
    }
}
