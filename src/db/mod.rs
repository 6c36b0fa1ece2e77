//! The keyspace and the write sequencer.
//!
//! | module | what it does |
//! |---|---|
//! | [`state`] | the published keyspace: shards, each a table, a slab and some blobs (`shard`, `table`, `bucket`, `slab`, `blobs`, `entry`) |
//! | [`writer`] | the one order of all writes: evaluate, commit, publish, answer (`group`, `pending`) |
//! | [`ahead`] | what lookups of many keys load into the cache beforehand |
//! | [`log_thread`] | the threads that commit and sync |

pub mod ahead;
mod background;
mod blobs;
mod bucket;
mod entry;
mod group;
mod hash;
mod huge;
pub mod log_thread;
mod memory;
mod multi;
mod pending;
mod prefetch;
pub mod rewrite;
mod shard;
mod slab;
pub mod state;
mod table;
pub mod writer;
