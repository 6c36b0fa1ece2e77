//! Servers that are not there, err, hang, or go away.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::helpers::programs::{looking_up, refusing_port};
use crate::helpers::terminal::{Terminal, after, started_by, without_escapes};
use crate::helpers::{Launch, Server, wait_until};
use crate::kit::{answer, bench, fake, finish, memory_server, run_at, stalling};
use crate::results::{calls, interrupt};

#[test]
fn a_server_that_is_down_is_told_at_once() {
    let (port, _kept) = refusing_port();
    let ran = run_at(port, "");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(3), ""));
    assert!(ran.stderr.contains(&format!("cannot connect to 127.0.0.1:{port}: connection refused")), "{ran:?}");
}

#[test]
fn a_limit_of_files_is_not_answered_with_starting_a_server() {
    let server = memory_server();
    let bench = bench(&["-p", &server.port().to_string(), "-t", "ping", "-n", "100", "-c", "200"]);
    let ran = finish(after("ulimit -n 100", &bench).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!((ran.code, &ran.stdout[..]), (Some(3), ""), "{ran:?}");
    assert!(ran.stderr.contains("too many open files; raise the limit with \"ulimit -n\""), "{ran:?}");
    assert!(!ran.stderr.contains("kvred serve"), "{ran:?}");
}

/// With more requests than connections, one that was refused would be found by its first.
#[test]
fn connections_that_the_server_has_no_room_for_are_told_also_where_no_request_falls_to_them() {
    let server = Server::start_with(&["--appendonly", "no", "--maxclients", "20"]);
    for flags in ["-t ping -n 1", "-t set -n 10", "-t ping --rate 1000 -n 5"] {
        let ran = run_at(server.port(), &format!("{flags} -c 50"));
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""), "{flags}: {ran:?}");
        assert!(
            ran.stderr.contains("PING failed: ERR max number of clients reached; use fewer connections"),
            "{flags}: {ran:?}"
        );
    }
}

#[test]
fn a_connection_that_is_closed_without_a_word_is_told_before_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        // The first asks what the server is.
        let (mut first, mut request) = (listener.accept().unwrap().0, [0; 1000]);
        assert!(first.read(&mut request).unwrap() > 0);
        first.write_all(b"+PONG\r\n").unwrap();
        listener.incoming().for_each(drop);
    });
    let ran = run_at(port, "-t ping -n 1 -c 5");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(3), ""), "{ran:?}");
    assert!(!ran.stderr.contains("ended early"), "{ran:?}");
}

/// To a server far away each of them takes some round trips.
#[test]
fn connections_are_opened_beside_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        // The first asks what the server is. None of the others is answered before all are there.
        answer(listener.accept().unwrap().0, b"+PONG\r\n", 1);
        let streams: Vec<_> = listener.incoming().flatten().take(20).collect();
        for stream in streams {
            std::thread::spawn(move || answer(stream, b"+PONG\r\n", usize::MAX));
        }
    });
    let ran = run_at(port, "-t ping -n 100 -c 20 --threads 2 --connect-timeout 20");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn an_interrupt_does_not_wait_for_a_name_that_is_looked_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut child, _pipe)) = looking_up(bench(&["-h", "nowhere", "-t", "ping"]), dir.path()) else { return };
    interrupt(&child);
    wait_until("it has ended", || child.try_wait().unwrap().is_some());
    assert_eq!(finish(child).code, Some(130));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = run_at(listener.local_addr().unwrap().port(), "--connect-timeout 0.3");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("no answer within 0.3 s"), "{ran:?}");
}

#[test]
fn errors_are_counted_and_exit_1() {
    let ran = run_at(fake(b"-ERR \x1b[31malways\r\n", usize::MAX), "-n 500 -r 50 -P 4 -c 2 --format json");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for result in ran.json()["results"].as_array().unwrap() {
        assert_eq!((&result["errors"], &result["operations"], &result["hits"]), (&500.into(), &500.into(), &0.into()));
    }
    assert_eq!(ran.json()["results"].as_array().unwrap().len(), 5);
    // What a server says does not get to move the cursor.
    assert!(ran.stderr.contains("500 of 500 replies were errors, the first: ERR ?[31malways"), "{ran:?}");
}

#[test]
fn misses_and_replies_of_the_wrong_kind_exit_1() {
    let ran = run_at(fake(b"$-1\r\n", usize::MAX), "-n 100 -r 5 -c 2 -t get,ping --format json");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!((&ran.json()["results"][0]["misses"], &ran.json()["results"][1]["wrong"]), (&100.into(), &100.into()));
    // An array comes in parts, and is one reply.
    let ran = run_at(fake(b"*2\r\n$2\r\nab\r\n:1\r\n", usize::MAX), "-n 100 -P 9 -c 1 -t ping --format json");
    assert_eq!((ran.code, &ran.json()["results"][0]["wrong"]), (Some(1), &100.into()), "{ran:?}");
    let ran = run_at(fake(b"+PONG\r\n+PONG\r\n", usize::MAX), "-n 100 -c 1 -t ping");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("more replies than it was sent requests"), "{ran:?}");
    let ran = run_at(fake(b"HTTP/1.1 400 Bad Request\r\n", usize::MAX), "-n 100 -t ping");
    assert!(ran.code == Some(3) && ran.stderr.contains("not RESP"), "{ran:?}");
}

#[test]
fn a_server_killed_in_the_middle_leaves_partial_results() {
    let server = memory_server();
    let port = server.port().to_string();
    let child = bench(&["-p", &port, "-t", "set", "--duration", "600", "--format", "json"]).spawn().unwrap();
    let mut client = server.connect();
    wait_until("it has begun", || client.get("key:000000000007").is_some());
    server.kill9();
    let ran = finish(child);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("the run ended early: "), "{ran:?}");
    assert_eq!(ran.json()["partial"], true);
    assert!(ran.json()["results"][0]["operations"].as_u64().unwrap() > 0);
}

#[test]
fn of_two_servers_the_one_that_goes_away_is_named() {
    let (server, port) = (memory_server(), fake(b"+PONG\r\n", 50));
    let other = format!("127.0.0.1:{}", server.port());
    for (first, second) in [(port, other.clone()), (server.port(), format!("127.0.0.1:{port}"))] {
        let ran = run_at(first, &format!("-n 1000 -c 1 -t ping --compare {second}"));
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains(&format!("the run ended early: 127.0.0.1:{port}: ")), "{ran:?}");
    }
}

#[test]
fn connections_closed_by_the_server_end_the_run() {
    let ran = run_at(fake(b"+PONG\r\n", 50), "-n 1000 -c 1 -t ping --format json");
    // The first is the one that shows that the connection is there.
    assert_eq!((ran.code, &ran.json()["results"][0]["operations"]), (Some(3), &49.into()), "{ran:?}");
    assert!(ran.stderr.contains("closed the connection"), "{ran:?}");
}

#[test]
fn ctrl_c_prints_what_there_is() {
    let server = memory_server();
    let port = server.port().to_string();
    for format in ["table", "json"] {
        let mut client = server.connect();
        client.ask_words("FLUSHALL");
        let child = bench(&["-p", &port, "-t", "set", "--duration", "600", "--format", format]).spawn().unwrap();
        wait_until("it has begun", || client.get("key:000000000007").is_some());
        interrupt(&child);
        let ran = finish(child);
        assert_eq!(ran.code, Some(130), "{ran:?}");
        match format {
            "table" => assert!(ran.stdout.contains("PARTIAL") && ran.stdout.contains("set*"), "{ran:?}"),
            _ => assert!(ran.json()["partial"] == true && ran.json()["results"][0]["partial"] == true),
        }
    }
}

#[test]
fn ctrl_c_at_a_terminal_goes_with_the_bar() {
    let server = memory_server();
    let mut command = Launch::binary();
    command.args(["bench", "-p", &server.port().to_string(), "-t", "set", "--duration", "600"]);
    let mut terminal = Terminal::sized(&command, 80, 24);
    let mut screen = terminal.sees("/s ");
    terminal.presses('c');
    let (rest, code) = terminal.ends();
    screen += &rest;
    assert!(code == 130 && rest.contains("PARTIAL"), "{code}: {screen:?}");
    let lines = screen.split(['\r', '\n']).map(without_escapes);
    let bars: Vec<_> = lines.filter(|line| line.contains("% ")).collect();
    assert!(!bars.is_empty(), "{screen:?}");
    // What a terminal adds, `^C`, then stays on the bar's line, which is cleared.
    let wide = bars.iter().find(|bar| bar.chars().count() > 78);
    assert_eq!(wide, None, "{screen:?}");
}

#[test]
fn a_frozen_server_shows_in_an_open_loop() {
    let server = memory_server();
    let port = server.port().to_string();
    let flags = ["-p", &port, "-t", "set", "--rate", "1000", "--duration", "600", "-c", "2", "--format", "json"];
    let child = bench(&flags).spawn().unwrap();
    let mut client = server.connect();
    wait_until("it has begun", || calls("set", &mut client) > 0);
    server.signal(Signal::STOP);
    let frozen = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    server.signal(Signal::CONT);
    let most = frozen.elapsed().as_secs_f64() * 1e6;
    // A thousand should have left meanwhile; the first of them are enough.
    let at_least = calls("set", &mut client) + 500;
    wait_until("they are answered", || calls("set", &mut client) >= at_least);
    interrupt(&child);
    let ran = finish(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let latency = ran.json()["results"][0]["latency_us"].clone();
    let at = |name: &str| latency[name].as_f64().unwrap();
    // Two requests were under way: without a schedule, only those would have waited.
    assert!(at("max") > 900_000.0 && at("p99") > 800_000.0, "{latency}, frozen for {most} us");
}

#[test]
fn a_rate_that_cannot_be_kept_is_told() {
    let server = memory_server();
    let ran = run_at(server.port(), "-t ping --rate 100M --duration 0.2 -c 1");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = "requests were due and not sent in time: the rate is more than 1 connection and the server can keep";
    assert!(ran.stderr.contains(told), "{ran:?}");
}

/// Of a number of requests none is left unsent: they are only late.
#[test]
fn a_rate_that_cannot_be_kept_is_told_of_a_number_of_requests() {
    let slow = stalling(0);
    let ran = run_at(slow, "-t ping --rate 1000 -n 10 -c 1 --format json");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told =
        " of the 1000 requests a second were reached: the rate is more than 1 connection and the server can keep";
    assert!(ran.stderr.contains(told) && ran.json()["warnings"].to_string().contains(told), "{ran:?}");
    let ran = run_at(slow, "-t ping --rate 1 -n 1 -c 1");
    assert!(ran.code == Some(0) && !ran.stderr.contains("reached"), "{ran:?}");
    let ran = run_at(slow, "-t ping -n 3 -c 1");
    assert!(ran.code == Some(0) && !ran.stderr.contains("reached"), "{ran:?}");
}

#[test]
fn a_server_that_stalls_from_the_second_run_on_is_told_once() {
    // The first connection is asked what the server is, the second is the first run's.
    let slow = stalling(2);
    let ran = run_at(slow, "-t ping --rate 1000 --duration 0.3 -c 1 --repeats 3");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr.matches("were due and not sent in time").count(), 1, "{ran:?}");

    let (quick, slow) = (memory_server(), stalling(1));
    let flags = format!("-t ping --rate 1000 --duration 0.3 -c 1 --repeats 2 --compare 127.0.0.1:{slow}");
    let ran = run_at(quick.port(), &flags);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains(&format!("warning: ping at 127.0.0.1:{slow}: ")), "{ran:?}");
}

#[test]
fn what_has_waited_when_a_run_is_interrupted_is_told() {
    for (flags, says) in [
        (&["-c", "2", "-P", "3"][..], &["set: 6 requests had no answer yet, the oldest after "][..]),
        (
            &["-c", "2", "--rate", "1000"],
            &["set: 2 requests had no answer yet", " s, and ", " were due and not sent: "],
        ),
    ] {
        let server = memory_server();
        let port = server.port().to_string();
        let flags = [&["-p", &port, "-t", "set", "-r", "10", "--duration", "600", "--format", "json"], flags].concat();
        let child = bench(&flags).spawn().unwrap();
        let mut client = server.connect();
        wait_until("it has begun", || client.get("key:000000000007").is_some());
        server.signal(Signal::STOP);
        // Longer than any reply took before.
        std::thread::sleep(Duration::from_secs(2));
        interrupt(&child);
        let ran = finish(child);
        server.signal(Signal::CONT);
        assert_eq!(ran.code, Some(130), "{ran:?}");
        let warnings = ran.json()["warnings"].to_string();
        for part in says {
            assert!(ran.stderr.contains(part) && warnings.contains(part), "{part}: {ran:?}");
        }
        if let Some((before, _)) = warnings.split_once(" were due and not sent") {
            // A thousand a second, until it was interrupted: not all of the ten minutes.
            let unsent: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(unsent < 300_000, "{ran:?}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let server = memory_server();
    let mut child = bench(&["-p", &server.port().to_string(), "-n", "100", "-t", "ping"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child).code, Some(0));
}

#[test]
fn the_name_of_a_server_cannot_steer_the_terminal() {
    let info = b"$28\r\nredis_version:9\x1b]0;pwned\x07x\r\n\r\n";
    let ran = run_at(fake(info, usize::MAX), "-n 100 -t set -c 2");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.starts_with("Redis 9?]0;pwned?x at "), "{ran:?}");
    assert!(!ran.stdout.contains(|c: char| c.is_control() && c != '\n'), "{ran:?}");
}

/// What a server says does not get to move the cursor, nor to fill the screen.
#[test]
fn a_wrong_reply_is_told_in_words_on_one_line() {
    let long = format!("$5000\r\n{}\r\n", "x".repeat(5000)).leak().as_bytes();
    for (reply, says) in [
        (&b"$12\r\nhello\x1bworld!\r\n"[..], "SET was answered with a string of 12 bytes, \"hello\\x1bworld!\""),
        (long, "a string of 5000 bytes, \"xxxx"),
        (b":7\r\n", "SET was answered with the integer 7"),
        (b"$-1\r\n", "SET was answered with null"),
        (b"+QUEUED\r\n", "SET was answered with \"QUEUED\""),
        (b"*2\r\n$2\r\nab\r\n:1\r\n", "SET was answered with an array of 2"),
        (b"*1\r\n*1\r\n:1\r\n", "SET was answered with an array of 1"),
    ] {
        let ran = run_at(fake(reply, usize::MAX), "-n 100 -t set -c 2");
        let told = ran.stderr.lines().find(|line| line.contains("were wrong, the first: ")).unwrap_or_default();
        assert!(ran.code == Some(1) && told.contains(says) && told.len() < 200, "{told}: {ran:?}");
    }
}

/// A terminal that is closed, or a connection that is lost, ends what has started servers, as Ctrl-C does.
#[test]
fn a_hangup_ends_a_run_unless_it_is_ignored() {
    let server = memory_server();
    let port = server.port().to_string();
    for (disposition, is_heard) in [("--default-signal=HUP", true), ("--ignore-signal=HUP", false)] {
        let mut env = Command::new("env");
        env.arg(disposition);
        let mut client = server.connect();
        client.ask_words("FLUSHALL");
        let mut command = started_by(env, &bench(&["-p", &port, "-t", "set", "-r", "10", "--duration", "600"]));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it has begun", || client.get("key:000000000007").is_some());
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::HUP).unwrap();
        if !is_heard {
            // As nohup wants it.
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
            assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 1, 1, "{status}");
            interrupt(&child);
        }
        let ran = finish(child);
        assert!(ran.code == Some(130) && ran.stdout.contains("PARTIAL"), "{disposition}: {ran:?}");
    }
}
