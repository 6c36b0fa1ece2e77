//! `check` and `serve` agree about every log that one accident can make, and a repaired one loads everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kvred::aof::examine;
use kvred::command::loader::Loader;
use kvred::db::state::Keyspace;
use kvred::exit::Status;
use kvred::persistence::disk::DiskRead;
use kvred::persistence::format::HEADER_LINE_BYTES;
use kvred::persistence::replay::{ReplayError, Verdict, replay};

use super::kit::{adopted_log, aof, arg, data, dump, resp, small_log};
use crate::helpers::peer::{Peer, SERVERS};
use crate::helpers::{Launch, Reply};

/// A file in memory whose bytes the test changes.
struct Memory(Mutex<Vec<u8>>);

impl DiskRead for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let there = bytes.get(offset as usize..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        Ok(len)
    }
}

/// The verdicts of `check` and of `serve` on these bytes, and where the sound part ends.
struct Both {
    memory: Arc<Memory>,
    file: Arc<dyn DiskRead>,
    keyspace: Keyspace,
}

impl Both {
    fn new() -> Self {
        let memory = Arc::new(Memory(Mutex::new(Vec::new())));
        Self { file: Arc::clone(&memory) as Arc<dyn DiskRead>, memory, keyspace: Keyspace::new([1, 2, 3, 4]) }
    }

    fn serve(&self) -> (Status, u64) {
        let len = self.memory.len().expect("memory has one");
        let found = Loader::run(&self.keyspace, len, |loader| replay(&self.file, |_| {}, |batch| loader.take(batch)));
        match found {
            Ok(found) => match found.verdict {
                Verdict::New | Verdict::Clean => (Status::Fine, found.end.0),
                Verdict::Torn(_) => (Status::Negative, found.end.0),
                Verdict::Damaged { .. } => (Status::Damaged, found.end.0),
            },
            Err(ReplayError::Refused { .. }) => (Status::Damaged, u64::MAX),
            Err(ReplayError::Io(e)) => panic!("{e}"),
        }
    }

    /// Sets the bytes; what both say, which must be the same.
    fn verdict(&self, bytes: &[u8], what: &str) -> (Status, u64) {
        bytes.clone_into(&mut self.memory.0.lock().unwrap());
        let found = examine(&self.file).unwrap();
        let (status, end) = self.serve();
        assert_eq!(found.status(), status, "{what}");
        assert!(end == found.recovery.end.0 || found.refused.is_some(), "{what}");
        (status, end)
    }
}

#[test]
fn every_truncation_and_every_bit_flip_is_judged_alike_and_cutting_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    assert!((8_000..20_000).contains(&log.len()), "{}", log.len());
    let both = Both::new();
    assert_eq!(both.verdict(&log, "the log itself").0, Status::Fine);
    let mut torn = 0;
    // A repair cuts before what is wrong: what it leaves is one of the log's own beginnings, and there are few of them.
    let mut ends = BTreeSet::new();
    for len in 0..log.len() {
        let (status, end) = both.verdict(&log[..len], &format!("cut to {len}"));
        torn += usize::from(status == Status::Negative);
        assert!(end <= len as u64, "cut to {len}, and sound up to {end}");
        ends.insert(end as usize);
        assert_ne!(status, Status::Damaged, "a file that a crash cut short is not damaged: {len}");
    }
    assert!(torn > log.len() / 2);
    let (mut flipped, mut damaged) = (log.clone(), 0);
    for byte in 0..log.len() {
        // Unoptimised, all eight bits of each byte would take minutes: then it is one in turn, and all at both ends.
        let all = !cfg!(debug_assertions) || byte < 200 || byte + 200 > log.len();
        for bit in (0..8).filter(|bit| all || *bit == byte % 8) {
            let what = format!("bit {bit} of byte {byte}");
            flipped[byte] ^= 1 << bit;
            let (status, end) = both.verdict(&flipped, &what);
            assert_ne!(status, Status::Fine, "{what} passes as clean");
            damaged += usize::from(status == Status::Damaged);
            assert!(end <= byte as u64, "{what} is in what counts as sound, up to {end}");
            ends.insert(end as usize);
            flipped[byte] ^= 1 << bit;
        }
    }
    assert!(damaged > log.len() / 2, "most of it was durable: {damaged}");
    // So these are all logs that `--fix` makes of any of the accidents above; of a wrong bit in the header it makes the
    // log itself.
    ends.insert(log.len());
    assert!(ends.len() > 90, "one for each batch: {}", ends.len());
    let repaired: Vec<_> = ends
        .into_iter()
        .map(|end| {
            let both = Both::new();
            let judged = both.verdict(&log[..end], &format!("repaired, {end} bytes long"));
            assert_eq!(judged, (Status::Fine, end as u64));
            (end, both.keyspace.len() as i64)
        })
        .collect();
    std::thread::scope(|scope| {
        for name in SERVERS {
            let (log, repaired) = (&log, &repaired);
            scope.spawn(move || {
                let Some((server, dir)) = Peer::load(name, log) else { return };
                let mut client = server.connect();
                for &(end, keys) in repaired {
                    // It reads its log again, and ends if it cannot.
                    fs::write(dir.path().join("appendonlydir/appendonly.aof.1.incr.aof"), &log[..end]).unwrap();
                    assert_eq!(client.ask(&["DEBUG", "LOADAOF"]), Reply::ok(), "{name}, cut at {end}");
                    assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(keys), "{name}, cut at {end}");
                }
            });
        }
    });
}

/// No checksum covers a plain log, so a wrong bit may pass for right. But kvred has gone on behind it, so all of it was
/// there: nothing of it can be torn, and what it swallows is not to be cut.
#[test]
fn no_wrong_bit_before_kvred_went_on_in_a_plain_log_is_taken_for_a_tear() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, joint) = adopted_log(dir.path());
    let both = Both::new();
    assert_eq!(both.verdict(&log, "the log itself").0, Status::Fine);
    for byte in 0..joint + HEADER_LINE_BYTES {
        for bit in 0..8 {
            let what = format!("bit {bit} of byte {byte}");
            log[byte] ^= 1 << bit;
            let (status, end) = both.verdict(&log, &what);
            assert_ne!(status, Status::Negative, "{what}");
            assert!(byte < joint || (status, end) == (Status::Damaged, joint as u64), "{what}: {status:?} at {end}");
            log[byte] ^= 1 << bit;
        }
    }
}

/// Truncations, flips, and garbage or zeros behind the end.
fn accidents(log: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let step = log.len() / 8;
    for n in 0..8 {
        let at = n * step + n;
        all.push((format!("cut to {at}"), log[..at].to_vec()));
        let mut flipped = log.to_vec();
        flipped[at] ^= 1 << (n % 8);
        all.push((format!("flipped at {at}"), flipped));
    }
    all.push(("garbage behind it".to_owned(), [log, b"*3\r\n$3\r\nSE\x00\xff"].concat()));
    all.push(("zeros behind it".to_owned(), [log, &[0; 5000]].concat()));
    all
}

#[test]
fn both_binaries_agree_and_a_repaired_log_loads_here_in_redis_and_in_valkey() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    for (what, bytes) in accidents(&log) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kvred.aof");
        fs::write(&path, &bytes).unwrap();
        let checked = aof(&["check", arg(&path)]).code;
        // The server repairs what is torn, so it gets a copy.
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("kvred.aof"), &bytes).unwrap();
        match Launch::at(other.path()).try_start() {
            Ok(server) => {
                assert!(matches!(checked, Some(0 | 1)), "{what}: serve starts, check says {checked:?}");
                server.terminate().expect(0, &[]);
            }
            Err(exit) => {
                assert_eq!(checked, Some(4), "{what}: {}", exit.stderr);
                exit.expect(4, &["kvred aof check"]);
            }
        }
        let fixed = aof(&["check", "--fix", "--yes", arg(&path)]);
        assert_eq!(fixed.code, Some(0), "{what}: {}{}", fixed.stdout, fixed.stderr);
        assert!(!fixed.stdout.contains("bytes were cut off") || fixed.stdout.contains("; they "), "{}", fixed.stdout);
        assert_eq!(aof(&["check", arg(&path)]).code, Some(0), "{what}");
        kept_completely(dir.path(), &path, &bytes, &what);
        assert!(log.starts_with(&fs::read(&path).unwrap()), "{what}: a beginning of the log as it was");
        let keys = data(&path).len() as i64;
        loads_in_peers(&fs::read(&path).unwrap(), keys, &what);
        let server = Launch::at(dir.path()).start();
        assert_eq!(server.connect().ask(&["DBSIZE"]), Reply::Integer(keys), "{what}");
        server.terminate().expect(0, &[]);
    }
}

/// What is left and what was cut are together what was there, less zeros.
fn kept_completely(dir: &Path, path: &Path, before: &[u8], what: &str) {
    let left = fs::read(path).unwrap();
    let cut = fs::read(dir.join(format!("kvred.aof.cut-{}", left.len()))).unwrap_or_default();
    let header_mended = left.len() == before.len();
    if !header_mended {
        let whole = [left, cut].concat();
        assert_eq!(before[..whole.len()], whole[..], "{what}");
        assert!(before[whole.len()..].iter().all(|b| *b == 0), "{what}");
    }
}

fn loads_in_peers(log: &[u8], keys: i64, what: &str) {
    for name in SERVERS {
        let Some((server, _dir)) = Peer::load(name, log) else { continue };
        assert_eq!(server.connect().ask(&["DBSIZE"]), Reply::Integer(keys), "{name}: {what}");
    }
}

#[test]
fn a_wrong_bit_in_the_header_costs_nothing() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("kvred.aof");
    for (log, header) in [(small_log(dir.path()), 0), adopted_log(other.path())] {
        for byte in header..header + HEADER_LINE_BYTES {
            let mut flipped = log.clone();
            flipped[byte] ^= 1 << (byte % 8);
            fs::write(&path, &flipped).unwrap();
            let saved = dir.path().join(format!("saved-{header}-{byte}.aof"));
            assert_eq!(aof(&["check", arg(&path)]).code, Some(4), "byte {byte}");
            let salvaged = aof(&["check", "--salvage", arg(&saved), arg(&path)]);
            assert_eq!(salvaged.code, Some(0), "byte {byte}: {}{}", salvaged.stdout, salvaged.stderr);
            let fixed = aof(&["check", "--fix", "--yes", "--json", arg(&path)]);
            fixed.expect(0, &[]);
            assert_eq!(fs::read(&path).unwrap(), log, "byte {byte}");
            let json = fixed.json();
            let kept = fs::read(json["fixed"]["kept_in"].as_str().unwrap()).unwrap();
            assert_eq!(kept, flipped[header..header + HEADER_LINE_BYTES], "byte {byte}");
            assert_eq!(data(&saved), data(&path), "byte {byte}");
        }
    }
}

#[test]
fn a_log_of_another_format_is_left_to_the_version_that_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    fs::write(&path, b"#KVRED:2:0123456789abcdef:01234567\r\n*1\r\n$4\r\nPING\r\n#END:1\r\n").unwrap();
    let checked = aof(&["check", arg(&path)]);
    let told = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("a newer version of kvred, if one has written it, can read it; else move it away"), "{told}");
    assert!(!told.contains("does not look like a log"), "{told}");
    assert_eq!(checked.code, Some(4), "{checked:?}");
    let fixed = aof(&["check", "--fix", "--yes", arg(&path)]);
    fixed.expect(4, &["nothing was changed: its header is damaged, or of a newer version of kvred"]);
}

#[test]
fn fix_asks_and_without_a_terminal_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = small_log(dir.path());
    log.extend_from_slice(b"*3\r\n");
    let path = dir.path().join("kvred.aof");
    fs::write(&path, &log).unwrap();
    let asked = aof(&["check", "--fix", arg(&path)]);
    asked.expect(2, &["nothing was changed"]);
    assert_eq!(fs::read(&path).unwrap(), log);
    let done = aof(&["check", "--fix", "--yes", "--json", arg(&path)]);
    done.expect(0, &[]);
    let json = done.json();
    assert_eq!(json["verdict"], "clean");
    assert_eq!(json["fixed"]["cut_bytes"], 4);
    assert!(Path::new(json["fixed"]["kept_in"].as_str().unwrap()).exists());
}

#[test]
fn a_command_that_serve_refuses_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    let log = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*4\r\n$4\r\nHSET\r\n$1\r\nh\r\n$1\r\nf\r\n$1\r\nv\r\n";
    fs::write(&path, log).unwrap();
    let checked = aof(&["check", "--json", arg(&path)]);
    checked.expect(4, &[]);
    let json = checked.json();
    assert_eq!((json["verdict"].as_str(), json["refused"]["offset"].as_u64()), (Some("refused"), Some(27)));
    Launch::at(dir.path()).refused().expect(4, &[]);
    let fixed = aof(&["check", "--fix", "--yes", arg(&path)]);
    fixed.expect(4, &[]);
    assert_eq!(fs::read_to_string(&path).unwrap(), log, "a whole command is not cut");
}

/// What another server appends to a log of ours, by hand, and by each that is here.
fn appended(log: &[u8]) -> Vec<(String, Vec<u8>)> {
    let commands = [resp(&[b"SELECT", b"0"]), resp(&[b"SET", b"theirs", b"1"])].concat();
    let mut all = vec![("by hand".to_owned(), [&b"#TS:1700000000\r\n"[..], &commands].concat())];
    for (name, transaction) in SERVERS.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let Some((server, dir)) = Peer::load(name, log) else { continue };
        let mut client = server.connect();
        let frame = |word: &str| transaction.then(|| vec![word.to_owned()]);
        let sets = ["theirs", "too"].map(|key| Some(vec!["SET".to_owned(), key.to_owned(), "1".to_owned()]));
        for command in [frame("MULTI")].into_iter().chain(sets).chain([frame("EXEC")]).flatten() {
            client.ask(&command.iter().map(String::as_str).collect::<Vec<_>>());
        }
        server.shut_down();
        let now = fs::read(dir.path().join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap();
        let more = now.strip_prefix(log).expect("it appends").to_vec();
        all.push((format!("by {name}, in a transaction: {transaction}"), more));
    }
    all
}

/// All of it is whole, so nothing of it is the trace of a crash; a command of ours may be, which its batch was torn
/// behind.
#[test]
fn what_another_server_has_appended_is_not_cut_off_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let ours = dump(&path);
    let torn = resp(&[b"SET", b"torn", b"1"]);
    let appended = appended(&log).into_iter().chain(
        appended(&[&log[..], &torn].concat())
            .into_iter()
            .map(|(what, more)| (format!("{what}, behind a torn batch"), [&torn[..], &more].concat())),
    );
    for (what, more) in appended {
        let whole = [&log[..], &more].concat();
        fs::write(&path, &whole).unwrap();
        let why = "plain commands follow the last batch";
        let checked = aof(&["check", arg(&path)]);
        assert_eq!(checked.code, Some(4), "{what}: {}", checked.stdout);
        assert!(checked.stdout.contains(why), "{what}: {}", checked.stdout);
        Launch::at(dir.path()).refused().expect(4, &[why]);
        assert_eq!(fs::read(&path).unwrap(), whole, "{what}");
        let saved = dir.path().join("saved.aof");
        let salvaged = aof(&["check", "--salvage", arg(&saved), arg(&path)]);
        assert_eq!(salvaged.code, Some(1), "{what}: {}", salvaged.stderr);
        assert_eq!(dump(&saved), ours, "{what}");
        fs::remove_file(&saved).unwrap();
        let fixed = aof(&["check", "--fix", "--yes", arg(&path)]);
        assert_eq!(fixed.code, Some(0), "{what}: {}{}", fixed.stdout, fixed.stderr);
        assert_eq!(fs::read(&path).unwrap(), log, "{what}");
        let kept = dir.path().join(format!("kvred.aof.cut-{}", log.len()));
        assert_eq!(fs::read(&kept).unwrap(), more, "{what}");
        assert!(data(&kept).contains(&"SET theirs 1".to_owned()), "{what}: a log by itself");
        fs::remove_file(&kept).unwrap();
    }
}

/// As `cat first.aof second.aof` makes it: all of both is whole, so none of it is the trace of a crash.
#[test]
fn another_log_behind_a_log_is_not_cut_off_unasked_and_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    let log = small_log(dir.path());
    let commands = dump(&path);
    let both = log.repeat(2);
    fs::write(&path, &both).unwrap();
    let why = "another log of kvred's follows the last batch";
    let checked = aof(&["check", arg(&path)]);
    checked.expect(4, &[]);
    let said = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(why) && said.contains("still verify"), "{}", checked.stdout);
    Launch::at(dir.path()).refused().expect(4, &[why]);
    assert_eq!(fs::read(&path).unwrap(), both);
    let saved = dir.path().join("saved.aof");
    let salvaged = aof(&["check", "--salvage", arg(&saved), arg(&path)]);
    assert_eq!(salvaged.code, Some(0), "{}", salvaged.stdout);
    assert_eq!(dump(&saved), commands.repeat(2));
    aof(&["check", "--fix", "--yes", arg(&path)]).expect(0, &[]);
    assert_eq!(fs::read(&path).unwrap(), log);
}
