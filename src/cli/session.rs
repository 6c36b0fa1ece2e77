//! A session with a server: a connection, and what the commands so far did to it.
//!
//! Invariant: a command is sent at most once. When the connection fails after that, its outcome is unknown, and the
//! error says so; only the user can decide to send it again.

use std::io::ErrorKind;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use crate::client::{ClientError, Connection, Login, SetupError, Target};
use crate::protocol::frame::Frame;

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    /// The server, and the state that a new connection is brought to.
    pub(crate) target: Target,
    limit: Duration,
    connection: Option<Connection>,
    /// Whether anything was answered over this connection.
    answered: bool,
    /// While a `MULTI` is open: an entry for each queued command. It has the words of `SELECT`, `AUTH` and `HELLO`,
    /// which a new connection has to be told, and is empty for others.
    queued: Option<Vec<Vec<Vec<u8>>>>,
    /// Whether keys are watched for the next `MULTI`.
    watching: bool,
    /// Whether the one or the other went with its connection, and nobody has said so yet.
    pub(crate) transaction_gone: bool,
}

/// Why a command has no reply.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    /// There is no connection, and nothing was sent.
    #[error(transparent)]
    NotSent(#[from] SetupError),
    /// The connection failed while the command was under way.
    #[error("{0}; the outcome of the command is unknown, and it is not sent again")]
    Unknown(ClientError),
    /// The server went away, as it was told to.
    #[error("the server has shut down")]
    ShutDown,
    /// There was a `MULTI` or a `WATCH`, of which the server knows nothing any more.
    #[error("the open transaction is gone with its connection; not sent")]
    TransactionGone,
    /// A command that this client cannot wait for.
    #[error("{0}")]
    Refused(&'static str),
}

/// What came back: frames that belong to no request, and the reply.
#[derive(Debug)]
pub(crate) struct Answer {
    /// RESP3's pushes that came before the reply.
    pub(crate) pushes: Vec<Frame>,
    /// The reply.
    pub(crate) reply: Frame,
}

impl Session {
    /// A session that is yet to connect.
    pub(crate) fn new(target: Target, limit: Duration) -> Self {
        Self {
            target,
            limit,
            connection: None,
            answered: false,
            queued: None,
            watching: false,
            transaction_gone: false,
        }
    }

    /// Connects, unless there is a connection that works as far as is known. Says so where that takes the place of one
    /// that was lost: what a command did to the old one, such as `WATCH`, is not in the new one.
    ///
    /// # Errors
    /// There is none now.
    pub(crate) async fn connect(&mut self) -> Result<(), SetupError> {
        let lost = self.is_lost();
        let missed = lost && self.answered;
        if lost {
            self.drop_connection();
        }
        if self.connection.is_none() {
            self.connection = Some(self.target.connect(self.limit).await?);
        }
        if missed {
            say!("kvred: the connection to {} was lost; connected again", self.target.address);
        }
        Ok(())
    }

    /// The connection that the next command goes to.
    async fn ready(&mut self) -> Result<&mut Connection, CallError> {
        if self.binds() && self.is_lost() {
            self.drop_connection();
            return Err(CallError::TransactionGone);
        }
        self.connect().await?;
        self.connection.as_mut().ok_or(CallError::NotSent(ClientError::Closed.into()))
    }

    /// Whether what comes next means something else on another connection: behind `MULTI` or `WATCH`.
    pub(crate) fn binds(&self) -> bool {
        self.in_transaction() || self.watching
    }

    /// Whether a `MULTI` is open.
    pub(crate) fn in_transaction(&self) -> bool {
        self.queued.is_some()
    }

    /// The database that the next command is for: a `SELECT` that is queued comes before it.
    pub(crate) fn db(&self) -> u32 {
        let queued = self.queued.iter().flatten();
        let mut selects = queued.filter(|args| args.first().is_some_and(|n| n.eq_ignore_ascii_case(b"SELECT")));
        selects.next_back().and_then(|args| selected(args)).unwrap_or(self.target.db)
    }

    /// Whether there is a connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether there was a connection, and the server has closed it.
    pub(crate) fn is_lost(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_closed)
    }

    /// Gives the connection up; the next command opens another.
    pub(crate) fn drop_connection(&mut self) {
        self.connection = None;
        self.answered = false;
        self.transaction_gone |= self.binds();
        self.leave_transaction();
    }

    fn leave_transaction(&mut self) {
        self.queued = None;
        self.watching = false;
    }

    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// [`CallError`], which tells whether the command can have been carried out.
    pub(crate) async fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Answer, CallError> {
        let name = upper(args, 0);
        match &name[..] {
            b"CLIENT" if turns_replies_off(args) => {
                return Err(CallError::Refused(
                    "CLIENT REPLY OFF and SKIP cannot be used here: every reply is waited for",
                ));
            }
            // Each channel has a reply of its own, which in RESP3 is a push.
            b"UNSUBSCRIBE" | b"PUNSUBSCRIBE" | b"SUNSUBSCRIBE" => {
                return Err(CallError::Refused(
                    "the UNSUBSCRIBE commands cannot be used here: a subscription lasts as long as its command does",
                ));
            }
            _ => {}
        }
        let sent = self.ready().await?.sender.request(args).await;
        let mut pushes = Vec::new();
        let reply = match sent {
            Ok(()) => match self.reply(&mut pushes).await {
                Err(CallError::Unknown(ClientError::Closed)) if name == b"SHUTDOWN" => return Err(CallError::ShutDown),
                reply => reply?,
            },
            Err(error) if hung_up(&error) => match timeout(self.limit, self.reply(&mut pushes)).await {
                Ok(Ok(reply)) => reply,
                _ => return Err(self.lose(error)),
            },
            Err(error) => return Err(self.lose(error)),
        };
        self.learn(&name, args, &reply);
        Ok(Answer { pushes, reply })
    }

    /// Sends one command, whose replies come through [`Session::next`].
    ///
    /// # Errors
    /// [`CallError`]
    pub(crate) async fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<(), CallError> {
        // From here on the server may have the command. The connection is whole again only once the reply is there.
        let result = self.ready().await?.sender.request(args).await;
        result.map_err(|error| self.lose(error))
    }

    /// Sends encoded commands, whose replies come through [`Session::next`].
    ///
    /// # Errors
    /// [`CallError`]
    pub(crate) async fn send_encoded(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let result = self.ready().await?.sender.send(bytes).await;
        result.map_err(|error| self.lose(error))
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// [`CallError::Unknown`]
    pub(crate) async fn next(&mut self) -> Result<Frame, CallError> {
        let Some(connection) = &mut self.connection else {
            return Err(CallError::Unknown(ClientError::Closed));
        };
        let result = connection.receiver.next().await;
        self.answered |= result.is_ok();
        result.map_err(|error| self.lose(error))
    }

    /// Waits for the frame that is no push.
    async fn reply(&mut self, pushes: &mut Vec<Frame>) -> Result<Frame, CallError> {
        loop {
            match self.next().await? {
                Frame::Push(items) => pushes.push(Frame::Push(items)),
                reply => return Ok(reply),
            }
        }
    }

    /// Whether the server may say something without being asked: in RESP3.
    pub(crate) fn may_be_told(&self) -> bool {
        self.is_connected() && self.target.hello == Some(3)
    }

    /// Waits for a frame that belongs to no request; `None` if the connection fails, which is left for the next
    /// command to find and to tell.
    pub(crate) async fn unasked(&mut self) -> Option<Frame> {
        self.connection.as_mut()?.receiver.next().await.ok()
    }

    fn lose(&mut self, error: ClientError) -> CallError {
        self.drop_connection();
        CallError::Unknown(error)
    }

    /// Notes what the next connection has to be told: a command must not run in another database, or as another user,
    /// than the session says.
    fn learn<A: AsRef<[u8]>>(&mut self, name: &[u8], args: &[A], reply: &Frame) {
        let ok = matches!(reply, Frame::Simple(text) if &text[..] == b"OK");
        if let Some(queued) = &mut self.queued
            && matches!(reply, Frame::Simple(text) if &text[..] == b"QUEUED")
        {
            let words = if matches!(name, b"SELECT" | b"AUTH" | b"HELLO") { args } else { &[] };
            queued.push(words.iter().map(|word| word.as_ref().to_vec()).collect());
            return;
        }
        match name {
            b"MULTI" if ok => self.queued = Some(Vec::new()),
            // Whatever the answer is, but for a malformed call, no transaction is open behind it.
            b"EXEC" | b"DISCARD" if self.in_transaction() && args.len() == 1 => {
                let queued = self.queued.take().unwrap_or_default();
                self.leave_transaction();
                let Frame::Array(replies) = reply else { return };
                for (args, reply) in queued.iter().zip(replies) {
                    let name = args.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
                    self.learn(&name, args, reply);
                }
            }
            b"WATCH" if ok => self.watching = true,
            b"UNWATCH" if ok => self.watching = false,
            b"SELECT" if ok => self.target.db = selected(args).unwrap_or(self.target.db),
            b"AUTH" if ok => self.target.login = login(&args[1..]),
            b"HELLO" if !matches!(reply, Frame::Error(_)) => self.learn_hello(args),
            b"RESET" if matches!(reply, Frame::Simple(_)) => {
                self.target.db = 0;
                self.target.hello = None;
                self.target.login = None;
                self.leave_transaction();
            }
            _ => {}
        }
    }

    fn learn_hello<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        if let Some(version) = args.get(1) {
            self.target.hello = std::str::from_utf8(version.as_ref()).ok().and_then(|v| v.parse().ok());
        }
        if let Some(at) = args.iter().position(|a| a.as_ref().eq_ignore_ascii_case(b"AUTH"))
            && let Some(words) = args.get(at + 1..at + 3)
        {
            self.target.login = login(words);
        }
    }
}

/// Whether the server stopped reading while it was sent something. What it had said before that can be read still, such
/// as why it refuses a value whose length is all that it has seen of it. Mostly it has closed the connection, so that
/// reading ends at once; one that only stopped reading may never say anything.
fn hung_up(error: &ClientError) -> bool {
    let ClientError::Io(error) = error else { return false };
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// The database that a `SELECT` names.
fn selected<A: AsRef<[u8]>>(args: &[A]) -> Option<u32> {
    std::str::from_utf8(args.get(1)?.as_ref()).ok()?.parse().ok()
}

fn login<A: AsRef<[u8]>>(words: &[A]) -> Option<Login> {
    let (password, user) = words.split_last()?;
    let user = user.last().map(|user| String::from_utf8_lossy(user.as_ref()).into_owned());
    Some(Login { user, password: password.as_ref().to_vec() })
}

/// An argument in upper case; nothing where there is none.
fn upper<A: AsRef<[u8]>>(args: &[A], at: usize) -> Vec<u8> {
    args.get(at).map(|a| a.as_ref().to_ascii_uppercase()).unwrap_or_default()
}

fn turns_replies_off<A: AsRef<[u8]>>(args: &[A]) -> bool {
    upper(args, 1) == b"REPLY" && matches!(&upper(args, 2)[..], b"OFF" | b"SKIP")
}

/// Whether frames keep coming after this command until the user has had enough.
pub(crate) fn is_stream<A: AsRef<[u8]>>(args: &[A]) -> bool {
    matches!(&upper(args, 0)[..], b"MONITOR" | b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE")
}

/// Whether it is the word that ends a session or a script, and of which no server is told.
pub(crate) fn is_end<A: AsRef<[u8]>>(args: &[A]) -> bool {
    args.len() == 1 && matches!(&upper(args, 0)[..], b"QUIT" | b"EXIT")
}

/// Whether the reply is a text for people, with lines of its own, that pretty output does not quote.
pub(crate) fn is_plain_text<A: AsRef<[u8]>>(args: &[A]) -> bool {
    match &upper(args, 0)[..] {
        b"INFO" | b"LOLWUT" => true,
        b"CLIENT" => matches!(&upper(args, 1)[..], b"LIST" | b"INFO"),
        b"CLUSTER" => matches!(&upper(args, 1)[..], b"NODES" | b"INFO"),
        b"MEMORY" => matches!(&upper(args, 1)[..], b"DOCTOR" | b"MALLOC-STATS"),
        b"LATENCY" => matches!(&upper(args, 1)[..], b"DOCTOR" | b"GRAPH"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::client::Address;

    fn simple(text: &'static str) -> Frame {
        Frame::Simple(Bytes::from_static(text.as_bytes()))
    }

    fn error() -> Frame {
        Frame::Error(Bytes::from_static(b"ERR no"))
    }

    fn session() -> Session {
        let address = Address::Tcp { host: "localhost".to_owned(), port: 1 };
        Session::new(Target::new(address), Duration::from_secs(1))
    }

    fn learn(session: &mut Session, command: &str, reply: &Frame) {
        let args: Vec<&str> = command.split(' ').collect();
        session.learn(args[0].as_bytes(), &args, reply);
    }

    #[test]
    fn what_is_queued_counts_once_it_is_carried_out() {
        let ok = simple("OK");
        for (end, reply, db) in [
            ("EXEC", Frame::Array(vec![Frame::Null, ok.clone(), ok.clone(), error()]), 3),
            ("EXEC", error(), 1),
            ("EXEC", Frame::Null, 1),
            ("DISCARD", ok.clone(), 1),
        ] {
            let mut session = session();
            learn(&mut session, "SELECT 1", &ok);
            learn(&mut session, "MULTI", &ok);
            for command in ["GET k", "SELECT 2", "SELECT 3", "SELECT 99"] {
                learn(&mut session, command, &simple("QUEUED"));
            }
            assert_eq!((session.db(), session.target.db), (99, 1));
            learn(&mut session, end, &reply);
            assert_eq!((session.db(), session.target.db, session.binds()), (db, db, false), "{end} {reply:?}");
        }
    }

    #[test]
    fn exec_and_discard_without_multi_end_no_watch() {
        for command in ["EXEC", "DISCARD"] {
            let mut session = session();
            learn(&mut session, "WATCH k", &simple("OK"));
            learn(&mut session, command, &error());
            assert!(session.binds(), "{command}");
        }
    }
}
