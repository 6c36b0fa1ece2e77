//! One command from the arguments.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::server::{Server, cli, run};

#[test]
fn a_reply_goes_to_stdout_and_an_error_to_stderr_with_exit_1() {
    let server = Server::start(&[]);
    assert_eq!(server.ok(&["set", "k", "a b"]), "OK\n");
    assert_eq!(server.ok(&["get", "k"]), "a b\n");
    assert_eq!(server.ok(&["set", "k", "-1"]), "OK\n", "a value may begin with a dash");
    let ran = server.run(&["get"], "");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""));
    assert_eq!(ran.stderr, "ERR wrong number of arguments for 'get' command\n");
    let ran = server.run(&["--output", "pretty", "get"], "");
    assert_eq!((ran.code, &ran.stderr[..]), (Some(1), ""));
    assert_eq!(ran.stdout, "(error) ERR wrong number of arguments for 'get' command\n");
}

#[test]
fn values_of_any_bytes_come_back_exactly() {
    let server = Server::start(&[]);
    let mut value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    value.extend_from_slice(b"\n\n");
    for value in [&value[..], b"", b"\n", b"no newline", b"\r\n\x00"] {
        assert_eq!(server.run(&["-x", "set", "k"], value).stdout, "OK\n");
        assert_eq!(server.run(&["--no-newline", "get", "k"], "").bytes, value);
    }
}

#[test]
fn a_value_of_64_mib_comes_back_exactly() {
    let server = Server::start(&[]);
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let value: Vec<u8> = (0..16 << 20).flat_map(|_| next().to_le_bytes()).collect();
    assert_eq!(server.run(&["-x", "set", "k"], &value).stdout, "OK\n");
    assert!(server.run(&["--no-newline", "get", "k"], "").bytes == value);
}

#[test]
fn commands_repeat() {
    let server = Server::start(&[]);
    assert_eq!(server.ok(&["-r", "3", "ping"]), "PONG\nPONG\nPONG\n");
    assert_eq!(server.ok(&["-r", "0", "ping"]), "");
    let started = std::time::Instant::now();
    server.ok(&["-r", "3", "-i", "0.1", "ping"]);
    assert!(started.elapsed().as_millis() >= 200);
    assert_eq!(server.run(&["-r", "2", "nonsense"], "").code, Some(1));
}

#[test]
fn an_error_of_any_round_is_in_the_exit_code() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for reply in ["-NOPERM not yet\r\n", "+OK\r\n"] {
            assert!(stream.read(&mut [0; 100]).unwrap() > 0);
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let ran = run(cli(&["-p", &port, "-r", "2", "get", "k"]), "");
    assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(1), "OK\n", "NOPERM not yet\n"));
}

#[test]
fn arguments_may_be_quoted() {
    let server = Server::start(&[]);
    server.ok(&["--quoted-input", "set", "k", r#""a\x00b""#]);
    assert_eq!(server.run(&["--no-newline", "get", "k"], "").bytes, b"a\0b");
    let ran = server.run(&["--quoted-input", "set", "k", "\"open"], "");
    assert_eq!(ran.code, Some(2));
}

#[test]
fn wrong_usage_exits_2() {
    let server = Server::start(&[]);
    for args in [
        &["--nonsense"][..],
        &["-x"],
        &["--scan", "get", "k"],
        &["--scan", "--stat"],
        &["--user", "ann", "ping"],
        &["-u", "http://h", "ping"],
        &["-i", "x", "ping"],
        &["--pattern", "x"],
        &["--count", "5", "ping"],
        &["--scan", "--count", "0"],
        &["-r", "2"],
        &["-r", "2", "--scan"],
        &["-i", "1", "ping"],
        &["--pipe-timeout", "1", "ping"],
        &["--keep-going", "ping"],
        &["--keep-going", "--scan"],
        &["--quoted-input", "--scan"],
    ] {
        let ran = server.run(args, "");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""), "{args:?}");
        assert!(!ran.stderr.is_empty());
    }
    let help = server.run(&["--help"], "");
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--no-newline") && help.stdout.contains("KVRED_PASSWORD"));
}

#[test]
fn uris_and_sockets_are_other_ways_to_the_same_server() {
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("s").to_str().unwrap().to_owned();
    let server = Server::start(&["--unixsocket", &socket]);
    server.ok(&["set", "k", "v"]);
    let tcp = format!("redis://127.0.0.1:{}/0", server.port);
    let unix = format!("unix://{socket}");
    for args in [["-u", &tcp], ["-u", &unix], ["-s", &socket]] {
        let mut command = crate::server::cli(&args);
        command.args(["get", "k"]);
        assert_eq!(run(command, "").stdout, "v\n", "{args:?}");
    }
}

#[test]
fn the_server_that_a_flag_names_is_meant_whatever_variables_say() {
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("s").to_str().unwrap().to_owned();
    let (meant, other) = (Server::start(&["--unixsocket", &socket]), Server::start(&[]));
    let (port, other_port) = (meant.port.to_string(), other.port.to_string());
    let uri = format!("redis://127.0.0.1:{port}");
    let (other_uri, other_tls) = (format!("redis://127.0.0.1:{other_port}"), format!("rediss://[::1]:{other_port}"));
    for (flags, variables) in [
        (["-p", &port], &[("KVRED_URI", &other_uri[..])][..]),
        (["-p", &port], &[("KVRED_URI", &other_tls), ("KVRED_PORT", &other_port), ("KVRED_HOST", "127.0.0.1")]),
        (["-h", "127.0.0.1"], &[("KVRED_URI", &other_uri), ("KVRED_PORT", &port), ("KVRED_HOST", "::1")]),
        (["-s", &socket], &[("KVRED_URI", &other_uri), ("KVRED_PORT", &other_port)]),
        (["-u", &uri], &[("KVRED_URI", &other_uri), ("KVRED_PORT", &other_port), ("KVRED_HOST", "::1")]),
        (["--output", "raw"], &[("KVRED_URI", &uri), ("KVRED_PORT", &other_port), ("KVRED_HOST", "::1")]),
    ] {
        let mut set = cli(&flags);
        set.args(["set", "k", "v"]).envs(variables.iter().copied());
        let mut bench = crate::helpers::Launch::binary();
        bench.arg("bench").args(flags.iter().filter(|flag| !["--output", "raw"].contains(flag)));
        bench.args(["-t", "set", "-n", "10", "-c", "1"]).envs(variables.iter().copied());
        for command in [set, bench] {
            let ran = run(command, "");
            assert_eq!(ran.code, Some(0), "{flags:?} {variables:?}: {ran:?}");
        }
        assert_eq!(other.ok(&["dbsize"]), "0\n", "{flags:?} {variables:?}");
        assert_eq!(meant.ok(&["get", "k"]), "v\n");
        meant.ok(&["flushall"]);
    }
}

/// `KVRED_PORT` is a variable of `serve` too.
#[test]
fn a_variable_that_gives_the_server_no_port_matters_only_where_one_is_needed() {
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("s").to_str().unwrap().to_owned();
    let server = Server::start(&["--unixsocket", &socket]);
    let (port, unix) = (server.port.to_string(), format!("unix://{socket}"));
    let bench = |args: &[&str]| {
        let mut bench = crate::helpers::Launch::binary();
        bench.arg("bench").args(args);
        bench
    };
    for value in ["none", "0"] {
        for flags in [["-s", &socket], ["-u", &unix], ["-p", &port]] {
            let mut ping = cli(&flags);
            ping.arg("ping");
            for mut command in [ping, bench(&[&flags[..], &["-t", "ping", "-n", "10", "-c", "1"]].concat())] {
                command.env("KVRED_PORT", value);
                let ran = run(command, "");
                assert_eq!(ran.code, Some(0), "KVRED_PORT={value} {flags:?}: {ran:?}");
            }
        }
        for mut command in [cli(&["ping"]), bench(&[])] {
            command.env("KVRED_PORT", value);
            let ran = run(command, "");
            assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""), "KVRED_PORT={value}");
            assert_eq!(
                ran.stderr,
                "kvred: KVRED_PORT names no port to connect to; give one with -p, or a socket with -s\n"
            );
        }
        let mut report = bench(&["report", "--resume", "/nonexistent"]);
        report.env("KVRED_PORT", value);
        assert_eq!(run(report, "").code, Some(3), "a report has servers of its own");
        assert_eq!(run(cli(&["-s", &socket, "-p", value, "ping"]), "").code, Some(2));
    }
}

#[test]
fn resp3_is_asked_for_and_shown() {
    let server = Server::start(&[]);
    assert_eq!(server.ok(&["-3", "--json", "get", "nothing"]), "null\n");
    assert!(server.ok(&["-3", "--json", "hello"]).contains("\"proto\":3"));
}

#[test]
fn json_has_objects_unless_resp2_is_asked_for() {
    let server = Server::start(&[]);
    for format in [&["--json"][..], &["--output", "json"]] {
        let get = |flags: &[&str]| server.ok(&[flags, format, &["config", "get", "maxmemory"]].concat());
        assert_eq!(get(&[]), "{\"maxmemory\":\"0\"}\n");
        assert_eq!(get(&["-2"]), "[\"maxmemory\",\"0\"]\n");
    }
    assert_eq!(server.run(&["--json"], "config get maxmemory\n").stdout, "{\"maxmemory\":\"0\"}\n");
}

/// A server that answers `HELLO` so, then `GET` and `SUBSCRIBE`.
fn with_hello(hello: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 1000]);
            while let Ok(len @ 1..) = stream.read(&mut request) {
                let request = String::from_utf8_lossy(&request[..len]).into_owned();
                let reply = if request.contains("HELLO") {
                    hello
                } else if request.contains("SUBSCRIBE") {
                    ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n-ERR enough\r\n"
                } else {
                    "$1\r\nv\r\n"
                };
                stream.write_all(reply.as_bytes()).unwrap();
            }
        }
    });
    port
}

#[test]
fn a_server_without_resp3_answers_in_json_all_the_same() {
    let port = with_hello("-ERR unknown command 'HELLO'\r\n");
    let get = |flags: &[&str]| run(cli(&[&["-p", &port][..], flags, &["GET", "k"]].concat()), "");
    let ran = get(&["--json"]);
    assert_eq!((ran.code, &ran.stdout[..]), (Some(0), "\"v\"\n"), "{ran:?}");
    assert!(ran.stderr.contains("HELLO 3 failed: ERR unknown command"), "{ran:?}");
    // Not asked.
    let ran = get(&["-2", "--json"]);
    assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(0), "\"v\"\n", ""));
    let ran = get(&["-3", "--json"]);
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""), "{ran:?}");
}

#[test]
fn what_is_subscribed_to_is_an_array_in_json_as_ever() {
    let port = with_hello("%1\r\n$5\r\nproto\r\n:3\r\n");
    let ran = run(cli(&["-p", &port, "--json", "SUBSCRIBE", "c"]), "");
    assert_eq!((ran.code, ran.stdout.lines().next()), (Some(1), Some("[\"subscribe\",\"c\",1]")), "{ran:?}");
}

#[test]
fn the_version_is_printed_as_redis_cli_does() {
    for flag in ["-v", "--version"] {
        let ran = run(cli(&[flag]), "");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(0), concat!("kvred-cli ", env!("CARGO_PKG_VERSION"), "\n")));
    }
}

#[test]
fn who_wants_help_by_h_and_names_no_host_is_told_how() {
    for command in ["cli", "bench"] {
        let mut kvred = crate::helpers::Launch::binary();
        kvred.args([command, "-h"]);
        let ran = run(kvred, "");
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains("tip: -h is the host here, as in redis-cli; --help helps"), "{}", ran.stderr);
    }
}

#[test]
fn numbers_that_cannot_be_are_refused_in_words() {
    for (args, why) in [
        ("serve --maxmemory -1", "'-1' is not a size like 512mb or 1gb"),
        ("serve --port -1", "give a number from 0 to 65535, or none"),
        ("serve --maxclients -5", "'-5' for '--maxclients <N>': give a number from 1 on"),
        ("serve --timeout -1", "give a number from 0 on"),
        ("serve --threads 0", "give a number from 1 to 256"),
        ("serve --slowlog-max-len abc", "give a number from 0 on"),
        ("serve --slowlog-log-slower-than -2", "give a number from -1 on"),
        ("serve --auto-aof-rewrite-percentage abc", "give a number from 0 to 2147483647"),
        ("serve --tls-port 65536", "give a number from 0 to 65535"),
        ("cli -p 0 ping", "give a number from 1 to 65535"),
        ("cli -r abc ping", "'abc' for '--repeat <N>': give a number"),
        ("cli --scan --count 0", "give a number from 1 on"),
        ("bench -c 0", "give a number from 1 to 60000"),
        ("bench --seed x", "give a number from 0 on"),
        ("bench report --repeats 0", "give a number from 1 to 1000"),
        ("aof dump --from x kvred.aof", "give a number from 0 on"),
        ("cli -t -1 ping", "give seconds, for instance 0.5"),
        ("cli -n -1 ping", "invalid value '-1' for '--db <N>': give a number from 0 on"),
        ("bench -n -1", "give a number above 0, for instance 100000"),
        ("aof dump --limit -1 kvred.aof", "invalid value '-1' for '--limit <N>': give a number from 0 on"),
    ] {
        let mut kvred = crate::helpers::Launch::binary();
        kvred.args(args.split(' '));
        let ran = run(kvred, "");
        assert!(ran.code == Some(2) && ran.stderr.contains(why), "{args}: {ran:?}");
    }
}

#[test]
fn shutdown_is_no_error() {
    let mut server = Server::start(&[]);
    server.ok(&["shutdown"]);
    server.kill();
}

#[test]
fn variables_that_are_empty_do_not_count_and_wrong_ones_are_named() {
    let server = Server::start(&[]);
    let mut command = server.cli(&["ping"]);
    for name in ["KVRED_HOST", "KVRED_URI", "KVRED_USER", "KVRED_OUTPUT", "KVRED_CONNECT_TIMEOUT"] {
        command.env(name, "");
    }
    assert_eq!(run(command, "").stdout, "PONG\n");
    let mut command = cli(&["ping"]);
    command.env("KVRED_PORT", "x");
    let ran = run(command, "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("this comes from the variable KVRED_PORT"), "{}", ran.stderr);
    let mut command = cli(&["ping"]);
    command.env("KVRED_URI", "http://h");
    assert!(run(command, "").stderr.contains("KVRED_URI"));
}
