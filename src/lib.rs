//! kvred: a durable string store that speaks Redis.
//!
//! The modules in reading order; dependencies run one way: `protocol <- persistence <- db <- command <- server`, and
//! `protocol <- client <- cli, bench`.

pub mod args;
pub mod exit;

mod terminal;

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
