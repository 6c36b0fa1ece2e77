//! `--scan`, `--bigkeys`, `--stat`, `--latency`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::helpers::Exit;
use crate::server::{Server, cli, run};

/// Runs every mode against a server that holds strings.
pub(crate) fn all_modes(server: &Server) {
    let lines: String = (0..500).map(|i| format!("set user:{i} x\n")).collect();
    assert_eq!(server.run(&["--pipe"], lines).code, Some(0));
    server.run(&["-x", "set", "a big\nkey"], vec![b'x'; 100_000]);

    assert_eq!(server.ok(&["--scan", "--pattern", "user:*"]).lines().count(), 500);
    assert_eq!(server.ok(&["--scan", "--output", "pretty", "--pattern", "a*"]), "\"a big\\nkey\"\n");
    assert_eq!(server.ok(&["--scan", "--json", "--pattern", "a*", "--count", "7"]), "\"a big\\nkey\"\n");

    let text = server.ok(&["--bigkeys"]);
    assert!(text.starts_with("501 keys\n") && text.contains("biggest: \"a big\\nkey\" with"), "{text}");
    assert!(server.ok(&["--bigkeys", "--json"]).contains("\"keys\":501"));
    assert!(server.ok(&["--bigkeys", "--csv", "--pattern", "user:*"]).contains("\nstring,500,500,bytes,1,"));

    let text = server.ok(&["--stat", "-r", "2", "-i", "0.05"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 4 && lines[1].starts_with("keys") && lines[3].starts_with("501 "), "{text}");
    let json = server.ok(&["--stat", "-r", "1", "--json"]);
    assert!(json.starts_with('{') && json.contains("\"keys\":501"), "{json}");

    let text = server.ok(&["--latency", "-i", "0.2"]);
    assert!(text.starts_with("min: ") && text.contains("samples)") && text.contains(" #"), "{text}");
    assert!(server.ok(&["--latency", "-i", "0.1", "--json"]).contains("\"p99_us\":"));
    assert!(server.ok(&["--latency", "-i", "0.1", "--csv"]).starts_with("samples,min_us"));
}

/// A server with one string, which answers `STRLEN` so.
fn with_a_string(strlen: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1000];
        while let Ok(len @ 1..) = stream.read(&mut request) {
            let request = String::from_utf8_lossy(&request[..len]).into_owned();
            let replies = [
                ("COMMAND", "*1\r\n*0\r\n"),
                ("SCAN", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"),
                ("TYPE", "+string\r\n"),
                ("STRLEN", strlen),
            ];
            let reply = replies.iter().find(|(name, _)| request.contains(&format!("\r\n{name}\r\n"))).unwrap();
            stream.write_all(reply.1.as_bytes()).unwrap();
        }
    });
    port
}

#[test]
fn an_error_is_no_key_that_is_gone() {
    for (strlen, code, out, err) in [
        ("-NOPERM no permission\r\n", 1, "", "kvred: STRLEN failed: NOPERM no permission\n"),
        ("-WRONGTYPE it is a list by now\r\n", 0, "0 keys\n", ""),
        (":7\r\n", 0, "1 key\nstring: 1 key, 7 bytes, 7.00 on average\n  biggest: k with 7 bytes\n", ""),
        (":1\r\n", 0, "1 key\nstring: 1 key, 1 byte, 1.00 on average\n  biggest: k with 1 byte\n", ""),
    ] {
        let ran = run(cli(&["-p", &with_a_string(strlen).to_string(), "--bigkeys"]), "");
        assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(code), out, err), "{strlen:?}");
    }
}

#[test]
fn modes_work_against_kvred() {
    all_modes(&Server::start(&[]));
}

#[test]
fn stat_waits_for_a_server_that_goes_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut child =
        cli(&["-p", &address.port().to_string(), "--stat", "-r", "3", "-i", "0.05", "--csv"]).spawn().unwrap();
    let is_asked = |stream: &mut TcpStream| assert!(stream.read(&mut [0; 100]).unwrap() > 0);
    let answer = b"$13\r\ndb0:keys=7,x=\r\n";
    let (mut stream, _) = listener.accept().unwrap();
    is_asked(&mut stream);
    // From here on nobody can connect.
    drop(listener);
    stream.write_all(answer).unwrap();
    is_asked(&mut stream);
    drop(stream);
    let (mut told, mut stderr) = (String::new(), BufReader::new(child.stderr.take().unwrap()));
    while !told.contains("connection refused") {
        assert!(stderr.read_line(&mut told).unwrap() > 0, "it has ended: {told}");
    }
    assert!(told.contains("; connecting again"), "{told}");
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for _ in 0..2 {
            is_asked(&mut stream);
            stream.write_all(answer).unwrap();
        }
    });
    let ran = Exit::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.matches("\n7,").count()), (Some(0), 3), "{ran:?}");
}

#[test]
fn csv_has_its_header_once() {
    let server = Server::start(&[]);
    for (args, header, lines) in [
        (&["--stat", "-r", "23", "-i", "0.001"][..], "keys,", 24),
        (&["--latency", "-r", "3", "-i", "0.001"], "samples,", 4),
    ] {
        let text = server.ok(&[args, &["--csv"]].concat());
        assert_eq!((text.matches(header).count(), text.lines().count()), (1, lines), "{text}");
    }
}
