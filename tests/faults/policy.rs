//! `WAITAOF`, `CONFIG SET appendfsync`, `LASTSAVE` and `SHUTDOWN`; and what of the log a policy leaves unsynced, or in
//! memory.

use crate::helpers::log::batches;
use crate::helpers::{Client, Launch, Reply, command, info, info_number, rewrite, skip, wait_until};
use crate::rig::{HELD, Tracer, Whom, error, synced_server, tool, waited};

#[test]
fn waitaof_waits_for_the_sync_that_covers_what_the_connection_wrote() {
    for policy in ["always", "everysec", "none"] {
        let server = Launch::new().args(&["--fsync", policy]).start();
        let mut client = server.connect();
        assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1), "{policy}: nothing to wait for");
        let syncs = info_number(&mut client, "aof_fsyncs");
        client.set("k", "v");
        assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1), "{policy}");
        assert!(policy == "always" || info_number(&mut client, "aof_fsyncs") > syncs, "{policy}: without a sync");
        // In a pipeline, earlier replies first; later commands after it.
        client.send("SET k w\r\nWAITAOF 1 0 0\r\nGET k\r\n").expect("+OK\r\n*2\r\n:1\r\n:0\r\n$1\r\nw\r\n");
        assert!(error(client.ask_words("WAITAOF 2 0 0")).starts_with("ERR"));
        assert!(error(client.ask_words("WAITAOF 1 0 -1")).starts_with("ERR"));
    }
    let server = Launch::new().args(&["--appendonly", "no"]).start();
    let mut client = server.connect();
    assert!(error(client.ask_words("WAITAOF 1 0 0")).starts_with("ERR"));
    assert_eq!(client.ask_words("WAITAOF 0 0 0"), waited(0));
}

/// The new log is synced, with all that was written before it.
#[test]
fn waitaof_is_answered_by_a_rewrite_though_nothing_else_was_synced() {
    let server = Launch::new().args(&["--fsync", "none"]).start();
    let mut client = server.connect();
    client.set("k", "v");
    assert!(rewrite(&mut client));
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
}

#[test]
fn waitaof_gives_up_at_its_timeout_and_waits_for_nothing_with_numlocal_0() {
    let (server, mut client) = synced_server();
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    client.set("k", "1");
    assert_eq!(client.ask_words("WAITAOF 1 0 100"), waited(0));
    assert_eq!(client.ask_words("WAITAOF 0 0 0"), waited(0));
    client.send("WAITAOF 1 0 0\r\n");
    drop(tracer);
    assert_eq!(client.reply(), waited(1));
}

#[test]
fn what_piles_up_under_none_is_synced_though_nobody_asks() {
    let server = Launch::new().args(&["--fsync", "none"]).start();
    let mut client = server.connect();
    let value = vec![b'v'; 1 << 20];
    for n in 0..40 {
        client.set(format!("k{n}"), &value);
    }
    wait_until("a sync of 40 MiB", || info_number(&mut client, "aof_fsyncs") > 0);
    assert!(info_number(&mut client, "aof_unsynced_bytes") < 32 << 20);
    let server = server.crash_and_restart();
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(40));
}

/// Nothing depends on the empty batch that states the sync.
#[test]
fn nothing_is_unsynced_once_all_writes_are() {
    let (server, mut client) = synced_server();
    client.set("k", "v");
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    assert_eq!(info_number(&mut client, "aof_unsynced_bytes"), 0);
    let last_is_empty = |log: &[u8]| batches(log).last().is_some_and(|batch| batch.commands.is_empty());
    wait_until("the sync is stated", || last_is_empty(&server.log()));
    assert_eq!(info_number(&mut client, "aof_unsynced_bytes"), 0);
}

#[test]
fn a_log_that_grows_leaves_the_page_cache() {
    const TMPFS: i64 = 0x0102_1994;
    for policy in ["always", "everysec", "none"] {
        let launch = Launch::new().args(&["--fsync", policy, "--auto-aof-rewrite-percentage", "0"]);
        if rustix::fs::statfs(launch.dir()).unwrap().f_type == TMPFS {
            return skip("the directory for temporary files is on tmpfs, which is its own page cache");
        }
        let server = launch.start();
        let log = server.launch().log_path();
        let cached_bytes = || {
            let output = tool("fincore", &["--bytes", "--noheadings", "--output", "RES", log.to_str()?])?;
            Some(String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap())
        };
        if cached_bytes().is_none() {
            return;
        }
        let mut client = server.connect();
        let value = vec![b'v'; 1 << 20];
        for n in 0..96 {
            client.set(format!("k{n}"), &value);
        }
        // 32 MiB may stay, and what the log has grown by since.
        wait_until(policy, || cached_bytes().unwrap() < 40 << 20);
        assert!(rewrite(&mut client), "{policy}");
        wait_until("the new log", || cached_bytes().unwrap() < 40 << 20);
    }
}

#[test]
fn a_waitaof_under_way_gets_an_error_when_the_sync_fails() {
    for policy in ["everysec", "none"] {
        let server = Launch::new().args(&["--fsync", policy]).start();
        let mut client = server.connect();
        let Some(_tracer) = Tracer::attach(&server, Whom::All, &["inject=fdatasync:error=EIO"]) else { return };
        client.set("k", "v");
        let refused = error(client.ask_words("WAITAOF 1 0 0"));
        assert!(refused.contains("fsync failed"), "{policy}: {refused}");
    }
}

#[test]
fn the_policy_changes_at_run_time_and_nothing_acknowledged_is_lost() {
    let launch = Launch::new().args(&["--fsync", "none"]);
    let mut server = launch.start();
    let mut expected = 0;
    for policies in [["always", "everysec"], ["none", "always"], ["everysec", "none"]] {
        let mut client = server.connect();
        for policy in policies {
            client.send(format!("CONFIG SET appendfsync {policy}\r\n")).expect("+OK\r\n");
            assert_eq!(info(&mut client, "aof_fsync_policy"), policy.replace("none", "no"));
            for _ in 0..50 {
                client.set(format!("k{expected}"), "v");
                expected += 1;
            }
        }
        server = server.crash_and_restart();
        assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(expected));
        assert_eq!(launch.cuts(), []);
    }
    let mut client = server.connect();
    let refused = error(client.ask_words("CONFIG SET appendfsync sometimes"));
    assert!(refused.contains("everysec, always, no"), "{refused}");
}

/// What the old policy has left unsynced is synced by the change, without another write. To `everysec` nothing shows
/// it: there the next second syncs.
#[test]
fn a_change_of_the_policy_leaves_nothing_unsynced_behind() {
    for (from, to) in [("none", "always"), ("everysec", "always"), ("everysec", "none")] {
        let server = Launch::new().args(&["--fsync", from]).start();
        let mut client = server.connect();
        let syncs = info_number(&mut client, "aof_fsyncs");
        client.set("k", "v");
        client.send(format!("CONFIG SET appendfsync {to}\r\n")).expect("+OK\r\n");
        if to == "none" {
            // WAITAOF would ask for the sync itself.
            wait_until("the sync of the change", || info_number(&mut client, "aof_fsyncs") > syncs);
        } else {
            assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1), "{from} to {to}");
        }
        assert_eq!(client.ask_words("SET k w"), Reply::ok());
    }
}

/// A copy that holds reserved zeros would be called damaged, if the log goes on behind them meanwhile.
#[test]
fn what_always_has_reserved_is_given_back_when_the_policy_changes() {
    let server = Launch::new().args(&["--fsync", "always"]).start();
    let mut client = server.connect();
    let reserved = |client: &mut Client| {
        let written = info_number(client, "aof_current_size");
        server.log().len() as i64 - written as i64
    };
    for policy in ["everysec", "none"] {
        client.set(policy, "of always");
        assert!(reserved(&mut client) > 1000, "space is reserved, also after a change back");
        client.send(format!("CONFIG SET appendfsync {policy}\r\n")).expect("+OK\r\n");
        wait_until("it is given back", || reserved(&mut client) == 0);
        client.send("CONFIG SET appendfsync always\r\n").expect("+OK\r\n");
    }

    client.set("last", "of always");
    let Some(tracer) = Tracer::attach(&server, Whom::All, &["inject=ftruncate:error=EIO"]) else { return };
    client.send("CONFIG SET appendfsync everysec\r\n").expect("+OK\r\n");
    client.set("k", "where nothing can be given back");
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    assert_eq!(info(&mut client, "aof_poisoned"), "no");
    assert!(reserved(&mut client) > 1000);
    assert!(tracer.detach().contains("-1 EIO"), "it was tried");
    client.set("k", "where it can");
    wait_until("the next sync gives it back", || reserved(&mut client) == 0);
    let server = server.crash_and_restart();
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(4));
    assert_eq!(server.launch().cuts(), []);
}

/// Where a sound batch of a stretch without syncs follows it, a hole counts as damage.
#[test]
fn the_first_write_under_none_waits_until_what_is_before_it_is_synced() {
    let (server, mut client) = synced_server();
    // Long enough for the second write to overtake the sync that the change asks for.
    let inject = ["trace=pwrite64,pwritev,fdatasync", "inject=fdatasync:delay_enter=3000000"];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
    client.set("k", "of everysec");
    client.send("CONFIG SET appendfsync no\r\n").expect("+OK\r\n");
    client.set("k", "of none");
    let calls = tracer.detach();
    let lines: Vec<&str> = calls.lines().collect();
    let write_of = |value: &str| lines.iter().position(|line| line.contains("pwrite") && line.contains(value));
    let (Some(before), Some(after)) = (write_of("of everysec"), write_of("of none")) else { panic!("{calls}") };
    let synced = lines[before..after].iter().any(|line| line.contains("fdatasync") && line.contains("= 0"));
    assert!(synced, "{calls}");
}

/// Under the new policy the sync is that of somebody else's write.
#[test]
fn a_waitaof_under_way_is_answered_though_the_policy_changes() {
    let server = Launch::new().args(&["--threads", "2", "--fsync", "everysec"]).start();
    let (mut waiting, mut changing) = (server.connect(), server.connect());
    for _ in 0..20 {
        waiting.send("SET k v\r\nWAITAOF 1 0 0\r\n").expect("+OK\r\n");
        changing.send("CONFIG SET appendfsync always\r\nSET l v\r\n").expect("+OK\r\n+OK\r\n");
        waiting.expect("*2\r\n:1\r\n:0\r\n");
        changing.send("CONFIG SET appendfsync everysec\r\n").expect("+OK\r\n");
    }
}

/// A sync begun under `everysec` fails when `always` is in force already: the error must not pass by the next write.
#[test]
fn a_change_to_always_waits_for_the_sync_under_way() {
    let (server, mut client) = synced_server();
    let inject = ["inject=fdatasync:error=EIO:delay_enter=3000000:when=1"];
    let Some(_tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &inject) else { return };
    client.set("k", "1");
    crate::rig::wait_until_held(&server, "kvred-sync");
    client.send("CONFIG SET appendfsync always\r\n").expect("+OK\r\n");
    let refused = error(client.ask_words("SET k 2"));
    assert!(refused.starts_with("MISCONF ") && refused.contains("fsync failed"), "{refused}");
    wait_until("it heals", || client.ask_words("SET k 3") == Reply::ok());
}

#[test]
fn lastsave_and_shutdown_mean_what_they_say() {
    let launch = Launch::new();
    for how in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN SAVE", "SHUTDOWN NOW", "SHUTDOWN FORCE"] {
        let server = launch.start();
        let mut client = server.connect();
        let Reply::Integer(saved) = client.ask_words("LASTSAVE") else { panic!("LASTSAVE is a time") };
        assert!(saved > 1_500_000_000);
        assert!(error(client.ask_words("SHUTDOWN ABORT")).starts_with("ERR"));
        assert!(error(client.ask_words("SHUTDOWN MAYBE")).starts_with("ERR"));
        client.set(how, "done");
        client.send(format!("{how}\r\n")).expect_closed();
        server.exit().expect(0, &["stopped"]);
    }
    assert_eq!(launch.start().connect().ask_words("DBSIZE"), Reply::Integer(5));
}

/// Its data goes at once when the process ends; freed piece by piece, it takes seconds.
#[test]
fn what_has_stopped_frees_nothing() {
    let server = Launch::new().args(&["--appendonly", "no"]).start();
    let mut client = server.connect();
    let value = "v".repeat(1000);
    // More than a dozen huge pages, each of which is given back by a call of its own.
    for key in 0..30_000 {
        client.send(command(&["SET", &key.to_string(), &value]));
    }
    client.expect("+OK\r\n".repeat(30_000));
    let Some(tracer) = Tracer::attach(&server, Whom::All, &["trace=write,munmap"]) else { return };
    server.terminate().expect(0, &["stopped"]);
    let calls = tracer.detach();
    let Some((_, after)) = calls.split_once(" stopped") else { panic!("{calls}") };
    let freed = after.matches("munmap(").count();
    // The stack of a thread or two.
    assert!(freed < 10, "{freed}: {after}");
}
