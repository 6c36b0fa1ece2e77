//! What the machine has, what of it the process may use, and what it has used: `/proc`, clocks, limits, randomness.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::param::page_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::sched_getaffinity;
use rustix::time::{ClockId, clock_gettime};

/// Cores that the process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the processor is called, where the system tells.
pub(crate) fn cpu_model() -> Option<String> {
    field("/proc/cpuinfo", "model name")
}

/// How much memory the machine has; 0 where the system does not tell.
pub(crate) fn total_memory_bytes() -> u64 {
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The value of the first line of this name, in a file of names and values.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Whether whoever started the process has it ignore a signal, by its number.
pub(crate) fn ignores_signal(number: i32) -> bool {
    let ignored = field("/proc/self/status", "SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    ignored.is_some_and(|mask| (mask >> (number - 1)) & 1 == 1)
}

/// Whether a unix socket can have this path, in words where its length forbids it.
pub(crate) fn check_socket_path(path: &Path) -> io::Result<()> {
    // `sun_path` of unix(7), less the zero that ends it.
    const MOST_BYTES: usize = 107;
    let bytes = path.as_os_str().len();
    if bytes > MOST_BYTES {
        let told = format!("the path of a unix socket has at most {MOST_BYTES} bytes, this one has {bytes}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
    }
    Ok(())
}

/// How much memory the process has, all included.
pub(crate) fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|s| s.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()));
    pages.unwrap_or(0) * page_size()
}

/// CPU time of the calling thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// User and system time of the process.
pub(crate) fn cpu_seconds() -> (f64, f64) {
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_SELF).map_or((0.0, 0.0), |used| (seconds(used.user_time()), seconds(used.system_time())))
}

/// For how long the cores that the process may use have been idle, all together; `None` where the system does not tell.
pub(crate) fn idle_time() -> Option<Duration> {
    let usable = sched_getaffinity(None).ok()?;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    idle_time_in(&stat, |core| usable.is_set(core))
}

/// [`idle_time`], from the text of `/proc/stat`. Its unit is 10 ms on all of Linux's common machines.
fn idle_time_in(stat: &str, is_usable: impl Fn(usize) -> bool) -> Option<Duration> {
    const TICK_MS: u64 = 10;
    let mut total = None;
    for line in stat.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(core) = fields.next().and_then(|name| name.strip_prefix("cpu")?.parse().ok()) else { continue };
        if is_usable(core) {
            // user nice system idle iowait: a core whose threads wait for a disk is free, too.
            let ticks: u64 = fields.skip(3).take(2).map_while(|field| field.parse::<u64>().ok()).sum();
            *total.get_or_insert(Duration::ZERO) += Duration::from_millis(TICK_MS * ticks);
        }
    }
    total
}

/// Ticks of all cores of the machine, whoever may use them: those in which they did something, those in which they were
/// idle, and of the former those that a hypervisor took away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    cores: usize,
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl Ticks {
    /// Since the machine's start.
    pub(crate) fn now() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// From the text of `/proc/stat`.
    fn of(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; what follows is counted in these already.
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let cores = text.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
        Some(Self { cores, busy: ticks.iter().sum::<u64>() - idle, idle, stolen: *ticks.get(7)? })
    }

    /// Those that have come since `then`. The system's count of idle ones may go back: proc(5).
    pub(crate) fn since(self, then: Self) -> Self {
        Self {
            cores: self.cores,
            busy: self.busy.saturating_sub(then.busy),
            idle: self.idle.saturating_sub(then.idle),
            stolen: self.stolen.saturating_sub(then.stolen),
        }
    }

    /// How many cores did something, on average.
    pub(crate) fn busy_cores(self) -> f64 {
        self.share(self.busy) * self.cores as f64
    }

    /// The share of time that a hypervisor took away.
    pub(crate) fn stolen_share(self) -> f64 {
        self.share(self.stolen)
    }

    fn share(self, ticks: u64) -> f64 {
        ticks as f64 / (self.busy + self.idle).max(1) as f64
    }
}

/// Has the system let the process have so many files open, or as many as it does: how many it may have then.
pub(crate) fn allow_open_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Without a number, there is no limit.
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    if raised.is_ok() { possible } else { current }
}

/// What cannot be started, and where threads are limited.
pub(crate) fn no_thread(what: &str) -> String {
    format!("cannot start {what} (limits are ulimit -u, TasksMax= of a systemd unit, and pids.max of a container)")
}

/// [`no_thread`], as an error that has its cause with it.
pub(crate) fn thread_error(what: &str, cause: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {cause}", no_thread(what)))
}

/// A random number from the system.
pub(crate) fn random_u64() -> u64 {
    getrandom::u64().expect("the system has a source of randomness")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_that_of_the_usable_cores() {
        let stat = "cpu  10 20 30 444 55 0 0 0 0 0\ncpu0 5 10 15 200 50 0 0 0 0 0\ncpu1 5 10 15 244 5 0 0 0 0 0\n\
                    cpu12 1 1 1 7 1 9 9 9 0 0\nintr 1 2 3\nctxt 99\n";
        let ms = Duration::from_millis;
        assert_eq!(idle_time_in(stat, |_| true), Some(ms(2500 + 2490 + 80)));
        assert_eq!(idle_time_in(stat, |core| core == 12), Some(ms(80)));
        assert_eq!(idle_time_in(stat, |_| false), None);
        assert_eq!(idle_time_in("", |_| true), None);
        // The fields are 64 bits wide: this core has been idle for 497 days.
        let ticks = 1 << 32;
        assert_eq!(idle_time_in(&format!("cpu0 1 1 1 {ticks} 5 0"), |_| true), Some(ms(10 * (ticks + 5))));
        assert!(idle_time().is_some(), "this machine tells");
    }

    #[test]
    fn shares_of_time_are_told_where_a_count_goes_back_too() {
        // More cores than the tests may use.
        let cores = "cpu7 1 1 1 1 1 1 1 1 0 0\n".repeat(64);
        let at = |idle: u64, iowait: u64, steal: u64| {
            Ticks::of(&format!("cpu  5 0 5 {idle} {iowait} 0 0 {steal} 0 0\n{cores}intr 1 2 3\n"))
        };
        let told = |then: Option<Ticks>, now: Option<Ticks>| {
            let passed = now.unwrap().since(then.unwrap());
            (passed.busy_cores(), passed.stolen_share())
        };
        assert_eq!(told(at(100, 50, 0), at(104, 52, 2)), (16.0, 0.25));
        assert_eq!(told(at(100, 50, 0), at(100, 50, 0)), (0.0, 0.0));
        assert_eq!(told(at(100, 50, 0), at(100, 20, 2)), (64.0, 1.0));
        assert!(Ticks::now().is_some(), "this machine tells");
    }
}
