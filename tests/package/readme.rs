//! The shell blocks of README.md, run as they stand, one after the other in one shell and one directory.
//!
//! A block behind a comment `<!-- not run by tests/package/readme.rs: why -->` is left out. In `console` blocks, what a
//! command prints is compared; `…` stands for anything within a line.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::{run, source};

/// A command, and what the README says it prints, if it does.
struct Step {
    line: usize,
    command: String,
    output: Option<Vec<String>>,
}

/// The steps of all blocks that can run here, and how many blocks say why they cannot.
fn steps(readme: &str) -> (Vec<Step>, usize) {
    let mut steps = Vec::new();
    let mut left_out = 0;
    let mut before = "";
    let mut lines = readme.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) {
            let block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            let why = before.strip_prefix("<!-- not run by tests/package/readme.rs: ");
            match (kind, why) {
                ("sh" | "console", Some(why)) => {
                    assert!(why.len() > "-->".len() + 10, "line {}: it does not say why", block[0].0);
                    left_out += 1;
                }
                ("sh", None) => {
                    let command = block.iter().map(|(_, line)| *line).collect::<Vec<_>>().join("\n");
                    steps.push(Step { line: block[0].0 + 1, command, output: None });
                }
                ("console", None) => add_console(&mut steps, &block),
                _ => {}
            }
        }
        before = line;
    }
    (steps, left_out)
}

fn add_console(steps: &mut Vec<Step>, block: &[(usize, &str)]) {
    for (at, line) in block {
        match line.strip_prefix("$ ") {
            Some(command) => {
                steps.push(Step { line: at + 1, command: command.to_owned(), output: Some(Vec::new()) });
            }
            None => {
                let last =
                    steps.last_mut().and_then(|step| step.output.as_mut()).expect("a block begins with a command");
                last.push((*line).to_owned());
            }
        }
    }
}

/// Whether a line is as the README has it, where `…` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    for (i, part) in pattern.split('…').enumerate() {
        match rest.find(part) {
            Some(at) if i > 0 || at == 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || pattern.ends_with('…')
}

#[test]
fn shell_blocks_do_what_they_say() {
    let readme = std::fs::read_to_string(source("README.md")).unwrap();
    let (steps, left_out) = steps(&readme);
    assert!(steps.len() > 10, "only {} commands can be run, {left_out} blocks are left out", steps.len());

    // What commands say is compared; what the shell itself says of a killed job, whenever it comes to it, is not.
    let mut script = String::from("trap 'kill -9 $(jobs -p)' EXIT\n");
    for (i, step) in steps.iter().enumerate() {
        write!(script, "echo '@@ {i}'\neval {}\necho \"@@ status $?\"\n", redirected(&step.command)).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_kvred")).parent().unwrap();
    // Server and client take the same variable.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let mut bash = Command::new("timeout");
    bash.args(["120", "bash", "-c", &script]).current_dir(dir.path()).stdin(Stdio::null()).stderr(Stdio::null());
    bash.env("PATH", format!("{}:{path}", binary.display())).env("KVRED_PORT", port.to_string());
    let output = String::from_utf8(run(&mut bash).stdout).unwrap();

    let mut ran = 0;
    for (i, part) in output.split("@@ ").skip(1).collect::<Vec<_>>().chunks(2).enumerate() {
        let step = &steps[i];
        let [printed, status] = part else { panic!("line {}: it did not end", step.line) };
        let of_a_job = |line: &&str| line.starts_with("bash: line ") && line.contains(" Killed ");
        let printed: Vec<&str> = printed.lines().skip(1).filter(|line| !of_a_job(line)).collect();
        let place = format!("README.md, line {}: {}", step.line, step.command);
        match &step.output {
            Some(want) => {
                let same = printed.len() == want.len() && printed.iter().zip(want).all(|(l, w)| is_like(l, w));
                assert!(same, "{place}\nprints:\n{}\nnot:\n{}", printed.join("\n"), want.join("\n"));
            }
            None => assert_eq!(*status, "status 0\n", "{place}\nprints:\n{}", printed.join("\n")),
        }
        ran += 1;
    }
    assert_eq!(ran, steps.len(), "the shell ended early: {output}");
}

/// The command as one quoted word, with its messages where its output goes.
fn redirected(command: &str) -> String {
    let quoted = command.replace('\'', r"'\''");
    // A job in the background has said where its messages go.
    if command.trim_end().ends_with('&') { format!("'{quoted}'") } else { format!("'{quoted}' 2>&1") }
}

#[test]
fn patterns_match_within_a_line() {
    assert!(is_like("size 14 bytes", "size … bytes") && is_like("written x", "written …") && is_like("a", "a"));
    assert!(!is_like("size 14 byte", "size … bytes") && !is_like("ab", "a") && !is_like("xa", "a"));
}
