//! What the tests are told with: the tools, and logs that servers have written.

use std::fs;
use std::path::Path;

use crate::helpers::{self, Exit, Launch, output_of};

/// Runs `kvred aof` with these arguments, without a terminal.
pub(crate) fn aof(args: &[&str]) -> Exit {
    Exit::of(output_of(Launch::binary().arg("aof").args(args)).unwrap())
}

/// All reading tools: how each ended.
pub(crate) fn all_tools(path: &Path) -> Vec<(i32, String)> {
    let commands = [&["check"][..], &["check", "--json"], &["dump"], &["dump", "--format", "json"]];
    let run = |command: &&[&str]| {
        let output = aof(&[command, &[arg(path)][..]].concat());
        (output.code.expect("not killed"), output.stderr)
    };
    commands.iter().map(run).collect()
}

/// The path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A command as RESP.
pub(crate) fn resp(words: &[&[u8]]) -> Vec<u8> {
    helpers::command(words)
}

/// A log of some 10 KB, with all that a server writes to one: made by a server, closed cleanly.
pub(crate) fn small_log(dir: &Path) -> Vec<u8> {
    for policy in ["always", "none", "everysec"] {
        let server = Launch::at(dir).args(&["--fsync", policy]).start();
        let mut client = server.connect();
        for n in 0..30 {
            let key = format!("key:{}", n % 17);
            client.ask(&["SET", &key, &format!("{policy} value {n} \r\n#C:00000000:00000000\r\n{}", "x".repeat(n))]);
        }
        client.ask(&["DEL", "key:1", "key:2", "nothing"]);
        server.terminate().expect(0, &[]);
    }
    fs::read(dir.join("kvred.aof")).unwrap()
}

/// Writes a log as Redis does.
pub(crate) fn write_plain(path: &Path, commands: &[Vec<Vec<u8>>]) {
    let mut bytes = Vec::new();
    for command in commands {
        let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        bytes.extend(resp(&words));
    }
    fs::write(path, bytes).unwrap();
}

/// The same of commands without quotes.
pub(crate) fn write_lines(path: &Path, commands: &[&str]) {
    let words = |command: &&str| command.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    write_plain(path, &commands.iter().map(words).collect::<Vec<_>>());
}

/// A plain log of Redis's, and all that a server of ours has written behind it until it was closed; and where that
/// begins.
pub(crate) fn adopted_log(dir: &Path) -> (Vec<u8>, usize) {
    let value = [b'v'; 100];
    let commands: [&[&[u8]]; 6] = [
        &[b"SET", b"first", b"1"],
        &[b"MULTI"],
        &[b"SET", b"second", b"2"],
        &[b"EXEC"],
        &[b"SET", b"large", &value],
        &[b"SET", b"last", b"3"],
    ];
    let plain: Vec<u8> = commands.into_iter().flat_map(resp).collect();
    fs::write(dir.join("kvred.aof"), &plain).unwrap();
    let server = Launch::at(dir).args(&["--fsync", "always"]).start();
    let mut client = server.connect();
    client.ask(&["SET", "ours", "4"]);
    client.ask(&["SET", "ours too", "5"]);
    server.terminate().expect(0, &[]);
    (fs::read(dir.join("kvred.aof")).unwrap(), plain.len())
}

/// A dump as commands, which must succeed.
pub(crate) fn dump(path: &Path) -> String {
    let output = aof(&["dump", arg(path)]);
    output.expect(0, &[]);
    output.stdout
}

/// The data that a log holds, as the commands of its rewrite in order.
pub(crate) fn data(path: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("data.aof");
    aof(&["rewrite", "-o", arg(&out), arg(path)]).expect(0, &[]);
    let mut lines: Vec<String> = dump(&out).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
