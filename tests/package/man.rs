//! The man pages, as `man` shows them.

use std::process::Command;

use crate::{commands, has, helpers, run, source};

const SECTIONS: [&str; 9] =
    ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"];

/// Every command's page: `man/kvred-aof-check.1`.
fn pages() -> Vec<String> {
    commands().iter().map(|c| format!("man/{}.1", [&["kvred".to_owned()], &c[..]].concat().join("-"))).collect()
}

#[test]
fn each_command_has_a_page_that_man_renders_without_a_warning() {
    if !has("man") {
        return;
    }
    for page in pages() {
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(source(&page));
        man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat").env_remove("MANROFFOPT");
        let output = run(&mut man);
        assert!(output.stderr.is_empty(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("man prints text");
        let mut rest = text.as_str();
        for section in SECTIONS {
            let heading = format!("\n{section}\n");
            let at = rest.find(&heading).unwrap_or_else(|| panic!("{page} has no {section} in its place: {text}"));
            rest = &rest[at + heading.len()..];
            assert!(rest.starts_with("       "), "{page}: {section} is empty");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{page} is too wide: {line}");
        }
    }
}

#[test]
fn every_flag_that_completions_offer_is_in_the_page() {
    let script = std::fs::read_to_string(source("completions/kvred.bash")).unwrap();
    let mut found = 0;
    for (command, page) in commands().iter().zip(pages()) {
        let name = [&["kvred".to_owned()], &command[..]].concat().join("__subcmd__");
        let (_, section) = script.split_once(&format!("\n        {name})\n")).expect("each command has a section");
        let offered = section.split('"').nth(1).expect("which begins with what is offered");
        let page = std::fs::read_to_string(source(&page)).unwrap().replace("\\-", "-");
        for flag in offered.split(' ').filter(|word| word.starts_with('-')) {
            assert!(page.contains(&format!("\\fB{flag}\\fR")), "kvred {command:?}: {flag} is not in its page");
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let launch = helpers::Launch::on_log("no directory");
    let dir = launch.log_path().join("man1");
    let output = helpers::Launch::binary().arg("man").arg(&dir).output().expect("the binary can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("kvred.aof/man1 cannot be written: "), "{said}");
    let output = helpers::Launch::binary().arg("man").arg(launch.log_path()).output().expect("the binary can be run");
    assert!(String::from_utf8_lossy(&output.stderr).contains("kvred.aof cannot be written: not a directory"));
}

#[test]
fn a_synopsis_names_values_and_what_may_come_several_times() {
    let synopsis = |page: &str| {
        let roff = std::fs::read_to_string(source(page)).unwrap();
        let line = roff.lines().skip_while(|line| *line != ".SH SYNOPSIS").nth(1).unwrap();
        line.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\-", "-")
    };
    let cli = synopsis("man/kvred-cli.1");
    for part in ["kvred cli [-h|--host HOST] ", " [-2] ", " [--user NAME] "] {
        assert!(cli.contains(part), "{cli}");
    }
    assert!(cli.ends_with(" [COMMAND]..."), "{cli}");
    assert!(synopsis("man/kvred-bench.1").contains(" [--fail-if EXPR]... "));
    assert!(synopsis("man/kvred-aof-check.1").ends_with(" <FILE>"));
    assert!(synopsis("man/kvred-aof.1").ends_with(" <COMMAND>"));
}
