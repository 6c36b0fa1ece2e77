//! The keyspace and the write sequencer.
