//! The tools killed at any system call by which they change anything: the log is the old one or the new one, and doing
//! it again works. And the order in which they make durable what they have done, which a kill does not show.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use super::kit::{aof, arg, data, small_log};
use crate::helpers::traced;

/// Every system call by which files are opened, changed, made durable or closed. One that only reads, or locks, leaves
/// behind what the next of these finds.
const CALLS: &[&str] = &[
    "openat",
    "pwrite64",
    "fdatasync",
    "fsync",
    "renameat",
    "renameat2",
    "unlinkat",
    "ftruncate",
    "fchown",
    "fchmod",
    "close",
];

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    Killed,
    /// There was no such call.
    Ended,
}

/// Runs a tool that is killed when it makes a call on one of the names in its directory for the n-th time; `None`
/// after having said why that cannot be.
fn run_killed(dir: &Path, args: &[&str], names: &[&str], call: &str, nth: usize) -> Option<Run> {
    let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
    let mut options = vec!["-o", "/dev/null", "-e", &inject];
    let paths: Vec<PathBuf> = ["", "kvred.aof", "kvred.aof.lock"].iter().chain(names).map(|n| dir.join(n)).collect();
    options.extend(paths.iter().flat_map(|path| ["-P", arg(path)]));
    let output = traced(&options, &[&["aof"], args].concat())?;
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Some(Run::Ended),
        (_, Some(9)) => Some(Run::Killed),
        _ => panic!("{args:?}, to be killed at {call} {nth}: {output:?}"),
    }
}

/// What was kept of a log that was cut.
fn cuts(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_string_lossy().contains(".cut-")).collect()
}

/// Kills the tool at each call in turn; `check` is told what was done, and says whether the change had been made.
fn at_every_call(
    dir: &Path,
    args: &[&str],
    names: &[&str],
    mut prepare: impl FnMut(),
    mut check: impl FnMut(&str) -> bool,
) {
    let (mut before, mut after) = (0, 0);
    for call in CALLS {
        for nth in 1.. {
            prepare();
            match run_killed(dir, args, names, call, nth) {
                None => return,
                Some(Run::Ended) => break,
                Some(Run::Killed) => {}
            }
            if check(&format!("killed at {call} {nth}")) { after += 1 } else { before += 1 }
        }
    }
    println!("killed {before} times before the change and {after} times after it");
    assert!(before >= 6 && after >= 1, "{before} and {after}");
}

#[test]
fn a_kill_at_any_call_of_an_offline_rewrite_leaves_the_old_log_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let expected = data(&path);
    let prepare = || fs::write(&path, &log).unwrap();
    at_every_call(dir.path(), &["rewrite", arg(&path)], &["temp-rewrite-kvred.aof"], prepare, |what| {
        let now = fs::read(&path).unwrap();
        let renamed = now != log;
        assert_eq!(aof(&["check", arg(&path)]).code, Some(0), "{what}");
        assert_eq!(data(&path), expected, "{what}");
        let json = aof(&["check", "--json", arg(&path)]).json();
        assert_eq!(json["rewrites"].as_u64(), Some(u64::from(renamed)), "{what}");
        // Nothing stands in the way of the next one, and it tidies up.
        let again = aof(&["rewrite", arg(&path)]);
        assert_eq!(again.code, Some(0), "{what}: {}", again.stderr);
        assert!(!dir.path().join("temp-rewrite-kvred.aof").exists(), "{what}");
        assert_eq!(data(&path), expected, "{what}");
        renamed
    });
}

#[test]
fn a_kill_at_any_call_of_fix_loses_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let copy = format!("kvred.aof.cut-{}", log.len());
    let torn = [&log[..], b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nlost in a crash"].concat();
    let prepare = || {
        for cut in cuts(dir.path()) {
            fs::remove_file(cut).unwrap();
        }
        fs::write(&path, &torn).unwrap();
    };
    at_every_call(dir.path(), &["check", "--fix", "--yes", arg(&path)], &[&copy], prepare, |what| {
        let now = fs::read(&path).unwrap();
        let cut = now.len() < torn.len();
        assert!(now == torn || now == log, "{what}: {} bytes", now.len());
        if cut {
            let [kept] = &cuts(dir.path())[..] else { panic!("{what}: one copy") };
            assert_eq!([now, fs::read(kept).unwrap()].concat(), torn, "{what}");
        }
        let again = aof(&["check", "--fix", "--yes", arg(&path)]);
        assert_eq!(again.code, Some(0), "{what}: {}{}", again.stdout, again.stderr);
        assert_eq!(fs::read(&path).unwrap(), log, "{what}");
        let [kept] = &cuts(dir.path())[..] else { panic!("{what}: one copy, also after the second time") };
        assert_eq!(fs::read(kept).unwrap(), torn[log.len()..], "{what}");
        cut
    });
}

#[test]
fn a_kill_at_any_call_of_a_header_s_repair_leaves_it_wrong_or_right() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let mut wrong = log.clone();
    wrong[20] ^= 4;
    let prepare = || {
        for cut in cuts(dir.path()) {
            fs::remove_file(cut).unwrap();
        }
        fs::write(&path, &wrong).unwrap();
    };
    at_every_call(dir.path(), &["check", "--fix", "--yes", arg(&path)], &["kvred.aof.cut-0"], prepare, |what| {
        let now = fs::read(&path).unwrap();
        assert!(now == wrong || now == log, "{what}");
        let again = aof(&["check", "--fix", "--yes", arg(&path)]);
        assert_eq!(again.code, Some(0), "{what}: {}{}", again.stdout, again.stderr);
        assert_eq!(fs::read(&path).unwrap(), log, "{what}");
        now == log
    });
}

/// Runs a tool, and gives what it wrote, made durable and named, in order: `call file`, the same call on the same file
/// once; `None` after having said why that cannot be.
fn durable_steps(dir: &Path, args: &[&str]) -> Option<Vec<String>> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let trace = "trace=pwrite64,ftruncate,fdatasync,fsync,renameat,renameat2";
    let options = ["-y", "-s", "0", "-o", arg(out.path()), "-e", trace];
    let output = traced(&options, &[&["aof"], args].concat())?;
    // A torn log that is not repaired is still told of.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{args:?}: {output:?}");
    let log = fs::read_to_string(out.path()).unwrap();
    let mut steps: Vec<String> = log.lines().filter_map(|line| step(dir, line)).collect();
    steps.dedup();
    Some(steps)
}

/// What a line of `strace -f -y` tells: `7 fdatasync(3</tmp/x/kvred.aof>) = 0`. One thread makes all these calls, so
/// where a call begins is where it stands.
fn step(dir: &Path, line: &str) -> Option<String> {
    let (call, args) = line.split_once(' ')?.1.trim().split_once('(')?;
    if call.starts_with("rename") {
        return Some("rename".to_owned());
    }
    let path = Path::new(args.split_once('<')?.1.split_once('>')?.0);
    // What leads to the directory may be a link, and letters that are not ASCII are shown as numbers.
    let name = path.file_name()?;
    let name = if Some(name) == dir.file_name() { "directory" } else { name.to_str()? };
    // Some end in a number of their own.
    let name = if name.starts_with("temp-rewrite-") { "temporary" } else { name };
    Some(format!("{call} {name}"))
}

#[test]
fn what_the_tools_do_is_durable_before_what_rests_on_it_and_when_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let copy = format!("kvred.aof.cut-{}", log.len());
    let new_log =
        "pwrite64 temporary, fdatasync temporary, pwrite64 temporary, fdatasync temporary, rename, fsync directory";
    let mut wrong_header = log.clone();
    wrong_header[20] ^= 4;
    let torn = [&log[..], b"*3\r\n$3\r\nSET"].concat();
    let cut = format!("pwrite64 {copy}, fdatasync {copy}, fsync directory, ftruncate kvred.aof, fdatasync kvred.aof");
    let header =
        "pwrite64 kvred.aof.cut-0, fdatasync kvred.aof.cut-0, fsync directory, pwrite64 kvred.aof, fdatasync kvred.aof";
    let (image, salvaged) = (dir.path().join("image.aof"), dir.path().join("salvaged.aof"));
    for (log, args, expected) in [
        (&log, vec!["rewrite"], new_log),
        (&log, vec!["rewrite", "-o", arg(&image)], new_log),
        (&torn, vec!["check", "--salvage", arg(&salvaged)], new_log),
        (&torn, vec!["check", "--fix", "--yes"], &cut),
        (&wrong_header, vec!["check", "--fix", "--yes"], header),
    ] {
        fs::write(&path, log).unwrap();
        let Some(steps) = durable_steps(dir.path(), &[&args[..], &[arg(&path)]].concat()) else { return };
        assert_eq!(steps.join(", "), expected, "{args:?}");
    }
}
