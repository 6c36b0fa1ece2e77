//! Requests of every form, whole and in pieces, right and wrong.

use super::super::encode::request;
use super::*;
use proptest::prelude::*;

fn client() -> RequestDecoder {
    RequestDecoder::new(RequestLimits::new(1000))
}

/// All commands of `input`, which arrives in one piece.
fn all(decoder: &mut RequestDecoder, input: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let mut buffer = input.to_vec();
    let (mut at, mut args, mut commands) = (0, Vec::new(), Vec::new());
    while let Some(next) = decoder.decode(&mut buffer, at, &mut args)? {
        commands.push(args.drain(..).map(|s| s.of(&buffer).to_vec()).collect());
        at = next;
    }
    Ok(commands)
}

/// All commands of `input`, which arrives in pieces that end at `cuts`; consumed bytes are dropped in between, as a
/// connection does.
fn in_pieces(input: &[u8], cuts: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let mut decoder = client();
    let (mut buffer, mut fed, mut commands) = (Vec::new(), 0, Vec::new());
    for &cut in cuts.iter().chain([&input.len()]) {
        buffer.extend_from_slice(&input[fed..cut.max(fed)]);
        fed = fed.max(cut);
        let (mut at, mut args) = (0, Vec::new());
        while let Some(next) = decoder.decode(&mut buffer, at, &mut args)? {
            commands.push(args.drain(..).map(|s| s.of(&buffer).to_vec()).collect());
            at = next;
        }
        assert!(args.is_empty(), "an incomplete command leaves nothing behind");
        buffer.drain(..at);
    }
    Ok(commands)
}

const MIXED: &[u8] =
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\n0123\r\n\r\n$5\r\n\r\nPING \"a b\" 'c'\r\n*0\r\n\r\n*-1\r\n\
                       *2\r\n$3\r\nGET\r\n$0\r\n\r\nget k\n";

#[test]
fn every_cut_decodes_alike() {
    let whole = all(&mut client(), MIXED).unwrap();
    assert_eq!(whole.len(), 7);
    assert_eq!(whole[0][2], b"0123\r\n\r\n$5\r\n");
    assert_eq!(whole[1], [&b"PING"[..], b"a b", b"c"]);
    assert_eq!(whole[5], [&b"GET"[..], b""]);
    for first in 0..=MIXED.len() {
        for second in first..=MIXED.len() {
            assert_eq!(in_pieces(MIXED, &[first, second]).unwrap(), whole, "cut at {first} and {second}");
        }
    }
    assert_eq!(in_pieces(MIXED, &(0..MIXED.len()).collect::<Vec<_>>()).unwrap(), whole, "byte by byte");
}

#[test]
fn a_copy_is_what_was_sent() {
    let (mut decoder, mut buffer, mut ends) = (client(), MIXED.to_vec(), vec![0]);
    while let Some(end) = decoder.decode(&mut buffer, ends[ends.len() - 1], &mut Vec::new()).unwrap() {
        ends.push(end);
    }
    assert_ne!(buffer, MIXED, "quotes are taken off in place");
    for (i, &from) in ends.iter().enumerate() {
        for &to in &ends[i..] {
            assert_eq!(decoder.copy(&buffer, from..to), MIXED[from..to]);
        }
    }
}

#[test]
fn malformed_input_gets_redis_text() {
    let long = |prefix: &str| format!("{prefix}{}", "1".repeat(MAX_LINE_BYTES + 1));
    for (input, text) in [
        ("*a\r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        ("*1\r\nx\r\n", "expected '$', got 'x'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$1001\r\n", "invalid bulk length"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$01\r\n", "invalid bulk length"),
        ("*1\r\n$00\r\n\r\n", "invalid bulk length"),
        ("*1\r\n$\r\n\r\n", "invalid bulk length"),
        ("*2\r\n$3\r\nGET\r\n:1\r\na\r\n", "expected '$', got ':'"),
        ("*01\r\n$1\r\na\r\n", "invalid multibulk length"),
        ("*1\r\n$1\r\nabc\r\n", "expected CRLF"),
        ("*1\rx", "expected CRLF"),
        (&long("*"), "too big mbulk count string"),
        (&long("*1\r\n$"), "too big bulk count string"),
        (&long("PING "), "too big inline request"),
        ("PING a\0b\r\n", "NUL byte in inline request"),
        ("PING\n \0", "NUL byte in inline request"),
        ("PING \"a\r\n", "unbalanced quotes in request"),
        ("PING \"a\"b\r\n", "unbalanced quotes in request"),
    ] {
        let error = all(&mut client(), input.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("ERR Protocol error: {text}"), "{:.40}", input);
    }
}

#[test]
fn limits_hold_for_what_is_all_there() {
    let value = "v".repeat(1001);
    let error = all(&mut client(), format!("*1\r\n$1001\r\n{value}\r\n").as_bytes()).unwrap_err();
    assert_eq!(error, ProtocolError::BulkLen);
    let mut few = RequestDecoder::new(RequestLimits { array_len: 1, ..RequestLimits::new(1000) });
    assert_eq!(all(&mut few, b"*2\r\n$1\r\na\r\n$1\r\nb\r\n").unwrap_err(), ProtocolError::ArrayLen);
}

#[test]
fn any_number_of_digits_decodes_alike() {
    for args in [1, 2, 9, 10, 11] {
        for len in [0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 100_000] {
            let command = vec![vec![b'v'; len]; args];
            let mut input = Vec::new();
            request(&mut input, &command);
            let there = input.len();
            input.extend_from_slice(b"*1");
            assert_eq!(all(&mut RequestDecoder::for_log(), &input).unwrap(), [command], "{args} of {len} bytes");
            assert_eq!(all(&mut RequestDecoder::for_log(), &input[..there - 1]).unwrap().len(), 0, "one byte lacks");
        }
    }
}

#[test]
fn strangers_get_small_limits() {
    let stranger = || RequestDecoder::new(RequestLimits::before_authentication(1 << 20));
    for (sent, error) in [
        (&b"*11\r\n"[..], ProtocolError::UnauthenticatedArrayLen),
        (b"*2147483647\r\n", ProtocolError::UnauthenticatedArrayLen),
        (b"*2147483648\r\n", ProtocolError::ArrayLen),
        (b"*1\r\n$16385\r\n", ProtocolError::UnauthenticatedBulkLen),
        (b"*1\r\n$1048576\r\n", ProtocolError::UnauthenticatedBulkLen),
        (b"*1\r\n$1048577\r\n", ProtocolError::BulkLen),
    ] {
        assert_eq!(all(&mut stranger(), sent), Err(error), "{}", sent.escape_ascii());
    }
    assert_eq!(all(&mut stranger(), b"*10\r\n").unwrap().len(), 0);
}

#[test]
fn a_log_has_no_inline_commands() {
    assert_eq!(all(&mut RequestDecoder::for_log(), b"PING\r\n"), Err(ProtocolError::NotAnArray(b'P')));
}

#[test]
fn lines_get_their_quotes_back_in_two_steps_too() {
    let sent = b"ECHO \"a\\x41\"\r\nECHO 'b c'\r\nSELECT \"0\"\r\n";
    let (second, third) = (14, 26);
    let mut buffer = sent.to_vec();
    let mut decoder = client();
    for (start, end) in [(0, second), (second, third), (third, sent.len())] {
        assert_eq!(decoder.decode(&mut buffer, start, &mut Vec::new()), Ok(Some(end)));
    }
    decoder.restore(&mut buffer, third);
    assert_eq!(buffer[third..], sent[third..]);
    assert_ne!(buffer[..third], sent[..third]);
    assert_eq!(decoder.copy(&buffer, 0..third), &sent[..third]);
    decoder.restore(&mut buffer, second);
    assert_eq!(&buffer[second..], &sent[second..]);
    assert_eq!(decoder.copy(&buffer, 0..second), &sent[..second]);
}

#[test]
fn inline_words_are_unquoted_as_redis_does() {
    for (line, words) in [
        (&b"a  b\tc"[..], &[&b"a"[..], b"b", b"c"][..]),
        (br#""a\x00\xfF\n\"\q" '\'\n'"#, &[b"a\x00\xff\n\"q", b"'\\n"]),
        (br#""\x4" """#, &[b"x4", b""]),
        (b"", &[]),
        (b"   ", &[]),
        // Other white space counts before a word and behind a quote; within a word it is a part of that.
        (b"\x0b\x0ca\x0bb\x0cc \x0cd\x0b", &[b"a\x0bb\x0cc", b"d\x0b"]),
        (b"'a'\x0b\x0c\"b\x0b\"\x0cc", &[b"a", b"b\x0b", b"c"]),
        (b"a\rb", &[b"a", b"b"]),
    ] {
        let input = [line, b"\r\n"].concat();
        assert_eq!(all(&mut client(), &input).unwrap(), [words.to_vec()], "{line:?}");
    }
}

#[test]
fn a_large_argument_is_announced() {
    let mut decoder = client();
    let mut buffer = b"*2\r\n$3\r\nGET\r\n$900\r\nabc".to_vec();
    assert_eq!(decoder.decode(&mut buffer, 0, &mut Vec::new()), Ok(None));
    assert_eq!(decoder.bytes_wanted(), 4 + 9 + 6 + 900 + 2);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        commands in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5), 1..6),
        cuts in prop::collection::vec(0usize..400, 0..5),
    ) {
        let mut input = Vec::new();
        for command in &commands {
            request(&mut input, command);
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % (input.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(in_pieces(&input, &cuts).unwrap(), commands);
    }

    #[test]
    fn a_wrong_byte_is_seen_alike_at_once_and_byte_by_byte(
        commands in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..15), 1..12), 1..4),
        at in any::<prop::sample::Index>(),
        wrong in prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), b'0'..=b'9', any::<u8>()],
    ) {
        let mut input = Vec::new();
        for command in &commands {
            request(&mut input, command);
        }
        let at = at.index(input.len());
        input[at] = wrong;
        let cuts: Vec<usize> = (1..input.len()).collect();
        prop_assert_eq!(in_pieces(&input, &[]), in_pieces(&input, &cuts));
    }

    #[test]
    fn noise_never_panics_and_cuts_do_not_matter(
        input in prop::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'),
            Just(b'2'), Just(b'-'), Just(b'"'), any::<u8>()], 0..80),
        cut in 0usize..80,
    ) {
        let whole = in_pieces(&input, &[]);
        let cut = in_pieces(&input, &[cut.min(input.len())]);
        match (whole, cut) {
            (Ok(a), Ok(b)) => prop_assert_eq!(a, b),
            (a, b) => prop_assert_eq!(a.is_err(), b.is_err()),
        }
    }

    #[test]
    fn what_begins_like_a_known_command_is_decoded_like_any(
        name in "[a-zA-Z]{0,8}",
        args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..10),
        others in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..10),
        wrong in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        len in any::<prop::sample::Index>(),
    ) {
        let command = |args: &[Vec<u8>]| {
            let mut input = Vec::new();
            request(&mut input, &[&[name.clone().into_bytes()], args].concat());
            input
        };
        let (mut known, mut spans) = (command(&args), Vec::new());
        client().decode(&mut known, 0, &mut spans).unwrap().unwrap();
        let opening = Opening::of(&known, 0, spans[0]).map(|(_, opening)| opening);
        let is_usual = name.len() <= 6 && args.len() < 9;
        prop_assert!(opening.is_none() || is_usual);
        let Some(opening) = opening else {
            // Too short, at most.
            prop_assert!(!is_usual || known.len() < OPENING_BYTES);
            return Ok(());
        };
        let mut input = command(&others);
        if let Some((at, byte)) = wrong {
            let at = at.index(input.len());
            input[at] = byte;
        }
        input.truncate(len.index(2 * input.len()));
        let begins = input.first_chunk().is_some_and(|bytes| opening.begins(bytes));
        let as_sent = input.get(..OPENING_BYTES) == known.get(..OPENING_BYTES);
        prop_assert!(begins || !as_sent);
        if begins {
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            let end = client().decode_known(&input, 0, &opening, &mut found);
            prop_assert!(end.is_some() || found.is_empty());
            let decoded = client().decode(&mut input.clone(), 0, &mut expected);
            prop_assert!(end.is_none() || decoded == Ok(end) && found == expected);
            prop_assert!(end.is_none() || found.len() == spans.len() && found[0] == spans[0]);
            prop_assert!(end.is_some() || wrong.is_some() || decoded == Ok(None));
        }
    }
}
