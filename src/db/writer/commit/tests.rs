//! What happens between a failed sync and the moment when all know of it.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

use super::*;
use crate::db::state::Keyspace;
use crate::db::writer::{LogPlace, SystemClock, Ticket};
use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskFile, RealDisk};
use crate::persistence::format::{Chain, Salt};

/// A file that takes all that is written. What would bring that to the disk fails, when it is told to.
struct Failing {
    began: Mutex<Sender<()>>,
    fails: Mutex<Receiver<()>>,
}

impl Failing {
    fn fail(&self) -> io::Result<()> {
        self.began.lock().send(()).unwrap();
        self.fails.lock().recv().unwrap();
        Err(io::Error::other("no disk"))
    }
}

impl DiskFile for Failing {
    fn len(&self) -> io::Result<u64> {
        unreachable!("nobody asks")
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unreachable!("nobody reads")
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fail()
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn begin_write(&self, _: Range<u64>) -> io::Result<()> {
        self.fail()
    }
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
        let (dir, (began, begun), (fail, fails)) = (tempfile::tempdir().unwrap(), channel(), channel());
        let file = Arc::new(Failing { began: Mutex::new(began), fails: Mutex::new(fails) });
        let aof = Aof::continue_chain(file, Chain::new(Salt(1)), LogOffset(0));
        let disk = Arc::new(RealDisk::new(dir.path()).unwrap());
        let place = LogPlace { disk, name: Path::new("log").to_owned(), salt: Box::new(|| Salt(2)) };
        let keyspace = Arc::new(Keyspace::new([1; 4]));
        let clock = Arc::new(SystemClock::default());
        let writer = Writer::new(keyspace, Some((aof, place)), policy, clock, vec![Box::new(|| ())]);
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
