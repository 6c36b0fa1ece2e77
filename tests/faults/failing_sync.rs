//! A failed sync is never forgotten: no write is acknowledged before all data is in a new file.

use crate::helpers::ledger::{Go, Ledger};
use crate::helpers::log::batches;
use crate::helpers::{Client, Launch, Random, Reply, Server, info, info_number, wait_until};
use crate::rig::{TracedStart, Tracer, Whom, assert_no_orphan, error, waited};

/// What a server that lets clients in says.
const READY: &str = "ready to accept";

/// Starts a server whose syncs all fail from now on, in all threads.
fn failing(policy: &str) -> Option<(Server, Tracer)> {
    let server = Launch::new().args(&["--fsync", policy]).start();
    let mut client = server.connect();
    client.set("k", "old");
    let tracer = Tracer::attach(&server, Whom::All, &["inject=fdatasync:error=EIO"])?;
    Some((server, tracer))
}

fn assert_poisoned(server: &Server, client: &mut Client) {
    assert_eq!(info(client, "aof_last_write_status"), "err");
    let reason = info(client, "aof_poisoned");
    assert!(reason.contains("fsync failed: Input/output error"), "{reason}");
    // Neither another sync nor another try changes that.
    for i in 0..1000 {
        let refused = error(client.ask_words(&format!("SET other{i} x")));
        assert!(refused.starts_with("MISCONF ") && refused.contains("fsync failed"), "{refused}");
        assert_eq!(client.ask_words(&format!("EXISTS other{i}")), Reply::Integer(0));
    }
    assert!(error(client.ask_words("DEL k")).starts_with("MISCONF "));
    assert_eq!(client.ask_words("PING"), Reply::Simple("PONG".to_owned()));
    server.wait_for_stderr("not to be trusted");
    let said = server.stderr();
    assert_eq!(said.matches("not to be trusted").count(), 1, "{said}");
    assert!(said.lines().count() < 15, "{said}");
}

#[test]
fn under_always_the_write_in_flight_is_told_as_unknown_and_the_next_are_refused() {
    let Some((server, tracer)) = failing("always") else { return };
    let mut client = server.connect();
    let unknown = error(client.ask_words("SET k new"));
    assert!(unknown.starts_with("ERR the outcome of this write is unknown: fsync failed"), "{unknown}");
    assert_eq!(client.ask_words("GET k"), Reply::bulk("old"));
    assert_poisoned(&server, &mut client);

    // Its disk recovers: the server heals itself, and takes writes again.
    tracer.detach();
    wait_until("writes are taken again", || client.ask_words("SET l after") == Reply::ok());
    assert_eq!(info(&mut client, "aof_poisoned"), "no");
    assert_eq!(info(&mut client, "aof_last_write_status"), "ok");
    server.wait_for_stderr("the append-only file is healed");
    assert_no_orphan(server.launch().dir());
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!(client.ask_words("GET k"), Reply::bulk("old"));
    assert_eq!(client.ask_words("GET l"), Reply::bulk("after"));
}

#[test]
fn under_everysec_a_failed_sync_stops_writes_until_it_is_healed() {
    let Some((server, tracer)) = failing("everysec") else { return };
    let mut client = server.connect();
    assert_eq!(client.ask_words("SET k new"), Reply::ok(), "written to the kernel: that is what everysec promises");
    wait_until("the sync fails", || info(&mut client, "aof_poisoned") != "no");
    assert_poisoned(&server, &mut client);
    assert_eq!(client.ask_words("GET k"), Reply::bulk("new"));
    let refused = error(client.ask_words("WAITAOF 1 0 0"));
    assert!(refused.contains("fsync failed"), "{refused}");
    tracer.detach();
    wait_until("writes are taken again", || client.ask_words("SET l after") == Reply::ok());
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!(client.ask_words("GET k"), Reply::bulk("new"));
    assert_eq!(client.ask_words("GET l"), Reply::bulk("after"));
}

#[test]
fn a_restart_heals_a_failed_sync_too_and_makes_what_it_serves_durable() {
    for policy in ["always", "everysec"] {
        let Some((server, tracer)) = failing(policy) else { return };
        let mut client = server.connect();
        client.ask_words("SET k new");
        wait_until("a sync has failed", || info(&mut client, "aof_poisoned") != "no");
        let launch = server.launch().clone();
        server.kill9();
        drop(tracer);
        let log = launch.log();
        let end = batches(&log).last().unwrap().end as u64;
        let traced = TracedStart::new(&launch, &["-e", "trace=pwrite64,fdatasync,write"]);
        let Some(started) = traced.run() else { return };
        let server = started.unwrap();
        wait_until("strace has written its last", || traced.log().contains(READY));
        assert_written_and_synced_before_ready(&traced.log(), last_synced(&log), end);
        let mut client = server.connect();
        let value = client.get("k").unwrap();
        assert!(value == b"new" || (policy == "always" && value == b"old"), "{policy}: {value:?}");
        assert_eq!(client.ask_words("SET l after"), Reply::ok());
    }
}

/// Up to where a log says itself that it is durable.
fn last_synced(log: &[u8]) -> u64 {
    let batches = batches(log);
    let stated = batches.iter().flat_map(|batch| &batch.annotations).filter_map(|line| line.strip_prefix("#SYNCED:"));
    stated.map(|offset| u64::from_str_radix(offset, 16).unwrap()).max().unwrap_or(0)
}

/// Asserts that all of the log from `from` to `end` was written, then synced, and then clients were let in.
fn assert_written_and_synced_before_ready(calls: &str, from: u64, end: u64) {
    assert!(from < end, "there is something to make durable");
    let (mut written, mut is_synced) = (from, false);
    for line in calls.lines() {
        if line.contains(READY) {
            assert!(is_synced && written == end, "{from}..{end} is not durable: {calls}");
            return;
        }
        if line.contains("pwrite64(") && line.contains("kvred.aof>") {
            // `pwrite64(5</tmp/kvred.aof>, "..."..., 100, 38) = 100`, or where it began.
            let Some((arguments, result)) = line.rsplit_once(") = ") else { continue };
            let offset: u64 = arguments.rsplit(", ").next().unwrap().parse().unwrap();
            if offset <= written {
                written = written.max(offset + result.parse::<u64>().unwrap());
            }
            is_synced = false;
        } else if line.contains("fdatasync") && line.ends_with("= 0") {
            is_synced = true;
        }
    }
    panic!("it was never ready: {calls}");
}

#[test]
fn healing_is_tried_again_with_growing_pauses_and_loses_nothing_acknowledged() {
    let seed = Random::seed();
    for policy in ["always", "everysec", "none"] {
        let server = Launch::new().args(&["--fsync", policy]).start();
        let mut client = server.connect();
        client.set("k", "old");
        // Counted for each thread: the first two syncs of the thread that commits or syncs, and the first two of the
        // one that heals, so that its first two tries come to nothing.
        let inject = ["inject=fdatasync:error=EIO:when=1..2"];
        let Some(tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
        let mut ledger = Ledger::default();
        let mut watch = server.connect();
        if policy == "none" {
            // Nothing syncs by itself.
            let refused = error(watch.ask_words("WAITAOF 1 0 0"));
            assert!(refused.contains("fsync failed"), "{refused}");
            let code = refused.split(' ').next().unwrap();
            assert_eq!(info(&mut watch, &format!("errorstat_{code}")), "count=1");
            assert!(info(&mut watch, "cmdstat_waitaof").ends_with("failed_calls=1"));
        }
        ledger.write(&mut client, "w", &mut Random::new(seed), |ledger| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let healed = ledger.refused > 0 && info(&mut watch, "aof_poisoned") == "no";
            if healed && server.stderr().contains("is healed") { Go::Stop } else { Go::On }
        });
        let said = server.stderr();
        assert!(said.contains("trying again in 1s") && said.contains("trying again in 2s"), "{said}");
        ledger.write(&mut client, "w", &mut Random::new(seed), |l| {
            if info_number(&mut watch, "aof_groups") > 0 && l.acknowledged > 500 { Go::Stop } else { Go::On }
        });
        drop(tracer);
        let server = server.crash_and_restart();
        ledger.check(&mut server.connect(), &format!("{policy}, seed {seed}"));
        assert_no_orphan(server.launch().dir());
    }
}

#[test]
fn a_failed_directory_sync_after_the_rename_poisons_and_heals_without_a_storm() {
    let server = Launch::new().start();
    let mut client = server.connect();
    client.set("k", "v");
    let Some(tracer) = Tracer::attach(&server, Whom::All, &["inject=fsync:error=EIO"]) else { return };
    client.send("BGREWRITEAOF\r\n").expect("+Background append only file rewriting started\r\n");
    wait_until("the directory's sync fails", || info(&mut client, "aof_poisoned").contains("directory"));
    assert!(error(client.ask_words("SET k w")).starts_with("MISCONF "));
    server.wait_for_stderr("trying again in 2s");
    assert!(info_number(&mut client, "aof_rewrites") <= 4, "{}", server.stderr());
    tracer.detach();
    wait_until("writes are taken again", || client.ask_words("SET l after") == Reply::ok());
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!(client.ask_words("GET k"), Reply::bulk("v"));
    assert_eq!(client.ask_words("GET l"), Reply::bulk("after"));
}

#[test]
fn a_shutdown_heals_a_failed_sync_too() {
    for by in ["SHUTDOWN", "SIGTERM"] {
        // Nothing syncs before the end.
        let server = Launch::new().args(&["--fsync", "none"]).start();
        let mut client = server.connect();
        client.set("k", "old");
        let Some(tracer) = Tracer::attach(&server, Whom::All, &["inject=fdatasync:error=EIO:when=1"]) else { return };
        client.set("k", "new");
        let launch = server.launch().clone();
        if by == "SHUTDOWN" {
            client.send("SHUTDOWN\r\n").expect_closed();
            server.exit()
        } else {
            server.terminate()
        }
        .expect(0, &["fsync failed: Input/output error", "the append-only file is healed", "stopped"]);
        drop(tracer);
        assert_no_orphan(launch.dir());
        let log = String::from_utf8(launch.log()).unwrap();
        assert!(log.contains("#REWRITTEN:") && log.contains("new") && !log.contains("old"), "{log}");
        assert_eq!(launch.start().connect().ask_words("GET k"), Reply::bulk("new"));
    }
}

#[test]
fn a_shutdown_whose_last_sync_fails_says_so_by_its_exit_code() {
    for policy in ["everysec", "none", "always"] {
        for by in ["SHUTDOWN", "SIGTERM"] {
            let Some((server, tracer)) = failing(policy) else { return };
            if by == "SHUTDOWN" {
                server.connect().send("SHUTDOWN\r\n").expect_closed();
                server.exit()
            } else {
                server.terminate()
            }
            .expect(3, &["could not be closed", "Input/output error"]);
            drop(tracer);
        }
    }
}
