//! TLS: who is let in and who is not, large values both ways, new certificates while it runs; by kvred's own client and
//! by redis-cli.

#[path = "../helpers/certs.rs"]
pub mod certs;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

use rustix::process::Signal;
use socket2::SockRef;

use self::certs::{Authority, Kind};
use crate::helpers::client::shown;
use crate::helpers::terminal::Terminal;
use crate::helpers::{Client, Exit, Launch, Reply, Server, info, info_number, program, skip, wait_until};

/// A server with TLS, and what belongs to it.
struct Rig {
    launch: Launch,
    ca: Authority,
}

impl Rig {
    /// Certificates of a new CA; clients must do as `auth_clients` says.
    fn new(auth_clients: &str) -> Self {
        let launch = Launch::new();
        let ca = Authority::new(launch.dir(), "ca");
        let (cert, key) = ca.sign("server", Kind::Server);
        let launch = launch.args(&["--tls-port", "0", "--tls-cert-file", &cert, "--tls-key-file", &key]);
        let launch = launch.args(&["--tls-ca-cert-file", &ca.cert(), "--tls-auth-clients", auth_clients]);
        Self { launch, ca }
    }
}

fn tls_port(server: &Server) -> String {
    let said = server.stderr();
    let port = said.split("tls_port=").nth(1).and_then(|rest| rest.split_whitespace().next());
    port.expect("the ready line names the TLS port").to_owned()
}

/// `kvred cli` by TLS.
fn cli(server: &Server, args: &[&str]) -> Output {
    let port = tls_port(server);
    let mut command = Launch::binary();
    command.args(["cli", "-p", &port, "--tls"]).args(args).output().unwrap()
}

fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn complaint(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "one line: {said}");
    said
}

#[test]
fn a_client_that_trusts_the_ca_is_served() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let ca = rig.ca.cert();
    assert_eq!(answer(&cli(&server, &["--cacert", &ca, "SET", "k", "v"])), "OK");
    assert_eq!(answer(&cli(&server, &["--cacert", &ca, "GET", "k"])), "v");
    assert_eq!(answer(&cli(&server, &["--insecure", "GET", "k"])), "v");
    assert_eq!(answer(&cli(&server, &["-h", "localhost", "--cacert", &ca, "GET", "k"])), "v");
    let uri = format!("rediss://127.0.0.1:{}", tls_port(&server));
    let by_uri = Launch::binary().args(["cli", "-u", &uri, "--cacert", &ca, "GET", "k"]).output().unwrap();
    assert_eq!(answer(&by_uri), "v");
    // The plain port is as it was.
    assert_eq!(server.connect().get("k"), Some(b"v".to_vec()));
    assert_eq!(info(&mut server.connect(), "tcp_port"), server.port().to_string());
}

#[test]
fn the_load_generator_speaks_it_too() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let (port, ca) = (tls_port(&server), rig.ca.cert());
    let bench = |args: &[&str]| {
        let common = ["bench", "-t", "set,get", "-n", "200", "-c", "2", "-r", "50", "--verify", "--format", "csv"];
        Launch::binary().args(common).args(args).output().unwrap()
    };
    let uri = format!("rediss://127.0.0.1:{port}");
    for args in [&["-p", &port, "--tls", "--cacert", &ca][..], &["-u", &uri, "--cacert", &ca]] {
        let table = answer(&bench(args));
        assert_eq!(table.lines().filter(|line| line.contains(",200,")).count(), 2, "{table}");
    }
    // An address alone is spoken to as the first one is.
    for with in [&uri, &format!("127.0.0.1:{port}")] {
        let both = bench(&["-u", &uri, "--cacert", &ca, "--compare", with]);
        assert!(both.status.success(), "{with}: {}", String::from_utf8_lossy(&both.stderr));
    }
    // What is said of TLS is meant for whichever of the two speaks it.
    let plain = server.port().to_string();
    for args in [["-p", &plain, "--compare", &uri], ["-u", &uri, "--compare", &format!("redis://127.0.0.1:{plain}")]] {
        let mixed = bench(&[&args[..], &["--cacert", &ca]].concat());
        assert!(mixed.status.success(), "{args:?}: {}", String::from_utf8_lossy(&mixed.stderr));
    }
    complaint(&bench(&["-p", &port, "--tls"]), 3);
    complaint(&bench(&["-p", &port, "--cacert", &ca]), 2);
}

/// What TLS keeps belongs to its thread: such a connection stays where it is.
#[test]
fn a_connection_by_tls_changes_no_workers() {
    let rig = Rig::new("no");
    let server = rig.launch.clone().env("KVRED_TEST_MOVES", "always").args(&["--threads", "2"]).start();
    let ca = rig.ca.cert();
    let mut plain = server.connect();
    plain.set("k", "v");
    for _ in 0..3 {
        let said = answer(&cli(&server, &["--cacert", &ca, "-r", "20", "GET", "k"]));
        assert_eq!(said, ["v"; 20].join("\n"));
        assert_eq!(plain.get("k"), Some(b"v".to_vec()));
    }
}

#[test]
fn config_get_shows_the_settings_by_redis_names() {
    let rig = Rig::new("optional");
    let server = rig.launch.start();
    let mut client = server.connect();
    let dir = rig.launch.dir().display().to_string();
    for (name, value) in [
        ("tls-port", tls_port(&server)),
        ("tls-cert-file", format!("{dir}/server.pem")),
        ("tls-key-file", format!("{dir}/server.key")),
        ("tls-ca-cert-file", format!("{dir}/ca.pem")),
        ("tls-auth-clients", "optional".to_owned()),
    ] {
        let shown = client.ask(&["CONFIG", "GET", name]).into_array().pop().unwrap();
        assert_eq!(shown, crate::helpers::Reply::bulk(&value), "{name}");
    }
}

#[test]
fn a_client_that_cannot_trust_the_server_says_why() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let other = Authority::new(rig.launch.dir(), "other");
    let said = complaint(&cli(&server, &["--cacert", &other.cert(), "PING"]), 3);
    assert!(said.contains("no CA that is trusted") && said.contains("--cacert"), "{said}");
    let said = complaint(&cli(&server, &["--cacert", &rig.ca.cert(), "--sni", "elsewhere.example", "PING"]), 3);
    assert!(said.contains("elsewhere.example"), "{said}");
    let said = complaint(&cli(&server, &["--cacert", "/no/such/file", "PING"]), 3);
    assert!(said.contains("/no/such/file"), "{said}");
    let plain = Launch::binary().args(["cli", "-p", &tls_port(&server), "--insecure", "PING"]).output().unwrap();
    let said = complaint(&plain, 2);
    assert!(said.contains("need --tls"), "{said}");
    // TLS to the plain port.
    let port = server.port().to_string();
    let output =
        Launch::binary().args(["cli", "-p", &port, "--tls", "--cacert", &rig.ca.cert(), "PING"]).output().unwrap();
    let said = complaint(&output, 3);
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[test]
fn an_expired_server_is_not_trusted() {
    let launch = Launch::new();
    let ca = Authority::new(launch.dir(), "ca");
    let (cert, key) = ca.sign("server", Kind::ExpiredServer);
    let flags = ["--tls-port", "0", "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let server = launch.args(&flags).start();
    let said = complaint(&cli(&server, &["--cacert", &ca.cert(), "PING"]), 3);
    assert!(said.contains("expired"), "{said}");
}

#[test]
fn clients_show_certificates_of_the_ca() {
    let rig = Rig::new("yes");
    let server = rig.launch.start();
    let ca = rig.ca.cert();
    let (cert, key) = rig.ca.sign("client", Kind::Client);
    assert_eq!(answer(&cli(&server, &["--cacert", &ca, "--cert", &cert, "--key", &key, "PING"])), "PONG");

    let said = complaint(&cli(&server, &["--cacert", &ca, "PING"]), 3);
    assert!(said.contains("certificate"), "{said}");
    let other = Authority::new(rig.launch.dir(), "other");
    let (cert, key) = other.sign("stranger", Kind::Client);
    complaint(&cli(&server, &["--cacert", &ca, "--cert", &cert, "--key", &key, "PING"]), 3);
    let (cert, key) = rig.ca.sign("late", Kind::ExpiredClient);
    complaint(&cli(&server, &["--cacert", &ca, "--cert", &cert, "--key", &key, "PING"]), 3);
    server.wait_for_stderr("a client is refused by TLS: peer sent no certificates");
    server.wait_for_stderr("a client is refused by TLS: invalid peer certificate: UnknownIssuer");
    server.wait_for_stderr("a client is refused by TLS: invalid peer certificate: certificate expired");
}

#[test]
fn an_optional_certificate_is_checked_where_there_is_one() {
    let rig = Rig::new("optional");
    let server = rig.launch.start();
    let ca = rig.ca.cert();
    assert_eq!(answer(&cli(&server, &["--cacert", &ca, "PING"])), "PONG");
    let other = Authority::new(rig.launch.dir(), "other");
    let (cert, key) = other.sign("stranger", Kind::Client);
    complaint(&cli(&server, &["--cacert", &ca, "--cert", &cert, "--key", &key, "PING"]), 3);
}

#[test]
fn plain_text_sent_to_the_tls_port_closes_that_connection_only() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let port: u16 = tls_port(&server).parse().unwrap();
    for sent in [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0; 100], b"\x16\x03\x01\x00\x05hello"] {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(crate::helpers::DEADLINE)).unwrap();
        stream.write_all(sent).unwrap();
        let mut said = Vec::new();
        // An alert at most, or a reset.
        drop(stream.read_to_end(&mut said));
        assert!(said.is_empty() || said[0] == 21, "{}", shown(&said));
    }
    server.wait_for_stderr("it does not speak TLS");
    assert_eq!(answer(&cli(&server, &["--cacert", &rig.ca.cert(), "PING"])), "PONG");
}

#[test]
fn of_many_clients_that_tls_refuses_some_are_logged() {
    const CLIENTS: usize = 300;
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let port: u16 = tls_port(&server).parse().unwrap();
    for _ in 0..CLIENTS {
        // An alert at most, or a reset.
        Client::connect(port).send("PING\r\n").rest();
    }
    let told = server.terminate().stderr.matches("it does not speak TLS").count();
    assert!(0 < told && told < CLIENTS / 10, "{told} of {CLIENTS} were logged");
}

#[test]
fn large_values_and_deep_pipelines_come_through_whole() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let port = tls_port(&server);
    let file = rig.launch.dir().join("value");
    let value: Vec<u8> = (0..20 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    std::fs::write(&file, &value).unwrap();
    let ca = rig.ca.cert();
    let base = ["cli", "-p", &port, "--tls", "--cacert", &ca];
    let input = std::fs::File::open(&file).unwrap();
    let set = Launch::binary().args(base).args(["-x", "SET", "large"]).stdin(input).output().unwrap();
    assert_eq!(answer(&set), "OK");
    let got = Launch::binary().args(base).args(["--no-newline", "GET", "large"]).output().unwrap();
    assert!(got.status.success() && got.stdout == value);
    assert!(server.connect().get("large").unwrap() == value);
    // A pipeline of many small ones, whose replies come back by TLS too.
    let mut lines: String = (0..50_000).map(|i| format!("SET k{i} {i}\n")).collect::<Vec<_>>().concat();
    lines += &"GET large\n".repeat(3);
    std::fs::write(&file, lines).unwrap();
    let input = std::fs::File::open(&file).unwrap();
    let piped = Launch::binary().args(base).arg("--pipe").stdin(input).output().unwrap();
    let said = String::from_utf8_lossy(&piped.stdout).into_owned() + &String::from_utf8_lossy(&piped.stderr);
    assert!(piped.status.success() && said.contains("50003"), "{said}");
    assert_eq!(server.connect().get("k49999"), Some(b"49999".to_vec()));
}

#[test]
fn new_certificates_are_read_on_sighup_and_bad_ones_refused() {
    let rig = Rig::new("no");
    let manager = rig.launch.dir().join("notify");
    let notified = std::os::unix::net::UnixDatagram::bind(&manager).unwrap();
    notified.set_read_timeout(Some(crate::helpers::DEADLINE)).unwrap();
    let server = rig.launch.clone().env("NOTIFY_SOCKET", manager.to_str().unwrap()).start();
    let (old_ca, dir) = (rig.ca.cert(), rig.launch.dir());
    let ping = |ca: &str| cli(&server, &["--cacert", ca, "PING"]);
    assert_eq!(answer(&ping(&old_ca)), "PONG");
    let new = Authority::new(dir, "new-ca");
    let (key, cert) = (dir.join("server.key"), dir.join("server.pem"));
    let old_key = std::fs::read(&key).unwrap();
    let refused = "the TLS certificates stay as they were";
    let times = |words: &str| server.stderr().matches(words).count();
    for (i, bad) in [&b"no key at all"[..], b"", &std::fs::read(&cert).unwrap()].iter().enumerate() {
        std::fs::write(&key, bad).unwrap();
        server.signal(Signal::HUP);
        wait_until("it is refused", || times(refused) == i + 1);
        assert_eq!(answer(&ping(&old_ca)), "PONG");
    }
    // A key of another certificate.
    new.sign("stray", Kind::Server);
    std::fs::copy(dir.join("stray.key"), &key).unwrap();
    server.signal(Signal::HUP);
    wait_until("a key that does not fit is refused", || times(refused) == 4);
    assert!(server.stderr().contains("do not fit"), "{}", server.stderr());
    std::fs::write(&key, old_key).unwrap();

    new.sign("server", Kind::Server);
    server.signal(Signal::HUP);
    server.wait_for_stderr("certificates were read anew");
    assert_eq!(answer(&ping(&new.cert())), "PONG");
    complaint(&ping(&old_ca), 3);

    // systemd has been told of each reload, and of its end.
    let mut told = String::new();
    while told.matches("READY=1").count() < 6 {
        let mut message = [0; 4096];
        let len = notified.recv(&mut message).unwrap();
        told += std::str::from_utf8(&message[..len]).unwrap();
    }
    assert_eq!(told.matches("RELOADING=1\nMONOTONIC_USEC=").count(), 5, "{told}");
}

/// So programs that know Redis renew them.
#[test]
fn new_certificates_are_read_when_their_settings_are_set_to_what_they_are() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let mut client = server.connect();
    let dir = rig.launch.dir();
    let (key, cert) = (dir.join("server.key"), dir.join("server.pem"));
    let ping = |ca: &str| cli(&server, &["--cacert", ca, "PING"]);
    let mut set = |name: &str, file: &str| client.ask(&["CONFIG", "SET", "timeout", "7", name, file]);
    let (old_key, [key_path, cert_path]) = (std::fs::read(&key).unwrap(), [&key, &cert].map(|p| p.to_str().unwrap()));
    std::fs::write(&key, "no key at all").unwrap();
    for (name, file) in [("tls-cert-file", cert_path), ("TLS-Key-File", key_path), ("tls-ca-cert-file", &rig.ca.cert())]
    {
        let name_of_it = name.to_ascii_lowercase();
        let refusal = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name_of_it}') - Unable to update TLS configuration. \
             Check server logs."
        );
        assert_eq!(set(name, file), Reply::Error(refusal));
    }
    let told = || server.stderr().matches("the TLS certificates stay as they were").count();
    wait_until("the log has the reason of each refusal", || told() == 3);
    assert_eq!(answer(&ping(&rig.ca.cert())), "PONG");
    assert_eq!(server.connect().ask_words("CONFIG GET timeout").into_array().pop(), Some(Reply::bulk("0")));
    std::fs::write(&key, old_key).unwrap();

    let new = Authority::new(dir, "new-ca");
    new.sign("server", Kind::Server);
    assert_eq!(set("tls-auth-clients", "no"), Reply::ok());
    assert_eq!(answer(&ping(&rig.ca.cert())), "PONG");
    assert_eq!(set("tls-cert-file", cert_path), Reply::ok());
    assert_eq!(answer(&ping(&new.cert())), "PONG");
    complaint(&ping(&rig.ca.cert()), 3);

    // A client cannot fill a disk with lines about them.
    for line in ["the TLS certificates were read anew", "the TLS certificates stay as they were"] {
        (0..100).for_each(|_| drop(set("tls-cert-file", cert_path)));
        let told = server.stderr().matches(line).count();
        assert!(0 < told && told < 50, "{line}: {told} of 100 were logged");
        std::fs::write(&key, "no key").unwrap();
    }
}

#[test]
fn sighup_stops_no_server_without_tls() {
    let server = Server::start();
    server.signal(Signal::HUP);
    server.wait_for_stderr("SIGHUP");
    server.connect().send("PING\r\n").expect("+PONG\r\n");
}

#[test]
fn tls_alone_listens_on_no_plain_port() {
    let rig = Rig::new("no");
    let server = rig.launch.clone().args(&["--port", "none"]).start();
    assert_eq!(answer(&cli(&server, &["--cacert", &rig.ca.cert(), "PING"])), "PONG");
    assert_eq!(answer(&cli(&server, &["--cacert", &rig.ca.cert(), "CONFIG", "GET", "port"])), "port\n0");
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let rig = Rig::new("no");
    let dir = rig.launch.dir().display().to_string();
    let (cert, key) = (format!("{dir}/server.pem"), format!("{dir}/server.key"));
    let tls = ["--tls-port", "0", "--tls-cert-file", &cert, "--tls-key-file"];
    Launch::new().args(&["--tls-port", "0"]).refused().expect(2, &["--tls-cert-file"]);
    Launch::new().args(&["--port", "none"]).refused().expect(2, &["--tls-port"]);
    Launch::new().args(&tls).args(&[&key]).refused().expect(3, &["--tls-ca-cert-file", "--tls-auth-clients no"]);
    Launch::new().args(&tls).args(&["/no/key", "--tls-auth-clients", "no"]).refused().expect(3, &["/no/key"]);
    Launch::new().args(&tls).args(&[&cert, "--tls-auth-clients", "no"]).refused().expect(3, &["private key", &cert]);
    rig.ca.sign("other", Kind::Server);
    let other = format!("{dir}/other.key");
    Launch::new().args(&tls).args(&[&other, "--tls-auth-clients", "no"]).refused().expect(3, &["do not fit"]);
}

/// The session notices that the server has closed, as it does without TLS: nothing is sent into a closed connection.
#[test]
fn a_script_over_tls_survives_no_restart_and_says_so() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let port = tls_port(&server);
    let mut child = Launch::binary()
        .args(["cli", "-p", &port, "--tls", "--cacert", &rig.ca.cert()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"SET before 1\n").unwrap();
    wait_until("the first command has come", || server.connect().get("before").is_some());
    assert_eq!(server.terminate().code, Some(0));
    // The port may be taken meanwhile, but nobody speaks TLS there.
    drop(input.write_all(b"SET after 1\n"));
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
}

/// Debian's redis-cli speaks TLS.
#[test]
fn redis_cli_speaks_tls_with_it() {
    let Some(cli) = program("redis-cli") else { return };
    let help = std::process::Command::new(&cli).arg("--help").output();
    if !help.is_ok_and(|h| String::from_utf8_lossy(&[h.stdout, h.stderr].concat()).contains("--cacert")) {
        return skip("there is no redis-cli that speaks TLS; run .ci/install-test-tools");
    }
    let rig = Rig::new("yes");
    let server = rig.launch.start();
    let (cert, key) = rig.ca.sign("client", Kind::Client);
    let port = tls_port(&server);
    let redis_cli = |args: &[&str]| {
        let tls = ["-p", &port, "--tls", "--cacert", &rig.ca.cert()];
        let mut cli = Launch::clean(std::process::Command::new(&cli));
        let output = cli.args(tls).args(args).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim_end().to_owned()
    };
    let with_cert = |args: &[&str]| redis_cli(&[&["--cert", &cert, "--key", &key], args].concat());
    assert_eq!(with_cert(&["SET", "k", "v"]), "OK");
    assert_eq!(with_cert(&["GET", "k"]), "v");
    assert_eq!(with_cert(&["--scan"]), "k");
    let without = redis_cli(&["GET", "k"]);
    assert!(!without.contains('v') || without.contains("rror"), "{without}");
    // By TLS 1.2 too.
    let old = with_cert(&["--tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", "GET", "k"]);
    assert_eq!(old, "v");
}

/// A client that connects and says nothing is not waited for for ever.
#[test]
fn who_does_not_shake_hands_is_closed_and_who_does_is_not() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let port = tls_port(&server);
    let mut script = Launch::binary()
        .args(["cli", "-p", &port, "--tls", "--cacert", &rig.ca.cert()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = script.stdin.take().unwrap();
    input.write_all(b"SET before 1\n").unwrap();
    wait_until("its first command has come", || server.connect().get("before").is_some());
    Client::connect(port.parse().unwrap()).expect_closed();
    server.wait_for_stderr("did not shake hands in time");
    input.write_all(b"PING\n").unwrap();
    drop(input);
    let ran = Exit::of(script.wait_with_output().unwrap());
    // It would say that it had to connect again.
    assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(0), "OK\nPONG\n", ""));
}

/// A password is not sent in plain text because a session goes elsewhere.
#[test]
fn connect_keeps_tls_unless_a_uri_says_otherwise_and_begins_it_where_one_says_so() {
    let rig = Rig::new("no");
    let server = rig.launch.start();
    server.connect().set("which", "the first");
    let (dir, ca) = (rig.launch.dir().display().to_string(), rig.ca.cert());
    let (cert, key) = (format!("{dir}/server.pem"), format!("{dir}/server.key"));
    let flags = ["--tls-port", "0", "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let other = Launch::new().args(&flags).start();
    other.connect().set("which", "the other");
    let (plain, tls) = (server.port().to_string(), tls_port(&server));
    let tls_of_other = tls_port(&other);
    let by_tls = [&tls, "--tls", "--cacert", &ca];
    for (from, to, port, which) in [
        (&by_tls[..], format!("127.0.0.1 {tls_of_other}"), &tls_of_other, "the other"),
        (&by_tls, format!("rediss://127.0.0.1:{tls_of_other}"), &tls_of_other, "the other"),
        (&by_tls, format!("redis://127.0.0.1:{plain}"), &plain, "the first"),
        (&[&plain], format!("rediss://127.0.0.1:{tls_of_other}"), &tls_of_other, "the other"),
    ] {
        let mut command = Launch::binary();
        command.args(["cli", "-p"]).args(from).env("NO_COLOR", "1").env("XDG_STATE_HOME", &dir);
        if from.len() == 1 {
            // Without flags for TLS, what the system trusts counts.
            command.env("SSL_CERT_FILE", &ca);
        }
        let mut session = Terminal::start(command);
        session.sees("> ");
        session.enters(&format!("connect {to}"), &format!("127.0.0.1:{port}> "));
        session.enters("get which", which);
        session.presses('d');
        assert_eq!(session.ends().1, 0);
    }
}

#[test]
fn clients_that_go_before_they_shake_hands_leave_nothing() {
    const MIB: u64 = 1 << 20;
    const CLIENTS: u64 = 100;
    let rig = Rig::new("no");
    let server = rig.launch.start();
    let port: u16 = tls_port(&server).parse().unwrap();
    let mut client = server.connect();
    // A few at a time: memory is that of the crowd, else.
    let mut come_and_go = |times: usize| {
        for _ in 0..times {
            let came = info_number(&mut client, "total_connections_received") + CLIENTS;
            for _ in 0..CLIENTS {
                let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                // No port waits for what may yet come.
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            wait_until("all have come", || info_number(&mut client, "total_connections_received") == came);
            wait_until("all are gone", || info_number(&mut client, "connected_clients") == 1);
        }
        server.resident_bytes()
    };
    let before = come_and_go(10);
    let grown = come_and_go(100).saturating_sub(before);
    assert!(grown < 4 * MIB, "10,000 clients that are gone have left {grown} bytes");
}
