//! Black-box tests of `kvred cli`: the real binary, against a real server, in a pipe and at a pseudo-terminal.

mod server;

mod modes;
mod oneshot;
mod output;
mod peers;
mod pipe;
mod script;
mod secrets;
mod terminal;
mod trouble;
