//! Where it listens: addresses in each other's way, and unix sockets that may be somebody's.

use std::fs::{self, Permissions};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};

use socket2::{Domain, SockAddr, Socket, Type};

use super::tls::certs::{Authority, Kind};
use crate::helpers::{Client, Launch, Reply, Server, command, free_port, program, skip};

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
    expect_left_alone(&launch, "s", "address already in use; stop what listens there");
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

#[test]
fn addresses_in_each_others_way_exit_2_before_a_log_is_begun() {
    let launch = Launch::new();
    let expect_refused = |args: &[&str], words: &[&str]| {
        let launch = launch.clone().args(args);
        launch.refused().expect(2, words);
        assert!(!launch.log_path().exists(), "{args:?}");
    };
    let port = free_port().to_string();
    for port in ["0", &port] {
        for bind in ["0.0.0.0,127.0.0.1", "127.0.0.1,0.0.0.0"] {
            expect_refused(&["--port", port, "--bind", bind], &["--bind", "0.0.0.0, which has 127.0.0.1"]);
        }
    }
    let ca = Authority::new(launch.dir(), "ca");
    let (cert, key) = ca.sign("server", Kind::Server);
    let tls = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let same = [&["--port", &port, "--tls-port", &port][..], &tls].concat();
    expect_refused(&same, &["--port and --tls-port", "are both", &port]);
    // Any two ports differ.
    let any = [&["--tls-port", "0", "--bind", "127.0.0.1,127.0.0.2"][..], &tls].concat();
    drop(launch.clone().args(&any).start());
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("there is no IPv6 here");
    }
    fs::remove_file(launch.log_path()).unwrap();
    expect_refused(&["--bind", "::,::1"], &["--bind", "::, which has ::1"]);
    let server = launch.args(&["--bind", "0.0.0.0,::"]).start();
    for address in ["127.0.0.1", "::1"] {
        Client::try_connect_to(address.parse().unwrap(), server.port()).unwrap().set("k", "v");
    }
}

#[test]
fn who_cannot_listen_is_told_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let launch = Launch::new();
    let refused = |flags: &[&str], place: &str, what: &str| {
        launch.clone().args(flags).refused().expect(3, &[&format!("cannot listen on {place}: {what}\n")]);
    };
    let in_use = |flag| format!("address already in use; stop what listens there, or choose another {flag}");
    let place = format!("127.0.0.1:{port}");
    refused(&["--port", &port], &place, &in_use("--port"));
    let ca = Authority::new(launch.dir(), "ca");
    let (cert, key) = ca.sign("server", Kind::Server);
    let tls = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    refused(&tls, &place, &in_use("--tls-port"));
    let _listener = UnixListener::bind(launch.dir().join("s")).unwrap();
    refused(&["--unixsocket", "s"], "the unix socket s", &in_use("--unixsocket"));
    // One that is kept for examples.
    refused(
        &["--bind", "192.0.2.1", "--port", "7401"],
        "192.0.2.1:7401",
        "no interface of this machine has it; see --bind",
    );
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first_free.trim() != "1024" {
        return skip("low ports are free for all here");
    }
    if let Some(launch) = without_capabilities(&launch) {
        let exit = launch.args(&["--port", "1"]).refused();
        exit.expect(3, &["cannot listen on 127.0.0.1:1: permission denied; choose a --port from 1024 on\n"]);
    }
}

#[test]
fn a_name_stands_for_its_addresses() {
    let server = Server::start_with(&["--bind", "localhost,127.0.0.1"]);
    server.connect().set("k", "v");
    let bind = server.connect().ask_words("CONFIG GET bind").into_array().pop().unwrap().into_text();
    assert_eq!(bind.split(' ').filter(|address| *address == "127.0.0.1").count(), 1, "{bind}");
    let launch = Launch::new();
    launch
        .clone()
        .args(&["--bind", "no name"])
        .refused()
        .expect(3, &["--bind", "the address of no name cannot be found"]);
    assert_eq!(fs::read_dir(launch.dir()).unwrap().count(), 0);
}

/// An address that each link can have, and the interface of this machine that has it; without a port.
pub(crate) fn address_of_a_link() -> Option<SocketAddrV6> {
    const LINK: &str = "20";
    let lines = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let found = lines.lines().find_map(|line| {
        let [address, interface, _, scope, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let address = SocketAddrV6::new(address, 0, 0, u32::from_str_radix(interface, 16).ok()?);
        (scope == LINK && TcpListener::bind(address).is_ok()).then_some(address)
    });
    if found.is_none() {
        skip("there is no IPv6 address of a link here");
    }
    found
}

#[test]
fn an_address_of_a_link_is_told_with_its_interface() {
    let Some(address) = address_of_a_link() else { return };
    let bind = format!("{}%{}", address.ip(), address.scope_id());
    let server = Server::start_with(&["--bind", "127.0.0.1", "--bind", &bind]);
    let said = server.stderr();
    let told = said.split([' ', ',', '\n']).find(|word| word.starts_with('[')).unwrap_or_else(|| panic!("{said}"));
    TcpStream::connect(told.parse::<SocketAddr>().unwrap()).unwrap();
    let mut client = server.connect();
    let shown = client.ask_words("CONFIG GET bind").into_array().pop().unwrap();
    assert_eq!(shown, Reply::bulk(&format!("127.0.0.1 {bind}")));
    client.send(command(&["CONFIG", "SET", "bind", &format!("127.0.0.1 {bind}")])).expect("+OK\r\n");
}

#[test]
fn one_address_with_and_without_an_interface_is_taken_once() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("there is no IPv6 here");
    }
    let server = Server::start_with(&["--bind", "127.0.0.1,::1,::1%1"]);
    let shown = server.connect().ask_words("CONFIG GET bind").into_array().pop().unwrap();
    assert_eq!(shown, Reply::bulk("127.0.0.1 ::1"));
}

#[test]
fn a_taken_port_exits_3_and_leaves_no_trace() {
    let server = Server::start();
    let launch = Launch::new().args(&["--port", &server.port().to_string()]);
    launch.refused().expect(3, &[&server.port().to_string()]);
    assert_eq!(fs::read_dir(launch.dir()).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_had_is_told_before_the_log_is_loaded() {
    let server = Server::start_with(&["--unixsocket", "s"]);
    let socket = server.launch().dir().join("s");
    // A log that would be refused, if it were read.
    let damaged = Launch::on_log("no log at all");
    for flags in [
        ["--port", &server.port().to_string()],
        ["--unixsocket", socket.to_str().unwrap()],
        ["--unixsocket", damaged.log_path().to_str().unwrap()],
    ] {
        damaged.clone().args(&flags).refused().expect(3, &["cannot listen on", flags[1]]);
    }
    let certificate = ["--tls-port", "0", "--tls-cert-file", "/nonexistent", "--tls-key-file", "/nonexistent"];
    damaged.clone().args(&certificate).refused().expect(3, &["TLS cannot be offered", "/nonexistent"]);
    damaged.refused().expect(4, &["kvred aof check"]);
}

#[test]
fn a_unix_socket_that_cannot_be_made_is_told_before_a_log_is_begun() {
    let launch = Launch::new().args(&["--dir", "data/deeper"]);
    let long = launch.dir().join("x".repeat(108));
    let too_long =
        format!(": the path of a unix socket has at most 107 bytes, this one has {}\n", long.as_os_str().len());
    for (path, why) in [("/no/such/s", ": No such file or directory"), (long.to_str().unwrap(), &too_long)] {
        let exit = launch.clone().args(&["--unixsocket", path]).refused();
        exit.expect(3, &["cannot listen on the unix socket", path, why]);
        assert_eq!(fs::read_dir(launch.dir()).unwrap().count(), 0, "{path:?}: {}", exit.stderr);
    }
    // Folders that are made for the log may hold it.
    for path in ["data/s", "data/deeper/s"] {
        let absolute = launch.dir().join(path);
        for path in [path, absolute.to_str().unwrap()] {
            let launch = launch.clone().args(&["--unixsocket", path]);
            let _server = launch.start();
            Client::connect_unix(&absolute).set("k", "v");
            fs::remove_dir_all(launch.dir().join("data")).unwrap();
        }
    }
    // However they are written.
    symlink(".", launch.dir().join("link")).unwrap();
    for path in ["link/data/s", "data/deeper/../s", "./data/./s"] {
        let launch = launch.clone().args(&["--unixsocket", path]);
        let _server = launch.start();
        Client::connect_unix(&launch.dir().join("data/s")).set("k", "v");
        fs::remove_dir_all(launch.dir().join("data")).unwrap();
    }
}

#[test]
fn a_relative_socket_lies_where_the_server_is_started() {
    let server = Server::start_with(&["--dir", "data", "--unixsocket", "s"]);
    let dir = server.launch().dir();
    assert!(dir.join("s").exists() && dir.join("data/kvred.aof").exists());
    assert!(!dir.join("data/s").exists() && !dir.join("kvred.aof").exists());
    let help = Launch::binary().args(["serve", "--help"]).output().unwrap().stdout;
    assert!(!String::from_utf8(help).unwrap().contains("working directory"));
}

#[test]
fn every_address_that_is_named_is_served() {
    let server = Server::start_with(&["--bind", "127.0.0.1", "--bind", "127.0.0.2"]);
    server.connect().set("k", "v");
    let mut client = Client::try_connect_to([127, 0, 0, 2].into(), server.port()).unwrap();
    assert_eq!(client.get("k"), Some(b"v".to_vec()));
}

#[test]
fn an_address_that_is_named_twice_is_taken_once() {
    let server = Server::start_with(&["--bind", "127.0.0.1,127.0.0.1", "--bind", "127.0.0.1"]);
    let got = server.connect().ask_words("CONFIG GET bind");
    assert_eq!(got, Reply::Array(vec![Reply::bulk("bind"), Reply::bulk("127.0.0.1")]));
}
