//! What `-h` and `--help` print.

use crate::{commands, helpers, kvred};

/// The columns of a terminal that nobody has widened.
const WIDTH: usize = 80;

/// `kvred cli` and `kvred bench` have `-h` for the host, as their models have.
fn has_short_help(command: &[String]) -> bool {
    !(command.len() == 1 && matches!(command[0].as_str(), "cli" | "bench"))
}

fn help(command: &[String], flag: &str) -> String {
    let words: Vec<&str> = command.iter().map(String::as_str).chain([flag]).collect();
    kvred(&words)
}

#[test]
fn help_fits_eighty_columns() {
    for command in commands() {
        let mut texts = vec![help(&command, "--help")];
        if has_short_help(&command) {
            texts.push(help(&command, "-h"));
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= WIDTH, "kvred {command:?}: {line}");
        }
    }
}

#[test]
fn short_help_has_one_line_for_each_flag_and_command() {
    for command in commands().into_iter().filter(|c| has_short_help(c)) {
        let text = help(&command, "-h");
        let lists = text.lines().skip_while(|line| !line.ends_with(':')).filter(|line| !line.is_empty());
        for line in lists.filter(|line| !line.ends_with(':')) {
            let name = line.trim_start();
            let indent = line.len() - name.len();
            assert!(indent <= 6, "kvred {command:?} -h: a second line: {line}");
            assert!(name.contains("  "), "kvred {command:?} -h: nothing is said about: {name}");
        }
    }
}

#[test]
fn long_help_ends_with_examples_files_and_exit_status() {
    for command in commands() {
        let text = help(&command, "--help");
        let at = |heading: &str| {
            text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("kvred {command:?} --help has no {heading}"))
        };
        let name = ["kvred".to_owned()].iter().chain(&command).cloned().collect::<Vec<_>>().join(" ");
        let examples = &text[at("Examples:")..at("Files:")];
        assert!(examples.contains(&format!("{name} ")), "no example shows {name}: {examples}");
        assert!(at("Files:") < at("Exit status:"), "{name}");
        let status = &text[at("Exit status:")..];
        assert!(status.contains("\n  0    fine") || name == "kvred serve", "{name}");
        // What is over in a moment, nobody interrupts.
        let takes_long = !["kvred bench diff", "kvred completions", "kvred man"].contains(&&name[..]);
        assert_eq!(status.contains("\n  130  "), takes_long, "{name}: {status}");
    }
}

#[test]
fn long_help_names_all_that_is_written_and_all_that_an_exit_code_means() {
    for (command, part) in [
        ("bench", "CSV has a line for each test, with\nthe same names as columns; those of latencies"),
        ("bench report", "\n  charts/latency-POLICY.svg\n"),
        ("cli", "while lines of it are left, or\n       the output cannot be written"),
        ("aof check", "--salvage lost something, or what it saved is a\n       part of a log\n"),
    ] {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let text = help(&words, "--help");
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn long_help_tells_defaults_variables_and_values() {
    let text = help(&["serve".to_owned()], "--help");
    for part in ["[env: KVRED_FSYNC=]", "[default: everysec]", "- always:", "[default: 512mb]", "From 1mb to 1gb"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn each_help_names_the_other_one() {
    for command in commands().into_iter().filter(|command| has_short_help(command)) {
        for (flag, other) in [("-h", "Print help (see more with '--help')"), ("--help", "(see a summary with '-h')")] {
            let text = help(&command, flag);
            assert!(text.contains(other), "kvred {command:?} {flag}: {text}");
        }
    }
}

#[test]
fn help_is_a_command_too() {
    assert_eq!(kvred(&["help"]), kvred(&["--help"]));
    for command in [&["serve"][..], &["cli"], &["bench"], &["aof"], &["aof", "check"]] {
        let words = [&["help"][..], command].concat();
        assert_eq!(kvred(&words), kvred(&[command, &["--help"]].concat()), "kvred {words:?}");
    }
}

#[test]
fn help_and_version_that_cannot_be_written_exit_3() {
    for args in [&["--help"][..], &["--version"], &["serve", "-h"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = helpers::Launch::binary().args(args).stdout(full).output().expect("the binary can be run");
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the output"), "{args:?}");
        // Who has read enough of it is no error.
        let mut child = helpers::Launch::binary().args(args).spawn().expect("the binary can be run");
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
}
