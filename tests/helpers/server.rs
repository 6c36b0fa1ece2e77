//! A `kvred serve` of a test's own: the real binary, on a free port of the loopback, mostly in a directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::terminal::without_escapes;
use super::{Client, DEADLINE, Exit, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_kvred");

/// How to start a server: where, and with which flags and variables.
#[derive(Debug, Clone)]
pub struct Launch {
    dir: PathBuf,
    /// Keeps the directory, if it is this launch's own.
    _own: Option<Arc<TempDir>>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// A program that becomes the server, and its arguments.
    under: Vec<String>,
}

impl Default for Launch {
    fn default() -> Self {
        Self::new()
    }
}

impl Launch {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kvred-test-").tempdir().expect("a temporary directory can be made");
        let at = Self::at(dir.path());
        Self { _own: Some(Arc::new(dir)), ..at }
    }

    /// A server in a directory that somebody else keeps.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), _own: None, args: Vec::new(), env: Vec::new(), under: Vec::new() }
    }

    /// A server that finds these bytes as its log.
    pub fn on_log(log: impl AsRef<[u8]>) -> Self {
        let launch = Self::new();
        std::fs::write(launch.log_path(), log).expect("a log can be written");
        launch
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&a| a.to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Started by another program, which becomes the server itself: its process id is the server's.
    pub fn under(mut self, program_and_args: &[&str]) -> Self {
        self.under = program_and_args.iter().map(|&a| a.to_owned()).collect();
        self
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir().join("kvred.aof")
    }

    pub fn log(&self) -> Vec<u8> {
        std::fs::read(self.log_path()).expect("there is a log")
    }

    /// The parts of torn logs that were kept: names and bytes, in order of the names.
    pub fn cuts(&self) -> Vec<(String, Vec<u8>)> {
        let mut cuts: Vec<_> = std::fs::read_dir(self.dir())
            .expect("the directory is there")
            .map(|entry| entry.expect("an entry can be read").path())
            .filter(|path| path.to_string_lossy().contains(".cut-"))
            .map(|path| {
                let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
                (name, std::fs::read(path).expect("a kept part can be read"))
            })
            .collect();
        cuts.sort();
        cuts
    }

    /// The binary, with no variable of the caller's that it heeds.
    pub fn binary() -> Command {
        Self::clean(Command::new(BINARY))
    }

    /// The same for another program: one that starts the binary, for instance, or `redis-cli`. Redis does not start
    /// with a locale that is not installed.
    pub fn clean(mut command: Command) -> Command {
        const HEEDED: [&str; 6] = ["REDISCLI_AUTH", "NO_COLOR", "COLUMNS", "LINES", "PAGER", "LESS"];
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KVRED_") || HEEDED.iter().any(|heeded| name == *heeded) {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn command(&self) -> Command {
        let mut command = match self.under.split_first() {
            None => Self::binary(),
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(BINARY);
                Self::clean(command)
            }
        };
        command.arg("serve").current_dir(self.dir());
        let given = |flag: &str, variable: &str| {
            self.args.iter().any(|a| a == flag) || self.env.iter().any(|(name, _)| name == variable)
        };
        if !given("--port", "KVRED_PORT") {
            command.args(["--port", "0"]);
        }
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Starts a server and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start(&self) -> Server {
        self.try_start().unwrap_or_else(|exit| panic!("the server ended with {:?}: {}", exit.code, exit.stderr))
    }

    /// Starts a server that is expected to end by itself.
    pub fn refused(&self) -> Exit {
        match self.try_start() {
            Err(exit) => exit,
            Ok(server) => panic!("the server started: {}", server.stderr()),
        }
    }

    pub fn try_start(&self) -> Result<Server, Exit> {
        let mut child = self.command().spawn().expect("the binary can be run");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let said = Arc::new(Mutex::new(String::new()));
        let (send_port, receive_port) = std::sync::mpsc::channel();
        let reader = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut lines = BufReader::new(stderr);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&line);
                    said.lock().expect("nothing panics under it").push_str(&text);
                    if text.contains("ready to accept connections") {
                        // `port=6380`, perhaps in colour, or in JSON `"port":6380`.
                        let text = without_escapes(&text);
                        let port = text.split_once("port=").or_else(|| text.split_once("\"port\":"));
                        let port = port.and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
                        let port = port.and_then(|p| p.parse::<u16>().ok()).expect("the ready line names the port");
                        send_port.send(port).expect("somebody waits for it");
                    }
                    line.clear();
                }
            }
        });
        let mut server = Server { launch: self.clone(), child, port: 0, said, reader: Some(reader) };
        match receive_port.recv_timeout(DEADLINE) {
            Ok(port) => {
                server.port = port;
                Ok(server)
            }
            // Stderr was closed: the process is over.
            Err(RecvTimeoutError::Disconnected) => Err(server.exit()),
            Err(RecvTimeoutError::Timeout) => panic!("the server neither serves nor ends: {}", server.stderr()),
        }
    }
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    child: Child,
    port: u16,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// A server with the default settings.
    pub fn start() -> Self {
        Launch::new().start()
    }

    /// A server with these flags.
    pub fn start_with(args: &[&str]) -> Self {
        Launch::new().args(args).start()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    /// So many clients, each of which was answered already.
    pub fn connect_served(&self, clients: usize) -> Vec<Client> {
        let served = || {
            let mut client = self.connect();
            client.send("PING\r\n").expect("+PONG\r\n");
            client
        };
        std::iter::repeat_with(served).take(clients).collect()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The log as it stands on disk.
    pub fn log(&self) -> Vec<u8> {
        self.launch.log()
    }

    /// What it has said on stderr so far.
    pub fn stderr(&self) -> String {
        self.said.lock().expect("nothing panics under it").clone()
    }

    pub fn wait_for_stderr(&self, words: &str) {
        wait_until(words, || self.stderr().contains(words));
    }

    /// Waits until it has looked, from now on, whether the log's size makes a rewrite due.
    pub fn wait_for_looks_at_the_log(&self) {
        // The seconds of a client that asks nothing are counted where it looks.
        let _idle = self.connect();
        let mut client = self.connect();
        wait_until("it has looked at the log", || {
            let list = client.text("CLIENT LIST");
            let mut seconds = list.split(" idle=").skip(1).map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            seconds.any(|seconds| seconds.is_some_and(|seconds| seconds >= 2))
        });
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child has a pid");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Has it stand still, until it is sent `SIGCONT`. A thread within a system call stops when that has ended.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        wait_until("all threads stand still", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
            tasks.flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).expect("a stopped thread does not end");
                stat.rsplit(") ").next().is_some_and(|after_name| after_name.starts_with('T'))
            })
        });
    }

    /// Ends it as a crash of the process does.
    pub fn kill9(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Asks it to stop, and gives its exit.
    pub fn terminate(self) -> Exit {
        self.signal(Signal::TERM);
        self.exit()
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// If it does not.
    pub fn exit(mut self) -> Exit {
        wait_until("the server ends", || self.child.try_wait().expect("a child can be asked").is_some());
        let status = self.wait();
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("stdout can be read");
        }
        Exit::of(Output { status, stdout, stderr: self.stderr().into_bytes() })
    }

    fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("a child can be waited for");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("stderr can be read");
        }
        status
    }

    /// Crashes it and starts another on the same directory, with the same settings.
    pub fn crash_and_restart(self) -> Self {
        let launch = self.launch.clone();
        self.kill9();
        launch.start()
    }

    /// Memory that it holds, in bytes (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux has /proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has a VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("it is a number of kB");
        kib * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
