//! A system that refuses what a connection, or the name of a log, had better have.

use crate::helpers::{Launch, Server};
use crate::rig::{TracedStart, Tracer, Whom};

/// Connections are served, and nothing is said, though the system refuses this call so.
fn expect_served(call: &str, refused: &str) {
    let server = Server::start();
    let injected = [&format!("trace={call}")[..], &format!("inject={call}:{refused}")];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &injected) else { return };
    server.connect_served(2);
    assert!(tracer.detach().contains("(INJECTED)"));
    assert!(!server.stderr().contains("cannot be accepted"), "{}", server.stderr());
}

#[test]
fn a_connection_is_served_though_its_socket_takes_no_option() {
    expect_served("setsockopt", "error=EINVAL");
}

/// That would be a reason to pause, and to say so.
#[test]
fn a_connection_that_has_gone_before_it_is_accepted_is_no_failure() {
    // No connection is lost by it here: the next call takes it.
    expect_served("accept4", "error=ECONNABORTED:when=1");
}

#[test]
fn a_file_system_that_cannot_sync_directories_is_told_to_be_such_a_one() {
    let launch = Launch::new();
    for dir in [".", "made/for/it"] {
        for (error, words) in [
            ("EINVAL", &["this file system cannot make names durable (fsync of a directory: ", "use another"][..]),
            ("EIO", &["Input/output error"]),
        ] {
            let injected = format!("inject=fsync:error={error}");
            let launch = launch.clone().args(&["--dir", dir]);
            let Some(started) = TracedStart::new(&launch, &["-e", "trace=fsync", "-e", &injected]).run() else {
                return;
            };
            let exit = started.expect_err("a log whose name may be lost is refused");
            exit.expect(3, words);
            assert_eq!(exit.stderr.contains("use another"), error == "EINVAL", "{}", exit.stderr);
        }
    }
}
