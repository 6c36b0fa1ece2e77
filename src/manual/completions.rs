//! Completion scripts: what `clap_complete` makes of the flags, told more about their values.

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use crate::args::Cli;

/// The script for a shell.
///
/// # Panics
/// If `clap_complete` no longer makes what is refined here; a test runs it for every shell.
pub fn script(shell: Shell) -> String {
    let mut command = with_hints(Cli::command().disable_help_subcommand(true));
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "kvred", &mut script);
    let script = String::from_utf8(script).expect("scripts are text");
    match shell {
        Shell::Bash => refine_bash(&script, &command),
        Shell::Zsh => refine_zsh(&script),
        Shell::Elvish => refine_elvish(&script, &command),
        _ => script,
    }
}

/// Numbers and names are not completed with the names of files, which is what shells do with values they know nothing
/// about.
fn with_hints(command: Command) -> Command {
    let hint = |flag: Arg| match flag.get_value_hint() {
        ValueHint::AnyPath => flag.value_hint(ValueHint::FilePath),
        ValueHint::Unknown if takes_anything(&flag) => flag.value_hint(ValueHint::Other),
        _ => flag,
    };
    command.mut_args(hint).mut_subcommands(with_hints)
}

fn takes_anything(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_positional() && flag.get_possible_values().is_empty()
}

/// `clap_complete`'s bash offers files where a host is wanted, and flags where a file is; and it knows neither
/// `--flag=value` nor lists.
fn refine_bash(script: &str, command: &Command) -> String {
    const FILES: &str = r#"COMPREPLY=($(compgen -f "${cur}"))"#;
    const HOSTS: &str = r#"COMPREPLY=($(compgen -A hostname -- "${cur}"))"#;
    const FLAGS: &str = r#"COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )"#;
    // Nothing, so that bash does what it does without a script: it completes a file.
    const DEFAULT: &str = "COMPREPLY=()";
    const DIRECTORIES: &str = r#"COMPREPLY=(); [[ "${BASH_VERSINFO[0]}" -ge 4 ]] && compopt -o plusdirs"#;
    const PREVIOUS: &str = "    prev=\"$3\"";
    // To bash, the `=` is a word of its own.
    const BEFORE_EQUALS: &str =
        "    if [[ \"${prev}\" == \"=\" ]]; then\n        prev=\"${COMP_WORDS[COMP_CWORD-2]}\"\n    fi";
    const VALUES: &str = "COMPREPLY=($(compgen -W ";
    // What stands before the last comma stays.
    const LISTED: &str = r#"COMPREPLY=($(compgen -P "${cur%"${cur##*,}"}" -W "#;

    let mut here = command;
    let mut flag = None;
    let mut lines = Vec::new();
    for line in script.lines() {
        if let Some(section) = line.strip_prefix("        kvred").and_then(|rest| rest.strip_suffix(')')) {
            // `        kvred__subcmd__aof__subcmd__check)` begins what is done for `kvred aof check`.
            let path = section.split("__subcmd__").filter(|name| !name.is_empty());
            here = path.fold(command, |at, name| {
                at.find_subcommand(name.replace("__", "-")).expect("the script has the commands there are")
            });
        }
        let word = line.trim();
        if let Some(named) = word.strip_suffix(')').filter(|w| w.starts_with('-')) {
            flag = here.get_arguments().find(|a| names(a).iter().any(|name| name == named));
        }
        let is_host = flag.is_some_and(|flag| flag.get_value_hint() == ValueHint::Hostname);
        let is_list = flag.is_some_and(|flag| flag.get_value_delimiter().is_some());
        let takes = |hint| here.get_positionals().any(|p| p.get_value_hint() == hint);
        let (takes_file, takes_directory) = (takes(ValueHint::FilePath), takes(ValueHint::DirPath));
        // The deeper one, behind words that begin with `-`, is for flags indeed.
        let is_last = line.starts_with("            COMPREPLY");
        match word {
            // Where a file may stand, as the first word too.
            _ if (takes_file || takes_directory) && word.starts_with("if [[ ${cur} == -* || ${COMP_CWORD}") => {
                lines.push("            if [[ ${cur} == -* ]] ; then".to_owned());
            }
            FILES if is_host => lines.push(line.replace(FILES, HOSTS)),
            FLAGS if takes_file && is_last => lines.push(line.replace(FLAGS, DEFAULT)),
            FLAGS if takes_directory && is_last => lines.push(line.replace(FLAGS, DIRECTORIES)),
            _ if line == PREVIOUS => lines.extend([line, BEFORE_EQUALS].map(str::to_owned)),
            _ if is_list && word.starts_with(VALUES) => {
                let behind_comma = line.replace(r#"-- "${cur}""#, r#"-- "${cur##*,}""#);
                lines.push(behind_comma.replace(VALUES, LISTED));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Flags behind a command belong to it: without this, zsh takes the `-h` of `kvred cli -h` for that of `kvred -h`.
fn refine_zsh(script: &str) -> String {
    const BEGIN: &str = "_arguments \"${_arguments_options[@]}\" : ";
    const NESTED: &str = "\"*::: :->";
    let mut parts = script.split(BEGIN);
    let mut refined = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let own = part.split("&& ret=0").next().unwrap_or_default();
        refined += if own.contains(NESTED) { "_arguments \"${_arguments_options[@]}\" -A \"-*\" : " } else { BEGIN };
        refined += part;
    }
    refined
}

/// `clap_complete`'s elvish knows flags and commands, but neither values nor files.
fn refine_elvish(script: &str, command: &Command) -> String {
    const LAST: &str = "    $completions[$command]\n";
    let mut values = String::from("    var values = [\n");
    let mut files = String::from("    var files = [\n");
    add_elvish(command, "kvred", &mut values, &mut files);
    let choice = "    ]\n    var flag = $command';'$words[-2]\n    if (has-key $values $flag) {\n        $values[$flag]\n    \
                  } elif (and (has-key $files $command) (not (str:has-prefix $words[-1] '-'))) {\n        \
                  edit:complete-filename $@words\n    } elif (has-key $completions $command) {\n        \
                  $completions[$command]\n    } else {\n        edit:complete-filename $@words\n    }\n";
    assert!(script.contains(LAST), "the script ends with what it shows");
    script.replace(LAST, &format!("{values}    ]\n{files}{choice}"))
}

fn add_elvish(command: &Command, path: &str, values: &mut String, files: &mut String) {
    for flag in command.get_arguments() {
        let candidates = match flag.get_value_hint() {
            _ if flag.is_positional() => {
                if matches!(flag.get_value_hint(), ValueHint::FilePath | ValueHint::DirPath) {
                    files.extend(["        &'", path, "'= $true\n"]);
                }
                continue;
            }
            ValueHint::FilePath | ValueHint::DirPath => " edit:complete-filename $@words ".to_owned(),
            _ if flag.get_action().takes_values() => {
                let cand = |value: &PossibleValue| {
                    let help = value.get_help().map(ToString::to_string).unwrap_or_default().replace('\'', "''");
                    format!("\n            cand {} '{help}'", value.get_name())
                };
                let possible = flag.get_possible_values();
                possible.iter().map(cand).collect::<String>() + "\n        "
            }
            _ => continue,
        };
        for name in names(flag) {
            values.extend(["        &'", path, ";", &name, "'= {", &candidates, "}\n"]);
        }
    }
    for nested in command.get_subcommands() {
        add_elvish(nested, &format!("{path};{}", nested.get_name()), values, files);
    }
}

/// `--host` and `-h`.
fn names(flag: &Arg) -> Vec<String> {
    let long = flag.get_long().map(|long| format!("--{long}"));
    long.into_iter().chain(flag.get_short().map(|short| format!("-{short}"))).collect()
}
