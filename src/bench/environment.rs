//! Where a measurement was made: the machine, the server, and what about them makes figures doubtful.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::results::Host;
use crate::client::replies::info_fields;
use crate::client::{ClientError, Connection, SetupError, Target};
use crate::machine::{self, Ticks};
use crate::protocol::frame::Frame;
use crate::terminal::shown;

/// How long the machine is watched before a run, to see whether others use it.
const WATCHED: Duration = Duration::from_millis(100);

/// This machine.
pub(super) fn host() -> Host {
    let system = rustix::system::uname();
    Host {
        cpu: machine::cpu_model().unwrap_or_else(|| "unknown".to_owned()),
        cores: machine::cores(),
        memory_bytes: machine::total_memory_bytes(),
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
    let late = |_| ClientError::TimedOut { address: target.address.clone(), tried: String::new(), limit };
    let reply = reply.map_err(late)??;
    let text = match reply {
        Frame::Bulk(text) | Frame::Verbatim(_, text) => String::from_utf8_lossy(&text).into_owned(),
        // So would every request be.
        Frame::Error(text) if text.starts_with(b"NOAUTH") => {
            let reply = String::from_utf8_lossy(&text).into_owned();
            return Err(SetupError::Refused { address: target.address.clone(), step: "INFO", reply });
        }
        _ => String::new(),
    };
    let mut info: BTreeMap<_, _> =
        info_fields(&text).map(|(name, value)| (name.to_owned(), shown(value.as_bytes()))).collect();
    info.insert("address".to_owned(), target.address.to_string());
    Ok(info)
}

/// How much of the CPU a server uses, from a moment on.
pub(super) struct ServerCpu {
    /// Kept, so that no other one has to be made, which takes CPU itself.
    connection: Connection,
    limit: Duration,
    /// Seconds until that moment.
    before: f64,
}

impl ServerCpu {
    /// From now on; `None` where the server does not tell.
    pub(super) async fn start(target: &Target, limit: Duration) -> Option<Self> {
        let mut connection = target.connect(limit).await.ok()?;
        let before = cpu_seconds(&mut connection, limit).await?;
        Some(Self { connection, limit, before })
    }

    /// The seconds of it until now; `None` where it does not tell any more, or counts anew.
    pub(super) async fn seconds(mut self) -> Option<f64> {
        let now = cpu_seconds(&mut self.connection, self.limit).await?;
        Some(now - self.before).filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
    }
}

async fn cpu_seconds(connection: &mut Connection, limit: Duration) -> Option<f64> {
    let reply = timeout(limit, connection.request(&["INFO", "cpu"])).await.ok()?.ok()?;
    let (Frame::Bulk(text) | Frame::Verbatim(_, text)) = reply else { return None };
    let text = String::from_utf8_lossy(&text);
    let seconds = |field| info_fields(&text).find(|(name, _)| *name == field)?.1.parse::<f64>().ok();
    // What Redis and Valkey fork for a rewrite of their log works for the requests, too; it counts once it has ended.
    let children = ["used_cpu_sys_children", "used_cpu_user_children"].into_iter().filter_map(seconds);
    Some(seconds("used_cpu_sys")? + seconds("used_cpu_user")? + children.sum::<f64>())
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
            let cores = now.since(first).busy_cores();
            (cores > 0.3)
                .then(|| format!("the machine was busy before the run ({cores:.1} cores in use): expect noise"))
        });
        Self { before, busy }
    }

    /// What there is to say at the end.
    pub(super) fn warnings(&self) -> Vec<String> {
        let stolen = self.before.zip(Ticks::now()).and_then(|(before, now)| {
            let share = now.since(before).stolen_share();
            (share > 0.03)
                .then(|| format!("the hypervisor took {:.0} % of the machine's time away: expect noise", share * 100.0))
        });
        self.busy.clone().into_iter().chain(stolen).collect()
    }
}
