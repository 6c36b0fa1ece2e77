//! `kvred bench report`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::helpers::peer;
use crate::helpers::wait_until;
use crate::kit::{bench, finish, run};
use crate::results::interrupt;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_report_has_its_files() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = dir.path().join("report");
    let out = root.to_str().unwrap();
    let small = ["report", "--repeats", "2", "--warmup", "1", "--ops-read", "200", "--ops-write", "50"];
    let mut args = small.to_vec();
    args.extend(["--fsync", "always,none", "-o", out]);
    let redis = peer::binary("redis-server").map(|path| format!("redis={}", path.display()));
    if let Some(redis) = &redis {
        args.extend(["--peer", redis]);
    }
    let ran = run(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.starts_with(&format!("writing to {out}\n")), "the path comes first: {}", ran.err);
    let servers = if redis.is_some() { 2 } else { 1 };
    let results = json(&root.join("raw/results.json"));
    assert_eq!(results["results"].as_array().unwrap().len(), 2 * 5 * 3 * servers);
    assert_eq!(results["partial"], false);
    assert!(results["servers"]["kvred"]["kvred_version"].is_string());
    let summary = json(&root.join("raw/summary.json"));
    let lines = summary["results"].as_array().unwrap();
    assert_eq!(lines.len(), 2 * 5 * servers);
    assert!(lines.iter().all(|line| line["runs"].as_array().unwrap().len() == 2 && line["errors"] == 0));
    let of = |test: &str| lines.iter().find(|line| line["test"] == test).unwrap()["operations"].clone();
    assert_eq!((of("get"), of("del")), (400.into(), 100.into()));
    for (file, rows) in [("raw/results.csv", 2 * 5 * 3 * servers), ("raw/summary.csv", 2 * 5 * servers)] {
        assert_eq!(fs::read_to_string(root.join(file)).unwrap().lines().count(), rows + 1, "{file}");
    }
    let text = fs::read_to_string(root.join("summary.md")).unwrap();
    for policy in ["always", "none"] {
        for chart in ["fsync", "latency"] {
            let name = format!("charts/{chart}-{policy}.svg");
            assert!(text.contains(&format!("({name})")), "{text}");
            let svg = fs::read_to_string(root.join(&name)).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("EXISTS"), "{name}");
        }
    }
    assert!(!text.contains("Partial") && !root.join("data").exists(), "the servers' data is removed");
}

#[test]
fn an_interrupted_report_keeps_what_was_finished() {
    let dir = tempfile::TempDir::new().unwrap();
    let out = dir.path().to_str().unwrap();
    let args = ["report", "--repeats", "1000", "--warmup", "0", "--ops-read", "50", "--ops-write", "10", "-o", out];
    let child = bench(&args).spawn().unwrap();
    let saved = dir.path().join("raw/summary.json");
    wait_until("a run is finished", || fs::read_to_string(&saved).is_ok_and(|text| text.contains("\"exists\"")));
    interrupt(&child);
    let ran = finish(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(json(&saved)["partial"], true);
    assert!(fs::read_to_string(dir.path().join("summary.md")).unwrap().contains("**Partial**"));
    assert!(dir.path().join("charts/fsync-always.svg").exists() && !dir.path().join("data").exists());
}

#[test]
fn a_server_that_cannot_be_run_is_told() {
    let dir = tempfile::TempDir::new().unwrap();
    let out = dir.path().to_str().unwrap();
    for (flags, word) in [
        (["--server-bin", "/nonexistent/kvred"], "cannot run /nonexistent/kvred"),
        (["--peer", "redis=/bin/true"], "neither kvred nor Redis nor Valkey"),
    ] {
        let ran = run(&[&["report", "-o", out], &flags[..]].concat());
        assert!(ran.code == Some(3) && ran.err.contains(word), "{ran:?}");
    }
    let ran = run(&["report", "-o", "/proc/nothing"]);
    assert!(ran.code == Some(3) && ran.err.contains("cannot make /proc/nothing"), "{ran:?}");
}

#[test]
fn a_disk_that_is_none_is_told() {
    let Ok(dir) = tempfile::TempDir::new_in("/dev/shm") else {
        return crate::helpers::skip("there is no /dev/shm");
    };
    let out = dir.path().to_str().unwrap();
    let args =
        ["report", "--repeats", "1", "--warmup", "0", "--ops-read", "10", "--ops-write", "10", "--fsync", "none"];
    let ran = run(&[&args[..], &["-o", out]].concat());
    assert!(ran.code == Some(0) && ran.err.contains("in memory and not on a disk"), "{ran:?}");
}
