//! `--scan`, `--bigkeys`, `--stat`, `--latency`.

use crate::server::Server;

/// Runs every mode against a server that holds strings.
pub(crate) fn all_modes(server: &Server) {
    let lines: String = (0..500).map(|i| format!("set user:{i} x\n")).collect();
    assert_eq!(server.run(&["--pipe"], lines).code, Some(0));
    server.run(&["-x", "set", "a big\nkey"], vec![b'x'; 100_000]);

    assert_eq!(server.ok(&["--scan", "--pattern", "user:*"]).lines().count(), 500);
    assert_eq!(server.ok(&["--scan", "--output", "pretty", "--pattern", "a*"]), "\"a big\\nkey\"\n");
    assert_eq!(server.ok(&["--scan", "--json", "--pattern", "a*", "--count", "7"]), "\"a big\\nkey\"\n");

    let text = server.ok(&["--bigkeys"]);
    assert!(text.starts_with("501 keys\n") && text.contains("biggest: \"a big\\nkey\" with"), "{text}");
    assert!(server.ok(&["--bigkeys", "--json"]).contains("\"keys\":501"));
    assert!(server.ok(&["--bigkeys", "--csv", "--pattern", "user:*"]).contains("string,500,"));

    let text = server.ok(&["--stat", "-r", "2", "-i", "0.05"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 4 && lines[1].starts_with("keys") && lines[3].starts_with("501 "), "{text}");
    let json = server.ok(&["--stat", "-r", "1", "--json"]);
    assert!(json.starts_with("{") && json.contains("\"keys\":501"), "{json}");

    let text = server.ok(&["--latency", "-i", "0.2"]);
    assert!(text.starts_with("min: ") && text.contains("samples)") && text.contains(" #"), "{text}");
    assert!(server.ok(&["--latency", "-i", "0.1", "--json"]).contains("\"p99_us\":"));
    assert!(server.ok(&["--latency", "-i", "0.1", "--csv"]).starts_with("samples,min_us"));
}

#[test]
fn modes_work_against_kvred() {
    all_modes(&Server::start(&[]));
}
