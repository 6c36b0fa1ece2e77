//! What is found behind a flaw, in its place or out of it.

use super::*;

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
        let why = because(&recover(&without)).unwrap();
        assert_eq!(why, Because::OutOfPlace(len));
        assert!(why.to_string().ends_with(&format!(": {len} bytes before where they were written")), "{why}");
        // Nothing tells of the one that follows directly.
        assert_eq!(found_moved(&log, &without), (n + 2..8).map(|n| (n, len)).collect::<Vec<_>>());
        let twice = replaced(&log, to, to, &log.bytes[from..to]);
        let why = because(&recover(&twice)).unwrap();
        assert_eq!(why, Because::OutOfPlace(-len));
        assert!(why.to_string().ends_with(&format!(": {len} bytes behind where they were written")), "{why}");
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
fn a_log_behind_another_servers_is_damage_however_long_that_is() {
    let log = Log::new();
    let log = log.clone().batch(&[log.synced()]).batches(3, &[]);
    let mut plain = Log::plain();
    for others in [1, 200] {
        while plain.starts.len() < others {
            plain = plain.command(&["SET", "a", "1"]);
            plain.starts.push(plain.bytes.len());
        }
        let (len, shift) = (plain.bytes.len(), -(plain.bytes.len() as i64));
        // Any of its batches may have been hit, too.
        for (hit, found) in [(None, &[0, 1, 2, 3][..]), (Some(0), &[1, 2, 3]), (Some(1), &[0, 2, 3])] {
            let log = hit.map_or_else(|| log.clone(), |n| log.clone().damage(n));
            let bytes = [&plain.bytes[..], &log.bytes].concat();
            let recovery = recover(&bytes);
            assert_eq!(because(&recovery), Some(Because::OutOfPlace(shift)), "behind {len} bytes, {hit:?}");
            assert_eq!(recovery.end.0 as usize, len + HEADER_LINE_BYTES);
            assert_eq!(found_moved(&log, &bytes), found.iter().map(|n| (*n, shift)).collect::<Vec<_>>());
        }
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

/// Asserts that all batches that stand in `bytes` as they do in `log` are found, and none out of its turn.
fn assert_what_stands_is_found(log: &Log, bytes: &[u8], what: &str) {
    let found: Vec<_> = found_moved(log, bytes).into_iter().map(|(n, _)| n).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "{what}: {found:?}");
    let from = recover(bytes).end.0 as usize;
    // With the commit line before it, which its checksum is of.
    let stands = |n: &usize| {
        let (start, end) = (log.starts[*n], log.end_of(*n));
        let with_line = start - COMMIT_LINE_BYTES..end;
        start >= from && bytes[with_line.clone()] == log.bytes[with_line]
    };
    let missing: Vec<_> = (0..log.starts.len()).filter(stands).filter(|n| !found.contains(n)).collect();
    assert!(missing.is_empty(), "{what}: {missing:?} are not found");
}

/// A disk has written a block to where another one belongs, or two of them each in the other's place.
#[test]
fn a_block_in_anothers_place_costs_only_the_batches_that_it_hit() {
    const BLOCK: usize = 512;
    let log = (0..12).fold(Log::new(), |log, n| log.batches(5, &[]).batch_of(&"v".repeat(n * 30), &[]));
    let log = log.clone().batch(&[log.synced()]);
    let blocks = log.bytes.len() / BLOCK;
    assert!(blocks >= 12, "{blocks}");
    for (there, here) in (1..blocks).flat_map(|a| (1..blocks).map(move |b| (a, b))).filter(|(a, b)| a != b) {
        let block = |n: usize| n * BLOCK..(n + 1) * BLOCK;
        let mut bytes = log.bytes.clone();
        bytes[block(here)].copy_from_slice(&log.bytes[block(there)]);
        assert_what_stands_is_found(&log, &bytes, &format!("{there} over {here}"));
        // Nothing was taken out; next to each other, that cannot be told.
        if here.abs_diff(there) > 2 && here + 2 < blocks {
            assert_eq!(because(&recover(&bytes)), Some(Because::WasDurable), "{there} over {here}");
        }
        bytes[block(there)].copy_from_slice(&log.bytes[block(here)]);
        assert_what_stands_is_found(&log, &bytes, &format!("{there} and {here} swapped"));
    }
}

/// Not even where no sync covers them: what a crash has not written it has written nowhere else.
#[test]
fn blocks_in_each_others_places_are_no_torn_end() {
    const BLOCK: usize = 512;
    let log = Log::new().batches(60, &[]);
    let blocks = log.bytes.len() / BLOCK;
    for (first, second) in (1..blocks).flat_map(|a| (a + 2..blocks).map(move |b| (a, b))) {
        let mut bytes = log.bytes.clone();
        let (left, right) = bytes.split_at_mut(second * BLOCK);
        left[first * BLOCK..][..BLOCK].swap_with_slice(&mut right[..BLOCK]);
        assert!(because(&recover(&bytes)).is_some(), "{first} and {second}: {:?}", recover(&bytes));
    }
}

#[test]
fn another_log_behind_the_last_batch_is_damage_and_all_of_it_is_found() {
    let first = Log::new().batches(3, &[]);
    let other = Log::plain().header(8);
    let other = other.clone().batch(&[other.synced()]).batches(3, &[]);
    let len = first.bytes.len();
    for (hit, standing) in [(None, &[0, 1, 2, 3][..]), (Some(0), &[1, 2, 3]), (Some(2), &[0, 1, 3])] {
        let hit_other = hit.map_or_else(|| other.clone(), |n| other.clone().damage(n));
        for more in [1, 2] {
            let bytes = [&first.bytes[..], &hit_other.bytes.repeat(more)].concat();
            let found = recover(&bytes);
            assert_eq!((because(&found), found.end.0 as usize), (Some(Because::AnotherLogFollows), len), "{hit:?}");
            let behind = LogOffset((len + HEADER_LINE_BYTES) as u64);
            let chain = Some(Chain::new(Salt(8)));
            let mut survey = Survey::new(Memory::file(&bytes), chain, behind, bytes.len() as u64);
            let (mut starts, mut expected) = (Vec::new(), Vec::new());
            while let Some(survivor) = survey.next(|_| {}).unwrap() {
                starts.push(survivor.start.0 as usize);
            }
            for n in 0..more {
                expected.extend(standing.iter().map(|batch| len + n * other.bytes.len() + other.starts[*batch]));
            }
            assert_eq!(starts, expected, "{hit:?}, {more} logs");
        }
    }
    // Behind a flaw, too, it is nothing that a crash leaves.
    let bytes = [&first.clone().damage(1).bytes[..], &other.bytes].concat();
    assert_eq!(because(&recover(&bytes)), Some(Because::OutOfPlace(-(len as i64))));
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

/// A client can have them written, and kill the server before it has.
#[test]
fn a_torn_value_that_is_full_of_commit_lines_is_hardly_read_again() {
    const LINES: u64 = 100_000;
    // Of batches that end where the one before does, and of batches that begin anywhere in the value.
    let small = |_: u64| COMMIT_LINE_BYTES as u64;
    let any = |line: u64| line * 7919 % LINES * line * COMMIT_LINE_BYTES as u64 / LINES;
    for (len, again_for_each) in [(&small as &dyn Fn(u64) -> u64, 0), (&any, 8 << 10)] {
        let lines = (0..LINES).map(|line| format!("#C:{:08x}:00000000\r\n", len(line))).collect::<Vec<_>>().concat();
        let log = Log::new().batch(&[]).batch_of(&lines, &[]);
        let torn = &log.bytes[..log.bytes.len() - COMMIT_LINE_BYTES - 1];
        let (found, read) = recover_counting(torn);
        assert_eq!((found.verdict, found.end.0 as usize), (Verdict::Torn(Flaw::Incomplete), log.starts[1]));
        let most = 3 * torn.len() as u64 + LINES * again_for_each;
        assert!(read <= most, "{read} bytes were read, more than {most}");
    }
}

impl Log {
    fn commit_line(mut self, len: usize, crc: u32) -> Self {
        Annotation::Commit { len: len as u32, crc }.write(&mut self.bytes);
        self
    }

    /// The commit line of what stands from `start` on, as if that had been written at `place` behind a batch with the
    /// checksum `before`; and its checksum.
    fn commit_at(self, start: usize, place: usize, before: u32) -> (Self, u32) {
        let chain = self.chain.expect("a chain has begun").after(before);
        let crc = chain.crc_of(LogOffset(place as u64), [&self.bytes[start..]]);
        let len = self.bytes.len() - start;
        (self.commit_line(len, crc), crc)
    }

    fn filler(mut self, bytes: usize) -> Self {
        self.bytes.resize(self.bytes.len() + bytes, b'x');
        self
    }

    /// What is no command, with a commit line as if it had been written `shift` bytes away, behind any batch; and the
    /// checksum.
    fn claim_of_nothing(self, shift: usize) -> (Self, u32) {
        let log = self.filler(10).commit_line(5, 0xabc).filler(1);
        let start = log.bytes.len() - 1;
        log.commit_at(start, start + shift, 0xabc)
    }
}

/// Who knows the salt can give each another distance.
#[test]
fn a_batch_that_follows_is_looked_for_once_however_far_those_before_it_are_out_of_their_places() {
    const CLAIMS: usize = 60;
    let mut log = Log::new().batches(2, &[]).damage(1);
    let each = 10 + 2 * COMMIT_LINE_BYTES + 26;
    let follows = log.bytes.len() + CLAIMS * each + (4 << 20) + COMMIT_LINE_BYTES;
    let (place, mut shift) = (follows + 64, 0);
    for n in 1..=CLAIMS as u32 {
        log = log.filler(10).commit_line(5, n);
        let start = log.bytes.len();
        Annotation::Synced(LogOffset(place as u64)).write(&mut log.bytes);
        (log, _) = log.commit_at(start, place, n);
        shift = (place - start) as i64;
    }
    log = log.filler(4 << 20).commit_line(5, 0xabc);
    assert_eq!(log.bytes.len(), follows);
    log.chain = log.chain.map(|chain| chain.after(0xabc));
    let log = log.batch(&[]);
    let (found, read) = recover_counting(&log.bytes);
    assert_eq!(because(&found), Some(Because::OutOfPlace(shift)));
    let most = 6 * log.bytes.len() as u64;
    assert!(read <= most, "{read} bytes were read, more than {most}");
}

/// What is believed and is no batch all the same takes the search to another distance, and the next one back.
#[test]
fn batches_that_follow_are_looked_for_within_limits() {
    const MAX_SHIFT: usize = 16 << 20;
    let mut log = Log::new().batches(2, &[]).damage(1);
    for n in 0..100 {
        let shift = if n % 2 == 0 { 100 } else { MAX_SHIFT - 100 };
        let before;
        (log, before) = log.claim_of_nothing(shift);
        let start = log.bytes.len();
        (log, _) = log.filler(1).commit_at(start, start + shift, before);
    }
    let log = log.filler(MAX_SHIFT);
    let (found, read) = recover_counting(&log.bytes);
    assert_eq!(because(&found), Some(Because::TooMuchFollows));
    let most = 3 * log.bytes.len() as u64 + 6 * MAX_SHIFT as u64;
    assert!(read <= most, "{read} bytes were read, more than {most}");
}

/// Two that fit at two distances, each behind a line of its own.
#[test]
fn a_survey_that_goes_back_does_not_read_again_what_is_inside_the_batch() {
    let (log, first) = Log::new().batches(2, &[]).damage(1).claim_of_nothing(1000);
    let first_start = log.bytes.len();
    let (log, second) = log.claim_of_nothing(990);
    let second_start = log.bytes.len();
    let (log, _) = log.filler(3 << 20).commit_at(first_start, first_start + 1000, first);
    let (log, _) = log.commit_at(second_start, second_start + 990, second);
    let (_, read) = recover_counting(&log.bytes);
    let most = 20 * log.bytes.len() as u64;
    assert!(read <= most, "{read} bytes were read, more than {most}");
}

#[test]
fn a_survey_tells_how_far_it_has_come() {
    let log = Log::new().batch(&[]).batch_of(&"v".repeat(5 << 20), &[]);
    let torn = &log.bytes[..log.bytes.len() - 1];
    let (mut told, end) = (Vec::new(), LogOffset(log.starts[1] as u64));
    let found = replay(&Memory::file(torn), |at| told.push(at), |_| Ok(())).unwrap();
    assert_eq!(found.end, end);
    let behind = told.iter().filter(|at| **at > end).count();
    assert!(behind >= 5 && told.is_sorted(), "{told:?}");
}

#[test]
fn many_small_batches_behind_a_flaw_are_read_once() {
    let log = Log::new().batches(20_000, &[]).damage(0);
    // Were the file read again for each survivor, this would take minutes.
    assert_eq!(survivors(&log, &recover(&log.bytes)).len(), 19_999);
}

/// Those of a log's batches that are found though its header is lost.
fn found_without_header(log: &Log, bytes: &[u8], flaw: usize) -> Vec<usize> {
    let file = Memory::file(bytes);
    let mut survey = Survey::without_header(file, LogOffset(flaw as u64), bytes.len() as u64).unwrap();
    let mut found = Vec::new();
    while let Some(survivor) = survey.next(|_| {}).unwrap() {
        assert_eq!(survivor.shift, 0);
        found.push(log.starts.iter().position(|start| *start as u64 == survivor.start.0).expect("a batch"));
    }
    found
}

#[test]
fn without_a_header_two_batches_that_agree_tell_the_chain_and_all_others_verify() {
    // The header alone; also some of the first batch, which confirms the second one no more; or all of it.
    for (lost, batches, found) in [
        (1, 2, 0..2),
        (HEADER_LINE_BYTES, 2, 0..2),
        (HEADER_LINE_BYTES + 9, 2, 2..2),
        (HEADER_LINE_BYTES + 9, 9, 1..9),
        (Log::new().batches(1, &[]).bytes.len(), 9, 2..9),
    ] {
        let log = Log::new().batches(batches, &[]);
        let bytes = [&vec![0; lost], &log.bytes[lost..]].concat();
        assert_eq!(
            found_without_header(&log, &bytes, 0),
            found.collect::<Vec<_>>(),
            "{lost} bytes of {batches} batches"
        );
    }
    let several = Log::new().batches(12, &[]).damage(2).damage(3).damage_commit(6, 15);
    let bytes = [&[0; HEADER_LINE_BYTES], &several.bytes[HEADER_LINE_BYTES..]].concat();
    assert_eq!(found_without_header(&several, &bytes, 0), [0, 1, 4, 5, 7, 8, 9, 10, 11]);
}

#[test]
fn a_header_behind_a_plain_log_may_be_lost_too() {
    let plain = Log::plain().command(&["SET", "a", "1"]);
    let joint = plain.bytes.len();
    let log = plain.header(7).batches(4, &[]);
    let bytes = [&log.bytes[..joint], b"#KVRED:1:ff", &log.bytes[joint + 11..]].concat();
    assert_eq!(recover(&bytes).end.0 as usize, joint);
    assert_eq!(found_without_header(&log, &bytes, joint), [0, 1, 2, 3]);
    // One that stands there is read, though one batch tells nothing.
    let log = Log::plain().command(&["SET", "a", "1"]).header(7).batch(&[]);
    let bytes = [b"j", &log.bytes[1..]].concat();
    assert_eq!(found_without_header(&log, &bytes, 0), [0]);
}

/// Some of the copies are so far out of their places that neighbours agree.
#[test]
fn without_a_header_a_copy_of_another_log_in_a_value_is_none() {
    let other = String::from_utf8(Log::plain().header(8).batches(200, &[]).bytes).unwrap();
    for before in (0..5000).step_by(191) {
        let log = Log::new().batch(&[]).batch_of(&("v".repeat(before) + &other), &[]).batches(3, &[]);
        let bytes = [&[0; HEADER_LINE_BYTES], &log.bytes[HEADER_LINE_BYTES..]].concat();
        assert_eq!(found_without_header(&log, &bytes, 0), [0, 1, 2, 3, 4], "{before} bytes before it");
    }
}

#[test]
fn a_survey_without_a_header_is_not_slowed_by_lines_that_look_like_commits() {
    const LINES: u64 = 100_000;
    let lines = (0..LINES).map(|n| format!("#C:{:08x}:{n:08x}\r\n", n % 7 * 22)).collect::<Vec<_>>().concat();
    let log = Log::new().batch(&[]).batch_of(&lines, &[]).batches(2, &[]);
    let bytes = [&[0; HEADER_LINE_BYTES], &log.bytes[HEADER_LINE_BYTES..]].concat();
    let file = Arc::new(Memory::new(bytes));
    let mut survey =
        Survey::without_header(Arc::clone(&file) as Arc<dyn DiskRead>, LogOffset(0), log.bytes.len() as u64).unwrap();
    let mut found = 0;
    while survey.next(|_| {}).unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, 4);
    let (read, most) = (file.read.load(Ordering::Relaxed), 8 * log.bytes.len() as u64);
    assert!(read <= most, "{read} bytes were read, more than {most}");
}

proptest! {
    /// Batches were written, undone, and others written in their place; then the power failed, and of each page of the
    /// file the disk has one of the two, or zeros.
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
}
