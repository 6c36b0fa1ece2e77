//! The log that a server appends to: one batch a write, each closed by its commit line.
//!
//! Invariants: `end` is where the last batch that was written whole ends, and nothing but reserved zeros lies behind
//! it. A write that fails is undone with a truncation to `end`; if that fails too, or a sync fails, the log is
//! poisoned and stays so: what the disk holds is not known any more, and only a new file heals it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

use super::disk::{Disk, DiskFile, copy_access};
use super::format::{Annotation, COMMIT_LINE_BYTES, Chain, MAX_ANNOTATION_BYTES, MAX_BATCH_BYTES, Salt};
use super::{FsyncPolicy, LogOffset};
use crate::protocol::rope::Rope;

/// So many zeros are written ahead under `always`, so that most syncs have no metadata to write. Space that is only
/// allocated (`fallocate`) is not enough: a block's first write is then metadata too, and for batches of 3 kB or more
/// that is each sync (ext4, `pwrite` and `fdatasync` of 3 kB: 300-340 µs allocated, 185-195 µs written; of 100 kB:
/// 660-680 and 290-335 µs). Less costs more often, more is felt when it is written.
const RESERVE_BYTES: u64 = 1 << 20;

/// Most pieces that one `pwritev` takes (Linux: `UIO_MAXIOV` is 1024).
const MAX_PIECES: usize = 256;

/// The most that annotations and the commit line add to a batch.
pub const BATCH_OVERHEAD_BYTES: usize = 4 * MAX_ANNOTATION_BYTES;

/// Why a batch was not appended.
#[derive(Debug, Error)]
pub enum AppendError {
    /// Nothing was written, or what was is undone: the log is as before.
    #[error("{0}")]
    Undone(io::Error),
    /// The undo failed too; the log takes no more batches.
    #[error("{write}; undoing it failed too: {undo}")]
    Poisoned {
        /// Why the write failed.
        write: io::Error,
        /// Why the truncation failed.
        undo: io::Error,
    },
}

/// How far the log is known to be durable. Shared with the thread that syncs; it only grows.
#[derive(Debug, Default)]
pub struct DurableMark(AtomicU64);

impl DurableMark {
    /// Everything before this offset is durable.
    pub fn get(&self) -> LogOffset {
        LogOffset(self.0.load(Ordering::Acquire))
    }

    /// Notes that a sync which began when the log ended at `offset` has succeeded.
    pub fn raise(&self, offset: LogOffset) {
        self.0.fetch_max(offset.0, Ordering::AcqRel);
    }
}

/// A log open for appending.
pub struct Aof {
    file: Arc<dyn DiskFile>,
    chain: Chain,
    end: LogOffset,
    /// The file's length: `end`, or more where space is reserved.
    reserved_to: u64,
    durable: Arc<DurableMark>,
    /// The durable offset that the log itself states last.
    stated: Option<LogOffset>,
    /// Whether the last annotation about syncs is `#NOSYNC`.
    stated_no_sync: bool,
    /// The second that the last `#TS` gives.
    stated_second: Option<u64>,
    /// Whether space can be reserved; not tried again once it failed.
    reserve_works: bool,
    /// How often this log was rewritten.
    rewrites: u64,
    /// The annotations and the commit line of the batch under way.
    trailer: Vec<u8>,
}

impl std::fmt::Debug for Aof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aof").field("end", &self.end).field("durable", &self.durable).finish_non_exhaustive()
    }
}

impl Aof {
    /// Makes a new log: under a temporary name with its header, synced, renamed into place, the directory synced. It
    /// may take the place of a file with no log in it, `old`.
    ///
    /// # Errors
    /// Any step failed; at the log's own name there is what was there before, or the new log.
    pub fn create(disk: &dyn Disk, name: &Path, old: Option<&dyn DiskFile>, salt: Salt) -> io::Result<Self> {
        let temporary = temporary_name(name);
        let aof = Self::create_temporary(disk, &temporary, salt)?;
        if let Some(old) = old {
            aof.copy_access(old);
        }
        disk.rename(&temporary, name)?;
        disk.sync_dir()?;
        Ok(aof)
    }

    /// Makes a log under a temporary name, to be filled, synced and renamed.
    ///
    /// # Errors
    /// The file cannot be made, written or synced.
    pub fn create_temporary(disk: &dyn Disk, temporary: &Path, salt: Salt) -> io::Result<Self> {
        remove_leftover(disk, temporary)?;
        Self::begin_chain(disk.create(temporary)?, LogOffset(0), salt)
    }

    /// Goes on with a plain log that ends at `end`: a chain begins there.
    ///
    /// # Errors
    /// The header could not be written or synced.
    pub fn begin_chain(file: Arc<dyn DiskFile>, end: LogOffset, salt: Salt) -> io::Result<Self> {
        let mut header = Vec::new();
        Annotation::Header(salt).write(&mut header);
        super::disk::write_all_at(&*file, &header, end.0)?;
        file.sync_data()?;
        Ok(Self::continue_chain(file, Chain::new(salt), end + header.len() as u64))
    }

    /// Goes on with a log of kvred's that ends at `end` and is durable up to there.
    pub fn continue_chain(file: Arc<dyn DiskFile>, chain: Chain, end: LogOffset) -> Self {
        let durable = DurableMark::default();
        durable.raise(end);
        Self {
            file,
            chain,
            end,
            reserved_to: end.0,
            durable: Arc::new(durable),
            stated: None,
            stated_no_sync: false,
            stated_second: None,
            reserve_works: true,
            rewrites: 0,
            trailer: Vec::new(),
        }
    }

    /// Gives this log the owner, group and mode of `old`, whose name it is about to take.
    pub fn copy_access(&self, old: &dyn DiskFile) {
        // Without the right to, the log is this process's own afterwards: it goes on writing, which is what counts.
        drop(copy_access(old, &*self.file));
    }

    /// Where the last batch ends.
    pub fn end(&self) -> LogOffset {
        self.end
    }

    /// What the next batch's checksum is computed from.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// How often the log was rewritten, as its `#REWRITTEN` lines count.
    pub fn rewrites(&self) -> u64 {
        self.rewrites
    }

    /// Goes on counting rewrites from what an earlier run has written.
    #[must_use]
    pub fn with_rewrites(self, rewrites: u64) -> Self {
        Self { rewrites, ..self }
    }

    /// Goes on in a stretch under `#NOSYNC`, if an earlier run has left one open.
    #[must_use]
    pub fn with_no_sync(self, stated_no_sync: bool) -> Self {
        Self { stated_no_sync, ..self }
    }

    /// Whether what is appended now stands under `#NOSYNC`, unless it says otherwise itself.
    pub fn in_no_sync_stretch(&self) -> bool {
        self.stated_no_sync
    }

    /// The open file, for a thread that syncs it.
    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// How far the log is durable.
    pub fn durable(&self) -> &Arc<DurableMark> {
        &self.durable
    }

    /// Whether a completed sync is not stated in the log yet.
    pub fn sync_to_state(&self) -> bool {
        self.stated != Some(self.durable.get())
    }

    /// Appends a batch: the records, then the annotations that are due, then the commit line, all in one write where
    /// the kernel takes it so.
    ///
    /// # Errors
    /// [`AppendError`]; the log then ends where it ended before.
    ///
    /// # Panics
    /// If the batch is longer than [`MAX_BATCH_BYTES`]; the caller refuses such commands.
    pub fn append(&mut self, records: &Rope, policy: FsyncPolicy, unix_time: Duration) -> Result<(), AppendError> {
        if policy != FsyncPolicy::Always {
            self.give_back_reserved();
        }
        let due = self.annotations_due(policy, unix_time.as_secs());
        self.append_with(records, &due)?;
        if policy == FsyncPolicy::Always {
            self.reserve_for((records.len() + BATCH_OVERHEAD_BYTES) as u64);
        }
        Ok(())
    }

    /// Appends a batch with exactly these annotations.
    ///
    /// # Errors
    /// As [`Aof::append`].
    ///
    /// # Panics
    /// As [`Aof::append`].
    pub fn append_with(&mut self, records: &Rope, annotations: &[Option<Annotation>]) -> Result<(), AppendError> {
        let mut trailer = std::mem::take(&mut self.trailer);
        trailer.clear();
        for annotation in annotations.iter().flatten() {
            annotation.write(&mut trailer);
        }
        let len = records.len() + trailer.len();
        assert!(len <= MAX_BATCH_BYTES, "a batch of {len} bytes");
        let crc = self.chain.crc_of(self.end, records.pieces_from(0).chain([&trailer[..]]));
        Annotation::Commit { len: len as u32, crc }.write(&mut trailer);

        let written = self.write(records, &trailer);
        self.trailer = trailer;
        if let Err(write) = written {
            return Err(match self.file.set_len(self.end.0) {
                Ok(()) => {
                    self.reserved_to = self.end.0;
                    AppendError::Undone(write)
                }
                Err(undo) => AppendError::Poisoned { write, undo },
            });
        }
        self.chain = self.chain.after(crc);
        self.end = self.end + (len + COMMIT_LINE_BYTES) as u64;
        self.reserved_to = self.reserved_to.max(self.end.0);
        for annotation in annotations.iter().flatten() {
            match *annotation {
                Annotation::Synced(at) => {
                    self.stated = Some(at);
                    self.stated_no_sync = false;
                }
                Annotation::NoSync => self.stated_no_sync = true,
                Annotation::Timestamp(second) => self.stated_second = Some(second.unsigned_abs()),
                Annotation::Rewritten(n) => self.rewrites = n,
                Annotation::Header(_) | Annotation::Commit { .. } | Annotation::Unknown => {
                    unreachable!("{annotation:?} does not stand in a batch")
                }
            }
        }
        Ok(())
    }

    /// What the next batch has to state, in the order in which it stands there.
    fn annotations_due(&self, policy: FsyncPolicy, second: u64) -> [Option<Annotation>; 3] {
        let durable = self.durable.get();
        let new_second = self.stated_second != Some(second);
        let synced = policy == FsyncPolicy::Always || self.stated != Some(durable);
        // Said again with every new second: if the batch that said it first is damaged, the others still tell.
        let no_sync = policy == FsyncPolicy::None && (!self.stated_no_sync || synced || new_second);
        [
            synced.then_some(Annotation::Synced(durable)),
            no_sync.then_some(Annotation::NoSync),
            new_second.then_some(Annotation::Timestamp(second as i64)),
        ]
    }

    /// Sees to it that another batch of this size finds space reserved.
    fn reserve_for(&mut self, batch_bytes: u64) {
        if self.end.0 + batch_bytes <= self.reserved_to || !self.reserve_works {
            return;
        }
        match self.file.reserve(self.reserved_to, RESERVE_BYTES) {
            Ok(()) => self.reserved_to += RESERVE_BYTES,
            // The disk is full or cannot do it: a write itself will tell, and nothing depends on this. What was done
            // before it failed is given back: Redis does not load a log that ends in zeros.
            Err(_) => {
                self.reserve_works = false;
                drop(self.file.set_len(self.reserved_to));
            }
        }
    }

    /// Gives back what is reserved, where no more is to be: a copy of the log that holds zeros is taken for a damaged
    /// one if the log goes on behind them meanwhile. If it fails, nothing depends on it, and the next write tries
    /// again.
    pub fn give_back_reserved(&mut self) {
        if self.reserved_to > self.end.0 && self.file.set_len(self.end.0).is_ok() {
            self.reserved_to = self.end.0;
        }
    }

    fn write(&self, records: &Rope, trailer: &[u8]) -> io::Result<()> {
        let total = records.len() + trailer.len();
        let mut done = 0;
        while done < total {
            let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
            let mut filled = records.slices(done, &mut pieces[..MAX_PIECES - 1]);
            if filled < MAX_PIECES - 1 {
                pieces[filled] = IoSlice::new(&trailer[done.saturating_sub(records.len())..]);
                filled += 1;
            }
            match self.file.write_at(&pieces[..filled], self.end.0 + done as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => done += written,
            }
        }
        Ok(())
    }

    /// Makes everything appended so far durable, on this thread.
    ///
    /// # Errors
    /// The sync failed. The log must then be treated as poisoned.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.durable.raise(self.end);
        Ok(())
    }

    /// After a failed sync: cuts the log back to `end`, as far as that works, so that what was not acknowledged is less
    /// likely to be found by a restart. The log is not appended to any more.
    pub fn cut_back(&mut self, end: LogOffset) {
        // If it fails, the writes in question have an unknown outcome, which is what their clients are told.
        drop(self.file.set_len(end.0));
    }

    /// Closes the log: cuts off reserved space, syncs, states so in an empty batch, and syncs again. If that batch
    /// cannot be written, the next start does without; returns why.
    ///
    /// # Errors
    /// The last bytes may not be durable.
    pub fn close(mut self, policy: FsyncPolicy, unix_time: Duration) -> io::Result<Option<io::Error>> {
        // Asked for, not taken from `reserved_to`: a reservation that failed may have left zeros all the same.
        let is_longer = self.file.len()? > self.end.0;
        if is_longer {
            self.file.set_len(self.end.0)?;
            self.reserved_to = self.end.0;
        }
        if is_longer || self.durable.get() < self.end {
            self.sync()?;
        }
        // Not under `none`: this batch states that the log is synced, and means it.
        let policy = if policy == FsyncPolicy::None { FsyncPolicy::Everysec } else { policy };
        self.reserve_works = false;
        match self.append(&Rope::default(), policy, unix_time) {
            Err(AppendError::Undone(e)) => Ok(Some(e)),
            stated => stated.map_err(io::Error::other).and_then(|()| self.sync()).map(|()| None),
        }
    }
}

/// The name under which a new log, or a rewritten one, is made.
pub fn temporary_name(log: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from("temp-rewrite-");
    name.push(log.file_name().unwrap_or_default());
    log.with_file_name(name)
}

/// Removes what an interrupted creation or rewrite has left.
///
/// # Errors
/// The file is there and cannot be removed.
pub fn remove_leftover(disk: &dyn Disk, name: &Path) -> io::Result<bool> {
    match disk.remove(name) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
