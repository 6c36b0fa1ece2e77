//! `kvred bench report`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::helpers::terminal::started_by;
use crate::helpers::{Exit, peer, wait_until};
use crate::kit::{bench, finish, run};
use crate::results::interrupt;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What is in a directory, in order.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
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
    assert!(ran.stderr.starts_with(&format!("writing to {out}\n")), "the path comes first: {}", ran.stderr);
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
    assert!(!text.contains("Partial"));
    assert_eq!(names_in(&root), ["charts", "raw", "summary.md"], "the servers' data is removed");
    assert!(!root.join("raw/unfinished.json").exists());

    // Another one does not take its place.
    let ran = run(&[&small[..], &["--fsync", "none", "-o", out]].concat());
    assert_eq!((ran.code, ran.stderr), (Some(3), refusal(out)));
    assert_eq!(json(&root.join("raw/results.json")), results);
}

#[test]
fn the_summary_tells_of_each_peer_whether_kvred_is_faster() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = dir.path().join("report");
    let twin = format!("twin={}", env!("CARGO_BIN_EXE_kvred"));
    let mut args = vec!["report", "--repeats", "1", "--warmup", "0", "--ops-read", "50", "--ops-write", "10"];
    args.extend(["--fsync", "none", "--peer", &twin, "-o", root.to_str().unwrap()]);
    let ran = run(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let summary = json(&root.join("raw/summary.json"));
    let rate = |server: &str, test: &str| {
        let mut lines = summary["results"].as_array().unwrap().iter();
        lines.find(|line| line["server"] == server && line["test"] == test).unwrap()["ops_per_sec"].as_f64().unwrap()
    };
    let text = fs::read_to_string(root.join("summary.md")).unwrap();
    for test in ["ping", "get", "exists", "set", "del"] {
        let row = |server: &str| {
            let start = format!("| {} | {server} | ", test.to_uppercase());
            text.lines().find(|line| line.starts_with(&start)).unwrap()
        };
        let ratio = format!("{:.2}", rate("kvred", test) / rate("twin", test));
        assert!(row("twin").ends_with(&format!(" | {ratio} ({ratio}…{ratio}), one run: unknown |")), "{text}");
        assert!(row("kvred").ends_with(" |  |"), "{text}");
    }
    let mut rows = text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count());
    assert!(rows.all(|bars| bars == 14), "{text}");
}

/// What is said where there is a report already.
fn refusal(out: &str) -> String {
    format!("kvred: there is a report in {out} already; name a new folder, or --resume\n")
}

#[test]
fn an_interrupted_report_keeps_what_was_finished() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = dir.path().join("a report");
    let out = root.to_str().unwrap();
    let saved = root.join("raw/summary.json");
    let has_exists = || fs::read_to_string(&saved).is_ok_and(|text| text.contains("\"exists\""));
    let ran = interrupted(out, has_exists);
    assert_eq!(json(&saved)["partial"], true);
    assert!(fs::read_to_string(root.join("summary.md")).unwrap().contains("**Partial**"));
    assert!(root.join("charts/fsync-always.svg").exists());
    assert_eq!(names_in(&root), ["charts", "raw", "summary.md"]);
    assert!(ran.stderr.contains(&format!("kvred bench report --resume '{out}'")), "{ran:?}");

    let again = run(&["report", "-o", out]);
    assert_eq!((again.code, again.stderr), (Some(3), refusal(out)), "nor is it begun anew");

    // Gone on with, as if it had been asked for one round more than is there, and for one policy.
    let before = runs(&root);
    let rounds = before.iter().map(|run| run["run"].as_u64().unwrap()).max().unwrap() + 1;
    rewrite(&root, |book| {
        book["settings"]["repeats"] = rounds.into();
        book["policies"] = vec!["always"].into();
    });
    let ran = run(&["report", "--resume", out]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let after = runs(&root);
    assert_eq!(after[..before.len()], before[..], "what was finished stays");
    let mut finished: Vec<_> = after.iter().map(|r| (r["test"].to_string(), r["run"].as_u64())).collect();
    finished.sort();
    finished.dedup();
    assert_eq!((finished.len(), after.len()), (5 * rounds as usize, 5 * rounds as usize), "each run once");
    let summary = json(&saved);
    let exists = summary["results"].as_array().unwrap().iter().find(|line| line["test"] == "exists").unwrap();
    assert_eq!((&summary["partial"], &exists["operations"]), (&false.into(), &(50 * rounds).into()));
    assert!(exists["latency_us"]["p50"].as_f64() > Some(0.0));
    assert!(!fs::read_to_string(root.join("summary.md")).unwrap().contains("Partial"));
    let ran = run(&["report", "--resume", out]);
    assert!(ran.code == Some(3) && ran.stderr.contains("is no report to go on with: it is finished"), "{ran:?}");
    let ran = run(&["report", "--resume", &dir.path().join("nothing").display().to_string()]);
    assert!(ran.code == Some(3) && ran.stderr.contains("unfinished.json: No such file"), "{ran:?}");
}

/// A report that is interrupted once enough of it is there.
fn interrupted(out: &str, enough: impl Fn() -> bool) -> Exit {
    let args = ["report", "--repeats", "1000", "--warmup", "0", "--ops-read", "50", "--ops-write", "10", "-o", out];
    let child = bench(&args).spawn().unwrap();
    wait_until("enough runs are finished", enough);
    interrupt(&child);
    let ran = finish(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    ran
}

/// Whoever closes the terminal does not leave servers behind.
#[test]
fn a_hangup_ends_the_servers_of_a_report() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = dir.path().join("report");
    let args = ["report", "--repeats", "1000", "--warmup", "0", "--ops-read", "50", "--ops-write", "10", "-o"];
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP");
    let mut command = started_by(env, bench(&args).arg(&root));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("a run is finished", || root.join("raw/unfinished.json").exists());
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let servers: Vec<&str> = children.split_whitespace().collect();
    assert!(!servers.is_empty());
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    let ran = finish(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let lives = |pid: &&str| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with(env!("CARGO_BIN_EXE_kvred").as_bytes()))
    };
    assert!(!servers.iter().any(lives), "{servers:?}");
    assert_eq!(names_in(&root), ["charts", "raw", "summary.md"]);
}

fn runs(root: &Path) -> Vec<Value> {
    json(&root.join("raw/results.json"))["results"].as_array().unwrap().clone()
}

/// Changes what an interrupted report has saved to go on with.
fn rewrite(root: &Path, change: impl FnOnce(&mut Value)) {
    let path = root.join("raw/unfinished.json");
    let mut book = json(&path);
    change(&mut book);
    fs::write(&path, book.to_string()).unwrap();
}

#[test]
fn files_of_others_in_its_folder_stay_also_when_it_is_gone_on_with() {
    let dir = tempfile::TempDir::new().unwrap();
    let out = dir.path().to_str().unwrap();
    let files = ["data/mine", "data/kvred-none/mine", "servers/mine"];
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "kept").unwrap();
    }
    let unfinished = dir.path().join("raw/unfinished.json");
    interrupted(out, || unfinished.exists());
    rewrite(dir.path(), |book| {
        book["settings"]["repeats"] = 1.into();
        book["policies"] = vec!["none"].into();
    });
    let ran = run(&["report", "--resume", out]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for file in files {
        assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), "kept", "{file}");
    }
    assert_eq!(names_in(dir.path()), ["charts", "data", "raw", "servers", "summary.md"]);
}

#[test]
fn runs_of_other_machines_or_servers_are_not_mixed_in() {
    let dir = tempfile::TempDir::new().unwrap();
    let out = dir.path().to_str().unwrap();
    let unfinished = dir.path().join("raw/unfinished.json");
    interrupted(out, || unfinished.exists());
    rewrite(dir.path(), |book| book["servers"]["kvred"]["kvred_version"] = "0.0.1".into());
    let ran = run(&["report", "--resume", out]);
    assert!(ran.code == Some(1) && ran.stderr.contains("kvred was kvred 0.0.1 when the report began"), "{ran:?}");
    rewrite(dir.path(), |book| book["host"]["cpu"] = "an abacus".into());
    let ran = run(&["report", "--resume", out]);
    assert!(ran.code == Some(1) && ran.stderr.contains("on another machine"), "{ran:?}");
    fs::write(&unfinished, "{}").unwrap();
    let ran = run(&["report", "--resume", out]);
    assert!(ran.code == Some(3) && ran.stderr.contains("unfinished.json"), "{ran:?}");
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
        assert!(ran.code == Some(3) && ran.stderr.contains(word), "{ran:?}");
    }
    let ran = run(&["report", "-o", "/proc/nothing"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("cannot make /proc/nothing"), "{ran:?}");
}

#[test]
fn a_program_whose_path_is_not_utf_8_is_refused_before_anything_is_measured() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::TempDir::new().unwrap();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir(&odd).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kvred"), odd.join("kvred")).unwrap();
    let mut command = bench(&["report", "--server-bin", "./kvred"]);
    let ran = finish(command.current_dir(&odd).spawn().unwrap());
    assert!(ran.code == Some(3) && ran.stderr.contains("is not UTF-8"), "{ran:?}");
    assert_eq!(fs::read_dir(&odd).unwrap().count(), 1, "nothing was begun");

    // Where the report lies is noted nowhere.
    let mut command = bench(&["report", "--repeats", "1", "--warmup", "0", "--ops-read", "10", "--ops-write", "10"]);
    let ran = finish(command.args(["--fsync", "none"]).current_dir(&odd).spawn().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn errors_name_their_run_and_exit_1() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::TempDir::new().unwrap();
    let wrapper = dir.path().join("full-kvred");
    let kvred = env!("CARGO_BIN_EXE_kvred");
    let script =
        format!("#!/bin/sh\n[ \"$1\" = serve ] && exec '{kvred}' \"$@\" --maxmemory 1kb\nexec '{kvred}' \"$@\"\n");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
    let root = dir.path().join("report");
    let mut args = vec!["report", "--repeats", "2", "--warmup", "1", "--ops-read", "20", "--ops-write", "10"];
    args.extend(["--fsync", "none", "--server-bin", wrapper.to_str().unwrap(), "-o", root.to_str().unwrap()]);
    let ran = run(&args);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let summary = fs::read_to_string(root.join("summary.md")).unwrap();
    for round in ["warm-up", "run 1", "run 2"] {
        let problem = format!("none kvred set, {round}: 10 of 10 replies were errors, the first: OOM");
        assert_eq!(
            (ran.stderr.matches(&problem).count(), summary.matches(&problem).count()),
            (1, 1),
            "{ran:?} {summary}"
        );
    }
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
    assert!(ran.code == Some(0) && ran.stderr.contains("in memory and not on a disk"), "{ran:?}");
}
