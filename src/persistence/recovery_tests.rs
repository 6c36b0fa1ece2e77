//! The table of recovery, row by row: logs are built by hand, and nothing but their bytes decides.

mod plain_logs;
mod survivors;
mod unreadable;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::LogOffset;
use super::batch::Flaw;
use super::disk::DiskRead;
use super::format::{Annotation, COMMIT_LINE_BYTES, Chain, HEADER_LINE_BYTES, MAX_ANNOTATIONS, MAX_BATCH_BYTES, Salt};
use super::plain::{ends_with_command, is_command};
use super::reader::{Event, LogReader};
use super::replay::{Because, Recovery, Replay, ReplayError, Verdict, replay};
use super::survey::Survey;
use crate::protocol::decode::{Args, RequestDecoder};
use crate::protocol::encode;

/// A file in memory.
pub(super) struct Memory {
    pub(super) bytes: Mutex<Vec<u8>>,
    /// How many bytes were read.
    read: AtomicU64,
}

impl Memory {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Mutex::new(bytes), read: AtomicU64::new(0) }
    }

    fn file(bytes: &[u8]) -> Arc<dyn DiskRead> {
        Arc::new(Self::new(bytes.to_vec()))
    }
}

impl DiskRead for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes.lock();
        let there = bytes.get(offset as usize..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

/// What a log is, and how many bytes were read to tell.
fn recover_counting(bytes: &[u8]) -> (Recovery, u64) {
    let file = Arc::new(Memory::new(bytes.to_vec()));
    let found = replay(&(Arc::clone(&file) as Arc<dyn DiskRead>), |_| {}, |_| Ok(())).unwrap();
    (found, file.read.load(Ordering::Relaxed))
}

/// A log under construction, and where each of its batches begins.
#[derive(Clone)]
struct Log {
    bytes: Vec<u8>,
    chain: Option<Chain>,
    starts: Vec<usize>,
}

impl Log {
    fn new() -> Self {
        Self { bytes: Vec::new(), chain: None, starts: Vec::new() }.header(7)
    }

    fn plain() -> Self {
        Self { bytes: Vec::new(), chain: None, starts: Vec::new() }
    }

    fn header(mut self, salt: u64) -> Self {
        Annotation::Header(Salt(salt)).write(&mut self.bytes);
        self.chain = Some(Chain::new(Salt(salt)));
        self
    }

    fn command(mut self, words: &[&str]) -> Self {
        encode::request(&mut self.bytes, words);
        self
    }

    /// A batch with one command and these annotations.
    fn batch(self, annotations: &[Annotation]) -> Self {
        let value = format!("value {}", self.starts.len());
        self.batch_of(&value, annotations)
    }

    fn batch_of(self, value: &str, annotations: &[Annotation]) -> Self {
        let mut bytes = Vec::new();
        encode::request(&mut bytes, &["SET", "key", value]);
        for annotation in annotations {
            annotation.write(&mut bytes);
        }
        self.batch_of_bytes(&bytes)
    }

    fn batch_of_bytes(mut self, bytes: &[u8]) -> Self {
        let start = self.bytes.len();
        self.starts.push(start);
        self.bytes.extend_from_slice(bytes);
        let chain = self.chain.expect("a chain has begun");
        let len = (self.bytes.len() - start) as u32;
        let crc = chain.crc_of(LogOffset(start as u64), [&self.bytes[start..]]);
        Annotation::Commit { len, crc }.write(&mut self.bytes);
        self.chain = Some(chain.after(crc));
        self
    }

    /// Where the next batch will begin: for a `#SYNCED` of everything so far.
    fn synced(&self) -> Annotation {
        Annotation::Synced(LogOffset(self.bytes.len() as u64))
    }

    fn batches(mut self, n: usize, annotations: &[Annotation]) -> Self {
        for _ in 0..n {
            self = self.batch(annotations);
        }
        self
    }

    /// Changes a byte of the value in the n-th batch.
    fn damage(mut self, n: usize) -> Self {
        self.bytes[self.starts[n] + 28] ^= 4;
        self
    }

    fn end_of(&self, n: usize) -> usize {
        self.starts.get(n + 1).copied().unwrap_or(self.bytes.len())
    }

    /// Changes a byte of the commit line of the n-th batch, counted from the line's start.
    fn damage_commit(mut self, n: usize, at: usize) -> Self {
        let end = self.end_of(n);
        self.bytes[end - COMMIT_LINE_BYTES + at] ^= 0x40;
        self
    }
}

fn recover(bytes: &[u8]) -> Recovery {
    replay(&Memory::file(bytes), |_| {}, |_| Ok(())).unwrap()
}

fn survivors(log: &Log, recovery: &Recovery) -> Vec<usize> {
    let len = log.bytes.len() as u64;
    let mut survey = Survey::new(Memory::file(&log.bytes), recovery.chain, recovery.end, len);
    let mut found = Vec::new();
    while let Some(survivor) = survey.next(|_| {}).unwrap() {
        found.push(log.starts.iter().position(|s| *s as u64 == survivor.start.0).expect("a batch"));
    }
    found
}

fn because(recovery: &Recovery) -> Option<Because> {
    match recovery.verdict {
        Verdict::Damaged { because, .. } => Some(because),
        _ => None,
    }
}

/// Those of `log`'s batches that are found in `bytes`, which is that log changed, and how far out of their places.
fn found_moved(log: &Log, bytes: &[u8]) -> Vec<(usize, i64)> {
    let recovery = recover(bytes);
    let mut survey = Survey::new(Memory::file(bytes), recovery.chain, recovery.end, bytes.len() as u64);
    let mut found = Vec::new();
    while let Some(survivor) = survey.next(|_| {}).unwrap() {
        let place = survivor.start.0.checked_add_signed(survivor.shift).unwrap();
        let n = log.starts.iter().position(|start| *start as u64 == place).expect("a batch");
        found.push((n, survivor.shift));
    }
    found
}

/// A log with the bytes from `at` to `to` replaced.
fn replaced(log: &Log, at: usize, to: usize, by: &[u8]) -> Vec<u8> {
    [&log.bytes[..at], by, &log.bytes[to..]].concat()
}

#[test]
fn an_empty_file_is_a_new_log_and_zeros_are_damage() {
    assert_eq!(recover(b"").verdict, Verdict::New);
    for zeros in [1, 36, 37, 3 << 20] {
        let found = recover(&vec![0; zeros]);
        assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::OnlyZeros, .. }), "{zeros}: {found:?}");
    }
}

#[test]
fn a_header_alone_is_clean_and_zeros_behind_a_commit_are_reserved() {
    let header = recover(&Log::new().bytes);
    assert_eq!((header.verdict, header.end), (Verdict::Clean, LogOffset(HEADER_LINE_BYTES as u64)));
    let log = Log::new().batches(3, &[]);
    let mut reserved = log.bytes.clone();
    reserved.resize(2 << 20, 0);
    let found = recover(&reserved);
    assert_eq!((found.verdict, found.end.0 as usize, found.records), (Verdict::Clean, log.bytes.len(), 3));
}

#[test]
fn a_flaw_behind_all_that_was_durable_is_a_torn_tail() {
    let log = Log::new().batches(3, &[]).damage(1);
    let found = recover(&log.bytes);
    assert_eq!(found.verdict, Verdict::Torn(Flaw::Checksum), "nothing was synced: a crash may have left this");
    assert_eq!((found.end.0 as usize, found.records), (log.starts[1], 1));
    assert_eq!(survivors(&log, &found), [2]);
}

#[test]
fn a_flaw_before_what_a_later_batch_calls_durable_is_damage() {
    let log = Log::new().batches(3, &[]);
    let synced = log.synced();
    let log = log.batch(&[synced]).batch(&[]);
    for n in 0..3 {
        let found = recover(&log.clone().damage(n).bytes);
        assert_eq!(because(&found), Some(Because::WasDurable), "batch {n}");
        assert_eq!(found.end.0 as usize, log.starts[n]);
    }
    let at_the_mark = recover(&log.clone().damage(3).bytes);
    assert_eq!(at_the_mark.verdict, Verdict::Torn(Flaw::Checksum), "X = D: the batch itself was not synced");
}

#[test]
fn a_sound_batch_behind_a_flaw_is_damage_where_nothing_is_synced() {
    let log = Log::new().batch(&[Annotation::NoSync]).batches(2, &[]);
    assert_eq!(because(&recover(&log.clone().damage(1).bytes)), Some(Because::SoundBatchesFollow));
    assert_eq!(recover(&log.clone().damage(2).bytes).verdict, Verdict::Torn(Flaw::Checksum), "nothing follows");
    let own = Log::new().batches(2, &[]).batch(&[Annotation::NoSync]);
    assert_eq!(because(&recover(&own.damage(0).bytes)), Some(Because::SoundBatchesFollow), "it begins behind");
    let over = Log::new().batch(&[Annotation::NoSync]);
    let synced = over.synced();
    let over = over.batch(&[synced]).batches(2, &[]);
    assert_eq!(recover(&over.damage(2).bytes).verdict, Verdict::Torn(Flaw::Checksum), "a #SYNCED ends the stretch");
}

#[test]
fn a_synced_line_that_knows_the_future_is_damage() {
    let log = Log::new().batch(&[]);
    let future = Annotation::Synced(LogOffset(log.bytes.len() as u64 + 1));
    let found = recover(&log.batch(&[future]).bytes);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::SyncedBeyond, .. }), "{found:?}");
}

#[test]
fn annotations_are_not_gathered_without_end() {
    let annotations = |log: &Log| {
        let mut reader = LogReader::new(Memory::file(&log.bytes));
        match reader.next().unwrap() {
            Event::Batch(batch) => Ok(batch.annotations.len()),
            Event::Flawed { flaw, .. } => Err(flaw),
            other => panic!("{other:?}"),
        }
    };
    // Those of a later version are skipped, however many they are.
    let later = format!("{}#TS:1\r\n", "#\r\n#LATER:1\r\n".repeat(MAX_ANNOTATIONS));
    assert_eq!(annotations(&Log::new().batch_of_bytes(later.as_bytes())), Ok(1));
    let known = "#TS:1\r\n".repeat(MAX_ANNOTATIONS);
    assert_eq!(annotations(&Log::new().batch_of_bytes(known.as_bytes())), Ok(MAX_ANNOTATIONS));
    let too_many = Log::new().batch(&[]).batch_of_bytes(format!("{known}#NOSYNC\r\n").as_bytes()).batch(&[]).damage(0);
    assert_eq!(survivors(&too_many, &recover(&too_many.bytes)), [2]);
    let first = Log::new().batch_of_bytes(format!("{known}#NOSYNC\r\n").as_bytes());
    assert_eq!(annotations(&first), Err(Flaw::Annotations));
}

#[test]
fn a_plain_log_has_no_annotations() {
    let mut bytes = b"#TS:5\r\n#SYNCED:00ffffffffffffff\r\n#NOSYNC\r\n#REWRITTEN:7\r\n".to_vec();
    encode::request(&mut bytes, &["SET", "a", "1"]);
    let mut reader = LogReader::new(Memory::file(&bytes));
    let Event::Batch(batch) = reader.next().unwrap() else { panic!("a command") };
    assert_eq!((batch.annotations, batch.times().next()), (&[][..], Some((LogOffset(0), 5))));
    let found = recover(&bytes);
    assert_eq!((found.durable, found.no_sync, found.rewrites), (LogOffset(0), false, 0));
}

#[test]
fn a_log_with_commit_lines_and_no_header_is_damaged_not_plain() {
    let log = Log::new().batches(2, &[]);
    let mut headless = log.bytes.clone();
    headless[9] ^= 1;
    let found = recover(&headless);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::Header, .. }), "{found:?}");
    headless[3] ^= 1;
    let found = recover(&headless);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::Header, .. }), "{found:?}");
    headless.drain(..HEADER_LINE_BYTES);
    let found = recover(&headless);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::NoHeader, .. }), "{found:?}");
    assert_eq!(because(&found), Some(Because::NotATrace));
}

/// Without a header it would be a plain log, of which an incomplete end is a tear.
#[test]
fn a_length_that_swallows_the_rest_behind_a_header_with_two_wrong_bits_is_damage() {
    let mut log = Log::new().batches(4, &[]).bytes;
    log[2] ^= 3;
    let length = memchr::memmem::find(&log, b"$7").unwrap() + 1;
    log.splice(length..=length, *b"915");
    let found = recover(&log);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::Header, .. }), "{found:?}");
}

#[test]
fn a_header_that_is_none_is_not_skipped_even_without_batches() {
    let log = Log::new();
    for byte in 7..HEADER_LINE_BYTES - 2 {
        let mut damaged = log.bytes.clone();
        damaged[byte] ^= 1;
        assert!(matches!(recover(&damaged).verdict, Verdict::Damaged { .. }), "byte {byte}");
    }
}

#[test]
fn another_servers_commands_behind_a_chain_are_no_tear() {
    let log = Log::new().batches(2, &[]);
    let synced = log.synced();
    // Of a server that was killed, and of one that has closed its log.
    for log in [log.clone(), log.batch(&[synced])] {
        let end = log.bytes.len();
        for first in [&["SELECT", "0"][..], &["select", "7"], &["MULTI"]] {
            let by_hand = format!("#{}\n", "by hand ".repeat(100)).repeat(2);
            for annotations in ["", "#TS:1700000000\r\n", "#TS:1700000000\r\n#later\r\n", &by_hand] {
                let mut log = log.clone();
                log.bytes.extend(annotations.bytes());
                let log = log.command(first);
                let whole = log.bytes.len();
                let log = log.command(&["SET", "a", "1"]).command(&["HSET", "b", "c", "1"]);
                for cut in end + 1..=log.bytes.len() {
                    let found = recover(&log.bytes[..cut]);
                    let expected = (cut >= whole).then_some(Because::PlainCommandsFollow);
                    assert_eq!((because(&found), found.end.0 as usize), (expected, end), "{first:?}, cut at {cut}");
                }
            }
        }
    }
}

/// It has cut off what was incomplete, and no more.
#[test]
fn another_servers_commands_behind_the_commands_of_a_torn_batch_are_no_tear() {
    let log = Log::new().batches(2, &[]);
    let end = log.bytes.len();
    let large = "v".repeat(3 << 20);
    let torn = log.command(&["SET", "a", "1"]).command(&["SET", "b", &large]).command(&["DEL", "a"]);
    // The batch may be whole, too, and others behind it; then something in it has changed.
    let mut changed = torn.clone();
    Annotation::Timestamp(1).write(&mut changed.bytes);
    Annotation::Commit { len: (changed.bytes.len() - end) as u32, crc: 0 }.write(&mut changed.bytes);
    for ours in [torn.clone(), changed.clone(), torn.clone().command(&["SET", "c", &large])] {
        assert!(matches!(recover(&ours.bytes).verdict, Verdict::Torn(_)));
        for first in [&["SELECT", "0"][..], &["MULTI"]] {
            let log = ours.clone().command(first).command(&["SET", "theirs", "1"]);
            let found = recover(&log.bytes);
            let expected = Some(Because::PlainCommandsFollow);
            assert_eq!((because(&found), found.end.0 as usize), (expected, end), "{first:?}");
        }
    }
    let whole = torn.bytes.len();
    let theirs = Log::plain().command(&["SELECT", "0"]).command(&["SET", "theirs", "1"]).bytes;
    // Behind something that is no whole command, none tells.
    let bytes = [&torn.bytes[..whole - 3], &theirs].concat();
    assert!(matches!(recover(&bytes).verdict, Verdict::Torn(_)));
    // But of an annotation line it has cut off nothing, and goes on in it.
    for cut in whole..changed.bytes.len() {
        let bytes = [&changed.bytes[..cut], &theirs].concat();
        let found = recover(&bytes);
        let expected = Some(Because::PlainCommandsFollow);
        assert_eq!((because(&found), found.end.0 as usize), (expected, end), "cut {} bytes behind", cut - whole);
    }
}

/// Its pages come in any order, and the value may be anything.
#[test]
fn a_torn_batch_is_not_taken_for_another_servers_commands() {
    let mut value = b"\r\n".to_vec();
    for command in [&["SELECT", "0"][..], &["MULTI"], &["SET", "a", "1"]] {
        encode::request(&mut value, command);
    }
    let value = String::from_utf8(value).unwrap();
    let log = Log::new().batches(2, &[]).batch_of(&value, &[Annotation::Timestamp(1)]).batch(&[]);
    let (start, end) = (log.starts[2], log.starts[3]);
    for at in start..end {
        let mut beginning_lost = log.bytes.clone();
        beginning_lost[start..=at].fill(0);
        let mut end_lost = log.bytes.clone();
        end_lost[at..end].fill(0);
        for bytes in [&log.bytes[..at.max(start + 1)], &beginning_lost, &end_lost] {
            let found = recover(bytes);
            assert!(matches!(found.verdict, Verdict::Torn(_)), "byte {at}: {found:?}");
            assert_eq!(found.end.0 as usize, start, "byte {at}");
        }
    }
}

#[test]
fn a_reader_that_goes_back_sees_what_came_meanwhile() {
    let log = Log::new().batches(4, &[]);
    let memory = Arc::new(Memory::new(Vec::new()));
    let mut replay = Replay::new(Arc::clone(&memory) as Arc<dyn DiskRead>).unwrap();
    let mut records = 0;
    for end in 0..=log.bytes.len() {
        *memory.bytes.lock() = log.bytes[..end].to_vec();
        if end % 3 == 0 {
            // Space reserved ahead.
            memory.bytes.lock().resize(end + 40, 0);
        }
        replay.retry();
        while let Some(batch) = replay.next().unwrap() {
            records += batch.len();
            assert_eq!(batch.records().next().unwrap().1.at(2), format!("value {}", records - 1).as_bytes());
        }
    }
    assert_eq!(records, 4);
    assert_eq!(replay.finish(|_| {}).unwrap().verdict, Verdict::Clean);
}

/// Up to the longest that there may be, a GiB, it is.
#[test]
fn a_batch_too_long_for_any_is_not_gathered() {
    // A chain whose records never end in a commit line, each as long as a block of the reader divides evenly.
    struct Endless;
    impl DiskRead for Endless {
        fn len(&self) -> io::Result<u64> {
            Ok(1 << 40)
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let mut unit = Log::new().bytes;
            let rest = 64 - unit.len();
            unit.extend(format!("#{:.<1$}\r\n", "", rest - 3).bytes());
            let record = b"*2\r\n$1\r\nX\r\n$46\r\n1234567890123456789012345678901234567890123456\r\n";
            assert_eq!((unit.len(), record.len()), (64, 64));
            let mut filled = 0;
            while filled < buffer.len() {
                let at = offset as usize + filled;
                let rest = &(if at < 64 { &unit[..] } else { record })[at % 64..];
                let len = rest.len().min(buffer.len() - filled);
                buffer[filled..filled + len].copy_from_slice(&rest[..len]);
                filled += len;
            }
            Ok(filled)
        }
    }
    let mut replay = Replay::new(Arc::new(Endless)).unwrap();
    assert!(replay.next().unwrap().is_none());
    assert_eq!(replay.flaw(), Some(&Flaw::Length));
}

proptest! {
    #[test]
    fn noise_is_never_believed_nor_fatal(mut noise in prop::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>()) {
        let log = Log::new().batches(3, &[]);
        let synced = log.synced();
        let log = log.batch(&[synced]);
        let at = at.index(log.bytes.len());
        let mut bytes = log.bytes.clone();
        noise.truncate(bytes.len() - at);
        bytes[at..at + noise.len()].copy_from_slice(&noise);
        let found = recover(&bytes);
        if bytes != log.bytes {
            prop_assert!(!matches!(found.verdict, Verdict::Clean | Verdict::New), "{:?}", found);
        }
        recover(&noise);
    }
}
