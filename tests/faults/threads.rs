//! A system that gives no more threads: at a start, at a stop, and to the tools.

use crate::helpers::{Exit, Launch, command, traced, wait_until};
use crate::rig::{TracedStart, Tracer, Whom};

const THREADS: &str = "trace=clone,clone3,fdatasync";

#[test]
fn a_start_that_is_given_too_few_threads_says_so() {
    let launch = Launch::new().args(&["--threads", "2"]);
    let mut told = Vec::new();
    for given in 0.. {
        // Counted for each thread that asks: the main one has most of them started.
        let refused = format!("inject=clone,clone3:error=EAGAIN:when={}+", given + 1);
        let Some(started) = TracedStart::new(&launch, &["-e", THREADS, "-e", &refused]).run() else { return };
        match started {
            Err(exit) => {
                exit.expect(3, &["cannot start ", "ulimit -u", "TasksMax=", "pids.max", "temporarily unavailable"]);
                let (_, what) = exit.stderr.split_once("cannot start ").unwrap();
                told.push(what.split(" (").next().unwrap().to_owned());
            }
            Ok(server) => {
                server.connect().set("k", "v");
                server.terminate().expect(0, &[]);
                break;
            }
        }
    }
    told.dedup();
    let all =
        ["the thread that loads the log", "the log's threads", "a worker thread", "the thread that closes the log"];
    assert_eq!(told, all);
}

/// By the one that reads: none helps it.
#[test]
fn a_log_is_loaded_where_the_first_thread_for_it_is_refused() {
    let launch = Launch::on_log(command(&["SET", "k", "v"]));
    let log = launch.log_path();
    let refused = "inject=clone,clone3:error=EAGAIN:when=1";
    let Some(output) = traced(&["-e", THREADS, "-e", refused], &["aof", "rewrite", log.to_str().unwrap()]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("(INJECTED)"), "no thread was refused: {said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(launch.start().connect().get("k"), Some(b"v".to_vec()));
}

#[test]
fn tools_that_are_given_no_thread_say_so() {
    let launch = Launch::on_log(command(&["SET", "k", "v"]));
    let server = Launch::new().start();
    let (log, port) = (launch.log_path(), server.port().to_string());
    let refused = "inject=clone,clone3:error=EAGAIN";
    for (args, what) in [
        (&["aof", "rewrite", log.to_str().unwrap()][..], "the thread that hears an interrupt"),
        (&["bench", "-p", &port, "-n", "10", "--threads", "2"], "a thread for connections"),
        (&["cli", "-p", &port, "--pipe"], "the thread that reads the input"),
    ] {
        let Some(output) = traced(&["-e", THREADS, "-e", refused], args) else { return };
        let told = format!("cannot start {what} (limits are ulimit -u, TasksMax= of a systemd unit");
        Exit::of(output).expect(3, &[&told, "temporarily unavailable"]);
    }
    assert_eq!(launch.start().connect().get("k"), Some(b"v".to_vec()));
}

#[test]
fn a_stop_syncs_though_the_system_gives_no_more_threads() {
    let server = Launch::new().args(&["--fsync", "none"]).start();
    let mut client = server.connect();
    client.set("k", "v");
    let tasks = format!("/proc/{}/task", server.pid());
    wait_until("no thread is kept that something could be given to", || {
        let mut names = std::fs::read_dir(&tasks).unwrap().flatten().map(|task| {
            // A thread that ends meanwhile has no name.
            std::fs::read_to_string(task.path().join("comm")).unwrap_or_default()
        });
        names.all(|name| !name.starts_with("tokio"))
    });
    let refused = "inject=clone,clone3:error=EAGAIN";
    let Some(tracer) = Tracer::attach(&server, Whom::All, &[THREADS, refused]) else { return };
    let launch = server.launch().clone();
    server.terminate().expect(0, &["stopped"]);
    let calls = tracer.detach();
    assert!(calls.contains("fdatasync("), "{calls}");
    assert_eq!(launch.start().connect().get("k"), Some(b"v".to_vec()));
}
