//! Files that are not what they seem.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::kit::{all_tools, aof, arg, data, resp, small_log};
use crate::helpers::{self, Exit, Launch};

#[test]
fn what_is_no_readable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in
        [fifo.as_path(), dir.path(), Path::new("/dev/zero"), &dir.path().join("missing"), Path::new("/proc/self/mem")]
    {
        for (code, said) in all_tools(path) {
            assert!(code == 3 || code == 4, "{}: {code} {said}", path.display());
        }
        assert_eq!(aof(&["rewrite", arg(path)]).code, Some(3), "{}", path.display());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no lock was made for what is no log");
}

#[test]
fn what_no_log_begins_with_cannot_steer_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.gz");
    for (bytes, shown) in [(b"\x1f\x8b\x08", "\\x1f"), (b"\x1b[2", "\\x1b"), (b"\x9b2J", "\\x9b"), (b"PK\x03", "P")] {
        fs::write(&path, bytes).unwrap();
        let checked = aof(&["check", arg(&path)]);
        let said = format!("it is not RESP: expected '*', got '{shown}'");
        assert!(checked.code == Some(4) && checked.stdout.contains(&said), "{said}: {checked:?}");
        assert!(!checked.stdout.contains(|c: char| c.is_control() && c != '\n'), "{checked:?}");
    }
}

#[test]
fn what_a_refused_command_repeats_cannot_steer_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.aof");
    let word = b"\x1b]0;x\x07\x9b2J\r\n".repeat(1000);
    for name in [&b"FOO"[..], b"SELECT"] {
        fs::write(&path, resp(&[name, &word])).unwrap();
        let saved = dir.path().join(format!("saved-{}", name.len()));
        for exit in [
            aof(&["check", arg(&path)]),
            aof(&["check", "--salvage", arg(&saved), arg(&path)]),
            aof(&["rewrite", arg(&path)]),
            Launch::at(dir.path()).refused(),
        ] {
            let said = exit.stdout + &exit.stderr;
            assert!(said.contains("?]0;x?") && said.len() < 2000, "{said:?}");
            assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
        }
    }
}

#[test]
fn a_dash_is_no_file_and_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, crate::kit::resp(&[b"SET", b"k", b"v"])).unwrap();
    for (args, word) in [
        (&["check", "-"][..], "save it to a file first"),
        (&["dump", "-"], "save it to a file first"),
        (&["rewrite", "-"], "save it to a file first"),
        (&["check", "--salvage", "-", arg(&log)], "dump --format resp"),
        (&["rewrite", "-o", "-", arg(&log)], "dump --format resp"),
    ] {
        let output = aof(args);
        assert_eq!(output.code, Some(2), "{args:?}");
        assert!(output.stderr.contains(word), "{args:?}: {}", output.stderr);
    }
    assert!(!Path::new("-").exists());
}

#[test]
fn a_command_that_is_proposed_can_be_pasted_wherever_the_log_lies() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = small_log(dir.path());
    let odd = dir.path().join("it's a $(folder)");
    fs::create_dir(&odd).unwrap();
    let path = odd.join("kvred.aof");
    let paste = |command: &str| {
        let bin = Path::new(env!("CARGO_BIN_EXE_kvred")).parent().unwrap();
        let script = format!("PATH=\"$0:$PATH\"; {command}");
        let output = Launch::clean(Command::new("sh")).args(["-c", &script, arg(bin)]).output().unwrap();
        output.status.code()
    };
    let in_backquotes = |said: &str| said.split('`').nth(1).unwrap_or_else(|| panic!("no command: {said}")).to_owned();

    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(&path, &log).unwrap();
    for tool in ["rewrite", "dump"] {
        let command = in_backquotes(&aof(&[tool, arg(&path)]).stderr);
        assert_eq!(paste(&command), Some(4), "{command}");
    }
    let command = in_backquotes(&Launch::at(&odd).refused().stderr);
    assert_eq!(paste(&command), Some(4), "{command}");
    let said = aof(&["check", arg(&path)]).stdout;
    let command = said.lines().find_map(|line| line.trim().strip_prefix("to save it")).expect(&said);
    assert_eq!(paste(&command.replace("OUT", &format!("{}/saved", arg(dir.path())))), Some(1), "{command}");

    log[middle] ^= 1;
    fs::write(&path, &log[..log.len() - 5]).unwrap();
    let command = in_backquotes(&aof(&["rewrite", arg(&path)]).stderr);
    let said = aof(&["check", arg(&path)]).stdout;
    assert!(said.contains(&format!("to repair it  {command}\n")), "{command}: {said}");
    paste(&format!("{command} --yes"));
    assert_eq!(aof(&["check", arg(&path)]).code, Some(0), "{command}");
}

#[test]
fn what_is_not_resp_is_said_without_the_words_for_clients() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, "*1\r\n$x\r\n").unwrap();
    let said = aof(&["check", arg(&path)]).stdout;
    assert!(said.contains("it is not RESP: invalid bulk length"), "{said}");
}

/// It refuses to cut off a command that is whole.
#[test]
fn of_a_log_with_a_refused_command_no_repair_is_advised_whatever_else_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let hset = helpers::command(&["HSET", "h", "f", "v"]);
    for tail in [&b"*1\r\n"[..], b"*x\r\n"] {
        fs::write(&path, [&hset, tail].concat()).unwrap();
        let said = aof(&["check", arg(&path)]).stdout;
        assert!(said.contains("  from there on ") && !said.contains("--fix"), "{said}");
        aof(&["check", "--fix", "--yes", arg(&path)]).expect(4, &["nothing was changed"]);
    }
}

/// Checks a log in an address space of so many KiB.
fn check_with_memory(kib: &str, log: &Path) -> Exit {
    let script = format!("ulimit -v {kib}; exec \"$0\" aof check \"$1\"");
    let mut command = Launch::clean(Command::new("sh"));
    Exit::of(command.args(["-c", &script, env!("CARGO_BIN_EXE_kvred"), arg(log)]).output().unwrap())
}

#[test]
fn hostile_bytes_are_damage_and_cost_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.aof");
    let noise: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let deep = "*1\r\n".repeat(100_000);
    for (bytes, codes) in [
        (&b"*3\r\n$1152921504606846976\r\nSET\r\n"[..], [4, 4]),
        (b"*1152921504606846976\r\n", [4, 4]),
        (b"*2147483647\r\n$1\r\na\r\n", [1, 1]),
        (b"*1\r\n$1073741824\r\nabc", [1, 1]),
        (b"#no end", [1, 1]),
        (b"REDIS0011\xfa\x09redis-ver", [4, 4]),
        (deep.as_bytes(), [4, 4]),
        (&noise, [4, 4]),
        (b"", [0, 0]),
        (&vec![0; 100_000], [4, 4]),
    ] {
        fs::write(&path, bytes).unwrap();
        let ran = all_tools(&path);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert_eq!([ran[0].0, ran[2].0], codes, "{shown:?}: {ran:?}");
        // In an address space of 400 MB: an allocation of what the file claims would fail.
        let limited = check_with_memory("400000", &path);
        assert_eq!(limited.code, Some(codes[0]), "{shown:?}: {}", limited.stderr);
    }
}

/// Each of these lines is three bytes, and nothing is to be remembered of it.
#[test]
fn a_batch_of_nothing_but_annotations_costs_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let header = small_log(dir.path())[..36].to_vec();
    let path = dir.path().join("annotated.aof");
    fs::write(&path, [header, b"#\r\n".repeat((4 << 20) + 100)].concat()).unwrap();
    let limited = check_with_memory("150000", &path);
    limited.expect(1, &[]);
    assert!(limited.stdout.contains("its tail is torn"), "{}", limited.stdout);
}

#[test]
fn where_a_log_is_torn_damaged_or_refused_and_why_each_have_a_line_within_80_columns() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let mut flipped = log.clone();
    flipped[2000] ^= 1;
    let durable = "not the trace of a crash: a later batch states that these bytes were durable from there on";
    let hset = helpers::command(&["HSET", "h", "f", "v"]);
    for (bytes, what, why, whole) in [
        (&log[..log.len() - 100], "  torn          batch ", "                the file ends in the middle of it", ""),
        (&flipped, "  damage        batch ", "                its checksum does not match, seen at byte ", durable),
        (&hset, "  refused       record 1 at byte 0:", "                ERR 'hset' is not supported", ""),
    ] {
        fs::write(&path, bytes).unwrap();
        let checked = aof(&["check", arg(&path)]);
        let said = checked.stdout;
        let lines = said.lines().skip_while(|line| !line.starts_with(what));
        let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("  to ")).collect();
        assert!(lines.len() >= 2 && lines[1].starts_with(why), "{said}");
        assert!(lines.iter().all(|line| line.len() <= 80), "{said}");
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(whole), "{said}");
    }
}

#[test]
fn the_help_of_each_tool_names_the_exit_codes_that_it_ends_with() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let [out, torn, damaged, other] =
        ["out.aof", "torn.aof", "damaged.aof", "other.aof"].map(|name| dir.path().join(name));
    fs::write(&torn, &log[..log.len() - 10]).unwrap();
    let mut flipped = log;
    flipped[2000] ^= 1;
    fs::write(&damaged, flipped).unwrap();
    fs::write(&other, helpers::command(&["HSET", "h", "f", "v"])).unwrap();
    let server = Launch::at(dir.path()).start();
    for (tool, writes) in [
        (&["check"][..], &["check", "--fix", "--yes"][..]),
        (&["dump"], &["dump"]),
        (&["rewrite", "-o", arg(&out)], &["rewrite"]),
    ] {
        let help = aof(&[tool[0], "--help"]).stdout;
        let status = help.split_once("\nExit status:\n").expect("it tells of them").1;
        let ends_with = |tool: &[&str], log: &Path, told: &str| {
            let output = aof(&[tool, &[arg(log)]].concat());
            let code = output.code.expect("not killed");
            drop(fs::remove_file(&out));
            let is_told = status.lines().any(|line| line.starts_with(&format!("  {code} ")));
            assert!(is_told, "{tool:?}: {code} is not in: {status}");
            assert_eq!(code != 0, status.contains(told), "{tool:?} {log:?} {code}: {status}");
        };
        ends_with(tool, &torn, "tail is torn");
        ends_with(tool, &damaged, "the log is damaged");
        ends_with(tool, &other, "has a command that kvred does not take");
        ends_with(writes, &server.launch().log_path(), "a server holds the log");
        for flag in ["--fix", "--salvage", "--until"] {
            assert!(!status.contains(flag) || help.contains(&format!("\n      {flag}")), "{tool:?} has no {flag}");
        }
    }
    server.terminate().expect(0, &[]);
}

/// A rewrite by the server, which the refusal names else, would leave nothing of what it was then.
#[test]
fn what_a_log_was_that_a_server_holds_comes_from_a_copy_and_the_refusal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).start();
    server.connect().ask(&["SET", "a", "1"]);
    let [copy, out] = ["copy.aof", "out.aof"].map(|name| dir.path().join(name));
    let until = |log| aof(&["rewrite", "-o", arg(&out), "--until", "9999999999", log]);
    let log = server.launch().log_path();
    let refused = until(arg(&log));
    refused.expect(3, &[]);
    let said = refused.stderr;
    let instead = format!("`kvred aof check --salvage COPY {}`", log.display());
    assert!(said.contains("in use by a kvred server") && said.contains(&instead), "{said}");
    assert!(!said.contains("BGREWRITEAOF"), "{said}");
    aof(&["check", "--salvage", arg(&copy), arg(&log)]).expect(0, &[]);
    until(arg(&copy)).expect(0, &[]);
    assert_eq!(data(&out), ["SET a 1"]);
    server.terminate().expect(0, &[]);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    for command in ["dump", "check"] {
        let mut child = Launch::binary().args(["aof", command, arg(&path)]).spawn().unwrap();
        drop(child.stdout.take());
        let output = Exit::of(child.wait_with_output().unwrap());
        assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{command}");
    }
}

#[test]
fn what_cannot_be_written_is_told_also_when_there_was_enough() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    for flags in [&[][..], &["--limit", "3"], &["--follow", "--limit", "3"], &["--format", "json", "--limit", "1"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Launch::binary().args(["aof", "dump"]).args(flags).arg(&path).stdout(full).output().unwrap();
        let output = Exit::of(output);
        assert_eq!(output.code, Some(3), "{flags:?}");
        assert!(output.stderr.contains("cannot write the output"), "{flags:?}: {}", output.stderr);
    }
}

#[test]
fn paths_that_are_not_utf_8_are_told_byte_for_byte_in_json() {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use base64::Engine;
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(OsStr::from_bytes(b"\xff"));
    fs::create_dir(&odd).unwrap();
    let torn = [&small_log(&odd)[..], b"*3\r\n"].concat();
    let (path, saved) = (odd.join("kvred.aof"), odd.join("saved.aof"));
    fs::write(&path, &torn).unwrap();
    let told = |code: i32, args: &[&OsStr]| {
        let output = Launch::binary().args(["aof", "check", "--json"]).args(args).output();
        let output = Exit::of(output.unwrap());
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
        output.json()
    };
    let path_of = |value: &serde_json::Value| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value["base64"].as_str().unwrap()).unwrap();
        PathBuf::from(std::ffi::OsString::from_vec(bytes))
    };
    let found = told(1, &[path.as_os_str()]);
    assert_eq!(path_of(&found["file"]), path);
    let salvaged = told(1, &["--salvage".as_ref(), saved.as_os_str(), path.as_os_str()]);
    assert_eq!((path_of(&salvaged["file"]), path_of(&salvaged["out"])), (path.clone(), saved));
    let fixed = told(0, &["--fix".as_ref(), "--yes".as_ref(), path.as_os_str()]);
    assert_eq!(fs::read(path_of(&fixed["fixed"]["kept_in"])).unwrap(), b"*3\r\n");
}

#[test]
fn a_torn_log_is_dumped_up_to_the_tear() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let whole = aof(&["dump", arg(&path)]);
    log.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
    fs::write(&path, &log).unwrap();
    let torn = aof(&["dump", arg(&path)]);
    assert_eq!((torn.code, torn.stdout), (Some(1), whole.stdout));
    assert!(torn.stderr.contains("torn at byte"), "{}", torn.stderr);
}
