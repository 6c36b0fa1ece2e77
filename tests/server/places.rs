//! Where it listens: unix sockets that may be somebody's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::helpers::{Launch, program, skip};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A user for whom the rights of files count.
fn without_capabilities(launch: &Launch) -> Option<Launch> {
    if is_root() {
        program("setpriv")?;
        return Some(launch.clone().under(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]));
    }
    Some(launch.clone())
}

/// The server refuses to start, says why, and has left the socket and the directory of the log as they were.
fn expect_left_alone(launch: &Launch, socket: &str, why: &str) {
    let path = launch.dir().join(socket);
    let count = || fs::read_dir(launch.dir()).unwrap().count();
    let before = (path.symlink_metadata().unwrap().ino(), count());
    let exit = launch.clone().args(&["--unixsocket", socket]).refused();
    exit.expect(3, &["cannot listen on the unix socket", why]);
    assert_eq!((path.symlink_metadata().unwrap().ino(), count()), before, "{}", exit.stderr);
}

#[test]
fn a_unix_socket_that_may_be_somebodys_stays() {
    let launch = Launch::new();
    let _datagrams = UnixDatagram::bind(launch.dir().join("datagrams")).unwrap();
    expect_left_alone(&launch, "datagrams", "whether a server listens on it cannot be told");
    let closed = launch.dir().join("closed");
    let _listener = UnixListener::bind(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    if let Some(launch) = without_capabilities(&launch) {
        expect_left_alone(&launch, "closed", "whether a server listens on it cannot be told: Permission denied");
    }
}

/// A connection would wait until one of those before it is accepted.
#[test]
fn a_unix_socket_whose_queue_is_full_is_in_use() {
    let launch = Launch::new();
    let address = SockAddr::unix(launch.dir().join("s")).unwrap();
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        let one = socket();
        one.set_nonblocking(true).unwrap();
        match one.connect(&address) {
            Ok(()) => waiting.push(one),
            Err(e) => break e,
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    expect_left_alone(&launch, "s", "address in use");
}

#[test]
fn a_left_unix_socket_that_cannot_be_removed_is_told_before_a_log_is_begun() {
    const OTHER: u32 = 65534;
    if !is_root() {
        return skip("only root can give files to others");
    }
    let launch = Launch::new();
    let Some(launch) = without_capabilities(&launch) else { return };
    let shared = launch.dir().join("shared");
    fs::create_dir(&shared).unwrap();
    let path = shared.join("s");
    drop(UnixListener::bind(&path).unwrap());
    for (path, mode) in [(&path, 0o777), (&shared, 0o1777)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        chown(path, Some(OTHER), Some(OTHER)).unwrap();
    }
    expect_left_alone(&launch, "shared/s", "cannot be removed: Operation not permitted");
}
