//! Logs of Redis's, and those that an editor may have made of one: loaded and gone on with, or refused and left alone.

use crate::helpers::log::{Model, assert_holds, batches};
use crate::helpers::{Launch, Reply, command, commands, rewrite};

const PLAIN: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";

/// An editor may have made them; that nothing of it can be read is no trace of a crash.
#[test]
fn a_log_without_carriage_returns_is_refused_and_left_alone() {
    for log in ["*3\n$3\nSET\n$1\na\n$1\nb\n".repeat(9), "*1\r\n$8\r\nFLUSHALL\r\n*3\n$3\nSET".to_owned()] {
        let launch = Launch::on_log(&log);
        launch.refused().expect(4, &["Nothing was changed"]);
        assert!(launch.log() == log.as_bytes() && launch.cuts().is_empty());
    }
}

#[test]
fn a_plain_log_loads_and_is_continued() {
    let log = [
        commands("SELECT 0, SET a 1, set b 2, MSET c 3 d 4, DEL a"),
        b"#TS:1700000000\r\n".to_vec(),
        commands("MULTI, SET e 5, SET f 6, EXEC, UNLINK b, SET c 9 XX KEEPTTL, SET new 1 NX, SET new 2 NX, SET none 1 KEEPTTL XX"),
        commands("SET d 8 GET"),
    ]
    .concat();
    let launch = Launch::on_log(&log).args(&["--fsync", "always"]);
    let expected: Model = [("c", "9"), ("d", "8"), ("e", "5"), ("f", "6"), ("new", "1")]
        .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()))
        .into();
    let server = launch.start();
    assert_holds(&mut server.connect(), &expected, "a plain log");
    server.connect().set("joined", "yes");
    server.kill9();
    let continued = launch.log();
    assert!(continued.starts_with(&log) && continued[log.len()..].starts_with(b"#KVRED:1:"));
    let first = &batches(&continued[log.len()..])[0];
    assert!(
        first.annotations.contains(&format!("#SYNCED:{:016x}", log.len() + first.start)),
        "{:?}",
        first.annotations
    );
    let server = launch.start();
    assert_eq!(server.connect().get("joined"), Some(b"yes".to_vec()));
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(6));
    server.terminate().expect(0, &[]);
    // Behind the joint a change is noticed.
    let mut changed = launch.log();
    let at = log.len() + 100;
    changed[at] ^= 1;
    Launch::on_log(changed).refused().expect(4, &["is damaged"]);
}

/// Nothing vouches for it; it would make damage of every trace of a crash from then on.
#[test]
fn what_a_plain_log_says_of_syncs_is_not_believed() {
    let says = "#SYNCED:00ffffffffffffff\r\n#NOSYNC\r\n#REWRITTEN:7\r\n";
    let launch = Launch::on_log(format!("{PLAIN}{says}{PLAIN}")).args(&["--fsync", "always"]);
    let server = launch.start();
    server.connect().set("b", "2");
    server.kill9();
    let mut log = launch.log();
    log.truncate(log.len() - log.iter().rev().take_while(|&&c| c == 0).count());
    log.extend(command(&["SET", "torn", "3"]));
    std::fs::write(launch.log_path(), log).unwrap();
    let server = launch.start();
    let mut client = server.connect();
    assert_eq!((client.get("a"), client.get("b"), client.get("torn")), (Some("1".into()), Some("2".into()), None));
    assert!(rewrite(&mut client));
    let stated: Vec<String> = batches(&launch.log()).into_iter().flat_map(|batch| batch.annotations).collect();
    assert!(stated.contains(&"#REWRITTEN:1".to_owned()), "not the eighth: {stated:?}");
}

#[test]
fn a_flushall_in_a_plain_log_forgets_what_was_before() {
    let server = Launch::on_log(commands("SET a 1, FLUSHALL, SET b 2, FLUSHDB ASYNC, SET c 3")).start();
    assert_eq!(server.connect().ask_words("KEYS *"), Reply::Array(vec![Reply::bulk("c")]));
}

#[test]
fn a_plain_log_cut_anywhere_in_its_last_command_starts_with_those_before() {
    let (before, last) = (commands("SET a 1, SET b 2"), commands("SET c 3"));
    for at in 0..last.len() {
        let launch = Launch::on_log([&before, &last[..at]].concat());
        let server = launch.start();
        assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(2), "cut at {at}");
        let expected: &[(String, Vec<u8>)] = &[(format!("kvred.aof.cut-{}", before.len()), last[..at].to_vec())];
        assert_eq!(launch.cuts(), if at == 0 { &[] } else { expected }, "cut at {at}");
    }
}

#[test]
fn an_open_transaction_at_the_end_is_torn_as_a_whole() {
    let (before, mut open) = (commands("SET a 1"), commands("MULTI, SET a 2, SET b 2"));
    open.truncate(open.len() - 3);
    let launch = Launch::on_log([&before[..], &open].concat());
    let server = launch.start();
    assert_eq!(server.connect().get("a"), Some(b"1".to_vec()));
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(1));
    assert_eq!(launch.cuts(), [(format!("kvred.aof.cut-{}", before.len()), open)]);
}

/// Each content, and what the refusal says. Nothing of it may be skipped or cut.
#[test]
fn plain_logs_that_cannot_be_loaded_are_refused() {
    let whole = commands("SET b 2, SET c 3");
    // A length that swallows the commands after it looks like an incomplete command at the end.
    let swallowed = [b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$9999\r\n1\r\n".to_vec(), whole.clone()].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (swallowed, "whole commands follow"),
        ([PLAIN.replace("$1\r\n1", "$2\r\n1").into_bytes(), whole.clone()].concat(), "byte 0"),
        ([commands("SET a 1, LPUSH l x"), whole.clone()].concat(), "lpush"),
        ([commands("SET a 1, EXPIRE a 100"), whole.clone()].concat(), "expire"),
        ([commands("SET a 1, SET a 2 EX 100"), whole.clone()].concat(), "EX"),
        ([commands("SET a 1, SELECT 1"), whole.clone()].concat(), "database"),
        ([commands("SET a 1, NONSENSE"), whole.clone()].concat(), "NONSENSE"),
        ([commands("SET a 1"), b"noise".to_vec(), whole.clone()].concat(), "byte 27"),
        ([commands("SET a 1"), vec![0; 30], whole.clone()].concat(), "byte 27"),
        ([commands("EXEC"), whole.clone()].concat(), "byte 0"),
        (b"REDIS0011\xfa\x09redis-ver\x057.4.0".to_vec(), "kvred.aof cannot be loaded: it is an RDB snapshot"),
        (b"PING\r\n".to_vec(), "byte 0"),
    ];
    for (log, says) in cases {
        let launch = Launch::on_log(&log);
        let exit = launch.refused();
        exit.expect(4, &[says]);
        assert_eq!(launch.log(), log, "a refused log stays as it is");
        assert!(launch.cuts().is_empty());
    }
}
