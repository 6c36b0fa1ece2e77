//! Writes a new log: under a temporary name, batch by batch in a chain of its own, synced, then renamed into place.
//!
//! The place of a log is held by its locks, and so is the name under which a server would make one for it. A name that
//! is new is held by nobody: beside it nothing is removed, for it may be the log that is read, or another tool's. So
//! whoever makes such a file removes it, also when it is interrupted.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::interrupt;
use crate::machine::random_u64;
use crate::persistence::LogOffset;
use crate::persistence::aof::{remove_leftover, temporary_name};
use crate::persistence::disk::{Disk, DiskFile, copy_access, write_all_at};
use crate::persistence::format::{Annotation, Chain, MAX_ANNOTATION_BYTES, MAX_BATCH_BYTES, Salt};
use crate::persistence::real_disk::{RealDisk, file_name};
use crate::protocol::decode::{Args, RequestDecoder};
use crate::protocol::encode;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 1 << 20;

/// How long a batch of an image gets; what reads it keeps one in memory.
const BATCH_BYTES: usize = 256 << 10;

/// A log that is being written.
pub(super) struct Image {
    disk: Arc<RealDisk>,
    temporary: PathBuf,
    /// What it will be called.
    name: PathBuf,
    in_place: bool,
    file: Arc<dyn DiskFile>,
    chain: Chain,
    /// Whole batches that are not written yet; the file ends at `written`.
    buffer: Vec<u8>,
    written: u64,
    /// The batch under way.
    batch: Vec<u8>,
    /// What it is so far.
    pub(super) size: Size,
}

/// How long a log is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    /// Commands.
    pub(super) records: u64,
    /// Batches with a checksum.
    pub(super) batches: u64,
    /// The file's length.
    pub(super) bytes: u64,
}

/// What was not copied.
pub(super) struct Refused {
    /// Where it stands in the bytes that were to be copied.
    pub(super) range: Range<usize>,
    /// Why.
    pub(super) reason: String,
}

impl Image {
    /// Begins a log that will bear the name `path`, which is new.
    ///
    /// # Errors
    /// The temporary file cannot be made.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let name = file_name(path);
        let mut temporary = temporary_name(name).into_os_string();
        temporary.push(format!(".{:016x}", random_u64()));
        Self::begin(Arc::new(RealDisk::holding(path)?), temporary.into(), name, false)
    }

    /// Begins a log that will take the place of the one of that name in the directory of `disk`, whose locks are held.
    ///
    /// # Errors
    /// The temporary file cannot be made, or the one of an interrupted rewrite not be removed.
    pub(super) fn create_over(disk: &Arc<RealDisk>, name: &Path) -> io::Result<Self> {
        let temporary = temporary_name(name);
        remove_leftover(&**disk, &temporary)?;
        Self::begin(Arc::clone(disk), temporary, name, true)
    }

    fn begin(disk: Arc<RealDisk>, temporary: PathBuf, name: &Path, in_place: bool) -> io::Result<Self> {
        let salt = Salt(random_u64());
        let interrupted = interrupt::Exit::listen()?;
        let file = disk.create(&temporary)?;
        let remove = {
            let (disk, temporary) = (Arc::clone(&disk), temporary.clone());
            // Once it has its name, there is nothing to remove.
            move || drop(disk.remove(&temporary))
        };
        interrupted.after(remove).inspect_err(|_| drop(disk.remove(&temporary)))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        Annotation::Header(salt).write(&mut buffer);
        let chain = Chain::new(salt);
        Ok(Self {
            disk,
            temporary,
            name: name.to_owned(),
            in_place,
            file,
            chain,
            buffer,
            written: 0,
            batch: Vec::new(),
            size: Size::default(),
        })
    }

    /// Adds a key with its value.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if !self.batch.is_empty() && self.batch.len() + key.len() + value.len() > BATCH_BYTES {
            self.commit()?;
        }
        encode::request(&mut self.batch, &[b"SET", key, value]);
        self.size.records += 1;
        if self.batch.len() >= BATCH_BYTES { self.commit() } else { Ok(()) }
    }

    /// Adds what stands in a batch of another log, as far as it makes sense in this one. `bytes` are whole commands and
    /// annotations. What `check` refuses is returned and not added. If the batch is `atomic`, it is one here too, and
    /// nothing of it is added then; else a batch begins with each `#TS`, and where it would grow long, but not within a
    /// transaction.
    pub(super) fn copy(
        &mut self,
        bytes: &mut [u8],
        atomic: bool,
        mut check: impl FnMut(Args<'_>) -> Result<(), String>,
    ) -> io::Result<Vec<Refused>> {
        let (mut at, mut args, mut records, mut refused) = (0, Vec::new(), 0, Vec::new());
        // Where a transaction begins in the batch under way, if one is open.
        let mut transaction = None;
        let newline = if atomic { &b"\r\n"[..] } else { b"\n" };
        let mut decoder = RequestDecoder::for_log();
        while at < bytes.len() {
            let end;
            if bytes[at] == b'#' {
                end = memchr::memmem::find(&bytes[at..], newline).map_or(bytes.len(), |len| at + len + newline.len());
                let annotation = Annotation::of_line(&bytes[at..end]);
                if !atomic && matches!(annotation, Annotation::Timestamp(_)) {
                    // It tells of what follows it; in a batch, of what stands before it too.
                    self.commit_up_to(&mut transaction)?;
                }
                self.annotation(&bytes[at..end], annotation);
            } else {
                args.clear();
                let decoded = decoder.decode(bytes, at, &mut args).ok().flatten();
                end = decoded.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                let command = Args::new(bytes, &args);
                if is_frame(command, "MULTI") {
                    transaction = transaction.or(Some(self.batch.len()));
                } else if is_frame(command, "EXEC") {
                    transaction = None;
                }
                if !atomic && self.batch.len() + (end - at) > BATCH_BYTES {
                    self.commit_up_to(&mut transaction)?;
                }
                match self.command(&bytes[at..end], command, &mut check) {
                    Ok(added) => records += u64::from(added),
                    Err(reason) if atomic => {
                        self.batch.clear();
                        return Ok(vec![Refused { range: 0..bytes.len(), reason }]);
                    }
                    Err(reason) => refused.push(Refused { range: at..end, reason }),
                }
            }
            at = end;
        }
        self.size.records += records;
        if !self.batch.is_empty() {
            self.commit()?;
        }
        Ok(refused)
    }

    /// Adds an annotation line, if it makes sense in this log.
    fn annotation(&mut self, line: &[u8], annotation: Annotation) {
        // What it says about syncs and chains was true of the other file.
        let keep = !matches!(
            annotation,
            Annotation::Synced(_) | Annotation::NoSync | Annotation::Header(_) | Annotation::Commit { .. }
        );
        // A plain log has comments that a chain cannot have.
        if keep && line.ends_with(b"\r\n") && line.len() <= MAX_ANNOTATION_BYTES {
            self.batch.extend_from_slice(line);
        }
    }

    /// Adds a command, if it makes sense in this log: whether it does; or why `check` refuses it.
    fn command(
        &mut self,
        bytes: &[u8],
        args: Args<'_>,
        check: impl FnOnce(Args<'_>) -> Result<(), String>,
    ) -> Result<bool, String> {
        // The batch itself is the transaction.
        if is_frame(args, "MULTI") || is_frame(args, "EXEC") || args.is_empty() {
            return Ok(false);
        }
        check(args)?;
        // There is one database. Behind a torn batch, a command that names one is another server's.
        if args.at(0).eq_ignore_ascii_case(b"SELECT") {
            return Ok(false);
        }
        self.batch.extend_from_slice(bytes);
        Ok(true)
    }

    /// Closes the batch under way; but a transaction that is open goes into the next one as a whole.
    fn commit_up_to(&mut self, transaction: &mut Option<usize>) -> io::Result<()> {
        let end = transaction.unwrap_or(self.batch.len());
        if end > 0 {
            let kept = self.batch.split_off(end);
            self.commit()?;
            self.batch = kept;
            *transaction = transaction.and(Some(0));
        }
        Ok(())
    }

    /// Closes the batch under way.
    fn commit(&mut self) -> io::Result<()> {
        if self.batch.len() > MAX_BATCH_BYTES {
            return Err(io::Error::other("a command is longer than a batch may be"));
        }
        let start = LogOffset(self.written + self.buffer.len() as u64);
        let crc = self.chain.crc_of(start, [&self.batch[..]]);
        Annotation::Commit { len: self.batch.len() as u32, crc }.write(&mut self.batch);
        self.chain = self.chain.after(crc);
        self.size.batches += 1;
        if self.batch.len() >= BUFFER_BYTES {
            self.flush()?;
            write_all_at(&*self.file, &self.batch, self.written)?;
            self.written += self.batch.len() as u64;
        } else {
            self.buffer.extend_from_slice(&self.batch);
        }
        self.batch.clear();
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(&*self.file, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Syncs all of it and closes it with a batch that says so; `rewrite` is the number of a compacted image, and
    /// its time in Unix seconds.
    ///
    /// # Errors
    /// It may not be durable, and must not take its name.
    pub(super) fn finish(&mut self, rewrite: Option<(u64, i64)>) -> io::Result<()> {
        if !self.batch.is_empty() {
            self.commit()?;
        }
        self.flush()?;
        self.file.sync_data()?;
        if let Some((number, time)) = rewrite {
            Annotation::Rewritten(number).write(&mut self.batch);
            Annotation::Timestamp(time).write(&mut self.batch);
        }
        Annotation::Synced(LogOffset(self.written)).write(&mut self.batch);
        self.commit()?;
        self.flush()?;
        self.file.sync_data()?;
        self.size.bytes = self.written;
        Ok(())
    }

    /// Gives it the owner and the mode of the log that it is to replace: the server has to be able to open it.
    ///
    /// # Errors
    /// This process may not do that.
    pub(super) fn copy_access(&self, log: &dyn DiskFile) -> io::Result<()> {
        copy_access(log, &*self.file)
    }

    /// Gives the log its name, and makes that durable.
    ///
    /// # Errors
    /// The name may have changed or not; a new one that is taken by now has not.
    pub(super) fn publish(self) -> io::Result<()> {
        if self.in_place {
            self.disk.rename(&self.temporary, &self.name)?;
        } else if let Err(e) = self.disk.rename_to_new(&self.temporary, &self.name) {
            self.discard();
            return Err(e);
        }
        self.disk.sync_dir()
    }

    /// Removes it; for when something went wrong.
    pub(super) fn discard(self) {
        // If that fails too, what went wrong is what counts.
        drop(self.disk.remove(&self.temporary));
    }
}

/// Whether a command frames a transaction with this word.
fn is_frame(args: Args<'_>, word: &str) -> bool {
    args.len() == 1 && args.at(0).eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of a log with what `fill` puts into it.
    pub(in crate::aof) fn log_with(fill: impl FnOnce(&mut Image)) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut image = Image::create(&log).unwrap();
        fill(&mut image);
        image.finish(None).unwrap();
        image.publish().unwrap();
        std::fs::read(log).unwrap()
    }

    /// The bytes of a log with so many values of so many bytes.
    pub(in crate::aof) fn log_of_values(values: u8, bytes: usize) -> Vec<u8> {
        log_with(|image| (0..values).for_each(|key| image.set(&[key], &vec![b'v'; bytes]).unwrap()))
    }
}
