//! Threads whose work can wait.
#![allow(unsafe_code, reason = "no safe wrapper has the system call that asks for a slice")]

use std::io;
use std::thread::JoinHandle;

use parking_lot::Mutex;

/// The nice value of the thread that frees.
const FREEING_NICE: u8 = 10;

/// Frees what takes long, on a thread of its own.
#[derive(Default)]
pub(super) struct Freeing(Mutex<Option<JoinHandle<()>>>);

impl Freeing {
    /// Drops it there. Here, if something else is still being freed, so that no more than that ever waits; or if the
    /// system gives no thread.
    pub(super) fn free(&self, garbage: impl Send + 'static) {
        let mut thread = self.0.lock();
        if thread.as_ref().is_none_or(JoinHandle::is_finished) {
            *thread = std::thread::Builder::new()
                .name("kvred-free".to_owned())
                .spawn(move || {
                    // Refused, it is in the way a little.
                    let _refused = step_back(FREEING_NICE);
                    drop(garbage);
                })
                .ok();
        } else {
            drop(thread);
            drop(garbage);
        }
    }
}

/// Has the scheduler put the calling thread behind the others: by its nice value, unless that is higher already, and by
/// a long slice, which tells it that whoever wakes up on the same core may run at once.
///
/// If this thread's slice were no longer than theirs, a thread that wakes on its core would wait for the slice to end,
/// or for the next clock tick: with Linux 6.18, some milliseconds (SET of 3 million fresh keys: p99.99 2.2 ms, and 1.3
/// ms with the long slice). Before Linux 6.12 all slices are alike.
///
/// # Errors
/// The process may not, or the system has no such call.
#[cfg(not(miri))]
pub(super) fn step_back(nice: u8) -> io::Result<()> {
    /// The longest that Linux gives.
    const SLICE_NANOSECONDS: u64 = 100_000_000;
    const CALLING_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    let thread = Some(rustix::thread::gettid());
    let nice = i32::from(nice).max(rustix::process::getpriority_process(thread)?);
    // By itself, since systemd's RestrictRealtime refuses the call below, whatever it asks for.
    rustix::process::setpriority_process(thread, nice)?;
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE_NANOSECONDS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the call reads `size` bytes from `attributes`, which lives until it returns. It writes only if `size` is
    // one that the system does not know, and this is the first that there was.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, CALLING_THREAD, &raw const attributes, NO_FLAGS) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Miri has no scheduler to ask.
#[cfg(miri)]
pub(super) fn step_back(_nice: u8) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the system")]
    fn the_calling_thread_alone_steps_back() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).expect("it runs");
        let before = nice();
        let thread = std::thread::spawn(move || {
            [13, 5].map(|own| {
                step_back(own).expect("less is always allowed");
                nice()
            })
        });
        assert_eq!(thread.join().expect("it ends"), [before.max(13); 2], "never nearer to the front");
        assert_eq!(nice(), before);
    }
}
