//! `check --salvage`: all that still verifies is saved, and what is lost is told.

use std::fs;
use std::path::Path;

use super::kit::{adopted_log, aof, arg, dump, small_log, write_lines};
use crate::helpers::Launch;

/// Where the commands of a log stand.
fn offsets(log: &Path) -> Vec<usize> {
    let offset = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["offset"].as_u64().unwrap();
    aof(&["dump", "--format", "json", arg(log)]).stdout.lines().map(|line| offset(line) as usize).collect()
}

#[test]
fn salvage_saves_all_batches_but_the_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let all: Vec<String> = dump(&path).lines().map(str::to_owned).collect();
    let offsets = offsets(&path);
    for (turn, n) in (0..all.len()).step_by(7).enumerate() {
        let (before, at) = log.split_at(offsets[n] + 20);
        // A wrong byte, one less, or some more: then all behind it is out of its place.
        let damaged = match turn % 3 {
            0 => [before, &[at[0] ^ 0x10], &at[1..]].concat(),
            1 => [before, &at[1..]].concat(),
            _ => [before, b"more", at].concat(),
        };
        fs::write(&path, &damaged).unwrap();
        aof(&["check", arg(&path)]).expect(4, &[]);
        let out = dir.path().join(format!("saved-{n}.aof"));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        salvaged.expect(1, &[]);
        assert!(salvaged.stdout.contains(&format!("lost  bytes {} to", offsets[n])), "{}", salvaged.stdout);
        let mut expected = all.clone();
        expected.remove(n);
        assert_eq!(dump(&out).lines().collect::<Vec<_>>(), expected, "batch of record {n}");
        aof(&["check", arg(&out)]).expect(0, &[]);
        assert_eq!(fs::read(&path).unwrap(), damaged, "the log itself is as it was");
    }
}

/// Nothing of what it held is there, which a script has to learn.
#[test]
fn zeros_are_lost_to_salvage() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("kvred.aof"), dir.path().join("saved.aof"));
    fs::write(&path, [0; 5000]).unwrap();
    let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
    salvaged.expect(1, &[]);
    assert!(salvaged.stdout.contains("bytes 0 to 5000"), "{}", salvaged.stdout);
}

/// All checksums hang on the salt in the header: the batches tell of it, too.
#[test]
fn salvage_saves_what_follows_a_lost_header() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let all: Vec<String> = dump(&path).lines().map(str::to_owned).collect();
    let within_the_sixth = offsets(&path)[5] + 10;
    let value = log.windows(12).position(|w| w == b"always value").unwrap();
    for (name, changed, lost) in [
        ("two bits of the salt", [&log[..12], &[log[12] ^ 1, log[13] ^ 1], &log[14..]].concat(), 0),
        ("two bits of its name", [b"#KWREE:", &log[7..]].concat(), 0),
        ("some of it, and of RESP behind it", [b"#KWREE:", &log[7..36], b"x", &log[37..]].concat(), 1),
        ("some of it, and of a value", [b"#KWREE:", &log[7..value], b"x", &log[value + 1..]].concat(), 1),
        ("its sector", [&vec![0; within_the_sixth], &log[within_the_sixth..]].concat(), 6),
    ] {
        fs::write(&path, &changed).unwrap();
        let checked = aof(&["check", arg(&path)]);
        checked.expect(4, &[]);
        for (says, is_said) in [(" still verify", true), ("--salvage OUT", true), ("not look like a log", false)] {
            assert_eq!(checked.stdout.contains(says), is_said, "{name}: {}", checked.stdout);
        }
        Launch::at(dir.path()).refused().expect(4, &["is damaged"]);
        assert_eq!(fs::read(&path).unwrap(), changed, "{name}: nothing is cut");
        let out = dir.path().join(format!("saved from {name}.aof"));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        salvaged.expect(1, &[]);
        assert!(salvaged.stdout.contains("\n  lost  bytes "), "{name}: {}", salvaged.stdout);
        assert!(dump(&out).lines().eq(&all[lost..]), "{name}: {}", salvaged.stdout);
        aof(&["check", arg(&out)]).expect(0, &[]);
    }
}

/// One wrong bit in a length has a command swallow all that follows, or it is no command any more.
#[test]
fn what_kvred_has_appended_to_a_plain_log_is_saved_from_behind_a_flaw_in_that() {
    let dir = tempfile::tempdir().unwrap();
    let (log, joint) = adopted_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let at = log.windows(4).position(|w| w == b"$100").unwrap();
    let large = log[..at].windows(2).rposition(|w| w == b"*3").unwrap();
    for (changed, byte) in [(at + 1, b'9'), (large, b'j')] {
        let mut damaged = log.clone();
        damaged[changed] = byte;
        fs::write(&path, &damaged).unwrap();
        let checked = aof(&["check", arg(&path)]);
        checked.expect(4, &[]);
        for says in [&format!("damage        at byte {large} "), "  2 records in", " still verify", "--salvage OUT"] {
            assert!(checked.stdout.contains(says), "{says}: {}", checked.stdout);
        }
        Launch::at(dir.path()).refused().expect(4, &["is damaged"]);
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is cut");
        let out = dir.path().join(format!("saved-{changed}.aof"));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        salvaged.expect(1, &[]);
        let lost = format!("4 records saved, {} bytes lost\n  lost  bytes {large} to", joint + 36 - large);
        assert!(salvaged.stdout.contains(&lost), "{lost}: {}", salvaged.stdout);
        assert_eq!(dump(&out), "SET first 1\nSET second 2\nSET ours 4\nSET \"ours too\" 5\n");
    }
}

/// The sector holds the end of the plain part, the header and the first batch.
#[test]
fn what_kvred_has_appended_to_a_plain_log_is_saved_from_behind_a_lost_sector_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, joint) = adopted_log(dir.path());
    let path = dir.path().join("kvred.aof");
    log[joint - 5..joint + 50].fill(0);
    fs::write(&path, &log).unwrap();
    let checked = aof(&["check", arg(&path)]);
    checked.expect(4, &[]);
    assert!(checked.stdout.contains("  1 record in"), "{}", checked.stdout);
    Launch::at(dir.path()).refused().expect(4, &["is damaged"]);
    let out = dir.path().join("saved.aof");
    aof(&["check", "--salvage", arg(&out), arg(&path)]).expect(1, &[]);
    assert_eq!(dump(&out), format!("SET first 1\nSET second 2\nSET large {}\nSET \"ours too\" 5\n", "v".repeat(100)));
}

/// Salvages a log of these commands: what is said, and the commands that are saved.
fn salvaged(commands: &[&str]) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("plain.aof"), dir.path().join("out.aof"));
    write_lines(&path, commands);
    let output = aof(&["check", "--salvage", arg(&out), arg(&path)]);
    output.expect(1, &[]);
    aof(&["check", arg(&out)]).expect(0, &[]);
    (output.stdout, dump(&out).lines().map(str::to_owned).collect())
}

#[test]
fn of_a_plain_log_a_refused_command_costs_itself_alone() {
    let sets: Vec<String> = (0..2000).map(|n| format!("SET key{n:04} value")).collect();
    let mut commands: Vec<&str> = sets.iter().map(String::as_str).collect();
    commands.splice(1000..1000, ["HSET h f v", "HSET h g v"]);
    let (said, saved) = salvaged(&commands);
    assert_eq!(saved, sets);
    assert!(
        said.contains("2,000 records saved, 70 bytes lost\n  lost  bytes 37000 to 37070 (70): kvred refuses it"),
        "{said}"
    );

    let (said, saved) = salvaged(&["MULTI", "SET a 1", "HSET h f v", "SET b 2", "EXEC", "SET c 3"]);
    assert_eq!(saved, ["SET a 1", "SET b 2", "SET c 3"]);
    assert!(said.contains("35 bytes lost"), "{said}");
}

/// Behind a torn batch, a command that selects a database tells of another server, and of damage.
#[test]
fn a_salvaged_copy_that_is_cut_off_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let [log, copy] = ["plain.aof", "copy.aof"].map(|name| dir.path().join(name));
    write_lines(&log, &["SELECT 0", "SET a 1", "select 0", "SET b 2"]);
    let salvaged = aof(&["check", "--salvage", arg(&copy), arg(&log)]);
    salvaged.expect(0, &[]);
    assert!(salvaged.stdout.contains("2 records saved, 0 bytes lost"), "{}", salvaged.stdout);
    let whole = fs::read(&copy).unwrap();
    let within = whole.windows(3).position(|w| w == b"#C:").unwrap();
    fs::write(&copy, &whole[..within]).unwrap();
    let checked = aof(&["check", arg(&copy)]);
    checked.expect(1, &[]);
    assert!(checked.stdout.contains("its tail is torn"), "{}", checked.stdout);
}

#[test]
fn keys_of_other_databases_are_not_mixed_with_those_of_database_0() {
    let (said, saved) = salvaged(&[
        "SET a 0", "SELECT 1", "SET a 1", "FLUSHDB", "SET b 1", "SELECT 0", "SET c 0", "SELECT 2", "SET a 2",
    ]);
    assert_eq!(saved, ["SET a 0", "SET c 0"]);
    assert!(said.contains("it belongs to another database than 0"), "{said}");
    let (_, saved) = salvaged(&["SET a 0", "SELECT 1", "SET a 1", "FLUSHALL", "SET a 1"]);
    assert_eq!(saved, ["SET a 0", "FLUSHALL"]);
}
