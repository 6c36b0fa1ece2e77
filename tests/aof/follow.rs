//! `dump --follow`: every committed change once, across restarts, kills and rewrites; and a word where that cannot be.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};

use super::kit::{aof, arg, data, resp};
use crate::helpers::peer::{Peer, SERVERS};
use crate::helpers::{self, Client, DEADLINE, Exit, Launch, Reply, Server, wait_until};

/// A running follower whose lines arrive on a channel.
struct Follower {
    child: Child,
    lines: Receiver<String>,
    complaints: Receiver<String>,
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Follower {
    fn start(log: &Path, flags: &[&str]) -> Self {
        let mut child = Launch::binary().args(["aof", "dump", "--follow"]).args(flags).arg(log).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let complaints = lines_of(child.stderr.take().unwrap());
        Self { child, lines, complaints }
    }

    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        for line in expected {
            assert_eq!(self.lines.recv_timeout(DEADLINE).as_deref(), Ok(*line));
        }
    }

    /// Expects all to begin again with this image, in any order.
    #[track_caller]
    fn expect_start_over(&self, image: [&str; 2]) {
        self.expect(&["FLUSHALL"]);
        let mut shown = image.map(|_| self.lines.recv_timeout(DEADLINE).unwrap());
        shown.sort();
        assert_eq!(shown, image);
    }

    #[track_caller]
    fn expect_complaint(&self, part: &str) {
        let line = self.complaints.recv_timeout(DEADLINE).unwrap();
        assert!(line.contains(part), "{line}");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn rewrite(log: &Path) {
    aof(&["rewrite", arg(log)]).expect(0, &[]);
}

#[test]
fn a_follower_shows_each_change_once_across_restarts_and_rewrites() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).args(&["--fsync", "always"]).start();
    let log = server.launch().log_path();
    server.connect().ask(&["SET", "a", "1"]);
    let follower = Follower::start(&log, &[]);
    follower.expect(&["SET a 1"]);
    server.connect().ask(&["SET", "a", "2"]);
    follower.expect(&["SET a 2"]);
    server.kill9();
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["DEL", "a"]);
    follower.expect(&["DEL a"]);
    server.connect().ask(&["SET", "b", "1"]);
    server.terminate().expect(0, &[]);
    // Directly after the last change: the follower may not have seen that one yet.
    rewrite(&log);
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "b", "2"]);
    follower.expect(&["SET b 1", "SET b 2"]);
    server.terminate().expect(0, &[]);
    rewrite(&log);
    let server = Launch::at(dir.path()).start();
    for (value, line) in [("3", "SET b 3"), ("4", "SET b 4")] {
        server.connect().ask(&["SET", "b", value]);
        follower.expect(&[line]);
    }
    server.terminate().expect(0, &[]);
    assert!(follower.complaints.try_recv().is_err());
}

#[test]
fn a_log_whose_name_is_gone_is_waited_for_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("appendonly.aof.1.incr.aof");
    fs::write(&log, resp(&[b"SET", b"a", b"1"])).unwrap();
    let follower = Follower::start(&log, &[]);
    follower.expect(&["SET a 1"]);
    fs::remove_file(&log).unwrap();
    follower.expect_complaint("it was removed or renamed; a new log of that name is waited for");
    let unfinished = dir.path().join("unfinished");
    fs::write(&unfinished, resp(&[b"SET", b"a", b"2"])).unwrap();
    fs::rename(&unfinished, &log).unwrap();
    follower.expect_complaint("starting over");
    follower.expect(&["FLUSHALL", "SET a 2"]);
}

#[test]
fn what_is_not_committed_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).start();
    let log = server.launch().log_path();
    server.connect().ask(&["SET", "a", "1"]);
    server.kill9();
    let follower = Follower::start(&log, &[]);
    follower.expect(&["SET a 1"]);
    // A whole command, and a commit line that lies.
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n#C:0000001b:00000000\r\n").unwrap();
    follower.expect_complaint("torn at byte");
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "a", "2"]);
    follower.expect(&["SET a 2"]);
    server.terminate().expect(0, &[]);
}

#[test]
fn a_missed_rewrite_or_another_log_makes_it_start_over_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).start();
    let log = server.launch().log_path();
    server.connect().ask(&["SET", "a", "1"]);
    server.connect().ask(&["SET", "b", "1"]);
    server.terminate().expect(0, &[]);
    let follower = Follower::start(&log, &[]);
    follower.expect(&["SET a 1", "SET b 1"]);
    // Two rewrites at once: made elsewhere, then renamed over the log.
    let other = dir.path().join("other.aof");
    fs::copy(&log, &other).unwrap();
    rewrite(&other);
    rewrite(&other);
    fs::rename(&other, &log).unwrap();
    follower.expect_complaint("it was replaced by rewrite 2, after 0 the next would have been 1; starting over");
    follower.expect_start_over(["SET a 1", "SET b 1"]);
    // Another log, without a history in common.
    fs::write(&other, "*2\r\n$3\r\nDEL\r\n$1\r\nz\r\n").unwrap();
    fs::rename(&other, &log).unwrap();
    follower.expect_complaint("another log");
    follower.expect(&["FLUSHALL", "DEL z"]);
    // The same file, cut back behind what was shown.
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
    follower.expect_complaint("cut back from byte 20 to 0");
    follower.expect(&["FLUSHALL"]);
}

#[test]
fn a_log_as_it_was_before_makes_it_start_over_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let (log, then) = (dir.path().join("kvred.aof"), dir.path().join("then.aof"));
    let go_back_to = |time: u64| {
        aof(&["rewrite", "-o", arg(&then), "--until", &time.to_string(), arg(&log)]).expect(0, &[]);
        fs::rename(&then, &log).unwrap();
    };
    let (a, b, c) = (resp(&[b"SET", b"a", b"1"]), resp(&[b"SET", b"b", b"1"]), resp(&[b"DEL", b"a"]));
    fs::write(&log, [&b"#TS:1000\r\n"[..], &a, &b, b"#TS:2000\r\n", &c].concat()).unwrap();
    let follower = Follower::start(&log, &[]);
    follower.expect(&["SET a 1", "SET b 1", "DEL a"]);
    go_back_to(1500);
    follower.expect_complaint("it was replaced by rewrite 2, after 0 the next would have been 1; starting over");
    follower.expect_start_over(["SET a 1", "SET b 1"]);
    // The same where the log has been rewritten before.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let rewritten = now();
    wait_until("what is written now is later", || now() > rewritten);
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["DEL", "a", "b"]);
    server.connect().ask(&["SET", "c", "1"]);
    server.terminate().expect(0, &[]);
    follower.expect(&["DEL a b", "SET c 1"]);
    go_back_to(rewritten);
    follower.expect_complaint("it was replaced by rewrite 4, after 2 the next would have been 3; starting over");
    follower.expect_start_over(["SET a 1", "SET b 1"]);
}

#[test]
fn a_follower_by_time_says_of_each_log_that_it_begins_what_has_no_times() {
    let dir = tempfile::tempdir().unwrap();
    let (log, other) = (dir.path().join("kvred.aof"), dir.path().join("other.aof"));
    let (a, b, c) = (resp(&[b"SET", b"a", b"1"]), resp(&[b"SET", b"b", b"1"]), resp(&[b"SET", b"c", b"1"]));
    fs::write(&log, [b"#TS:1000\r\n", &a[..], &b, b"#TS:2000\r\n", &c].concat()).unwrap();
    let since = Follower::start(&log, &["--since", "2000"]);
    since.expect(&["SET c 1"]);
    let mut until = Follower::start(&log, &["--until", "1999"]);
    until.expect(&["SET a 1", "SET b 1"]);
    // As if a rewrite had been missed.
    fs::write(&other, [a, b].concat()).unwrap();
    rewrite(&other);
    rewrite(&other);
    fs::rename(&other, &log).unwrap();
    since.expect_complaint("it was replaced by rewrite 2, after 0 the next would have been 1; starting over");
    since.expect_complaint("what that wrote has no times; it is shown too");
    since.expect_start_over(["SET a 1", "SET b 1"]);
    until.expect_complaint("what it was before that is not in it any more");
    assert_eq!(until.child.wait().unwrap().code(), Some(1));
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "a", "2"]);
    since.expect(&["SET a 2"]);
    assert!(since.complaints.try_recv().is_err());
    server.terminate().expect(0, &[]);
}

/// What comes behind that time is shown, whatever the clock says by then.
#[test]
fn a_follower_by_time_leaves_out_nothing_behind_a_rewrite_where_a_clock_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("kvred.aof");
    let future = "4102444800";
    fs::write(&log, [format!("#TS:{future}\r\n").into_bytes(), resp(&[b"SET", b"a", b"1"])].concat()).unwrap();
    let follower = Follower::start(&log, &["--since", future]);
    follower.expect(&["SET a 1"]);
    rewrite(&log);
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "b", "1"]);
    follower.expect(&["SET b 1"]);
    follower.expect_complaint("and stands behind what is of 2100-01-01T00:00:00Z; all behind that is shown");
    server.connect().ask(&["SET", "c", "1"]);
    follower.expect(&["SET c 1"]);
    assert!(follower.complaints.try_recv().is_err());
    server.terminate().expect(0, &[]);
}

#[test]
fn a_log_that_was_cut_back_and_replaced_between_two_looks_makes_it_start_over() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).start();
    let log = server.launch().log_path();
    server.connect().ask(&["SET", "a", "1"]);
    server.kill9();
    let published = fs::read(&log).unwrap().len() as u64;
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "b", "1"]);
    server.kill9();
    let follower = Follower::start(&log, &[]);
    follower.expect(&["SET a 1", "SET b 1"]);
    let pid = rustix::process::Pid::from_child(&follower.child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // What a server does whose sync failed: it takes back what was not published, and heals by a rewrite.
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(published).unwrap();
    rewrite(&log);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    follower.expect_complaint("behind what was shown; starting over");
    follower.expect(&["FLUSHALL", "SET a 1"]);
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "c", "1"]);
    follower.expect(&["SET c 1"]);
    server.terminate().expect(0, &[]);
}

#[test]
fn a_limit_a_closed_pipe_and_an_interrupt_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).start();
    let log = server.launch().log_path();
    server.connect().ask(&["SET", "a", "1"]);
    let mut limited = Follower::start(&log, &["--limit", "2"]);
    limited.expect(&["SET a 1"]);
    let mut closed = Follower::start(&log, &["--format", "json"]);
    closed.lines.recv().unwrap();
    // The reader is gone: nothing needs to be written for the follower to notice.
    drop(std::mem::replace(&mut closed.lines, channel().1));
    server.connect().ask(&["SET", "a", "2"]);
    limited.expect(&["SET a 2"]);
    for follower in [&mut limited, &mut closed] {
        server.connect().ask(&["SET", "a", "3"]);
        assert!(follower.child.wait().unwrap().success());
    }
    let mut interrupted = Follower::start(&log, &[]);
    interrupted.expect(&["SET a 1"]);
    kill_process(Pid::from_child(&interrupted.child), Signal::INT).unwrap();
    assert_eq!(interrupted.child.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
    server.terminate().expect(0, &[]);
}

/// A follower whose output goes through a pipe into `kvred cli --pipe`, which fills another server.
struct WarmCopy {
    follower: Child,
    cli: Child,
    client: Client,
    name: &'static str,
}

impl WarmCopy {
    fn start(name: &'static str, log: &Path, port: u16) -> Self {
        let follow = ["aof", "dump", "--follow", "--format", "resp", arg(log)];
        let mut follower = Launch::binary().args(follow).spawn().unwrap();
        let cli = Launch::binary()
            .args(["cli", "-h", "127.0.0.1", "-p", &port.to_string(), "--pipe"])
            .stdin(follower.stdout.take().unwrap())
            .spawn()
            .unwrap();
        Self { follower, cli, client: Client::connect(port), name }
    }

    /// Waits until it has a key.
    fn waits_for(&mut self, key: &str) {
        wait_until("the copy has the key", || self.client.ask(&["EXISTS", key]) == Reply::Integer(1));
    }

    /// Ends the follower; that must have had nothing to complain about, and every command a good reply.
    fn ends(self) {
        kill_process(Pid::from_child(&self.follower), Signal::TERM).unwrap();
        let follower = Exit::of(self.follower.wait_with_output().unwrap());
        assert_eq!(follower.stderr, "", "{}: it never had to start over", self.name);
        let cli = Exit::of(self.cli.wait_with_output().unwrap());
        assert_eq!((cli.code, &cli.stderr[..]), (Some(0), ""), "{}", self.name);
        assert!(cli.stdout.starts_with("errors: 0, replies: "), "{}: {}", self.name, cli.stdout);
    }
}

/// Writes before a rewrite, during it and after it; notes what was acknowledged, but not the one command whose outcome
/// is not known. The copies follow: who missed a rewrite altogether would have to start over.
fn load(
    server: Server,
    seed: u32,
    copies: &mut [WarmCopy],
    end: impl FnOnce(Server) + Send,
    model: &mut BTreeMap<String, Option<String>>,
) {
    let (port, acknowledged) = (server.port(), AtomicU64::new(0));
    let unknown = std::thread::scope(|scope| {
        let acknowledged = &acknowledged;
        let writer = scope.spawn(move || {
            let mut client = Client::connect(port);
            let mut done = Vec::new();
            for n in 0_u32.. {
                let key = format!("key:{}", (n.wrapping_mul(2_654_435_761) ^ seed) % 500);
                let value = format!("{seed}-{n}-{}", "x".repeat((n % 300) as usize));
                let command = if n % 7 == 0 { vec!["DEL", &key] } else { vec!["SET", &key, &value] };
                let bytes: Vec<&[u8]> = command.iter().map(|w| w.as_bytes()).collect();
                let change = (key.clone(), (n % 7 != 0).then(|| value.clone()));
                match client.try_ask(&bytes) {
                    Ok(Reply::Simple(_) | Reply::Integer(_)) => {
                        done.push(change);
                        acknowledged.fetch_add(1, SeqCst);
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => return (done, key),
                }
            }
            unreachable!()
        });
        let more = || {
            let enough = acknowledged.load(SeqCst) + 300;
            wait_until("some writes", || acknowledged.load(SeqCst) >= enough);
        };
        more();
        let mut marking = Client::connect(port);
        let mut all_follow = |when: &str| {
            let key = format!("{when}:{seed}");
            marking.ask(&["SET", &key, ""]);
            for copy in copies.iter_mut() {
                copy.waits_for(&key);
            }
        };
        all_follow("before");
        assert!(helpers::rewrite(&mut Client::connect(port)));
        more();
        all_follow("behind");
        end(server);
        let (done, unknown) = writer.join().unwrap();
        model.extend(done);
        unknown
    });
    model.remove(&unknown);
}

#[test]
fn copies_on_other_servers_are_what_was_acknowledged() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = Launch::at(other.path()).args(&["--appendonly", "no"]).start();
    let server = Launch::at(dir.path()).start();
    let log = server.launch().log_path();
    let mut copies = vec![WarmCopy::start("kvred", &log, copy.port())];
    let peers: Vec<_> = SERVERS
        .into_iter()
        .filter_map(|name| {
            let dir = tempfile::tempdir().unwrap();
            let peer = Peer::start_with(name, dir.path(), &["--appendonly", "no"])?;
            copies.push(WarmCopy::start(name, &log, peer.port()));
            Some((peer, dir))
        })
        .collect();
    let mut model = BTreeMap::new();
    load(server, 1, &mut copies, Server::kill9, &mut model);
    load(Launch::at(dir.path()).start(), 2, &mut copies, |server| server.terminate().expect(0, &[]), &mut model);
    rewrite(&log);
    load(Launch::at(dir.path()).args(&["--fsync", "always"]).start(), 3, &mut copies, Server::kill9, &mut model);
    // The start repairs what the kill tore, so that the rewrite takes it.
    Launch::at(dir.path()).start().terminate().expect(0, &[]);
    rewrite(&log);
    load(Launch::at(dir.path()).start(), 4, &mut copies, Server::kill9, &mut model);
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "last", "one"]);
    for copy in &mut copies {
        copy.waits_for("last");
        let WarmCopy { client, name, .. } = copy;
        for (key, value) in &model {
            let value = value.as_ref().map(|v| v.as_bytes().to_vec());
            assert_eq!(client.get(key), value, "{name}: {key}");
        }
    }
    // And they are what the first server has, to the key.
    server.terminate().expect(0, &[]);
    let keys = data(&log).len() as i64;
    for mut copy in copies {
        assert_eq!(copy.client.ask(&["DBSIZE"]), Reply::Integer(keys), "{}", copy.name);
        copy.ends();
    }
    drop(peers);
}
