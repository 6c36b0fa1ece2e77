//! Servers that are down, stuck, or go away.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::helpers::programs::{Killed, looking_up, refusing_port};
use crate::helpers::terminal::started_by;
use crate::helpers::{Client, Exit, program, wait_until, wait_until_told_of_the_end};
use crate::server::{Server, cli, run, write};

#[test]
fn a_server_that_is_down_gives_one_helpful_line_and_3() {
    let (port, _kept) = refusing_port();
    let port = port.to_string();
    for args in [&["ping"][..], &[], &["--pipe"], &["--scan"], &["--stat"], &["--latency"], &["--bigkeys"]] {
        let mut command = cli(&["-p", &port]);
        command.args(args);
        let ran = run(command, "ping\n");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(3), ""), "{args:?}");
        assert_eq!(
            ran.stderr,
            format!(
                "kvred: cannot connect to 127.0.0.1:{port}: connection refused; start a server with \"kvred serve --port {port}\"\n"
            )
        );
    }
    // Where the server listens unless told otherwise is another address.
    let ran = run(cli(&["-h", "::1", "-p", &port, "ping"]), "");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains(&format!("\"kvred serve --bind ::1 --port {port}\"")), "{}", ran.stderr);
    for (socket, shown) in [("/nonexistent/s", "/nonexistent/s"), ("/nonexistent/a b", "'/nonexistent/a b'")] {
        let ran = run(cli(&["-s", socket, "ping"]), "");
        assert_eq!(ran.code, Some(3));
        assert!(ran.stderr.contains(&format!("kvred serve --unixsocket {shown}\"")), "{}", ran.stderr);
    }
}

#[test]
fn what_no_server_would_help_with_is_not_answered_with_starting_one() {
    let dir = TempDir::new().unwrap();
    let closed = dir.path().join("closed");
    let _listener = UnixListener::bind(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    let denied = cli(&["-s", closed.to_str().unwrap(), "ping"]);
    // Too long for a name, so that nobody is asked about it.
    let nowhere = "x".repeat(64);
    for (command, why) in [
        (without_capabilities(denied), "permission denied; only who may write to a socket can connect"),
        (Some(cli(&["-h", &nowhere, "ping"])), "; is the address right?"),
        (
            Some(cli(&["-s", &"x".repeat(108), "ping"])),
            "x: the path of a unix socket has at most 107 bytes, this one has 108\n",
        ),
    ] {
        let Some(command) = command else { continue };
        let ran = run(command, "");
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains(why) && !ran.stderr.contains("kvred serve"), "{why:?} is not in: {}", ran.stderr);
    }
}

/// The same by a user for whom the rights of files count.
fn without_capabilities(command: Command) -> Option<Command> {
    if !geteuid().is_root() {
        return Some(command);
    }
    let mut under = Command::new(program("setpriv")?);
    under.args(["--bounding-set=-all", "--inh-caps=-all"]);
    Some(started_by(under, &command))
}

#[test]
fn a_server_that_does_not_answer_the_set_up_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ran = run(cli(&["-p", &port, "-t", "0.3", "-a", "x", "--no-auth-warning", "ping"]), "");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("no answer within 0.3 s"), "{}", ran.stderr);
}

/// The limit holds although nothing interrupts the look-up of a name.
#[test]
fn a_resolver_that_does_not_answer_is_given_up() {
    let dir = TempDir::new().unwrap();
    let command = cli(&["-h", "nowhere", "-t", "2", "ping"]);
    let Some((mut child, _pipe)) = looking_up(command, dir.path()) else { return };
    wait_until("it is given up", || child.try_wait().unwrap().is_some());
    let ran = Exit::of(child.wait_with_output().unwrap());
    ran.expect(3, &["cannot connect to nowhere:6380: no answer within 2 s"]);
}

#[test]
fn the_text_of_an_error_cannot_steer_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1000];
            while stream.read(&mut request).is_ok_and(|len| len > 0) {
                stream.write_all(b"-ERR \x1b[2Jcleared\r\n").unwrap();
            }
        }
    });
    for args in [&["ping"][..], &[], &["--pipe"], &["--scan"], &["--stat"], &["--latency"], &["-n", "1", "ping"]] {
        let mut command = cli(&["-p", &port]);
        command.args(args);
        let ran = run(command, "ping\n");
        assert_eq!(ran.code, Some(1), "{args:?}");
        assert!(ran.stderr.contains("ERR ?[2Jcleared") && !ran.stderr.contains('\u{1b}'), "{args:?}: {:?}", ran.stderr);
    }
}

#[test]
fn a_command_whose_reply_never_came_is_of_unknown_outcome_and_sent_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = [0; 100];
        let len = stream.read(&mut got).unwrap();
        drop(stream);
        (listener, String::from_utf8_lossy(&got[..len]).into_owned())
    });
    let ran = run(cli(&["-p", &port, "set", "k", "v"]), "");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("outcome of the command is unknown"), "{}", ran.stderr);
    let (listener, got) = server.join().unwrap();
    assert!(got.contains("set"), "{got}");
    listener.set_nonblocking(true).unwrap();
    let again = listener.accept().map(drop).map_err(|e| e.kind());
    assert_eq!(again, Err(ErrorKind::WouldBlock), "nobody comes back to send it again");
}

/// The server answers and closes as soon as it has the length of the value, most of which is then never sent.
#[test]
fn a_value_that_is_refused_while_it_is_sent_is_refused_with_the_servers_words() {
    let dir = TempDir::new().unwrap();
    let password = write(&dir.path().join("pw"), "s3cret\n");
    let with_password = Server::start(&["--requirepass-file", &password, "--unixsocket", "s"]);
    let socket = with_password.file("s");
    let with_limit = Server::start(&["--proto-max-bulk-len", "1mb"]);
    let full = Server::start(&["--maxclients", "1"]);
    let mut only = Client::connect(full.port);
    only.send("PING\r\n").expect("+PONG\r\n");
    // More than all queues on the way hold.
    let value = vec![b'x'; 16 << 20];
    let hint = "give a password with --askpass";
    for (server, flags, why) in [
        (&with_password, &[][..], ["unauthenticated bulk length", hint]),
        (&with_password, &["-s", socket.to_str().unwrap()], ["unauthenticated bulk length", hint]),
        (&with_limit, &[], ["ERR Protocol error: invalid bulk length"; 2]),
        (&full, &[], ["ERR max number of clients reached"; 2]),
    ] {
        let ran = server.run(&[flags, &["-x", "set", "k"]].concat(), &value);
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""), "{ran:?}");
        assert!(why.iter().all(|why| ran.stderr.contains(why)), "{why:?} are not in: {}", ran.stderr);
    }
}

/// Reading would never end where the server stays, and where it goes, that is not for the `SHUTDOWN` that it never got.
#[test]
fn a_server_that_stops_reading_and_says_nothing_is_given_up() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    for (stops, command) in [(Shutdown::Read, "ping"), (Shutdown::Both, "shutdown")] {
        // It connects, waits for the last argument, and then sends.
        let mut client = cli(&["-s", socket.to_str().unwrap(), "-t", "1", "-x", command]);
        let mut client = client.stdin(Stdio::piped()).spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        // Behind this the end is not seen before something is sent.
        stream.write_all(b">1\r\n+pushed\r\n").unwrap();
        stream.shutdown(stops).unwrap();
        drop(client.stdin.take());
        wait_until("the client has ended", || client.try_wait().unwrap().is_some());
        let ran = Exit::of(client.wait_with_output().unwrap());
        assert_eq!(ran.stdout, "", "{command}");
        ran.expect(3, &["outcome of the command is unknown"]);
    }
}

/// A host that loses its power, or its network, says nothing: the kernel has to ask for it.
#[test]
fn a_host_that_is_gone_without_a_word_is_noticed_while_a_reply_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for args in [&["blpop", "k", "0"][..], &["subscribe", "c"], &["--pipe"]] {
        let mut command = cli(&["-p", &port.to_string()]);
        let _child = Killed(command.args(args).stdin(Stdio::piped()).spawn().unwrap());
        let (_stream, client) = listener.accept().unwrap();
        // Of the client's end in the table of connections: the timer of keepalive, and how many hundredths of a second.
        let end = format!(":{:04X} 0100007F:{port:04X} 01 ", client.port());
        wait_until("the kernel is going to ask within 15 s", || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let timer = table.split_once(&end).and_then(|(_, line)| line.split_whitespace().nth(1)?.split_once(':'));
            timer.is_some_and(|(kind, in_centis)| kind == "02" && u32::from_str_radix(in_centis, 16).unwrap() <= 1500)
        });
    }
}

#[test]
fn what_does_not_speak_resp_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let ran = run(cli(&["-p", &port, "ping"]), "");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("not RESP"), "{}", ran.stderr);
}

#[test]
fn a_script_names_the_line_where_the_server_went_away() {
    let server = Server::start(&[]);
    let ran = server.run(&[], "ping\nshutdown\nping\n");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(3), "PONG\n"));
}

/// A script whose server closes the connection behind its first reply, and only then gets the rest: how the run ended,
/// and all that came on later connections.
fn script_cut_off(first: &str, rest: &str) -> (Output, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut command = cli(&["-p", &port.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(first.as_bytes()).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
    stream.write_all(b"+OK\r\n").unwrap();
    let mut told = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut told).unwrap();
    drop(stream);
    wait_until_told_of_the_end(port);
    let (came, all) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 1000]);
            while let Ok(len @ 1..) = stream.read(&mut request) {
                came.send(String::from_utf8_lossy(&request[..len]).into_owned()).unwrap();
                stream.write_all(b"+OK\r\n").unwrap();
            }
        }
    });
    input.write_all(rest.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    (output, all.try_iter().collect())
}

#[test]
fn nothing_of_a_transaction_is_sent_behind_a_lost_connection() {
    for (first, rest) in [("\nMULTI\n", "SET b 2\nEXEC\n"), ("\nWATCH b\n", "MULTI\nSET b 2\nEXEC\n")] {
        let (output, came) = script_cut_off(first, rest);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &came[..]), (Some(3), ""), "{said}");
        assert!(
            said.starts_with("kvred: line 3: the open transaction is gone with its connection; not sent"),
            "{said}"
        );
    }
}

#[test]
fn an_interrupt_ends_what_waits_by_the_signal() {
    let server = Server::start(&[]);
    for args in [&["-r", "-1", "-i", "0.01", "ECHO", "began"][..], &[]] {
        let mut child = server.cli(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A script that has no end yet.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"ECHO began\n").unwrap();
        let mut began = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut began).unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::INT.as_raw()), "{args:?}");
    }
}

#[test]
fn a_script_that_goes_on_over_another_connection_says_so() {
    let (output, came) = script_cut_off("SET a 1\n", "SET b 2\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(0) && came.contains("SET"), "{said} {came}");
    assert!(said.contains("was lost; connected again") && said.lines().count() == 1, "{said}");
}

#[test]
fn where_nothing_can_be_said_the_exit_code_still_tells() {
    let server = Server::start(&[]);
    let (down, _kept) = refusing_port();
    let (port, down) = (server.port.to_string(), down.to_string());
    let script = server.file("script");
    std::fs::write(&script, "FOO\nFOO\n").unwrap();
    for (code, args) in [
        (1, "cli -p UP FOO"),
        (1, "cli -p UP --keep-going"),
        (1, "cli -p UP --pipe"),
        (3, "cli -p DOWN PING"),
        (1, "cli -p UP -a x PING"),
        (3, "aof check nosuch"),
        (3, "man /proc/x"),
        (0, "bench -p UP -t ping -n 100 -r 10"),
        (2, "bench -t nonsense"),
    ] {
        let args = args.replace("UP", &port).replace("DOWN", &down);
        let mut command = crate::helpers::Launch::binary();
        command.args(args.split(' ')).stdin(File::open(&script).unwrap());
        command.stderr(File::options().write(true).open("/dev/full").unwrap());
        assert_eq!(command.output().unwrap().status.code(), Some(code), "{args}");
    }
}

#[test]
fn a_port_for_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 1000]));
            // An alert: unexpected message.
            drop(stream.write_all(b"\x15\x03\x03\x00\x02\x02\x0a"));
        }
    });
    let ran = run(cli(&["-p", &port, "ping"]), "");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("try --tls"), "{}", ran.stderr);
}
