//! Running commands: repeat counts, questions, interruption, lost connections, timing.

use std::io;
use std::time::{Duration, Instant};

use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use tokio::signal::unix::{SignalKind, signal};

use super::catalog::Catalog;
use super::helper::is_count;
use super::local::Timing;
use super::{Repl, dumb, pager};
use crate::cli::interrupt::{Waited, interruptible};
use crate::cli::session::{Answer, CallError, Session, is_plain_text, is_stream};
use crate::cli::stop::Stop;
use crate::client::explain::explain;
use crate::exit::write_out;
use crate::protocol::frame::Frame;
use crate::terminal::{Style, shown};

/// A reply that took this long has its time shown, as in `redis-cli`.
const SLOW: Duration = Duration::from_millis(500);

/// Attempts to open a lost connection again, with waits that double: about three seconds in all.
const ATTEMPTS: usize = 6;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Writes text in pieces, until Ctrl-C: what is left of it then.
async fn write_until_interrupted(text: &[u8]) -> io::Result<&[u8]> {
    /// What a slow terminal shows in a moment.
    const PIECE_BYTES: usize = 8 << 10;
    let mut rest = text;
    let mut interrupt = signal(SignalKind::interrupt())?;
    while let Some((piece, behind)) = rest.split_at_checked(PIECE_BYTES) {
        write_out(piece)?;
        rest = behind;
        tokio::select! {
            // Or a last piece would go out, and then what was pasted behind the command.
            biased;
            _ = interrupt.recv() => return Ok(rest),
            () = tokio::task::yield_now() => {}
        }
    }
    write_out(rest)?;
    Ok(&[])
}

impl Repl<'_> {
    /// Runs a line, with its repeat count. Returns whether what was pasted behind it may run too.
    pub(super) fn run_line(&mut self, mut command: Vec<Vec<u8>>) -> Result<bool, Stop> {
        let mut times = 1;
        if command.len() > 1 && is_count(&command[0]) {
            let count = command.remove(0);
            let Some(n) = std::str::from_utf8(&count).ok().and_then(|n| n.parse::<u64>().ok()) else {
                say!("(the repeat count is too large; nothing was sent)");
                return Ok(false);
            };
            if n == 0 {
                say!("(zero times: nothing was sent)");
            }
            times = n;
        }
        if !self.agreed(&command) {
            return Ok(false);
        }
        for _ in 0..times {
            if self.stopped() || !self.run_command(&command)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether Ctrl-C was pressed since it was last asked.
    pub(super) fn interrupted(&mut self) -> bool {
        let interrupts = &mut self.interrupts;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupts.recv() => true,
                // The runtime looks for what has come before it goes on.
                () = tokio::task::yield_now() => false,
            }
        })
    }

    /// Whether Ctrl-C was pressed behind the last command; says so.
    pub(super) fn stopped(&mut self) -> bool {
        let stopped = self.interrupted();
        if stopped {
            say!("(stopped; what was left is not sent)");
        }
        stopped
    }

    /// Asks before everything is deleted; says so where that is not wanted.
    fn agreed(&mut self, command: &[Vec<u8>]) -> bool {
        let name = command[0].to_ascii_uppercase();
        if !self.settings.confirm || !matches!(&name[..], b"FLUSHALL" | b"FLUSHDB") {
            return true;
        }
        let target = &self.session.target;
        let of =
            if name == b"FLUSHDB" { format!("database {}", self.session.db()) } else { "every database".to_owned() };
        let name = String::from_utf8_lossy(&name);
        let question = format!("{name} deletes every key in {of} of {}. Go on? [y/N] ", target.address);
        // An editor of its own: no history, no completion, and Ctrl-C means no.
        let answer = match self.idle {
            Some(_) => Editor::<(), MemHistory>::with_history(Config::default(), MemHistory::new())
                .and_then(|mut editor| editor.readline(&question)),
            None => match dumb::ask(self.runtime, &question, &self.prompt().0) {
                Ok(answer) => answer,
                Err(line) => {
                    self.typed = Some(line);
                    return false;
                }
            },
        };
        let agreed = answer.is_ok_and(|answer| matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"));
        if !agreed {
            say!("(nothing was sent)");
        }
        agreed
    }

    /// Runs one command. Returns whether it came to a reply, and nobody stopped that being shown.
    fn run_command(&mut self, command: &[Vec<u8>]) -> Result<bool, Stop> {
        // Between the prompt and Enter the server may have gone.
        if !self.reopen_if_lost() {
            say!("(the command was not sent)");
            return Ok(false);
        }
        if self.session.transaction_gone {
            // The prompt says so.
            return Ok(false);
        }
        if is_stream(command) {
            return self.stream(command);
        }
        let started = Instant::now();
        let answer = match self.runtime.block_on(interruptible(self.session.call(command))) {
            Waited::Done(answer) => answer,
            Waited::Interrupted => {
                self.session.drop_connection();
                say!("(no longer waiting; whether the command is carried out is unknown, and it is not sent again)");
                self.reopen(false);
                return Ok(false);
            }
        };
        match answer {
            Ok(answer) => {
                let shown = self.show(command, &answer, started.elapsed())?;
                self.after(command, &answer.reply);
                Ok(shown)
            }
            Err(error) => {
                self.failed(&error);
                Ok(false)
            }
        }
    }

    /// Asks for RESP3, whose maps JSON wants, as `--output json` does before anything else.
    pub(super) fn ask_for_maps(&mut self) {
        let session = &mut self.session;
        if self.resp2 || session.target.hello.is_some() {
            return;
        }
        if session.in_transaction() {
            say!("(a transaction is open, so maps stay arrays; say it again behind EXEC)");
            return;
        }
        if session.is_connected() {
            let answer = self.runtime.block_on(interruptible(session.call(&["HELLO", "3"])));
            match answer {
                Waited::Done(Ok(Answer { reply: Frame::Error(text), .. })) => {
                    say!("(HELLO 3 failed: {}; replies are RESP2's)", shown(&text));
                    return;
                }
                Waited::Done(Ok(_)) => {}
                Waited::Done(Err(error)) => return self.failed(&error),
                Waited::Interrupted => self.session.drop_connection(),
            }
        }
        // Of the next connection, too.
        self.session.target.hello = Some(3);
        self.session.target.hello_may_fail = true;
    }

    fn failed(&mut self, error: &CallError) {
        match error {
            CallError::NotSent(error) => say!("({}; the command was not sent)", explain(error)),
            CallError::Unknown(_) => {
                say!("({error})");
                self.reopen(false);
            }
            CallError::ShutDown => {
                self.session.drop_connection();
                say!("({error})");
            }
            CallError::Refused(_) => say!("({error})"),
            // The prompt says so.
            CallError::TransactionGone => {}
        }
    }

    fn show(&mut self, command: &[Vec<u8>], answer: &Answer, took: Duration) -> io::Result<bool> {
        let mut out = Vec::new();
        for push in &answer.pushes {
            self.settings.printer.render(&mut out, push, false);
        }
        self.settings.printer.render(&mut out, &answer.reply, is_plain_text(command));
        if !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        let slow = match self.settings.timing {
            Timing::Auto => took >= SLOW,
            Timing::Always => true,
            Timing::Off => false,
        };
        if slow {
            let precise = if took >= SLOW {
                format!("({:.2}s)", took.as_secs_f64())
            } else {
                format!("({:.3}ms)", took.as_secs_f64() * 1e3)
            };
            out.extend_from_slice(self.settings.printer.paint.text(Style::Hint, &precise).as_bytes());
            out.push(b'\n');
        }
        self.print(&out)
    }

    /// Shows text, with the pager or until Ctrl-C. Returns whether all of it was shown.
    pub(super) fn print(&self, text: &[u8]) -> io::Result<bool> {
        if pager::show(text, self.settings.pager) {
            return Ok(true);
        }
        let rest = self.runtime.block_on(write_until_interrupted(text))?;
        if rest.is_empty() {
            return Ok(true);
        }
        if self.settings.printer.paint.0 {
            write_out(b"\x1b[0m")?;
        }
        let lines = memchr::memchr_iter(b'\n', rest).count();
        say!("\n(stopped; the last {lines} lines, {} bytes, are not shown)", rest.len());
        Ok(false)
    }

    /// Learns what completion offers later.
    fn after(&mut self, command: &[Vec<u8>], reply: &Frame) {
        let name = command[0].to_ascii_uppercase();
        let allowed_more = matches!(&name[..], b"AUTH" | b"HELLO") && !matches!(reply, Frame::Error(_));
        if allowed_more && self.editor.helper().is_some_and(|helper| !helper.catalog.complete) {
            drop(self.load_catalog());
        }
        let Some(helper) = self.editor.helper_mut() else {
            return;
        };
        let keys: Vec<Vec<u8>> = helper.keys_of(command).into_iter().map(<[u8]>::to_vec).collect();
        if !matches!(reply, Frame::Error(_)) {
            for key in &keys {
                helper.remember(key);
            }
        }
        let listed = match (&name[..], reply) {
            (b"KEYS", Frame::Array(keys)) => keys,
            (b"SCAN", Frame::Array(parts)) => match parts.get(1) {
                Some(Frame::Array(keys)) => keys,
                _ => return,
            },
            (b"RANDOMKEY", key) => std::slice::from_ref(key),
            _ => return,
        };
        for key in listed {
            if let Frame::Bulk(key) = key {
                helper.remember(key);
            }
        }
    }

    /// Shows what comes until Ctrl-C; then the connection, which belongs to the stream, is given up.
    fn stream(&mut self, command: &[Vec<u8>]) -> Result<bool, Stop> {
        say!("(what comes is shown as it comes; Ctrl-C ends it)");
        let printer = self.settings.printer;
        let session = &mut self.session;
        let work = async {
            session.send(command).await?;
            loop {
                let frame = session.next().await?;
                let refused = matches!(frame, Frame::Error(_));
                if let Err(error) = printer.print(&frame, false) {
                    return Ok(Err(Stop::from(error)));
                }
                if refused {
                    return Ok::<_, CallError>(Ok(()));
                }
            }
        };
        match self.runtime.block_on(interruptible(work)) {
            Waited::Done(Ok(result)) => return result.map(|()| true),
            Waited::Done(Err(error)) => self.failed(&error),
            Waited::Interrupted => {
                self.session.drop_connection();
                self.reopen(true);
            }
        }
        Ok(false)
    }

    /// Says that the connection was lost, if it was, and opens another. Returns `false` if it was lost for now.
    pub(super) fn reopen_if_lost(&mut self) -> bool {
        if !self.session.is_lost() {
            return true;
        }
        self.session.drop_connection();
        say!("(the connection to {} was lost)", self.session.target.address);
        self.reopen(false);
        self.session.is_connected()
    }

    /// Tries to connect, with longer and longer waits, until Ctrl-C.
    fn reopen(&mut self, quietly: bool) {
        let result = self.runtime.block_on(interruptible(attempts(&mut self.session)));
        match result {
            Waited::Done(Ok(())) if quietly => {}
            Waited::Done(Ok(())) => say!("(connected again)"),
            Waited::Done(Err(why)) => say!("({why}; the next command tries again)"),
            Waited::Interrupted => say!("(not connected; the next command tries again)"),
        }
    }

    /// Asks the server for its commands; returns what it says it is.
    pub(super) fn load_catalog(&mut self) -> String {
        let session = &mut self.session;
        let loaded = self.runtime.block_on(interruptible(load(session)));
        let Waited::Done((catalog, server)) = loaded else {
            self.session.drop_connection();
            return String::new();
        };
        if let Some(helper) = self.editor.helper_mut() {
            helper.catalog = catalog;
        }
        server
    }
}

async fn attempts(session: &mut Session) -> Result<(), String> {
    let mut wait = FIRST_WAIT;
    let mut attempt = 1;
    loop {
        let error = match session.connect().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let refused = matches!(error, crate::client::SetupError::Refused { .. });
        if attempt == ATTEMPTS || refused {
            return Err(explain(&error));
        }
        if attempt == 1 {
            say!("({}; trying again, Ctrl-C stops)", explain(&error));
        }
        attempt += 1;
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}

/// The server's commands, and its name and version as part of a sentence. A failure is no reason not to go on.
async fn load(session: &mut Session) -> (Catalog, String) {
    let mut catalog = Catalog::own();
    match session.call(&["COMMAND", "DOCS"]).await.map(|answer| answer.reply) {
        Ok(Frame::Error(text)) if text.starts_with(b"NOAUTH") => {
            return (catalog, ", which wants a password (AUTH [user] password)".to_owned());
        }
        Ok(reply) => match Catalog::from_docs(&reply) {
            Some(docs) => catalog = docs,
            None => {
                if let Ok(answer) = session.call(&["COMMAND"]).await {
                    catalog.add_names(&answer.reply);
                }
            }
        },
        Err(_) => return (catalog, String::new()),
    }
    let info = session.call(&["INFO", "server"]).await.map(|answer| answer.reply);
    let Ok(Frame::Bulk(info) | Frame::Verbatim(_, info)) = info else {
        return (catalog, String::new());
    };
    let info = String::from_utf8_lossy(&info).into_owned();
    let version = |name: &str| {
        let field = format!("{name}_version:");
        info.lines().find_map(|line| Some(format!(" ({name} {})", shown(line.strip_prefix(&field)?.trim().as_bytes()))))
    };
    let server = ["kvred", "valkey", "redis"].into_iter().find_map(version);
    (catalog, server.unwrap_or_default())
}
