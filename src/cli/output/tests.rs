//! Each format as a table: a reply, and what stands on the screen.

use bytes::BytesMut;

use super::{csv, first_error, json, pretty, raw};
use crate::protocol::frame::{Frame, FrameDecoder};
use crate::terminal::Paint;

fn frame(resp: &str) -> Frame {
    FrameDecoder::default().decode(&mut BytesMut::from(resp)).unwrap().unwrap()
}

fn text(render: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    render(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn each_reply_in_each_format() {
    let cases = [
        ("+OK\r\n", "OK", "OK", "\"OK\"", "\"OK\""),
        ("-ERR no\r\n", "(error) ERR no", "ERR no", "ERROR,\"ERR no\"", "{\"error\":\"ERR no\"}"),
        (":7\r\n", "(integer) 7", "7", "7", "7"),
        ("$0\r\n\r\n", "\"\"", "", "\"\"", "\"\""),
        ("$-1\r\n", "(nil)", "", "NULL", "null"),
        ("$3\r\na\"b\r\n", "\"a\\\"b\"", "a\"b", "\"a\"\"b\"", "\"a\\\"b\""),
        ("*0\r\n", "(empty array)", "", "", "[]"),
        ("*-1\r\n", "(nil)", "", "NULL", "null"),
        ("*2\r\n:1\r\n$-1\r\n", "1) (integer) 1\n2) (nil)", "1\n", "1,NULL", "[1,null]"),
        (
            "*2\r\n*2\r\n+a\r\n+b\r\n+c\r\n",
            "1) 1) a\n   2) b\n2) c",
            "a\nb\nc",
            "\"a\",\"b\",\"c\"",
            "[[\"a\",\"b\"],\"c\"]",
        ),
        (",1.5\r\n", "(double) 1.5", "1.5", "1.5", "1.5"),
        (",2\r\n", "(double) 2", "2", "2", "2"),
        (",inf\r\n", "(double) inf", "inf", "inf", "\"inf\""),
        ("#t\r\n", "(true)", "true", "true", "true"),
        (
            "(123456789012345678901\r\n",
            "(big number) 123456789012345678901",
            "123456789012345678901",
            "123456789012345678901",
            "\"123456789012345678901\"",
        ),
        ("=6\r\ntxt:hi\r\n", "hi", "hi", "\"hi\"", "\"hi\""),
        ("%1\r\n+a\r\n:1\r\n", "1# a => (integer) 1", "a\n1", "\"a\",1", "{\"a\":1}"),
        (
            "%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n",
            "1# a =>\n   1) (integer) 1\n   2) (integer) 2",
            "a\n1\n2",
            "\"a\",1,2",
            "{\"a\":[1,2]}",
        ),
        ("%0\r\n", "(empty hash)", "", "", "{}"),
        ("~1\r\n:1\r\n", "1~ (integer) 1", "1", "1", "[1]"),
        (
            ">2\r\n+invalidate\r\n:1\r\n",
            "1> invalidate\n2> (integer) 1",
            "invalidate\n1",
            "\"invalidate\",1",
            "{\"push\":[\"invalidate\",1]}",
        ),
    ];
    for (resp, in_pretty, in_raw, in_csv, in_json) in cases {
        let frame = frame(resp);
        assert_eq!(text(|o| pretty::render(o, &frame, Paint(false))), in_pretty, "pretty {resp:?}");
        assert_eq!(text(|o| raw::render(o, &frame)), in_raw, "raw {resp:?}");
        assert_eq!(text(|o| csv::render(o, &frame)), in_csv, "csv {resp:?}");
        assert_eq!(text(|o| json::render(o, &frame)), in_json, "json {resp:?}");
    }
}

#[test]
fn indexes_line_up_over_ten_elements() {
    let frame = frame(&format!("*10\r\n{}", ":5\r\n".repeat(10)));
    let shown = text(|o| pretty::render(o, &frame, Paint(false)));
    assert!(shown.starts_with(" 1) (integer) 5\n 2) "), "{shown}");
    assert!(shown.ends_with("\n10) (integer) 5"), "{shown}");
}

#[test]
fn bytes_that_are_no_text_survive_every_format_that_can_tell() {
    let frame = Frame::Bulk(bytes::Bytes::from_static(b"\xff\x00\n"));
    assert_eq!(text(|o| pretty::render(o, &frame, Paint(false))), "\"\\xff\\x00\\n\"");
    assert_eq!(text(|o| json::render(o, &frame)), "{\"base64\":\"/wAK\"}");
    let mut out = Vec::new();
    raw::render(&mut out, &frame);
    assert_eq!(out, b"\xff\x00\n");
    out.clear();
    csv::render(&mut out, &frame);
    assert_eq!(out, b"\"\xff\x00\n\"");
}

#[test]
fn json_maps_keep_their_order_and_those_with_odd_keys_are_pairs() {
    for (resp, want) in [
        ("%1\r\n:1\r\n+a\r\n", "{\"1\":\"a\"}"),
        ("%2\r\n+z\r\n:1\r\n+a\r\n:2\r\n", "{\"z\":1,\"a\":2}"),
        ("%1\r\n*0\r\n+a\r\n", "[[[],\"a\"]]"),
        ("%2\r\n+k\r\n:1\r\n$1\r\nk\r\n:2\r\n", "[[\"k\",1],[\"k\",2]]"),
    ] {
        assert_eq!(text(|o| json::render(o, &frame(resp))), want);
    }
}

#[test]
fn the_servers_text_cannot_steer_the_terminal() {
    let shown = text(|o| pretty::render(o, &frame("-ERR \x1b]0;x\x07\r\n"), Paint(false)));
    assert_eq!(shown, "(error) ERR ?]0;x?");
    assert_eq!(text(|o| pretty::visible_lines(o, b"a\r\n\x1b[2Jb")), "a\n?[2Jb");
}

#[test]
fn colours_end_where_they_began() {
    let shown = text(|o| pretty::render(o, &frame("*1\r\n:1\r\n"), Paint(true)));
    assert_eq!(shown, "\x1b[90m1) \x1b[0m\x1b[36m(integer) 1\x1b[0m");
}

#[test]
fn an_error_inside_a_reply_is_found() {
    assert_eq!(first_error(&frame("*2\r\n+OK\r\n-ERR x\r\n")), Some(&b"ERR x"[..]));
    assert_eq!(first_error(&frame("*1\r\n+OK\r\n")), None);
}
