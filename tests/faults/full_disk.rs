//! A full disk refuses writes and nothing else, and they work again by themselves.

use crate::helpers::{Client, Launch, Reply, command, info, rewrite, wait_until};
use crate::rig::{Tracer, Volume, Whom, assert_no_orphan, error};

const POLICIES: [&str; 3] = ["always", "everysec", "none"];

/// Larger than what is left free, with the space that `always` reserves ahead: the kernel writes a part of it before it
/// finds no more room.
const LARGE: usize = 5 << 20;

fn on(volume: impl Fn(&Launch) -> Option<Volume>, policy: &str) {
    let launch = Launch::new().args(&["--fsync", policy]);
    let Some(volume) = volume(&launch) else { return };
    let server = launch.start();
    let mut client = server.connect();
    client.set("old", "1");
    client.set("gone", "x");
    client.send("DEL gone\r\n").expect(":1\r\n");
    let filler = volume.fill_but(64 << 10);

    // A short write, undone: its beginning found room.
    let large = "L".repeat(LARGE);
    let refused = error(client.ask(&["SET", "old", &large]));
    assert!(refused.starts_with("MISCONF ") && refused.contains("No space left on device"), "{refused}");
    assert_unchanged(&mut client);
    assert_eq!(info(&mut client, "aof_last_write_status"), "err");
    assert_eq!(info(&mut client, "aof_poisoned"), "no", "a failed write that was undone poisons nothing");

    // Others are not affected, whatever they do in between.
    let mut other = server.connect();
    other.send(crate::helpers::command(&["SET", "new", &large])).send("EXISTS new\r\nGET old\r\nPING\r\n");
    assert!(error(other.reply()).starts_with("MISCONF "));
    other.expect(":0\r\n$1\r\n1\r\n+PONG\r\n");
    assert_unchanged(&mut client);

    // To the last byte: small writes go on for as long as they fit, and then they are refused too.
    volume.fill_but(16 << 10);
    let mut small = 0;
    wait_until("the disk is full", || {
        let reply = client.ask(&["SET", &format!("small{small}"), &"s".repeat(1000)]);
        small += usize::from(reply == Reply::ok());
        matches!(reply, Reply::Error(text) if text.starts_with("MISCONF "))
    });
    assert!(small > 0, "no small write had room");
    let first_refused = format!("small{small}");
    assert_eq!(client.get(&first_refused), None);
    assert_unchanged(&mut client);
    let complaints = server.stderr().matches("the append-only file cannot be written").count();
    assert!(complaints <= 2, "told {complaints} times: {}", server.stderr());

    // A crash now: the log has what was acknowledged and nothing else.
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_unchanged(&mut client);
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(small as i64 + 1));
    assert_eq!(launch.cuts(), [], "an undone write leaves nothing to cut");

    // Still full; then there is room, and nobody has to do anything.
    assert!(error(client.ask(&["SET", "old", &large])).starts_with("MISCONF "));
    std::fs::remove_file(filler).unwrap();
    client.set("old", &large);
    assert_eq!(info(&mut client, "aof_last_write_status"), "ok");
    server.terminate().expect(0, &["can be written again"]);
    let server = launch.start();
    let mut client = server.connect();
    assert_eq!(client.get("old"), Some(large.into_bytes()));
    drop((server, volume));
}

fn assert_unchanged(client: &mut Client) {
    assert_eq!(client.get("old").as_deref(), Some(&b"1"[..]));
    assert_eq!(client.ask_words("EXISTS old new gone"), Reply::Integer(1));
}

#[test]
fn a_full_tmpfs_refuses_writes_and_takes_them_again() {
    for policy in POLICIES {
        on(|launch| Volume::tmpfs(launch, 16 << 10), policy);
    }
}

#[test]
fn a_full_ext4_refuses_writes_and_takes_them_again() {
    for policy in POLICIES {
        on(|launch| Volume::ext4(launch, 32 << 10), policy);
    }
}

/// Nothing is at stake: all that was acknowledged is synced before.
#[test]
fn a_stop_that_cannot_state_the_end_of_the_log_is_none_that_failed() {
    for policy in POLICIES {
        let launch = Launch::new().args(&["--fsync", policy]);
        let server = launch.start();
        server.connect().set("k", "v");
        let inject = ["inject=pwrite64,pwritev:error=ENOSPC"];
        let Some(_tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
        server.terminate().expect(0, &["is on the disk", "No space left on device"]);
        assert_eq!(launch.start().connect().get("k").as_deref(), Some(&b"v"[..]), "{policy}");
    }
}

#[test]
fn a_short_write_is_undone_with_a_truncation() {
    let launch = Launch::new();
    let Some(volume) = Volume::tmpfs(&launch, 4 << 10) else { return };
    let server = launch.start();
    let mut client = server.connect();
    client.set("old", "1");
    volume.fill_but(64 << 10);
    let before = server.log();
    let Some(tracer) = Tracer::attach(&server, Whom::All, &["trace=pwrite64,pwritev,ftruncate"]) else { return };
    error(client.ask(&["SET", "old", &"L".repeat(LARGE)]));
    let calls = tracer.detach();
    let short = calls.lines().filter(|l| l.contains("pwrite") && !l.contains("= -1")).any(|l| {
        let written = l.rsplit("= ").next().and_then(|n| n.trim().parse::<usize>().ok());
        written.is_some_and(|n| n > 0 && n < LARGE)
    });
    assert!(short, "there was no short write: {calls}");
    assert!(calls.contains("ENOSPC"), "{calls}");
    let truncated = calls.lines().any(|l| l.contains("ftruncate(") && l.contains(&format!(", {})", before.len())));
    assert!(truncated, "not cut back to {}: {calls}", before.len());
    assert_eq!(server.log(), before);
    drop((server, volume));
}

#[test]
fn a_rewrite_that_fills_the_disk_is_dropped_and_told() {
    let launch = Launch::new();
    let launch = launch.args(&["--auto-aof-rewrite-percentage", "0", "--auto-aof-rewrite-min-size", "1"]);
    let Some(volume) = Volume::tmpfs(&launch, 4 << 10) else { return };
    let server = launch.start();
    let mut client = server.connect();
    for i in 0..20 {
        client.set(format!("k{i}"), vec![b'v'; 50 << 10]);
    }
    volume.fill_but(512 << 10);
    let before = server.log();
    assert!(!rewrite(&mut client));
    assert_no_orphan(launch.dir());
    assert_eq!(server.log(), before);
    assert!(volume.free_bytes() >= 512 << 10, "its space is free again");
    server.wait_for_stderr("came to nothing: cannot write the new log: No space left on device");
    client.set("k0", "still written");

    // Not even the header has room.
    volume.fill_but(0);
    assert!(!rewrite(&mut client));
    assert_no_orphan(launch.dir());
    server.wait_for_stderr("cannot make the new log: No space left on device");

    // One that nobody asked for is not tried again each second: it would take the little space that is left.
    // With percentage 1 it would start by itself, if a failed one did not make it wait.
    client.send("CONFIG SET auto-aof-rewrite-percentage 1\r\n").expect("+OK\r\n");
    server.wait_for_looks_at_the_log();
    assert!(!server.stderr().contains("rewriting it"), "{}", server.stderr());
    assert_eq!(server.stderr().matches("came to nothing").count(), 2, "{}", server.stderr());

    std::fs::remove_file(launch.dir().join("filler")).unwrap();
    assert!(rewrite(&mut client));
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(20));
    assert_eq!(client.get("k0").as_deref(), Some(&b"still written"[..]));
    drop((server, volume));
}

#[test]
fn space_reserved_on_a_nearly_full_disk_does_not_stay_in_the_log() {
    let launch = Launch::new().args(&["--fsync", "always"]);
    let Some(volume) = Volume::ext4(&launch, 12 << 10) else { return };
    let server = launch.start();
    volume.fill_but(1 << 20);
    let mut client = server.connect();
    // Reserving 4 MiB fails, after it has taken what there was.
    client.set("k", "v");
    client.set("l", vec![b'v'; 200 << 10]);
    server.terminate().expect(0, &[]);
    let log = launch.log();
    assert!(log.ends_with(b"\r\n"), "zeros are left behind the log, which Redis does not load");
    drop(volume);
}

#[test]
fn a_limit_on_the_size_of_files_is_told_from_the_first_write_on() {
    for log in [None, Some(command(&["SET", "k", "v"]))] {
        let launch = Launch::new();
        let mut runs = vec![&["serve", "--port", "0"][..]];
        if let Some(log) = &log {
            std::fs::write(launch.log_path(), log).unwrap();
            runs.push(&["aof", "rewrite", "kvred.aof"]);
        }
        for args in runs {
            let output = Launch::clean(std::process::Command::new("sh"))
                .args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_kvred")])
                .args(args)
                .current_dir(launch.dir())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
            assert!(said.contains("File too large"), "{args:?}: {said}");
            assert_eq!(std::fs::read(launch.log_path()).ok(), log, "{args:?}");
        }
    }
}

#[test]
fn a_limit_on_the_size_of_files_refuses_writes_and_ends_nothing() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    for policy in ["always", "everysec", "none"] {
        let server = Launch::new().args(&["--fsync", policy]).start();
        let mut client = server.connect();
        let large = |len: usize| command(&["SET", "large", &"x".repeat(len)]);
        client.send(large(100_000)).expect("+OK\r\n");
        let limit = |bytes| {
            let pid = Pid::from_raw(server.pid().cast_signed());
            let limit = Rlimit { current: bytes, maximum: None };
            prlimit(pid, Resource::Fsize, limit).unwrap();
        };
        limit(Some(150_000));
        let refused = error(client.send(large(2 << 20)).reply());
        assert!(refused.starts_with("MISCONF ") && refused.contains("File too large"), "{policy}: {refused}");
        assert_eq!(client.ask_words("STRLEN large"), Reply::Integer(100_000));
        limit(None);
        // What was reserved ahead is gone with what was undone, and is reserved anew.
        for _ in 0..30 {
            client.send(large(100_000)).expect("+OK\r\n");
        }
        client.send(large(2 << 20)).expect("+OK\r\n");
        let server = server.crash_and_restart();
        assert_eq!(server.connect().ask_words("STRLEN large"), Reply::Integer(2 << 20));
    }
}
