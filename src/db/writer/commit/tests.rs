//! What happens while a sync is running, and between a failed one and the moment when all know of it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{OnceLock, Weak};
use std::thread::ThreadId;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::db::state::Keyspace;
use crate::db::writer::{Clock, LogPlace, SystemClock, Ticket, WriteFailure};
use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskFile, DiskRead};
use crate::persistence::format::{Chain, Salt};
use crate::persistence::real_disk::RealDisk;

/// Far longer than any machine takes, and far shorter than the wait would be.
const DEADLINE: Duration = Duration::from_mins(1);

/// A file that takes all that is written. What would bring that to the disk does what it is told to.
struct File {
    to_the_disk: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
}

impl DiskRead for File {
    fn len(&self) -> io::Result<u64> {
        unreachable!("nobody asks")
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unreachable!("nobody reads")
    }
}

impl DiskFile for File {
    fn write_at(&self, pieces: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.to_the_disk)()
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn begin_write(&self, _: Range<u64>) -> io::Result<()> {
        (self.to_the_disk)()
    }
}

/// A writer whose log is such a file.
fn writer(policy: FsyncPolicy, to_the_disk: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Writer {
    writer_by(Arc::new(SystemClock::default()), policy, to_the_disk)
}

fn writer_by(
    clock: Arc<dyn Clock>,
    policy: FsyncPolicy,
    to_the_disk: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Writer {
    let file = Arc::new(File { to_the_disk: Box::new(to_the_disk) });
    let aof = Aof::continue_chain(file, Chain::new(Salt(1)), LogOffset(0));
    // Nothing is made in it.
    let disk = Arc::new(RealDisk::new(Path::new(".")).unwrap());
    let place = LogPlace { disk, name: Path::new("log").to_owned(), salt: Box::new(|| Salt(2)) };
    Writer::new(Arc::new(Keyspace::new([1; 4])), Some((aof, place)), policy, clock, vec![Box::new(|| ())])
}

fn set(writer: &Writer, key: &[u8]) -> Ticket {
    let mut batch = writer.begin(0, 0).unwrap();
    batch.set(writer.keyspace.hash(key), key, NewValue::Copy(b"v"));
    batch.finish().unwrap()
}

#[test]
fn who_has_the_token_when_a_sync_fails_acknowledges_nothing() {
    let to_the_disk: [fn(&Writer); 2] = [|writer| drop(writer.sync_now()), Writer::write_back];
    for (policy, to_the_disk) in
        [FsyncPolicy::Everysec, FsyncPolicy::None].into_iter().flat_map(|policy| to_the_disk.map(|how| (policy, how)))
    {
        let ((began, begun), (fail, fails)) = (channel(), channel());
        let (began, fails): (Mutex<Sender<()>>, Mutex<Receiver<()>>) = (Mutex::new(began), Mutex::new(fails));
        let writer = writer(policy, move || {
            began.lock().send(()).unwrap();
            fails.lock().recv().unwrap();
            Err(io::Error::other("no disk"))
        });
        let first = set(&writer, b"first");
        writer.commit_next();
        assert_eq!(first.outcome(), Some(&Ok(())));
        std::thread::scope(|scope| {
            scope.spawn(|| to_the_disk(&writer));
            begun.recv().unwrap();
            let second = set(&writer, b"second");
            let mut log = writer.token();
            fail.send(()).unwrap();
            writer.sync_changed.wait_while(&mut writer.sync.lock(), |sync| sync.failed.is_none());
            drop(writer.commit_open(&mut log, None));
            let refused = matches!(second.outcome(), Some(Err(WriteFailure::Refused(_))));
            assert!(refused, "{policy}: {:?}", second.outcome());
        });
        assert!(writer.poisoned().is_some());
        assert_eq!(writer.keyspace.len(), 1, "{policy}: it is not published");
    }
}

/// A value that is not freed before it may be, and then says on which thread.
struct Value {
    bytes: Vec<u8>,
    may_be_freed: Mutex<Receiver<()>>,
    freed: Sender<ThreadId>,
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // Else the test would not fail, but hang.
        let _in_time = self.may_be_freed.lock().recv_timeout(DEADLINE);
        self.freed.send(std::thread::current().id()).unwrap();
    }
}

/// A clock that is set by hand.
#[derive(Default)]
struct SetClock(Mutex<Duration>);

impl Clock for SetClock {
    fn unix_time(&self) -> Duration {
        self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }
}

#[test]
fn what_was_cleared_is_freed_where_nobody_waits_for_it() {
    let writer = writer(FsyncPolicy::None, || Ok(()));
    let set_and_clear = |len: usize| {
        let ((may, may_be_freed), (freed, is_freed)) = (channel(), channel());
        let value = Value { bytes: vec![b'v'; len], may_be_freed: Mutex::new(may_be_freed), freed };
        let mut batch = writer.begin(0, 0).unwrap();
        batch.set(writer.keyspace.hash(b"key"), b"key", NewValue::Shared(Bytes::from_owner(value)));
        drop(batch.finish());
        writer.commit_next();
        let mut batch = writer.begin(0, 0).unwrap();
        batch.delete_all();
        drop(batch.finish());
        (may, is_freed)
    };
    let here = std::thread::current().id();

    let (may, is_freed) = set_and_clear(4 << 10);
    may.send(()).unwrap();
    writer.commit_next();
    assert_eq!(is_freed.try_recv(), Ok(here), "a little is not worth a thread");

    let (first_may, first_is_freed) = set_and_clear(4 << 20);
    writer.commit_next();
    assert_eq!(writer.keyspace.memory().blob_bytes, 0);
    let (may, is_freed) = set_and_clear(4 << 20);
    may.send(()).unwrap();
    writer.commit_next();
    assert_eq!(is_freed.try_recv(), Ok(here), "no more than one waits to be freed");
    let _unless_it_is_gone = first_may.send(());
    assert_ne!(first_is_freed.recv(), Ok(here));
}

#[test]
fn a_commit_waits_under_everysec_once_two_seconds_are_unsynced() {
    let clock = Arc::new(SetClock::default());
    let writer = writer_by(Arc::<SetClock>::clone(&clock), FsyncPolicy::Everysec, || Ok(()));
    drop(set(&writer, b"key"));
    writer.commit_next();
    for (millis, waits) in [(0, false), (2000, false), (2001, true)] {
        *clock.0.lock() = Duration::from_millis(millis);
        // Asked once there is a reason to wait, and ends it.
        let asked = Cell::new(false);
        writer.wait_for_slow_sync(|| {
            asked.set(true);
            true
        });
        assert_eq!(asked.get(), waits, "after {millis} ms");
    }
}

#[test]
fn what_is_to_be_committed_while_another_has_the_token_is_left_to_the_log_thread() {
    let writer = Arc::new(writer(FsyncPolicy::Everysec, || Ok(())));
    let log = writer.token();
    drop(set(&writer, b"key"));
    writer.commit_from_worker(0, false);
    drop(log);
    let (raised, is_raised) = channel();
    let log_thread = Arc::clone(&writer);
    std::thread::spawn(move || {
        log_thread.log_signal.wait();
        raised.send(()).unwrap();
    });
    is_raised.recv_timeout(DEADLINE).expect("who lets the token go tells the log thread");
}

#[test]
fn who_asks_for_a_sync_while_one_is_running_gets_another_at_once() {
    let itself: Arc<OnceLock<Weak<Writer>>> = Arc::default();
    let asking = Arc::clone(&itself);
    let writer = Arc::new(writer(FsyncPolicy::None, move || {
        asking.get().and_then(Weak::upgrade).unwrap().sync_waiter_joined();
        Ok(())
    }));
    itself.set(Arc::downgrade(&writer)).unwrap();
    drop(set(&writer, b"key"));
    writer.commit_next();
    writer.sync_now().unwrap();
    assert!(writer.sync_requested(), "by who came while it ran");
    let (back, is_back) = channel();
    let waiting = Arc::clone(&writer);
    std::thread::spawn(move || {
        waiting.wait_for_sync_change(Duration::from_hours(1), || false);
        back.send(()).unwrap();
    });
    is_back.recv_timeout(DEADLINE).expect("what was asked for is not slept through");
    writer.sync_now().unwrap();
    assert!(!writer.sync_requested(), "all is durable, and nobody need ask again");
}
