//! Logs that were cut, changed, or written by others: started with exactly what is sound, or refused; never a value
//! that was not written.

use std::sync::{Arc, OnceLock};

use kvred::persistence::disk::{Disk, DiskRead};
use kvred::persistence::format::COMMIT_LINE_BYTES;
use kvred::persistence::real_disk::RealDisk;
use kvred::persistence::replay::{RefusedRecord, Verdict, replay};

use crate::helpers::log::{Batch, Model, apply, assert_holds, batches, state_at};
use crate::helpers::{Exit, Launch, Random, Reply, Server, command, commands, rewrite, wait_until};

const PLAIN: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";

/// Some batches: binary values, DEL, FLUSHALL, values that imitate annotation lines.
fn write_batches(server: &Server) {
    let mut client = server.connect();
    let all: Vec<u8> = (0..=255).collect();
    client.set("gone", "by the FLUSHALL");
    client.send(commands("SET a 1, SET b 2, DEL a, SET c 3")).expect("+OK\r\n+OK\r\n:1\r\n+OK\r\n");
    client.send(commands("FLUSHALL")).expect("+OK\r\n");
    client.set("binary", &all);
    client.set("imitation", "\r\n#C:00000010:00000000\r\n#SYNCED:0000000000000000\r\n#KVRED:1:");
    client.set("", "");
    client.send(commands("SET a 4, SET d 5, DEL a b")).expect("+OK\r\n+OK\r\n:1\r\n");
    client.set("zeros", [0; 40]);
    client.set("e", "6");
    client.set("d", "7");
    client.send(commands("DEL e")).expect(":1\r\n");
    client.set("last", "x");
}

/// A log that a server wrote and closed, by policy. Without the last batch it is what a crash leaves.
fn closed_log(fsync: &str) -> Vec<u8> {
    let launch = Launch::new().args(&["--fsync", fsync]);
    let server = launch.start();
    write_batches(&server);
    server.terminate().expect(0, &[]);
    launch.log()
}

fn always_log() -> &'static [u8] {
    static LOG: OnceLock<Vec<u8>> = OnceLock::new();
    LOG.get_or_init(|| closed_log("always"))
}

fn none_log() -> &'static [u8] {
    static LOG: OnceLock<Vec<u8>> = OnceLock::new();
    LOG.get_or_init(|| closed_log("none"))
}

/// A log in a directory, for the library's reading of it.
struct OnDisk {
    _dir: tempfile::TempDir,
    disk: RealDisk,
    path: std::path::PathBuf,
}

impl OnDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { disk: RealDisk::new(dir.path()).unwrap(), path: dir.path().join("log"), _dir: dir }
    }

    /// Where the sound part ends, what the log is, and what is in it.
    fn read(&self, log: &[u8]) -> (usize, Verdict, Model) {
        std::fs::write(&self.path, log).unwrap();
        let file: Arc<dyn DiskRead> = self.disk.open("log".as_ref(), false).unwrap();
        let mut model = Model::new();
        let found = replay(
            &file,
            |_| {},
            |batch| {
                for (index, (_, args)) in batch.records().enumerate() {
                    let args: Vec<Vec<u8>> = args.from(0).map(<[u8]>::to_vec).collect();
                    if !matches!(&args[0][..], b"SET" | b"DEL" | b"FLUSHALL") {
                        return Err(RefusedRecord { index, reason: "not a record".to_owned() });
                    }
                    apply(&mut model, &args);
                }
                Ok(())
            },
        );
        let found = found.expect("sound batches hold sound records");
        (usize::try_from(found.end.0).unwrap(), found.verdict, model)
    }
}

fn last_whole(batches: &[Batch], at: usize) -> usize {
    batches.iter().map(|b| b.end).filter(|end| *end <= at).max().unwrap_or(0)
}

/// By the server; what the library makes of a cut at any byte, the next test tells.
#[test]
fn a_log_cut_between_or_within_its_last_batches_starts_with_exactly_those_before() {
    let log = always_log();
    let batches = batches(log);
    let from = batches[batches.len() - 4].start;
    for at in (from..log.len()).filter(|at| at % 7 == 0 || last_whole(&batches, *at) == *at) {
        let launch = Launch::on_log(&log[..at]).args(&["--fsync", "none"]);
        let server = launch.start();
        assert_holds(&mut server.connect(), &state_at(&batches, at), &format!("cut at {at}"));
        let whole = last_whole(&batches, at);
        if whole == at {
            assert!(launch.cuts().is_empty(), "cut at {at}: nothing was torn");
        } else {
            assert_eq!(launch.cuts(), [(format!("kvred.aof.cut-{whole}"), log[whole..at].to_vec())], "cut at {at}");
            assert!(server.stderr().contains(&format!("kvred.aof.cut-{whole}")), "{}", server.stderr());
        }
        assert!(launch.log().starts_with(&log[..whole]), "cut at {at}");
    }
}

#[test]
fn a_log_cut_anywhere_is_a_prefix_of_batches() {
    let on_disk = OnDisk::new();
    for log in [always_log(), none_log()] {
        let batches = batches(log);
        let header = batches[0].start;
        for at in 1..log.len() {
            let (end, verdict, model) = on_disk.read(&log[..at]);
            // A header without a batch is a log too.
            let whole = last_whole(&batches, at).max(if at >= header { header } else { 0 });
            let torn = matches!(verdict, Verdict::Torn(_));
            assert!(torn || whole == at && verdict == Verdict::Clean, "cut at {at}: {verdict:?}");
            assert_eq!((end, model), (whole, state_at(&batches, at)), "cut at {at}");
        }
    }
}

/// Under `always` each batch says that all before it is durable, so only the last can be torn.
#[test]
fn every_flipped_bit_is_noticed() {
    let on_disk = OnDisk::new();
    for (log, all_durable) in [(always_log(), true), (none_log(), false)] {
        let batches = batches(log);
        let last = batches.last().unwrap().start;
        assert!((1000..6000).contains(&log.len()), "{} bytes", log.len());
        let header = batches[0].start;
        let mut changed = log.to_vec();
        for at in 0..log.len() {
            for bit in 0..8 {
                changed[at] ^= 1 << bit;
                let (end, verdict, model) = on_disk.read(&changed);
                changed[at] ^= 1 << bit;
                if at < header {
                    // Without its header nothing of the log is believed, whatever was read of it.
                    assert!(matches!(verdict, Verdict::Damaged { .. }), "bit {bit} of byte {at}: {verdict:?}");
                    continue;
                }
                assert!(end <= at, "bit {bit} of byte {at}: believed up to {end}");
                assert_eq!(model, state_at(&batches, end), "bit {bit} of byte {at}: {verdict:?}");
                match verdict {
                    Verdict::Damaged { .. } => assert!(at < last || !all_durable, "bit {bit} of byte {at}"),
                    Verdict::Torn(_) => assert!(at >= last, "bit {bit} of byte {at}: durable bytes taken for a tear"),
                    other => panic!("bit {bit} of byte {at}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_server_refuses_flipped_bits_and_changes_nothing() {
    let log = always_log();
    let batches = batches(log);
    let last = batches.last().unwrap().start;
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    for i in 0..60 {
        let at = if i % 4 == 0 { last + random.below(log.len() - last) } else { random.below(last) };
        let mut changed = log.to_vec();
        changed[at] ^= 1 << random.below(8);
        let launch = Launch::on_log(&changed);
        match launch.try_start() {
            Ok(server) => {
                assert!(at >= last, "a flip at {at} was taken for a tear");
                assert_holds(&mut server.connect(), &state_at(&batches, last), &format!("flip at {at}"));
                assert_eq!(launch.cuts(), [(format!("kvred.aof.cut-{last}"), changed[last..].to_vec())]);
            }
            Err(exit) => {
                assert!(at < last, "a flip at {at} was taken for damage");
                exit.expect(4, &["is damaged", "kvred aof check"]);
                if let Some(start) = batches.iter().map(|b| b.start).filter(|start| *start <= at).max() {
                    exit.expect(4, &[&format!("at byte {start} ")]);
                }
                assert_eq!(launch.log(), changed, "a refused log stays as it is");
                assert!(launch.cuts().is_empty());
            }
        }
    }
}

/// Once a second the log states what is durable, also if nothing is written any more.
#[test]
fn a_wrong_bit_in_what_waitaof_has_called_durable_is_damage() {
    for fsync in ["everysec", "none"] {
        let launch = Launch::new().args(&["--fsync", fsync]);
        let server = launch.start();
        let mut client = server.connect();
        client.set("k", "v");
        client.send("WAITAOF 1 0 0\r\n").expect("*2\r\n:1\r\n:0\r\n");
        let set = batches(&server.log()).into_iter().find(|batch| !batch.commands.is_empty()).unwrap();
        let stated = format!("#SYNCED:{:016x}", set.end);
        wait_until(&stated, || server.log().windows(stated.len()).any(|line| line == stated.as_bytes()));
        server.kill9();
        let mut changed = launch.log();
        changed[set.start + 8] ^= 1;
        std::fs::write(launch.log_path(), &changed).unwrap();
        let says =
            ["kvred.aof is damaged", "record 1", "these bytes were durable", "Nothing was changed", "kvred aof check"];
        launch.refused().expect(4, &says);
        assert_eq!(launch.log(), changed, "{fsync}: a refused log stays as it is");
    }
}

#[test]
fn a_hole_in_the_middle_is_damage() {
    let log = always_log();
    let batches = batches(log);
    let (from, to) = (batches[4].start, batches[4].end);
    let mut zeroed = log.to_vec();
    zeroed[from..to].fill(0);
    let mut from_elsewhere = log.to_vec();
    from_elsewhere[from..to].copy_from_slice(&log[to..to + (to - from)]);
    for changed in [zeroed, from_elsewhere] {
        let launch = Launch::on_log(&changed);
        launch.refused().expect(4, &["is damaged"]);
        assert_eq!(launch.log(), changed);
    }
}

/// No crash shifts bytes: batches that verify, but in another place, are what an editor leaves.
#[test]
fn batches_out_of_their_place_are_damage() {
    for log in [always_log(), none_log()] {
        let batches = batches(log);
        let (from, to) = (batches[4].start, batches[4].end);
        let within = from + 20;
        for changed in [
            [&log[..from], &log[to..]].concat(),
            [&log[..to], &log[from..]].concat(),
            [&log[..within], &log[within + 1..]].concat(),
            [&log[..within], b"more", &log[within..]].concat(),
        ] {
            let launch = Launch::on_log(&changed);
            launch.refused().expect(4, &["is damaged", "out of their places", "kvred aof check"]);
            assert_eq!(launch.log(), changed, "a refused log stays as it is");
            assert!(launch.cuts().is_empty());
        }
    }
}

/// The last batch closes the log, and states where it stands.
#[test]
fn a_byte_less_or_more_is_damage_wherever_it_is_in_a_closed_log() {
    let on_disk = OnDisk::new();
    for log in [always_log(), none_log()] {
        let batches = batches(log);
        let last_line = batches.last().unwrap().start - COMMIT_LINE_BYTES;
        for at in 0..last_line {
            for changed in [[&log[..at], &log[at + 1..]].concat(), [&log[..at], b"\n", &log[at..]].concat()] {
                let (end, verdict, model) = on_disk.read(&changed);
                let what = format!("{} bytes, changed at {at}", changed.len());
                assert!(matches!(verdict, Verdict::Damaged { .. }), "{what}: {verdict:?}");
                if at >= batches[0].start {
                    assert_eq!(model, state_at(&batches, end), "{what}");
                }
            }
        }
    }
}

#[test]
fn zeros_at_the_end_are_reserved_space() {
    let log = always_log();
    let all = batches(log);
    for zeros in [1, 21, 22, 100, 4096, 5 << 20] {
        let launch = Launch::on_log([log, &vec![0; zeros]].concat());
        let server = launch.start();
        assert_holds(&mut server.connect(), &state_at(&all, log.len()), &format!("{zeros} zeros"));
        assert!(launch.cuts().is_empty());
        server.terminate().expect(0, &[]);
        let closed = launch.log();
        assert!(closed.starts_with(log) && !closed.ends_with(&[0]));
    }
}

#[test]
fn a_torn_batch_before_zeros_is_kept_without_them() {
    let log = always_log();
    let all = batches(log);
    let last = all.last().unwrap();
    let launch = Launch::on_log([&log[..last.end - 5], &vec![0; 4096]].concat());
    let server = launch.start();
    assert_holds(&mut server.connect(), &state_at(&all, last.start), "torn before zeros");
    assert_eq!(launch.cuts(), [(format!("kvred.aof.cut-{}", last.start), log[last.start..last.end - 5].to_vec())]);
}

#[test]
fn an_empty_file_is_a_new_log() {
    let launch = Launch::on_log(Vec::new());
    let server = launch.start();
    server.connect().set("k", "v");
    let server = server.crash_and_restart();
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(1));
    assert!(launch.log().starts_with(b"#KVRED:1:"));
}

/// A log whose data are lost, as far as one can tell.
#[test]
fn only_zeros_are_refused_and_left() {
    for len in [1, 100_000] {
        let launch = Launch::on_log(vec![0; len]);
        launch.refused().expect(4, &["is damaged", "nothing but zero bytes", "move it away"]);
        assert_eq!(launch.log(), vec![0; len]);
    }
}

#[test]
fn a_log_without_its_header_is_damaged_not_plain() {
    let log = always_log();
    let header = log.iter().position(|&c| c == b'\n').unwrap() + 1;
    let launch = Launch::on_log(&log[header..]);
    launch.refused().expect(4, &["is damaged", "header"]);
}

#[test]
fn a_second_tear_at_the_same_place_keeps_both() {
    let launch = Launch::new();
    let server = launch.start();
    server.connect().set("k", "v");
    server.kill9();
    let sound = launch.log();
    let sound = &sound[..last_whole(&batches(&sound), sound.len())];
    for tail in ["first tear", "second", "second"] {
        std::fs::write(launch.log_path(), [sound, tail.as_bytes()].concat()).unwrap();
        launch.start().kill9();
    }
    let name = format!("kvred.aof.cut-{}", sound.len());
    assert_eq!(launch.cuts(), [(name.clone(), b"first tear".to_vec()), (format!("{name}.1"), b"second".to_vec())]);
}

#[test]
fn what_cannot_be_kept_is_not_cut() {
    let log = &always_log()[..always_log().len() - 3];
    let launch = Launch::on_log(log);
    let last = batches(always_log()).last().unwrap().start;
    // A directory bears the name for what is cut, and nothing can be compared with it or written to it.
    std::fs::create_dir(launch.dir().join(format!("kvred.aof.cut-{last}"))).unwrap();
    launch.refused().expect(3, &["nothing was changed"]);
    assert_eq!(launch.log(), log);
}

// ---- logs of Redis's ----

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

/// It may be the only copy: the operator has moved a damaged log away, or it is lost.
#[test]
fn a_leftover_with_data_is_not_removed_for_a_new_log() {
    let launch = Launch::on_log(command(&["SET", "a", "1"]));
    launch.start().terminate().expect(0, &[]);
    let leftover = launch.dir().join("temp-rewrite-kvred.aof");
    std::fs::rename(launch.log_path(), &leftover).unwrap();
    let left = std::fs::read(&leftover).unwrap();
    // No log, and an empty one.
    for log in [None, Some(0)] {
        if log.is_some() {
            std::fs::write(launch.log_path(), "").unwrap();
        }
        launch.refused().expect(4, &["temp-rewrite-kvred.aof", "the only copy", "Nothing was changed", "rename it"]);
        assert!(std::fs::read(&leftover).unwrap() == left, "{log:?}");
        assert_eq!(std::fs::read(launch.log_path()).ok().map(|log| log.len()), log);
    }
    // What the message advises.
    std::fs::rename(&leftover, launch.log_path()).unwrap();
    assert_eq!(launch.start().connect().get("a"), Some(b"1".to_vec()));
}

#[test]
fn a_leftover_that_is_damaged_from_its_first_command_on_is_not_removed_for_a_new_log() {
    let mut left = always_log().to_vec();
    left[batches(always_log())[0].start + 8] ^= 1;
    let launch = Launch::new();
    let leftover = launch.dir().join("temp-rewrite-kvred.aof");
    std::fs::write(&leftover, &left).unwrap();
    launch.refused().expect(4, &["temp-rewrite-kvred.aof", "the only copy", "Nothing was changed"]);
    assert!(std::fs::read(&leftover).unwrap() == left);
}

/// A log without a command, as a rewrite of nothing leaves it.
fn empty_log() -> Vec<u8> {
    let launch = Launch::new();
    launch.start().terminate().expect(0, &[]);
    let rewritten = Launch::binary().args(["aof", "rewrite"]).arg(launch.log_path()).output().unwrap();
    Exit::of(rewritten).expect(0, &[]);
    let log = launch.log();
    assert!(log.len() > 36, "it has a batch");
    log
}

/// A first start that is killed leaves no more than the header of its log, and a rewrite before the first command a log
/// without one.
#[test]
fn a_leftover_without_data_is_removed_for_a_new_log() {
    let empty = empty_log();
    let zeros = [0; 100];
    for left in [&empty[..0], &empty[..20], &empty[..36], &empty, &zeros] {
        let launch = Launch::new();
        let leftover = launch.dir().join("temp-rewrite-kvred.aof");
        std::fs::write(&leftover, left).unwrap();
        let server = launch.start();
        assert!(!leftover.exists(), "{} bytes", left.len());
        assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(0));
    }
}
