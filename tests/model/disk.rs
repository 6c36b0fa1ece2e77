//! A simulated disk: what is written and what is durable are kept apart, for file contents (by page) and for names.
//!
//! - A write goes to the *live* contents. A page becomes durable when its file is synced, or at any moment by itself.
//! - A sync may fail. As on Linux its pages are then clean all the same: some have reached the disk and some never
//!   will, however often a later sync succeeds, unless they are written again.
//! - Of a file that has no name and is open nowhere no page becomes durable any more.
//! - Names become durable with the directory's sync. A power cut keeps a beginning of what was not synced, or any
//!   subset of it.
//! - At a power cut each unsynced page is as it was or as it is, or torn: one up to some byte, the other behind it. The
//!   file's length is any that it had since the last sync.
//! - Any operation can fail, write less than asked for, or *stall*: the hook is called in the middle of it, and may do
//!   anything, also with this disk.
//! - At a chosen operation the machine stops; that operation may have been done in part, and all later ones fail.
//!
//! Everything follows from the seed.

mod file;
mod inode;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvred::persistence::disk::{Disk, DiskFile, FileId};
use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use self::file::SimFile;
use self::inode::Inode;
use crate::random::Random;

pub const PAGE_BYTES: usize = 4096;

/// Reserving extends a file by so much at most. More would only make each recovery read more zeros.
const RESERVED_BYTES_MAX: u64 = 20 << 10;

/// What can be done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Open,
    Create,
    Rename,
    Remove,
    SyncDir,
    Read,
    Write,
    SetLen,
    Sync,
    Reserve,
}

/// How often operations go wrong, in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub write: usize,
    /// `ENOSPC` instead of `EIO`.
    pub full: bool,
    pub short_write: usize,
    pub set_len: usize,
    pub sync: usize,
    pub sync_dir: usize,
    /// Create, rename, remove.
    pub names: usize,
    pub read: usize,
    pub reserve: usize,
    pub stall: usize,
}

/// How the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: the kernel keeps all that was written.
    Kill,
    /// The process is killed, and what a failed sync has marked clean may be dropped from the kernel's memory.
    KillAndEvict,
    /// The power fails.
    PowerCut,
    /// The power fails on a disk that writes pages in the order in which they lie in the file.
    PowerCutInOrder,
}

type NameChange = Vec<(PathBuf, Option<u64>)>;

#[derive(Clone)]
struct State {
    rng: Random,
    faults: Faults,
    crash_in: Option<u64>,
    /// It rather stops where a name changes.
    eager: bool,
    crashed: bool,
    /// Counts operations, and with them changes.
    now: u64,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    next_inode: u64,
    /// One for all runs of a seed.
    trace: Option<Arc<Mutex<Vec<String>>>>,
    faults_injected: u64,
}

/// Called in the middle of an operation.
pub type Hook = Arc<dyn Fn(Op) + Send + Sync>;

/// The disk of one run; the next run's is made from it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    hook: Arc<Mutex<Option<Hook>>>,
}

/// What is to become of an operation.
enum Fate {
    Done,
    Fails(io::Error),
    /// The machine stops in the middle of it.
    Stops,
}

impl SimDisk {
    pub fn new(rng: Random, traced: bool) -> Self {
        Self::with(State {
            rng,
            faults: Faults::default(),
            crash_in: None,
            eager: false,
            crashed: false,
            now: 0,
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            next_inode: 0,
            trace: traced.then(Arc::default),
            faults_injected: 0,
        })
    }

    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), hook: Arc::default() }
    }

    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.hook.lock() = hook;
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Stops the machine within the n-th operation from now.
    pub fn crash_in(&self, operations: Option<u64>) {
        let mut state = self.state.lock();
        (state.crash_in, state.eager) = (operations, false);
    }

    /// The same, or earlier, where a name changes.
    pub fn crash_within(&self, operations: u64) {
        let mut state = self.state.lock();
        (state.crash_in, state.eager) = (Some(operations), true);
    }

    pub fn crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// How many operations have failed so far, of themselves; but for reservations, on which nothing depends.
    pub fn faults_injected(&self) -> u64 {
        self.state.lock().faults_injected
    }

    /// What the next run finds. This disk does nothing any more.
    pub fn reboot(&self, crash: Crash) -> Self {
        let mut before = self.state.lock();
        before.crashed = true;
        let mut rng = before.rng.fork();
        let mut state = before.clone();
        drop(before);
        state.note(|| format!("---- {crash:?}"));
        let power_cut = matches!(crash, Crash::PowerCut | Crash::PowerCutInOrder);
        if power_cut {
            let in_order = crash == Crash::PowerCutInOrder || rng.chance(200);
            let any_subset = !in_order && rng.chance(300);
            let unsynced = std::mem::take(&mut state.unsynced_names);
            let kept = rng.below(unsynced.len() + 1);
            for (i, change) in unsynced.into_iter().enumerate() {
                if if any_subset { rng.chance(500) } else { i < kept } {
                    apply_names(&mut state.durable_names, change);
                }
            }
            state.names = state.durable_names.clone();
            state.inodes = state.inodes.iter().map(|(n, i)| (*n, i.after_power_cut(in_order, &mut rng))).collect();
        } else {
            state.inodes.values_mut().for_each(|inode| inode.open = 0);
            state.drop_unreachable();
            if crash == Crash::KillAndEvict {
                state.inodes = state.inodes.into_iter().map(|(n, i)| (n, i.evicted(&mut rng))).collect();
            }
        }
        state.inodes.retain(|n, _| {
            state.names.values().any(|v| v == n)
                || state.durable_names.values().any(|v| v == n)
                || state.unsynced_names.iter().flatten().any(|(_, v)| *v == Some(*n))
        });
        state.crashed = false;
        state.crash_in = None;
        state.faults = Faults::default();
        Self::with(state)
    }

    /// A file's live contents.
    pub fn contents(&self, name: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).map(|inode| state.inodes[inode].live.clone())
    }

    pub fn names(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Puts a durable file there.
    pub fn install(&self, name: &Path, contents: &[u8]) {
        let mut state = self.state.lock();
        let inode = state.add_inode();
        let disk_len = contents.len() as u64;
        state
            .inodes
            .insert(inode, Inode { live: contents.to_vec(), disk: contents.to_vec(), disk_len, ..Inode::default() });
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// What was done, if it is traced.
    pub fn take_trace(&self) -> Vec<String> {
        self.state.lock().trace.as_ref().map(|trace| std::mem::take(&mut *trace.lock())).unwrap_or_default()
    }

    pub fn note(&self, what: impl FnOnce() -> String) {
        self.state.lock().note(what);
    }

    /// Begins an operation: it may stall, and it is decided what becomes of it.
    fn begin(&self, op: Op, detail: impl FnOnce() -> String) -> io::Result<(MutexGuard<'_, State>, Fate)> {
        let mut state = self.state.lock();
        if state.crashed {
            return Err(stopped());
        }
        let stall = state.faults.stall;
        if op != Op::Sync && state.rng.chance(stall) {
            drop(state);
            self.stall(op);
            state = self.state.lock();
            if state.crashed {
                return Err(stopped());
            }
        }
        let fate = state.fate(op);
        state.note(|| {
            let outcome = match &fate {
                Fate::Done => String::new(),
                Fate::Fails(e) => format!(" FAILS {e}"),
                Fate::Stops => " STOPS".to_owned(),
            };
            format!("{op:?} {}{outcome}", detail())
        });
        if matches!(fate, Fate::Fails(_)) && op != Op::Reserve {
            state.faults_injected += 1;
        }
        if state.rng.chance(100) {
            state.write_something_back();
        }
        Ok((state, fate))
    }

    fn stall(&self, op: Op) {
        let hook = self.hook.lock().clone();
        if let Some(hook) = hook {
            hook(op);
        }
    }

    fn names_op(
        &self,
        op: Op,
        detail: impl FnOnce() -> String,
        change: impl FnOnce(&State) -> io::Result<NameChange>,
    ) -> io::Result<()> {
        let (mut state, fate) = self.begin(op, detail)?;
        let change = change(&state)?;
        match fate {
            Fate::Fails(e) => Err(e),
            Fate::Done => {
                state.change_names(change);
                Ok(())
            }
            Fate::Stops => {
                if state.rng.chance(500) {
                    state.change_names(change);
                }
                Err(stopped())
            }
        }
    }

    fn file(&self, inode: u64) -> Arc<dyn DiskFile> {
        self.state.lock().inode(inode).open += 1;
        Arc::new(SimFile { disk: self.clone(), inode })
    }
}

impl State {
    fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.lock().push(what());
        }
    }

    fn add_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.next_inode
    }

    fn change_names(&mut self, change: NameChange) {
        apply_names(&mut self.names, change.clone());
        self.unsynced_names.push(change);
        self.drop_unreachable();
    }

    /// What nobody can reach any more the kernel does not write.
    fn drop_unreachable(&mut self) {
        for (n, inode) in &mut self.inodes {
            if inode.open == 0 && !self.names.values().any(|named| named == n) {
                inode.dirty.clear();
                inode.lengths.clear();
            }
        }
    }

    fn fate(&mut self, op: Op) -> Fate {
        self.now += 1;
        if let Some(left) = &mut self.crash_in {
            *left = left.saturating_sub(1);
            // Names change rarely, and much hangs on them.
            if *left == 0 || matches!(op, Op::Rename | Op::SyncDir) && self.eager && self.rng.chance(300) {
                self.crashed = true;
                return Fate::Stops;
            }
        }
        let faults = self.faults;
        let (chance, full) = match op {
            Op::Write => (faults.write, faults.full),
            Op::Reserve => (faults.reserve, faults.full),
            Op::Create => (faults.names, faults.full),
            Op::SetLen => (faults.set_len, false),
            Op::Sync => (faults.sync, false),
            Op::SyncDir => (faults.sync_dir, false),
            Op::Rename | Op::Remove => (faults.names, false),
            Op::Read => (faults.read, false),
            Op::Open => (0, false),
        };
        if self.rng.chance(chance) {
            return Fate::Fails(if full { Errno::NOSPC.into() } else { Errno::IO.into() });
        }
        Fate::Done
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("a file that is open is there")
    }

    /// The kernel writes a page when it likes to.
    fn write_something_back(&mut self) {
        let dirty: Vec<(u64, usize)> =
            self.inodes.iter().flat_map(|(n, i)| i.dirty.keys().map(move |page| (*n, *page))).collect();
        if dirty.is_empty() {
            return;
        }
        let (inode, page) = dirty[self.rng.below(dirty.len())];
        let inode = self.inode(inode);
        let content = inode.live_page(page).to_vec();
        inode.write_back(page, &content);
        inode.dirty.remove(&page);
    }
}

fn apply_names(names: &mut BTreeMap<PathBuf, u64>, change: NameChange) {
    for (name, inode) in change {
        match inode {
            Some(inode) => names.insert(name, inode),
            None => names.remove(&name),
        };
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

impl Disk for SimDisk {
    fn open(&self, name: &Path, _writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let (state, fate) = self.begin(Op::Open, || name.display().to_string())?;
        match fate {
            Fate::Done => {
                let inode = *state.names.get(name).ok_or(Errno::NOENT)?;
                drop(state);
                Ok(self.file(inode))
            }
            Fate::Fails(e) => Err(e),
            Fate::Stops => Err(stopped()),
        }
    }

    fn create(&self, name: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let (mut state, fate) = self.begin(Op::Create, || name.display().to_string())?;
        if state.names.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        if let Fate::Fails(e) = fate {
            return Err(e);
        }
        let stops = matches!(fate, Fate::Stops);
        let inode = state.add_inode();
        if !stops || state.rng.chance(500) {
            state.change_names(vec![(name.to_owned(), Some(inode))]);
        }
        drop(state);
        if stops { Err(stopped()) } else { Ok(self.file(inode)) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names_op(
            Op::Rename,
            || format!("{} -> {}", from.display(), to.display()),
            |state| {
                let inode = *state.names.get(from).ok_or(Errno::NOENT)?;
                Ok(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))])
            },
        )
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        self.names_op(
            Op::Remove,
            || name.display().to_string(),
            |state| {
                state.names.get(name).ok_or(Errno::NOENT)?;
                Ok(vec![(name.to_owned(), None)])
            },
        )
    }

    fn id_of(&self, name: &Path) -> io::Result<FileId> {
        let state = self.state.lock();
        if state.crashed {
            return Err(stopped());
        }
        Ok((0, *state.names.get(name).ok_or(Errno::NOENT)?))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let (mut state, fate) = self.begin(Op::SyncDir, String::new)?;
        let done = match fate {
            Fate::Done => usize::MAX,
            Fate::Fails(_) | Fate::Stops => {
                let unsynced = state.unsynced_names.len();
                state.rng.below(unsynced + 1)
            }
        };
        let all = state.unsynced_names.len();
        let synced: Vec<NameChange> = state.unsynced_names.drain(..done.min(all)).collect();
        for change in synced {
            apply_names(&mut state.durable_names, change);
        }
        match fate {
            Fate::Done => Ok(()),
            Fate::Fails(e) => Err(e),
            Fate::Stops => Err(stopped()),
        }
    }
}
