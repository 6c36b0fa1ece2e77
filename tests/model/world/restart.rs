//! Crash and recovery: the machine stops, what it left is recovered and compared with what the model allows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvred::command::loader::Loader;
use kvred::db::state::Keyspace;
use kvred::db::writer::{Clock, LogPlace, Wake, Writer};
use kvred::persistence::FsyncPolicy;
use kvred::persistence::aof::temporary_name;
use kvred::persistence::disk::{Disk, DiskRead};
use kvred::persistence::format::{Annotation, COMMIT_LINE_BYTES, Salt};
use kvred::persistence::recover::{RecoverError, Recovered, recover};
use kvred::persistence::replay::{Because, Recovery, Verdict, replay};
use parking_lot::Mutex;

use super::draw::{all_policies, draw_faults};
use super::model::{Group, State};
use super::{LOG, Running, WORKERS, World, collect};
use crate::disk::{Crash, Faults, SimDisk};

impl World {
    /// Stops the machine and starts again.
    pub(super) fn crash(self: &Arc<Self>, crash: Crash) {
        let (policy, before) = {
            let running = self.running.lock().take().expect("it runs");
            running.disk.set_hook(None);
            (running.writer.policy(), running.disk.clone())
        };
        let policy = {
            let mut model = self.model.lock();
            model.left_from = model.order.len() - 1;
            // Who was not answered will never be.
            model.open = Group::default();
            assert!(model.sealed.is_none());
            if model.rng.chance(300) { all_policies(&mut model.rng) } else { policy }
        };
        let disk = self.stop_machine(&before, crash);
        if crash == Crash::Kill {
            check_tail_of_killed(&disk);
        }
        self.start_after(Some(before), disk, policy);
    }

    /// The machine stops: from here on less may be left.
    fn stop_machine(&self, before: &SimDisk, crash: Crash) -> SimDisk {
        let mut model = self.model.lock();
        let newest = model.order.len() - 1;
        match crash {
            Crash::Kill => {
                model.tally.kills += 1;
                model.left_from = model.left_from.min(newest);
            }
            Crash::KillAndEvict => {
                model.tally.evictions += 1;
                model.left_from = model.left_from.min(model.floor);
            }
            Crash::PowerCut | Crash::PowerCutInOrder => {
                model.tally.power_cuts += 1;
                model.left_from = model.left_from.min(model.floor);
            }
        }
        before.reboot(crash)
    }

    pub(super) fn start(self: &Arc<Self>, disk: SimDisk, policy: FsyncPolicy) {
        self.model.lock().left_from = 0;
        self.start_after(None, disk, policy);
    }

    /// Recovers, as often as it takes, and goes on with what is left.
    fn start_after(self: &Arc<Self>, before: Option<SimDisk>, disk: SimDisk, policy: FsyncPolicy) {
        let (mut before, mut disk) = (before, disk);
        let mut attempts = 0;
        let mut damaged = false;
        let (recovered, keyspace) = loop {
            attempts += 1;
            assert!(attempts < 50, "it never starts");
            let mut rng = self.model.lock().rng.fork();
            if rng.chance(250) {
                disk.crash_within(1 + rng.below(30) as u64);
            } else if rng.chance(150) {
                disk.set_faults(Faults { stall: 0, ..draw_faults(&mut rng) });
            }
            let keyspace = Keyspace::new([self.hash_seed; 4]);
            let faults_before = disk.faults_injected();
            disk.note(|| "== recover".to_owned());
            let names_before = disk.names();
            let result = recover(
                &disk,
                Path::new(LOG),
                || Salt(self.salts.fetch_add(1, Ordering::Relaxed)),
                |file, make_durable| {
                    Loader::run(&keyspace, file.len().unwrap_or(0), |loader| {
                        replay(file, |_| {}, |batch| loader.take(batch).inspect(|()| make_durable.passed(batch)))
                    })
                },
            );
            let failed = disk.faults_injected() > faults_before;
            disk.set_faults(Faults::default());
            disk.crash_in(None);
            match result {
                Ok(recovered) => {
                    assert!(!disk.crashed(), "nothing is served by a machine that has stopped");
                    break (recovered, keyspace);
                }
                Err(RecoverError::Damaged(found)) if !(failed && could_not_be_read(&found)) => {
                    let mut model = self.model.lock();
                    assert!(model.damage_may_show(), "a crash is taken for damage: {found:?}");
                    let without_leftover = |names: Vec<PathBuf>| -> Vec<PathBuf> {
                        names.into_iter().filter(|n| *n != temporary_name(Path::new(LOG))).collect()
                    };
                    assert_eq!(without_leftover(disk.names()), without_leftover(names_before), "nothing is touched");
                    model.tally.damaged_without_syncs += 1;
                    // Under `none` a hole in what the kernel wrote cannot be told from damage: this seed goes on as if
                    // the pages had been written in their order.
                    drop(model);
                    if damaged {
                        // Pages that a failed sync has lost leave a hole in any order; an operator has to decide.
                        return;
                    }
                    damaged = true;
                    let again = before.as_ref().expect("a log that was only installed is sound");
                    disk = self.stop_machine(again, Crash::PowerCutInOrder);
                }
                Err(e) => {
                    let crashed = disk.crashed();
                    assert!(crashed || failed, "{e}");
                    let crash = {
                        let mut model = self.model.lock();
                        model.tally.crashed_recoveries += u64::from(crashed);
                        model.tally.failed_recoveries += u64::from(!crashed);
                        if rng.chance(if crashed { 700 } else { 300 }) { Crash::PowerCut } else { Crash::Kill }
                    };
                    let next = self.stop_machine(&disk, crash);
                    before = Some(disk);
                    disk = next;
                }
            }
        };
        self.check_recovered(&recovered, &keyspace);
        self.go_on(disk, recovered, keyspace, policy);
    }

    /// What was recovered is one of the states that could be.
    fn check_recovered(&self, recovered: &Recovered, keyspace: &Keyspace) {
        let state = collect(keyspace);
        let mut model = self.model.lock();
        let model = &mut *model;
        let newest = model.order.len() - 1;
        let kept = (model.left_from..=newest).rev().find(|&i| model.order[i] == state);
        if let Some(kept) = kept {
            model.tally.groups_lost += (newest - kept) as u64;
        } else if model.unknown.as_ref() == Some(&state) {
            model.tally.unknown_kept += 1;
        } else {
            let earlier = model.order.iter().position(|s| *s == state);
            let describe = |s: &State| {
                s.iter()
                    .map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(&v[..v.len().min(8)])))
                    .collect::<Vec<_>>()
            };
            panic!(
                "recovered none of the states {}..={newest} (unknown: {}), but {}: {:?}; the newest is {:?}",
                model.left_from,
                model.unknown.is_some(),
                earlier.map_or("one that never was".to_owned(), |i| format!("state {i}")),
                describe(&state),
                describe(&model.order[newest]),
            );
        }
        if let Some(found) = &recovered.found {
            model.tally.torn += u64::from(matches!(found.verdict, Verdict::Torn(_)));
        }
        // All of it is durable from here on.
        model.order = vec![state.clone()];
        model.without_sync = vec![false];
        model.view = state;
        model.floor = 0;
        model.left_from = 0;
        model.unknown = None;
        model.poisoned = false;
        model.sync_failed = false;
    }

    fn go_on(self: &Arc<Self>, disk: SimDisk, recovered: Recovered, keyspace: Keyspace, policy: FsyncPolicy) {
        let salts = Arc::clone(&self.salts);
        let place = LogPlace {
            disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
            name: PathBuf::from(LOG),
            salt: Box::new(move || Salt(salts.fetch_add(1, Ordering::Relaxed))),
        };
        let wakes = (0..WORKERS)
            .map(|worker| {
                let wakes = Arc::clone(&self.wakes);
                Box::new(move || {
                    wakes[worker].fetch_add(1, Ordering::SeqCst);
                }) as Wake
            })
            .collect();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let writer = Writer::new(Arc::new(keyspace), Some((recovered.aof, place)), policy, clock, wakes);
        let world = Arc::downgrade(self);
        disk.set_hook(Some(Arc::new(move |op| {
            if let Some(world) = world.upgrade() {
                world.stalled(op);
            }
        })));
        disk.note(|| format!("== go on under {policy}"));
        let faults = draw_faults(&mut self.model.lock().rng);
        disk.set_faults(faults);
        *self.running.lock() = Some(Arc::new(Running { disk, writer: Arc::new(writer), rewrite: Mutex::new(None) }));
    }
}

/// A killed process leaves a beginning of what it wrote: where a commit line stands, its batch stands before it.
///
/// The checksums make up for it if that were not so, and nothing would be lost; but what is written last should not be
/// left to them.
fn check_tail_of_killed(disk: &SimDisk) {
    let (Some(log), Ok(file)) = (disk.contents(Path::new(LOG)), disk.open(Path::new(LOG), false)) else { return };
    let Ok(found) = replay(&(file as Arc<dyn DiskRead>), |_| {}, |_| Ok(())) else { return };
    let tail = &log[found.end.0 as usize..];
    let line_starts =
        (0..tail.len().saturating_sub(COMMIT_LINE_BYTES - 1)).filter(|&at| tail[at..].starts_with(b"#C:"));
    for at in line_starts {
        let Some(line) = tail[at..at + COMMIT_LINE_BYTES].strip_suffix(b"\r\n") else { continue };
        if let Annotation::Commit { len, .. } = Annotation::parse(line) {
            // A value that imitates such a line has something before it.
            let behind_a_hole = at > 0 && tail[at - 1] == 0 && len as usize == at;
            assert!(!behind_a_hole, "a commit line stands behind a batch that is not whole: {found:?}");
        }
    }
}

/// Whether a read failed: that is told as damage.
fn could_not_be_read(found: &Recovery) -> bool {
    matches!(found.verdict, Verdict::Damaged { because: Because::Unreadable, .. })
}
