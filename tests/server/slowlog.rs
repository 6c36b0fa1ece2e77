//! `SLOWLOG` and the times of `INFO commandstats`.

use crate::helpers::{Launch, Reply, Server, command, commands};

/// The commands of the slow log, the newest first, each with its words joined.
fn slow(client: &mut crate::helpers::Client) -> Vec<String> {
    let entries = client.ask_words("SLOWLOG GET -1").into_array();
    let words = |entry: Reply| {
        let args = entry.into_array().swap_remove(3).into_array();
        args.into_iter().map(|a| String::from_utf8_lossy(&a.into_bytes()).into_owned()).collect::<Vec<_>>().join(" ")
    };
    entries.into_iter().map(words).collect()
}

#[test]
fn every_command_is_kept_when_the_limit_is_zero_and_none_when_it_is_negative() {
    let server = Server::start_with(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    client.send(commands("SET k v, GET k, GET, DBSIZE, nonsense x"));
    (0..5).for_each(|_| drop(client.reply()));
    client.ask_words("CLIENT SETNAME me");
    assert_eq!(slow(&mut client), ["CLIENT SETNAME me", "DBSIZE", "GET k", "SET k v"]);
    let mut entry = client.ask_words("SLOWLOG GET 1").into_array().remove(0).into_array();
    assert_eq!(entry.len(), 6);
    assert_eq!(entry.pop(), Some(Reply::bulk("me")));
    let addr = entry.pop().unwrap().into_text();
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    let Reply::Integer(at) = entry[1] else { panic!("no time: {entry:?}") };
    assert!(at > 1_700_000_000, "{at}");
    client.ask_words("CONFIG SET slowlog-log-slower-than -1");
    // The command that switched it off ran while it was off.
    let Reply::Integer(before) = client.ask_words("SLOWLOG LEN") else { panic!("no length") };
    client.send(commands("GET k, SET k v, DBSIZE"));
    (0..3).for_each(|_| drop(client.reply()));
    assert_eq!(client.ask_words("SLOWLOG LEN"), Reply::Integer(before));
    assert_eq!(client.ask_words("SLOWLOG RESET"), Reply::ok());
    assert_eq!(client.ask_words("SLOWLOG LEN"), Reply::Integer(0));
}

#[test]
fn it_keeps_a_bounded_part_of_a_bounded_number_of_commands() {
    let server = Server::start_with(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "5"]);
    let mut client = server.connect();
    for i in 0..20 {
        client.set(format!("k{i}"), "v");
    }
    assert_eq!(slow(&mut client), ["SET k19 v", "SET k18 v", "SET k17 v", "SET k16 v", "SET k15 v"]);
    client.set("long", "x".repeat(1000));
    let many: Vec<String> = std::iter::once("DEL".to_owned()).chain((0..99).map(|i| i.to_string())).collect();
    client.ask(&many);
    let kept = slow(&mut client);
    assert!(kept[0].starts_with("DEL 0 1 2 ") && kept[0].ends_with(" 29 ... (69 more arguments)"), "{}", kept[0]);
    assert_eq!(kept[1], format!("SET long {}... (872 more bytes)", "x".repeat(128)));
}

/// Entries outlive the client and its name.
#[test]
fn of_a_clients_name_too_it_keeps_a_bounded_part() {
    let server = Server::start_with(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    for length in [128, 129, 1 << 20] {
        let name = "n".repeat(length);
        assert_eq!(client.ask(&["CLIENT", "SETNAME", &name]), Reply::ok());
        let entry = client.ask_words("SLOWLOG GET 1").into_array().remove(0).into_array();
        assert_eq!(entry[5], Reply::bulk(&name[..128]));
        assert_eq!(client.ask_words("CLIENT GETNAME"), Reply::bulk(&name), "the client's own is whole");
    }
}

/// A batch is timed as one; what took the time in it is told from what did not.
#[test]
fn the_slow_one_of_a_batch_is_the_one_that_is_kept() {
    let server = Server::start_with(&["--fsync", "none"]);
    let mut client = server.connect();
    let exists: Vec<String> =
        std::iter::once("EXISTS".to_owned()).chain((0..100_000).map(|i| format!("key:{i}"))).collect();
    let exists = command(&exists);
    client.ask_words("CONFIG SET slowlog-log-slower-than 500");
    client.ask_words("SLOWLOG RESET");
    // Once more where the machine was so fast that it took no half millisecond.
    crate::helpers::wait_until("an EXISTS of 100,000 keys is slow", || {
        client.send([commands("GET a, GET b"), exists.clone(), commands("GET c")].concat());
        (0..4).for_each(|_| drop(client.reply()));
        client.ask_words("SLOWLOG LEN") != Reply::Integer(0)
    });
    let kept = slow(&mut client);
    assert!(kept.iter().any(|c| c.starts_with("EXISTS key:0 ")), "{kept:?}");
}

/// Nowhere in what clients can ask for, and not in the log.
#[test]
fn passwords_show_up_nowhere() {
    let launch = Launch::new()
        .env("KVRED_REQUIREPASS", "hunter2-right")
        .env("KVRED_LOG_LEVEL", "trace")
        .args(&["--slowlog-log-slower-than", "0"]);
    let server = launch.start();
    let mut client = server.connect();
    client.send(commands("AUTH hunter2-wrong, AUTH default hunter2-wrong, HELLO 3 AUTH default hunter2-wrong"));
    (0..3).for_each(|_| drop(client.reply()));
    client.send(commands("AUTH hunter2-right")).expect("+OK\r\n");
    client.send(commands("HELLO 2 SETNAME n AUTH default hunter2-right, CONFIG SET requirepass hunter2-other"));
    (0..2).for_each(|_| drop(client.reply()));
    client.send(commands("ATUH hunter2-typo, AUTH a hunter2-b hunter2-c"));
    (0..2).for_each(|_| drop(client.reply()));
    client.send(commands("CONFIG SET timeout 9 MasterAuth hunter2-d maxmemory 1gb, CONFIG SET timeout 9"));
    (0..2).for_each(|_| drop(client.reply()));
    let kept = slow(&mut client);
    assert!(kept.iter().any(|c| c == "AUTH (redacted)"), "{kept:?}");
    assert!(kept.iter().any(|c| c == "HELLO 2 SETNAME n AUTH (redacted) (redacted)"), "{kept:?}");
    // What is no password is told.
    assert_eq!(kept[..2], ["CONFIG SET timeout 9", "CONFIG SET timeout 9 MasterAuth (redacted) maxmemory 1gb"]);
    let mut told = kept.join("\n");
    for question in ["INFO everything", "CLIENT LIST", "CLIENT INFO", "CONFIG GET *", "COMMAND DOCS auth"] {
        let reply = client.ask_words(question);
        told.extend([format!("{reply:?}")]);
    }
    told += &server.terminate().stderr;
    assert!(!told.contains("hunter2"), "a password shows up: {told}");
}

/// What a `cmdstat_` line says: calls, rejected ones and failed ones; microseconds, and those of one call.
fn command_stats(client: &mut crate::helpers::Client, name: &str) -> (Vec<u64>, f64, f64) {
    let info = client.text("INFO commandstats");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:")));
    let fields = line.unwrap_or_else(|| panic!("no {name} in {info}")).split(',');
    let fields: Vec<(&str, &str)> = fields.map(|f| f.split_once('=').unwrap()).collect();
    let value = |name: &str| fields.iter().find(|(field, _)| *field == name).unwrap().1;
    let counts = ["calls", "rejected_calls", "failed_calls"].map(|name| value(name).parse().unwrap());
    (counts.to_vec(), value("usec").parse().unwrap(), value("usec_per_call").parse().unwrap())
}

#[test]
fn command_stats_count_calls_times_and_refusals() {
    let server = Server::start_with(&["--fsync", "none"]);
    let mut client = server.connect();
    client.send(commands("SET k v, GET k, GET, GET a b, SET k v nonsense").repeat(1000));
    (0..5000).for_each(|_| drop(client.reply()));
    let (get, get_usec, get_mean) = command_stats(&mut client, "get");
    assert_eq!(get, [1000, 2000, 0]);
    let (set, set_usec, set_mean) = command_stats(&mut client, "set");
    assert_eq!(set, [2000, 0, 1000]);
    for (calls, usec, mean) in [(1000.0, get_usec, get_mean), (2000.0, set_usec, set_mean)] {
        assert!(usec > 0.0, "a thousand calls take some time");
        assert!((usec / calls - mean).abs() < 0.01, "{usec} us for {calls} calls are not {mean} each");
    }
    client.ask_words("CONFIG SET maxmemory 1");
    client.ask_words("SET other v");
    assert_eq!(command_stats(&mut client, "set").0, [2000, 1, 1000]);
    client.ask_words("CONFIG RESETSTAT");
    let info = client.text("INFO commandstats");
    assert!(!info.contains("cmdstat_get"), "{info}");
}

#[test]
fn the_slow_log_is_as_long_as_was_said_last() {
    let server = Server::start_with(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    for most in [3, 5, 2] {
        client.send(format!("CONFIG SET slowlog-max-len {most}\r\n")).expect("+OK\r\n");
        for _ in 0..10 {
            client.set("k", "v");
        }
        assert_eq!(client.ask_words("SLOWLOG LEN"), Reply::Integer(most));
    }
}
