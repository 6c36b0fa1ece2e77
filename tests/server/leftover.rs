//! What an interrupted rewrite has left beside the log: removed by a start, unless it may be the only copy.

use std::fs;

use super::recovery::always_log;
use crate::helpers::log::batches;
use crate::helpers::{Exit, Launch, Reply, command};

/// It may be the only copy: the operator has moved a damaged log away, or it is lost.
#[test]
fn a_leftover_with_data_is_not_removed_for_a_new_log() {
    let launch = Launch::on_log(command(&["SET", "a", "1"]));
    launch.start().terminate().expect(0, &[]);
    let leftover = launch.dir().join("temp-rewrite-kvred.aof");
    fs::rename(launch.log_path(), &leftover).unwrap();
    let left = fs::read(&leftover).unwrap();
    // No log, and an empty one.
    for log in [None, Some(0)] {
        if log.is_some() {
            fs::write(launch.log_path(), "").unwrap();
        }
        launch.refused().expect(4, &["temp-rewrite-kvred.aof", "the only copy", "Nothing was changed", "rename it"]);
        assert!(fs::read(&leftover).unwrap() == left, "{log:?}");
        assert_eq!(fs::read(launch.log_path()).ok().map(|log| log.len()), log);
    }
    // What the message advises.
    fs::rename(&leftover, launch.log_path()).unwrap();
    assert_eq!(launch.start().connect().get("a"), Some(b"1".to_vec()));
}

#[test]
fn a_leftover_that_is_damaged_from_its_first_command_on_is_not_removed_for_a_new_log() {
    let mut left = always_log().to_vec();
    left[batches(always_log())[0].start + 8] ^= 1;
    let launch = Launch::new();
    let leftover = launch.dir().join("temp-rewrite-kvred.aof");
    fs::write(&leftover, &left).unwrap();
    launch.refused().expect(4, &["temp-rewrite-kvred.aof", "the only copy", "Nothing was changed"]);
    assert!(fs::read(&leftover).unwrap() == left);
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
        fs::write(&leftover, left).unwrap();
        let server = launch.start();
        assert!(!leftover.exists(), "{} bytes", left.len());
        assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(0));
    }
}

/// The file of a rewrite that was killed before its rename may be the better copy.
#[test]
fn a_start_that_refuses_a_log_touches_nothing_beside_it() {
    let launch = Launch::new().args(&["--fsync", "always"]);
    let server = launch.start();
    let mut client = server.connect();
    (0..100).for_each(|n| client.set(format!("k{n}"), "v"));
    server.kill9();
    let leftover = launch.dir().join("temp-rewrite-kvred.aof");
    fs::copy(launch.log_path(), &leftover).unwrap();
    let sound = launch.log();
    let mut damaged = sound.clone();
    damaged[200] ^= 1;
    fs::write(launch.log_path(), &damaged).unwrap();
    launch.refused().expect(4, &["Nothing was changed"]);
    assert!(fs::read(&leftover).unwrap() == sound && launch.log() == damaged);
    fs::write(launch.log_path(), &sound).unwrap();
    let server = launch.start();
    assert!(!leftover.exists());
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(100));
}
