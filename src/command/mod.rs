//! The commands: their table, their parsing and their execution.

pub mod batch;
pub mod errors;
pub mod glob;
pub mod introspect;
pub mod loader;
pub mod parse;
pub mod refused;
pub mod replay;
pub mod spec;
pub mod synopsis;
pub mod table;
