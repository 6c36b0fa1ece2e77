//! The commands: their table, their parsing and their execution.
