//! What comes out of the tools is what went into the log, whatever the bytes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::kit::{aof, arg, data, dump, resp, small_log, write_lines, write_plain};
use crate::helpers::{Exit, Launch, Reply};

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
