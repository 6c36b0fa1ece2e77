//! The log on disk: what is written, how it is read again, and what is done about a disk that fails.
//!
//! | module | what it does |
//! |---|---|
//! | [`mod@format`] | the bytes of annotation lines, and the chain of checksums |
//! | `crc` | arithmetic on checksums |
//! | [`disk`] | the traits that all I/O goes through |
//! | [`real_disk`] | the real disk behind them |
//! | [`lock`] | who may write a log |
//! | [`aof`] | the log that a server appends to: batches, syncs, the undo of a failed write |
//! | [`reader`] | a log's batches, verified, in constant memory |
//! | [`batch`] | such a batch, or why it is none |
//! | [`replay`] | recovery: what is sound, torn or damaged |
//! | [`survey`] | the search for batches that verify behind a flaw |
//! | [`manifest`] | the parts of a log of Redis's that has several |
//! | `plain` | what the end of a plain Redis log means |
//! | [`repair`] | a torn tail is cut off and kept |
//! | [`recover`] | the start of a run: replay, repair, and a log to append to |
//! | [`make_durable`] | what was loaded is made durable |
//! | [`write_back`] | what a log grows by goes to the disk early, and out of the page cache |
//!
//! The one reader serves the server's start and the tools, so they cannot disagree about a log.

pub mod aof;
pub mod batch;
mod crc;
pub mod disk;
pub mod format;
pub mod lock;
pub mod make_durable;
pub mod manifest;
pub mod plain;
pub mod reader;
pub mod real_disk;
pub mod recover;
pub mod repair;
pub mod replay;
pub mod survey;
pub mod write_back;

use std::fmt;
use std::ops::{Add, Sub};

/// A position in a log, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogOffset(pub u64);

impl Add<u64> for LogOffset {
    type Output = Self;
    fn add(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl Sub for LogOffset {
    type Output = u64;
    fn sub(self, other: Self) -> u64 {
        self.0 - other.0
    }
}

impl fmt::Display for LogOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a write is acknowledged; each is named by what a crash can take. A killed process loses nothing that was
/// acknowledged under any of them: the kernel has it. A power cut is what tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FsyncPolicy {
    /// Nothing: a write is answered after the disk has it.
    Always,
    /// The last one to two seconds: a write is answered after the kernel has it, and synced about once a second.
    #[default]
    Everysec,
    /// Whatever the kernel had not written by itself, typically up to 30 seconds.
    None,
}

impl FsyncPolicy {
    /// Redis's name for it, in `CONFIG` and `INFO`.
    pub fn redis_name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
            Self::None => "no",
        }
    }
}

/// As `--fsync` has it.
impl fmt::Display for FsyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::None { "none" } else { self.redis_name() })
    }
}

#[cfg(test)]
mod recovery_tests;
