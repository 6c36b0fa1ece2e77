//! The end of a plain Redis log, and where kvred has gone on behind one.

use super::*;

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

/// A file that is nothing but a beginning, an end, and zeros between them.
struct Hollow {
    beginning: Vec<u8>,
    end: Vec<u8>,
    len: u64,
}

impl DiskRead for Hollow {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buffer.len().min(self.len.saturating_sub(offset) as usize);
        buffer[..len].fill(0);
        for (piece, at) in [(&self.beginning, 0), (&self.end, self.len - self.end.len() as u64)] {
            let (from, to) = (at.max(offset), (at + piece.len() as u64).min(offset + len as u64));
            if from < to {
                buffer[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
            }
        }
        Ok(len)
    }
}

/// A command, or a transaction, that is as long as a batch may be, or longer by a byte, and how a replay of it ends.
fn so_long(in_transaction: bool, by: usize) -> Result<Recovery, ReplayError> {
    let text = |words: &[&str]| Log::plain().command(words).bytes;
    let (before, behind) = if in_transaction {
        (text(&["MULTI"]), [text(&["SET", "c", "1"]), text(&["EXEC"])].concat())
    } else {
        (Vec::new(), Vec::new())
    };
    let before = [text(&["SET", "a", "1"]), before].concat();
    let set = |value: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n${value}\r\n").into_bytes();
    let around = before.len() - text(&["SET", "a", "1"]).len() + set(MAX_BATCH_BYTES / 2).len() + 1 + 2 + behind.len();
    let value = MAX_BATCH_BYTES - around + by;
    let beginning = [before, set(value)].concat();
    let end = [b"\r\n".to_vec(), behind, text(&["SET", "d", "1"])].concat();
    let len = (beginning.len() + value + end.len()) as u64;
    replay(&(Arc::new(Hollow { beginning, end, len }) as Arc<dyn DiskRead>), |_| {}, |_| Ok(()))
}

#[test]
fn what_stands_together_in_a_plain_log_is_read_if_it_is_no_longer_than_a_batch_may_be() {
    for in_transaction in [false, true] {
        let found = so_long(in_transaction, 0).unwrap();
        assert_eq!((found.verdict, found.records), (Verdict::Clean, 3 + u64::from(in_transaction)));
        match so_long(in_transaction, 1) {
            Err(ReplayError::Refused { at: LogOffset(27), number: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// It may be a wrong length as well, or a log that is being written.
#[test]
fn what_a_file_does_not_have_of_a_plain_log_is_not_too_long() {
    let log = Log::plain().command(&["SET", "a", "1"]).command(&["MULTI"]).command(&["SET", "b", "1"]);
    let bytes = [&log.bytes[..], format!("*3\r\n$3\r\nSET\r\n$1\r\nc\r\n${MAX_BATCH_BYTES}\r\nv").as_bytes()].concat();
    let found = recover(&bytes);
    assert_eq!((found.verdict, found.end), (Verdict::Torn(Flaw::Incomplete), LogOffset(27)));
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

/// What else is as long as a header is no header with wrong bytes.
#[test]
fn a_comment_as_long_as_a_header_is_skipped() {
    let comment = b"# backed up on 2024-01-01, ab0ffeec\r\n";
    assert_eq!(comment.len(), HEADER_LINE_BYTES + 1);
    let checksum = b"# d41d8cd98f00b204e9800998ecf8427e\r\n";
    assert_eq!(checksum.len(), HEADER_LINE_BYTES);
    for comment in [&comment[..], &[&comment[..20], &comment[21..]].concat(), checksum] {
        let log = Log { bytes: comment.to_vec(), ..Log::plain() }.command(&["SET", "a", "1"]);
        let found = recover(&log.bytes);
        assert_eq!((found.verdict, found.records), (Verdict::Clean, 1));
    }
}

/// As Redis takes them; and one that is being written, or was when the server was killed, is no damage.
#[test]
fn a_comment_of_a_plain_log_may_be_longer_than_ours_and_end_in_a_newline_alone() {
    let [first, second] = ["a", "b"].map(|key| Log::plain().command(&["SET", key, "1"]).bytes);
    for (dots, end) in [(0, "\n"), (126, "\n"), (500, "\r\n"), (1021, "\n"), (1020, "\r\n")] {
        let comment = format!("#{}{end}", ".".repeat(dots)).into_bytes();
        let log = [&comment[..], &first, &comment, &second].concat();
        let boundaries = [comment.len(), comment.len() + first.len(), 2 * comment.len() + first.len(), log.len()];
        for cut in 1..=log.len() {
            let found = recover(&log[..cut]);
            let last = boundaries.into_iter().rfind(|at| *at <= cut).unwrap_or(0);
            let expected = if last == cut { Verdict::Clean } else { Verdict::Torn(Flaw::Incomplete) };
            assert_eq!((found.verdict, found.end.0 as usize), (expected, last), "{dots} {end:?} cut at {cut}");
        }
        // Where kvred has gone on, it is a line of its own that counts.
        let log = Log { bytes: log, ..Log::plain() }.header(9);
        let whole = log.batch(&[]);
        assert_eq!(recover(&whole.bytes).verdict, Verdict::Clean);
        let ours = whole.batch_of_bytes(format!("#{}{end}", ".".repeat(dots)).as_bytes());
        assert_ne!(recover(&ours.bytes).verdict, Verdict::Clean);
    }
    let longer = [&first[..], format!("#{}\n", ".".repeat(1022)).as_bytes(), &second].concat();
    assert_eq!(because(&recover(&longer)), Some(Because::NotATrace));
}

/// Commands have gone in it.
#[test]
fn a_hole_of_zeros_is_no_part_of_a_comment() {
    let [first, second] = ["a", "b"].map(|key| Log::plain().command(&["SET", key, "1"]).bytes);
    let holed = [&first[..], b"#TS:170000", &[0; 512], b"vvv\r\n", &second].concat();
    let found = recover(&holed);
    assert!(matches!(found.verdict, Verdict::Damaged { flaw: Flaw::Line, .. }), "{found:?}");
    assert_eq!(found.end.0 as usize, first.len());
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
    let rdb = recover(b"REDIS0011\xfa");
    assert!(matches!(rdb.verdict, Verdict::Damaged { flaw: Flaw::Rdb, .. }), "{rdb:?}");
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

/// The transaction is then open where kvred went on, which it does behind whole commands only.
#[test]
fn an_exec_with_a_wrong_bit_before_the_place_where_kvred_went_on_is_damage() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let multi = log.bytes.len();
    let log = log.command(&["MULTI"]).command(&["SET", "b", "1"]);
    let exec = log.bytes.len();
    let log = log.command(&["EXEC"]);
    let behind = log.bytes.len();
    let log = log.command(&["SET", "c", "1"]);
    let synced = log.synced();
    let log = log.header(9).batch_of("d", &[synced]);
    assert_eq!(recover(&log.bytes).records, 4);
    for (at, bit) in (exec..behind).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 1 << bit;
        if bytes[at].eq_ignore_ascii_case(&log.bytes[at]) {
            continue;
        }
        let found = recover(&bytes);
        assert!(because(&found).is_some(), "bit {bit} of {at}: {found:?}");
        assert_eq!(found.end.0 as usize, multi, "bit {bit} of {at}");
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

/// The log with one more command, whose value does not end: headers, and lines that are right for all behind one of
/// these, by turns. Whoever knows where in the file a value will stand can write it so.
fn full_of_lines_that_fit(log: &Log, headers: usize, lines: usize, filler: &[u8], place: usize) -> Vec<u8> {
    let mut bytes = [&log.bytes, &b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$99999999\r\n"[..]].concat();
    let mut begun: Vec<(usize, u32)> = Vec::new();
    let append = |bytes: &mut Vec<u8>, begun: &mut Vec<(usize, u32)>, more: &[u8]| {
        bytes.extend(more);
        for (_, crc) in begun {
            *crc = crc32c::crc32c_append(*crc, more);
        }
    };
    for _ in 0..headers {
        append(&mut bytes, &mut begun, &Log::plain().header(5).bytes);
        begun.push((bytes.len(), 0));
    }
    for n in 0..lines {
        append(&mut bytes, &mut begun, filler);
        let (start, crc) = begun[n % headers];
        let len = bytes.len() - start;
        let crc = Chain::new(Salt(5)).crc_of_summed(LogOffset((start + place) as u64), crc, len as u64);
        let mut line = Vec::new();
        Annotation::Commit { len: len as u32, crc }.write(&mut line);
        append(&mut bytes, &mut begun, &line);
    }
    bytes
}

#[test]
fn a_torn_value_that_is_full_of_checksums_that_fit_is_not_read_again_for_each() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let x = "x".repeat(4000);
    let command = Log::plain().command(&["SET", "a", &x]).bytes;
    // What is no command, and commands in another place than their own.
    for (filler, place) in [(x.as_bytes(), 0), (&command, 1)] {
        let bytes = full_of_lines_that_fit(&log, 1, 2000, filler, place);
        let (found, read) = recover_counting(&bytes);
        assert_eq!((found.verdict, found.end.0 as usize), (Verdict::Torn(Flaw::Incomplete), log.bytes.len()));
        let most = (1 << 30) + 10 * bytes.len() as u64;
        assert!(read <= most, "{read} bytes were read, more than {most}");
    }
}

#[test]
fn what_kvred_has_appended_behind_a_value_that_is_full_of_checksums_that_fit_is_found() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let end = log.bytes.len();
    let mut log = Log { bytes: full_of_lines_that_fit(&log, 1, 1000, &[b'x'; 4000], 0), ..log };
    log.bytes.extend(b"\r\n");
    let log = log.header(9);
    let synced = log.synced();
    let log = log.batch(&[synced]).batch(&[]);
    let found = recover(&log.bytes);
    assert_eq!((because(&found), found.end.0 as usize), (Some(Because::WasDurable), end));
    assert_eq!(survivors(&log, &found), [0, 1]);
}

#[test]
fn a_value_that_holds_a_batch_right_for_its_place_hides_nothing_that_kvred_has_appended() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let end = log.bytes.len();
    // As if it were a chain, at which the search for one ends. It states nothing of what was synced.
    let mut log = Log { bytes: full_of_lines_that_fit(&log, 1, 1, &Log::plain().command(&["PING"]).bytes, 0), ..log };
    log.bytes.extend(b"\r\n");
    let log = log.header(9);
    let synced = log.synced();
    let log = log.batch(&[synced]).batch(&[]);
    let found = recover(&log.bytes);
    assert_eq!((because(&found), found.end.0 as usize), (Some(Because::HeaderFollows), end));
}

#[test]
fn what_looks_like_more_batches_than_can_be_looked_into_is_no_tear() {
    let log = Log::plain().command(&["SET", "a", "1"]);
    let bytes = full_of_lines_that_fit(&log, 2, 1200, &[b'x'; 4000], 0);
    let (found, read) = recover_counting(&bytes);
    assert_eq!((because(&found), found.end.0 as usize), (Some(Because::TooMuchFollows), log.bytes.len()));
    let most = (2 << 30) + 10 * bytes.len() as u64;
    assert!(read <= most, "{read} bytes were read, more than {most}");
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
}
