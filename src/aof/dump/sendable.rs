//! Records as commands that a server takes from its clients: what is only ever found in logs, in other words.

/// Hands on the commands that do what a record does. An `MSET` is its `SET`s, an `UNLINK` is a `DEL`; and where no key
/// can have an expiry, `KEEPTTL` is left out. Everything else is what it is, also what kvred refuses: another server
/// may take it.
pub(super) fn each<'a>(record: &[&'a [u8]], may_expire: bool, mut send: impl FnMut(&[&'a [u8]])) {
    let is = |name: &str| record[0].eq_ignore_ascii_case(name.as_bytes());
    if is("SET") && record.len() > 3 && !may_expire {
        let options = record[3..].iter().filter(|option| !option.eq_ignore_ascii_case(b"KEEPTTL"));
        let command: Vec<&[u8]> = record[..3].iter().chain(options).copied().collect();
        send(&command);
    } else if is("MSET") && record.len() >= 3 && record.len() % 2 == 1 {
        for pair in record[1..].chunks_exact(2) {
            send(&[b"SET", pair[0], pair[1]]);
        }
    } else if is("UNLINK") && record.len() >= 2 {
        let command: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain(record[1..].iter().copied()).collect();
        send(&command);
    } else {
        send(record);
    }
}
