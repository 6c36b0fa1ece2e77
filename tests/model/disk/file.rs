//! What is done to an open file of the simulated disk.

use std::io::{self, IoSlice};

use kvred::persistence::disk::{DiskFile, DiskRead, FileId};

use super::{Fate, Op, RESERVED_BYTES_MAX, SimDisk, stopped};

/// An open file.
pub struct SimFile {
    pub disk: SimDisk,
    pub inode: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        state.inode(self.inode).open -= 1;
        state.drop_unreachable();
    }
}

impl DiskRead for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        if state.crashed {
            return Err(stopped());
        }
        Ok(state.inode(self.inode).live.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut state, fate) =
            self.disk.begin(Op::Read, || format!("#{} {} at {offset}", self.inode, buffer.len()))?;
        match fate {
            Fate::Done => {}
            Fate::Fails(e) => return Err(e),
            Fate::Stops => return Err(stopped()),
        }
        let live = &state.inode(self.inode).live;
        let from = live.len().min(offset as usize);
        let read = buffer.len().min(live.len() - from);
        buffer[..read].copy_from_slice(&live[from..from + read]);
        Ok(read)
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let (mut state, fate) =
            self.disk.begin(Op::Write, || format!("#{} {} at {offset}", self.inode, bytes.len()))?;
        let short = state.faults.short_write;
        let written = match &fate {
            Fate::Done if bytes.len() > 1 && state.rng.chance(short) => 1 + state.rng.below(bytes.len() - 1),
            Fate::Done => bytes.len(),
            // An error says that nothing was written; a machine that stops may have written anything.
            Fate::Fails(_) => 0,
            Fate::Stops => state.rng.below(bytes.len() + 1),
        };
        if written > 0 {
            let now = state.now;
            let inode = state.inode(self.inode);
            let end = offset + written as u64;
            if inode.live.len() < end as usize {
                inode.resize(end, now);
            }
            inode.live[offset as usize..end as usize].copy_from_slice(&bytes[..written]);
            inode.touch(offset, end, now);
        }
        match fate {
            Fate::Done => Ok(written),
            Fate::Fails(e) => Err(e),
            Fate::Stops => Err(stopped()),
        }
    }

    fn id(&self) -> io::Result<FileId> {
        Ok((0, self.inode))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, fate) = self.disk.begin(Op::SetLen, || format!("#{} {len}", self.inode))?;
        let now = state.now;
        let done = match &fate {
            Fate::Done => true,
            Fate::Fails(_) => false,
            Fate::Stops => state.rng.chance(500),
        };
        if done {
            state.inode(self.inode).resize(len, now);
        }
        match fate {
            Fate::Done => Ok(()),
            Fate::Fails(e) => Err(e),
            Fate::Stops => Err(stopped()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // What is written from here on is not covered.
        let (began, before, pages, stalls) = {
            let mut state = self.disk.state.lock();
            if state.crashed {
                return Err(stopped());
            }
            let stall = state.faults.stall * 4;
            let stalls = state.rng.chance(stall);
            let now = state.now;
            let inode = state.inode(self.inode);
            let pages: Vec<(usize, Vec<u8>)> =
                inode.dirty.keys().map(|&page| (page, inode.live_page(page).to_vec())).collect();
            (now, (inode.synced, inode.failed, inode.live.len() as u64), pages, stalls)
        };
        if stalls {
            self.disk.stall(Op::Sync);
        }
        let (synced, failed, len) = before;
        let (mut state, fate) = self.disk.begin(Op::Sync, || format!("#{} to {len}", self.inode))?;
        let mut rng = state.rng.fork();
        let inode = state.inode(self.inode);
        // Another sync of the same open file has failed meanwhile: the kernel reports that only once, and to that one.
        let whole = matches!(fate, Fate::Done) && inode.failed == failed;
        let alone = inode.synced == synced;
        for (page, content) in pages {
            let Some(&changed) = inode.dirty.get(&page) else { continue };
            if whole || rng.chance(500) {
                if alone {
                    inode.write_back(page, &content);
                } else {
                    let newer = inode.live_page(page).to_vec();
                    inode.write_back(page, &newer);
                }
            }
            // Clean, whatever became of it; a machine that stops has no use for it any more.
            if !matches!(fate, Fate::Stops) && changed <= began {
                inode.dirty.remove(&page);
            }
        }
        match fate {
            Fate::Done => {
                if whole && alone {
                    inode.disk_len = len;
                    inode.lengths.retain(|(_, changed)| *changed > began);
                    if inode.lengths.is_empty() {
                        inode.disk.truncate(len as usize);
                    }
                }
                if whole {
                    inode.synced += 1;
                }
                Ok(())
            }
            Fate::Fails(e) => {
                inode.failed += 1;
                Err(e)
            }
            Fate::Stops => Err(stopped()),
        }
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let (mut state, fate) = self.disk.begin(Op::Reserve, || format!("#{} {len} at {offset}", self.inode))?;
        let now = state.now;
        let len = len.min(RESERVED_BYTES_MAX);
        let reserved = match &fate {
            Fate::Done => len,
            // As ext4 does, which notes what it has found before it finds no more.
            Fate::Fails(_) | Fate::Stops => state.rng.below(len as usize + 1) as u64,
        };
        let inode = state.inode(self.inode);
        if inode.live.len() < (offset + reserved) as usize {
            inode.resize(offset + reserved, now);
        }
        match fate {
            Fate::Done => Ok(()),
            Fate::Fails(e) => Err(e),
            Fate::Stops => Err(stopped()),
        }
    }
}
