//! Which lines must not come into the history: those with a password.

use crate::cli::words;

/// Whether any command of the input has, or may have, a password in it.
pub(crate) fn holds_secret(input: &str) -> bool {
    words::commands_and_comments(input).any(line_holds_secret)
}

fn line_holds_secret(line: &str) -> bool {
    // Also where quotes stand around several words.
    let values: Vec<_> =
        words::scan(line).iter().map(|word| String::from_utf8_lossy(&word.value).into_owned()).collect();
    let line = values.join(" ").to_ascii_lowercase();
    let words: Vec<&str> = line.split_whitespace().collect();
    // A repeat count, or several, may stand before the command; so may a mark that somebody typed by mistake.
    let is_prefix = |word: &&str| word.chars().all(|c| c.is_ascii_digit() || c.is_ascii_punctuation());
    let start = words.iter().position(|word| !is_prefix(word)).unwrap_or(words.len());
    let call: Vec<&str> = words[start..].iter().map(|w| w.trim_matches(|c: char| c.is_ascii_punctuation())).collect();
    let has = |part: &str| call.iter().any(|word| word.contains(part));
    match call.as_slice() {
        ["hello" | "migrate", ..] => has("auth"),
        ["config", "set", ..] => ["pass", "auth", "secret", "user"].into_iter().any(has),
        ["auth", ..] | ["acl", "setuser", ..] => true,
        ["sentinel", ..] => has("pass"),
        ["connect", ..] => call.iter().any(|word| word.contains('@')),
        // It was meant for a shell, where a password may be a flag, in a URI or a variable; other programs may stand
        // before.
        [name, ..] if name.contains('=') || ["env", "export"].contains(name) => true,
        _ => ["kvred", "redis-cli", "valkey-cli"].iter().any(|program| call.iter().any(|word| word.ends_with(program))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_the_history() {
        for line in [
            "auth secret",
            "AUTH user secret",
            "  Auth secret",
            "3 auth secret",
            "3 2 auth secret",
            "\"auth\" secret",
            "\"\\x61uth\" secret",
            "'AUTH' 'open",
            ": auth secret",
            "# auth secret",
            "# it's\nauth secret",
            "hello 3 auth u secret",
            "5 HELLO 2 AUTH u secret",
            "config set requirepass secret",
            "2 CONFIG SET maxmemory 1 masterauth secret",
            "config set \"requirepass\" secret",
            "config set tls-key-file-pass secret",
            "acl setuser u on >secret",
            "migrate h 1 k 0 5 AUTH2 u secret",
            "connect redis://u:secret@h:1",
            "get a\nauth secret",
            "\"auth s3cret\"",
            "'AUTH user s3cret",
            "\"config set requirepass s3cret\"",
            "kvred cli -a hunter2 ping",
            "$ kvred cli --user ann -a hunter2",
            "redis-cli -ahunter2 ping",
            "/usr/bin/redis-cli --pass hunter2",
            "valkey-cli -u redis://:hunter2@h ping",
            "KVRED_PASSWORD=hunter2 kvred cli ping",
            "REDISCLI_AUTH=hunter2 redis-cli",
            "export REDISCLI_AUTH=hunter2",
            "sudo redis-cli -a hunter2 ping",
            "docker exec -it r redis-cli -a hunter2",
        ] {
            assert!(holds_secret(line), "{line}");
        }
        for line in [
            "get k",
            "set auth 1",
            "hello 3",
            "config get requirepass",
            "config set maxmemory 1",
            "connect h 1",
            "help auth",
            "3 get k",
            "",
        ] {
            assert!(!holds_secret(line), "{line}");
        }
    }
}
