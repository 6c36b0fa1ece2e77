//! What takes as long as a server is waited for. Tests start by their names, and of all modules this one's is the
//! first: the others run meanwhile.

use crate::helpers::wait_until;
use crate::kit::{bench, finish, hanging};

/// In a closed loop and in an open one.
#[test]
fn a_server_that_hangs_in_the_middle_is_given_up_and_leaves_partial_results() {
    let port = hanging(b"+PONG\r\n", 50).to_string();
    let both = ["-n 1000", "-n 1000 --rate 10000"].map(|flags| {
        let flags = flags.split(' ');
        let mut command = bench(&["-p", &port, "-t", "ping", "-c", "1", "--format", "json"]);
        command.args(flags).spawn().unwrap()
    });
    for mut child in both {
        wait_until("it gives up", || child.try_wait().unwrap().is_some());
        let ran = finish(child);
        // The first reply is the one that shows that the connection is there.
        assert_eq!((ran.code, &ran.json()["results"][0]["operations"]), (Some(3), &49.into()), "{ran:?}");
        assert!(ran.stderr.contains("the server has not answered for 30 s"), "{ran:?}");
    }
}
