//! The server's CPU time.

use serde_json::Value;

use crate::helpers::peer::{Peer, SERVERS};
use crate::helpers::terminal::Terminal;
use crate::kit::{bench, fake, finish, memory_server, run, run_at, stalling, telling};

/// Of the first run the first server's children have half, and of the second its clock has made no step.
const FIRST: &[&str] = &[
    "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\nused_cpu_sys_children:9.5\r\nused_cpu_user_children:1\r\n",
    "used_cpu_sys:1.51\r\nused_cpu_user:2.26\r\nused_cpu_sys_children:9.505\r\nused_cpu_user_children:1.015\r\n",
    "used_cpu_sys:2.0\r\nused_cpu_user:3.0\r\n",
    "used_cpu_sys:2.0\r\nused_cpu_user:3.0\r\n",
];
const SECOND: &[&str] = &[
    "used_cpu_sys:0.0\r\nused_cpu_user:0.0\r\n",
    "used_cpu_sys:0.04\r\nused_cpu_user:0.0\r\n",
    "used_cpu_sys:0.04\r\nused_cpu_user:0.0\r\n",
    "used_cpu_sys:0.04\r\nused_cpu_user:0.04\r\n",
];

/// Neither what is warmed up with nor what is done between the runs counts.
#[test]
fn what_a_server_tells_of_its_cpu_is_of_the_runs() {
    let flags = "-t ping -n 100 -c 2 --warmup 50 --repeats 2 --compare";
    let ran = run_at(telling(FIRST), &format!("{flags} 127.0.0.1:{} --format json", telling(SECOND)));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json();
    let told = |result: &Value| [&result["runs"][0], &result["runs"][1], result].map(|r| r["server_cpu_us"].as_f64());
    assert_eq!(told(&document["results"][0]), [400.0, 0.0, 200.0].map(Some), "{document}");
    assert_eq!(told(&document["compare"]["results"][0]), [400.0, 400.0, 400.0].map(Some), "{document}");
    assert_eq!(document["compare"]["ratios"][0]["server_cpu_ratio"], 0.5, "{document}");

    let ran = run_at(telling(FIRST), &format!("{flags} 127.0.0.1:{}", telling(SECOND)));
    let mut lines = ran.stdout.lines().skip_while(|line| !line.starts_with("test ratio of ops/s"));
    assert!(lines.next().unwrap().contains(" server CPU "), "{ran:?}");
    let ratios: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!((ratios[0], ratios[3]), ("ping", "0.50"), "{ran:?}");

    let ran = run_at(telling(FIRST), &format!("{flags} 127.0.0.1:{} --format csv", telling(SECOND)));
    let lines: Vec<_> = ran.stdout.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(lines, ["server_cpu_us", "200", "400"], "{ran:?}");
}

#[test]
fn a_server_that_tells_nothing_of_its_cpu_is_measured_all_the_same() {
    const RESTARTED: &[&str] = &[SECOND[3], SECOND[0]];
    const HALF: &[&str] = &["used_cpu_sys:1.0\r\n", "used_cpu_sys:2.0\r\n"];
    const NONSENSE: &[&str] = &["used_cpu_sys:x\r\nused_cpu_user:1\r\n", "used_cpu_sys:nan\r\nused_cpu_user:1\r\n"];
    let pong = || fake(b"+PONG\r\n", usize::MAX);
    for port in [pong(), telling(&[]), telling(&FIRST[..1]), telling(RESTARTED), telling(HALF), telling(NONSENSE)] {
        let ran = run_at(port, "-t ping -n 100 -c 2 --format json");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stderr.contains("INFO"), "{ran:?}");
        assert_eq!(ran.json()["results"][0].get("server_cpu_us"), Some(&Value::Null), "{ran:?}");
    }
    let ran = run_at(pong(), &format!("-t ping -n 100 -c 2 --repeats 2 --compare 127.0.0.1:{}", telling(SECOND)));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ratios: Vec<_> = ran.stdout.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((ratios[0], ratios[3]), ("ping", "-"), "{ran:?}");
}

/// Long enough that the clock of kvred, with its steps of 10 ms, has made some.
#[test]
fn the_servers_tell_their_cpu_time() {
    let tells = |name: &str, port: u16| {
        let began = std::time::Instant::now();
        let ran = run_at(port, "-t ping -n 50000 --format json");
        let most =
            (began.elapsed().as_secs_f64() * std::thread::available_parallelism().unwrap().get() as f64 + 0.02) * 1e6;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let us = ran.json()["results"][0]["server_cpu_us"].as_f64();
        assert!(us.is_some_and(|us| us > 0.0 && us * 50_000.0 < most), "{name}: {ran:?}");
    };
    let server = memory_server();
    tells("kvred", server.port());
    for name in SERVERS {
        let dir = tempfile::TempDir::new().unwrap();
        let Some(peer) = Peer::start(name, dir.path()) else { continue };
        tells(name, peer.port());
    }
}

/// What other columns there are, a narrow one keeps.
#[test]
fn a_table_has_it_where_there_is_room() {
    let table = |port: u16, columns: u16| {
        let command = bench(&["-p", &port.to_string(), "-t", "ping", "-n", "10", "-c", "2"]);
        let (screen, code) = Terminal::sized(&command, columns, 24).ends();
        assert_eq!(code, 0, "{screen}");
        let header = screen.lines().find(|line| line.starts_with("test ")).unwrap();
        (header.trim_end().to_owned(), screen)
    };
    let (wide, screen) = table(telling(FIRST), 120);
    assert!(wide.ends_with(" hits cpu us") && screen.contains(" 4000\r\n"), "{screen}");
    // Latencies of 50 ms and more are all as wide: 64 columns without it, 71 with it.
    let (narrow, screen) = table(stalling(0), 65);
    assert!(narrow.ends_with(" hits") && narrow.contains(" mean us ") && narrow.contains(" p95 "), "{screen}");
}

/// As before there was such a figure.
#[test]
fn a_result_without_it_is_read() {
    let server = memory_server();
    let dir = tempfile::TempDir::new().unwrap();
    let [new, old] = ["new.json", "old.json"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let compare = format!("127.0.0.1:{}", server.port());
    let flags = ["-p", &server.port().to_string(), "-t", "ping", "-n", "100", "--compare", &compare, "-o", &new];
    assert_eq!(finish(bench(&flags).spawn().unwrap()).code, Some(0));
    let mut result: Value = serde_json::from_str(&std::fs::read_to_string(&new).unwrap()).unwrap();
    // What it says of the machine, diff says again.
    result["warnings"] = Vec::<Value>::new().into();
    std::fs::write(&new, result.to_string()).unwrap();
    let removed = without(&mut result, "server_cpu_us") + without(&mut result, "server_cpu_ratio");
    assert_eq!(removed, 2 * 6 + 1, "of two results and their five runs, and of a ratio");
    std::fs::write(&old, result.to_string()).unwrap();
    let ran = run(&["diff", &old, &new]);
    assert_eq!((ran.code, &ran.stderr[..]), (Some(0), ""), "{ran:?}");
}

/// Removes a field wherever it is, and says how often that was.
fn without(value: &mut Value, name: &str) -> usize {
    match value {
        Value::Object(map) => {
            usize::from(map.remove(name).is_some()) + map.values_mut().map(|value| without(value, name)).sum::<usize>()
        }
        Value::Array(items) => items.iter_mut().map(|value| without(value, name)).sum(),
        _ => 0,
    }
}
