//! What a run says: names, counts, formats, exit codes.

use std::time::Instant;

use serde_json::Value;

use crate::helpers::terminal::Terminal;
use crate::helpers::{Launch, Reply, Server};
use crate::kit::{memory_server, run, run_at};

#[test]
fn json_has_the_documented_names() {
    let server = memory_server();
    let ran = run_at(server.port(), "-n 300 -r 100 -c 3 -t get,set --repeats 2 --format json");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("filled"), "that keys are filled in first is said: {}", ran.stderr);
    let names = |value: &Value| {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    let document = ran.json();
    assert_eq!(names(&document), "host kvred_version partial results server settings warnings");
    assert_eq!(names(&document["host"]), "arch cores cpu kernel memory_bytes");
    let result = &document["results"][0];
    let figures = "errors hits latency_us";
    let rest = "misses operations ops_per_sec partial";
    let last = "seconds server_cpu_us test wrong";
    assert_eq!(names(result), format!("{figures} max median min {rest} runs {last}"));
    assert_eq!(names(&result["runs"][0]), format!("{figures} {rest} {last}"));
    assert_eq!(names(&result["latency_us"]), "max mean p50 p95 p99 p99_9 p99_99");
    assert_eq!((&document["partial"], &result["test"]), (&false.into(), &"get".into()));
    assert_eq!((&result["operations"], &result["hits"], &result["misses"]), (&600.into(), &600.into(), &0.into()));
    let help = run(&["--help"]).stdout;
    for name in [&document, result, &result["latency_us"]].into_iter().flat_map(|v| v.as_object().unwrap().keys()) {
        assert!(help.contains(&name[..]), "{name} is documented");
    }
    assert!(document["server"]["kvred_version"].is_string() && document["settings"]["seed"] == 1);
    let single = run_at(server.port(), "-n 50 -t ping --format json").json();
    assert_eq!(names(&single["results"][0]), format!("{figures} {rest} {last}"), "one run has no spread");
}

#[test]
fn the_server_sees_what_is_counted() {
    let server = memory_server();
    let ran = run_at(server.port(), "-n 1000 -r 1000 -t set --distribution sequential -P 7 -c 3 -d 5-9 --warmup 10");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut client = server.connect();
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(1000));
    let value = client.get("key:000000000999").expect("the last key is there");
    assert!((5..=9).contains(&value.len()));
    // DEL takes each key once, and nothing is there afterwards.
    let ran = run_at(server.port(), "-n 1000 -r 1000 -t del -P 3 --warmup 100 --format json");
    assert_eq!((ran.code, &ran.json()["results"][0]["hits"]), (Some(0), &1000.into()), "{ran:?}");
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(0));
    let ran = run_at(server.port(), "-n 2000 -r 10 -t del --format json");
    assert_eq!((ran.code, &ran.json()["results"][0]["hits"]), (Some(0), &2000.into()), "{ran:?}");
}

#[test]
fn values_are_verified() {
    let server = memory_server();
    let flags = "-r 500 -n 5000 -d 0-200 -P 8 --verify --seed 7";
    assert_eq!(run_at(server.port(), &format!("{flags} --ratio 1:1 --distribution zipf")).code, Some(0));
    // Another program writes what does not belong there, while the values are read.
    let mut client = server.connect();
    let before = calls("get", &mut client);
    let mut child = crate::kit::bench(&["-p", &server.port().to_string(), "-t", "get", "--verify", "-r", "1"]);
    let child = child.args(["--duration", "600", "-c", "1"]).spawn().unwrap();
    crate::helpers::wait_until("the key is read", || calls("get", &mut client) > before);
    client.set("key:000000000000", "spoilt");
    // The last of these is sent when the reply to the one before has been verified.
    let at_least = calls("get", &mut client) + 3;
    crate::helpers::wait_until("it is read again", || calls("get", &mut client) >= at_least);
    interrupt(&child);
    let ran = crate::kit::finish(child);
    assert!(ran.stderr.contains("were wrong, the first: GET key:000000000000 gave another value"), "{ran:?}");
}

/// How many commands of a name the server has executed.
pub(crate) fn calls(name: &str, client: &mut crate::helpers::Client) -> u64 {
    let stats = String::from_utf8(client.ask_words("INFO commandstats").into_bytes()).unwrap();
    let calls = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

pub(crate) fn interrupt(child: &std::process::Child) {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

#[test]
fn a_table_fits_80_columns() {
    let server = memory_server();
    let ran = run_at(server.port(), "-n 500 -r 100 --repeats 3");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    for word in ["ping", "set", "get", "exists", "del", "ops/s", "p99.9", "errors", "hits", "100%", "50 connections"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
}

#[test]
fn csv_has_a_column_for_each_name() {
    let server = memory_server();
    let ran = run_at(server.port(), "-n 100 -r 100 -t ping,get --format csv");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(lines[0].starts_with("server,test,operations,seconds,ops_per_sec,latency_us_mean,latency_us_p50,"));
    assert!(lines.iter().all(|line| line.split(',').count() == lines[0].split(',').count()), "{ran:?}");
    assert!(lines[2].contains(",get,100,"));
}

#[test]
fn a_file_takes_its_format_from_its_name() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("run.json");
    let ran = run_at(server.port(), &format!("-n 100 -t ping -o {}", path.display()));
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("ops/s"), "the table is printed all the same: {}", ran.stdout);
    let saved: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(saved["results"][0]["operations"], 100);
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_the_run() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let dir = dir.path().to_str().unwrap();
    for (path, word) in [
        ("/nonexistent/run.json", "cannot write /nonexistent/run.json: the directory /nonexistent: No such file"),
        (dir, "it is a directory"),
        (&format!("{dir}/new/"), "it is a directory"),
    ] {
        let ran = run_at(server.port(), &format!("-t ping --duration 600 -o {path}"));
        assert!(ran.code == Some(3) && ran.stderr.contains(path) && ran.stderr.contains(word), "{ran:?}");
    }
}

#[test]
fn results_that_cannot_be_written_in_the_end_are_printed() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let (gone, path) = (dir.path().join("gone"), dir.path().join("gone/run.json"));
    std::fs::create_dir(&gone).unwrap();
    let port = server.port().to_string();
    let flags = ["-p", &port, "-t", "set", "--duration", "600", "-o", path.to_str().unwrap()];
    let child = crate::kit::bench(&flags).spawn().unwrap();
    let mut client = server.connect();
    crate::helpers::wait_until("it has begun", || client.get("key:000000000007").is_some());
    std::fs::remove_dir(&gone).unwrap();
    interrupt(&child);
    let ran = crate::kit::finish(child);
    assert!(ran.code == Some(3) && ran.stderr.contains(path.to_str().unwrap()), "{ran:?}");
    assert!(ran.stdout.contains("ops/s") && ran.stdout.contains("set*"), "{ran:?}");
}

#[test]
fn what_is_no_regular_file_stays_what_it_is() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let bench_to = |name: &str| {
        let ran = run_at(server.port(), &format!("-n 100 -t ping --format json -o {}", at(name).display()));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains("ops/s"), "{ran:?}");
    };
    std::fs::write(at("there"), "old").unwrap();
    symlink("there", at("link")).unwrap();
    symlink("new", at("dangling")).unwrap();
    for (link, target) in [("link", "there"), ("dangling", "new")] {
        bench_to(link);
        assert!(at(link).is_symlink(), "{link}");
        let saved: Value = serde_json::from_slice(&std::fs::read(at(target)).unwrap()).unwrap();
        assert_eq!(saved["results"][0]["operations"], 100);
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), 0o600.into()).unwrap();
    let reader = std::thread::spawn({
        let fifo = at("fifo");
        move || std::fs::read(fifo).unwrap()
    });
    bench_to("fifo");
    assert!(std::fs::symlink_metadata(at("fifo")).unwrap().file_type().is_fifo());
    let read: Value = serde_json::from_slice(&reader.join().unwrap()).unwrap();
    assert_eq!(read["results"][0]["operations"], 100);
}

#[test]
fn nothing_but_the_named_file_is_written_and_its_mode_stays() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["run.json", "run.json.new", "victim"] {
        std::fs::write(at(name), "mine").unwrap();
    }
    symlink("victim", at("other.json.new")).unwrap();
    std::fs::set_permissions(at("run.json"), PermissionsExt::from_mode(0o600)).unwrap();
    for name in ["run.json", "other.json"] {
        let ran = run_at(server.port(), &format!("-n 100 -t ping -o {}", at(name).display()));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let saved: Value = serde_json::from_slice(&std::fs::read(at(name)).unwrap()).unwrap();
        assert_eq!(saved["results"][0]["operations"], 100);
    }
    for name in ["run.json.new", "victim"] {
        assert_eq!(std::fs::read_to_string(at(name)).unwrap(), "mine", "{name}");
    }
    assert_eq!(std::fs::metadata(at("run.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5, "nothing else is left");
}

#[test]
fn a_table_in_a_file_is_as_wide_whatever_the_terminal() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("run.txt");
    let mut command = Launch::binary();
    command.args(["bench", "-p", &server.port().to_string(), "-t", "ping", "-n", "100", "-o"]).arg(&path);
    let (screen, code) = Terminal::sized(&command, 44, 24).ends();
    assert!(code == 0 && !screen.contains("p95"), "{code}: {screen:?}");
    let saved = std::fs::read_to_string(path).unwrap();
    assert!(saved.contains("mean us") && saved.contains("p95"), "{saved}");
}

#[test]
fn a_dash_means_the_standard_output() {
    let server = memory_server();
    for name in ["-", "/proc/self/fd/1"] {
        let ran = run_at(server.port(), &format!("-n 100 -t ping -o {name}"));
        assert_eq!((ran.code, &ran.json()["results"][0]["operations"]), (Some(0), &100.into()), "{name}: {ran:?}");
    }
    assert!(!std::path::Path::new("-").exists());
}

#[test]
fn thresholds_decide_the_exit_code() {
    let server = memory_server();
    let port = server.port();
    assert_eq!(run_at(port, "-n 100 -t ping --fail-if errors>0 --fail-if p99>100s").code, Some(0));
    let ran = run_at(port, "-n 100 -t ping,set --fail-if set.ops_per_sec<1000M");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("failed: set: set.ops_per_sec<1000M") && !ran.stderr.contains("failed: ping"),
        "{ran:?}"
    );
    assert_eq!(run_at(port, "-n 100 -r 10 -t ping,get --fail-if hit_rate<1").code, Some(0));
    assert_eq!(run_at(port, "-n 100 -r 10 -t GET --fail-if GET.hit_rate<1").code, Some(0));
    for (flags, word) in [
        ("--fail-if p98>1", "no metric"),
        ("-t get --fail-if set.p99>1", "not among those that run"),
        ("-t ping,set --fail-if hit_rate<2", "there is no hit_rate"),
        ("-t ping,get --fail-if ping.hit_rate<2", "there is no hit_rate"),
    ] {
        let ran = run_at(port, flags);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(word), "{ran:?}");
    }
}

#[test]
fn tests_are_named_in_any_case_and_run_once() {
    let server = memory_server();
    let compare = format!("--repeats 1 --compare 127.0.0.1:{}", server.port());
    let ran = run_at(server.port(), &format!("-n 100 -r 10 -t PING,Get,ping,GET,Ping {compare} --format json"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json();
    for list in [&document["results"], &document["compare"]["results"], &document["compare"]["ratios"]] {
        let tests: Vec<_> = list.as_array().unwrap().iter().map(|entry| &entry["test"]).collect();
        assert_eq!(tests, ["ping", "get"], "{ran:?}");
    }
}

#[test]
fn wrong_usage_exits_2() {
    for flags in [
        "-n 5 --duration 1",
        "-t nonsense",
        "-n 0",
        "-c 0",
        "-P 0",
        "-d 9-1",
        "--ratio 1",
        "--ratio 1:1 -t get",
        "--rate 0",
        "--duration 0",
        "-r 0",
        "--compare nowhere",
        "--user ann",
        "report --repeats 0",
        "report --resume x --repeats 3",
        "report --peer redis",
        "diff one",
    ] {
        let ran = run(&flags.split_whitespace().collect::<Vec<_>>());
        assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""), "{flags}: {ran:?}");
    }
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--fail-if") && help.stdout.contains("KVRED_PORT"));
}

#[test]
fn a_duration_ends_a_run() {
    let server = memory_server();
    let began = Instant::now();
    let ran = run_at(server.port(), "-t get -r 100 --duration 1 --format json");
    let took = began.elapsed().as_secs_f64();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()["partial"], false);
    let seconds = ran.json()["results"][0]["seconds"].as_f64().unwrap();
    assert!(took >= 1.0 && seconds > 0.0 && seconds < took, "{took} s: {ran:?}");
    // All keys are gone long before the time is over.
    let ran = run_at(server.port(), "-t del -r 100 --duration 600");
    assert!(ran.code == Some(0) && ran.stderr.contains("all 100 keys were deleted"), "{ran:?}");
    // What the rate would have sent of a time that was not needed is not missed.
    let ran = run_at(server.port(), "-t del -r 100 --rate 1000 --duration 600");
    assert!(ran.code == Some(0) && ran.stderr.contains("all 100 keys were deleted"), "{ran:?}");
    assert!(!ran.stderr.contains("not sent in time"), "{ran:?}");
}

/// The first request leaves at once: it must not be counted as if it had no time of its own.
#[test]
fn an_open_loop_is_told_as_no_faster_than_its_rate() {
    let server = memory_server();
    for length in ["--duration 0.5", "-n 5"] {
        let ran = run_at(server.port(), &format!("-t ping -c 1 --rate 10 {length} --format json"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let result = &ran.json()["results"][0];
        let told = |name: &str| result[name].as_f64().unwrap();
        assert!(told("operations") <= 5.0 && told("ops_per_sec") <= 10.0, "{length}: {result}");
        assert!(told("seconds") >= 0.5, "{length}: {result}");
    }
}

#[test]
fn passwords_and_sockets_work_as_for_the_cli() {
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("s").to_str().unwrap().to_owned();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "pass word\n").unwrap();
    let secret = secret.to_str().unwrap();
    let server = Server::start_with(&["--requirepass-file", secret, "--unixsocket", &socket]);
    let port = server.port().to_string();
    let flags = ["-n", "100", "-t", "set,get", "-r", "10"];
    let with = |more: &[&str]| {
        let mut command = crate::kit::bench(more);
        command.args(flags);
        command
    };
    let code = |mut command: std::process::Command| crate::kit::finish(command.spawn().unwrap()).code;
    assert_eq!(code(with(&["-p", &port, "--password-file", secret])), Some(0));
    assert_eq!(code(with(&["-s", &socket, "--password-file", secret])), Some(0));
    assert_eq!(code(with(&["-u", &format!("redis://:pass%20word@127.0.0.1:{port}")])), Some(0));
    let mut command = with(&["-p", &port]);
    command.env("KVRED_PASSWORD", "pass word");
    assert_eq!(code(command), Some(0));
    assert_eq!(code(with(&["-p", &port, "-a", "wrong"])), Some(1));
    let mut admin = server.connect();
    admin.ask(&["AUTH", "pass word"]);
    admin.ask_words("CONFIG RESETSTAT");
    let ran = crate::kit::finish(with(&["-p", &port]).spawn().unwrap());
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""));
    assert!(ran.stderr.contains("INFO failed: NOAUTH") && ran.stderr.contains("--password-file"), "{ran:?}");
    let stats = String::from_utf8(admin.ask_words("INFO commandstats").into_bytes()).unwrap();
    assert!(!stats.contains("cmdstat_set:"), "nothing is sent that would be refused: {stats}");
}
