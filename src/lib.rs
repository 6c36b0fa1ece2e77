//! kvred: a durable string store that speaks Redis. The library is there for the binary, its tests and its benches: its
//! API promises nothing.
//!
//! The modules in reading order; dependencies run one way: `protocol <- persistence <- db <- command <- server, aof`,
//! and `protocol <- client <- cli, bench`, where `cli` knows the table of `command` besides.

// They panic where nobody listens; `say!` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

#[cfg(not(target_os = "linux"))]
compile_error!("kvred is for Linux: what it knows of disks and of memory is Linux's");

#[macro_use]
mod terminal;
#[macro_use]
pub mod exit;

pub mod args;
mod interrupt;
mod machine;
mod pem;
mod sparing;

pub mod protocol;

pub mod persistence;

pub mod db;

pub mod command;

pub mod server;

pub mod aof;

pub mod client;

pub mod cli;

pub mod bench;

pub mod manual;
