//! One connection to a server, for `kvred cli` and `kvred bench`.
//!
//! | module | what it does |
//! |---|---|
//! | `flags` | the server and the login that the flags and the environment mean |
//! | [`address`] | where a server is and who asks: addresses, logins, `redis://` and `unix://` URIs |
//! | [`connection`] | connecting within a time limit, sending requests, taking replies in order |
//! | [`replies`] | the common kinds of reply, looked at without a copy |
//! | `event_loop` | what they are used on; it ends without waiting for names that are looked up |
//! | [`setup`] | `HELLO`, `AUTH` and `SELECT`, before anything else is sent |
//! | [`tls`] | whom to trust, and the handshake |
//! | `explain` | why there is no connection, in words |
//!
//! Nothing here sends a caller's request twice: who lost a connection is told so, and decides.

pub mod address;
pub mod connection;
pub(crate) mod event_loop;
pub(crate) mod explain;
pub(crate) mod flags;
pub mod replies;
pub mod setup;
pub mod tls;

pub use self::address::{Address, Login, Target};
pub use self::connection::{Arrived, ClientError, Connection, Receiver, Sender};
pub(crate) use self::event_loop::EventLoop;
pub use self::replies::Reply;
pub use self::setup::SetupError;
pub use self::tls::{Tls, TlsOptions};
