//! The shell blocks of README.md, run as they stand, one after the other in one shell and one directory.
//!
//! `<!-- needs: strace -->` before a block names programs without which it is skipped, saying so, as it is where
//! `strace` may not attach; `<!-- run by PATH -->` names the script that runs it instead. Each command of a `sh` block
//! must end with 0; what those of `console` blocks print is compared, `…` standing for anything within a line. Ports
//! are exchanged for free ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::helpers::{Launch, peer, skip};
use crate::{can_attach, has, source};

/// A command, and what the README says it prints, if it does.
struct Step {
    line: usize,
    command: String,
    output: Option<Vec<String>>,
}

/// A block of a shell's: its lines with their numbers.
struct Block<'a> {
    is_console: bool,
    /// The comment before it.
    comment: &'a str,
    lines: Vec<(usize, &'a str)>,
}

fn blocks(readme: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut comment = "";
    let mut lines = readme.lines().zip(1..).map(|(line, number)| (number, line));
    while let Some((_, line)) = lines.next() {
        if let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) {
            let lines: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            if let "sh" | "console" = kind {
                blocks.push(Block { is_console: kind == "console", comment, lines });
            }
        }
        comment = line;
    }
    blocks
}

impl Block<'_> {
    /// The words of a comment `<!-- BEGINNING words -->`.
    fn told(&self, beginning: &str) -> Option<Vec<&str>> {
        let rest = self.comment.strip_prefix("<!-- ")?.strip_prefix(beginning)?;
        Some(rest.strip_suffix("-->").expect("the comment ends in its line").split_whitespace().collect())
    }

    fn steps(&self) -> Vec<Step> {
        if !self.is_console {
            let command = self.lines.iter().map(|(_, line)| *line).collect::<Vec<_>>().join("\n");
            // A failure in the middle fails the block, but for what the block itself allows.
            let command = format!("set -e\n{command}\nset +e");
            return vec![Step { line: self.lines[0].0, command, output: None }];
        }
        let mut steps: Vec<Step> = Vec::new();
        for &(line, text) in &self.lines {
            if let Some(command) = text.strip_prefix("$ ") {
                steps.push(Step { line, command: command.to_owned(), output: Some(Vec::new()) });
            } else {
                let last = steps.last_mut().and_then(|step| step.output.as_mut());
                last.expect("a block begins with a command").push(text.to_owned());
            }
        }
        steps
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

/// The README with free ports in place of those that it names.
fn with_free_ports() -> (String, [u16; 4]) {
    let mut readme = std::fs::read_to_string(source("README.md")).unwrap();
    let free = ["6380", "6381", "6390", "6379"].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = free.map(|listener| listener.local_addr().unwrap().port());
    // No output that is compared has such a number. All go before the first comes, which may look like another: 36381.
    for (n, usual) in ["6380", "6381", "6390", "6379"].iter().enumerate() {
        readme = readme.replace(usual, &format!("@{n}@"));
    }
    for (n, free) in ports.iter().enumerate() {
        readme = readme.replace(&format!("@{n}@"), &free.to_string());
    }
    (readme, ports)
}

#[test]
fn shell_blocks_do_what_they_say() {
    // Only a machine that hangs gets there, not one that is busy.
    const MOST_SECONDS: &str = "1800";
    if !has("bash") || !has("timeout") {
        return;
    }
    let (readme, [port, .., peer_port]) = with_free_ports();
    let dir = tempfile::tempdir().unwrap();
    let peers = peer::binary("redis-server").map(|path| path.parent().unwrap().to_owned());
    let path = std::env::join_paths(
        Path::new(env!("CARGO_BIN_EXE_kvred"))
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))
            .chain(peers),
    )
    .unwrap();
    let is_there = |program: &&&str| {
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) && (**program != "strace" || can_attach())
    };

    let (blocks, mut missing) = (blocks(&readme), BTreeSet::new());
    let mut steps = Vec::new();
    for block in &blocks {
        if let Some(script) = block.told("run by ") {
            let told = std::fs::read_to_string(source(script[0])).expect("the script is there");
            assert!(told.contains("README.md"), "{} does not read README.md", script[0]);
        } else {
            let needs = block.told("needs:").unwrap_or_default();
            let lacks: Vec<&str> = needs.iter().filter(|program| !is_there(program)).copied().collect();
            if lacks.is_empty() {
                steps.extend(block.steps());
            }
            missing.extend(lacks);
        }
    }
    if !missing.is_empty() {
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        skip(&format!("blocks of README.md that need {names}; .ci/install-test-tools installs what is to be had"));
    }

    // What commands say is compared; what the shell itself says of a killed job, whenever it comes to it, is not.
    let mut script = String::from("trap 'kill -9 $(jobs -p)' EXIT\n");
    if is_there(&&"redis-server") {
        let redis = "redis-server --bind 127.0.0.1 --appendonly yes --save '' --port";
        let ready = format!("until kvred cli -p {peer_port} PING; do sleep 0.1; done");
        writeln!(script, "{redis} {peer_port} > redis.log &\n{ready} > redis.ready").unwrap();
    }
    for (i, step) in steps.iter().enumerate() {
        write!(script, "echo '@@ {i}'\neval {}\necho \"@@ status $?\"\n", redirected(&step.command)).unwrap();
        if step.command == "kill -9 $!" {
            // Slower than whoever types, the system may leave it its port and its log for a moment.
            script.push_str("wait $!\n");
        }
    }
    let mut bash = Launch::clean(Command::new("timeout"));
    bash.args([MOST_SECONDS, "bash", "-c", &script]).current_dir(dir.path()).stderr(Stdio::null());
    // Server and client take the same variable.
    bash.env("PATH", &path).env("KVRED_PORT", port.to_string()).env("HOME", dir.path());
    let output = bash.output().unwrap();
    let ended = match output.status.code() {
        Some(124) => format!("the README's shell took longer than {MOST_SECONDS} s"),
        _ => "the shell ended early".to_owned(),
    };
    let output = String::from_utf8(output.stdout).unwrap();

    let mut ran = 0;
    for (i, part) in output.split("@@ ").skip(1).collect::<Vec<_>>().chunks(2).enumerate() {
        let step = &steps[i];
        let place = format!("README.md, line {}: {}", step.line, step.command);
        let [printed, status] = part else { panic!("{place}\n{ended}: {part:?}") };
        let of_a_job = |line: &&str| line.starts_with("bash: line ") && line.contains(" Killed ");
        let printed: Vec<&str> = printed.lines().skip(1).filter(|line| !of_a_job(line)).collect();
        match &step.output {
            Some(want) => {
                let same = printed.len() == want.len() && printed.iter().zip(want).all(|(l, w)| is_like(l, w));
                assert!(same, "{place}\nprints:\n{}\nnot:\n{}", printed.join("\n"), want.join("\n"));
            }
            None => assert_eq!(*status, "status 0\n", "{place}\nprints:\n{}", printed.join("\n")),
        }
        ran += 1;
    }
    assert_eq!(ran, steps.len(), "{ended}: {output}");
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
