//! What a new connection is told before anything else: `HELLO`, `AUTH` and `SELECT`.
//!
//! A step that fails ends the set-up: a command must never run as another user or in another database than it was
//! meant for.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use super::address::{Address, Target};
use super::connection::{ClientError, Connection};
use crate::protocol::frame::Frame;
use crate::terminal::shown;

/// Why a connection cannot be used.
#[derive(Debug, Error)]
pub enum SetupError {
    /// There is none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused a step.
    #[error("{address}: {step} failed: {reply}")]
    Refused {
        /// The server.
        address: Address,
        /// The command, without its arguments, which may be secret.
        step: &'static str,
        /// The server's error.
        reply: String,
    },
}

impl Target {
    /// Connects and sets the connection up, within `limit` for each of the two.
    ///
    /// # Errors
    /// [`SetupError`]; nothing but the set-up has been sent.
    pub async fn connect(&self, limit: Duration) -> Result<Connection, SetupError> {
        let mut connection = Connection::open(&self.address, self.tls.as_ref(), limit).await?;
        self.within(limit, self.set_up(&mut connection)).await?;
        Ok(connection)
    }

    /// Connects as [`Target::connect`] does, and asks for a sign of life: a server that has no room for a client takes
    /// its connection all the same, says so and closes it, which may come later than all that is sent to set it up.
    ///
    /// # Errors
    /// [`SetupError`]; nothing but the set-up and a `PING` or two have been sent.
    pub async fn connect_answered(&self, limit: Duration) -> Result<Connection, SetupError> {
        let mut connection = self.connect(limit).await?;
        self.within(limit, self.ping(&mut connection)).await?;
        Ok(connection)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, SetupError>>,
    ) -> Result<T, SetupError> {
        let late = |_| Err(ClientError::TimedOut { address: self.address.clone(), tried: String::new(), limit }.into());
        timeout(limit, work).await.unwrap_or_else(late)
    }

    async fn ping(&self, connection: &mut Connection) -> Result<(), SetupError> {
        match self.step(connection, "PING", &["PING"]).await {
            // An error that leaves the connection open is about the command, which not everybody may use.
            Err(SetupError::Refused { .. }) if connection.request(&["PING"]).await.is_ok() => Ok(()),
            answered => answered,
        }
    }

    async fn set_up(&self, connection: &mut Connection) -> Result<(), SetupError> {
        if let Some(login) = &self.login {
            let mut auth: Vec<&[u8]> = vec![b"AUTH"];
            auth.extend(login.user.as_deref().map(str::as_bytes));
            auth.push(&login.password);
            self.step(connection, "AUTH", &auth).await?;
        }
        if let Some(version) = self.hello {
            match self.step(connection, "HELLO", &["HELLO", &version.to_string()]).await {
                Err(SetupError::Refused { address, reply, .. }) if self.hello_may_fail => {
                    let reply = shown(reply.as_bytes());
                    say!("warning: {address}: HELLO {version} failed: {reply}; replies are RESP2's");
                }
                done => done?,
            }
        }
        if self.db != 0 {
            self.step(connection, "SELECT", &["SELECT", &self.db.to_string()]).await?;
        }
        Ok(())
    }

    async fn step<A: AsRef<[u8]>>(
        &self,
        connection: &mut Connection,
        step: &'static str,
        args: &[A],
    ) -> Result<(), SetupError> {
        match connection.request(args).await? {
            Frame::Error(reply) => {
                let reply = String::from_utf8_lossy(&reply).into_owned();
                Err(SetupError::Refused { address: self.address.clone(), step, reply })
            }
            _ => Ok(()),
        }
    }
}
