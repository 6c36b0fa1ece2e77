//! One seed's run: the writer on a simulated disk, and beside it a plain model that says what has to be true.
//!
//! The model knows the one order of groups that were published. What a crash may leave is one of the states along that
//! order, from the *floor* on: after a killed process the newest, after a power cut the one that the last completed
//! sync covered; and behind the newest, the group whose outcome is unknown. Nothing else is ever right.

mod draw;
mod model;
mod restart;
mod tally;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kvred::db::state::{Keyspace, NewValue};
use kvred::db::writer::rewrite::{Pieces, Rewrite, RewriteError, Step};
use kvred::db::writer::{Clock, NotNow, WriteFailure, Writer};
use kvred::persistence::FsyncPolicy;
use kvred::persistence::batch::Flaw;
use parking_lot::Mutex;

use self::draw::{KEYS, all_policies, draw_faults, key_name, new_value, plain_log};
use self::model::{Call, Group, Model, State, Value};
pub use self::tally::Tally;
use crate::disk::{Crash, Op, SimDisk};
use crate::random::Random;

const LOG: &str = "kvred.aof";
const WORKERS: usize = 3;

#[derive(Default)]
struct SimClock(AtomicU64);

impl Clock for SimClock {
    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What runs: replaced as a whole by a crash.
struct Running {
    disk: SimDisk,
    writer: Arc<Writer>,
    rewrite: Mutex<Option<Rewrite>>,
}

impl Running {
    /// Whether an operation has failed since there were so many failures, or the machine has stopped.
    fn disk_failed_since(&self, faults: u64) -> bool {
        self.disk.faults_injected() > faults || self.disk.crashed()
    }
}

/// How things stood before a commit.
struct Before {
    /// How often each worker had been woken.
    woken: Vec<u64>,
    policy: FsyncPolicy,
    faults: u64,
}

pub struct World {
    model: Mutex<Model>,
    running: Mutex<Option<Arc<Running>>>,
    clock: Arc<SimClock>,
    wakes: Arc<[AtomicU64; WORKERS]>,
    salts: Arc<AtomicU64>,
    hash_seed: u64,
}

impl World {
    /// Runs one seed.
    pub fn run(seed: u64, traced: bool) -> Tally {
        let mut rng = Random::new(seed);
        let disk = SimDisk::new(rng.fork(), traced);
        let mut base = State::new();
        let mut next_value = 0;
        let mut plain_logs = 0;
        if rng.chance(250) {
            let log = plain_log(&mut rng, &mut base, &mut next_value);
            disk.install(Path::new(LOG), &log);
            plain_logs = 1;
        }
        let world = Arc::new(Self {
            hash_seed: rng.next(),
            model: Mutex::new(Model {
                tally: Tally { plain_logs, ..Tally::default() },
                view: base.clone(),
                order: vec![base],
                without_sync: vec![false],
                floor: 0,
                unknown: None,
                unknown_without_sync: false,
                sealed: None,
                open: Group::default(),
                poisoned: false,
                sync_failed: false,
                call: Call::None,
                next_value,
                left_from: 0,
                rng: rng.fork(),
            }),
            running: Mutex::new(None),
            clock: Arc::default(),
            wakes: Arc::default(),
            salts: Arc::new(AtomicU64::new(seed << 20)),
        });
        let first_disk = disk.clone();
        let world_in = Arc::clone(&world);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let policy = all_policies(&mut rng);
            world_in.start(disk, policy);
            let steps = 30 + rng.below(90);
            for _ in 0..steps {
                world_in.step(&mut rng);
                if !world_in.runs() {
                    return;
                }
            }
            let crash = world_in.draw_crash(&mut rng);
            world_in.crash(crash);
            if world_in.runs() {
                world_in.check_published();
            }
        }));
        if traced {
            for line in first_disk.take_trace() {
                println!("{line}");
            }
        }
        if let Some(running) = world.running.lock().take() {
            running.disk.set_hook(None);
        }
        match result {
            Ok(()) => world.model.lock().tally.clone(),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn runs(&self) -> bool {
        self.running.lock().is_some()
    }

    fn running(&self) -> Arc<Running> {
        Arc::clone(self.running.lock().as_ref().expect("it runs but during a recovery"))
    }

    fn note(&self, what: impl FnOnce() -> String) {
        self.running().disk.note(what);
    }

    // ---- what happens ----------------------------------------------------------------------------------------------

    fn step(self: &Arc<Self>, rng: &mut Random) {
        self.clock.0.fetch_add(rng.below(400) as u64, Ordering::Relaxed);
        let running = self.running();
        match rng.below(100) {
            0..38 => self.evaluate(),
            38..60 => self.commit(),
            60..64 => self.commit_from_worker(rng.below(WORKERS), rng.below(2) == 0),
            64..71 => self.sync(),
            71..73 => self.state_sync(),
            73..85 => self.rewrite(rng),
            85..87 => self.set_policy(rng),
            87..91 => running.disk.set_faults(draw_faults(rng)),
            91..93 => running.disk.crash_within(1 + rng.below(30) as u64),
            93..95 => {
                let crash = self.draw_crash(rng);
                self.crash(crash);
            }
            95 => {
                if rng.chance(500) {
                    self.stop_cleanly(rng);
                }
            }
            _ => self.check_published(),
        }
        if self.running.lock().as_ref().is_some_and(|running| running.disk.crashed()) {
            let crash = self.draw_crash(rng);
            self.crash(crash);
        }
    }

    fn draw_crash(&self, rng: &mut Random) -> Crash {
        let sync_failed = self.model.lock().sync_failed;
        match rng.below(10) {
            0..3 => Crash::Kill,
            3 if sync_failed => Crash::KillAndEvict,
            _ => Crash::PowerCut,
        }
    }

    /// In the middle of a disk operation: what other threads may do meanwhile.
    fn stalled(self: &Arc<Self>, op: Op) {
        let (mut rng, call) = {
            let mut model = self.model.lock();
            model.tally.stalls += 1;
            (model.rng.fork(), model.call)
        };
        self.note(|| format!("  stall in {op:?} of {call:?}"));
        self.check_published();
        // Before a sync itself, space that is reserved is given back.
        let meanwhile = if (call, op) == (Call::Sync, Op::SetLen) { Call::WithToken } else { call };
        for _ in 0..rng.below(4) {
            match (meanwhile, rng.below(6)) {
                (Call::Commit | Call::Sync | Call::WithToken | Call::RewriteStep, 0..3) => self.evaluate(),
                (Call::Sync, 3) if !self.running().writer.commits_may_sync() => self.commit(),
                (Call::Sync, 4) => self.rewrite(&mut rng),
                (Call::Sync, 5) => self.set_policy(&mut rng),
                _ => self.check_published(),
            }
        }
        self.model.lock().call = call;
    }

    fn set_policy(&self, rng: &mut Random) {
        let policy = all_policies(rng);
        self.note(|| format!("== policy {policy}"));
        self.running().writer.set_policy(policy);
    }

    /// One connection's batch of commands.
    fn evaluate(&self) {
        let running = self.running();
        let writer = &running.writer;
        let mut model = self.model.lock();
        let model = &mut *model;
        let worker = model.rng.below(WORKERS);
        let mut batch = match writer.begin(worker, 0) {
            Ok(batch) => batch,
            Err(NotNow::Failed(failure)) => {
                assert!(model.poisoned, "refused without a reason: {failure}");
                assert!(matches!(failure, WriteFailure::Refused(_)), "nothing of it was written: {failure:?}");
                return;
            }
            Err(NotNow::NoRoom) => panic!("the group is small"),
        };
        assert!(!model.poisoned, "after a failed sync no write is taken");
        let keyspace = writer.keyspace();
        let commands = 1 + model.rng.below(4);
        for _ in 0..commands {
            let key = model.rng.below(KEYS);
            let name = key_name(key);
            let hash = keyspace.hash(&name);
            match model.rng.below(100) {
                0..45 => {
                    let value = new_value(&mut model.rng, &mut model.next_value, &running.disk);
                    batch.set(hash, &name, NewValue::Copy(&value));
                    model.view.insert(key, value);
                    model.open.ops += 1;
                }
                45..60 => {
                    let exists = batch.exists(hash, &name);
                    assert_eq!(exists, model.view.contains_key(&key), "SET NX of {key}");
                    if !exists {
                        let value = new_value(&mut model.rng, &mut model.next_value, &running.disk);
                        batch.set(hash, &name, NewValue::Copy(&value));
                        model.view.insert(key, value);
                        model.open.ops += 1;
                    }
                }
                60..80 => {
                    let keys: Vec<usize> = (0..=model.rng.below(4)).map(|_| model.rng.below(KEYS)).collect();
                    let names: Vec<Vec<u8>> = keys.iter().map(|key| key_name(*key)).collect();
                    let deleted = batch.delete(names.iter().map(|name| (keyspace.hash(name), &name[..])));
                    let expected = keys.iter().filter(|key| model.view.remove(key).is_some()).count();
                    assert_eq!(deleted, expected, "DEL {keys:?}");
                    model.open.ops += usize::from(deleted > 0);
                }
                80..82 => {
                    batch.delete_all();
                    let published = model.order.last().expect("there is always one");
                    let something = model.open.ops > 0 || model.sealed.is_some() || !published.is_empty();
                    model.open.ops += usize::from(something);
                    model.view.clear();
                }
                82..92 => {
                    let value = batch.get(hash, &name, |value| value.as_slice().to_vec());
                    assert_eq!(value.as_deref(), model.view.get(&key).map(|v| &v[..]), "GET {key}");
                }
                _ => assert_eq!(batch.exists(hash, &name), model.view.contains_key(&key), "EXISTS {key}"),
            }
        }
        let ticket = batch.finish();
        let group = if model.open.ops > 0 { Some(&mut model.open) } else { model.sealed.as_mut() };
        assert_eq!(ticket.is_some(), group.is_some(), "a batch waits for the newest group that it could have seen");
        if let (Some(ticket), Some(group)) = (ticket, group) {
            assert!(ticket.outcome().is_none(), "it is not decided yet");
            group.tickets.push((worker, ticket));
        }
    }

    /// The open group goes its way.
    fn seal(&self, call: Call) -> Before {
        let running = self.running();
        let mut model = self.model.lock();
        model.call = call;
        if model.open.ops > 0 {
            assert!(model.sealed.is_none(), "one group is under way at a time");
            let after = model.view.clone();
            model.sealed = Some(Group { after, ..std::mem::take(&mut model.open) });
        }
        let woken = self.wakes.iter().map(|wakes| wakes.load(Ordering::SeqCst)).collect();
        Before { woken, policy: running.writer.policy(), faults: running.disk.faults_injected() }
    }

    fn commit(&self) {
        let before = self.seal(Call::Commit);
        self.note(|| format!("== commit under {}", before.policy));
        self.running().writer.commit_next();
        self.settle(&before, None);
    }

    fn commit_from_worker(&self, worker: usize, may_sync: bool) {
        let before = self.seal(Call::Commit);
        self.note(|| format!("== commit from worker {worker} under {}, which may sync: {may_sync}", before.policy));
        self.running().writer.commit_from_worker(worker, may_sync);
        let left_to_the_log_thread = {
            let mut model = self.model.lock();
            let left = model.sealed.as_ref().is_some_and(|group| group.tickets[0].1.outcome().is_none());
            if left {
                model.open = model.sealed.take().expect("as was just seen");
                model.call = Call::None;
            }
            left
        };
        if !left_to_the_log_thread {
            self.settle(&before, Some(worker));
        }
    }

    /// Takes the outcome of the sealed group over into the model.
    fn settle(&self, before: &Before, by: Option<usize>) {
        let running = self.running();
        let policy = before.policy;
        let poisoned = running.writer.poisoned().is_some();
        let mut model = self.model.lock();
        let model = &mut *model;
        model.call = Call::None;
        let Some(sealed) = model.sealed.take() else {
            assert_eq!(poisoned, model.poisoned, "nothing was committed");
            return;
        };
        let outcome = sealed.tickets[0].1.outcome().expect("the group was committed").clone();
        let told =
            |worker: usize| self.wakes[worker].load(Ordering::SeqCst) > before.woken[worker] || by == Some(worker);
        for (worker, ticket) in &sealed.tickets {
            assert_eq!(ticket.outcome(), Some(&outcome), "a group stands or falls as one");
            assert!(told(*worker), "worker {worker} waits and was not woken");
        }
        match &outcome {
            Ok(()) => {
                assert!(!model.poisoned && !poisoned, "acknowledged after a failed sync");
                for (_, ticket) in &model.open.tickets {
                    assert!(ticket.outcome().is_none(), "a later group is not decided yet");
                }
                model.order.push(sealed.after);
                model.without_sync.push(policy == FsyncPolicy::None);
                model.tally.groups += 1;
                let newest = model.order.len() - 1;
                match policy {
                    FsyncPolicy::Always => model.floor = newest,
                    // The first one of a stretch without syncs, or behind it, syncs all before itself.
                    FsyncPolicy::Everysec | FsyncPolicy::None => {
                        if model.without_sync[newest] != model.without_sync[newest - 1] {
                            model.floor = model.floor.max(newest - 1);
                        }
                    }
                }
            }
            Err(failure) => {
                let certain = matches!(failure, WriteFailure::Refused(_));
                assert!(running.disk_failed_since(before.faults), "refused without a fault: {failure}");
                assert!(certain || poisoned, "what is unknown has to be healed");
                for (worker, ticket) in &model.open.tickets {
                    assert!(
                        matches!(ticket.outcome(), Some(Err(WriteFailure::Refused(_)))),
                        "what was evaluated on top of a failed group fails: {:?}",
                        ticket.outcome()
                    );
                    assert!(told(*worker), "worker {worker} waits and was not woken");
                    model.tally.failed_on_top += 1;
                }
                model.poisoned = poisoned;
                model.sync_failed |= poisoned;
                if certain {
                    model.tally.refused += 1;
                } else {
                    model.tally.unknown += 1;
                    model.unknown = Some(sealed.after);
                    model.unknown_without_sync = policy == FsyncPolicy::None;
                }
                model.open = Group::default();
                model.view = model.published().clone();
            }
        }
    }

    fn sync(&self) {
        self.note(|| "== sync".to_owned());
        let running = self.running();
        let (covered, poisoned_before) = {
            let mut model = self.model.lock();
            model.call = if running.writer.commits_may_sync() { Call::WithToken } else { Call::Sync };
            (model.order.len() - 1, model.poisoned)
        };
        let faults = running.disk.faults_injected();
        let result = running.writer.sync_now();
        let poisoned = running.writer.poisoned().is_some();
        let mut model = self.model.lock();
        let model = &mut *model;
        model.call = Call::None;
        if poisoned {
            assert!(result.is_err(), "a sync that succeeds after a failed one proves nothing");
            if !model.poisoned {
                assert!(running.disk_failed_since(faults), "{result:?}");
                model.poisoned = true;
                model.sync_failed = true;
                model.refuse_open_group();
            }
        } else {
            assert!(!model.poisoned && !poisoned_before, "a sync heals nothing");
            assert_eq!(result, Ok(()));
            model.floor = model.floor.max(covered);
        }
    }

    fn state_sync(&self) {
        self.note(|| "== state the sync".to_owned());
        self.model.lock().call = Call::WithToken;
        let running = self.running();
        let faults = running.disk.faults_injected();
        running.writer.state_sync();
        let poisoned = running.writer.poisoned().is_some();
        let mut model = self.model.lock();
        model.call = Call::None;
        if poisoned && !model.poisoned {
            assert!(running.disk_failed_since(faults), "poisoned without a fault");
            model.poisoned = true;
            model.sync_failed = true;
            model.refuse_open_group();
        }
    }

    /// Some steps of a rewrite, or its beginning, or its end before its time.
    fn rewrite(&self, rng: &mut Random) {
        let running = self.running();
        let mut rewrite = running.rewrite.lock();
        let faults = running.disk.faults_injected();
        let outcome = match rewrite.as_mut() {
            None => {
                self.note(|| "== begin a rewrite".to_owned());
                self.model.lock().call = Call::RewriteStep;
                let small = Pieces {
                    batch_bytes: 1 + rng.below(400),
                    sync_every_bytes: 1 + rng.below(4000) as u64,
                    last_piece_bytes: rng.below(200) as u64,
                    held_bytes: 1 + rng.below(300) as u64,
                };
                let pieces = if rng.chance(600) { small } else { Pieces::default() };
                running.writer.begin_rewrite_in(pieces).map(|begun| {
                    *rewrite = Some(begun);
                    false
                })
            }
            Some(_) if rng.chance(30) => {
                self.note(|| "== drop the rewrite".to_owned());
                *rewrite = None;
                self.model.lock().call = Call::RewriteStep;
                running.writer.drop_rewrite();
                Ok(false)
            }
            Some(under_way) => {
                self.note(|| "== step the rewrite".to_owned());
                self.model.lock().call = Call::RewriteStep;
                let mut steps = 1 + rng.below(12);
                loop {
                    match running.writer.step_rewrite(under_way) {
                        Ok(Step::Done) => break Ok(true),
                        Ok(Step::More { .. }) if steps == 0 => break Ok(false),
                        Ok(Step::More { .. }) => steps -= 1,
                        Err(e) => break Err(e),
                    }
                }
            }
        };
        if outcome.is_err() && rewrite.is_some() {
            running.writer.drop_rewrite();
        }
        if !matches!(outcome, Ok(false)) {
            *rewrite = None;
        }
        let poisoned = running.writer.poisoned().is_some();
        let disk_failed = running.disk_failed_since(faults);
        let mut model = self.model.lock();
        let model = &mut *model;
        model.call = Call::None;
        match outcome {
            Ok(false) => assert_eq!(poisoned, model.poisoned),
            Ok(true) if poisoned => {
                // The directory's sync failed behind the rename: either file may be found, and both are sound.
                assert!(disk_failed);
                if !model.poisoned {
                    if !running.disk.crashed() && running.disk.faults_injected() == faults + 1 {
                        // Nothing but that failed: all that was answered is durable in both.
                        model.floor = model.order.len() - 1;
                    }
                    model.poisoned = true;
                    model.refuse_open_group();
                }
            }
            Ok(true) => {
                model.tally.rewrites += 1;
                model.tally.healed += u64::from(model.poisoned);
                model.poisoned = false;
                model.sync_failed = false;
                model.unknown = None;
                model.floor = model.order.len() - 1;
                for (_, ticket) in &model.open.tickets {
                    assert!(ticket.outcome().is_none(), "the rewrite decides nothing");
                }
            }
            Err(e) => {
                assert_eq!(poisoned, model.poisoned, "until the rename the old log is the log");
                let unreadable = Flaw::Unreadable.to_string();
                assert!(!matches!(&e, RewriteError::LiveLog { reason, .. } if *reason != unreadable), "{e}");
                assert!(disk_failed || model.poisoned, "{e}");
                model.tally.failed_rewrites += 1;
            }
        }
    }

    /// What readers see is the published state, whatever goes on.
    fn check_published(&self) {
        let running = self.running();
        let model = self.model.lock();
        if let Some(sealed) = &model.sealed {
            for (_, ticket) in &sealed.tickets {
                assert!(ticket.outcome().is_none(), "decided before the disk was done");
            }
        }
        assert_eq!(&collect(running.writer.keyspace()), model.published(), "the published state");
    }

    fn stop_cleanly(self: &Arc<Self>, rng: &mut Random) {
        let running = self.running();
        // A stall lets another batch in.
        while self.model.lock().open.ops > 0 {
            self.commit();
        }
        if running.rewrite.lock().take().is_some() {
            running.writer.drop_rewrite();
        }
        self.note(|| "== stop".to_owned());
        self.model.lock().call = Call::Close;
        let faults = running.disk.faults_injected();
        let result = running.writer.close();
        {
            let mut model = self.model.lock();
            let model = &mut *model;
            model.call = Call::None;
            match result {
                Ok(()) => {
                    assert!(running.writer.poisoned().is_none(), "a failed sync is never forgotten");
                    model.tally.healed += u64::from(model.poisoned);
                    model.poisoned = false;
                    model.floor = model.order.len() - 1;
                    model.unknown = None;
                    model.sync_failed = false;
                    model.tally.clean_stops += 1;
                    let contents = running.disk.contents(Path::new(LOG)).expect("the log");
                    assert!(contents.ends_with(b"\r\n"), "no reserved space is left behind");
                }
                Err(e) => {
                    assert!(running.disk_failed_since(faults) || model.poisoned, "{e}");
                    model.sync_failed = true;
                }
            }
        }
        let crash = self.draw_crash(rng);
        self.crash(crash);
    }
}

fn collect(keyspace: &Keyspace) -> State {
    let mut state = State::new();
    for key in 0..KEYS {
        let name = key_name(key);
        if let Some(value) = keyspace.get(keyspace.hash(&name), &name, |value| Value::from(value.as_slice())) {
            state.insert(key, value);
        }
    }
    assert_eq!(keyspace.len(), state.len(), "no key that was never written");
    state
}
