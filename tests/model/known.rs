//! What the model test has found, each told in as few steps as it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use kvred::command::loader::Loader;
use kvred::db::state::{Keyspace, NewValue, ValueRef};
use kvred::db::writer::rewrite::{Pieces, RewriteError, Step};
use kvred::db::writer::{LogPlace, SystemClock, Ticket, Wake, WriteFailure, Writer};
use kvred::persistence::aof::Aof;
use kvred::persistence::disk::{Disk, write_all_at};
use kvred::persistence::format::{Annotation, Salt};
use kvred::persistence::recover::{RecoverError, Recovered, recover};
use kvred::persistence::replay::replay;
use kvred::persistence::{FsyncPolicy, LogOffset};

use crate::disk::{Crash, Faults, Op, PAGE_BYTES, SimDisk};
use crate::random::Random;

const LOG: &str = "kvred.aof";

/// A server without its sockets.
struct Server {
    disk: SimDisk,
    writer: Writer,
}

fn try_start(disk: &SimDisk, policy: FsyncPolicy) -> Result<Server, RecoverError> {
    try_start_waking(disk, policy, Box::new(|| ()))
}

/// With what wakes its one worker.
fn try_start_waking(disk: &SimDisk, policy: FsyncPolicy, wake: Wake) -> Result<Server, RecoverError> {
    let keyspace = Keyspace::new([1; 4]);
    let Recovered { aof, .. } = recover(
        disk,
        Path::new(LOG),
        || Salt(7),
        |file, make_durable| {
            Loader::run(&keyspace, file.len().unwrap_or(0), |loader| {
                replay(file, |_| {}, |batch| loader.take(batch).inspect(|()| make_durable.passed(batch)))
            })
        },
    )?;
    let place = LogPlace { disk: Arc::new(disk.clone()), name: LOG.into(), salt: Box::new(|| Salt(8)) };
    let clock = Arc::new(SystemClock::default());
    let writer = Writer::new(Arc::new(keyspace), Some((aof, place)), policy, clock, vec![wake]);
    Ok(Server { disk: disk.clone(), writer })
}

fn start(disk: &SimDisk, policy: FsyncPolicy) -> Server {
    try_start(disk, policy).unwrap_or_else(|e| panic!("it starts: {e}"))
}

impl Server {
    fn set(&self, key: &str, value: &[u8]) -> Ticket {
        let mut batch = self.writer.begin(0, 0).expect("writes are taken");
        batch.set(self.writer.keyspace().hash(key.as_bytes()), key.as_bytes(), NewValue::Copy(value));
        batch.finish().expect("there is something to wait for")
    }

    fn set_and_commit(&self, key: &str, value: &[u8]) -> Result<(), WriteFailure> {
        let ticket = self.set(key, value);
        self.writer.commit_next();
        ticket.outcome().expect("committed").clone()
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let keyspace = self.writer.keyspace();
        keyspace.get(keyspace.hash(key.as_bytes()), key.as_bytes(), |value: ValueRef<'_>| value.as_slice().to_vec())
    }

    fn rewrite(&self) {
        let mut rewrite = self.writer.begin_rewrite().expect("it begins");
        while self.writer.step_rewrite(&mut rewrite).expect("it goes on") != Step::Done {}
    }
}

fn new_disk(seed: u64) -> SimDisk {
    SimDisk::new(Random::new(seed), false)
}

#[test]
fn a_log_that_was_renamed_before_a_kill_keeps_its_name_after_a_power_cut() {
    for (operation, seed) in (1..9).flat_map(|operation| (0..20).map(move |seed| (operation, seed))) {
        let disk = new_disk(seed);
        disk.crash_in(Some(operation));
        assert!(try_start(&disk, FsyncPolicy::Always).is_err(), "killed within operation {operation}");
        let server = start(&disk.reboot(Crash::Kill), FsyncPolicy::Always);
        assert_eq!(server.set_and_commit("k", b"v"), Ok(()));
        let server = start(&server.disk.reboot(Crash::PowerCut), FsyncPolicy::Always);
        assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]), "operation {operation}, disk {seed}");
    }
}

#[test]
fn what_was_open_when_the_directory_could_not_be_synced_is_refused() {
    let server = start(&new_disk(1), FsyncPolicy::Always);
    server.set_and_commit("k", b"v").expect("a sound disk");
    server.disk.set_faults(Faults { sync_dir: 1000, ..Faults::default() });
    let open = server.set("k", b"w");
    server.rewrite();
    server.writer.commit_next();
    assert!(matches!(open.outcome(), Some(Err(WriteFailure::Refused(_)))), "{open:?}");
    assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]));
}

/// The name may be the old file's again after a power cut, and what of that was not on the disk when it was closed is
/// lost.
#[test]
fn what_was_answered_is_in_the_old_log_too_when_the_directory_could_not_be_synced() {
    for seed in 0..20 {
        let server = start(&new_disk(seed), FsyncPolicy::Everysec);
        server.set_and_commit("k", b"v").expect("a sound disk");
        server.disk.set_faults(Faults { sync_dir: 1000, ..Faults::default() });
        server.rewrite();
        server.disk.set_faults(Faults::default());
        let server = start(&server.disk.reboot(Crash::PowerCut), FsyncPolicy::Everysec);
        assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]), "disk {seed}");
    }
}

#[test]
fn a_sync_after_a_failed_one_says_so() {
    let server = start(&new_disk(1), FsyncPolicy::Everysec);
    server.set_and_commit("k", b"v").expect("a sound disk");
    server.disk.set_faults(Faults { sync: 1000, ..Faults::default() });
    assert!(server.writer.sync_now().is_err());
    server.disk.set_faults(Faults::default());
    assert!(server.writer.sync_now().is_err(), "it proves nothing");
    server.rewrite();
    assert_eq!(server.writer.sync_now(), Ok(()), "healed");
}

#[test]
fn a_stop_before_a_failed_sync_is_healed_leaves_everything_in_the_log() {
    for seed in 0..20 {
        let server = start(&new_disk(seed), FsyncPolicy::Everysec);
        server.set_and_commit("k", b"v").expect("a sound disk");
        server.disk.set_faults(Faults { sync: 1000, ..Faults::default() });
        assert!(server.writer.sync_now().is_err());
        server.disk.set_faults(Faults::default());
        server.writer.close().expect("what is in memory is written to a new file");
        let server = start(&server.disk.reboot(Crash::PowerCut), FsyncPolicy::Everysec);
        assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]), "disk {seed}");
    }
}

#[test]
fn a_stop_whose_last_sync_fails_leaves_everything_in_the_log_too() {
    for (seed, policy) in (0..20).flat_map(|seed| [FsyncPolicy::Everysec, FsyncPolicy::None].map(|p| (seed, p))) {
        let server = start(&new_disk(seed), policy);
        server.set_and_commit("k", b"v").expect("a sound disk");
        let (disk, is_first) = (server.disk.clone(), AtomicBool::new(true));
        server.disk.set_hook(Some(Arc::new(move |op| {
            if op == Op::Sync {
                let sync = if is_first.swap(false, Ordering::SeqCst) { 1000 } else { 0 };
                disk.set_faults(Faults { sync, stall: 1000, ..Faults::default() });
            }
        })));
        server.disk.set_faults(Faults { stall: 1000, ..Faults::default() });
        server.writer.close().expect("what is in memory is written to a new file");
        server.disk.set_hook(None);
        let server = start(&server.disk.reboot(Crash::PowerCut), policy);
        assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]), "disk {seed}, {policy}");
    }
}

#[test]
fn the_first_batches_after_a_stretch_without_syncs_may_be_torn() {
    for seed in 0..200 {
        for restarted in [false, true] {
            let mut server = start(&new_disk(seed), FsyncPolicy::None);
            server.set_and_commit("k", b"v").expect("a sound disk");
            if restarted {
                server = start(&server.disk.reboot(Crash::Kill), FsyncPolicy::Everysec);
            } else {
                server.writer.sync_now().expect("a sound disk");
                server.writer.set_policy(FsyncPolicy::Everysec);
            }
            for value in 0..4u8 {
                server.set_and_commit("large", &[value; PAGE_BYTES]).expect("a sound disk");
            }
            let server = start(&server.disk.reboot(Crash::PowerCut), FsyncPolicy::Everysec);
            assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]), "disk {seed}");
        }
    }
}

#[test]
fn the_last_batches_before_a_stretch_without_syncs_are_durable() {
    for (seed, stated) in (0..200).flat_map(|seed| [(seed, false), (seed, true)]) {
        let server = start(&new_disk(seed), FsyncPolicy::Everysec);
        // Of each length the empty batch, which states a sync and waits for none, lies elsewhere: also over a page's
        // border.
        server.set_and_commit("k", &vec![b'v'; PAGE_BYTES - 250 + seed as usize]).expect("a sound disk");
        server.writer.sync_now().expect("a sound disk");
        if stated {
            server.writer.state_sync();
        } else {
            (0..4).for_each(|n| server.set_and_commit("large", &[n; PAGE_BYTES]).expect("a sound disk"));
        }
        server.writer.set_policy(FsyncPolicy::None);
        server.set_and_commit("last", b"v").expect("a sound disk");
        let server = start(&server.disk.reboot(Crash::PowerCut), FsyncPolicy::Everysec);
        assert!(server.get("k").is_some(), "disk {seed}");
    }
}

/// What says so begins a stretch without syncs, and a hole before a batch of that counts as damage.
#[test]
fn a_sync_is_stated_under_none_where_all_that_was_written_is_durable() {
    for seed in 0..100 {
        let server = Arc::new(start(&new_disk(seed), FsyncPolicy::Everysec));
        server.set_and_commit("k", b"v").expect("a sound disk");
        let beside = Arc::clone(&server);
        server.disk.set_hook(Some(Arc::new(move |op| {
            if op == Op::Sync {
                beside.set_and_commit("large", &[b'x'; PAGE_BYTES]).expect("a sound disk");
            }
        })));
        server.disk.set_faults(Faults { stall: 1000, ..Faults::default() });
        server.writer.sync_now().expect("a sound disk");
        server.disk.set_faults(Faults::default());
        server.disk.set_hook(None);
        server.writer.set_policy(FsyncPolicy::None);
        server.writer.state_sync();
        let server = start(&server.disk.reboot(Crash::PowerCut), FsyncPolicy::Everysec);
        assert_eq!(server.get("k").as_deref(), Some(&b"v"[..]), "disk {seed}");
    }
}

#[test]
fn behind_a_rewrite_no_write_waits_for_a_sync_of_the_old_file() {
    for (before, after) in [(FsyncPolicy::None, FsyncPolicy::None), (FsyncPolicy::Everysec, FsyncPolicy::Always)] {
        let server = Arc::new(start(&new_disk(1), before));
        server.set_and_commit("k", b"v").expect("a sound disk");
        let (beside, is_first) = (Arc::clone(&server), AtomicBool::new(true));
        let (answered, answer) = channel();
        server.disk.set_hook(Some(Arc::new(move |op| {
            if op == Op::Sync && is_first.swap(false, Ordering::SeqCst) {
                beside.rewrite();
                beside.writer.set_policy(after);
                let (beside, answered) = (Arc::clone(&beside), answered.clone());
                let writes = std::thread::spawn(move || answered.send(beside.set_and_commit("k", b"w")));
                let until = Instant::now() + Duration::from_mins(1);
                while !writes.is_finished() && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert!(writes.is_finished(), "under {after} it waits for the sync");
            }
        })));
        server.disk.set_faults(Faults { stall: 1000, ..Faults::default() });
        server.writer.sync_now().expect("a sound disk");
        assert_eq!(answer.recv(), Ok(Ok(())));
    }
}

#[test]
fn behind_a_rewrite_the_end_of_a_sync_of_the_old_file_calls_nothing_synced() {
    let server = Arc::new(start(&new_disk(1), FsyncPolicy::Everysec));
    server.set_and_commit("k", b"v").expect("a sound disk");
    let (beside, is_first) = (Arc::clone(&server), AtomicBool::new(true));
    server.disk.set_hook(Some(Arc::new(move |op| {
        if op == Op::Sync && is_first.swap(false, Ordering::SeqCst) {
            beside.rewrite();
            assert_eq!(beside.writer.unsynced_since(), None, "the new file is synced");
            beside.set_and_commit("k", b"w").expect("a sound disk");
            assert!(beside.writer.unsynced_since().is_some(), "the sync that is running is not one of it");
        }
    })));
    server.disk.set_faults(Faults { stall: 1000, ..Faults::default() });
    server.writer.sync_now().expect("a sound disk");
    assert!(server.writer.unsynced_since().is_some());
    assert_eq!(server.writer.synced_group().ok(), Some(server.writer.written_group() - 1));
}

#[test]
fn a_sync_of_the_old_file_that_fails_behind_a_rewrite_is_nobody_s_loss() {
    let server = Arc::new(start(&new_disk(1), FsyncPolicy::Everysec));
    server.set_and_commit("k", b"v").expect("a sound disk");
    let (beside, is_first) = (Arc::clone(&server), AtomicBool::new(true));
    server.disk.set_hook(Some(Arc::new(move |op| {
        if op == Op::Sync && is_first.swap(false, Ordering::SeqCst) {
            beside.disk.set_faults(Faults::default());
            beside.rewrite();
            beside.disk.set_faults(Faults { sync: 1000, ..Faults::default() });
        }
    })));
    server.disk.set_faults(Faults { stall: 1000, ..Faults::default() });
    assert_eq!(server.writer.sync_now(), Ok(()));
    server.disk.set_faults(Faults::default());
    assert_eq!(server.set_and_commit("k", b"w"), Ok(()));
}

#[test]
fn a_copied_batch_says_when_it_was_written_and_nothing_of_syncs() {
    let server = start(&new_disk(1), FsyncPolicy::None);
    let mut rewrite = server.writer.begin_rewrite().expect("it begins");
    server.writer.step_rewrite(&mut rewrite).expect("the walk");
    server.set_and_commit("k", b"v").expect("a sound disk");
    while server.writer.step_rewrite(&mut rewrite).expect("it goes on") != Step::Done {}
    let log = server.disk.contents(Path::new(LOG)).expect("the log");
    let log = String::from_utf8(log).expect("nothing else was written");
    let lines: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix('#')?.split(':').next()).collect();
    assert_eq!(lines, ["KVRED", "TS", "C", "SYNCED", "TS", "REWRITTEN", "C"], "{log}");
}

#[test]
fn who_waits_for_a_sync_is_woken_by_a_rewrite() {
    let woken = Arc::new(AtomicBool::new(false));
    let wake = Arc::clone(&woken);
    let wake = Box::new(move || wake.store(true, Ordering::SeqCst));
    let server = try_start_waking(&new_disk(1), FsyncPolicy::Everysec, wake).unwrap_or_else(|e| panic!("{e}"));
    server.set_and_commit("k", b"v").expect("a sound disk");
    server.writer.sync_waiter_joined();
    woken.store(false, Ordering::SeqCst);
    server.rewrite();
    assert!(woken.load(Ordering::SeqCst), "all that was written is durable");
}

#[test]
fn a_closed_log_has_no_zeros_behind_it_though_a_reservation_failed() {
    for seed in 0..20 {
        let server = start(&new_disk(seed), FsyncPolicy::Always);
        server.disk.set_faults(Faults { reserve: 1000, set_len: 1000, ..Faults::default() });
        server.set_and_commit("k", b"v").expect("nothing depends on the reservation");
        server.disk.set_faults(Faults::default());
        server.writer.close().expect("a sound disk");
        assert!(server.disk.contents(Path::new(LOG)).expect("the log").ends_with(b"\r\n"), "disk {seed}");
    }
}

#[test]
fn a_plain_log_is_taken_though_the_power_failed_while_its_chain_began() {
    let command = |len: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\n{}\r\n", "v".repeat(len));
    for before_border in 1..36 {
        let shorter = command(1000).len() - 1000;
        let log = command(PAGE_BYTES - before_border - shorter);
        assert_eq!(log.len(), PAGE_BYTES - before_border);
        for seed in 0..12 {
            let disk = new_disk(seed);
            disk.install(Path::new(LOG), log.as_bytes());
            // The header that begins the chain is written over the page's border, and not synced.
            let file = disk.open(Path::new(LOG), true).expect("installed");
            let mut header = Vec::new();
            Annotation::Header(Salt(0x0123_4567_89ab_cdef)).write(&mut header);
            write_all_at(&*file, &header, log.len() as u64).expect("a sound disk");
            let server = start(&disk.reboot(Crash::PowerCut), FsyncPolicy::Always);
            assert_eq!(server.get("k").map(|v| v.len()), Some(PAGE_BYTES - before_border - shorter));
        }
    }
}

#[test]
fn what_is_copied_while_the_writers_wait_is_synced_once() {
    let disk = SimDisk::new(Random::new(1), true);
    let server = start(&disk, FsyncPolicy::Everysec);
    server.set_and_commit("k", b"v").expect("a sound disk");
    let pieces = Pieces {
        batch_bytes: PAGE_BYTES,
        sync_every_bytes: PAGE_BYTES as u64,
        last_piece_bytes: 0,
        held_bytes: 1 << 20,
    };
    let mut rewrite = server.writer.begin_rewrite_in(pieces).expect("it begins");
    server.writer.step_rewrite(&mut rewrite).expect("the walk");
    // Much beside what was walked: the writers are as fast as the copy.
    for value in 0..16u8 {
        server.set_and_commit("large", &[value; PAGE_BYTES]).expect("a sound disk");
    }
    disk.take_trace();
    assert_eq!(server.writer.step_rewrite(&mut rewrite).expect("the rest"), Step::Done);
    let trace = disk.take_trace();
    let syncs = trace.iter().filter(|line| line.starts_with("Sync #")).count();
    assert_eq!(syncs, 2, "of the copy, and of the line that says so: {trace:#?}");
}

#[test]
fn a_log_that_somebody_has_cut_where_a_batch_ends_is_not_replaced() {
    let server = start(&new_disk(1), FsyncPolicy::Everysec);
    let end = || server.writer.stats().log_bytes;
    server.set_and_commit("k", b"v").expect("a sound disk");
    let mut rewrite = server.writer.begin_rewrite().expect("it begins");
    server.set_and_commit("l", b"v").expect("a sound disk");
    let cut = end();
    server.set_and_commit("m", b"v").expect("a sound disk");
    server.disk.open(Path::new(LOG), true).and_then(|log| log.set_len(cut)).expect("a sound disk");
    let result = loop {
        match server.writer.step_rewrite(&mut rewrite) {
            Ok(Step::More { .. }) => {}
            result => break result,
        }
    };
    let Err(RewriteError::LiveLog { at, reason }) = result else { panic!("{result:?}") };
    assert_eq!(at, LogOffset(cut));
    assert!(reason.contains(&end().to_string()), "{reason}");
}

#[test]
fn a_file_that_takes_the_name_of_the_log_while_it_is_rewritten_is_not_replaced() {
    let server = start(&new_disk(1), FsyncPolicy::Everysec);
    server.set_and_commit("k", b"v").expect("a sound disk");
    let mut rewrite = server.writer.begin_rewrite().expect("it begins");
    server.writer.step_rewrite(&mut rewrite).expect("the walk");
    server.disk.install(Path::new(LOG), b"not to be touched");
    let result = loop {
        match server.writer.step_rewrite(&mut rewrite) {
            Ok(Step::More { .. }) => {}
            result => break result,
        }
    };
    assert!(matches!(&result, Err(RewriteError::NameTaken(name)) if name == Path::new(LOG)), "{result:?}");
    assert_eq!(server.disk.contents(Path::new(LOG)).as_deref(), Some(&b"not to be touched"[..]));
}

#[test]
fn a_torn_tail_is_in_the_log_or_in_its_copy_whenever_the_power_fails_while_it_is_cut() {
    let closed = start(&new_disk(1), FsyncPolicy::Always);
    closed.set_and_commit("k", b"v").expect("a sound disk");
    closed.writer.close().expect("a sound disk");
    let sound = closed.disk.contents(Path::new(LOG)).expect("the log");
    let tail = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nlost in a crash";
    let torn = [&sound[..], tail].concat();
    let copy = PathBuf::from(format!("{LOG}.cut-{}", sound.len()));
    for seed in 0..100 {
        for operation in 1.. {
            let disk = new_disk(seed);
            disk.install(Path::new(LOG), &torn);
            disk.crash_in(Some(operation));
            let started = try_start(&disk, FsyncPolicy::Always);
            let found = disk.reboot(Crash::PowerCut);
            let log = found.contents(Path::new(LOG)).expect("the log");
            let kept = found.contents(&copy);
            let what = format!("disk {seed}, operation {operation}");
            assert!(log.starts_with(&sound), "{what}");
            assert!(log[sound.len()..] == *tail || kept.as_deref() == Some(&tail[..]), "{what}: {kept:?}");
            if started.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_log_is_there_after_a_power_cut_as_soon_as_it_was_made() {
    for seed in 0..20 {
        let disk = new_disk(seed);
        drop(Aof::create(&disk, Path::new(LOG), None, Salt(1)).expect("a sound disk"));
        assert!(disk.reboot(Crash::PowerCut).contents(Path::new(LOG)).is_some());
    }
}
