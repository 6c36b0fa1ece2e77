//! `check --salvage`: every batch that verifies, into a new log; and a list of what is lost.
//!
//! A batch stands or falls as a whole; a plain log has none, and loses just the commands that kvred refuses. What
//! stands behind a flaw of a plain log is lost, up to where kvred went on in it: nothing tells its commands from the
//! bytes of a value.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::super::image::{Image, Refused};
use super::super::readable::Readable;
use super::super::reading::{self, Settle};
use super::super::source::{Source, manifest_of_later_part, refuse_existing};
use super::super::text::{counted, grouped};
use super::header;
use crate::args::CheckArgs;
use crate::command::record::check;
use crate::exit::{Failure, OrExit, Status, print};
use crate::persistence::LogOffset;
use crate::persistence::batch::{Batch, Flaw};
use crate::persistence::disk::DiskRead;
use crate::persistence::repair::len_without_trailing_zeros;
use crate::persistence::replay::{Recovery, Verdict};
use crate::protocol::decode::Args;
use crate::protocol::json::Text;
use crate::terminal::for_shell;
use crate::terminal::progress::Progress;

/// How many ranges are listed, so that a log of which every other command is refused does not fill the memory.
const LISTED_MAX: usize = 100_000;

/// Bytes that are not in the new log.
struct Range {
    from: LogOffset,
    to: LogOffset,
    why: String,
}

/// All of them.
#[derive(Default)]
struct Lost {
    listed: Vec<Range>,
    /// How many more there are.
    more: u64,
    bytes: u64,
}

impl Lost {
    fn add(&mut self, from: LogOffset, to: LogOffset, why: &str) {
        self.bytes += to - from;
        let full = self.listed.len() == LISTED_MAX;
        match self.listed.last_mut() {
            Some(last) if last.to == from && last.why == why => last.to = to,
            _ if full => self.more += 1,
            _ => self.listed.push(Range { from, to, why: why.to_owned() }),
        }
    }
}

/// Salvages `source` into a new log at `out`.
pub(super) fn run(args: &CheckArgs, source: &Source, out: &Path) -> Result<Status, Failure> {
    let shown = out.display();
    refuse_existing(out)?;
    let part = &source.parts[0];
    // What is saved by another name, as /proc/PID/fd/N of a log that was removed, may have no place to look in.
    let manifest = manifest_of_later_part(&part.path).ok().flatten();
    let file = part.file()?;
    let mut image = Image::create(out).or_unavailable(|| format!("cannot make {shown}"))?;
    let doing = || format!("cannot salvage {} into {shown}", part.path.display());
    let lost = match salvage(file, &mut image) {
        Ok(lost) => lost,
        Err(e) => {
            image.discard();
            return Err(e).or_unavailable(doing);
        }
    };
    let size = image.size;
    image.publish().or_unavailable(doing)?;
    let Lost { listed, more, bytes } = lost;
    if args.json {
        let ranges: Vec<_> = listed.iter().map(|l| json!({"from": l.from.0, "to": l.to.0, "reason": l.why})).collect();
        let document = json!({
            "file": Text::path(&part.path), "out": Text::path(out), "records": size.records,
            "lost_bytes": bytes, "lost": ranges, "lost_ranges_not_listed": more,
        });
        print(&format!("{document:#}\n"))?;
    } else {
        let mut text = format!("{shown}: {} saved, {} lost\n", counted(size.records, "record"), counted(bytes, "byte"));
        for Range { from, to, why } in &listed {
            writeln!(text, "  lost  bytes {from} to {to} ({}): {why}", grouped(*to - *from))
                .expect("a String takes everything");
        }
        if more > 0 {
            writeln!(text, "  lost  {} behind them", counted(more, "more range")).expect("a String takes everything");
        }
        print(&text)?;
    }
    if let Some(manifest) = &manifest {
        say!(
            "kvred: {shown} is not all of the data: {} holds what has changed since the parts that {} lists before it; \
             for all of it: kvred aof rewrite -o OUT {}",
            part.path.display(),
            manifest.display(),
            for_shell(manifest)
        );
    }
    Ok(if listed.is_empty() && manifest.is_none() { Status::Fine } else { Status::Negative })
}

fn salvage(file: &Arc<dyn DiskRead>, image: &mut Image) -> io::Result<Lost> {
    let (mut lost, mut plain) = (Lost::default(), Plain::default());
    let progress = Progress::new("salvaging", file.len()?);
    let recovery =
        reading::read(file, &progress, Settle::Wait, |batch| copy_sound(batch, &mut plain, image, &mut lost))??;
    if matches!(recovery.verdict, Verdict::Torn(_) | Verdict::Damaged { .. }) {
        copy_survivors(file, &recovery, image, &mut lost)?;
    }
    image.finish(None)?;
    Ok(lost)
}

fn copy_sound(batch: &Batch<'_>, plain: &mut Plain, image: &mut Image, lost: &mut Lost) -> io::Result<()> {
    let mut bytes = batch.bytes().to_vec();
    if batch.checksummed {
        for Refused { reason, .. } in image.copy(&mut bytes, true, check)? {
            lost.add(batch.start, batch.end, &format!("it verifies, but kvred refuses it: {reason}"));
        }
        return Ok(());
    }
    for Refused { range, reason } in image.copy(&mut bytes, false, |args| plain.check(args))? {
        let at = |position: usize| batch.start + position as u64;
        lost.add(at(range.start), at(range.end), &format!("kvred refuses it: {reason}"));
    }
    Ok(())
}

/// Tells which commands of a plain log can be had.
#[derive(Default)]
struct Plain {
    /// Whether a database is selected that kvred does not have: its keys are not to be mixed with those of 0.
    elsewhere: bool,
}

impl Plain {
    fn check(&mut self, args: Args<'_>) -> Result<(), String> {
        let is = |name: &str| args.at(0).eq_ignore_ascii_case(name.as_bytes());
        let checked = check(args);
        if is("SELECT") {
            self.elsewhere = checked.is_err();
        } else if self.elsewhere && checked.is_ok() && !is("FLUSHALL") {
            return Err("it belongs to another database than 0".to_owned());
        }
        checked
    }
}

fn copy_survivors(file: &Arc<dyn DiskRead>, recovery: &Recovery, image: &mut Image, lost: &mut Lost) -> io::Result<()> {
    let file = Arc::new(Readable::new(Arc::clone(file)));
    let (mut survey, mut known) = header::survey(&(Arc::clone(&file) as Arc<dyn DiskRead>), recovery)?;
    let mut gap = |from: LogOffset, to: LogOffset, why: &str| {
        if to > from {
            let unreadable = file.unreadable(from, to).map_or_else(String::new, |unreadable| format!("; {unreadable}"));
            lost.add(from, to, &format!("{why}{unreadable}"));
        }
    };
    let does_not_verify = "it does not verify";
    let too_long = Flaw::TooLong.to_string();
    let mut why = match recovery.verdict {
        Verdict::Damaged { flaw: Flaw::TooLong, .. } => &too_long,
        _ if recovery.chain.is_some() => does_not_verify,
        _ => "it is not whole, or no checksum covers it",
    };
    while let Some(mut survivor) = survey.next(|_| {})? {
        gap(known, survivor.start, why);
        for Refused { reason, .. } in image.copy(&mut survivor.bytes, true, check)? {
            gap(survivor.start, survivor.end, &format!("it verifies, but kvred refuses it: {reason}"));
        }
        (known, why) = (survivor.end, does_not_verify);
    }
    // Zeros behind a log are space that was reserved; a file of nothing else has lost what it held.
    let end = match recovery.verdict {
        Verdict::Damaged { flaw: Flaw::OnlyZeros, .. } => LogOffset(recovery.file_len),
        _ => len_without_trailing_zeros(&*file, known, recovery.file_len)?,
    };
    gap(known, end.max(file.unreadable_end()?), why);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use rustix::io::Errno;

    use super::super::super::image::tests::{log_of_values, log_with};
    use super::*;
    use crate::persistence::disk::tests::Failing;
    use crate::protocol::encode;

    /// A file in memory, of which a byte can be read only so many times; then the disk says so, or gives another one.
    struct Wearing {
        bytes: Vec<u8>,
        at: u64,
        silently: bool,
        reads_left: AtomicU64,
    }

    impl DiskRead for Wearing {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let there = self.bytes.get(offset as usize..).unwrap_or_default();
            let len = there.len().min(buffer.len());
            buffer[..len].copy_from_slice(&there[..len]);
            if !(offset..offset + len as u64).contains(&self.at)
                || self.reads_left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                return Ok(len);
            }
            if !self.silently {
                return Err(Errno::IO.into());
            }
            buffer[(self.at - offset) as usize] ^= 1;
            Ok(len)
        }
    }

    #[test]
    fn a_batch_is_refused_as_a_whole_and_commands_without_one_each_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = Image::create(&dir.path().join("out.aof")).unwrap();
        let (set, hset) = (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$4\r\nHSET\r\n$1\r\nh\r\n");
        let mut bytes = [&set[..], hset, set].concat();
        for (atomic, saved, lost) in [(true, 0, 0..bytes.len()), (false, 2, set.len()..set.len() + hset.len())] {
            let refused = image.copy(&mut bytes, atomic, check).unwrap();
            assert_eq!(refused.into_iter().map(|refused| refused.range).collect::<Vec<_>>(), [lost]);
            assert_eq!(image.size.records, saved);
        }
        image.discard();
    }

    /// So no batch can grow longer than one may be.
    #[test]
    fn what_is_saved_of_a_plain_log_is_in_short_batches_but_each_transaction_in_one() {
        let (mut plain, mut records) = (Vec::new(), 0);
        let mut set = |plain: &mut Vec<u8>, transaction: usize, len: usize| {
            encode::request(plain, &[b"SET", format!("{transaction}").as_bytes(), &vec![b'v'; len]]);
            records += 1;
        };
        for transaction in 1..=100 {
            let (sets, len) = if transaction == 50 { (700, 1000) } else { (transaction % 7, 10_000) };
            set(&mut plain, 0, 5000);
            encode::request(&mut plain, &["multi"]);
            for n in 0..sets {
                set(&mut plain, transaction, len);
                if n == 3 && transaction % 3 == 0 {
                    plain.extend(b"#TS:1700000000\r\n");
                }
            }
            encode::request(&mut plain, &["EXEC"]);
        }
        let log = log_with(|image| assert!(image.copy(&mut plain, false, check).unwrap().is_empty()));
        let file: Arc<dyn DiskRead> = Arc::new(Failing { bytes: log, at: 0..0 });
        let (mut lens, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
        let recovery = reading::read(&file, &Progress::hidden(), Settle::AtOnce, |batch| {
            let keys: std::collections::BTreeSet<_> = batch.records().map(|(_, args)| args.at(1).to_vec()).collect();
            keys.iter().filter(|key| **key != b"0").for_each(|key| assert!(seen.insert(key.clone()), "{key:?}"));
            if batch.times().next().is_some() {
                assert_ne!(batch.records().next().unwrap().1.at(1), b"0", "its time is not that of what it is behind");
            }
            lens.push(batch.bytes().len());
            Ok::<_, io::Error>(())
        });
        assert_eq!(recovery.unwrap().unwrap().records, records);
        lens.sort_unstable();
        let longest = lens.pop().unwrap();
        assert!(
            (700_000..750_000).contains(&longest) && lens.iter().all(|len| *len <= 256 << 10),
            "{longest} {lens:?}"
        );
        assert!(lens.len() < 40, "{lens:?}");
    }

    #[test]
    fn a_bad_sector_costs_the_batch_that_it_is_in_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = log_of_values(10, 300_000);
        let end = bytes.len() as u64;
        let tail = end.div_ceil(4096) * 4096 + 4096;
        bytes.resize(tail as usize + 4096, 0);
        for (at, records, why) in [
            (0..1, 9, "cannot read 4,096 bytes of it, the first at byte 0"),
            (1_000_000..1_000_001, 9, "it does not verify; the disk cannot read 4,096 bytes of it"),
            // Zeros behind the end, as far as they can be read, but not known to be.
            (tail..tail + 1, 10, "cannot read 4,096 bytes of it, the first at byte"),
        ] {
            let file: Arc<dyn DiskRead> = Arc::new(Failing { bytes: bytes.clone(), at });
            let mut image = Image::create(&dir.path().join("out")).unwrap();
            let lost = salvage(&file, &mut image).unwrap();
            assert_eq!(image.size.records, records);
            image.discard();
            assert_eq!(lost.listed.len(), 1);
            assert!(lost.listed[0].why.contains(why), "{}", lost.listed[0].why);
            assert!(lost.bytes < 301_000, "{}", lost.bytes);
        }
    }

    #[test]
    fn a_log_behind_other_bytes_is_saved_whole() {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(|image| {
            for n in 0..4000 {
                let mut set = format!("*3\r\n$3\r\nSET\r\n$8\r\nkey:{n:04}\r\n$1\r\nv\r\n").into_bytes();
                image.copy(&mut set, true, check).unwrap();
            }
        });
        for before in [&b"\xef\xbb\xbf"[..], &[b'x'; 16], &[b'x'; 512], &[b'x'; 4096]] {
            let file: Arc<dyn DiskRead> = Arc::new(Failing { bytes: [before, &log].concat(), at: 0..0 });
            let mut image = Image::create(&dir.path().join("out")).unwrap();
            salvage(&file, &mut image).unwrap();
            assert_eq!(image.size.records, 4000, "behind {} bytes", before.len());
            image.discard();
        }
    }

    #[test]
    fn what_has_verified_is_saved_as_it_was_then_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let value = vec![b'v'; 1_500_000];
        let mut bytes = log_of_values(3, value.len());
        bytes[1000] ^= 1;
        for silently in [false, true] {
            for reads in 0.. {
                let (bytes, at) = (bytes.clone(), 2_000_000);
                let wearing = Arc::new(Wearing { bytes, at, silently, reads_left: AtomicU64::new(reads) });
                let mut image = Image::create(&out).unwrap();
                let lost = salvage(&(Arc::clone(&wearing) as Arc<dyn DiskRead>), &mut image).unwrap();
                let saved = image.size.records;
                image.publish().unwrap();
                let file: Arc<dyn DiskRead> = Arc::new(Failing { bytes: std::fs::read(&out).unwrap(), at: 0..0 });
                let recovery = reading::read(&file, &Progress::hidden(), Settle::AtOnce, |batch| {
                    batch.records().for_each(|(_, args)| assert!(args.at(2) == value, "{reads} reads, {silently}"));
                    Ok::<_, io::Error>(())
                });
                assert_eq!(recovery.unwrap().unwrap().records, saved);
                std::fs::remove_file(&out).unwrap();
                assert_eq!((saved, lost.listed.len() as u64), if lost.bytes < 1_600_000 { (2, 1) } else { (1, 1) });
                if wearing.reads_left.load(Relaxed) > 0 {
                    assert_eq!(saved, 2);
                    break;
                }
            }
        }
    }

    #[test]
    fn the_list_of_what_is_lost_joins_neighbours_and_is_bounded() {
        let mut lost = Lost::default();
        let ranges = LISTED_MAX as u64 + 5;
        for n in 0..ranges {
            for (from, to) in [(3 * n, 3 * n + 1), (3 * n + 1, 3 * n + 2)] {
                lost.add(LogOffset(from), LogOffset(to), "a reason");
            }
        }
        let first = &lost.listed[0];
        assert_eq!((first.from, first.to, lost.listed.len()), (LogOffset(0), LogOffset(2), LISTED_MAX));
        assert_eq!((lost.bytes, lost.more), (2 * ranges, 10));
    }
}
