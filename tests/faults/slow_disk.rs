//! While a sync is under way, however long, reads go on; writes wait only as far as their policy has to.

use std::time::Instant;

use rustix::process::Signal;

use crate::helpers::{Client, Launch, Reply, command, info, info_number, rewrite, skip, wait_until};
use crate::rig::{HELD, Tracer, Whom, synced_server, wait_until_held, waited};

#[test]
fn under_always_a_get_answers_with_the_old_value_while_the_sync_is_under_way() {
    // On a worker that it does not share, the writer would have its sync done there.
    let server = Launch::new().args(&["--fsync", "always", "--threads", "1"]).start();
    let mut reader = server.connect();
    let mut writer = server.connect();
    writer.set("k", "old");
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-log"), &[HELD]) else { return };
    writer.send("SET k new\r\n");
    wait_until_held(&server, "kvred-log");
    assert!(server.log().windows(3).any(|w| w == b"new"), "the write is under way");
    for _ in 0..20 {
        assert_eq!(reader.ask_words("GET k"), Reply::bulk("old"), "a read saw what was not synced");
        assert_eq!(reader.ask_words("EXISTS k"), Reply::Integer(1));
    }
    drop(tracer);
    writer.expect("+OK\r\n");
    assert_eq!(reader.ask_words("GET k"), Reply::bulk("new"));
}

/// Where all that a worker serves wait for the commit, it syncs itself. Who comes then is served by another one: the
/// spare one, or, with a fixed number, the one with the fewest connections of those that are not waiting.
#[test]
fn who_comes_while_a_worker_itself_syncs_is_served_at_once() {
    let (chosen, two): (&[&str], &[&str]) = (&[], &["--threads", "2"]);
    for threads in [chosen, two] {
        if threads.is_empty() && std::thread::available_parallelism().unwrap().get() == 1 {
            skip("on one core there is one worker, and none that syncs itself");
            continue;
        }
        let server = Launch::new().args(&["--fsync", "always"]).args(threads).start();
        let mut writer = server.connect();
        writer.set("k", "old");
        // Elsewhere, so that counts alone would send the next one to the worker that waits.
        let _elsewhere = (threads == two).then(|| server.connect());
        let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-worker-0"), &[HELD]) else { return };
        writer.send("SET k new\r\n");
        wait_until_held(&server, "kvred-worker-0");
        let mut readers: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for reader in &mut readers {
            assert_eq!(reader.ask_words("GET k"), Reply::bulk("old"), "a read saw what was not synced");
        }
        drop(tracer);
        writer.expect("+OK\r\n");
        assert_eq!(server.connect().ask_words("GET k"), Reply::bulk("new"));
    }
}

#[test]
fn under_always_fdatasync_returns_before_the_reply_is_written() {
    let server = Launch::new().args(&["--fsync", "always"]).start();
    let mut client = server.connect();
    client.set("warm", "up");
    let trace = ["trace=pwrite64,pwritev,fdatasync,write,writev,sendto,sendmsg"];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &trace) else { return };
    for i in 0..20 {
        client.set("k", format!("value-{i}"));
    }
    let calls = tracer.detach();
    // Alone, one after the other: write of the batch, sync, reply; the sync's line says where it returned.
    let (mut synced, mut replies, mut written) = (0, 0, 0);
    for line in calls.lines() {
        if line.contains("pwrite") && line.contains("value-") {
            written += 1;
        } else if line.contains("fdatasync") && line.ends_with("= 0") {
            synced += 1;
            assert_eq!(synced, written, "a sync without its write: {calls}");
        } else if line.contains("+OK") {
            replies += 1;
            assert_eq!(replies, synced, "a reply before its sync: {calls}");
        }
    }
    assert_eq!((written, synced, replies), (20, 20, 20), "{calls}");
}

/// In whole pieces of the page cache: to forget one that is half written would be to begin it, and nobody is told how
/// that ends.
#[test]
fn what_an_everysec_sync_has_covered_leaves_the_page_cache() {
    const PIECE: u64 = 2 << 20;
    let (server, mut client) = synced_server();
    let trace = ["trace=fdatasync,fadvise64"];
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &trace) else { return };
    for i in 0..2 {
        client.set("k", "v".repeat(3 << 20));
        wait_until("it is synced and forgotten", || tracer.log().matches("POSIX_FADV_DONTNEED").count() > i);
    }
    let calls = tracer.detach();
    let (mut forgotten, mut synced) = (0, false);
    for line in calls.lines() {
        if line.starts_with("fdatasync(") {
            synced = line.ends_with("= 0");
        } else if let Some(call) = line.strip_prefix("fadvise64(") {
            assert!(std::mem::take(&mut synced), "forgotten before it was synced: {calls}");
            let numbers: Vec<u64> = call.split(", ").skip(1).map_while(|number| number.parse().ok()).collect();
            assert_eq!(numbers[0], forgotten, "nothing is passed over: {calls}");
            forgotten += numbers[1];
            assert!(forgotten.is_multiple_of(PIECE), "{calls}");
        }
    }
    let len = server.log().len() as u64;
    assert!(forgotten <= len && len < forgotten + PIECE, "{len} {calls}");
}

/// Sends a SET of `k` under `everysec`, and waits until it is answered or waits itself for the sync that is held:
/// whether it was answered.
fn is_answered(client: &mut Client, observer: &mut Client, value: &str) -> bool {
    let delayed = info_number(observer, "aof_delayed_fsync");
    client.send(command(&["SET", "k", value]));
    let mut answered = false;
    wait_until("a SET is answered or waits", || {
        // What can be read is answered.
        answered = observer.ask_words("GET k") == Reply::bulk(value);
        answered || info_number(observer, "aof_delayed_fsync") > delayed
    });
    if answered {
        client.expect("+OK\r\n");
    }
    answered
}

#[test]
fn under_everysec_sets_answer_while_a_sync_is_under_way() {
    let (server, mut client) = synced_server();
    let mut observer = server.connect();
    // More than once only where the machine stands still until two seconds are unsynced.
    for _ in 0..5 {
        let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
        client.set("k", "unsynced");
        wait_until_held(&server, "kvred-sync");
        let mut answered = 0;
        while answered < 20 && is_answered(&mut client, &mut observer, &format!("value-{answered}")) {
            let value = format!("value-{answered}");
            let written = server.log().windows(value.len()).any(|w| w == value.as_bytes());
            assert!(written, "{value} was answered before it was written");
            answered += 1;
        }
        drop(tracer);
        if answered > 0 {
            return;
        }
        client.expect("+OK\r\n");
    }
    panic!("no SET was answered before the sync had ended");
}

#[test]
fn under_everysec_a_sync_of_seconds_holds_writes_and_not_reads() {
    let (server, mut client) = synced_server();
    let mut reader = server.connect();
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    let syncs = info_number(&mut reader, "aof_fsyncs");
    let mut sent = 0;
    wait_until("a write waits", || {
        sent += 1;
        !is_answered(&mut client, &mut reader, &sent.to_string())
    });
    let answered = (sent - 1).to_string();
    for _ in 0..200 {
        assert_eq!(reader.ask_words("GET k"), Reply::bulk(&answered), "writes went on");
    }
    drop(tracer);
    client.expect("+OK\r\n");
    assert!(info_number(&mut reader, "aof_fsyncs") > syncs, "without a sync");
    assert_eq!(reader.ask_words("GET k"), Reply::bulk(&sent.to_string()));
}

#[test]
fn how_long_the_last_sync_took_is_told() {
    let (server, mut client) = synced_server();
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    client.set("k", "1");
    wait_until_held(&server, "kvred-sync");
    let held = Instant::now();
    wait_until_held(&server, "kvred-sync");
    let held = held.elapsed();
    drop(tracer);
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    let told = u128::from(info_number(&mut client, "aof_last_fsync_usec"));
    assert!(told >= held.as_micros(), "{told} µs, of which it was held for {held:?}");
}

#[test]
fn a_flood_against_a_stalled_sync_is_bounded_and_served_later() {
    /// A group takes no more from here on, see `GROUP_FULL_BYTES`.
    const FULL: u64 = 32 << 20;
    const VALUE: usize = 1 << 20;
    const WRITERS: usize = 48;
    let server = Launch::new().args(&["--fsync", "always", "--threads", "1"]).start();
    let mut watch = server.connect();
    watch.set("k", "v");
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-log"), &[HELD]) else { return };
    let mut first = server.connect();
    first.send("SET first v\r\n");
    wait_until_held(&server, "kvred-log");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut client = server.connect();
            scope.spawn(move || client.set(writer.to_string(), vec![b'v'; VALUE]));
        }
        wait_until("a group is full", || info_number(&mut watch, "aof_pending_bytes") >= FULL);
        // Each takes the worker another turn, in which it would take more from those that have sent all.
        for _ in 0..200 {
            let pending = info_number(&mut watch, "aof_pending_bytes");
            assert!(pending < FULL + 2 * VALUE as u64, "{pending} bytes are pending");
            assert_eq!(watch.ask_words("GET k"), Reply::bulk("v"));
        }
        drop(tracer);
    });
    first.expect("+OK\r\n");
    assert_eq!(watch.ask_words("DBSIZE"), Reply::Integer(WRITERS as i64 + 2));
}

/// The sync of the old file is still under way when the new one takes its place: what is written meanwhile must not be
/// taken for synced, nor forgotten.
#[test]
fn a_rewrite_during_a_slow_sync_forgets_no_write() {
    let (server, mut client) = synced_server();
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    client.set("k", "1");
    wait_until_held(&server, "kvred-sync");
    assert!(rewrite(&mut client));
    client.set("k", "2");
    assert_eq!(client.ask_words("WAITAOF 1 0 1"), waited(0));
    // With no other write after it.
    client.send("WAITAOF 1 0 0\r\n");
    drop(tracer);
    assert_eq!(client.reply(), waited(1));
    assert_eq!(info(&mut client, "aof_poisoned"), "no");
}

/// Nothing depends on the sync that still runs, so nobody waits for its end; but no other begins by itself meanwhile,
/// so after 2 s writes wait.
#[test]
fn behind_a_rewrite_during_a_slow_sync_writes_wait_for_one_of_the_new_file() {
    let (server, mut client) = synced_server();
    let mut observer = server.connect();
    let Some(_tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    client.set("k", "1");
    wait_until_held(&server, "kvred-sync");
    assert!(rewrite(&mut client));
    let mut sent = 1;
    wait_until("a write waits", || {
        sent += 1;
        !is_answered(&mut client, &mut observer, &sent.to_string())
    });
    // What is written now syncs by itself, and with that all that is before it.
    observer.send("CONFIG SET appendfsync always\r\n").expect("+OK\r\n");
    client.expect("+OK\r\n");
    assert_eq!(client.ask_words("SET l v"), Reply::ok());
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    wait_until_held(&server, "kvred-sync");
}

/// Who waits for the disk is not idle, however long that takes.
#[test]
fn no_client_that_waits_for_a_sync_is_closed_for_being_idle() {
    for (policy, thread, request, reply) in
        [("always", "kvred-log", "SET k 1", "+OK\r\n"), ("none", "kvred-sync", "WAITAOF 1 0 0", "*2\r\n:1\r\n:0\r\n")]
    {
        let server = Launch::new().args(&["--fsync", policy, "--timeout", "1", "--threads", "1"]).start();
        let mut client = server.connect();
        client.set("k", "0");
        let Some(tracer) = Tracer::attach(&server, Whom::Thread(thread), &[HELD]) else { return };
        // It may have been closed while the tracer came.
        let mut client = server.connect();
        client.send(format!("{request}\r\n"));
        wait_until_held(&server, thread);
        // One that asks nothing, and came later.
        server.connect().expect_closed();
        drop(tracer);
        client.expect(reply);
    }
}

/// Who reads them before it reads on would else wait for the disk too.
#[test]
fn what_is_answered_in_front_of_waitaof_does_not_wait_for_the_sync() {
    let (server, mut client) = synced_server();
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    client.set("k", "1");
    wait_until_held(&server, "kvred-sync");
    client.send("PING\r\nGET k\r\nWAITAOF 1 0 0\r\n").expect("+PONG\r\n$1\r\n1\r\n");
    drop(tracer);
    client.expect("*2\r\n:1\r\n:0\r\n");
}

/// The disk may never come back; nothing of the client is kept for it.
#[test]
fn a_client_that_is_killed_while_it_waits_for_the_disk_is_closed_at_once() {
    for (policy, thread, request) in [("always", "kvred-log", "SET k 1"), ("none", "kvred-sync", "WAITAOF 1 0 0")] {
        let server = Launch::new().args(&["--fsync", policy, "--threads", "1"]).start();
        let (mut client, mut killer) = (server.connect(), server.connect());
        client.set("k", "0");
        let Reply::Integer(id) = client.ask_words("CLIENT ID") else { panic!("no id") };
        let Some(_tracer) = Tracer::attach(&server, Whom::Thread(thread), &[HELD]) else { return };
        client.send(format!("{request}\r\n"));
        wait_until_held(&server, thread);
        killer.send(format!("CLIENT KILL ID {id}\r\n")).expect(":1\r\n");
        client.expect_closed();
        wait_until("nobody waits", || info_number(&mut killer, "blocked_clients") == 0);
    }
}

/// A stop syncs, too, so there is nothing to be told before.
#[test]
fn a_client_that_waits_for_a_sync_is_answered_at_shutdown_when_it_has_come() {
    let (server, mut client) = synced_server();
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &[HELD]) else { return };
    let mut observer = server.connect();
    client.set("k", "1");
    wait_until_held(&server, "kvred-sync");
    client.send("WAITAOF 1 0 0\r\n");
    wait_until("it waits", || {
        let list = String::from_utf8(observer.ask_words("CLIENT LIST").into_bytes()).unwrap();
        list.contains(" cmd=waitaof ")
    });
    server.signal(Signal::TERM);
    observer.expect_closed();
    drop(tracer);
    client.expect("*2\r\n:1\r\n:0\r\n").expect_closed();
    server.exit().expect(0, &["stopped"]);
}
