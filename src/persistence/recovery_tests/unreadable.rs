//! What the disk cannot read is damage, wherever it is: never a tear, nor the end, nor data.

use std::ops::Range;

use super::super::disk::tests::Failing;
use super::*;

/// What a log is of which some bytes cannot be read, and how many records were handed out.
fn recover_failing(bytes: &[u8], at: Range<usize>) -> (Recovery, usize) {
    let file: Arc<dyn DiskRead> = Arc::new(Failing { bytes: bytes.to_vec(), at: at.start as u64..at.end as u64 });
    let mut records = 0;
    let found = replay(
        &file,
        |_| {},
        |batch| {
            records += batch.len();
            Ok(())
        },
    );
    (found.unwrap(), records)
}

fn seen_at(found: &Recovery) -> usize {
    match &found.verdict {
        Verdict::Damaged { flaw: Flaw::Unreadable, seen_at, because: Because::Unreadable } => seen_at.0 as usize,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_batch_that_cannot_be_read_is_damage_and_what_is_before_it_is_read() {
    let value = "v".repeat(10_000);
    let log = (0..400).fold(Log::new(), |log, _| log.batch_of(&value, &[]));
    // Nothing was synced: anything else would be a tear.
    for n in [0, 1, 105, 399] {
        let (found, records) = recover_failing(&log.bytes, log.starts[n] + 5000..log.starts[n] + 5001);
        assert_eq!((found.end.0 as usize, records), (log.starts[n], n));
        assert_eq!(seen_at(&found), (log.starts[n] + 5000) / 4096 * 4096);
    }
}

#[test]
fn a_log_that_cannot_be_read_on_from_a_batchs_end_has_not_ended() {
    let log = Log::new().batches(3, &[]).batch_of(&"v".repeat(10_000), &[]);
    let end = log.bytes.len();
    for more in [1, 5000, 3 << 20] {
        let bytes = [&log.bytes[..], &vec![0; more]].concat();
        // Reserved space, as far as it can be read.
        let (found, records) = recover_failing(&bytes, end + more - 1..end + more);
        assert_eq!(records, if more == 1 { 3 } else { 4 }, "{more}");
        seen_at(&found);
    }
    let (found, records) = recover_failing(&log.bytes, 0..1);
    assert_eq!((seen_at(&found), records), (0, 0));
}

#[test]
fn a_batch_that_does_not_verify_is_no_tear_if_what_follows_it_cannot_be_read() {
    let log = Log::new().batches(2, &[]).batch_of(&"v".repeat(10_000), &[]).damage(1);
    assert!(matches!(recover(&log.bytes).verdict, Verdict::Torn(Flaw::Checksum)));
    let (found, records) = recover_failing(&log.bytes, 9000..9001);
    assert_eq!((found.end.0 as usize, records), (log.starts[1], 1));
    assert_eq!(because(&found), Some(Because::Unreadable));
}

#[test]
fn in_a_plain_log_too_nothing_is_made_up_for_what_cannot_be_read() {
    let value = "v".repeat(10_000);
    let log = (0..300).fold(Log::plain(), |log, _| log.command(&["SET", "a", &value]));
    let len = log.bytes.len() / 300;
    let (found, records) = recover_failing(&log.bytes, 207 * len + 5000..207 * len + 5001);
    assert_eq!((found.end.0 as usize, records), (207 * len, 207));
    seen_at(&found);
}
