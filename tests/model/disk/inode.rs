//! The contents of one file: what was written, and what of it is durable.

use std::collections::BTreeMap;

use super::PAGE_BYTES;
use crate::random::Random;

#[derive(Clone, Default)]
/// A file's contents, as programs see them and as the disk has them.
pub struct Inode {
    pub live: Vec<u8>,
    /// What the disk has, at least as long as `disk_len`.
    pub disk: Vec<u8>,
    pub disk_len: u64,
    /// Pages that the next sync writes, each with the number of its last change.
    pub dirty: BTreeMap<usize, u64>,
    /// Lengths since the last sync, each with the number of the change.
    pub lengths: Vec<(u64, u64)>,
    /// Syncs that succeeded, and that failed: those left pages clean that the disk never got.
    pub synced: u64,
    pub failed: u64,
    /// How often it is open.
    pub open: usize,
}

impl Inode {
    /// The disk gets this version of a page.
    pub fn write_back(&mut self, page: usize, content: &[u8]) {
        let start = page * PAGE_BYTES;
        let end = start + content.len();
        if self.disk.len() < end {
            self.disk.resize(end, 0);
        }
        self.disk[start..end].copy_from_slice(content);
        let page_end = self.disk.len().min(start + PAGE_BYTES);
        self.disk[end..page_end].fill(0);
    }

    /// A page as programs see it.
    pub fn live_page(&self, page: usize) -> &[u8] {
        let start = (page * PAGE_BYTES).min(self.live.len());
        &self.live[start..self.live.len().min(start + PAGE_BYTES)]
    }

    /// Pages change that the disk has not got.
    pub fn touch(&mut self, from: u64, to: u64, now: u64) {
        for page in (from as usize / PAGE_BYTES)..(to as usize).div_ceil(PAGE_BYTES) {
            self.dirty.insert(page, now);
        }
    }

    /// The file gets another length.
    pub fn resize(&mut self, len: u64, now: u64) {
        let old = self.live.len() as u64;
        if old == len {
            return;
        }
        self.live.resize(len as usize, 0);
        self.lengths.push((len, now));
        // The page that holds the end changes: what lies behind it becomes zeros.
        let end = old.min(len);
        if !(end as usize).is_multiple_of(PAGE_BYTES) {
            self.touch(end, end + 1, now);
        }
        if len < old {
            self.dirty.retain(|&page, _| page * PAGE_BYTES < len as usize);
        } else {
            self.touch(end, len, now);
        }
    }

    /// What is left when power fails now.
    pub fn after_power_cut(&self, in_order: bool, rng: &mut Random) -> Self {
        let mut disk = self.disk.clone();
        let mut after = self.clone();
        let pages = self.dirty.len();
        let kept_in_order = rng.below(pages + 1);
        for (i, &page) in self.dirty.keys().enumerate() {
            let live = self.live_page(page).to_vec();
            let fate = if in_order { usize::from(i >= kept_in_order) } else { rng.below(5) };
            match fate {
                0 | 2 => after.write_back(page, &live),
                1 | 3 => {}
                _ => {
                    let mut torn = vec![0; PAGE_BYTES];
                    let start = page * PAGE_BYTES;
                    disk.resize(disk.len().max(start + PAGE_BYTES), 0);
                    torn.copy_from_slice(&disk[start..start + PAGE_BYTES]);
                    let at = if live.is_empty() { 0 } else { rng.below(live.len() + 1) };
                    if rng.chance(500) {
                        torn[..at].copy_from_slice(&live[..at]);
                    } else {
                        torn[at..].fill(0);
                        torn[at..live.len()].copy_from_slice(&live[at..]);
                    }
                    after.write_back(page, &torn);
                }
            }
        }
        let mut lengths: Vec<u64> = vec![self.disk_len];
        lengths.extend(self.lengths.iter().map(|(len, _)| *len));
        let newest = lengths[lengths.len() - 1];
        let len = if in_order {
            let first_lost = self.dirty.keys().nth(kept_in_order).map_or(u64::MAX, |page| (page * PAGE_BYTES) as u64);
            newest.min(first_lost).max(self.disk_len.min(newest))
        } else if rng.chance(600) {
            newest
        } else {
            lengths[rng.below(lengths.len())]
        };
        after.disk.resize(len as usize, 0);
        Self { live: after.disk.clone(), disk: after.disk, disk_len: len, ..Self::default() }
    }

    /// What is read after pages that a failed sync left clean may have gone from memory.
    pub fn evicted(mut self, rng: &mut Random) -> Self {
        if self.failed > 0 {
            for page in 0..self.live.len().div_ceil(PAGE_BYTES) {
                if !self.dirty.contains_key(&page) && rng.chance(500) {
                    let start = page * PAGE_BYTES;
                    let end = self.live.len().min(start + PAGE_BYTES);
                    let there = end.min(self.disk.len()).max(start);
                    self.live[start..end].fill(0);
                    if there > start {
                        self.live[start..there].copy_from_slice(&self.disk[start..there]);
                    }
                }
            }
        }
        self
    }
}
