//! `kill -9` at any moment beside rewrites, and at every system call of one: what was acknowledged is there, no orphan
//! stays.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::process::Signal;

use crate::helpers::ledger::{Go, Ledger, check_all, write_until_gone};
use crate::helpers::{DEADLINE, Launch, Random, Reply, rounds, wait_until};
use crate::rig::{TracedStart, Tracer, Whom, assert_no_orphan, wait_until_held_in};

/// Several writers, and one rewrite after the other, until the server is killed, again and again over the same files.
#[test]
fn a_kill_during_rewrites_loses_nothing_acknowledged() {
    for policy in ["always", "everysec", "none"] {
        kill_loop(policy);
    }
}

fn kill_loop(policy: &str) {
    let seed = Random::seed();
    let launch = Launch::new().args(&["--fsync", policy, "--auto-aof-rewrite-min-size", "64kb"]);
    let mut ledgers = vec![Ledger::default(); 3];
    let mut random = Random::new(seed);
    for round in 0..rounds(6) {
        let server = launch.start();
        assert_no_orphan(launch.dir());
        check_all(&mut ledgers, &server, &format!("{policy}, seed {seed}, round {round}"));
        let mut watch = server.connect();
        let kill_after = 50 + random.below(1500) as u64;
        let acknowledged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            write_until_gone(scope, &server, &mut ledgers, true, &mut random, &acknowledged);
            let began = Instant::now();
            wait_until("enough was written", || {
                let enough = acknowledged.load(Ordering::SeqCst) >= kill_after;
                // A stalled disk and a server that forgot its writers look alike from outside.
                assert!(
                    enough || began.elapsed() < DEADLINE / 2,
                    "{policy}: {:?}",
                    watch.ask_words("INFO persistence")
                );
                enough
            });
            server.kill9();
        });
    }
    let server = launch.start();
    assert_no_orphan(launch.dir());
    check_all(&mut ledgers, &server, &format!("{policy}, seed {seed}, at the end"));
    assert!(ledgers.iter().all(|ledger| ledger.acknowledged > 0 && ledger.refused == 0));
}

/// Every system call by which a rewrite changes anything.
const REWRITE_CALLS: &[&str] = &["unlinkat", "openat", "pwrite64", "pwritev", "fdatasync", "renameat", "fsync"];
/// What it can do without, or after it has counted itself: it cuts back what it could not write as a whole, and closes
/// the old log at the end.
const MAYBE_CALLS: &[&str] = &["ftruncate", "close"];

#[test]
fn a_kill_at_any_system_call_of_a_rewrite_leaves_the_old_log_or_the_new() {
    let seed = Random::seed();
    let launch = Launch::new().args(&["--auto-aof-rewrite-percentage", "0"]);
    let mut ledger = Ledger::default();
    let mut random = Random::new(seed);
    let (mut old_logs, mut new_logs) = (0, 0);
    for call in REWRITE_CALLS.iter().chain(MAYBE_CALLS) {
        for nth in 1.. {
            let server = launch.start();
            assert_no_orphan(launch.dir());
            let what = format!("killed at {call} {nth} of a rewrite, seed {seed}");
            ledger.check(&mut server.connect(), &what);
            let mut client = server.connect();
            if nth == 1 {
                // State enough for several batches of the new log.
                for i in 0..12 {
                    client.set(format!("large{i}"), vec![b'a'; 100 << 10]);
                }
            }
            let before = rewrites(&launch);
            let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
            let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-rewrite"), &[&inject]) else { return };
            let mut writer = server.connect();
            let finished = std::thread::scope(|scope| {
                // While others write.
                let ledger = &mut ledger;
                let writing = scope.spawn(|| {
                    let mut left = 60;
                    ledger.write(&mut writer, "w", &mut random, |_| {
                        left -= 1;
                        if left > 0 { Go::On } else { Go::Stop }
                    });
                });
                client.send("BGREWRITEAOF\r\n");
                let mut finished = false;
                wait_until("the rewrite, or the server, ends", || {
                    match client.try_send("INFO persistence\r\n").and_then(|()| client.try_reply()) {
                        Ok(Reply::Bulk(text)) => {
                            finished = String::from_utf8_lossy(&text).contains("aof_rewrites:1");
                            finished
                        }
                        // That of BGREWRITEAOF.
                        Ok(_) => false,
                        Err(_) => true,
                    }
                });
                if finished {
                    // No n-th call: this kind is done.
                    server.signal(Signal::KILL);
                }
                writing.join().unwrap();
                finished
            });
            drop(tracer);
            server.kill9();
            let renamed = rewrites(&launch) > before;
            let server = launch.start();
            let mut client = server.connect();
            let keys = 12 + ledger.check(&mut client, &what) as i64;
            assert_eq!(client.ask_words("EXISTS large0 large11"), Reply::Integer(2), "{what}");
            assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(keys), "{what}");
            server.kill9();
            if finished {
                assert!(nth > 1 || MAYBE_CALLS.contains(call), "a rewrite without {call}");
                break;
            }
            // On its way into the call the log is still the old one, and the next call there is that of the directory.
            match *call {
                "renameat" => assert!(!renamed, "{what}"),
                "fsync" => assert!(renamed, "{what}"),
                _ => {}
            }
            old_logs += u32::from(!renamed);
            new_logs += u32::from(renamed);
        }
    }
    println!("killed {old_logs} times before the rename and {new_logs} times after it");
    assert!(old_logs >= 12 && new_logs >= 1, "{old_logs} and {new_logs}");
}

/// How often the log says it was rewritten.
fn rewrites(launch: &Launch) -> u64 {
    const LINE: &[u8] = b"\n#REWRITTEN:";
    let log = launch.log();
    let last = log.windows(LINE.len()).rposition(|w| w == LINE);
    last.map_or(0, |at| {
        let digits = log[at + LINE.len()..].iter().take_while(|c| c.is_ascii_digit());
        digits.fold(0, |n, digit| n * 10 + u64::from(digit - b'0'))
    })
}

/// The same for the first start, which makes the log.
#[test]
fn a_kill_while_the_log_is_made_is_no_obstacle_to_the_next_start() {
    for call in ["openat", "pwrite64", "fdatasync", "renameat", "unlinkat", "fsync"] {
        for nth in 1.. {
            let launch = Launch::new();
            let (log, new_log) = (launch.log_path(), launch.dir().join("temp-rewrite-kvred.aof"));
            let [dir, log, new_log] = [launch.dir(), &log, &new_log].map(|path| path.to_str().unwrap());
            let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
            let traced = TracedStart::new(&launch, &["-P", dir, "-P", log, "-P", new_log, "-e", &inject]);
            // It is killed at the call, or is ready and there was no such call.
            let is_killed = match traced.run() {
                None => return,
                Some(Ok(server)) => {
                    server.kill9();
                    false
                }
                Some(Err(exit)) => {
                    let log = traced.log();
                    assert!(log.contains("+++ killed by SIGKILL +++"), "{call} {nth}: {exit:?} {log}");
                    true
                }
            };
            let server = launch.start();
            assert_no_orphan(launch.dir());
            let mut client = server.connect();
            client.set("k", "v");
            let server = server.crash_and_restart();
            assert_eq!(server.connect().ask_words("GET k"), Reply::bulk("v"), "{call} {nth}");
            if !is_killed {
                assert!(nth > 1, "there is no {call}");
                break;
            }
        }
    }
}

#[test]
fn a_stop_during_a_rewrite_leaves_no_orphan() {
    let launch = Launch::new();
    let server = launch.start();
    let mut client = server.connect();
    for i in 0..200 {
        client.set(format!("k{i}"), vec![b'v'; 50 << 10]);
    }
    let held = ["inject=pwrite64,pwritev:delay_enter=600000000:when=1"];
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-rewrite"), &held) else { return };
    client.send("BGREWRITEAOF\r\n").expect("+Background append only file rewriting started\r\n");
    wait_until_held_in(&server, "kvred-rewrite", libc::SYS_pwrite64);
    assert!(launch.dir().join("temp-rewrite-kvred.aof").exists(), "it is under way");
    server.signal(Signal::TERM);
    server.wait_for_stderr("stopping");
    drop(tracer);
    server.exit().expect(0, &["stopped"]);
    assert_no_orphan(launch.dir());
    assert_eq!(launch.start().connect().ask_words("DBSIZE"), Reply::Integer(200));
}
