//! The commands: their table, their parsing and their execution.

pub mod errors;
pub mod glob;
pub mod introspect;
pub mod refused;
pub mod spec;
pub mod synopsis;
pub mod table;
