//! A write that the kernel refuses changes nothing; when even its undoing fails, the log is given up and healed.

use crate::helpers::log::batches;
use crate::helpers::{Launch, Reply, info, info_number, wait_until};
use crate::rig::{Tracer, Whom, error};

#[test]
fn a_refused_write_changes_nothing_under_every_policy() {
    for policy in ["always", "everysec", "none"] {
        for (errno, said) in [("ENOSPC", "No space left on device"), ("EIO", "Input/output error"), ("EDQUOT", "quota")]
        {
            let server = Launch::new().args(&["--fsync", policy]).start();
            let mut client = server.connect();
            client.set("k", "old");
            let inject = format!("inject=pwrite64,pwritev:error={errno}");
            let Some(tracer) = Tracer::attach(&server, Whom::All, &[&inject]) else { return };
            let refused = error(client.ask_words("SET k new"));
            assert!(refused.starts_with("MISCONF ") && refused.contains(said), "{refused}");
            assert_eq!(client.ask_words("GET k"), Reply::bulk("old"));
            assert!(error(client.ask_words("DEL k")).starts_with("MISCONF "));
            assert_eq!(client.ask_words("DEL not-there"), Reply::Integer(0), "nothing to write, nothing to refuse");
            assert_eq!(client.ask_words("EXISTS k"), Reply::Integer(1));
            // What was evaluated on top of it, in one pipeline: writes fail with it, reads tell of what there is.
            client.send("SET new x\r\nEXISTS new\r\nDEL new k\r\nGET k\r\nPING\r\n");
            assert!(error(client.reply()).starts_with("MISCONF "));
            client.expect(":0\r\n");
            assert!(error(client.reply()).starts_with("MISCONF "));
            client.expect("$3\r\nold\r\n+PONG\r\n");
            client.send("GET k\r\nSET 'n w' \"x y\"\r\n\r\n*0\r\nECHO \"a \\\"b\"\r\n*2\r\n$3\r\nGET\r\n$3\r\nn w\r\nGET\r\nGET 'k'\r\n");
            client.expect("$3\r\nold\r\n");
            assert!(error(client.reply()).starts_with("MISCONF "));
            client.expect("$4\r\na \"b\r\n$-1\r\n-ERR wrong number of arguments for 'get' command\r\n$3\r\nold\r\n");
            client.send("SET k newer\r\nSET k newer junk\r\nSET l newer\r\n");
            assert!(error(client.reply()).starts_with("MISCONF "));
            client.expect("-ERR syntax error\r\n");
            assert!(error(client.reply()).starts_with("MISCONF "));
            for _ in 0..50 {
                error(client.ask_words("SET k newer"));
            }
            tracer.detach();
            // Batches without a command may have come, which state a sync.
            let written: Vec<_> = batches(&server.log()).into_iter().flat_map(|batch| batch.commands).collect();
            assert_eq!(written, [["SET", "k", "old"].map(|word| word.as_bytes().to_vec())]);
            server.wait_for_stderr("cannot be written");
            assert_eq!(server.stderr().matches("cannot be written").count(), 1, "{}", server.stderr());
            client.set("l", "after");
            assert_eq!(info(&mut client, "aof_last_write_status"), "ok");
            let server = server.crash_and_restart();
            let mut client = server.connect();
            assert_eq!(client.ask_words("GET k"), Reply::bulk("old"));
            assert_eq!(client.ask_words("GET l"), Reply::bulk("after"));
            assert_eq!(server.launch().cuts(), []);
        }
    }
}

/// The value that is there is longer than the one that the reads behind the write saw: answered anew, they are more
/// than one turn's replies.
#[test]
fn a_refused_pipeline_is_answered_in_full_though_its_replies_are_long() {
    let server = Launch::new().start();
    let mut client = server.connect();
    let old = vec![b'o'; 200_000];
    client.set("k", &old);
    let inject = ["inject=pwrite64,pwritev:error=EIO"];
    let Some(_tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
    client.send("SET k new\r\nGET k\r\nGET k\r\nGET k\r\nGET k\r\nPING\r\n");
    assert!(error(client.reply()).starts_with("MISCONF "));
    for _ in 0..4 {
        assert_eq!(client.reply(), Reply::Bulk(old.clone()));
    }
    client.expect("+PONG\r\n");
}

/// Before the write itself, the end of the stretch under `none` is written.
#[test]
fn a_write_that_is_refused_after_a_change_of_the_policy_is_told() {
    let server = Launch::new().args(&["--fsync", "none"]).start();
    let mut client = server.connect();
    client.set("k", "old");
    let inject = ["inject=pwrite64,pwritev:error=ENOSPC"];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
    client.send("CONFIG SET appendfsync everysec\r\n").expect("+OK\r\n");
    let refused = error(client.ask_words("SET k new"));
    assert!(refused.starts_with("MISCONF ") && refused.contains("No space left on device"), "{refused}");
    assert_eq!(info(&mut client, "aof_last_write_status"), "err");
    assert_eq!(info(&mut client, "aof_poisoned"), "no");
    server.wait_for_stderr("the append-only file cannot be written");
    tracer.detach();
    client.set("k", "after");
    assert_eq!(info(&mut client, "aof_last_write_status"), "ok");
    server.wait_for_stderr("can be written again");
    assert_eq!(server.crash_and_restart().connect().ask_words("GET k"), Reply::bulk("after"));
}

#[test]
fn a_write_that_cannot_be_undone_is_told_as_unknown_and_healed() {
    let server = Launch::new().start();
    let mut client = server.connect();
    client.set("k", "old");
    let inject = ["inject=pwrite64,pwritev:error=EIO:when=1", "inject=ftruncate:error=EIO:when=1"];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &inject) else { return };
    let refused = error(client.ask_words("SET k new"));
    assert!(refused.contains("outcome of this write is unknown"), "{refused}");
    assert_eq!(client.ask_words("GET k"), Reply::bulk("old"));
    assert_eq!(info(&mut client, "aof_last_write_status"), "err");
    // The first write of each other thread fails too, so the first healing does; the next works.
    server.wait_for_stderr("is healed");
    tracer.detach();
    // Without another write, which would tell that it works.
    wait_until("the status is that of the new file", || info(&mut client, "aof_last_write_status") == "ok");
    server.wait_for_stderr("can be written again");
    client.set("l", "after");
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!(client.ask_words("GET k"), Reply::bulk("old"));
    assert_eq!(client.ask_words("GET l"), Reply::bulk("after"));
}

#[test]
fn what_a_failed_commit_refuses_is_counted_once() {
    let server = Launch::new().start();
    let mut client = server.connect();
    client.set("k", "old");
    client.ask_words("CONFIG RESETSTAT");
    let Some(tracer) = Tracer::attach(&server, Whom::All, &["inject=pwrite64,pwritev:error=EIO"]) else { return };
    for (pipeline, errors) in
        [("SET k 1\r\nSET k 2\r\n", 2), ("SET k 3\r\nGET k\r\nGET none\r\nGET\r\nDEL k\r\nSET k 4\r\n", 4)]
    {
        client.send(pipeline);
        let replies = (0..pipeline.matches("\r\n").count()).map(|_| client.reply());
        assert_eq!(replies.filter(|reply| matches!(reply, Reply::Error(_))).count(), errors, "{pipeline}");
    }
    tracer.detach();
    let mut counted = |command: &str| {
        let all = info(&mut client, &format!("cmdstat_{command}"));
        let of = |name| all.split(',').find_map(|field| field.strip_prefix(name)).unwrap().parse::<u64>().unwrap();
        (of("calls="), of("rejected_calls="), of("failed_calls="))
    };
    assert_eq!(counted("set"), (4, 0, 4));
    assert_eq!(counted("del"), (1, 0, 1));
    assert_eq!(counted("get"), (2, 1, 0));
    assert_eq!(info_number(&mut client, "aof_write_errors"), 2, "one for each pipeline");
    assert_eq!(info(&mut client, "errorstat_MISCONF"), "count=5");
    assert_eq!(info(&mut client, "errorstat_ERR"), "count=1");
    assert_eq!((info_number(&mut client, "keyspace_hits"), info_number(&mut client, "keyspace_misses")), (1, 1));
}
