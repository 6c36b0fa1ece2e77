//! Where a measurement was made: the machine, the server, and what about them makes figures doubtful.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::results::Host;
use crate::client::{ClientError, SetupError, Target};
use crate::machine;
use crate::protocol::frame::Frame;

/// How long the machine is watched before a run, to see whether others use it.
const WATCHED: Duration = Duration::from_millis(100);

/// This machine.
pub(super) fn host() -> Host {
    let system = rustix::system::uname();
    let word = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory_kb = word("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    Host {
        cpu: word("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        cores: machine::cores(),
        memory_bytes: memory_kb.unwrap_or(0) * 1024,
        kernel: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        arch: system.machine().to_string_lossy().into_owned(),
    }
}

/// The server's address and what its `INFO server` says; only the address where it refuses that.
///
/// # Errors
/// It cannot be reached, refuses the login, or wants one.
pub(super) async fn server(target: &Target, limit: Duration) -> Result<BTreeMap<String, String>, SetupError> {
    let mut connection = target.connect(limit).await?;
    let reply = timeout(limit, connection.request(&["INFO", "server"])).await;
    let reply = reply.map_err(|_| ClientError::TimedOut { address: target.address.clone(), limit })??;
    let text = match reply {
        Frame::Bulk(text) | Frame::Verbatim(_, text) => String::from_utf8_lossy(&text).into_owned(),
        // So would every request be.
        Frame::Error(text) if text.starts_with(b"NOAUTH") => {
            let reply = String::from_utf8_lossy(&text).into_owned();
            return Err(SetupError::Refused { address: target.address.clone(), step: "INFO", reply });
        }
        _ => String::new(),
    };
    let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    let mut info: BTreeMap<_, _> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    info.insert("address".to_owned(), target.address.to_string());
    Ok(info)
}

/// What the server calls itself.
pub(super) fn name(info: &BTreeMap<String, String>) -> String {
    let known = [("kvred", "kvred_version"), ("Valkey", "valkey_version"), ("Redis", "redis_version")];
    known
        .iter()
        .find_map(|(name, field)| Some(format!("{name} {}", info.get(*field)?)))
        .unwrap_or_else(|| "a server".to_owned())
}

/// What is wrong with the clock, if something is.
pub(super) fn clock_warning() -> Option<String> {
    let mut finest = Duration::MAX;
    for _ in 0..100 {
        let first = Instant::now();
        let mut next = Instant::now();
        while next == first {
            next = Instant::now();
        }
        finest = finest.min(next - first);
    }
    (finest > Duration::from_micros(1)).then(|| {
        format!("the clock is coarse: its steps are {} ns, so short latencies are not to be trusted", finest.as_nanos())
    })
}

/// Ticks of all cores since the start: all, those that did something, and those that a hypervisor took away.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; what follows is counted in these already.
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let all = ticks.iter().sum::<u64>();
        Some(Self { all, busy: all - idle, stolen: *ticks.get(7)? })
    }
}

/// Watches what others do on the machine: before a run, and what a hypervisor takes away during it.
#[derive(Debug)]
pub(super) struct Watch {
    before: Option<Ticks>,
    busy: Option<String>,
}

impl Watch {
    /// Waits a moment, in which nothing of ours runs.
    pub(super) fn start() -> Self {
        let first = Ticks::now();
        std::thread::sleep(WATCHED);
        let before = Ticks::now();
        let busy = first.zip(before).and_then(|(first, now)| {
            let share = (now.busy - first.busy) as f64 / (now.all - first.all).max(1) as f64;
            let cores = share * machine::cores() as f64;
            (cores > 0.3)
                .then(|| format!("the machine was busy before the run ({cores:.1} cores in use): expect noise"))
        });
        Self { before, busy }
    }

    /// What there is to say at the end.
    pub(super) fn warnings(&self) -> Vec<String> {
        let stolen = self.before.zip(Ticks::now()).and_then(|(before, now)| {
            let share = (now.stolen - before.stolen) as f64 / (now.all - before.all).max(1) as f64;
            (share > 0.03)
                .then(|| format!("the hypervisor took {:.0} % of the machine's time away: expect noise", share * 100.0))
        });
        self.busy.clone().into_iter().chain(stolen).collect()
    }
}
