//! The replies as bytes, next to what redis-server 8.0.6 sent for the same question.

use super::*;

fn render(fill: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    fill(&mut out);
    String::from_utf8(out).unwrap()
}

/// Reads one reply and returns what follows it; panics on anything malformed.
fn skip_reply(reply: &str) -> &str {
    let (line, rest) = reply.split_once("\r\n").unwrap();
    let (kind, number) = line.split_at(1);
    let skip = |count: usize| (0..count).fold(rest, |rest, _| skip_reply(rest));
    match kind {
        "+" | "_" => rest,
        ":" => number.parse::<i64>().map(|_| rest).unwrap(),
        "$" if number == "-1" => rest,
        "$" => rest[number.parse::<usize>().unwrap()..].strip_prefix("\r\n").unwrap(),
        "*" => skip(number.parse().unwrap()),
        "%" => skip(2 * number.parse::<usize>().unwrap()),
        _ => panic!("unexpected reply {line:?}"),
    }
}

#[test]
fn replies_are_well_formed_in_both_protocols() {
    for resp in [Resp::V2, Resp::V3] {
        let replies = [
            render(|out| all(out, resp)),
            render(|out| docs(out, &[], resp)),
            render(|out| list(out, &[]).unwrap()),
            render(|out| info(out, &[b"nope", b"client|id"], resp)),
        ];
        for reply in replies {
            assert_eq!(skip_reply(&reply), "");
            assert!(resp == Resp::V3 || !reply.contains('%'), "RESP2 has no maps");
        }
    }
    for row in COMMANDS.iter().filter(|row| row.is_container()) {
        assert_eq!(skip_reply(&render(|out| help(out, row))), "");
    }
}

#[test]
fn info_is_byte_for_byte_that_of_redis() {
    let one = |name: &str, resp| render(|out| info(out, &[name.as_bytes()], resp));
    assert_eq!(
        one("GET", Resp::V2),
        "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n\
         *1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n\
         *2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n\
         $7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"
    );
    assert_eq!(
        one("exists", Resp::V2),
        "*1\r\n*10\r\n$6\r\nexists\r\n:-2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:-1\r\n:1\r\n*3\r\n+@keyspace\r\n+@read\r\n+@fast\r\n\
         *2\r\n$26\r\nrequest_policy:multi_shard\r\n$23\r\nresponse_policy:agg_sum\r\n*1\r\n*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n\
         $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n\
         $4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:-1\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"
    );
    assert_eq!(
        one("client|id", Resp::V2),
        "*1\r\n*10\r\n$9\r\nclient|id\r\n:2\r\n*3\r\n+noscript\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@slow\r\n+@connection\r\n\
         *0\r\n*0\r\n*0\r\n"
    );
    assert_eq!(
        one("quit", Resp::V2),
        "*1\r\n*10\r\n$4\r\nquit\r\n:-1\r\n*6\r\n+noscript\r\n+loading\r\n+stale\r\n+fast\r\n+no_auth\r\n+allow_busy\r\n:0\r\n:0\r\n:0\r\n\
         *2\r\n+@fast\r\n+@connection\r\n*0\r\n*0\r\n*0\r\n"
    );
}

#[test]
fn info_of_unknown_names_is_null() {
    let names: [&[u8]; 3] = [b"foo", b"get|x", b"client|zz"];
    assert_eq!(render(|out| info(out, &names, Resp::V2)), "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    assert_eq!(render(|out| info(out, &names, Resp::V3)), "*3\r\n_\r\n_\r\n_\r\n");
}

#[test]
fn docs_have_the_shape_of_redis() {
    let one = |name: &str, resp| render(|out| docs(out, &[name.as_bytes(), b"foo"], resp));
    let get = "$7\r\nsummary\r\n$34\r\nReturns the string value of a key.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n\
               $10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n*1\r\n";
    let key = "$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$12\r\ndisplay_text\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n";
    assert_eq!(one("get", Resp::V2), format!("*2\r\n$3\r\nget\r\n*10\r\n{get}*8\r\n{key}"));
    assert_eq!(one("get", Resp::V3), format!("%1\r\n$3\r\nget\r\n%5\r\n{get}%4\r\n{key}"));
    assert_eq!(
        one("quit", Resp::V2),
        "*2\r\n$4\r\nquit\r\n*14\r\n$7\r\nsummary\r\n$22\r\nCloses the connection.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n\
         $10\r\nconnection\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\ndoc_flags\r\n*1\r\n+deprecated\r\n$16\r\ndeprecated_since\r\n\
         $5\r\n7.2.0\r\n$11\r\nreplaced_by\r\n$27\r\njust closing the connection\r\n"
    );
    assert_eq!(render(|out| docs(out, &[b"foo"], Resp::V2)), "*0\r\n");
}

#[test]
fn list_filters_as_redis_does() {
    let names = |line: &str| {
        let args: Vec<&[u8]> = line.split_terminator(' ').map(str::as_bytes).collect();
        let mut out = Vec::new();
        list(&mut out, &args).map(|()| {
            let reply = String::from_utf8(out).unwrap();
            reply.split("\r\n").skip(2).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        })
    };
    assert_eq!(names("").unwrap().len(), COMMANDS.len());
    assert_eq!(names("filterby pattern ge?").unwrap(), ["get"]);
    assert_eq!(names("FILTERBY Pattern CLIENT|I*").unwrap(), ["client|id", "client|info"]);
    assert_eq!(names("filterby aclcat STRING").unwrap(), ["get", "set", "strlen"]);
    assert!(names("filterby aclcat @string").unwrap().is_empty());
    assert!(names("filterby module json").unwrap().is_empty());
    for wrong in ["x", "filterby", "filterby pattern", "filterby x y", "filterby pattern a b"] {
        assert_eq!(names(wrong), Err(CommandError::Syntax), "{wrong}");
    }
}

#[test]
fn get_keys_finds_the_keys_of_a_call() {
    let keys = |line: &str| {
        let call: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut out = Vec::new();
        get_keys(&mut out, &call).map(|()| String::from_utf8(out).unwrap())
    };
    assert_eq!(keys("del a b").unwrap(), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(keys("SET a b").unwrap(), "*1\r\n$1\r\na\r\n");
    assert_eq!(keys("memory usage a").unwrap(), "*1\r\n$1\r\na\r\n");
    assert_eq!(keys("object encoding a").unwrap(), "*1\r\n$1\r\na\r\n");
    let cases = [
        ("get", CommandError::GetKeysArity),
        ("get a b", CommandError::GetKeysArity),
        ("ping", CommandError::GetKeysNoKeys),
        ("client id", CommandError::GetKeysNoKeys),
        ("client", CommandError::GetKeysNoKeys),
        ("client zork", CommandError::GetKeysCommand),
        ("foo", CommandError::GetKeysCommand),
    ];
    for (line, error) in cases {
        assert_eq!(keys(line), Err(error), "{line}");
    }
}

#[test]
fn help_lists_each_subcommand_with_its_call() {
    let reply = render(|out| help(out, lookup(b"config").unwrap()));
    assert!(reply.starts_with(
        "*9\r\n+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n\
         +GET parameter [parameter ...]\r\n+    Returns the values of settings.\r\n"
    ));
    assert!(reply.ends_with("+HELP\r\n+    Prints the subcommands and what they do.\r\n"));
}
