//! One pass over a log as it was when the pass began.
//!
//! A server may be writing to the log meanwhile. The pass reads up to the length that the file had at first, so it
//! ends; a batch that was half written at that moment is looked at again a little later, and is not taken for torn.
//! That ends too: a batch that is damaged stays so, however the log grows behind it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::source::Part;
use super::view::View;
use crate::exit::{Failure, OrExit};
use crate::persistence::batch::{Batch, Flaw};
use crate::persistence::disk::DiskRead;
use crate::persistence::replay::{Recovery, Replay};
use crate::terminal::progress::Progress;

/// How long a batch that does not verify is given to change before it is taken for what it is.
const SETTLES_WITHIN: Duration = Duration::from_millis(30);

/// How long an unverified last batch of a growing log is waited for: time for 1 GiB, the longest, at 100 MB/s.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// Whether somebody may be writing to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settle {
    /// Perhaps: a batch that does not verify is looked at again.
    Wait,
    /// Nobody is: what is read is final.
    AtOnce,
}

/// Reads the sound part of a log, batch by batch, and says what the log is; or why `each` wanted no more of it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read<E>(
    file: &Arc<dyn DiskRead>,
    progress: &Progress,
    settle: Settle,
    mut each: impl FnMut(&Batch<'_>) -> Result<(), E>,
) -> io::Result<Result<Recovery, E>> {
    let snapshot = Arc::new(View::snapshot(Arc::clone(file))?);
    let mut replay = Replay::new(Arc::clone(&snapshot) as Arc<dyn DiskRead>)?;
    while let Some(batch) = replay.next()? {
        progress.at(batch.end.0);
        if let Err(why) = each(&batch) {
            return Ok(Err(why));
        }
    }
    let ended = Instant::now();
    // What a disk cannot read is not being written, and what is too long gets no shorter.
    let unsettled =
        |replay: &Replay| replay.flaw().is_some_and(|flaw| !matches!(flaw, Flaw::Unreadable | Flaw::TooLong));
    while unsettled(&replay) && settle == Settle::Wait && ended.elapsed() < WRITTEN_WITHIN {
        let (flaw, len) = (replay.flaw().cloned(), file.len()?);
        std::thread::sleep(SETTLES_WITHIN);
        let len_now = snapshot.catch_up()?;
        replay.retry();
        if let Some(batch) = replay.next()? {
            // It was being written. What comes behind it is of later than this pass.
            snapshot.end_at(batch.end);
            if let Err(why) = each(&batch) {
                return Ok(Err(why));
            }
        } else if replay.flaw() == flaw.as_ref() && len_now == len {
            break;
        }
    }
    replay.finish(|at| progress.at(at.0)).map(Ok)
}

/// Reads a part of what the user named as [`read`] does, with a progress bar that says what this is for; `None`:
/// without.
///
/// # Errors
/// The file cannot be read: exit code 3.
pub(super) fn read_part<E>(
    part: &Part,
    doing: Option<&str>,
    each: impl FnMut(&Batch<'_>) -> Result<(), E>,
) -> Result<Result<Recovery, E>, Failure> {
    let cannot_read = || format!("cannot read {}", part.path.display());
    let file = part.file()?;
    let len = file.len().or_unavailable(cannot_read)?;
    let progress = doing.map_or_else(Progress::hidden, |doing| Progress::new(doing, len));
    read(file, &progress, Settle::Wait, each).or_unavailable(cannot_read)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::persistence::LogOffset;
    use crate::persistence::format::{Annotation, Chain, Salt};
    use crate::persistence::replay::{Because, Verdict};
    use crate::protocol::encode;

    /// A log that may be longer whenever somebody asks.
    struct Growing<F> {
        bytes: Vec<u8>,
        /// How long it is for who asks for the n-th time; behind its bytes there are others.
        len: F,
        asked: AtomicU64,
    }

    impl<F: Fn(u64) -> u64 + Send + Sync + 'static> Growing<F> {
        fn file(bytes: Vec<u8>, len: F) -> Arc<dyn DiskRead> {
            Arc::new(Self { bytes, len, asked: AtomicU64::new(0) })
        }
    }

    impl<F: Fn(u64) -> u64 + Send + Sync> DiskRead for Growing<F> {
        fn len(&self) -> io::Result<u64> {
            let asked = self.asked.fetch_add(1, Relaxed);
            // Twice as often as there are looks in that time.
            assert!(asked < 4 * WRITTEN_WITHIN.as_millis() as u64 / SETTLES_WITHIN.as_millis() as u64, "for ever");
            Ok((self.len)(asked))
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let from = self.bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            buffer.fill(b'x');
            let there = buffer.len().min(self.bytes.len() - from);
            buffer[..there].copy_from_slice(&self.bytes[from..from + there]);
            Ok(buffer.len())
        }
    }

    #[test]
    fn damage_is_not_waited_for_however_the_log_grows() {
        let damaged = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$x\r\nb\r\n".to_vec();
        let len = damaged.len() as u64;
        let found = found(&Growing::file(damaged, move |asked: u64| len + asked));
        assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::NotResp(_), .. }), "{found:?}");
    }

    /// What shows that it is damage may have been written since the pass began.
    #[test]
    fn damage_at_the_end_is_told_by_what_follows_it_meanwhile() {
        let (mut log, ends) = three_batches();
        log[ends[0] as usize + 30] ^= 1;
        let at_first = move |asked: u64| if asked == 0 { ends[1] } else { ends[2] };
        let found = found(&Growing::file(log, at_first));
        let Verdict::Damaged { because, .. } = found.verdict else { panic!("{found:?}") };
        assert_eq!((because, found.end.0, found.file_len), (Because::WasDurable, ends[0], ends[2]));
    }

    #[test]
    fn a_pass_ends_with_the_batch_that_was_being_written_when_it_began() {
        let (log, ends) = three_batches();
        let at_first = move |asked: u64| if asked == 0 { ends[1] - 10 } else { ends[2] };
        let found = found(&Growing::file(log, at_first));
        assert_eq!((found.verdict, found.end.0, found.file_len, found.batches), (Verdict::Clean, ends[1], ends[1], 2));
    }

    fn found(file: &Arc<dyn DiskRead>) -> Recovery {
        let Ok(found) = read(file, &Progress::hidden(), Settle::Wait, |_| Ok::<_, Infallible>(())).unwrap();
        found
    }

    /// A log of three batches, of which the last states that the others were durable; and where each of them ends.
    fn three_batches() -> (Vec<u8>, [u64; 3]) {
        let (mut log, mut chain) = (Vec::new(), Chain::new(Salt(7)));
        Annotation::Header(Salt(7)).write(&mut log);
        let ends = [0, 1, 2].map(|n| {
            let start = LogOffset(log.len() as u64);
            let mut batch = Vec::new();
            encode::request(&mut batch, &["SET", "key", "value"]);
            if n == 2 {
                Annotation::Synced(start).write(&mut batch);
            }
            let crc = chain.crc_of(start, [&batch[..]]);
            Annotation::Commit { len: batch.len() as u32, crc }.write(&mut batch);
            chain = chain.after(crc);
            log.extend(batch);
            log.len() as u64
        });
        (log, ends)
    }
}
