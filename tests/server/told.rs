//! Each start tells in one paragraph what it found, what it cut, where that is kept, what it loaded, and how long it
//! took.

use std::path::Path;

use crate::helpers::{Launch, command};

/// A log of three keys, as a server leaves it.
fn sound() -> Vec<u8> {
    let launch = Launch::new();
    let server = launch.start();
    let mut client = server.connect();
    for key in ["a", "b", "c"] {
        client.set(key, "value");
    }
    server.kill9();
    launch.log()
}

/// The lines of a start, but for the one that says it is ready.
fn paragraph(launch: &Launch) -> String {
    let server = launch.start();
    let said = server.stderr();
    let lines: Vec<&str> = said.lines().filter(|l| !l.contains("ready to accept")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "\"{word}\" is not in: {line}");
    }
}

fn assert_says_how_long_it_took(line: &str) {
    let seconds = |text: &str| text.split_once(" s")?.0.parse::<f64>().ok();
    assert_eq!(line.split(", in ").filter_map(seconds).count(), 1, "no seconds are in: {line}");
}

#[test]
fn a_new_log() {
    assert_says(&paragraph(&Launch::new()), &["INFO", "no log yet; a new one begins in"]);
}

#[test]
fn a_clean_log() {
    let line = paragraph(&Launch::on_log(sound()));
    assert_says(&line, &["INFO", "kvred.aof", "loaded 3 keys from 3 commands in", "checksummed batches"]);
    assert_says_how_long_it_took(&line);
}

#[test]
fn a_clean_log_with_reserved_space() {
    let mut log = sound();
    log.extend([0; 4096]);
    let line = paragraph(&Launch::on_log(log));
    assert_says(&line, &["INFO", "loaded 3 keys", "4096 bytes of reserved space behind it were cut off"]);
    let plain = [command(&["SET", "a", "1"]), vec![0; 4096]].concat();
    assert_says(
        &paragraph(&Launch::on_log(plain)),
        &["INFO", "loaded 1 key", "4096 zero bytes behind it were cut off"],
    );
}

#[test]
fn a_torn_log() {
    let log = sound();
    let launch = Launch::on_log(&log[..log.len() - 10]);
    let line = paragraph(&launch);
    let cuts = launch.cuts();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
    let (kept, bytes) = &cuts[0];
    assert_says(&line, &["WARN", "kvred.aof", kept, "loaded 2 keys from 2 commands"]);
    assert_says(&line, &[&format!("{} bytes were cut off", bytes.len()), "trace of a crash"]);
    assert_says_how_long_it_took(&line);
    // Told once: the next start finds a clean log.
    assert_says(&paragraph(&launch), &["INFO", "loaded 2 keys"]);
}

#[test]
fn a_plain_log_of_redis() {
    let plain = [command(&["SELECT", "0"]), command(&["SET", "k", "v"])].concat();
    let launch = Launch::on_log(&plain);
    let line = paragraph(&launch);
    assert_says(&line, &["INFO", "loaded 1 key from 2 commands in a plain log without checksums"]);
    assert_says(&line, &[&format!("checksums begin at byte {}", plain.len())]);
}

#[test]
fn a_log_of_redis_that_is_not_loaded() {
    let launch = Launch::new();
    let dir = launch.dir().join("appendonlydir");
    std::fs::create_dir(&dir).unwrap();
    assert!(!launch.start().stderr().contains("Redis"), "an empty directory is no log");
    std::fs::remove_file(launch.log_path()).unwrap();
    std::fs::write(dir.join("appendonly.aof.manifest"), "file appendonly.aof.1.base.aof seq 1 type b\n").unwrap();
    std::fs::write(dir.join("appendonly.aof.1.base.aof"), command(&["SET", "k", "v"])).unwrap();
    let manifest = format!("{}/appendonly.aof.manifest", dir.display());
    let server = launch.start();
    let said = server.stderr();
    assert_says(&said, &["WARN", &dir.display().to_string(), "`aof-use-rdb-preamble no`, stop this server"]);
    assert_says(&said, &[&format!("`kvred aof rewrite -o moved.aof {manifest}`")]);
    server.terminate().expect(0, &[]);
    // As it says.
    let moved = launch.dir().join("moved.aof");
    let rewritten =
        Launch::binary().args(["aof", "rewrite", "-o"]).args([&moved, Path::new(&manifest)]).output().unwrap();
    assert!(rewritten.status.success(), "{rewritten:?}");
    std::fs::rename(&moved, launch.log_path()).unwrap();
    let server = launch.start();
    assert_eq!(server.connect().get("k"), Some(b"v".to_vec()));
    assert!(!server.stderr().contains("is not loaded"), "{}", server.stderr());
}

#[test]
fn an_interrupted_rewrite() {
    let launch = Launch::on_log(sound());
    let leftover = launch.dir().join("temp-rewrite-kvred.aof");
    std::fs::write(&leftover, "half").unwrap();
    let server = launch.start();
    assert!(!leftover.exists());
    assert_says(&server.stderr(), &["removed temp-rewrite-kvred.aof, which an interrupted rewrite had left", "3 keys"]);
}
