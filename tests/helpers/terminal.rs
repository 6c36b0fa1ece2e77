//! A program at a pseudo-terminal: what it shows is waited for, what a person would type is sent.

use std::io::Write;
use std::process::{Command, Stdio};

use rexpect::process::WaitStatus;
use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};
use rustix::termios::{Winsize, tcsetwinsize};

use super::DEADLINE;

/// A running program. It is ended when this is dropped.
pub struct Terminal {
    pty: PtySession,
}

impl Terminal {
    /// Starts a program at a terminal that does not tell its size, which then counts as 80 by 24. It is no dumb one,
    /// unless the command says so.
    pub fn start(mut command: Command) -> Self {
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        // In the child these are the terminal already.
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        Self { pty: spawn_with_options(command, Options::new().timeout_ms(Some(DEADLINE.as_millis() as u64))).unwrap() }
    }

    /// Starts a program at a terminal of this size, in columns and rows.
    pub fn sized(command: &Command, columns: u16, rows: u16) -> Self {
        // The size has to be there before the program asks for it.
        Self::start(after(&format!("stty cols {columns} rows {rows}"), command))
    }

    /// Changes the size, as a person does who pulls at the window's corner.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.pty.process().get_file_handle().unwrap(), size).unwrap();
    }

    /// Waits for text on the screen, and returns what came before it.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> String {
        // The library takes each byte for a character.
        let bytes: String = text.bytes().map(char::from).collect();
        match self.pty.exp_string(&bytes) {
            Ok(before) => decoded(&before),
            Err(error) => panic!("waiting for {text:?}: {error}"),
        }
    }

    /// Types text, all at once.
    pub fn types(&mut self, text: &str) {
        self.pty.send(text).unwrap();
        self.pty.flush().unwrap();
    }

    /// Types what may be no text.
    pub fn types_bytes(&mut self, bytes: &[u8]) {
        self.pty.process().get_file_handle().unwrap().write_all(bytes).unwrap();
    }

    /// Types a line and waits for text that comes of it.
    #[track_caller]
    pub fn enters(&mut self, line: &str, sees: &str) {
        self.types(&format!("{line}\r"));
        self.sees(sees);
    }

    /// Holds the control key and presses another.
    pub fn presses(&mut self, control: char) {
        self.pty.send_control(control).unwrap();
    }

    /// Waits for the program to end: what it still showed, and its exit code, which is negative for a signal's number.
    #[track_caller]
    pub fn ends(&mut self) -> (String, i32) {
        let rest = match self.pty.exp_eof() {
            Ok(rest) => decoded(&rest),
            Err(error) => panic!("it does not end: {error}"),
        };
        match self.pty.process().wait().unwrap() {
            WaitStatus::Exited(_, code) => (rest, code),
            WaitStatus::Signaled(_, signal, _) => (rest, -(signal as i32)),
            other => panic!("it ended as {other:?}"),
        }
    }
}

/// A shell that first does something, and then becomes the program.
pub fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$@\""), "sh"]);
    started_by(shell, command)
}

/// A program that starts the one that its arguments end with, in the environment that was made for that one.
pub fn started_by(mut starter: Command, command: &Command) -> Command {
    starter.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => starter.env(name, value),
            None => starter.env_remove(name),
        };
    }
    starter
}

/// Text whose every byte was taken for a character.
fn decoded(text: &str) -> String {
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("it was a byte")).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text without escape sequences.
pub fn without_escapes(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}
