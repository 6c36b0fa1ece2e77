//! The commands: their table, their parsing and their execution.
//!
//! | module | what it does |
//! |---|---|
//! | [`table`], [`spec`] | the one table of commands; what its rows say |
//! | [`introspect`], [`synopsis`] | the replies of `COMMAND` and `HELP`; how a command is called, in one line |
//! | [`refused`] | the commands that are known by name and not offered |
//! | [`errors`] | what can be wrong with a command, as the exact reply |
//! | [`parse`] | the commands on data, typed |
//! | [`batch`] | the commands of a turn, run together |
//! | [`glob`] | patterns as Redis matches them |
//! | [`record`], [`loader`] | what the records of a log mean; a log applied on several threads |

pub mod batch;
pub mod errors;
pub mod glob;
pub mod introspect;
pub mod loader;
pub mod parse;
pub mod record;
pub mod refused;
pub mod spec;
pub mod synopsis;
pub mod table;
