//! What batches do with the writer, without a log.

use std::cell::RefCell;
use std::sync::Arc;

use super::*;
use crate::db::state::NewValue;
use crate::db::writer::SystemClock;
use crate::persistence::FsyncPolicy;

/// Keeps what is counted, in order.
#[derive(Default)]
struct Told(RefCell<Vec<&'static str>>);

impl Count for Told {
    fn command(&self, _: CommandId) {
        self.0.borrow_mut().push("call");
    }
    fn rejected(&self, _: CommandId) {
        self.0.borrow_mut().push("rejected");
    }
    fn error(&self, id: Option<CommandId>, _: &str) {
        self.0.borrow_mut().push(if id.is_some() { "failed" } else { "error" });
    }
    fn lookups(&self, _: u64, _: u64) {}
}

/// A server's environment, without a log.
fn with_env(max_memory_bytes: usize, told: &Told, check: impl FnOnce(&Env<'_>)) {
    let keyspace = Arc::new(Keyspace::new([1, 2, 3, 4]));
    keyspace.set(keyspace.hash(b"k"), b"k", NewValue::Copy(b"v"));
    let clock = Arc::new(SystemClock::default());
    let writer = Writer::new(Arc::clone(&keyspace), None, FsyncPolicy::None, clock, vec![Box::new(|| {})]);
    check(&Env {
        keyspace: &keyspace,
        writer: &writer,
        worker: 0,
        resp: Resp::V2,
        authenticated: true,
        max_memory_bytes,
        counters: told,
        most_commands: TURN_COMMANDS,
    });
}

fn run(mut input: Vec<u8>, env: &Env<'_>) -> Ran {
    let mut queue = Queue::default();
    let mut decoder = RequestDecoder::new(RequestLimits::HIGHEST);
    let taken = queue.fill(&mut input, 0, &mut decoder, env);
    let mut ahead = queue.ahead(env.keyspace);
    queue.batch(&taken).run(&input, &decoder, &mut ahead, env, &mut Rope::default())
}

/// Counted as a call first, it would have to be taken back, and somebody may have reset the counters meanwhile.
#[test]
fn a_command_that_is_refused_untried_is_never_counted_as_a_call() {
    for (sent, max_memory_bytes, expected) in [
        ("SET k v\n", 0, &["call"][..]),
        ("SET k v\n", 1, &["rejected", "error"]),
        ("SET k v nonsense\n", 0, &["call", "failed"]),
        ("SET k v nonsense\n", 1, &["rejected", "error"]),
        ("SET k\n", 1, &["rejected", "error"]),
        ("nonsense\n", 1, &["error"]),
        ("DEL k\n", 1, &["call"]),
    ] {
        let told = Told::default();
        with_env(max_memory_bytes, &told, |env| drop(run(sent.into(), env)));
        assert_eq!(*told.0.borrow(), expected, "{sent} {max_memory_bytes}");
    }
}

/// Copied again each time that others are faster, it might be copied for ever.
#[test]
fn what_was_copied_for_a_group_is_taken_though_that_is_full_by_now() {
    with_env(0, &Told::default(), |env| {
        let value = vec![0; 33 << 20];
        assert!(env.writer.has_room(0));
        assert!(matches!(run(set("full", &value), env).replies, Replies::Held(_)));
        assert!(!env.writer.has_room(0));
        assert!(matches!(env.writer.begin(0, 0), Err(NotNow::NoRoom)));
        let mut batch = env.writer.begin(0, 960 << 20).unwrap();
        assert!(batch.takes_another() && !batch.takes_another());
        drop(batch);
        assert!(matches!(env.writer.begin(0, 992 << 20), Err(NotNow::NoRoom)), "no more than a batch may have");
        let ran = run(set("other", b"v"), env);
        assert!(matches!(ran, Ran { commands: 0, consumed: 0, replies: Replies::NoRoom }));
    });
}

/// A group that is nearly as long as a batch of the log may be takes what was copied, by these bytes.
#[test]
fn a_large_key_counts_as_its_large_value_does() {
    with_env(0, &Told::default(), |env| {
        for (key_bytes, value_bytes, made) in [(2 << 20, 20 << 10, true), (2 << 20, 1, false), (1, 20 << 10, true)] {
            let mut input = set(&"k".repeat(key_bytes), &vec![0; value_bytes]);
            let sent_bytes = input.len();
            let mut queue = Queue::default();
            let taken = queue.fill(&mut input, 0, &mut RequestDecoder::new(RequestLimits::HIGHEST), env);
            let batch = queue.batch(&taken);
            let copied = batch.large_values(0, &input, env).expect("there is room");
            assert_eq!(batch.copied_bytes(0, &copied), if made { sent_bytes } else { 0 }, "{key_bytes} {value_bytes}");
        }
    });
}

/// In a batch with others it would be kept a second time, to answer them anew.
#[test]
fn a_command_longer_than_a_turn_runs_alone() {
    with_env(0, &Told::default(), |env| {
        let large = set("k", &vec![0; TURN_BYTES]);
        for first in ["DEL x\n", "SET k\n", "*2\r\n$4\r\nECHO\r\n$1\r\nv\r\n"] {
            let mut input = [first.as_bytes(), &large[..]].concat();
            let mut decoder = RequestDecoder::new(RequestLimits::HIGHEST);
            let mut queue = Queue::default();
            let taken = queue.fill(&mut input, 0, &mut decoder, env);
            assert!(taken.end == first.len() && matches!(taken.stop, Stop::Full), "{first}: {taken:?}");
            queue.clear();
            let taken = queue.fill(&mut input, taken.end, &mut decoder, env);
            assert!(taken.end == input.len() && queue.len() == 1, "{first}: {taken:?}");
            let ran =
                queue.batch(&taken).run(&input, &decoder, &mut queue.ahead(env.keyspace), env, &mut Rope::default());
            let Replies::Held(held) = ran.replies else { panic!("it waits for its commit: {ran:?}") };
            assert!(matches!(held.retained, Retained::Writes(CommandId::Data(DataId::Set), 1)), "{first}");
        }
    });
}

#[test]
fn what_fits_no_group_is_refused_whatever_is_in_it() {
    for others in [false, true] {
        // Nothing looks at its bytes, so the system need not have them.
        let mut large = vec![0; 960 << 20];
        let (header, end) = (b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$1006632921\r\n", large.len());
        large[..header.len()].copy_from_slice(header);
        large[end - 2..].copy_from_slice(b"\r\n");
        let told = Told::default();
        with_env(0, &told, |env| {
            if others {
                run(set("small", b"v"), env);
                told.0.take();
            }
            assert_eq!(run(large, env).commands, 1);
        });
        assert_eq!(*told.0.borrow(), ["call", "failed"], "{others}");
    }
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    encode::request(&mut request, &[b"SET", key.as_bytes(), value]);
    request
}
