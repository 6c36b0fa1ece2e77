//! A system that gives no more threads.

use crate::helpers::{Launch, wait_until};
use crate::rig::{Tracer, Whom};

const THREADS: &str = "trace=clone,clone3,fdatasync";

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
