//! What a log grows by is handed to the disk early, and a failure of that may be told to nobody else.

use crate::helpers::{Client, Launch, Reply, Server, info, rewrite, wait_until};
use crate::rig::{Tracer, Volume, Whom, assert_no_orphan, error, wait_until_held, wait_until_held_in, waited};

/// Enough for a log to be handed to the disk.
const MUCH: usize = 3 << 20;

fn start(policy: &str) -> (Server, Client) {
    let server = Launch::new().args(&["--fsync", policy]).start();
    let client = server.connect();
    (server, client)
}

fn set_much(client: &mut Client) {
    client.set("much", "v".repeat(MUCH));
}

fn assert_poisoned(client: &mut Client, why: &str) {
    wait_until("the failure is known", || info(client, "aof_poisoned") != "no");
    let reason = info(client, "aof_poisoned");
    assert!(reason.contains("write-back failed") && reason.contains(why), "{reason}");
    for request in ["SET other x", "WAITAOF 1 0 0"] {
        let refused = error(client.ask_words(request));
        assert!(refused.contains("write-back failed"), "{refused}");
    }
    assert_eq!(client.ask_words("EXISTS much other"), Reply::Integer(1), "reads go on");
}

#[test]
fn a_failure_stops_writes_until_it_is_healed() {
    for policy in ["everysec", "none"] {
        let (server, mut client) = start(policy);
        let inject = ["inject=sync_file_range:error=EIO"];
        let Some(tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
        set_much(&mut client);
        assert_poisoned(&mut client, "Input/output error");
        server.wait_for_stderr("cannot write the new log");
        tracer.detach();
        wait_until("writes are taken again", || client.ask_words("SET l after") == Reply::ok());
        assert_no_orphan(server.launch().dir());
        let server = server.crash_and_restart();
        let mut client = server.connect();
        assert_eq!(client.ask_words("STRLEN much"), Reply::Integer(MUCH as i64), "{policy}");
        assert_eq!(client.ask_words("GET l"), Reply::bulk("after"), "{policy}");
    }
}

/// The sync beside it says that all is well, as on ext4 it would: nobody is told so.
#[test]
fn no_sync_beside_it_is_believed() {
    for policy in ["always", "everysec"] {
        let (server, mut client) = start(policy);
        let inject = ["inject=sync_file_range:error=EIO:delay_enter=2500000"];
        let Some(_tracer) = Tracer::attach(&server, Whom::Thread("kvred-writeback"), &inject) else { return };
        set_much(&mut client);
        wait_until_held_in(&server, "kvred-writeback", libc::SYS_sync_file_range);
        let told = if policy == "always" {
            let unknown = error(client.ask_words("SET k v"));
            assert!(unknown.starts_with("ERR the outcome of this write is unknown"), "{unknown}");
            unknown
        } else {
            client.set("k", "v");
            error(client.ask_words("WAITAOF 1 0 0"))
        };
        assert!(told.contains("write-back failed: Input/output error"), "{policy}: {told}");
    }
}

/// The sync that ends a stretch without syncs believes that all is well, too.
#[test]
fn beside_it_no_stretch_without_syncs_is_called_synced() {
    let (server, mut client) = start("none");
    client.set("k", "v");
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    let synced = server.log().len();
    // The log that heals takes the name.
    let log = server.launch().dir().join("log");
    std::fs::hard_link(server.launch().log_path(), &log).unwrap();
    let inject = ["inject=sync_file_range:error=EIO:delay_enter=2500000"];
    let Some(_write_back) = Tracer::attach(&server, Whom::Thread("kvred-writeback"), &inject) else { return };
    // The write is to come before the thread that syncs.
    let inject = ["inject=futex:delay_exit=1000000"];
    let Some(_sync) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &inject) else { return };
    set_much(&mut client);
    wait_until_held_in(&server, "kvred-writeback", libc::SYS_sync_file_range);
    client.send("CONFIG SET appendfsync everysec\r\n").expect("+OK\r\n");
    let refused = error(client.ask_words("SET k w"));
    assert!(refused.starts_with("MISCONF ") && refused.contains("write-back failed"), "{refused}");
    let log = String::from_utf8(std::fs::read(&log).unwrap()).unwrap();
    let stated = log.split("#SYNCED:").skip(1).map(|line| usize::from_str_radix(&line[..16], 16).unwrap());
    assert!(stated.max().unwrap() <= synced, "it says that more than {synced} bytes are durable");
}

#[test]
fn what_says_nothing_of_the_data_is_no_failure() {
    for errno in ["ENOSYS", "EPERM", "ENOMEM"] {
        let (server, mut client) = start("everysec");
        let inject = [&format!("inject=sync_file_range:error={errno}")[..]];
        let Some(tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
        set_much(&mut client);
        assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
        assert!(rewrite(&mut client), "{errno}");
        assert_eq!(info(&mut client, "aof_poisoned"), "no", "{errno}");
        assert!(tracer.detach().contains(&format!("-1 {errno}")), "it was asked for");
    }
}

#[test]
fn a_rewrite_that_meets_it_comes_to_nothing() {
    let (server, mut client) = start("everysec");
    set_much(&mut client);
    let inject = ["inject=sync_file_range:error=EIO"];
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-rewrite"), &inject) else { return };
    assert!(!rewrite(&mut client));
    server.wait_for_stderr("cannot write the new log: Input/output error");
    assert_no_orphan(server.launch().dir());
    assert_eq!(client.ask_words("SET l after"), Reply::ok());
    tracer.detach();
    assert!(rewrite(&mut client));
    assert_eq!(server.crash_and_restart().connect().ask_words("STRLEN much"), Reply::Integer(MUCH as i64));
}

#[test]
fn behind_a_rewrite_nobody_waits_for_that_of_the_old_log() {
    let (server, mut client) = start("always");
    let inject = ["inject=sync_file_range:delay_enter=600000000:when=1"];
    let Some(_tracer) = Tracer::attach(&server, Whom::Thread("kvred-writeback"), &inject) else { return };
    set_much(&mut client);
    wait_until_held_in(&server, "kvred-writeback", libc::SYS_sync_file_range);
    assert!(rewrite(&mut client));
    assert_eq!(client.ask_words("SET k v"), Reply::ok());
    wait_until_held_in(&server, "kvred-writeback", libc::SYS_sync_file_range);
}

/// A log on a real disk of which ext4 cannot tell where there is room: it drops what is to be written, and the sync
/// succeeds.
fn on_a_disk_that_drops(policy: &str) -> Option<(Launch, Volume)> {
    let launch = Launch::new().args(&["--fsync", policy]);
    let volume = Volume::ext4_of_one_group(&launch)?;
    let server = launch.start();
    server.connect().set("k", "v");
    server.terminate().expect(0, &["stopped"]);
    let volume = volume.without_free_blocks()?;
    Some((launch, volume))
}

/// Now and then the disk refuses at once what it would drop; what is short fits in the last block all the same.
fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(told) if told.starts_with("MISCONF ") && told.contains("No space left"))
}

#[test]
fn what_a_disk_has_dropped_is_not_called_synced() {
    'next: for (policy, much) in [("everysec", 100_000), ("everysec", MUCH), ("always", 100_000)] {
        for _ in 0..20 {
            let Some((launch, volume)) = on_a_disk_that_drops(policy) else { return };
            let server = launch.start();
            let mut client = server.connect();
            assert_eq!(client.ask_words("GET k"), Reply::bulk("v"));
            let reply = client.ask(&["SET", "much", &"v".repeat(much)]);
            let is_dropped = !is_refused(&reply);
            if is_dropped {
                let told = match reply {
                    Reply::Error(told) => told,
                    _ => error(client.ask_words("WAITAOF 1 0 0")),
                };
                assert!(told.contains("failed"), "{policy}, {much} bytes: {told}");
                let refused = error(client.ask_words("SET other x"));
                assert!(refused.starts_with("MISCONF "), "{policy}, {much} bytes: {refused}");
            }
            server.kill9();
            drop(volume);
            if is_dropped {
                continue 'next;
            }
        }
        panic!("{policy}, {much} bytes: no disk dropped anything");
    }
}

/// What is written while a sync runs is not looked at by that one, but by the next.
#[test]
fn what_a_disk_drops_of_what_was_written_beside_a_sync_is_not_called_synced() {
    for _ in 0..20 {
        let Some((launch, volume)) = on_a_disk_that_drops("everysec") else { return };
        let server = launch.start();
        let (mut client, mut waiting) = (server.connect(), server.connect());
        // The next one, too: else its failure may be known before the first is answered.
        let inject = ["inject=fdatasync:delay_exit=2000000:when=1..2"];
        let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-sync"), &inject) else { return };
        // The last block has room for it.
        waiting.set("k", "w");
        waiting.send("WAITAOF 1 0 0\r\n");
        wait_until_held(&server, "kvred-sync");
        let reply = client.ask(&["SET", "much", &"v".repeat(100_000)]);
        let is_dropped = !is_refused(&reply);
        if is_dropped {
            assert_eq!(reply, Reply::ok());
            assert_eq!(waiting.reply(), waited(1));
            let told = error(client.ask_words("WAITAOF 1 0 0"));
            assert!(told.contains("failed"), "{told}");
        }
        tracer.detach();
        server.kill9();
        drop(volume);
        if is_dropped {
            return;
        }
    }
    panic!("no disk dropped anything");
}
