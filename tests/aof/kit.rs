//! What the tests are told with: a directory, the tools, servers, and a client of a few lines.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A reply that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    /// Its elements do not matter.
    Array,
}

/// Runs `kvred aof` with these arguments, without a terminal.
pub(crate) fn aof(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvred")).arg("aof").args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A command as RESP.
pub(crate) fn resp(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn try_run(&mut self, words: &[&[u8]]) -> std::io::Result<Reply> {
        self.stream.get_mut().write_all(&resp(words))?;
        self.reply()
    }

    pub(crate) fn run(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
        self.try_run(&words).unwrap()
    }

    /// Sends bytes that are requests already, and reads so many replies.
    pub(crate) fn feed(&mut self, bytes: &[u8], replies: usize) {
        let mut writer = self.stream.get_ref().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(bytes).unwrap());
            for _ in 0..replies {
                let reply = self.reply().unwrap();
                assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
            }
        });
    }

    fn reply(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let rest = line[1..].trim_end().to_owned();
        Ok(match line.as_bytes()[0] {
            b'+' => Reply::Status(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Integer(rest.parse().unwrap()),
            b'$' if rest == "-1" => Reply::Bulk(None),
            b'$' => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(Some(bytes))
            }
            b'*' => {
                for _ in 0..rest.parse::<i64>().unwrap() {
                    self.reply()?;
                }
                Reply::Array
            }
            other => panic!("unexpected reply {other}"),
        })
    }
}

/// A server of ours, killed with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    pub(crate) fn start_with(dir: &Path, flags: &[&str]) -> Self {
        Self::try_start(dir, flags).unwrap_or_else(|(code, err)| panic!("exit {code:?}: {err}"))
    }

    /// Starts a server; if it ends instead, how it ended and what it said.
    pub(crate) fn try_start(dir: &Path, flags: &[&str]) -> Result<Self, (Option<i32>, String)> {
        #[expect(clippy::zombie_processes, reason = "`Drop` waits for it, and a test that fails before that is over")]
        let mut child = Command::new(env!("CARGO_BIN_EXE_kvred"))
            .args(["serve", "--port", "0", "--dir", arg(dir)])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                return Err((child.wait().unwrap().code(), said));
            }
            said += &line;
            if line.contains("ready to accept connections") {
                let port = line.split("port=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
                // What else it says is read, lest it blocks.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Ok(Self { child, port, log: dir.join("kvred.aof") });
            }
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port)
    }

    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Another server's binary, or a printed reason why there is none.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("HOME")?).join(".cache/kvred-peers/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// A Redis or a Valkey, killed with the test.
pub(crate) struct Peer(Child, pub(crate) u16);

impl Peer {
    /// Starts it on a directory, with a multi-part log.
    pub(crate) fn start(binary: &Path, dir: &Path, flags: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .args(["--port", &port.to_string(), "--dir", arg(dir), "--appendonly", "yes", "--save", ""])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut peer = Self(child, port);
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = peer.0.try_wait() {
                panic!("{} refuses the log: {status}", binary.display());
            }
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                drop(stream);
                if matches!(Client::connect(port).run(&["DBSIZE"]), Reply::Integer(_)) {
                    return peer;
                }
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{} does not come up", binary.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it on a log of ours, as the only part of a multi-part one.
    pub(crate) fn load(binary: &Path, log: &[u8]) -> (Self, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("appendonlydir");
        fs::create_dir(&parts).unwrap();
        fs::write(parts.join("appendonly.aof.1.incr.aof"), log).unwrap();
        fs::write(parts.join("appendonly.aof.manifest"), "file appendonly.aof.1.incr.aof seq 1 type i\n").unwrap();
        let flags = ["--aof-load-truncated", "no"];
        (Self::start(binary, dir.path(), &flags), dir)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.1)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A log of some 10 KB, with all that a server writes to one: made by a server, closed cleanly.
pub(crate) fn small_log(dir: &Path) -> Vec<u8> {
    for policy in ["always", "none", "everysec"] {
        let server = Server::start_with(dir, &["--fsync", policy]);
        let mut client = server.client();
        for n in 0..30 {
            let key = format!("key:{}", n % 17);
            client.run(&["SET", &key, &format!("{policy} value {n} \r\n#C:00000000:00000000\r\n{}", "x".repeat(n))]);
        }
        client.run(&["DEL", "key:1", "key:2", "nothing"]);
        server.stop();
    }
    fs::read(dir.join("kvred.aof")).unwrap()
}

/// A dump as commands, which must succeed.
pub(crate) fn dump(path: &Path) -> String {
    let output = aof(&["dump", arg(path)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output)
}

/// The data that a log holds, as the commands of its rewrite in order.
pub(crate) fn data(path: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("data.aof");
    let output = aof(&["rewrite", "-o", arg(&out), arg(path)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut lines: Vec<String> = dump(&out).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
