//! The keyspace and the write sequencer.

mod blobs;
mod bucket;
mod entry;
mod hash;
mod memory;
mod prefetch;
mod slab;
pub mod state;
mod table;
