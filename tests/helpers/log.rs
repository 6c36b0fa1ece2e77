//! An independent reading of logs: where batches end, and the keyspace that a prefix of the log amounts to.

use std::collections::BTreeMap;

use super::command;

/// Keys and values.
pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A batch of a log of kvred's.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The first byte, behind the header if there is one.
    pub start: usize,
    /// One past its commit line.
    pub end: usize,
    pub commands: Vec<Vec<Vec<u8>>>,
    /// Its annotation lines without CRLF, the commit line too.
    pub annotations: Vec<String>,
}

/// Splits a log at its commit lines.
///
/// # Panics
/// If the log is not sound RESP with whole batches.
pub fn batches(log: &[u8]) -> Vec<Batch> {
    let mut found = Vec::new();
    let mut batch = Batch { start: 0, end: 0, commands: Vec::new(), annotations: Vec::new() };
    let mut at = 0;
    // Behind the end there may be reserved space.
    while log[at..].iter().any(|&c| c != 0) {
        let line = line_at(log, at);
        if line.starts_with(b"#") {
            at += line.len() + 2;
            if line.starts_with(b"#KVRED:") {
                batch.start = at;
                continue;
            }
            batch.annotations.push(String::from_utf8(line.to_vec()).expect("annotations are ASCII"));
            if line.starts_with(b"#C:") {
                batch.end = at;
                let next = Batch { start: at, end: at, commands: Vec::new(), annotations: Vec::new() };
                found.push(std::mem::replace(&mut batch, next));
            }
            continue;
        }
        let (command, end) = command_at(log, at);
        batch.commands.push(command);
        at = end;
    }
    assert!(batch.commands.is_empty(), "commands without a commit line at the end of the log");
    found
}

/// What the log leaves when it is cut at `at`: the state after the last batch that is whole.
pub fn state_at(batches: &[Batch], at: usize) -> Model {
    let mut model = Model::new();
    for command in batches.iter().filter(|b| b.end <= at).flat_map(|b| &b.commands) {
        apply(&mut model, command);
    }
    model
}

/// Applies one record.
///
/// # Panics
/// On one that logs of kvred's do not have.
pub fn apply(model: &mut Model, command: &[Vec<u8>]) {
    match &command[0][..] {
        b"SET" => drop(model.insert(command[1].clone(), command[2].clone())),
        b"DEL" => command[1..].iter().for_each(|key| drop(model.remove(key))),
        b"FLUSHALL" => model.clear(),
        other => panic!("a record {}", other.escape_ascii()),
    }
}

/// Asserts that the server holds exactly this.
pub fn assert_holds(client: &mut super::Client, model: &Model, what: &str) {
    let keys = model.len().try_into().expect("a model is small");
    assert_eq!(client.ask_words("DBSIZE"), super::Reply::Integer(keys), "{what}: number of keys");
    for (key, value) in model {
        client.send(command(&[b"GET", &key[..]]));
        let got = client.reply();
        assert!(got == super::Reply::Bulk(value.clone()), "{what}: key {} holds {got:?}", key.escape_ascii());
    }
}

fn line_at(log: &[u8], at: usize) -> &[u8] {
    let len = log[at..].windows(2).position(|w| w == b"\r\n").expect("a line ends");
    &log[at..at + len]
}

fn command_at(log: &[u8], at: usize) -> (Vec<Vec<u8>>, usize) {
    let number = |line: &[u8], kind: u8| -> usize {
        assert_eq!(line[0], kind, "at byte {at}");
        std::str::from_utf8(&line[1..]).expect("a number").parse().expect("a number")
    };
    let line = line_at(log, at);
    let mut at_arg = at + line.len() + 2;
    let args = (0..number(line, b'*'))
        .map(|_| {
            let line = line_at(log, at_arg);
            let start = at_arg + line.len() + 2;
            let end = start + number(line, b'$');
            at_arg = end + 2;
            log[start..end].to_vec()
        })
        .collect();
    (args, at_arg)
}
