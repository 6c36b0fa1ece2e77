//! Each completion script in the shell that it is for.

use std::path::Path;
use std::process::Command;

use rexpect::session::spawn_command;
use tempfile::TempDir;

use crate::helpers::terminal::after;
use crate::helpers::{DEADLINE, Launch};
use crate::{has, run, source};

const TOOLS: [&str; 3] = ["check", "dump", "rewrite"];
const POLICIES: [&str; 3] = ["always", "everysec", "none"];

/// An interactive shell that has the script, in a directory with a file, a folder and a list of hosts.
struct Shell {
    program: &'static str,
    args: &'static [&'static str],
    setup: String,
}

fn directory() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(dir.path().join("orders.aof"), "").expect("a file can be made");
    std::fs::create_dir(dir.path().join("inner")).expect("a folder can be made");
    std::fs::write(dir.path().join("hosts"), "10.0.0.9 faraway.example\n").expect("a file can be made");
    dir
}

impl Shell {
    /// Starts the shell, types `line` and two tabs, and waits for each of `words` in what it shows then.
    fn completes(&self, line: &str, words: &[&str]) {
        let dir = directory();
        // The library's terminal does not echo, and bash then does not show what it completes.
        let mut shell = Launch::clean(Command::new(self.program));
        shell.args(self.args).env("HOME", dir.path()).env("TERM", "xterm");
        let mut command = after("stty echo", &shell);
        command.current_dir(dir.path());
        let mut session = spawn_command(command, Some(DEADLINE.as_millis() as u64)).expect("the shell can be started");
        // At a terminal, shells do not end for a gentler signal.
        session.process_mut().set_kill_timeout(Some(0));
        // The quotes keep the echo of the line from looking like its output.
        session.send_line(&format!("{}; echo re''ady", self.setup)).expect("the shell reads");
        session.exp_string("ready").expect("the shell is set up");
        // It asks for marked pastes when it begins to read a line with its editor.
        session.exp_string("\x1b[?2004h").expect("the shell edits the line");
        session.send(&format!("{line}\t\t")).and_then(|_| session.flush()).expect("the shell reads");
        for word in words {
            session.exp_string(word).unwrap_or_else(|e| panic!("{line:?} and TAB: {word} is not shown: {e}"));
        }
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_str().expect("the source has a path of text"))
}

#[test]
fn bash_completes_commands_values_files_and_hosts() {
    if !has("bash") {
        return;
    }
    let setup = format!("source {}; HOSTFILE=hosts", quoted(&source("completions/kvred.bash")));
    let shell = Shell { program: "bash", args: &["--noprofile", "--norc", "-i"], setup };
    shell.completes("kvred aof ", &TOOLS);
    shell.completes("kvred serve --fsync ", &POLICIES);
    shell.completes("kvred aof check ord", &["orders.aof"]);
    shell.completes("kvred aof check ", &["inner", "orders.aof"]);
    shell.completes("kvred serve --dir inn", &["inner/"]);
    shell.completes("kvred completions ", &["powershell"]);
    shell.completes("kvred cli -h fara", &["faraway.example"]);
    shell.completes("kvred bench --format=j", &["json"]);
    shell.completes("kvred serve --fsync=", &POLICIES);
    shell.completes("kvred serve --dir=inn", &["inner/"]);
    shell.completes("kvred bench -t get,s", &["get,set"]);
    shell.completes("kvred bench report --fsync=always,ev", &["always,everysec"]);
    shell.completes("kvred bench report --fsync always,", &["always,everysec", "always,none"]);
    shell.completes("kvred man inn", &["inner/"]);
}

#[test]
fn zsh_completes_commands_values_files_and_hosts() {
    if !has("zsh") {
        return;
    }
    let setup = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_beep; \
         zstyle ':completion:*:hosts' hosts faraway.example",
        quoted(&source("completions"))
    );
    let shell = Shell { program: "zsh", args: &["-f", "-i"], setup };
    shell.completes("kvred aof ", &TOOLS);
    shell.completes("kvred serve --fsync ", &POLICIES);
    shell.completes("kvred aof check ord", &["orders.aof"]);
    shell.completes("kvred serve --dir inn", &["inner"]);
    shell.completes("kvred cli -h fara", &["faraway.example"]);
}

#[test]
fn fish_completes_commands_values_files_and_hosts() {
    if !has("fish") {
        return;
    }
    let dir = directory();
    std::fs::create_dir(dir.path().join(".ssh")).expect("a folder can be made");
    std::fs::write(dir.path().join(".ssh/known_hosts"), "faraway.example ssh-ed25519 AAAA\n").expect("so can a file");
    let complete = |line: &str| -> Vec<String> {
        let script = format!("source {}; complete -C '{line}'", quoted(&source("completions/kvred.fish")));
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", &script]).current_dir(dir.path()).env("HOME", dir.path());
        let output = String::from_utf8(run(&mut fish).stdout).expect("fish prints text");
        output.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(complete("kvred aof "), TOOLS);
    assert_eq!(complete("kvred serve --fsync "), POLICIES);
    assert_eq!(complete("kvred aof check ord"), ["orders.aof"]);
    assert_eq!(complete("kvred serve --dir inn"), ["inner/"]);
    assert_eq!(complete("kvred cli -h fara"), ["faraway.example"]);
}

#[test]
fn elvish_completes_commands_and_values() {
    if !has("elvish") {
        return;
    }
    let setup = format!("eval (slurp < {})", quoted(&source("completions/kvred.elv")));
    let shell = Shell { program: "elvish", args: &["-norc"], setup };
    shell.completes("kvred aof ", &TOOLS);
    shell.completes("kvred serve --fsync ", &POLICIES);
    shell.completes("kvred aof check ", &["inner", "orders.aof"]);
}

#[test]
fn powershell_completes_commands_and_values() {
    if !has("pwsh") {
        return;
    }
    let dir = directory();
    let complete = |line: &str| -> Vec<String> {
        let script = format!(
            ". {}; (TabExpansion2 -inputScript '{line}' -cursorColumn {}).CompletionMatches.CompletionText",
            quoted(&source("completions/_kvred.ps1")),
            line.len()
        );
        let mut pwsh = Command::new("pwsh");
        pwsh.args(["-NoProfile", "-NonInteractive", "-Command", &script]).current_dir(dir.path());
        let output = String::from_utf8(run(&mut pwsh).stdout).expect("it prints text");
        output.lines().map(|line| line.trim().to_owned()).collect()
    };
    let tools = complete("kvred aof ");
    assert!(TOOLS.iter().all(|tool| tools.iter().any(|t| t == tool)), "{tools:?}");
}
