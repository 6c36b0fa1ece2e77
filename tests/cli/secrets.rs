//! Passwords: where they come from, and that nothing is sent without them.

use crate::server::{Server, write};

fn with_password() -> Server {
    let dir = tempfile::TempDir::new().unwrap();
    let file = write(&dir.path().join("pw"), "s3cret\n");
    Server::start(&["--requirepass-file", &file])
}

#[test]
fn a_password_comes_from_a_file_the_environment_a_flag_or_the_uri() {
    let server = with_password();
    let file = write(&server.file("client-pw"), "s3cret\r\n");
    assert_eq!(server.ok(&["--password-file", &file, "ping"]), "PONG\n");
    for name in ["KVRED_PASSWORD", "REDISCLI_AUTH"] {
        let mut command = server.cli(&["ping"]);
        command.env(name, "s3cret");
        assert_eq!(crate::server::run(command, "").stdout, "PONG\n");
    }
    assert_eq!(server.ok(&["-a", "s3cret", "--no-auth-warning", "ping"]), "PONG\n");
    assert!(server.run(&["-a", "s3cret", "ping"], "").stderr.starts_with("warning: "));
    assert_eq!(server.ok(&["-u", &format!("redis://:s3cret@127.0.0.1:{}", server.port), "ping"]), "PONG\n");
    assert_eq!(server.ok(&["--user", "default", "-a", "s3cret", "--no-auth-warning", "ping"]), "PONG\n");
}

#[test]
fn who_a_flag_logs_in_comes_before_the_uri_and_that_before_variables() {
    let server = with_password();
    let uri = |login: &str| format!("redis://{login}@127.0.0.1:{}", server.port);
    for (flags, user, password, code) in [
        (&["-u", &uri("default:s3cret")][..], "nobody", "wrong", 0),
        (&["-u", &uri("nobody:s3cret")], "default", "s3cret", 1),
        (&["-u", &uri("nobody:s3cret"), "--user", "default"], "nobody", "wrong", 0),
        // What no flag says, a variable may.
        (&["-u", &uri(":s3cret")], "default", "wrong", 0),
        (&["-u", &uri(":s3cret")], "nobody", "s3cret", 1),
        (&["-a", "s3cret", "--no-auth-warning"], "default", "wrong", 0),
        (&["--user", "default"], "nobody", "s3cret", 0),
    ] {
        let mut command = server.cli(flags);
        command.arg("ping").env("KVRED_USER", user).env("KVRED_PASSWORD", password);
        let ran = crate::server::run(command, "");
        assert_eq!(ran.code, Some(code), "{flags:?} KVRED_USER={user} KVRED_PASSWORD={password}: {}", ran.stderr);
    }
}

#[test]
fn a_wrong_password_stops_before_any_command() {
    let server = with_password();
    for args in [&["set", "k", "v"][..], &["--pipe"], &["--scan"], &["--stat"], &[]] {
        let mut command = server.cli(args);
        command.env("KVRED_PASSWORD", "wrong");
        let ran = crate::server::run(command, "set k v\n");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""), "{args:?}");
        let refused = format!("kvred: 127.0.0.1:{}: AUTH failed: WRONGPASS", server.port);
        assert!(ran.stderr.starts_with(&refused), "{}", ran.stderr);
        assert!(!ran.stderr.contains("wrong"), "{}", ran.stderr);
    }
    let file = write(&server.file("client-pw"), "s3cret");
    assert_eq!(server.ok(&["--password-file", &file, "exists", "k"]), "0\n");
    let ran = server.run(&["--password-file", "/nonexistent", "ping"], "");
    assert_eq!(ran.code, Some(3));
}

#[test]
fn no_password_is_told() {
    let server = with_password();
    for args in [&["ping"][..], &["--scan"], &["--bigkeys"], &["--latency"], &["--stat"], &["-n", "0", "get", "k"]] {
        let ran = server.run(args, "");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(1), ""), "{args:?}");
        assert!(ran.stderr.contains("NOAUTH") && ran.stderr.contains("--password-file"), "{args:?}: {}", ran.stderr);
    }
}
