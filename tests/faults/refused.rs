//! A system that refuses what a connection had better have.

use crate::helpers::Server;
use crate::rig::{Tracer, Whom};

#[test]
fn a_connection_is_served_though_its_socket_takes_no_option() {
    let server = Server::start();
    let injected = ["trace=setsockopt", "inject=setsockopt:error=EINVAL"];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &injected) else { return };
    server.connect_served(2);
    assert!(tracer.detach().contains("(INJECTED)"));
    assert!(!server.stderr().contains("cannot be accepted"), "{}", server.stderr());
}

/// That would be a reason to pause, and to say so.
#[test]
fn a_connection_that_has_gone_before_it_is_accepted_is_no_failure() {
    let server = Server::start();
    let injected = ["trace=accept4", "inject=accept4:error=ECONNABORTED:when=1"];
    let Some(tracer) = Tracer::attach(&server, Whom::All, &injected) else { return };
    // No connection is lost by it here: the next call takes it.
    server.connect_served(2);
    assert!(tracer.detach().contains("(INJECTED)"));
    assert!(!server.stderr().contains("cannot be accepted"), "{}", server.stderr());
}
