//! kvred: a durable string store that speaks Redis. The modules in reading order; dependencies run one way,
//! from the bottom of this list to its top.

pub mod command;
pub mod db;
pub mod persistence;
pub mod protocol;
