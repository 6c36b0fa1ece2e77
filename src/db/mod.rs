//! The keyspace and the write sequencer.
//!
//! | module | what it does |
//! |---|---|
//! | [`state`], `shard` | the published keyspace, in shards: each a table, a slab and some blobs |
//! | `hash`, `table`, `bucket` | where a key belongs; from hashes to handles |
//! | `value` | values, as they are read and as they are given |
//! | `slab`, `entry`, `blobs` | the memory of entries; what is too large for it |
//! | `memory`, `huge` | memory from the system, and in huge pages |
//! | [`ahead`], `prefetch` | what lookups of many keys load into the cache beforehand |
//! | `lock_all` | several keys as one step |
//! | [`writer`] | the one order of all writes: evaluate, commit, publish, answer; the rewrite, and the log's threads |
//! | `background` | threads whose work can wait |

pub mod ahead;
mod background;
mod blobs;
mod bucket;
mod entry;
mod hash;
mod huge;
mod lock_all;
mod memory;
mod prefetch;
mod shard;
mod slab;
pub mod state;
mod table;
mod value;
pub mod writer;
