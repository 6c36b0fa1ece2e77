//! The same against Redis and Valkey, and what they have that kvred has not.

use crate::modes::all_modes;
use crate::server::Server;

fn peers() -> impl Iterator<Item = Server> {
    ["redis-server", "valkey-server"].into_iter().filter_map(Server::peer)
}

#[test]
fn scripts_and_modes_work_against_redis_and_valkey() {
    for server in peers() {
        all_modes(&server);
        let ran = server.run(&[], "set a 1\nnope\nset a 2\n");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), "OK\n"));
        assert!(ran.stderr.starts_with("kvred: line 2: ERR unknown command 'nope'"), "{}", ran.stderr);
        let value: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        server.run(&["-x", "set", "k"], &value);
        assert!(server.run(&["--no-newline", "get", "k"], "").bytes == value);
    }
}

#[test]
fn the_same_scripts_do_the_same_on_every_server() {
    let kvred = Server::start(&[]);
    let strings = "set k \"a\\x00b,\"\nget k\nget nothing\nexists k\nset e ''\nget e\n";
    let cases: &[(&[&str], &str, i32)] = &[
        (&["--output", "pretty"], strings, 0),
        (&["--output", "raw"], strings, 0),
        (&["--csv"], strings, 0),
        (&["--json"], strings, 0),
        (&["--keep-going"], "nope\nset a 1\nget\nget a\n", 1),
        (&["--json"], "set a 2\nnope\nset a 3\n", 1),
        (&["get"], "", 1),
        (&["-r", "3", "echo", "again"], "", 0),
        (&["-x", "set", "x"], "value\n", 0),
        (&["--no-newline", "get", "x"], "", 0),
        (&["--pipe"], "# don't\nset a 4\n\nnope\r\nget\nping", 1),
        (&["--pipe"], "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 0),
        (&["--pipe"], "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\n", 1),
        (&["--pipe"], "", 0),
        // A step of the set-up that fails: nothing is sent.
        (&["-a", "wrong", "--no-auth-warning", "set", "a", "5"], "", 1),
        (&["get", "a"], "", 0),
    ];
    for server in peers() {
        for &(args, input, code) in cases {
            let (own, theirs) = (kvred.run(args, input), server.run(args, input));
            let port =
                |ran: &crate::helpers::Exit, server: &Server| ran.stderr.replace(&server.port.to_string(), "PORT");
            let (own_err, their_err) = (port(&own, &kvred), port(&theirs, &server));
            assert_eq!((theirs.code, their_err), (Some(code), own_err), "{args:?} {input:?}");
            assert_eq!(without_times(&theirs.stdout), without_times(&own.stdout), "{args:?} {input:?}");
        }
        assert_eq!(server.ok(&["get", "a"]), "4\n");
    }
}

/// What `--pipe` reports, without how long it took.
fn without_times(out: &str) -> &str {
    out.split(" (").next().unwrap_or_default()
}

#[test]
fn other_types_are_shown_plainly() {
    for server in peers() {
        let script = "rpush l a b\nhset h f 1 g 2\nzadd z 1.5 m\nsadd s x\nlrange l 0 -1\nzrange z 0 -1 withscores\ngeoadd g 1 2 p\n";
        assert_eq!(server.run(&[], script).code, Some(0));
        assert_eq!(server.ok(&["--output", "pretty", "lrange", "l", "0", "-1"]), "1) \"a\"\n2) \"b\"\n");
        assert_eq!(server.ok(&["-3", "--output", "pretty", "hgetall", "h"]), "1# \"f\" => \"1\"\n2# \"g\" => \"2\"\n");
        assert_eq!(server.ok(&["--json", "hgetall", "h"]), "{\"f\":\"1\",\"g\":\"2\"}\n");
        assert_eq!(server.ok(&["-3", "--json", "zrange", "z", "0", "-1", "withscores"]), "[[\"m\",1.5]]\n");
        assert_eq!(server.ok(&["-3", "--output", "pretty", "smembers", "s"]), "1~ \"x\"\n");
        let info = server.ok(&["-3", "--output", "pretty", "client", "info"]);
        assert!(info.starts_with("id=") && !info.ends_with("\n\n"), "{info:?}");
        assert!(server.ok(&["--bigkeys"]).contains("list: 1 key, 2 items"));
    }
}

#[test]
fn an_error_inside_exec_is_an_error() {
    for server in peers() {
        let ran = server.run(&["--json"], "set s x\nmulti\nincr s\nset t 1\nexec\n");
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.stdout.ends_with("[{\"error\":\"ERR value is not an integer or out of range\"},\"OK\"]\n"),
            "{}",
            ran.stdout
        );
        assert!(ran.stderr.starts_with("kvred: line 5: "), "{}", ran.stderr);
    }
}

#[test]
fn another_database_is_selected_before_any_command() {
    for server in peers() {
        server.ok(&["-n", "3", "set", "k", "in 3"]);
        assert_eq!(server.ok(&["get", "k"]), "\n");
        let uri = format!("redis://127.0.0.1:{}/3", server.port);
        assert_eq!(server.ok(&["-u", &uri, "get", "k"]), "in 3\n");
        let ran = server.run(&["-n", "99", "set", "k", "v"], "");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""));
        assert!(ran.stderr.contains("SELECT failed"), "{}", ran.stderr);
    }
}

/// Their replies are one for each channel, and pushes only in RESP3.
#[test]
fn what_is_not_answered_once_is_not_sent() {
    for server in peers() {
        let ran = server.run(&["--keep-going"], "UNSUBSCRIBE a b\nSET k v\nSET only-key\n");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), "OK\n"), "{ran:?}");
        assert!(ran.stderr.contains("line 1: ") && ran.stderr.contains("line 3: ERR wrong number"), "{}", ran.stderr);
        for name in ["unsubscribe", "PUNSUBSCRIBE", "SUnsubscribe"] {
            server.run(&["--json", name, "x"], "").expect(2, &["cannot be used here"]);
        }
        server.run(&["client", "reply", "off"], "").expect(2, &["cannot be used here"]);
    }
}
