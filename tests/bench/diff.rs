//! `kvred bench diff`.

use serde_json::Value;

use crate::kit::{fake, memory_server, run, run_at};

/// Changes a result that was saved.
fn change(path: &str, how: impl FnOnce(&mut Value)) {
    let mut result: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    how(&mut result);
    std::fs::write(path, result.to_string()).unwrap();
}

/// What a run says of the machine it is on, these tests do not.
fn no_warnings() -> Value {
    Vec::<Value>::new().into()
}

#[test]
fn two_results_are_compared() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (before, after, slow) = (file("a.json"), file("b.json"), file("slow.json"));
    for (path, seed) in [(&before, 1), (&after, 2)] {
        let flags = format!("-n 200 -r 100 -t ping,get --repeats 3 -c 4 --seed {seed} -o {path}");
        let ran = run_at(server.port(), &flags);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        change(path, |result| result["warnings"] = no_warnings());
    }
    let ran = run(&["diff", &before, &before]);
    assert_eq!((ran.code, &ran.stderr[..]), (Some(0), ""));
    assert_eq!(ran.stdout.matches("no difference").count(), 2, "{ran:?}");
    assert!(!ran.stdout.contains("Measured at other times"), "{ran:?}");
    assert!(ran.stdout.contains("1.00 ("), "the ratio has a spread: {}", ran.stdout);
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    let ran = run(&["diff", &before, &after]);
    assert!(ran.code == Some(0) && ran.stderr.contains("seed was 1 and is 2"), "{ran:?}");
    std::fs::copy(&before, &slow).unwrap();
    change(&slow, a_million_times_slower);
    let ran = run(&["diff", &before, &slow]);
    assert_eq!((ran.stdout.matches("slower").count(), &ran.stderr[..]), (2, ""), "{ran:?}");
    assert!(ran.stdout.contains("\nMeasured at other times: "), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    change(&slow, |result| result["settings"]["rate"] = 1000.into());
    let ran = run(&["diff", &before, &slow]);
    assert!(ran.stderr.contains("rate was null and is 1000"), "{ran:?}");
}

#[test]
fn a_result_that_is_partial_is_told_of() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let [whole, partial] =
        ["whole.json", "partial.json"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let ran = run_at(server.port(), &format!("-n 50 -r 10 -c 1 -t ping -o {whole}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    change(&whole, |result| result["warnings"] = no_warnings());
    std::fs::copy(&whole, &partial).unwrap();
    change(&partial, |result| result["partial"] = true.into());
    for (before, after) in [(&whole, &partial), (&partial, &whole)] {
        let ran = run(&["diff", before, after]);
        assert_eq!(ran.stderr, format!("warning: {partial} is partial: its run ended early\n"), "{ran:?}");
    }
}

/// A server that refuses everything may be the faster one.
#[test]
fn what_makes_a_result_doubtful_is_told() {
    let good = memory_server();
    let [refusing, missing, wrong] =
        ["-OOM no\r\n", "$-1\r\n", ":1\r\n"].map(|reply| fake(reply.as_bytes(), usize::MAX));
    let dir = tempfile::TempDir::new().unwrap();
    let measured = |name: &str, port: u16, tests: &str| {
        let path = dir.path().join(name).to_str().unwrap().to_owned();
        let ran = run_at(port, &format!("-n 50 -r 10 -c 1 -t {tests} -o {path}"));
        change(&path, |result| result["warnings"] = no_warnings());
        (path, ran.code)
    };
    let (before, code) = measured("before.json", good.port(), "set,get");
    assert_eq!(code, Some(0));
    for (name, port, tests, says) in [
        ("errors.json", refusing, "set", "50 of 50 replies of set were errors"),
        ("misses.json", missing, "get", "50 of 50 replies of get missed keys that should be there"),
        ("wrong.json", wrong, "get", "50 of 50 replies of get were wrong"),
    ] {
        let (after, code) = measured(name, port, tests);
        assert_eq!(code, Some(1), "{name}");
        for (first, second) in [(&before, &after), (&after, &before)] {
            let ran = run(&["diff", first, second]);
            let only = format!("only {before} has the test {}", if tests == "set" { "get" } else { "set" });
            let told = |line: &str| ran.stderr.lines().filter(|said| *said == format!("warning: {line}")).count();
            assert_eq!((ran.code, told(&format!("{after}: {says}")), told(&only)), (Some(0), 1, 1), "{ran:?}");
        }
    }
    change(&before, |result| result["warnings"] = vec!["the clock is coarse"].into());
    let ran = run(&["diff", &before, &before]);
    assert_eq!(ran.stderr, format!("warning: {before}: the clock is coarse\n").repeat(2), "{ran:?}");
}

/// A result as a slower server would give it. Measured, it might not be slower: on a busy machine anything is slow.
fn a_million_times_slower(result: &mut Value) {
    let slow_down = |rate: &mut Value| *rate = (rate.as_f64().unwrap() / 1e6).into();
    for test in result["results"].as_array_mut().unwrap() {
        for name in ["ops_per_sec", "min", "median", "max"] {
            slow_down(&mut test[name]);
        }
        for run in test["runs"].as_array_mut().unwrap() {
            slow_down(&mut run["ops_per_sec"]);
        }
    }
}

/// However slow the server, its rate is the schedule's.
#[test]
fn under_a_rate_the_latencies_decide() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let [before, after] = ["a.json", "b.json"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let ran = run_at(server.port(), &format!("-n 20 -t ping --rate 1000 --repeats 3 -c 1 -o {before}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (path, us) in [(&before, [100.0, 101.0, 102.0]), (&after, [200.0, 201.0, 202.0])] {
        if path == &after {
            std::fs::copy(&before, path).unwrap();
        }
        change(path, |result| {
            for (run, us) in result["results"][0]["runs"].as_array_mut().unwrap().iter_mut().zip(us) {
                run["ops_per_sec"] = 1000.into();
                run["latency_us"]["mean"] = us.into();
            }
        });
    }
    for (first, second, verdict) in
        [(&before, &after, "slower"), (&after, &before, "faster"), (&after, &after, "no difference")]
    {
        let ran = run(&["diff", first, second]);
        let row = ran.stdout.lines().find(|line| line.starts_with("ping ")).unwrap();
        assert!(ran.code == Some(0) && row.ends_with(verdict), "{ran:?}");
        assert!(ran.stdout.contains("\nThe rate was set: the runs' mean latencies decide\n"), "{ran:?}");
    }
}

#[test]
fn results_without_a_common_test_exit_1_as_the_help_says() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let [ping, get] = ["ping", "get"].map(|test| {
        let path = dir.path().join(format!("{test}.json")).to_str().unwrap().to_owned();
        let ran = run_at(server.port(), &format!("-n 50 -r 10 -c 1 -t {test} -o {path}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        path
    });
    let ran = run(&["diff", &ping, &get]);
    assert!(ran.code == Some(1) && ran.stderr.contains("the two have no test in common"), "{ran:?}");
    let help = run(&["diff", "--help"]).stdout;
    assert!(help.contains("\n  1    the two have no test in common\n"), "{help}");
}

#[test]
fn what_is_no_result_is_told() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("x.json").to_str().unwrap().to_owned();
    std::fs::write(&path, "{\"results\": []}").unwrap();
    let ran = run(&["diff", &path, &path]);
    assert!(ran.code == Some(3) && ran.stderr.contains("is no result of kvred bench"), "{ran:?}");
    let ran = run(&["diff", "/nonexistent/a", &path]);
    assert!(ran.code == Some(3) && ran.stderr.contains("/nonexistent/a"), "{ran:?}");
}

#[test]
fn what_a_handed_over_result_says_cannot_steer_the_terminal() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let [ours, theirs] = ["ours.json", "theirs.json"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let ran = run_at(server.port(), &format!("-n 50 -r 10 -c 1 -t ping -o {ours}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut result: Value = serde_json::from_str(&std::fs::read_to_string(&ours).unwrap()).unwrap();
    let hostile = |what: &str| Value::from(format!("{what}\x1b]0;x\x07\u{9b}2J\r"));
    result["results"][0]["test"] = hostile("test");
    for before in ["old", "new"] {
        for (place, field) in [("host", "cpu"), ("host", "kernel"), ("server", "kvred_version")] {
            result[place][field] = hostile(before);
        }
        std::fs::write(if before == "old" { &ours } else { &theirs }, result.to_string()).unwrap();
    }
    let ran = run(&["diff", &ours, &theirs]);
    assert!(ran.code == Some(0) && ran.stdout.contains("test?]0;x??2J?"), "{ran:?}");
    for what in ["CPU was ", "kernel was ", "server was kvred "] {
        assert!(ran.stderr.contains(&format!("{what}old?]0;x??2J? and is ")), "{ran:?}");
    }
    let said = ran.stdout + &ran.stderr;
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
}
