//! Volumes that can be filled or copied, and `strace` on a running server.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::helpers::{Client, Exit, Launch, QUIET_STRACE, Reply, Server, info_number, skip, wait_until, was_traced};

/// A file system mounted where a [`Launch`] has its directory; unmounted when this is dropped.
pub struct Volume {
    /// Kept so that its directory outlives the mount.
    launch: Launch,
    image: Option<TempDir>,
}

/// Runs a tool; `None` after having said why it cannot be.
pub fn tool(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Some(output),
        Ok(output) => {
            skip(&format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
            None
        }
        Err(e) => {
            skip(&format!("{program}: {e}"));
            None
        }
    }
}

impl Volume {
    /// A `tmpfs` of so many KiB.
    pub fn tmpfs(launch: &Launch, size_kib: u32) -> Option<Self> {
        let dir = launch.dir().to_str()?;
        tool("mount", &["-t", "tmpfs", "-o", &format!("size={size_kib}k"), "tmpfs", dir])?;
        Some(Self { launch: launch.clone(), image: None })
    }

    /// An `ext4` in a file of so many KiB.
    pub fn ext4(launch: &Launch, size_kib: u32) -> Option<Self> {
        Self::ext4_with(launch, size_kib, &[])
    }

    /// An `ext4` in a file of 64 MiB, all blocks of which are in one group.
    pub fn ext4_of_one_group(launch: &Launch) -> Option<Self> {
        Self::ext4_with(launch, 64 << 10, &["-b", "4096"])
    }

    fn ext4_with(launch: &Launch, size_kib: u32, more: &[&str]) -> Option<Self> {
        let image = tempfile::Builder::new().prefix("kvred-image-").tempdir().unwrap();
        let path = image.path().join("disk.img");
        std::fs::File::create(&path).unwrap().set_len(u64::from(size_kib) << 10).unwrap();
        tool("mkfs.ext4", &[&["-q", "-F", "-m", "0"][..], more, &[path.to_str()?]].concat())?;
        Self::mount_image(launch, image)
    }

    /// The same disk, of one group, when it has gone bad: what tells free blocks from others cannot be read any more.
    /// What is there can be, and be overwritten, but nothing grows.
    pub fn without_free_blocks(mut self) -> Option<Self> {
        let image = self.image.take().expect("a volume in a file");
        let launch = self.launch.clone();
        drop(self);
        let path = image.path().join("disk.img");
        // Who looks around in it, or has a copy of all mounts, holds it for a while: mounted now, it would still be the
        // sound one.
        wait_until("the disk is let go", || !is_attached(&path));
        let layout = tool("dumpe2fs", &[path.to_str()?])?.stdout;
        let layout = String::from_utf8_lossy(&layout);
        // A layout that cannot be read is a failure: a test that is skipped would hide it.
        let number = |label: &str| {
            let text = layout.lines().find_map(|line| line.trim().strip_prefix(label));
            let digits = text.and_then(|text| text.trim().split([' ', ',']).next());
            digits.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or_else(|| panic!("no {label} in {layout}"))
        };
        let (block_bytes, bitmap) = (number("Block size:"), number("Block bitmap at "));
        let disk = std::fs::File::options().write(true).open(&path).unwrap();
        let garbage = vec![0xA5; block_bytes as usize];
        std::os::unix::fs::FileExt::write_all_at(&disk, &garbage, bitmap * block_bytes).unwrap();
        Self::mount_image(&launch, image)
    }

    /// Its journal is committed when somebody syncs, not by itself, so that a stopped server's disk stands still.
    fn mount_image(launch: &Launch, image: TempDir) -> Option<Self> {
        let path = image.path().join("disk.img");
        tool("mount", &["-o", "loop,data=ordered,commit=600", path.to_str()?, launch.dir().to_str()?])?;
        Some(Self { launch: launch.clone(), image: Some(image) })
    }

    /// What has reached the disk, as it is now, mounted for another launch: what a power cut would leave. The volume's
    /// journal is replayed by mounting the copy.
    pub fn power_cut(&self, elsewhere: &Launch) -> Option<Self> {
        let image = tempfile::Builder::new().prefix("kvred-image-").tempdir().unwrap();
        let from = self.image.as_ref().expect("a volume in a file").path().join("disk.img");
        // The loop device writes to the file only what the file system has sent to its disk.
        std::fs::copy(from, image.path().join("disk.img")).unwrap();
        Self::mount_image(elsewhere, image)
    }

    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.launch.dir()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Fills it up with a file, but for so many bytes.
    pub fn fill_but(&self, bytes: u64) -> PathBuf {
        let path = self.launch.dir().join("filler");
        let file = std::fs::File::options().append(true).create(true).open(&path).unwrap();
        for step in [1 << 20, 64 << 10, 4 << 10, 1 << 10] {
            let block = vec![1; step as usize];
            while self.free_bytes() >= bytes + step && std::io::Write::write_all(&mut &file, &block).is_ok() {
                // Space is counted when it is allocated, on ext4 when it is written back.
                rustix::fs::fdatasync(&file).unwrap();
            }
        }
        path
    }
}

/// Whether a loop device has this file.
fn is_attached(path: &Path) -> bool {
    let path = path.canonicalize().unwrap();
    std::fs::read_dir("/sys/block").unwrap().flatten().any(|device| {
        let file = std::fs::read_to_string(device.path().join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(file.trim_end()) == path)
    })
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = |args: &[&str]| {
            let status = Command::new("umount").args(args).arg(self.launch.dir()).stderr(Stdio::null()).status();
            status.is_ok_and(|s| s.success())
        };
        // A server that was killed a moment ago may still hold it.
        if !unmounted(&[]) && !unmounted(&["-l"]) {
            skip(&format!("{} could not be unmounted", self.launch.dir().display()));
        }
    }
}

/// The id of one of its threads. It gives itself its name when it first runs.
pub fn thread(server: &Server, name: &str) -> u32 {
    let tasks = PathBuf::from(format!("/proc/{}/task", server.pid()));
    let mut found = None;
    wait_until(name, || {
        let mut all = std::fs::read_dir(&tasks).unwrap().flatten();
        let named = |comm: &Path| std::fs::read_to_string(comm).is_ok_and(|comm| comm.trim() == name);
        found = all.find(|task| named(&task.path().join("comm")));
        found.is_some()
    });
    found.and_then(|task| task.file_name().to_str()?.parse().ok()).expect("a thread's directory is its id")
}

/// Waits until a traced thread is held up by `delay_enter` in this call: its tracer has stopped it there.
pub fn wait_until_held_in(server: &Server, name: &str, call: i64) {
    let task = PathBuf::from(format!("/proc/{}/task/{}", server.pid(), thread(server, name)));
    // Or none, where an error takes its place.
    let calls = [format!("{call} "), "-1 ".to_owned()];
    let mut seen = 0;
    wait_until("the thread is held", || {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap();
        let stopped = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('t'));
        let now = std::fs::read_to_string(task.join("syscall")).unwrap();
        let within = calls.iter().any(|call| now.starts_with(call));
        seen = if stopped && within { seen + 1 } else { 0 };
        seen >= 10
    });
}

/// In a sync.
pub fn wait_until_held(server: &Server, name: &str) {
    wait_until_held_in(server, name, libc::SYS_fdatasync);
}

/// Holds a thread in its first sync, until the [`Tracer`] ends.
pub const HELD: &str = "inject=fdatasync:delay_enter=600000000:when=1";

/// `strace` attached to a server. Ends, and lets the server go on untouched, when this is dropped.
pub struct Tracer {
    child: Child,
    out: TempDir,
}

/// What a tracer watches.
#[derive(Clone, Copy)]
pub enum Whom<'n> {
    All,
    /// One thread of the server, by name.
    Thread(&'n str),
}

impl Tracer {
    /// Attaches, with `-e` options; `None` after having said why it cannot be.
    pub fn attach(server: &Server, whom: Whom<'_>, options: &[&str]) -> Option<Self> {
        let out = tempfile::Builder::new().prefix("kvred-strace-").tempdir().unwrap();
        let mut command = Command::new("strace");
        match whom {
            Whom::All => command.args(["-f", "-p", &server.pid().to_string()]),
            Whom::Thread(name) => command.args(["-p", &thread(server, name).to_string()]),
        };
        for option in options {
            command.args(["-e", option]);
        }
        command.arg("-o").arg(out.path().join("log")).args(["-s", "256"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(e) => {
                skip(&format!("strace: {e}"));
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        if !line.contains("attached") {
            child.wait().unwrap();
            skip(&format!("strace cannot attach: {}", line.trim()));
            return None;
        }
        // Else it is ended by SIGPIPE when it has more to say.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        Some(Self { child, out })
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.out.path().join("log")).unwrap_or_default()
    }

    /// Lets the server go; what was written.
    pub fn detach(mut self) -> String {
        self.end();
        self.log()
    }

    fn end(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
            kill_process(pid, Signal::INT).unwrap();
        }
        self.child.wait().unwrap();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server that `strace` watches from its first step on.
pub struct TracedStart {
    launch: Launch,
    out: TempDir,
}

impl TracedStart {
    /// With these options of `strace`.
    pub fn new(launch: &Launch, options: &[&str]) -> Self {
        let out = tempfile::Builder::new().prefix("kvred-strace-").tempdir().unwrap();
        let log = out.path().join("log");
        // `-D`: the child that is started becomes the server, and `strace` runs beside it.
        let strace = ["strace", QUIET_STRACE, "-D", "-f", "-y", "-s", "256", "-o", log.to_str().unwrap()];
        Self { launch: launch.clone().under(&[&strace[..], options].concat()), out }
    }

    /// The server, or how it ended; `None` after having said why it cannot be traced.
    pub fn run(&self) -> Option<Result<Server, Exit>> {
        if Command::new("strace").arg("-V").output().is_err() {
            skip("strace is not installed");
            return None;
        }
        let started = self.launch.try_start();
        let said = started.as_ref().map_or_else(|exit| exit.stderr.clone(), Server::stderr);
        was_traced(&said).then_some(started)
    }

    /// What was written so far, see [`whole_calls`].
    pub fn log(&self) -> String {
        whole_calls(&std::fs::read_to_string(self.out.path().join("log")).unwrap())
    }
}

/// A log of `strace -f`, in which a call that another thread's came between stands on one line where it ended. `strace`
/// writes two, `7 fsync(3</tmp> <unfinished ...>` where it began, which stays, and `7 <... fsync resumed>)   = 0`.
pub fn whole_calls(log: &str) -> String {
    let mut began = HashMap::new();
    let mut whole = String::new();
    for line in log.lines() {
        let thread = line.split(' ').next();
        if let Some(beginning) = line.strip_suffix(" <unfinished ...>") {
            began.insert(thread, beginning);
        }
        let resumed = line.split_once(" resumed>").filter(|(head, _)| head.contains(" <... "));
        match resumed.and_then(|(_, end)| end.rsplit_once(" = ")) {
            // Results are set in columns.
            Some((end, result)) => {
                whole.extend([began.remove(&thread).unwrap_or_default(), end.trim_end(), " = ", result, "\n"]);
            }
            None => whole.extend([line, "\n"]),
        }
    }
    whole
}

#[test]
fn calls_of_many_threads_are_put_together() {
    let log = "7  fsync(3</tmp> <unfinished ...>\n81 pwrite64(5, \"a\", 1, 38 <unfinished ...>\n7  <... fsync resumed>)   = 0\n\
               81 <... pwrite64 resumed>) = 1\n7  fsync(3</tmp>) = 0\n";
    let whole = whole_calls(log);
    let whole: Vec<&str> = whole.lines().skip(2).collect();
    assert_eq!(whole, ["7  fsync(3</tmp>) = 0", "81 pwrite64(5, \"a\", 1, 38) = 1", "7  fsync(3</tmp>) = 0"]);
}

/// A server under `everysec` that has synced its first write, of key `k`.
pub fn synced_server() -> (Server, Client) {
    let server = Launch::new().start();
    let mut client = server.connect();
    client.set("k", "0");
    wait_until("a first sync", || info_number(&mut client, "aof_fsyncs") > 0);
    (server, client)
}

/// The text of an error reply.
pub fn error(reply: Reply) -> String {
    match reply {
        Reply::Error(text) => text,
        other => panic!("not an error: {other:?}"),
    }
}

/// Asserts that no rewrite's temporary file is in the directory.
pub fn assert_no_orphan(dir: &Path) {
    let orphan = dir.join("temp-rewrite-kvred.aof");
    assert!(!orphan.exists(), "{} is left behind", orphan.display());
}

/// What `WAITAOF` answers.
pub fn waited(local: i64) -> Reply {
    Reply::Array(vec![Reply::Integer(local), Reply::Integer(0)])
}
