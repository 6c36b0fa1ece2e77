//! What a client has set for its connection.

use crate::protocol::encode::Resp;

/// See the file's header.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// Whether it may run commands.
    pub authenticated: bool,
    /// The protocol version of its replies.
    pub resp: Resp,
    /// Which commands are answered.
    pub answers: Answers,
}

/// Which commands are answered: `CLIENT REPLY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// All.
    All,
    /// Not the next one, then all.
    SkipNext,
    /// Not the one that is running, then all.
    SkipThis,
    /// None.
    None,
}

impl Session {
    /// Begins a command that runs alone: it may be the one that is to be skipped.
    pub(super) fn begin_command(&mut self) {
        if self.answers == Answers::SkipNext {
            self.answers = Answers::SkipThis;
        }
    }

    /// Ends it: whether its reply is dropped.
    pub(super) fn end_command(&mut self) -> bool {
        let muted = self.answers != Answers::All;
        if self.answers == Answers::SkipThis {
            self.answers = Answers::All;
        }
        muted
    }
}
