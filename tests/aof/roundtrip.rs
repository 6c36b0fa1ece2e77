//! What comes out of the tools is what went into the log, whatever the bytes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::kit::{adopted_log, aof, arg, data, dump, resp, small_log};
use crate::helpers::{Exit, Launch, Reply};

fn write_plain(path: &Path, commands: &[Vec<Vec<u8>>]) {
    let mut bytes = Vec::new();
    for command in commands {
        let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        bytes.extend(resp(&words));
    }
    fs::write(path, bytes).unwrap();
}

/// Commands on few keys with any bytes.
fn commands() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let key = || prop_oneof![Just(vec![]), Just(b"\xff\x00 \"'\r\n".to_vec()), "[a-c]".prop_map(String::into_bytes)];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"#C:0000001f:deadbeef\r\n*3\r\n$3\r\nSET\r\n".to_vec()),
    ];
    let set = (key(), value).prop_map(|(k, v)| vec![b"SET".to_vec(), k, v]);
    let del = prop::collection::vec(key(), 1..3).prop_map(|keys| {
        let mut words = vec![b"DEL".to_vec()];
        words.extend(keys);
        words
    });
    let all = prop_oneof![8 => set, 3 => del, 1 => Just(vec![b"FLUSHALL".to_vec()])];
    prop::collection::vec(all, 0..40)
}

#[test]
fn a_rewrite_tells_how_long_the_log_was_and_is() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, own, out] = ["plain.aof", "own.aof", "out.aof"].map(|name| dir.path().join(name));
    let set = resp(&[b"SET", b"a", b"1"]);
    let kept = [b"#TS:1000\r\n", &set[..], &set, &set].concat();
    fs::write(&plain, [&kept[..], b"#TS:2000\r\n", &set].concat()).unwrap();
    let len = |path: &Path| fs::metadata(path).unwrap().len();
    aof(&["rewrite", "-o", arg(&own), arg(&plain)]).expect(0, &[]);
    for (log, until, was) in
        [(&plain, None, len(&plain)), (&plain, Some("1500"), kept.len() as u64), (&own, None, len(&own))]
    {
        let until = until.map_or(vec![], |time| vec!["--until", time]);
        let output = aof(&[&["rewrite", "-o", arg(&out)], &until[..], &[arg(log)]].concat());
        let text = output.stdout;
        let row = text.lines().find(|line| line.trim_start().starts_with("bytes")).unwrap_or_else(|| panic!("{text}"));
        let told: Vec<u64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert_eq!(told, [was, len(&out)], "{text}");
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn a_dump_fed_to_an_empty_server_gives_the_same_data_and_so_does_a_rewrite() {
    let server_dir = tempfile::tempdir().unwrap();
    let server = Launch::at(server_dir.path()).start();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("plain.aof");
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let result = runner.run(&commands(), |commands| {
        write_plain(&log, &commands);
        let text = dump(&log);
        prop_assert_eq!(text.lines().count(), commands.len());
        let mut client = server.connect();
        client.ask(&["FLUSHALL"]);
        // The server reads the lines as redis-cli would.
        client.send(text.replace('\n', "\r\n"));
        for _ in 0..commands.len() {
            let reply = client.reply();
            prop_assert!(!matches!(reply, Reply::Error(_)), "{:?}", reply);
        }
        let rewritten = dir.path().join("rewritten.aof");
        drop(fs::remove_file(&rewritten));
        prop_assert_eq!(aof(&["rewrite", "-o", arg(&rewritten), arg(&log)]).code, Some(0));
        let mut keys = 0;
        for line in dump(&rewritten).lines() {
            keys += 1;
            prop_assert!(line.starts_with("SET "), "{}", line);
        }
        // The same data: the server has as many keys, and every key the same value.
        prop_assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(keys));
        for key in [&b""[..], b"\xff\x00 \"'\r\n", b"a", b"b", b"c"] {
            let model = model_of(&commands, key);
            prop_assert_eq!(client.get(key), model.clone());
            let in_rewritten = model_of(&records(&rewritten), key);
            prop_assert_eq!(in_rewritten, model);
        }
        // Rewriting once more changes nothing.
        let (before, output) = (data(&rewritten), aof(&["rewrite", arg(&rewritten)]));
        prop_assert_eq!(output.code, Some(0), "{}", output.stderr);
        prop_assert_eq!(data(&rewritten), before);
        Ok(())
    });
    server.terminate().expect(0, &[]);
    result.unwrap();
}

#[test]
fn a_dump_restores_the_data_through_kvred_cli() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("with-bytes.aof");
    let all: Vec<u8> = (0..=255).collect();
    let keys = [&all[..], b"", b"\r\n", b"'\"\\", b"# no comment", b"2", "gr\u{fc}\u{df}e".as_bytes()];
    fs::write(&path, keys.iter().flat_map(|key| resp(&[b"SET", key, &all])).collect::<Vec<u8>>()).unwrap();
    restores_through_kvred_cli(&dir.path().join("kvred.aof"));
    restores_through_kvred_cli(&path);
}

/// Feeds dumps of a log to servers, which must have its data then.
fn restores_through_kvred_cli(log: &Path) {
    for (format, flags) in [("commands", &[][..]), ("commands", &["--pipe"]), ("resp", &["--pipe"])] {
        let empty = tempfile::tempdir().unwrap();
        let server = Launch::at(empty.path()).start();
        let mut dump = Launch::binary().args(["aof", "dump", "--format", format, arg(log)]).spawn().unwrap();
        let cli = Launch::binary()
            .args(["cli", "-p", &server.port().to_string()])
            .args(flags)
            .stdin(dump.stdout.take().unwrap())
            .output()
            .unwrap();
        let cli = Exit::of(cli);
        assert!(dump.wait().unwrap().success());
        assert_eq!((cli.code, &cli.stderr[..]), (Some(0), ""), "{format} {flags:?}: {}", cli.stdout);
        server.terminate().expect(0, &[]);
        assert_eq!(data(&empty.path().join("kvred.aof")), data(log), "{format} {flags:?}");
    }
}

/// Writes a log as Redis does, of commands without quotes.
fn write_lines(path: &Path, commands: &[&str]) {
    let words = |command: &&str| command.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    write_plain(path, &commands.iter().map(words).collect::<Vec<_>>());
}

#[test]
fn a_dump_of_an_adopted_log_is_in_commands_that_kvred_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    let commands = [
        "SELECT 0",
        "SET gone 1",
        "FLUSHALL",
        "MSET gone 1 gone:2 2",
        "FLUSHDB ASYNC",
        "SET gone 1",
        "flushall sync",
        "SET a 1",
        "set b 2",
        "SET a 3 KEEPTTL",
        "SET c 4 NX",
        "SET c 5 nx KeepTTL",
        "SET b 6 XX GET",
        "SET nothing 7 KEEPTTL XX",
        "MSET d 1 e 2 d 3",
        "mset f 1",
        "UNLINK a nothing",
        "unlink f",
        "DEL e nothing",
        "MULTI",
        "SET g 1",
        "MSET h 1 i 2 k 3",
        "UNLINK k",
        "EXEC",
    ];
    write_lines(&path, &commands);
    let server = Launch::at(dir.path()).start();
    assert_eq!(server.connect().ask(&["SET", "own", "8"]), Reply::ok());
    server.terminate().expect(0, &[]);
    assert_eq!(data(&path), ["SET b 6", "SET c 4", "SET d 3", "SET g 1", "SET h 1", "SET i 2", "SET own 8"]);
    restores_through_kvred_cli(&path);

    // What is no command to send is what stands in the log.
    let mut as_it_is: Vec<String> = commands.iter().map(|&command| command.to_owned()).collect();
    as_it_is.retain(|command| !["MULTI", "EXEC"].contains(&&command[..]));
    as_it_is.push("SET own 8".to_owned());
    let told = |record: &Vec<Vec<u8>>| String::from_utf8(record.join(&b' ')).unwrap();
    assert_eq!(records(&path).iter().map(told).collect::<Vec<_>>(), as_it_is);
    let table = aof(&["dump", "--format", "table", arg(&path)]).stdout;
    assert!(table.contains(" MSET d 1 e 2 d 3\n") && table.contains(" SET a 3 KEEPTTL\n"), "{table}");
}

#[test]
fn a_dump_says_keepttl_where_there_may_be_an_expiry_to_keep() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.aof");
    write_lines(&path, &["SET a 1", "SET a 2 KEEPTTL", "PEXPIREAT a 9999999999999", "SET a 3 KEEPTTL", "MSET b 1 c 2"]);
    assert_eq!(dump(&path), "SET a 1\nSET a 2\nPEXPIREAT a 9999999999999\nSET a 3 KEEPTTL\nSET b 1\nSET c 2\n");
}

/// What a key holds after these commands.
fn model_of(commands: &[Vec<Vec<u8>>], key: &[u8]) -> Option<Vec<u8>> {
    commands.iter().fold(None, |value, command| match &command[0][..] {
        b"SET" if command[1] == key => Some(command[2].clone()),
        b"FLUSHALL" => None,
        b"DEL" if command[1..].iter().any(|k| k == key) => None,
        _ => value,
    })
}

/// The commands of a log, by way of its JSON.
fn records(path: &Path) -> Vec<Vec<Vec<u8>>> {
    use base64::Engine;
    let output = aof(&["dump", "--format", "json", arg(path)]);
    output.expect(0, &[]);
    let bytes = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone().into_bytes(),
        other => base64::engine::general_purpose::STANDARD.decode(other["base64"].as_str().unwrap()).unwrap(),
    };
    let line = |line: &str| -> Vec<Vec<u8>> {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        std::iter::once(&json["command"]).chain(json["args"].as_array().unwrap()).map(bytes).collect()
    };
    output.stdout.lines().map(line).collect()
}

#[test]
fn all_formats_tell_the_same_commands() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let records = records(&path);
    let raw = aof(&["dump", "--format", "resp", arg(&path)]);
    let expected: Vec<u8> =
        records.iter().flat_map(|r| resp(&r.iter().map(Vec::as_slice).collect::<Vec<_>>())).collect();
    assert_eq!(raw.bytes, expected);
    let table = aof(&["dump", "--format", "table", arg(&path)]).stdout;
    assert_eq!(table.lines().count(), records.len() + 1);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert_eq!(dump(&path).lines().count(), records.len());
}

#[test]
fn a_filter_takes_any_bytes_as_keys_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.aof");
    fs::write(&path, [resp(&[b"SET", b"\xff\x01", b"a"]), resp(&[b"SET", b"other", b"b"])].concat()).unwrap();
    let mut tool = Launch::binary();
    tool.args(["aof", "dump", "--key"]).arg(OsStr::from_bytes(b"\xff*")).arg(&path);
    let output = Exit::of(tool.output().unwrap());
    output.expect(0, &[]);
    assert_eq!(output.stdout, "SET \"\\xff\\x01\" a\n");
}

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
    let dumped = |flag: &str, time: i64, log: &Path| {
        let output = aof(&["dump", flag, &time.to_string(), arg(log)]);
        let mut lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        (output.code, lines.join(", "), output.stderr)
    };
    let both = "SET a 1, SET b 2".to_owned();
    for (log, latest, refusal, warning) in [
        (&begins, 2000, "so what it was then is not known", "have no times; they are shown too"),
        (&rewritten, at, "what it was before that is not in it any more", "has no times; it is shown too"),
    ] {
        let refused = dumped("--until", latest - 1, log);
        assert_eq!((refused.0, &refused.1[..]), (Some(1), ""), "{refused:?}");
        assert!(refused.2.contains(refusal), "{refused:?}");
        let rewrite = aof(&["rewrite", "-o", arg(&out), "--until", &(latest - 1).to_string(), arg(log)]);
        assert_eq!((rewrite.code, rewrite.stderr), (Some(1), refused.2), "they say the same");
        assert_eq!(dumped("--until", latest, log), (Some(0), both.clone(), String::new()));
        for since in [1, latest] {
            let shown = dumped("--since", since, log);
            assert_eq!((shown.0, &shown.1), (Some(0), &both), "{shown:?}");
            assert!(shown.2.contains(warning), "{shown:?}");
        }
        let later = dumped("--since", latest + 1, log);
        assert_eq!((later.0, &later.1[..]), (Some(1), ""), "{later:?}");
        assert!(!later.2.contains("no times"), "{later:?}");
    }

    // Of a log without any time nothing is known; and of a damaged one perhaps more, behind the damage.
    fs::write(&begins, [a, b].concat()).unwrap();
    let log = dir.path().join("kvred.aof");
    fs::rename(&rewritten, &log).unwrap();
    Launch::at(dir.path()).start().terminate().expect(0, &[]);
    let mut damaged = fs::read(&log).unwrap();
    let rewrite = damaged.windows(11).position(|w| w == b"#REWRITTEN:").unwrap();
    damaged[rewrite + 11] ^= 2;
    fs::write(&log, damaged).unwrap();
    for (log, status, says) in
        [(&begins, 1, "it holds no times, so"), (&log, 4, "does not tell what it was then; see `kvred aof check")]
    {
        let dump = aof(&["dump", "--until", "3000", arg(log)]);
        assert_eq!((dump.code, &dump.stdout[..]), (Some(status), ""));
        assert!(dump.stderr.contains(says), "{}", dump.stderr);
        let rewrite = aof(&["rewrite", "-o", arg(&out), "--until", "3000", arg(log)]);
        assert_eq!((rewrite.code, rewrite.stderr), (Some(status), dump.stderr));
        assert!(!out.exists());
    }
    let shown = dumped("--since", 3000, &begins);
    assert_eq!((shown.0, shown.1), (Some(0), both));
    assert!(shown.2.contains("it holds no times; all of it is shown"), "{}", shown.2);

    // One that is new holds nothing that would have none.
    fs::write(&begins, "").unwrap();
    for flag in ["--since", "--until"] {
        let (code, shown, said) = dumped(flag, 3000, &begins);
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

/// It is not said before it is true.
#[test]
fn what_was_not_written_is_not_said_to_be_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("torn.aof");
    small_log(dir.path());
    let whole = fs::read(dir.path().join("kvred.aof")).unwrap();
    fs::write(&log, [&whole[..], b"*3"].concat()).unwrap();
    let nowhere = dir.path().join("nowhere/out.aof");
    let failed = aof(&["rewrite", "-o", arg(&nowhere), arg(&log)]);
    failed.expect(3, &["nothing was changed"]);
    assert!(!failed.stderr.contains("was rewritten"), "{}", failed.stderr);
    let out = dir.path().join("out.aof");
    aof(&["rewrite", "-o", arg(&out), arg(&log)]).expect(1, &["what is before that was rewritten"]);
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

/// Where the commands of a log stand.
fn offsets(log: &Path) -> Vec<usize> {
    let offset = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["offset"].as_u64().unwrap();
    aof(&["dump", "--format", "json", arg(log)]).stdout.lines().map(|line| offset(line) as usize).collect()
}

#[test]
fn salvage_saves_all_batches_but_the_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let all: Vec<String> = dump(&path).lines().map(str::to_owned).collect();
    let offsets = offsets(&path);
    for (turn, n) in (0..all.len()).step_by(7).enumerate() {
        let (before, at) = log.split_at(offsets[n] + 20);
        // A wrong byte, one less, or some more: then all behind it is out of its place.
        let damaged = match turn % 3 {
            0 => [before, &[at[0] ^ 0x10], &at[1..]].concat(),
            1 => [before, &at[1..]].concat(),
            _ => [before, b"more", at].concat(),
        };
        fs::write(&path, &damaged).unwrap();
        aof(&["check", arg(&path)]).expect(4, &[]);
        let out = dir.path().join(format!("saved-{n}.aof"));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        salvaged.expect(1, &[]);
        assert!(salvaged.stdout.contains(&format!("lost  bytes {} to", offsets[n])), "{}", salvaged.stdout);
        let mut expected = all.clone();
        expected.remove(n);
        assert_eq!(dump(&out).lines().collect::<Vec<_>>(), expected, "batch of record {n}");
        aof(&["check", arg(&out)]).expect(0, &[]);
        assert_eq!(fs::read(&path).unwrap(), damaged, "the log itself is as it was");
    }
}

/// Nothing of what it held is there, which a script has to learn.
#[test]
fn zeros_are_lost_to_salvage() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("kvred.aof"), dir.path().join("saved.aof"));
    fs::write(&path, [0; 5000]).unwrap();
    let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
    salvaged.expect(1, &[]);
    assert!(salvaged.stdout.contains("bytes 0 to 5000"), "{}", salvaged.stdout);
}

/// All checksums hang on the salt in the header: the batches tell of it, too.
#[test]
fn salvage_saves_what_follows_a_lost_header() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let all: Vec<String> = dump(&path).lines().map(str::to_owned).collect();
    let within_the_sixth = offsets(&path)[5] + 10;
    let value = log.windows(12).position(|w| w == b"always value").unwrap();
    for (name, changed, lost) in [
        ("two bits of the salt", [&log[..12], &[log[12] ^ 1, log[13] ^ 1], &log[14..]].concat(), 0),
        ("two bits of its name", [b"#KWREE:", &log[7..]].concat(), 0),
        ("some of it, and of RESP behind it", [b"#KWREE:", &log[7..36], b"x", &log[37..]].concat(), 1),
        ("some of it, and of a value", [b"#KWREE:", &log[7..value], b"x", &log[value + 1..]].concat(), 1),
        ("its sector", [&vec![0; within_the_sixth], &log[within_the_sixth..]].concat(), 6),
    ] {
        fs::write(&path, &changed).unwrap();
        let checked = aof(&["check", arg(&path)]);
        checked.expect(4, &[]);
        for (says, is_said) in [(" still verify", true), ("--salvage OUT", true), ("not look like a log", false)] {
            assert_eq!(checked.stdout.contains(says), is_said, "{name}: {}", checked.stdout);
        }
        Launch::at(dir.path()).refused().expect(4, &["is damaged"]);
        assert_eq!(fs::read(&path).unwrap(), changed, "{name}: nothing is cut");
        let out = dir.path().join(format!("saved from {name}.aof"));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        salvaged.expect(1, &[]);
        assert!(salvaged.stdout.contains("\n  lost  bytes "), "{name}: {}", salvaged.stdout);
        assert!(dump(&out).lines().eq(&all[lost..]), "{name}: {}", salvaged.stdout);
        aof(&["check", arg(&out)]).expect(0, &[]);
    }
}

/// One wrong bit in a length has a command swallow all that follows, or it is no command any more.
#[test]
fn what_kvred_has_appended_to_a_plain_log_is_saved_from_behind_a_flaw_in_that() {
    let dir = tempfile::tempdir().unwrap();
    let (log, joint) = adopted_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let at = log.windows(4).position(|w| w == b"$100").unwrap();
    let large = log[..at].windows(2).rposition(|w| w == b"*3").unwrap();
    for (changed, byte) in [(at + 1, b'9'), (large, b'j')] {
        let mut damaged = log.clone();
        damaged[changed] = byte;
        fs::write(&path, &damaged).unwrap();
        let checked = aof(&["check", arg(&path)]);
        checked.expect(4, &[]);
        for says in [&format!("damage        at byte {large} "), "  2 records in", " still verify", "--salvage OUT"] {
            assert!(checked.stdout.contains(says), "{says}: {}", checked.stdout);
        }
        Launch::at(dir.path()).refused().expect(4, &["is damaged"]);
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is cut");
        let out = dir.path().join(format!("saved-{changed}.aof"));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        salvaged.expect(1, &[]);
        let lost = format!("4 records saved, {} bytes lost\n  lost  bytes {large} to", joint + 36 - large);
        assert!(salvaged.stdout.contains(&lost), "{lost}: {}", salvaged.stdout);
        assert_eq!(dump(&out), "SET first 1\nSET second 2\nSET ours 4\nSET \"ours too\" 5\n");
    }
}

/// The sector holds the end of the plain part, the header and the first batch.
#[test]
fn what_kvred_has_appended_to_a_plain_log_is_saved_from_behind_a_lost_sector_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, joint) = adopted_log(dir.path());
    let path = dir.path().join("kvred.aof");
    log[joint - 5..joint + 50].fill(0);
    fs::write(&path, &log).unwrap();
    let checked = aof(&["check", arg(&path)]);
    checked.expect(4, &[]);
    assert!(checked.stdout.contains("  1 record in"), "{}", checked.stdout);
    Launch::at(dir.path()).refused().expect(4, &["is damaged"]);
    let out = dir.path().join("saved.aof");
    aof(&["check", "--salvage", arg(&out), arg(&path)]).expect(1, &[]);
    assert_eq!(dump(&out), format!("SET first 1\nSET second 2\nSET large {}\nSET \"ours too\" 5\n", "v".repeat(100)));
}

/// Salvages a log of these commands: what is said, and the commands that are saved.
fn salvaged(commands: &[&str]) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("plain.aof"), dir.path().join("out.aof"));
    write_lines(&path, commands);
    let output = aof(&["check", "--salvage", arg(&out), arg(&path)]);
    output.expect(1, &[]);
    aof(&["check", arg(&out)]).expect(0, &[]);
    (output.stdout, dump(&out).lines().map(str::to_owned).collect())
}

#[test]
fn of_a_plain_log_a_refused_command_costs_itself_alone() {
    let sets: Vec<String> = (0..2000).map(|n| format!("SET key{n:04} value")).collect();
    let mut commands: Vec<&str> = sets.iter().map(String::as_str).collect();
    commands.splice(1000..1000, ["HSET h f v", "HSET h g v"]);
    let (said, saved) = salvaged(&commands);
    assert_eq!(saved, sets);
    assert!(
        said.contains("2,000 records saved, 70 bytes lost\n  lost  bytes 37000 to 37070 (70): kvred refuses it"),
        "{said}"
    );

    let (said, saved) = salvaged(&["MULTI", "SET a 1", "HSET h f v", "SET b 2", "EXEC", "SET c 3"]);
    assert_eq!(saved, ["SET a 1", "SET b 2", "SET c 3"]);
    assert!(said.contains("35 bytes lost"), "{said}");
}

/// Behind a torn batch, a command that selects a database tells of another server, and of damage.
#[test]
fn a_salvaged_copy_that_is_cut_off_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let [log, copy] = ["plain.aof", "copy.aof"].map(|name| dir.path().join(name));
    write_lines(&log, &["SELECT 0", "SET a 1", "select 0", "SET b 2"]);
    let salvaged = aof(&["check", "--salvage", arg(&copy), arg(&log)]);
    salvaged.expect(0, &[]);
    assert!(salvaged.stdout.contains("2 records saved, 0 bytes lost"), "{}", salvaged.stdout);
    let whole = fs::read(&copy).unwrap();
    let within = whole.windows(3).position(|w| w == b"#C:").unwrap();
    fs::write(&copy, &whole[..within]).unwrap();
    let checked = aof(&["check", arg(&copy)]);
    checked.expect(1, &[]);
    assert!(checked.stdout.contains("its tail is torn"), "{}", checked.stdout);
}

#[test]
fn keys_of_other_databases_are_not_mixed_with_those_of_database_0() {
    let (said, saved) = salvaged(&[
        "SET a 0", "SELECT 1", "SET a 1", "FLUSHDB", "SET b 1", "SELECT 0", "SET c 0", "SELECT 2", "SET a 2",
    ]);
    assert_eq!(saved, ["SET a 0", "SET c 0"]);
    assert!(said.contains("it belongs to another database than 0"), "{said}");
    let (_, saved) = salvaged(&["SET a 0", "SELECT 1", "SET a 1", "FLUSHALL", "SET a 1"]);
    assert_eq!(saved, ["SET a 0", "FLUSHALL"]);
}
