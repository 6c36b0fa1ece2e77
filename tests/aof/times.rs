//! What has come since a time, and what was there until then: `--since` and `--until`, and what a log knows of that.

use std::fs;
use std::path::Path;

use super::kit::{aof, arg, data, dump, resp, small_log, write_lines};
use crate::helpers::Launch;

#[test]
fn filters_choose_by_key_offset_time_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.aof");
    let mut bytes = b"#TS:1000\r\n".to_vec();
    bytes.extend(resp(&[b"SET", b"user:1", b"a"]));
    bytes.extend(resp(&[b"SET", b"other", b"b"]));
    bytes.extend(b"#TS:2000\r\n");
    let second = bytes.len();
    bytes.extend(resp(&[b"DEL", b"user:1", b"other"]));
    bytes.extend(b"#TS:3000\r\n");
    bytes.extend(resp(&[b"MSET", b"user:2", b"c", b"x", b"d"]));
    fs::write(&path, bytes).unwrap();
    let dumped = |flags: &[&str]| {
        let output = aof(&[&["dump"], flags, &[arg(&path)]].concat());
        output.expect(0, &[]);
        output.stdout
    };
    assert_eq!(dumped(&["--key", "user:*"]), "SET user:1 a\nDEL user:1\nSET user:2 c\n");
    assert_eq!(dumped(&["--from", &second.to_string()]), "DEL user:1 other\nSET user:2 c\nSET x d\n");
    assert_eq!(dumped(&["--since", "2000"]), "DEL user:1 other\nSET user:2 c\nSET x d\n");
    assert_eq!(dumped(&["--until", "1970-01-01T00:16:40Z"]), "SET user:1 a\nSET other b\n");
    assert_eq!(dumped(&["--since", "1001", "--until", "2999"]), "DEL user:1 other\n");
    assert_eq!(dumped(&["--limit", "1"]), "SET user:1 a\n");
    assert_eq!(dumped(&["--limit", "0"]), "");
    for nothing in [["--key", "nobody"], ["--from", "99999"], ["--since", "4000"], ["--until", "999"]] {
        let output = aof(&[&["dump"], &nothing[..], &[arg(&path)]].concat());
        assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{nothing:?}");
        assert!(output.stderr.contains("no command in"), "{nothing:?}: {}", output.stderr);
    }
    let out = dir.path().join("then.aof");
    aof(&["rewrite", "-o", arg(&out), "--until", "1500", arg(&path)]).expect(0, &[]);
    assert_eq!(data(&out), ["SET other b", "SET user:1 a"]);
    assert_eq!(aof(&["rewrite", "--until", "1500", arg(&path)]).code, Some(2), "never in place");
}

#[test]
fn a_rewritten_log_does_not_know_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let before = data(&path);
    let output = aof(&["rewrite", arg(&path)]);
    output.expect(0, &[]);
    assert!(output.stdout.contains("before"), "{}", output.stdout);
    assert_eq!(data(&path), before);
    assert!(!dir.path().join("temp-rewrite-kvred.aof").exists());
    let out = dir.path().join("then.aof");
    let refused = aof(&["rewrite", "-o", arg(&out), "--until", "1000", arg(&path)]);
    refused.expect(1, &["was rewritten at"]);
    assert!(!out.exists());
    let json = aof(&["check", "--json", arg(&path)]).json();
    assert_eq!((json["rewrites"].as_u64(), json["keys"].as_u64()), (Some(1), Some(before.len() as u64)));
}

/// The commands of most logs here.
const BOTH: &str = "SET a 1, SET b 2";

/// Dumps a log by time: the exit code, the commands in order of their words, and what is said.
fn dumped(flag: &str, time: i64, log: &Path) -> (Option<i32>, String, String) {
    let output = aof(&["dump", flag, &time.to_string(), arg(log)]);
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    lines.sort_unstable();
    (output.code, lines.join(", "), output.stderr)
}

/// A time tells of what stands behind it: not of what a rewrite wrote, nor of what comes first in a plain log.
#[test]
fn what_has_no_times_is_shown_with_a_warning_since_then_and_refused_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let [begins, rewritten, out] = ["begins.aof", "rewritten.aof", "out.aof"].map(|name| dir.path().join(name));
    let (a, b) = (resp(&[b"SET", b"a", b"1"]), resp(&[b"SET", b"b", b"2"]));
    fs::write(&begins, [&a[..], b"#TS:2000\r\n", &b].concat()).unwrap();
    aof(&["rewrite", "-o", arg(&rewritten), arg(&begins)]).expect(0, &[]);
    let checked = aof(&["check", "--json", arg(&rewritten)]);
    let at = checked.json()["last_time"].as_i64().unwrap();
    for (log, latest, refusal, warning) in [
        (&begins, 2000, "so what it was then is not known", "have no times; they are shown too"),
        (&rewritten, at, "what it was before that is not in it any more", "has no times; it is shown too"),
    ] {
        let refused = dumped("--until", latest - 1, log);
        assert_eq!((refused.0, &refused.1[..]), (Some(1), ""), "{refused:?}");
        assert!(refused.2.contains(refusal), "{refused:?}");
        let rewrite = aof(&["rewrite", "-o", arg(&out), "--until", &(latest - 1).to_string(), arg(log)]);
        assert_eq!((rewrite.code, rewrite.stderr), (Some(1), refused.2), "they say the same");
        assert_eq!(dumped("--until", latest, log), (Some(0), BOTH.to_owned(), String::new()));
        for since in [1, latest] {
            let shown = dumped("--since", since, log);
            assert_eq!((shown.0, &shown.1[..]), (Some(0), BOTH), "{shown:?}");
            assert!(shown.2.contains(warning), "{shown:?}");
        }
        let later = dumped("--since", latest + 1, log);
        assert_eq!((later.0, &later.1[..]), (Some(1), ""), "{later:?}");
        assert!(!later.2.contains("no times"), "{later:?}");
    }
}

/// Of a damaged one it may be told behind the damage.
#[test]
fn what_a_log_was_then_is_not_known_where_it_has_no_times_or_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, log, out] = ["plain.aof", "kvred.aof", "out.aof"].map(|name| dir.path().join(name));
    write_lines(&plain, &["SET a 1", "SET b 2"]);
    aof(&["rewrite", "-o", arg(&log), arg(&plain)]).expect(0, &[]);
    Launch::at(dir.path()).start().terminate().expect(0, &[]);
    let mut damaged = fs::read(&log).unwrap();
    let rewrite = damaged.windows(11).position(|w| w == b"#REWRITTEN:").unwrap();
    damaged[rewrite + 11] ^= 2;
    fs::write(&log, damaged).unwrap();
    for (log, status, says) in
        [(&plain, 1, "it holds no times, so"), (&log, 4, "does not tell what it was then; see `kvred aof check")]
    {
        let dump = aof(&["dump", "--until", "3000", arg(log)]);
        assert_eq!((dump.code, &dump.stdout[..]), (Some(status), ""));
        assert!(dump.stderr.contains(says), "{}", dump.stderr);
        let rewrite = aof(&["rewrite", "-o", arg(&out), "--until", "3000", arg(log)]);
        assert_eq!((rewrite.code, rewrite.stderr), (Some(status), dump.stderr));
        assert!(!out.exists());
    }
    let shown = dumped("--since", 3000, &plain);
    assert_eq!((shown.0, &shown.1[..]), (Some(0), BOTH));
    assert!(shown.2.contains("it holds no times; all of it is shown"), "{}", shown.2);
}

#[test]
fn a_new_log_holds_nothing_that_would_have_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("new.aof");
    fs::write(&log, "").unwrap();
    for flag in ["--since", "--until"] {
        let (code, shown, said) = dumped(flag, 3000, &log);
        assert_eq!((code, &shown[..]), (Some(1), ""));
        assert!(said.contains("no command in"), "{said}");
    }
}

/// Where a clock ran ahead for a moment, or was set back, what came first and what was earlier are two things.
#[test]
fn what_was_between_times_that_are_out_of_order_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, chained, out] = ["plain.aof", "chained.aof", "out.aof"].map(|name| dir.path().join(name));
    let timed = |time: u32, key: &[u8]| [format!("#TS:{time}\r\n").into_bytes(), resp(&[b"SET", key, b"1"])].concat();
    let log = [timed(1000, b"a"), timed(9000, b"b"), timed(1500, b"c"), timed(2000, b"d")].concat();
    fs::write(&plain, log).unwrap();
    aof(&["check", "--salvage", arg(&chained), arg(&plain)]).expect(0, &[]);
    for file in [&plain, &chained] {
        for time in ["1500", "2000", "8999"] {
            let rewritten = aof(&["rewrite", "-o", arg(&out), "--until", time, arg(file)]);
            let said = ["a clock was wrong", "1970-01-01T02:30:00Z", "1970-01-01T00:25:00Z", "is not known"];
            rewritten.expect(1, &said);
            let dumped = aof(&["dump", "--until", time, arg(file)]);
            assert_eq!((dumped.code, dumped.stdout, dumped.stderr), (Some(1), String::new(), rewritten.stderr));
            assert!(!out.exists());
        }
        for (time, then) in [("1499", &["SET a 1"][..]), ("9000", &["SET a 1", "SET b 1", "SET c 1", "SET d 1"])] {
            aof(&["rewrite", "-o", arg(&out), "--until", time, arg(file)]).expect(0, &[]);
            assert_eq!(data(&out), then);
            fs::remove_file(&out).unwrap();
            assert_eq!(aof(&["dump", "--until", time, arg(file)]).stdout.lines().count(), then.len());
        }
        aof(&["dump", "--since", "1500", arg(file)]).expect(0, &[]);
    }
}

/// Who copies what has come since the last copy must not miss what was written while the clock was behind.
#[test]
fn what_stands_behind_that_time_is_shown_with_a_warning_also_where_a_clock_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, chained] = ["plain.aof", "chained.aof"].map(|name| dir.path().join(name));
    let timed = |time: u32, key: &[u8]| [format!("#TS:{time}\r\n").into_bytes(), resp(&[b"SET", key, b"1"])].concat();
    // At 9000 nothing was written.
    let log = [timed(1000, b"a"), b"#TS:9000\r\n".to_vec(), timed(1500, b"b"), timed(2000, b"c"), timed(1800, b"d")];
    fs::write(&plain, log.concat()).unwrap();
    aof(&["check", "--salvage", arg(&chained), arg(&plain)]).expect(0, &[]);
    for file in [&plain, &chained] {
        for (since, shown, warns) in [
            (1000, "SET a 1, SET b 1, SET c 1, SET d 1", false),
            (1001, "SET b 1, SET c 1, SET d 1", false),
            (1501, "SET b 1, SET c 1, SET d 1", true),
            (9000, "SET b 1, SET c 1, SET d 1", true),
            (9001, "", false),
        ] {
            let (code, lines, said) = dumped("--since", since, file);
            assert_eq!((code, &lines[..]), (Some(i32::from(shown.is_empty())), shown), "{since}: {said}");
            let warning = "a clock was wrong: byte ";
            let times = "is of 1970-01-01T00:25:00Z, and stands behind what is of 1970-01-01T02:30:00Z";
            assert_eq!((said.matches(warning).count(), said.contains(times)), (warns.into(), warns), "{since}: {said}");
        }
    }
}

/// A plain log's times, each of what follows it, are those of the copy's batches.
#[test]
fn what_a_plain_log_was_then_its_salvaged_copy_tells_too() {
    let dir = tempfile::tempdir().unwrap();
    let [log, copy, out] = ["plain.aof", "copy.aof", "out.aof"].map(|name| dir.path().join(name));
    let (a, b) = (resp(&[b"SET", b"a", b"1"]), resp(&[b"SET", b"b", b"2"]));
    let timed = [&b"#TS:1000\r\n"[..], &a, b"#TS:2000\r\n", &b].concat();
    let untimed = [&a[..], b"#TS:2000\r\n", &b].concat();
    let ending = [&b"#TS:1000\r\n"[..], &a, b"#TS:2000\r\n"].concat();
    for (plain, then) in [(timed, Some("SET a 1")), (untimed, None), (ending, Some("SET a 1"))] {
        fs::write(&log, &plain).unwrap();
        aof(&["check", "--salvage", arg(&copy), arg(&log)]).expect(0, &[]);
        assert_eq!(dump(&copy), dump(&log));
        for file in [&log, &copy] {
            let what = format!("{}: {}", file.display(), plain.escape_ascii());
            let dumped = aof(&["dump", "--until", "1500", arg(file)]);
            let rewritten = aof(&["rewrite", "-o", arg(&out), "--until", "1500", arg(file)]);
            let Some(then) = then else {
                for refused in [dumped, rewritten] {
                    refused.expect(1, &["before 1970-01-01T00:33:20Z have no times, so what it was then is not known"]);
                }
                continue;
            };
            assert_eq!((dumped.code, dumped.stdout.trim_end()), (Some(0), then), "{what}");
            rewritten.expect(0, &[]);
            assert_eq!(data(&out), [then], "{what}");
            fs::remove_file(&out).unwrap();
        }
        fs::remove_file(&copy).unwrap();
    }
}
