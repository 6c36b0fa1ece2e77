//! The table of recovery, row by row: logs are built by hand, and nothing but their bytes decides.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::LogOffset;
use super::disk::DiskFile;
use super::format::{Annotation, COMMIT_LINE_BYTES, Chain, HEADER_LINE_BYTES, MAX_ANNOTATIONS, Salt};
use super::plain::{ends_with_command, is_command};
use super::reader::{Event, Flaw, LogReader, RDB_MAGIC};
use super::replay::{Because, Recovery, Replay, Verdict, replay};
use super::survey::Survey;
use crate::protocol::decode::{Args, RequestDecoder};
use crate::protocol::encode;

/// A file in memory.
pub(super) struct Memory(pub(super) Mutex<Vec<u8>>);

impl Memory {
    pub(super) fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
        Arc::new(Self(Mutex::new(bytes.to_vec())))
    }
}

impl DiskFile for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock();
        let there = bytes.get(offset as usize..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        Ok(len)
    }

    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        unreachable!("recovery does not write")
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("recovery does not write")
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!("recovery does not write")
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("recovery does not write")
    }
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
    while let Some(survivor) = survey.next().unwrap() {
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

#[test]
fn an_empty_file_and_zeros_are_a_new_log() {
    assert_eq!(recover(b"").verdict, Verdict::New);
    assert_eq!(recover(&vec![0; 3 << 20]).verdict, Verdict::New);
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
fn behind_one_flaw_all_other_batches_verify_whatever_was_hit() {
    let log = Log::new().batches(6, &[Annotation::Timestamp(1)]);
    for byte in log.starts[2]..log.starts[3] {
        for bit in 0..8 {
            let mut damaged = log.clone();
            damaged.bytes[byte] ^= 1 << bit;
            let found = recover(&damaged.bytes);
            assert_eq!(found.end.0 as usize, log.starts[2], "byte {byte} bit {bit}");
            let mut rest = survivors(&damaged, &found);
            // A batch whose commit line alone is damaged may count too: its bytes are good.
            rest.retain(|n| *n != 2);
            assert_eq!(rest, [3, 4, 5], "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn several_flaws_cost_only_their_own_batches() {
    let log = Log::new().batches(9, &[]).damage(1).damage(2).damage(5);
    let found = recover(&log.bytes);
    assert_eq!(survivors(&log, &found), [3, 4, 6, 7, 8], "each is known by the crc that the one before states");
    let lines = Log::new().batches(6, &[]).damage_commit(1, 15).damage(3);
    assert_eq!(survivors(&lines, &recover(&lines.bytes)), [2, 4, 5], "by the computed one, by the stated one");
}

/// Those of `log`'s batches that are found in `bytes`, which is that log changed, and how far out of their places.
fn found_moved(log: &Log, bytes: &[u8]) -> Vec<(usize, i64)> {
    let recovery = recover(bytes);
    let mut survey = Survey::new(Memory::file(bytes), recovery.chain, recovery.end, bytes.len() as u64);
    let mut found = Vec::new();
    while let Some(survivor) = survey.next().unwrap() {
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

/// Nothing was synced, so that any wrong bytes in their place would be a tear.
#[test]
fn bytes_taken_out_or_put_in_are_damage_and_all_other_batches_are_found() {
    let log = Log::new().batches(7, &[]);
    let long = "long ".repeat(1000);
    for at in log.starts[2]..log.starts[3] - COMMIT_LINE_BYTES - 4 {
        for (to, by) in [(at + 1, ""), (at + 5, ""), (at, "#"), (at, "more"), (at, &long)] {
            let bytes = replaced(&log, at, to, by.as_bytes());
            let shift = (to - at) as i64 - by.len() as i64;
            let what = format!("{at}..{to} replaced by {} bytes", by.len());
            let found = recover(&bytes);
            assert_eq!(because(&found), Some(Because::OutOfPlace(shift)), "{what}");
            assert_eq!(found.end.0 as usize, log.starts[2], "{what}");
            let mut rest = found_moved(&log, &bytes);
            // All of it, behind bytes that were put before it.
            rest.retain(|(n, _)| *n != 2);
            assert_eq!(rest, [3, 4, 5, 6].map(|n| (n, shift)), "{what}");
        }
    }
}

#[test]
fn a_batch_taken_out_or_put_in_twice_is_damage() {
    let log = Log::new().batches(3, &[]).batch_of(&"v".repeat(300_000), &[]).batches(4, &[]);
    for n in [1, 3] {
        let (from, to) = (log.starts[n], log.end_of(n));
        let len = (to - from) as i64;
        let without = replaced(&log, from, to, b"");
        assert_eq!(because(&recover(&without)), Some(Because::OutOfPlace(len)));
        // Nothing tells of the one that follows directly.
        assert_eq!(found_moved(&log, &without), (n + 2..8).map(|n| (n, len)).collect::<Vec<_>>());
        let twice = replaced(&log, to, to, &log.bytes[from..to]);
        assert_eq!(because(&recover(&twice)), Some(Because::OutOfPlace(-len)));
        assert_eq!(found_moved(&log, &twice), (n + 1..8).map(|n| (n, -len)).collect::<Vec<_>>());
    }
}

#[test]
fn one_batch_behind_moved_bytes_tells_by_its_synced_line() {
    let log = Log::new().batches(3, &[]);
    let synced = log.synced();
    for (last, tells) in [(log.clone().batch(&[synced]), true), (log.clone().batch(&[]), false)] {
        let bytes = replaced(&last, log.starts[2] + 30, log.starts[2] + 31, b"");
        let because = because(&recover(&bytes));
        assert_eq!(because, tells.then_some(Because::OutOfPlace(1)), "it was written at {:?}", last.starts[3]);
    }
}

#[test]
fn where_bytes_were_moved_twice_what_is_between_is_found_and_what_is_behind() {
    let log = Log::new().batches(12, &[]);
    let changed = replaced(&log, log.starts[6] + 30, log.starts[6] + 30, b"more");
    let once = Log { bytes: changed, ..log.clone() };
    let bytes = replaced(&once, log.starts[1] + 30, log.starts[1] + 32, b"");
    let expected: Vec<_> = (2..6).map(|n| (n, 2)).chain((7..12).map(|n| (n, -2))).collect();
    assert_eq!(found_moved(&log, &bytes), expected);
    // Where as many are put in as were taken out, the rest is in its place again.
    let back = replaced(&once, log.starts[1] + 30, log.starts[1] + 34, b"");
    let expected: Vec<_> = (2..6).map(|n| (n, 4)).chain((7..12).map(|n| (n, 0))).collect();
    assert_eq!(found_moved(&log, &back), expected);
}

#[test]
fn copies_of_batches_from_before_the_flaw_tell_nothing() {
    let log = Log::new();
    let log = log.clone().batch(&[log.synced()]).batches(4, &[]);
    let copy = log.bytes[log.starts[0]..].to_vec();
    // In a value, or behind the end.
    let value = String::from_utf8(copy.clone()).unwrap();
    let with_value = log.clone().batch_of(&value, &[]);
    for bytes in [&with_value.bytes[..with_value.bytes.len() - 3], &[&log.bytes[..], &copy].concat()] {
        let found = recover(bytes);
        assert!(matches!(found.verdict, Verdict::Torn(_)), "{:?}", found.verdict);
        assert_eq!(found.end.0 as usize, log.bytes.len());
    }
}

#[test]
fn a_survey_is_not_slowed_by_lines_that_look_like_small_batches() {
    // Each may have been written in some other place.
    let lies = (0..20_000).map(|n| format!("#C:00000000:{n:08x}\r\n")).collect::<Vec<_>>().concat();
    let log = Log::new().batch(&[]).batch_of(&lies, &[]).batches(3, &[]).damage(0);
    assert_eq!(survivors(&log, &recover(&log.bytes)), [1, 2, 3, 4]);
    let torn = log.damage(1).damage(2).damage(3).damage(4);
    let found = recover(&torn.bytes);
    assert!(matches!(found.verdict, Verdict::Torn(_)), "{:?}", found.verdict);
}

#[test]
fn a_stored_value_cannot_pass_for_a_batch() {
    let other = Log::plain().header(8).batches(3, &[Annotation::Synced(LogOffset(0))]);
    let value = String::from_utf8(other.bytes).unwrap();
    let log = Log::new().batch(&[]).batch_of(&value, &[]).batch(&[]).damage(0);
    let found = recover(&log.bytes);
    assert_eq!(survivors(&log, &found), [1, 2]);
    assert_eq!(found.durable, LogOffset(0));
}

#[test]
fn a_survey_is_not_slowed_by_lines_that_look_like_commits() {
    let lie = |n: u32| format!("#C:{:08x}:{n:08x}\r\n", n * 22);
    let lies = (0..20_000).map(lie).collect::<Vec<_>>().concat();
    let log = Log::new().batch(&[]).batch_of(&lies, &[]).batches(3, &[]).damage(0);
    assert_eq!(survivors(&log, &recover(&log.bytes)), [1, 2, 3, 4]);
}

#[test]
fn many_small_batches_behind_a_flaw_are_read_once() {
    let log = Log::new().batches(20_000, &[]).damage(0);
    // Were the file read again for each survivor, this would take minutes.
    assert_eq!(survivors(&log, &recover(&log.bytes)).len(), 19_999);
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
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::NoHeader, .. }), "{found:?}");
    headless.drain(..HEADER_LINE_BYTES);
    let found = recover(&headless);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::NoHeader, .. }), "{found:?}");
    assert_eq!(because(&found), Some(Because::NotATrace));
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
fn a_plain_log_is_read_and_its_incomplete_end_is_torn() {
    let log = Log::plain().command(&["SELECT", "0"]).command(&["SET", "a", "1"]);
    let found = recover(&log.bytes);
    assert_eq!((found.verdict, found.records, found.chain), (Verdict::Clean, 2, None));
    let whole = log.bytes.len();
    let log = log.command(&["SET", "b", "a longer value"]);
    for cut in whole + 1..log.bytes.len() {
        let found = recover(&log.bytes[..cut]);
        assert_eq!(found.verdict, Verdict::Torn(Flaw::Incomplete), "cut at {cut}");
        assert_eq!((found.end.0 as usize, found.records), (whole, 2));
    }
}

#[test]
fn an_open_transaction_of_a_plain_log_is_torn_as_a_whole() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let whole = log.bytes.len();
    let log = log.command(&["MULTI"]).command(&["SET", "b", "1"]).command(&["SET", "c", "1"]);
    let found = recover(&log.bytes);
    assert_eq!((found.verdict, found.end.0 as usize, found.records), (Verdict::Torn(Flaw::Incomplete), whole, 1));
    let torn = recover(&log.bytes[..log.bytes.len() - 3]);
    assert_eq!((torn.verdict, torn.end.0 as usize, torn.records), (Verdict::Torn(Flaw::Incomplete), whole, 1));
    let done = log.command(&["EXEC"]).command(&["SET", "d", "1"]);
    let found = recover(&done.bytes);
    assert_eq!((found.verdict, found.records), (Verdict::Clean, 4));
}

#[test]
fn a_length_that_swallows_the_rest_of_a_plain_log_is_damage() {
    let mut bytes = Log::plain().command(&["SET", "a", "1"]).bytes;
    let at = bytes.len();
    let log = Log { bytes: Vec::new(), ..Log::plain() }.command(&["SET", "b", "12345"]);
    bytes.extend_from_slice(String::from_utf8(log.bytes).unwrap().replace("$5", "$9999").as_bytes());
    let torn = recover(&bytes);
    assert_eq!(torn.verdict, Verdict::Torn(Flaw::Incomplete), "nothing follows");
    encode::request(&mut bytes, &["SET", "c", "1"]);
    let found = recover(&bytes);
    assert_eq!((because(&found), found.end.0 as usize), (Some(Because::CommandsFollow), at));
}

/// What a value may hold: every 15 bytes a command that begins with all the strings behind it. To look at each of them
/// anew would take minutes.
fn beginnings_of_commands() -> Vec<u8> {
    b"$9\r\n\n*9999999\r\n".repeat(300_000)
}

#[test]
fn a_torn_value_that_is_full_of_beginnings_of_commands_is_soon_judged() {
    let value = beginnings_of_commands();
    let mut bytes = Log::plain().command(&["SET", "a", "1"]).bytes;
    bytes.extend(format!("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n${}\r\n", value.len() + 100).bytes());
    bytes.extend(value);
    assert_eq!(recover(&bytes).verdict, Verdict::Torn(Flaw::Incomplete));
    encode::request(&mut bytes, &["SET", "c", "1"]);
    assert_eq!(because(&recover(&bytes)), Some(Because::CommandsFollow));
}

#[test]
fn a_longer_length_that_swallows_what_kvred_has_appended_is_damage() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let at = log.bytes.len();
    let log = log.command(&["SET", "b", "12345"]).header(9);
    let synced = log.synced();
    let log = log.batch(&[synced]).batches(2, &[]);
    let length = memchr::memmem::find(&log.bytes, b"$5").unwrap() + 1;
    let bytes = replaced(&log, length, length + 1, b"50000");
    let found = recover(&bytes);
    assert_eq!((because(&found), found.end.0 as usize), (Some(Because::OutOfPlace(-4)), at));
    assert_eq!(found_moved(&log, &bytes), [0, 1, 2].map(|n| (n, -4)));
}

/// What [`ends_with_command`] has to say, in as many steps as it takes.
fn some_line_leads_to_the_end(text: &[u8]) -> bool {
    let mut text = text.to_vec();
    (1..text.len()).filter(|at| text[at - 1..].starts_with(b"\n*")).collect::<Vec<_>>().into_iter().any(|mut at| {
        loop {
            let mut args = Vec::new();
            match RequestDecoder::for_log().decode(&mut text, at, &mut args) {
                Ok(Some(end)) if is_command(Args::new(&text, &args)) => at = end,
                _ => return false,
            }
            if at == text.len() {
                return true;
            }
        }
    })
}

#[test]
fn a_plain_log_that_is_not_resp_is_damage_with_its_place() {
    for (bytes, flaw_at) in
        [(&b"hello"[..], 0), (b"*1\r\n$4\r\nPING\r\nX", 14), (b"*0\r\n", 0), (b"*1\r\n$1\r\nabc", 0)]
    {
        let found = recover(bytes);
        assert!(matches!(found.verdict, Verdict::Damaged { .. }), "{found:?}");
        assert_eq!(found.end, LogOffset(flaw_at));
    }
    let rdb = recover(&[RDB_MAGIC, b"0011\xfa"].concat());
    assert!(matches!(rdb.verdict, Verdict::Damaged { flaw: Flaw::Rdb, .. }), "{rdb:?}");
}

#[test]
fn another_servers_commands_behind_a_chain_are_no_tear() {
    let log = Log::new().batches(2, &[]);
    let synced = log.synced();
    // Of a server that was killed, and of one that has closed its log.
    for log in [log.clone(), log.batch(&[synced])] {
        let end = log.bytes.len();
        for first in [&["SELECT", "0"][..], &["select", "7"], &["MULTI"]] {
            for annotations in ["", "#TS:1700000000\r\n", "#TS:1700000000\r\n#later\r\n"] {
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
fn kvred_goes_on_behind_a_plain_log() {
    let log = Log::plain().command(&["SET", "a", "1"]).command(&["SET", "b", "1"]);
    let joint = log.bytes.len();
    let log = log.header(9);
    let synced = Annotation::Synced(LogOffset(joint as u64));
    let log = log.batch(&[synced]).batch(&[]);
    let found = recover(&log.bytes);
    assert_eq!((&found.verdict, found.records, found.durable.0 as usize), (&Verdict::Clean, 4, joint));
    assert!(found.chain.is_some());
    for cut in joint + 1..log.starts[0] {
        let torn = recover(&log.bytes[..cut]);
        assert_eq!((torn.verdict, torn.end.0 as usize), (Verdict::Torn(Flaw::Incomplete), joint), "cut at {cut}");
    }
    let torn = recover(&log.damage(1).bytes);
    assert_eq!(torn.verdict, Verdict::Torn(Flaw::Checksum));
}

/// A plain log behind which kvred has gone on with two batches, with a wrong bit in a length that so swallows the rest,
/// in the last plain command or in the last but one; and where that command begins.
fn swallowing(others_follow: bool) -> (Log, usize) {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let at = log.bytes.len();
    let mut log = log.command(&["SET", "b", &"v".repeat(100)]);
    if others_follow {
        log = log.command(&["SET", "c", "1"]);
    }
    let length = memchr::memmem::find(&log.bytes, b"$100").unwrap() + 1;
    log.bytes[length] = b'9';
    let synced = log.synced();
    (log.header(9).batch(&[synced]).batch(&[]), at)
}

#[test]
fn a_length_that_swallows_what_kvred_has_appended_is_damage() {
    for others_follow in [false, true] {
        let (log, at) = swallowing(others_follow);
        // A crash may have cut the last batch, or left reserved space behind it.
        for (len, zeros) in (log.starts[0]..=log.bytes.len()).flat_map(|len| [(len, 0), (len, 200)]) {
            let mut bytes = log.bytes[..len].to_vec();
            bytes.resize(len + zeros, 0);
            let found = recover(&bytes);
            let because = because(&found).unwrap_or_else(|| panic!("{len} bytes and {zeros} zeros: {found:?}"));
            assert_eq!(found.end.0 as usize, at, "{len} bytes and {zeros} zeros");
            // Before the first batch is whole, it is the text that tells.
            let first_is_whole = len >= log.starts[1];
            assert_eq!(because == Because::WasDurable, first_is_whole, "{len} bytes and {zeros} zeros: {because}");
        }
        let found = recover(&log.bytes);
        assert_eq!((survivors(&log, &found), found.records), (vec![0, 1], 1));
        // What is wrong with the plain part makes no difference to the other.
        let mut broken = log.clone();
        broken.bytes[at] = b'x';
        let found = recover(&broken.bytes);
        assert_eq!((because(&found), survivors(&log, &found)), (Some(Because::NotATrace), vec![0, 1]));
    }
}

#[test]
fn a_torn_value_that_holds_a_log_of_kvreds_is_torn() {
    let (other, _) = swallowing(true);
    for other in [&other, &Log::new().batches(3, &[Annotation::Synced(LogOffset(0)), Annotation::NoSync])] {
        let log = Log::plain().command(&["SET", "a", "1"]);
        let at = log.bytes.len();
        let log = log.command(&["SET", "copy", std::str::from_utf8(&other.bytes).unwrap()]);
        let value = log.bytes.len() - 2 - other.bytes.len();
        // Behind the copy's first batch, that is: a header with less could be one with which kvred went on.
        for len in value + other.starts[1]..log.bytes.len() {
            if ends_with_command(&log.bytes[value..len]) {
                // Whole commands follow, as far as one can tell.
                continue;
            }
            let found = recover(&log.bytes[..len]);
            assert_eq!((found.verdict, found.end.0 as usize), (Verdict::Torn(Flaw::Incomplete), at), "cut at {len}");
        }
    }
}

#[test]
fn a_torn_value_that_is_full_of_chains_is_soon_judged() {
    let header = Log::plain().header(5).bytes;
    let line = |n: u32, crc: u32| format!("#C:{:08x}:{crc:08x}\r\n", n * 22).into_bytes();
    // Each of these lines commits all that stands between it and the one header, or between it and a header of its own.
    let one = [header.clone(), (0..20_000).flat_map(|n| line(n, n)).collect()].concat();
    let many = [header, line(0, 0)].concat().repeat(50_000);
    for value in [one, many] {
        let mut bytes = Log::plain().command(&["SET", "a", "1"]).bytes;
        bytes.extend(format!("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n${}\r\n\n", value.len() + 100).bytes());
        bytes.extend(value);
        assert_eq!(recover(&bytes).verdict, Verdict::Torn(Flaw::Incomplete));
    }
}

#[test]
fn a_reader_that_goes_back_sees_what_came_meanwhile() {
    let log = Log::new().batches(4, &[]);
    let memory = Arc::new(Memory(Mutex::new(Vec::new())));
    let mut replay = Replay::new(Arc::clone(&memory) as Arc<dyn DiskFile>).unwrap();
    let mut records = 0;
    for end in 0..=log.bytes.len() {
        *memory.0.lock() = log.bytes[..end].to_vec();
        if end % 3 == 0 {
            // Space reserved ahead.
            memory.0.lock().resize(end + 40, 0);
        }
        replay.retry();
        while let Some(batch) = replay.next().unwrap() {
            records += batch.len();
            assert_eq!(batch.records().next().unwrap().1.at(2), format!("value {}", records - 1).as_bytes());
        }
    }
    assert_eq!(records, 4);
    assert_eq!(replay.finish().unwrap().verdict, Verdict::Clean);
}

/// Up to the longest that there may be, a GiB, it is.
#[test]
fn a_batch_too_long_for_any_is_not_gathered() {
    // A chain whose records never end in a commit line, each as long as a block of the reader divides evenly.
    struct Endless;
    impl DiskFile for Endless {
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
        fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
            unreachable!()
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
        fn sync_data(&self) -> io::Result<()> {
            unreachable!()
        }
        fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
            unreachable!()
        }
    }
    let mut replay = Replay::new(Arc::new(Endless)).unwrap();
    assert!(replay.next().unwrap().is_none());
    assert_eq!(replay.flaw(), Some(&Flaw::Length));
}

proptest! {
    #[test]
    fn commands_follow_if_decoding_from_some_line_on_comes_to_the_end(pieces in prop::collection::vec(0..12usize, 1..12)) {
        let pieces = pieces.into_iter().map(|piece| {
            ["*1\r\n", "*2\r\n", "*3\r\n", "*0\r\n", "$1\r\na\r\n", "$0\r\n\r\n", "$6\r\nx\r\n*1\r\n\r\n", "$4\r\n*1\r\n",
             "\n", "\r\n", "$12\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"][piece]
        });
        let text: Vec<u8> = pieces.flat_map(str::bytes).collect();
        prop_assert_eq!(ends_with_command(&text), some_line_leads_to_the_end(&text), "{}", text.escape_ascii());
    }

    #[test]
    fn noise_before_the_place_where_kvred_went_on_is_never_a_tear(noise in prop::collection::vec(any::<u8>(), 1..60), at in any::<prop::sample::Index>()) {
        let (mut log, _) = swallowing(true);
        let length = memchr::memmem::find(&log.bytes, b"$900").unwrap() + 1;
        log.bytes[length] = b'1';
        let joint = log.starts[0] - HEADER_LINE_BYTES;
        let at = at.index(joint - noise.len());
        log.bytes[at..at + noise.len()].copy_from_slice(&noise);
        let found = recover(&log.bytes);
        prop_assert!(!matches!(found.verdict, Verdict::Torn(_) | Verdict::New), "{:?}", found);
    }

    /// Batches were written, undone, and others written in their place; then the power failed, and of each page of the file
    /// the disk has one of the two, or zeros.
    #[test]
    fn no_crash_moves_bytes(
        first in prop::collection::vec(0..300usize, 1..20),
        second in prop::collection::vec(0..300usize, 1..20),
        pages in prop::collection::vec(0..3u8, 200),
        page_bytes in 16..200usize,
        end in any::<prop::sample::Index>(),
    ) {
        let sound = Log::new().batches(2, &[]);
        let append = |lengths: Vec<usize>, letter: &str| {
            lengths.into_iter().fold(sound.clone(), |log, len| {
                let synced = if len % 3 == 0 { vec![log.synced()] } else { Vec::new() };
                log.batch_of(&letter.repeat(len), &synced)
            })
        };
        let (old, new) = (append(first, "o"), append(second, "n"));
        let mut bytes = new.bytes.clone();
        bytes.resize(old.bytes.len().max(new.bytes.len()), 0);
        bytes.truncate(sound.bytes.len() + end.index(bytes.len() - sound.bytes.len()));
        let pages = bytes[sound.bytes.len()..].chunks_mut(page_bytes).zip(pages.into_iter().cycle());
        let mut at = sound.bytes.len();
        for (page, what) in pages {
            for byte in page {
                match what {
                    0 => *byte = 0,
                    1 => *byte = old.bytes.get(at).copied().unwrap_or(0),
                    _ => {}
                }
                at += 1;
            }
        }
        let found = recover(&bytes);
        prop_assert!(!matches!(because(&found), Some(Because::OutOfPlace(_))), "{:?}", found);
    }

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
