//! What systemd sees of the server: notifications, sockets handed over, the unit file, logs for the journal.

use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::addresses::address_of_a_link;
use super::tls::certs::{Authority, Kind};

use crate::helpers::{Client, DEADLINE, Killed, Launch, Reply, command, skip};

/// The socket that a service is told to report to.
struct Manager(UnixDatagram);

impl Manager {
    fn new(dir: &Path) -> (Self, String) {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        (Self(socket), path.display().to_string())
    }

    /// The next message, its lines in order.
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let len = self.0.recv(&mut message).expect("a message comes");
        String::from_utf8(message[..len].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    /// The messages up to the one that has this line, that one too.
    fn until(&self, line: &str) -> Vec<Vec<String>> {
        let mut messages = vec![self.next()];
        while !messages[messages.len() - 1].iter().any(|l| l == line) {
            messages.push(self.next());
        }
        messages
    }
}

fn percent(message: &[String]) -> Option<u32> {
    message.iter().find_map(|line| line.strip_prefix("STATUS=loading ")?.strip_suffix(" %")?.parse().ok())
}

#[test]
fn systemd_is_told_of_loading_readiness_and_stopping() {
    let log: Vec<u8> = (0..600_000).flat_map(|i| command(&["SET", &format!("key:{i}"), "value"])).collect();
    let launch = Launch::on_log(log);
    let (manager, path) = Manager::new(launch.dir());
    // Read as they come: the socket holds ten, and where the load is slow there are more.
    let (server, messages) = std::thread::scope(|scope| {
        let messages = scope.spawn(|| manager.until("READY=1"));
        (launch.env("NOTIFY_SOCKET", &path).start(), messages.join().unwrap())
    });
    let (ready, loading) = messages.split_last().unwrap();
    let percents: Vec<u32> = loading.iter().filter_map(|m| percent(m)).collect();
    assert_eq!((percents.len(), percents.first()), (loading.len(), Some(&0)), "{messages:?}");
    assert!(percents.is_sorted() && *percents.last().unwrap() <= 100, "{percents:?}");
    // What is built for tests takes seconds to load so much.
    assert!(!cfg!(debug_assertions) || percents.iter().any(|p| (1..100).contains(p)), "{percents:?}");
    assert!(loading.iter().all(|m| m.iter().any(|l| l.starts_with("EXTEND_TIMEOUT_USEC="))), "{messages:?}");
    assert!(ready.iter().any(|l| l == "STATUS=serving; 600000 keys loaded"), "{ready:?}");
    server.connect().send("PING\r\n").expect("+PONG\r\n");
    server.signal(Signal::TERM);
    manager.until("STOPPING=1");
    let exit = server.exit();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
}

/// The binary with sockets as its file descriptors 3 and up, as systemd starts it.
fn activated(dir: &Path, sockets: Vec<OwnedFd>, names: &str, args: &[&str]) -> Child {
    // A shell passes on what it gets as its standard input and output, and knows its own process id.
    let mut streams = sockets.into_iter().map(Stdio::from);
    let count = streams.len();
    let script = "exec 3<&0; [ $1 = 1 ] || exec 4<&1; export LISTEN_PID=$$ LISTEN_FDS=$1 LISTEN_FDNAMES=$2; \
                  shift 2; exec \"$@\" </dev/null >/dev/null";
    let mut shell = Launch::clean(Command::new("sh"));
    shell.args(["-c", script, "sh", &count.to_string(), names]);
    shell.arg(Launch::binary().get_program()).arg("serve").args(args).current_dir(dir);
    shell.stdin(streams.next().unwrap()).stderr(Stdio::piped());
    if let Some(second) = streams.next() {
        shell.stdout(second);
    }
    shell.spawn().unwrap()
}

/// What it says on stderr, until it ends.
fn all_said(child: &mut Killed) -> String {
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn sockets_that_systemd_listens_on_are_served() {
    let launch = Launch::new();
    let (tcp, path) = (TcpListener::bind("127.0.0.1:0").unwrap(), launch.dir().join("handed.sock"));
    let port = tcp.local_addr().unwrap().port();
    let unix = UnixListener::bind(&path).unwrap();
    // Whoever connects before the server is there waits.
    let mut early = Client::connect(port);
    early.send(command(&["SET", "early", "bird"]));
    let mut child = Killed(activated(launch.dir(), vec![tcp.into(), unix.into()], "a:b", &["--port", "1"]));
    early.expect("+OK\r\n");
    assert_eq!(Client::connect_unix(&path).get("early"), Some(b"bird".to_vec()));
    let mut client = Client::connect(port);
    let shown = client.ask_words("CONFIG GET port").into_array().pop().unwrap();
    assert_eq!(shown, Reply::bulk(&port.to_string()));
    client.send("SHUTDOWN\r\n").expect_closed();
    assert_eq!(child.ends().code(), Some(0));
    assert!(path.exists(), "the socket's file is systemd's");
}

#[test]
fn a_socket_that_is_named_tls_speaks_it() {
    let launch = Launch::new();
    let ca = Authority::new(launch.dir(), "ca");
    let (cert, key) = ca.sign("server", Kind::Server);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port().to_string();
    let flags = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let _server = Killed(activated(launch.dir(), vec![tcp.into()], "tls", &flags));
    let cli = ["cli", "-p", &port, "--tls", "--cacert", &ca.cert(), "PING"];
    let output = Launch::binary().args(cli).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "PONG\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_address_that_two_sockets_have_is_told_once() {
    let launch = Launch::new();
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = [0, 1].map(|i: usize| sockets[i].local_addr().unwrap().port());
    let mut child = Killed(activated(launch.dir(), sockets.map(OwnedFd::from).into(), "a:b", &[]));
    for port in ports {
        let shown = Client::connect(port).ask_words("CONFIG GET bind").into_array().pop().unwrap();
        assert_eq!(shown, Reply::bulk("127.0.0.1"));
    }
    Client::connect(ports[0]).send("SHUTDOWN\r\n").expect_closed();
    let said = all_said(&mut child);
    let ready = said.lines().find(|line| line.contains("ready to accept connections")).unwrap();
    assert_eq!(ready.matches("127.0.0.1:").count(), 1, "{ready}");
}

#[test]
fn an_address_of_a_link_that_is_handed_over_is_told_with_its_interface() {
    let Some(address) = address_of_a_link() else { return };
    let launch = Launch::new();
    let [tcp, link] = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind(address).unwrap()];
    let port = tcp.local_addr().unwrap().port();
    let _server = Killed(activated(launch.dir(), vec![tcp.into(), link.into()], "a:b", &[]));
    let shown = Client::connect(port).ask_words("CONFIG GET bind").into_array().pop().unwrap();
    assert_eq!(shown, Reply::bulk(&format!("127.0.0.1 {}%{}", address.ip(), address.scope_id())));
}

#[test]
fn what_is_handed_over_and_is_no_listening_socket_is_refused() {
    let launch = Launch::new();
    let file = std::fs::File::create(launch.dir().join("file")).unwrap();
    let child = activated(launch.dir(), vec![file.into()], "", &[]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("handed over"), "{said}");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = activated(launch.dir(), vec![tcp.into()], "tls", &[]).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--tls-cert-file"), "{said}");
}

/// Else clients would send in plain text what was to be encrypted.
#[test]
fn tls_without_a_socket_for_it_is_refused() {
    let launch = Launch::new();
    let (cert, key) = Authority::new(launch.dir(), "ca").sign("server", Kind::Server);
    let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let with_a_port = [&files[..], &["--port", "none", "--tls-port", "0"]].concat();
    for flags in [&with_a_port[..], &files, &files[..2], &files[2..4], &["--tls-ca-cert-file", &cert]] {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let mut client = Client::connect(port);
        let mut child = Killed(activated(launch.dir(), vec![tcp.into()], "plain", flags));
        client.expect_closed();
        assert_eq!(child.ends().code(), Some(2));
        let said = all_said(&mut child);
        assert!(said.contains("--tls-port") && said.contains("FileDescriptorName=tls"), "{said}");
    }
    for (flags, missing) in [(&files[..2], "there is no --tls-key-file"), (&files[2..4], "there is no --tls-cert-file")]
    {
        let tls = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = Killed(activated(launch.dir(), vec![tls.into()], "tls", flags));
        assert_eq!(child.ends().code(), Some(2));
        let said = all_said(&mut child);
        assert!(said.contains(missing), "{said}");
    }
}

#[test]
fn flags_that_sockets_handed_over_stand_against_are_told_of() {
    let launch = Launch::new();
    let path = launch.dir().join("handed.sock");
    let (handed, other) = (path.display().to_string(), launch.dir().join("other.sock").display().to_string());
    for (port, unix, told) in [("none", &other, &["--port none", "--unixsocket"][..]), ("1", &handed, &[])] {
        drop(std::fs::remove_file(&path));
        let sockets = vec![TcpListener::bind("127.0.0.1:0").unwrap().into(), UnixListener::bind(&path).unwrap().into()];
        let flags = ["--port", port, "--unixsocket", unix];
        let mut child = Killed(activated(launch.dir(), sockets, "a:b", &flags));
        Client::connect_unix(&path).send("SHUTDOWN\r\n").expect_closed();
        let said = all_said(&mut child);
        assert_eq!(said.matches("is not heeded").count(), told.len(), "{said}");
        assert!(told.iter().all(|flag| said.contains(flag)), "{said}");
    }
}

#[test]
fn the_unit_file_is_one() {
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("systemd-analyze is not installed");
    }
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let dir = tempfile::tempdir().unwrap();
    // The source may lie in a path with spaces, which a unit file would have to quote.
    let binary = dir.path().join("kvred");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kvred"), &binary).unwrap();
    for name in ["kvred.service", "kvred.socket"] {
        let unit = std::fs::read_to_string(dist.join(name)).unwrap();
        let unit = unit.replace("/usr/local/bin/kvred", binary.to_str().unwrap());
        let unit: Vec<&str> = unit.lines().filter(|line| !line.starts_with("Documentation=")).collect();
        std::fs::write(dir.path().join(name), unit.join("\n")).unwrap();
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(["kvred.service", "kvred.socket"].map(|name| dir.path().join(name)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("kvred")).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

/// With systemd's default, every user of the machine could write, and protected mode would let him.
#[test]
fn a_unix_socket_that_systemd_makes_is_not_for_everybody() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/kvred.socket");
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(unit.lines().any(|line| line == "SocketMode=0660"), "{unit}");
}

#[test]
fn logs_are_an_object_a_line_where_json_is_asked_for() {
    let server = Launch::new().args(&["--log-format", "json", "--fsync", "none"]).try_start();
    // The helper looks for the ready line of the text format, and takes it by its words.
    let stderr = match server {
        Ok(server) => server.terminate().stderr,
        Err(exit) => panic!("it ended: {}", exit.stderr),
    };
    let lines: Vec<serde_json::Value> = stderr.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let ready = lines.iter().find(|l| l["fields"]["message"].as_str().unwrap().starts_with("ready to accept")).unwrap();
    assert!(ready["fields"]["port"].as_u64().unwrap() > 0 && ready["level"] == "INFO", "{ready}");
    assert_eq!(ready["fields"]["fsync"], "none", "by the flag's own name: {ready}");
    assert!(ready["timestamp"].as_str().unwrap().ends_with('Z'), "{ready}");
    assert_eq!(lines.last().unwrap()["fields"]["message"], "stopped");
}
