//! Flags, variables, exit codes and locks.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::helpers::{Client, Exit, Launch, Reply, Server, command};

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Launch::binary().args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_usage_exits_2() {
    for args in [
        &[][..],
        &["serve", "--fsync", "nope"],
        &["serve", "--port", "99999"],
        &["serve", "--threads", "0"],
        &["serve", "--maxmemory", "1tb"],
        &["serve", "--appendonly", "maybe"],
        &["serve", "--appendfilename", "a/b"],
        &["serve", "--appendfilename", "temp-rewrite-kvred.aof"],
        &["serve", "--maxclients", "0"],
        &["serve", "--auto-aof-rewrite-percentage", "2147483648"],
        &["serve", "--no-such-flag"],
        &["nonsense"],
    ] {
        let (code, stdout, stderr) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stdout.is_empty() && !stderr.is_empty(), "{args:?}: errors and unasked help go to stderr");
    }
}

/// What `CONFIG SET` would not take is no flag either, nor a variable.
#[test]
fn a_setting_out_of_its_range_exits_2() {
    for (name, value, range) in [
        ("timeout", "99999999999", "between 0 and 2147483647"),
        ("proto-max-bulk-len", "1", "between 1mb and 1gb"),
        ("client-query-buffer-limit", "3gb", "between 1mb and 2gb"),
    ] {
        let (flag, variable) = (format!("--{name}"), format!("KVRED_{}", name.to_uppercase().replace('-', "_")));
        let told = format!("{flag} (or {variable}) must lie {range}");
        Launch::new().args(&[&flag, value]).refused().expect(2, &[&told]);
        Launch::new().env(&variable, value).refused().expect(2, &[&told]);
    }
}

#[test]
fn help_and_version_are_output() {
    for args in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(stdout.contains("kvred"), "{stdout}");
    }
}

/// Each flag's variable, a value for it, and where `CONFIG GET` shows it.
const VARIABLES: &[(&str, &str, &str, &str)] = &[
    ("KVRED_BIND", "127.0.0.1,127.0.0.2", "bind", "127.0.0.1 127.0.0.2"),
    ("KVRED_APPENDONLY", "no", "appendonly", "no"),
    ("KVRED_APPENDFILENAME", "other.aof", "appendfilename", "other.aof"),
    ("KVRED_FSYNC", "always", "appendfsync", "always"),
    ("KVRED_FSYNC", "no", "appendfsync", "no"),
    ("KVRED_FSYNC", "none", "appendfsync", "no"),
    ("KVRED_AUTO_AOF_REWRITE_PERCENTAGE", "50", "auto-aof-rewrite-percentage", "50"),
    ("KVRED_AUTO_AOF_REWRITE_MIN_SIZE", "1mb", "auto-aof-rewrite-min-size", "1048576"),
    ("KVRED_THREADS", "3", "io-threads", "3"),
    ("KVRED_MAXCLIENTS", "77", "maxclients", "77"),
    ("KVRED_MAXMEMORY", "1gb", "maxmemory", "1073741824"),
    ("KVRED_PROTO_MAX_BULK_LEN", "1mb", "proto-max-bulk-len", "1048576"),
    ("KVRED_CLIENT_QUERY_BUFFER_LIMIT", "2mb", "client-query-buffer-limit", "2097152"),
    ("KVRED_TIMEOUT", "300", "timeout", "300"),
    ("KVRED_SLOWLOG_LOG_SLOWER_THAN", "-1", "slowlog-log-slower-than", "-1"),
    ("KVRED_SLOWLOG_MAX_LEN", "7", "slowlog-max-len", "7"),
    ("KVRED_PROTECTED_MODE", "no", "protected-mode", "no"),
];

/// Those whose effect is seen elsewhere.
const OTHER_VARIABLES: &[&str] = &[
    "KVRED_TLS_PORT",
    "KVRED_TLS_CERT_FILE",
    "KVRED_TLS_KEY_FILE",
    "KVRED_TLS_CA_CERT_FILE",
    "KVRED_TLS_AUTH_CLIENTS",
    "KVRED_REQUIREPASS_FILE",
    "KVRED_PORT",
    "KVRED_UNIXSOCKET",
    "KVRED_DIR",
    "KVRED_LOG_LEVEL",
    "KVRED_LOG_FORMAT",
];

#[test]
fn every_flag_has_its_variable() {
    let kvred = <kvred::args::Cli as clap::CommandFactory>::command();
    let serve = kvred.find_subcommand("serve").unwrap();
    let (_, help, _) = run(&["serve", "--help"]);
    let mut variables = BTreeSet::new();
    for flag in serve.get_arguments() {
        let variable = flag.get_env().unwrap_or_else(|| panic!("{} has no variable", flag.get_id())).to_str().unwrap();
        let name = flag.get_long().unwrap().replace('-', "_").to_uppercase();
        assert_eq!(variable, format!("KVRED_{name}"));
        assert!(help.contains(variable), "--help does not name {variable}");
        variables.insert(variable);
    }
    let tested = VARIABLES.iter().map(|row| row.0).chain(OTHER_VARIABLES.iter().copied());
    assert_eq!(variables, tested.collect(), "a variable that no test knows, or one that no flag has");
    assert!(help.contains("KVRED_REQUIREPASS "), "the one without a flag");
    for (variable, value, name, shown) in VARIABLES {
        let server = Launch::new().env(variable, value).start();
        let got = server.connect().ask(&["CONFIG", "GET", name]);
        assert_eq!(got, Reply::Array(vec![Reply::bulk(name), Reply::bulk(shown)]), "{variable}={value}");
    }
}

#[test]
fn variables_of_places_and_logging_work() {
    let launch = Launch::new();
    let (dir, socket) = (launch.dir().join("made/for/it"), launch.dir().join("s"));
    let _server = launch
        .env("KVRED_DIR", dir.to_str().unwrap())
        .env("KVRED_UNIXSOCKET", socket.to_str().unwrap())
        .env("KVRED_LOG_LEVEL", "debug")
        .env("KVRED_PORT", "0")
        .start();
    Client::connect_unix(&socket).set("k", "v");
    assert!(dir.join("kvred.aof").is_file());
    let exit = Launch::new().env("KVRED_LOG_FORMAT", "json").args(&["--bind", "192.0.2.1"]).refused();
    exit.expect(3, &["192.0.2.1"]);
    let lines: Vec<serde_json::Value> =
        exit.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    assert_eq!(lines.last().unwrap()["level"], "ERROR", "the error is in JSON too");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let names = ["BIND", "TLS_PORT", "UNIXSOCKET", "FSYNC", "THREADS", "MAXMEMORY", "REQUIREPASS_FILE", "DIR"];
    let launch = names.iter().fold(Launch::new(), |launch, name| launch.env(&format!("KVRED_{name}"), ""));
    launch.start().connect().set("k", "v");
    // The port's: it is the usual one then.
    launch.env("KVRED_PORT", "").args(&["--bind", "192.0.2.1"]).refused().expect(3, &["192.0.2.1:6380"]);
    let output = Launch::binary().args(["serve", "--help"]).env("KVRED_PORT", "").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("[env: KVRED_PORT=]"));
}

#[test]
fn an_error_about_a_variable_names_it() {
    for (variable, value) in [("KVRED_PORT", "x"), ("KVRED_BIND", "127.0.0.1,"), ("KVRED_FSYNC", "x")] {
        let tip = format!("this comes from the variable {variable}");
        Launch::new().env(variable, value).refused().expect(2, &[&tip]);
    }
    let flag = Launch::new().env("KVRED_FSYNC", "x").args(&["--fsync", "y"]).refused();
    flag.expect(2, &["'y' for '--fsync"]);
    assert!(!flag.stderr.contains("KVRED_FSYNC"), "{}", flag.stderr);
}

#[test]
fn a_flag_wins_over_its_variable() {
    let server = Launch::new().env("KVRED_FSYNC", "none").args(&["--fsync", "always"]).start();
    let got = server.connect().ask_words("CONFIG GET appendfsync");
    assert_eq!(got, Reply::Array(vec![Reply::bulk("appendfsync"), Reply::bulk("always")]));
}

#[test]
fn two_flags_may_have_their_names_in_redis() {
    let server = Launch::new().args(&["--appendfsync", "always", "--io-threads", "3"]).start();
    for (name, value) in [("appendfsync", "always"), ("io-threads", "3")] {
        let got = server.connect().ask(&["CONFIG", "GET", name]);
        assert_eq!(got, Reply::Array(vec![Reply::bulk(name), Reply::bulk(value)]));
    }
    assert!(!run(&["serve", "--help"]).1.contains("--appendfsync"), "one name is enough to read");
}

#[test]
fn a_password_file_is_its_first_line_before_any_variable_and_best_the_owner_s_own() {
    let launch = Launch::new();
    let file = launch.dir().join("password");
    let launch = launch.args(&["--requirepass-file", file.to_str().unwrap()]).env("KVRED_REQUIREPASS", "variable");
    for empty in ["", "\n", "\r\n", "\nsecret\n"] {
        std::fs::write(&file, empty).unwrap();
        launch.refused().expect(2, &[&format!("{} is empty", file.display())]);
    }
    std::fs::write(&file, "secret\r\nmore\n").unwrap();
    for (mode, is_told) in [(0o600, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let server = launch.start();
        let mut client = server.connect();
        for wrong in ["secret\r", "secret\r\nmore", "more", "variable", ""] {
            let refused = client.ask(&["AUTH", wrong]);
            assert!(matches!(&refused, Reply::Error(text) if text.starts_with("WRONGPASS")), "{wrong:?}: {refused:?}");
        }
        assert_eq!(client.ask(&["AUTH", "secret"]), Reply::ok());
        assert_eq!(server.stderr().contains("chmod 600"), is_told, "{mode:o}: {}", server.stderr());
    }
    // A device has the rights that it needs.
    let null = Launch::new().args(&["--requirepass-file", "/dev/null"]).refused();
    null.expect(2, &["/dev/null is empty"]);
    assert!(!null.stderr.contains("chmod 600"), "{}", null.stderr);
    Launch::new().args(&["--requirepass-file", "/no/such/file"]).refused().expect(3, &["/no/such/file"]);
}

#[test]
fn a_second_server_on_the_log_exits_3_and_names_it() {
    let server = Server::start();
    server.connect().set("k", "v");
    let log = server.launch().log_path();
    server.launch().refused().expect(3, &[log.to_str().unwrap(), "in use by another kvred"]);
    assert_eq!(server.connect().get("k"), Some(b"v".to_vec()));
}

#[test]
fn files_for_tls_without_its_port_exit_2() {
    for (flag, variable) in [
        ("--tls-cert-file", "KVRED_TLS_CERT_FILE"),
        ("--tls-key-file", "KVRED_TLS_KEY_FILE"),
        ("--tls-ca-cert-file", "KVRED_TLS_CA_CERT_FILE"),
    ] {
        Launch::new().args(&[flag, "x.pem"]).refused().expect(2, &[flag, "--tls-port"]);
        Launch::new().env(variable, "x.pem").refused().expect(2, &[variable, "--tls-port"]);
    }
}

#[test]
fn places_that_cannot_be_used_exit_3() {
    let launch = Launch::new();
    let file = launch.dir().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let below = file.join("below");
    for dir in [file.as_path(), &below, "/proc/nothing".as_ref()] {
        let dir = dir.to_str().unwrap();
        Launch::new().args(&["--dir", dir]).refused().expect(3, &[dir]);
    }
    Launch::new().args(&["--dir", file.to_str().unwrap()]).refused().expect(3, &["not a directory"]);
    std::fs::create_dir(launch.log_path()).unwrap();
    launch.refused().expect(3, &[launch.log_path().to_str().unwrap()]);
    assert_eq!(std::fs::read(&file).unwrap(), b"not a directory");
}

#[test]
fn log_lines_are_in_colour_where_that_is_asked_for() {
    for (args, variable, coloured) in [
        (&[][..], "auto", false),
        (&["--color", "always"], "never", true),
        (&[], "always", true),
        (&["--color=never"], "always", false),
    ] {
        let server = Launch::new().args(args).env("KVRED_COLOR", variable).start();
        assert_eq!(server.stderr().contains("\x1b["), coloured, "{args:?} {variable}: {}", server.stderr());
    }
}

#[test]
fn too_few_files_for_an_event_loop_are_told_and_a_log_is_checked_without_one() {
    let launch = Launch::on_log(command(&["SET", "k", "v"]));
    for (args, code, told) in [
        (&["serve"][..], 3, "too few open files"),
        (&["cli", "PING"], 3, "too few open files, 7; raise the limit with \"ulimit -n\""),
        (&["bench", "-n", "10"], 3, "too few open files, 7; raise the limit with \"ulimit -n\""),
        (&["aof", "check", "kvred.aof"], 0, ""),
    ] {
        let output = Launch::clean(Command::new("sh"))
            .args(["-c", "ulimit -n 7; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_kvred")])
            .args(args)
            .current_dir(launch.dir())
            .output();
        Exit::of(output.unwrap()).expect(code, &[told]);
    }
}
