//! The interactive session at a pseudo-terminal, a feature at a time.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::helpers::terminal::Terminal;
use crate::server::{Server, cli};

mod commands;
mod connection;
mod reconnect;
mod typing;

/// A session, and the directory of its state.
struct Session {
    terminal: Terminal,
    port: u16,
    state: TempDir,
}

impl Deref for Session {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}

impl Session {
    fn start(server: &Server) -> Self {
        Self::with(server.port, &[], |_| {})
    }

    /// A session whose command line, or environment, is changed; without colour unless it says so.
    fn with(port: u16, args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let state = TempDir::new().unwrap();
        let mut command = cli(&["-p", &port.to_string()]);
        command.args(args);
        command.env("XDG_STATE_HOME", state.path()).env("NO_COLOR", "1");
        change(&mut command);
        let mut session = Self { terminal: Terminal::start(command), port, state };
        session.sees("connected to");
        session
    }

    fn prompt(&mut self) -> String {
        let prompt = format!("127.0.0.1:{}> ", self.port);
        self.sees(&prompt)
    }

    fn history(&self) -> PathBuf {
        self.state.path().join("kvred/cli_history")
    }

    /// Leaves; the state stays.
    fn leaves(mut self) -> TempDir {
        self.types("quit\r");
        assert_eq!(self.ends().1, 0);
        self.state
    }
}
