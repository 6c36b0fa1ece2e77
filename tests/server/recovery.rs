//! Logs that were cut or changed: started with exactly what is sound, or refused; never a value that was not written.

use std::sync::{Arc, OnceLock};

use kvred::persistence::disk::{Disk, DiskRead};
use kvred::persistence::format::COMMIT_LINE_BYTES;
use kvred::persistence::real_disk::RealDisk;
use kvred::persistence::replay::{RefusedRecord, Verdict, replay};

use crate::helpers::log::{Batch, Model, apply, assert_holds, batches, state_at};
use crate::helpers::{Launch, Random, Reply, Server, commands, wait_until};

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

pub(super) fn always_log() -> &'static [u8] {
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
