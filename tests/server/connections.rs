//! What `CLIENT LIST` tells of connections, and `CLIENT KILL` ends.

use std::collections::BTreeSet;

use crate::helpers::{Client, Launch, Reply, Server, command, commands, info_number, wait_until};

/// A client, and one that has come when that was served already: whichever workers they go to, it has the higher
/// number.
fn first_client_and_observer(server: &Server) -> (Client, Client) {
    let first = server.connect_served(1).remove(0);
    (first, server.connect())
}

/// A number in the first line of `CLIENT LIST`.
fn of_first_client(observer: &mut Client, name: &str) -> usize {
    let list = observer.text("CLIENT LIST");
    let value = list.lines().next().and_then(|line| line.split(' ').find_map(|word| word.strip_prefix(name)));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn client_list_tells_what_is_allocated_for_a_command_under_way() {
    let server = Server::start();
    let (mut client, mut observer) = first_client_and_observer(&server);
    let mut field = |name: &str| of_first_client(&mut observer, name);
    let at_rest = field("tot-mem=");
    let header = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n";
    client.send(header);
    wait_until("all that was sent has come", || field("qbuf=") == header.len());
    assert!(field("qbuf-free=") >= 100_000);
    assert!(field("tot-mem=") >= at_rest + 100_000);
    client.send(format!("{}\r\n", "x".repeat(100_000))).expect("+OK\r\n");
    assert_eq!((field("qbuf="), field("qbuf-free="), field("tot-mem=")), (0, 0, at_rest));
}

#[test]
fn what_a_client_calls_itself_counts_as_its_memory() {
    const LEN: usize = 1 << 20;
    let server = Server::start();
    let (mut client, mut observer) = first_client_and_observer(&server);
    let mut field = |name: &str| of_first_client(&mut observer, name);
    let (mut before, name) = (field("tot-mem="), "n".repeat(LEN));
    for what in [&["SETNAME"][..], &["SETINFO", "lib-name"], &["SETINFO", "lib-ver"]] {
        assert_eq!(client.ask(&[&["CLIENT"], what, &[&name]].concat()), Reply::ok());
        let now = field("tot-mem=");
        assert!(now >= before + LEN, "{what:?}: {before} bytes before, then {now}");
        before = now;
    }
    let all = info_number(&mut observer, "mem_clients_normal");
    assert!(all >= 3 * LEN as u64, "{all}");
}

/// How long it will be is not known, and all of it is copied whenever its buffer grows.
#[test]
fn the_buffer_of_a_command_of_many_arguments_grows_by_more_and_more() {
    const STEPS: usize = 64;
    let server = Server::start();
    let (mut client, mut observer) = first_client_and_observer(&server);
    let (mut field, mut sizes) = (|name: &str| of_first_client(&mut observer, name), BTreeSet::new());
    let (header, arguments) = ("*9999999\r\n$6\r\nEXISTS\r\n", "$1\r\nk\r\n".repeat(20_000));
    client.send(header);
    for step in 1..=STEPS {
        client.send(&arguments);
        let sent = header.len() + step * arguments.len();
        wait_until("all that was sent has come", || field("qbuf=") == sent);
        sizes.insert(sent + field("qbuf-free="));
    }
    assert!(sizes.len() < STEPS / 2, "it had {} sizes: {sizes:?}", sizes.len());
}

/// To read its last bytes, it is not copied once more into a larger one.
#[test]
fn the_buffer_of_a_large_value_is_as_large_as_that() {
    let server = Server::start();
    let (mut client, mut observer) = first_client_and_observer(&server);
    let mut field = |name: &str| of_first_client(&mut observer, name);
    for value_len in [256 << 10, 1 << 20, 6 << 20] {
        let set = command(&[&b"SET"[..], b"k", &vec![b'x'; value_len]]);
        let (most, last) = set.split_at(set.len() - 1000);
        client.send(most);
        wait_until("most has come", || field("qbuf=") == most.len());
        client.send(&last[..500]);
        wait_until("some more has come", || field("qbuf=") == set.len() - 500);
        assert_eq!(field("qbuf-free="), 500);
        client.send(&last[500..]).expect("+OK\r\n");
    }
}

#[test]
fn what_is_special_about_a_client_shows_in_its_flags() {
    let launch = Launch::new();
    let path = launch.dir().join("kvred.sock");
    let server = launch.args(&["--unixsocket", path.to_str().unwrap()]).start();
    for (mut client, with) in [(server.connect(), ""), (Client::connect_unix(&path), "U")] {
        for (request, flags) in [
            ("PING", ""),
            ("CLIENT NO-EVICT on", "e"),
            ("CLIENT NO-TOUCH on", "eT"),
            ("CLIENT NO-EVICT off", "T"),
            ("CLIENT NO-TOUCH nonsense", "T"),
            ("RESET", ""),
        ] {
            client.ask_words(request);
            let info = client.text("CLIENT INFO");
            let flags = if with.is_empty() && flags.is_empty() { "N".to_owned() } else { format!("{with}{flags}") };
            assert!(info.contains(&format!(" flags={flags} ")), "{request}: {info}");
        }
    }
}

#[test]
fn reset_forgets_a_clients_name_and_not_its_library() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .send(commands("CLIENT SETINFO lib-name lib, CLIENT SETINFO lib-ver 1.2, CLIENT SETNAME me, RESET"))
        .expect("+OK\r\n+OK\r\n+OK\r\n+RESET\r\n");
    let list = server.connect().text("CLIENT LIST");
    let line = list.lines().next().unwrap();
    assert!(line.contains(" name= ") && line.contains(" cmd=reset "), "{line}");
    assert!(line.contains(" resp=2 lib-name=lib lib-ver=1.2 "), "{line}");
}

#[test]
fn a_killed_client_is_gone_when_that_is_answered() {
    let server = Server::start();
    let (mut killer, mut killed) = (server.connect(), server.connect());
    for _ in 0..20 {
        let Reply::Integer(id) = killed.ask_words("CLIENT ID") else { panic!("no id") };
        killer
            .send(commands(&format!("CLIENT KILL ID {id}, CLIENT KILL ID {id}, CLIENT LIST ID {id}, INFO clients")))
            .expect(":1\r\n:0\r\n$0\r\n\r\n");
        let info = killer.reply().into_text();
        assert!(info.contains("connected_clients:1\r\n"), "{info}");
        killed.expect_closed();
        killed = server.connect();
    }
}

#[test]
fn who_kills_clients_is_spared_unless_it_says_otherwise() {
    let server = Server::start();
    let (mut killer, mut other) = (server.connect(), server.connect());
    other.send("PING\r\n").expect("+PONG\r\n");
    killer.send("CLIENT KILL TYPE normal SKIPME yes\r\nPING\r\n").expect(":1\r\n+PONG\r\n");
    other.expect_closed();
    let mut other = server.connect();
    other.send("PING\r\n").expect("+PONG\r\n");
    killer.send("CLIENT KILL TYPE normal SKIPME no\r\nPING\r\n").expect(":2\r\n").expect_closed();
    other.expect_closed();
}

#[test]
fn of_filters_of_client_kill_the_last_counts_and_of_mistakes_the_first() {
    let server = Server::start();
    let mut killer = server.connect();
    for (filters, reply) in [
        ("ID x ADDR", "-ERR client-id should be greater than 0\r\n"),
        ("ID 1 ADDR", "-ERR syntax error\r\n"),
        ("TYPE nope ID", "-ERR Unknown client type 'nope'\r\n"),
        ("MAXAGE x ID", "-ERR maxage is not an integer or out of range\r\n"),
        ("SKIPME x USER nobody", "-ERR syntax error\r\n"),
        ("USER nobody SKIPME x", "-ERR No such user 'nobody'\r\n"),
        ("SKIPME no SKIPME yes ID 1", ":0\r\n"),
    ] {
        killer.send(commands(&format!("CLIENT KILL {filters}"))).expect(reply);
    }
    for (filters, killed) in [
        ("ID <id> ID 999", 0),
        ("ID 999 ID <id>", 1),
        ("TYPE normal TYPE pubsub", 0),
        ("TYPE pubsub TYPE normal", 1),
        ("ADDR <addr> ADDR 1.2.3.4:5", 0),
        ("ADDR 1.2.3.4:5 ADDR <addr>", 1),
        ("LADDR 1.2.3.4:5 LADDR <laddr>", 1),
        ("ID <id> ADDR 1.2.3.4:5", 0),
        ("MAXAGE 1 MAXAGE 100000", 0),
    ] {
        let mut other = server.connect();
        let info = other.text("CLIENT INFO");
        let mut filters = filters.to_owned();
        for (name, value) in info.split(' ').filter_map(|field| field.split_once('=')) {
            filters = filters.replace(&format!("<{name}>"), value);
        }
        killer.send(commands(&format!("CLIENT KILL {filters}"))).expect(format!(":{killed}\r\n"));
        if killed == 1 {
            other.expect_closed();
        } else {
            // Gone for good when the next is chosen.
            killer.send(commands("CLIENT KILL TYPE normal")).expect(":1\r\n");
        }
    }
}
