//! Logs of Redis and Valkey: plain ones, ones in parts, and dumps that their tools take.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::kit::{aof, arg, data, dump, resp, small_log};
use crate::helpers::peer::{Peer, SERVERS, binary};
use crate::helpers::{Exit, Launch, Reply, wait_until};

#[test]
fn a_log_in_parts_is_read_through_its_manifest() {
    for name in SERVERS {
        let dir = tempfile::tempdir().unwrap();
        let flags = ["--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes"];
        let Some(server) = Peer::start_with(name, dir.path(), &flags) else { continue };
        let mut client = server.connect();
        client.ask(&["SET", "a", "1"]);
        client.ask(&["SET", "b", "2"]);
        client.ask(&["BGREWRITEAOF"]);
        let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
        wait_until("the rewrite ends", || fs::read_to_string(&manifest).unwrap().contains(".2.base"));
        client.ask(&["MULTI"]);
        client.ask(&["SET", "c", "3"]);
        client.ask(&["DEL", "a"]);
        assert_eq!(client.ask(&["EXEC"]), Reply::Array(vec![Reply::ok(), Reply::Integer(1)]));
        drop(server);
        let checked = aof(&["check", arg(&manifest)]);
        assert_eq!(checked.code, Some(0), "{name}: {}{}", checked.stdout, checked.stderr);
        assert!(checked.stdout.contains("a log in 2 parts"), "{}", checked.stdout);
        assert_eq!(data(&manifest), ["SET b 2", "SET c 3"], "{name}");
        assert_eq!(aof(&["rewrite", arg(&manifest)]).code, Some(2), "not in place");
    }
}

#[test]
fn a_manifest_is_taken_or_refused_as_redis_does() {
    let Some(check) = binary("redis-check-aof") else { return };
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("appendonly.aof.manifest");
    for (name, command) in [
        ("a.1.base.aof", [&b"SET"[..], b"k", b"base"]),
        ("a.1.incr.aof", [b"SET", b"k", b"first"]),
        ("\u{e4}.2.incr.aof", [b"SET", b"k", b"second"]),
    ] {
        fs::write(dir.path().join(name), resp(&command)).unwrap();
    }
    let base = "file a.1.base.aof seq 1 type b\n";
    let (first, second) =
        ("file a.1.incr.aof seq 1 type i\n", "file \"\\xc3\\xa4.2.incr.aof\" seq 2 type i startoffset 0\n");
    let cases = [
        format!("{base}{first}{second}"),
        format!("{first}{second}{base}"),
        format!("{base}{first}{second}").replace(' ', "\t"),
        format!("{base}# a comment\n{second}"),
        base.replace("type b", "type x type base other y") + second,
        format!("{base}{second}{first}"),
        format!("{base}{first}{first}"),
        format!("{base}{first}{base}"),
        format!("{base}\n{first}"),
        base.replace("seq 1 ", ""),
        base.replace("seq 1", "seq x"),
        base.replace("type b", "type b odd"),
        base.trim_end().to_owned(),
    ];
    for text in cases {
        fs::write(&manifest, &text).unwrap();
        let theirs = Command::new(&check).arg(&manifest).output().unwrap().status.success();
        let ours = aof(&["check", arg(&manifest)]);
        assert_eq!(ours.code, Some(if theirs { 0 } else { 3 }), "{text}{}{}", ours.stdout, ours.stderr);
        if theirs {
            assert_eq!(data(&manifest), ["SET k second"], "{text}");
        }
    }
}

#[test]
fn an_rdb_base_is_named_and_nothing_is_shown_without_it() {
    for name in SERVERS {
        let dir = tempfile::tempdir().unwrap();
        let Some(server) = Peer::start(name, dir.path()) else { continue };
        server.connect().ask(&["SET", "a", "1"]);
        drop(server);
        let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
        let checked = aof(&["check", arg(&manifest)]);
        checked.expect(3, &[]);
        assert!(checked.stdout.contains("base.rdb: cannot be read: it is an RDB snapshot"), "{}", checked.stdout);
        assert!(checked.stdout.contains("incr.aof: clean"), "{}", checked.stdout);
        let dumped = aof(&["dump", arg(&manifest)]);
        assert_eq!((dumped.code, &dumped.stdout[..]), (Some(3), ""), "{name}");
    }
}

/// The cure is told, and nothing is called damaged that Redis wrote so.
#[test]
fn a_log_that_begins_with_a_snapshot_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    let beginnings = [&b"REDIS0011\xfa\x09redis-ver\x057.4.0"[..], b"VALKEY080\xfa\x0avalkey-ver\x059.0.0"];
    for beginning in beginnings {
        let log = [beginning, &resp(&[b"SET", b"a", b"1"])].concat();
        fs::write(&path, &log).unwrap();
        let told = |args: &[&str]| {
            let told = aof(&[&["check"], args, &[arg(&path)]].concat());
            told.expect(4, &[]);
            format!("{}{}", told.stdout, told.stderr)
        };
        let cure = "it is an RDB snapshot, or begins with one, which kvred cannot read; with `aof-use-rdb-preamble no`";
        let refused = Launch::at(dir.path()).refused();
        refused.expect(4, &[cure]);
        for text in [told(&[]), told(&["--fix", "--yes"]), refused.stderr] {
            assert!(text.contains(cure), "{text}");
            assert!(!text.to_lowercase().contains("damaged") && !text.contains("look like a log"), "{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&told(&["--json"])).unwrap();
        assert_eq!(json["verdict"], "unreadable");
        assert!(json["damage"]["reason"].as_str().unwrap().starts_with(cure), "{json}");
        assert_eq!(fs::read(&path).unwrap(), log);
    }
}

/// A rewrite there leaves an empty part behind a base.
#[test]
fn an_empty_part_behind_a_clean_one_makes_no_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("appendonly.aof.manifest");
    fs::write(&manifest, "file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\n").unwrap();
    fs::write(dir.path().join("a.1.incr.aof"), "").unwrap();
    for (base, verdict) in [(resp(&[b"SET", b"a", b"1"]), "clean"), (Vec::new(), "new")] {
        fs::write(dir.path().join("a.1.base.aof"), base).unwrap();
        let checked = aof(&["check", "--json", arg(&manifest)]);
        let json = checked.json();
        assert_eq!((checked.code, json["verdict"].as_str()), (Some(0), Some(verdict)));
        assert_eq!(json["parts"][1]["verdict"], "new");
    }
}

#[test]
fn a_comment_is_taken_or_refused_as_redis_does() {
    let Some(check) = binary("redis-check-aof") else { return };
    let dir = tempfile::tempdir().unwrap();
    let [path, saved] = ["kvred.aof", "saved.aof"].map(|name| dir.path().join(name));
    let [first, second] = [b"a", b"b"].map(|key| resp(&[b"SET", key, b"1"]));
    for len in [2, 10, 128, 129, 130, 500, 1022, 1023, 1024] {
        for end in ["\n", "\r\n"] {
            let comment = format!("#{:c<1$}{end}", "", len - 1 - end.len().min(len - 1));
            fs::write(&path, [&first, comment.as_bytes(), &second].concat()).unwrap();
            let theirs = Command::new(&check).arg(&path).output().unwrap().status.success();
            let ours = aof(&["check", arg(&path)]);
            assert_eq!(ours.code, Some(if theirs { 0 } else { 4 }), "{len} {end:?}: {}{}", ours.stdout, ours.stderr);
            if theirs {
                aof(&["check", "--salvage", arg(&saved), arg(&path)]).expect(0, &[]);
                aof(&["check", arg(&saved)]).expect(0, &[]);
                assert_eq!((dump(&path), dump(&saved)), ("SET a 1\nSET b 1\n".to_owned(), dump(&path)));
                fs::remove_file(&saved).unwrap();
            }
        }
    }
    fs::write(&path, [&first, &b"# by hand\n"[..], &second].concat()).unwrap();
    for n in 0..2 {
        let server = Launch::at(dir.path()).start();
        assert_eq!(server.connect().ask(&["DBSIZE"]), Reply::Integer(2 + n));
        server.connect().ask(&["SET", "c", "1"]);
        server.terminate().expect(0, &[]);
    }
}

/// Redis loads it. Cut off at it, the log would lose what is sound.
#[test]
fn what_is_too_long_to_be_read_is_told_as_that_and_never_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    let long = 1_u64 << 30;
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n${}\r\n", long - 50);
    let multi = [resp(&[b"MULTI"]), resp(&[b"SET", b"a", b"1"]), set.into_bytes()].concat();
    let mset = format!("*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n${}\r\n", long - 20);
    let ends = [&resp(&[b"EXEC"])[..], b""];
    for ((begin, value), end) in [(multi, long - 50), (mset.into_bytes(), long - 20)].into_iter().zip(ends) {
        let begin = [resp(&[b"SET", b"x", b"1"]), begin].concat();
        fs::write(&path, &begin).unwrap();
        let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        // The value is a hole.
        file.set_len(begin.len() as u64 + value).unwrap();
        (&file).write_all(&[b"\r\n", end, &resp(&[b"SET", b"y", b"1"])].concat()).unwrap();
        let len = file.metadata().unwrap().len();

        let checked = aof(&["check", arg(&path)]);
        checked.expect(4, &[]);
        assert!(checked.stdout.contains("  refused       record 2 at byte 27:"), "{}", checked.stdout);
        assert!(!checked.stdout.contains("DAMAGED") && !checked.stdout.contains("--fix"), "{}", checked.stdout);
        assert!(checked.stdout.replace('\n', " ").contains("more than 1 GiB"), "{}", checked.stdout);
        let json = aof(&["check", "--json", arg(&path)]).json();
        assert_eq!((json["verdict"].as_str(), json["damage"].is_null()), (Some("refused"), true), "{json}");
        aof(&["check", "--fix", "--yes", arg(&path)]).expect(4, &["nothing was changed"]);
        let cure = "more than 1 GiB, and kvred reads none so long; with `aof-use-rdb-preamble no`, BGREWRITEAOF";
        let dumped = aof(&["dump", arg(&path)]);
        dumped.expect(4, &["cannot be read from byte 27 on", cure]);
        assert_eq!(dumped.stdout, "SET x 1\n");
        aof(&["rewrite", arg(&path)]).expect(4, &["record 2 at byte 27", cure]);
        Launch::at(dir.path()).refused().expect(4, &["cannot be loaded", "record 2 at byte 27", cure]);
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
    }
}

#[test]
fn a_torn_part_before_the_last_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("appendonly.aof.manifest");
    fs::write(&manifest, "file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\n").unwrap();
    let whole = resp(&[b"SET", b"a", b"1"]);
    fs::write(dir.path().join("a.1.base.aof"), &whole[..whole.len() - 2]).unwrap();
    fs::write(dir.path().join("a.1.incr.aof"), &whole).unwrap();
    for tool in ["check", "dump"] {
        assert_eq!(aof(&[tool, arg(&manifest)]).code, Some(4), "{tool}");
    }
    fs::write(dir.path().join("a.1.base.aof"), &whole).unwrap();
    fs::write(dir.path().join("a.1.incr.aof"), &whole[..whole.len() - 2]).unwrap();
    for tool in ["check", "dump"] {
        assert_eq!(aof(&[tool, arg(&manifest)]).code, Some(1), "{tool}");
    }
    fs::remove_file(dir.path().join("a.1.base.aof")).unwrap();
    aof(&["check", arg(&manifest)]).expect(3, &[]);
}

/// What stood there is lost, and what follows would pass for all that was written since.
#[test]
fn zeros_at_the_end_of_a_part_before_the_last_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let manifest = at("appendonly.aof.manifest");
    fs::write(&manifest, "file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\n").unwrap();
    let whole = resp(&[b"SET", b"a", b"1"]);
    let zeros = [&whole[..], &[0; 100]].concat();
    fs::write(at("a.1.base.aof"), &zeros).unwrap();
    fs::write(at("a.1.incr.aof"), &whole).unwrap();
    let checked = aof(&["check", arg(&manifest)]);
    checked.expect(4, &[]);
    for told in ["base.aof: DAMAGED", "other parts of the log follow it", "100 bytes with 0 records", "incr.aof: clean"]
    {
        assert!(checked.stdout.contains(told), "{told}: {}", checked.stdout);
    }
    assert!(!checked.stdout.contains("--fix"), "{}", checked.stdout);
    aof(&["dump", arg(&manifest)]).expect(4, &["base.aof is damaged at byte 27"]);
    let rewritten = aof(&["rewrite", "-o", arg(&at("out.aof")), arg(&manifest)]);
    rewritten.expect(4, &["base.aof is damaged at byte 27"]);
    if let Some(check) = binary("redis-check-aof") {
        assert!(!Command::new(check).arg(&manifest).output().unwrap().status.success());
    }
    fs::write(at("a.1.base.aof"), &whole).unwrap();
    fs::write(at("a.1.incr.aof"), &zeros).unwrap();
    let checked = aof(&["check", arg(&manifest)]);
    checked.expect(0, &[]);
    assert!(checked.stdout.contains("127 bytes, of which 100 at the end are zero bytes"), "{}", checked.stdout);
}

/// Cut, it would be whole, and nothing would tell any more that the log has a hole.
#[test]
fn a_part_before_the_last_is_not_cut_either_where_it_is_named_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let manifest = "file a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n";
    fs::write(at("appendonly.aof.manifest"), manifest).unwrap();
    let whole = resp(&[b"SET", b"a", b"1"]);
    fs::write(at("a.2.incr.aof"), &whole).unwrap();
    let part = at("a.1.incr.aof");
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.aof");
    std::os::unix::fs::symlink(&part, &link).unwrap();
    for end in [&whole[..20], b"*x\r\n", &[0; 100]] {
        let flawed = [&whole, end].concat();
        fs::write(&part, &flawed).unwrap();
        for named in [&part, &link] {
            let checked = aof(&["check", arg(named)]);
            checked.expect(4, &[]);
            assert!(checked.stdout.contains("DAMAGED") && !checked.stdout.contains("--fix"), "{}", checked.stdout);
            let fixed = aof(&["check", "--fix", "--yes", arg(named)]);
            fixed.expect(4, &["nothing was changed: other parts of the log follow this one"]);
            aof(&["dump", arg(named)]).expect(4, &["is damaged at byte 27"]);
            aof(&["rewrite", arg(named)]).expect(4, &["is damaged at byte 27; nothing was changed"]);
            assert_eq!(fs::read(&part).unwrap(), flawed);
        }
    }
    let last = at("a.2.incr.aof");
    fs::write(&last, [&whole[..], b"*3\r\n"].concat()).unwrap();
    aof(&["check", "--fix", "--yes", arg(&last)]).expect(0, &[]);
    assert_eq!(fs::read(&last).unwrap(), whole);
}

/// Without the others its data is wrong, and what is written to it changes theirs.
#[test]
fn one_of_several_parts_is_not_served() {
    let launch = Launch::new();
    let log = launch.log_path();
    let name = log.file_name().unwrap().to_str().unwrap();
    let manifest = log.with_file_name("appendonly.aof.manifest");
    let whole = resp(&[b"SET", b"a", b"1"]);
    for part in [&log, &log.with_file_name("other.aof")] {
        fs::write(part, &whole).unwrap();
    }
    for (first, second) in [(name, "other.aof"), ("other.aof", name)] {
        fs::write(&manifest, format!("file {first} seq 1 type b\nfile {second} seq 1 type i\n")).unwrap();
        let rewrite = format!("kvred aof rewrite -o moved.aof {}", arg(&manifest));
        launch.refused().expect(4, &["one of several parts of the log", &rewrite]);
        assert_eq!(fs::read(&log).unwrap(), whole);
    }
    // All of its data is there.
    fs::write(&manifest, format!("file {name} seq 1 type b\n")).unwrap();
    launch.start().terminate().expect(0, &[]);
}

#[test]
fn an_option_of_set_that_kvred_does_not_have_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    fs::write(&path, resp(&[b"SET", b"a", b"2", b"IFEQ", b"1"])).unwrap();
    let why = "'set' with options that kvred does not take: IFEQ 1";
    let checked = aof(&["check", arg(&path)]);
    checked.expect(4, &[]);
    assert!(checked.stdout.contains(why), "{}", checked.stdout);
    Launch::at(dir.path()).refused().expect(4, &[why]);
}

/// Made as short as its data, it would not delete what a part before it holds.
#[test]
fn a_part_that_goes_on_from_another_is_not_rewritten_and_saved_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let manifest = at("appendonly.aof.manifest");
    fs::write(&manifest, "file a.1.base.aof seq 1 type b\nfile \"\\x61.1.incr.aof\" seq 1 type i\n").unwrap();
    let base = [resp(&[b"SET", b"a", b"1"]), resp(&[b"SET", b"a", b"2"]), resp(&[b"SET", b"b", b"1"])].concat();
    fs::write(at("a.1.base.aof"), base).unwrap();
    let incremental = [resp(&[b"DEL", b"a"]), resp(&[b"SET", b"c", b"1"])].concat();
    fs::write(at("a.1.incr.aof"), &incremental).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.aof");
    std::os::unix::fs::symlink(at("a.1.incr.aof"), &link).unwrap();
    let part = at("a.1.incr.aof");
    for args in [&[arg(&part)][..], &[arg(&link)], &["a.1.incr.aof"], &["-o", arg(&at("out.aof")), arg(&part)]] {
        let mut tool = Launch::binary();
        let refused = tool.current_dir(dir.path()).args(["aof", "rewrite"]).args(args).output().unwrap();
        let refused = Exit::of(refused);
        assert_eq!(refused.code, Some(2), "{args:?}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains("appendonly.aof.manifest lists before it"), "{}", refused.stderr);
        assert_eq!(fs::read(&part).unwrap(), incremental);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing was made");
    }
    // What is saved of it is all there is in it, and not all of the data.
    for (n, (source, code)) in [(&part, 1), (&link, 1), (&at("a.1.base.aof"), 0)].into_iter().enumerate() {
        let out = elsewhere.path().join(format!("saved{n}.aof"));
        let saved = aof(&["check", "--salvage", arg(&out), arg(source)]);
        saved.expect(code, &[]);
        assert!(saved.stdout.contains(" saved, 0 bytes lost"), "{}", saved.stdout);
        let warned = saved.stderr.contains("appendonly.aof.manifest lists before it");
        assert_eq!(warned, code == 1, "{}: {}", source.display(), saved.stderr);
    }
    // The base is where the log begins.
    let rewritten = aof(&["rewrite", arg(&at("a.1.base.aof"))]);
    rewritten.expect(0, &[]);
    assert_eq!(data(&manifest), ["SET b 1", "SET c 1"]);
}

#[test]
fn a_dump_restores_the_data_through_redis_cli() {
    let Some(cli) = binary("redis-cli") else { return };
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("with-bytes.aof");
    let mut bytes = Vec::new();
    let all: Vec<u8> = (0..=255).collect();
    for key in [&all[..], b"", b"\r\n", b"'\"\\", "grüße".as_bytes()] {
        bytes.extend(resp(&[b"SET", key, &all]));
    }
    fs::write(&path, bytes).unwrap();
    for log in [dir.path().join("kvred.aof"), path] {
        for (format, flags) in [("commands", &[][..]), ("resp", &["--pipe"][..])] {
            let empty = tempfile::tempdir().unwrap();
            let flags_of_peer = ["--aof-use-rdb-preamble", "no"];
            let Some(peer) = Peer::start_with("redis-server", empty.path(), &flags_of_peer) else { return };
            let dumped = aof(&["dump", "--format", format, arg(&log)]);
            let mut child = Launch::clean(Command::new(&cli))
                .args(["-p", &peer.port().to_string()])
                .args(flags)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&dumped.bytes).unwrap();
            let said = Exit::of(child.wait_with_output().unwrap()).stdout;
            assert!(!said.contains("ERR"), "{said}");
            let expected = data(&log);
            assert_eq!(peer.connect().ask(&["DBSIZE"]), Reply::Integer(expected.len() as i64), "{format}");
            drop(peer);
            assert_eq!(data(&empty.path().join("appendonlydir/appendonly.aof.manifest")), expected, "{format}");
        }
    }
    assert!(!dump(&dir.path().join("kvred.aof")).is_empty());
}
