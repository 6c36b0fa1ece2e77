//! RESP: bytes -> arguments and frames, replies and requests -> bytes; for the server, the clients, the log's reader
//! and the tools alike. Knows no command.
//!
//! | module | what it does |
//! |---|---|
//! | [`limits`] | every limit that input is held to, with its reason |
//! | [`decode`] | requests: bytes -> the arguments of commands, in place |
//! | [`words`] | inline commands: a line -> its words, unquoted in place |
//! | [`quote`] | words -> a line |
//! | [`frame`] | replies, RESP2's and RESP3's: bytes -> [`Frame`](frame::Frame) |
//! | [`encode`] | replies and requests -> bytes |
//! | [`number`] | integers as text, in one spelling; bytes for people |
//! | `json` | bytes as JSON, for what the tools print |
//! | [`rope`] | bytes to be written, where large values are shared and not copied |

pub mod decode;
pub mod encode;
pub mod frame;
pub(crate) mod json;
pub mod limits;
pub mod number;
pub mod quote;
pub mod rope;
pub mod words;
