//! The interactive session.
//!
//! | module | what it does |
//! |---|---|
//! | [`catalog`], [`call`] | what commands there are, and how far a call has come |
//! | [`helper`], [`completion`], [`hints`], [`colours`] | what happens while one types |
//! | [`execute`] | running commands: interruption, lost connections, timing |
//! | [`local`], [`help`] | the session's own words |
//! | [`history`], [`secrets`] | what is remembered, and what must not be |
//! | [`idle`] | what comes unasked, while one types |
//! | [`dumb`] | reading lines where the terminal cannot be steered |
//! | [`pager`] | long replies |
//!
//! Invariant: no command is sent twice, and none after the connection that it was meant for has gone with an open
//! transaction.

mod call;
mod catalog;
mod colours;
mod completion;
mod dumb;
mod execute;
mod help;
mod helper;
mod hints;
mod history;
mod idle;
mod local;
mod pager;
mod secrets;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::{io, mem};

use rustix::termios::{QueueSelector, tcflush};
use rustyline::config::{BellStyle, Config, Configurer};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Editor};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use unicode_width::UnicodeWidthStr;

use self::catalog::Catalog;
use self::helper::{ReplHelper, is_count};
use self::history::History;
use self::idle::Idle;
use self::local::Settings;
use super::interrupt::{Waited, interruptible};
use super::output::{Format, Printer};
use super::session::{Session, is_end};
use super::stop::Stop;
use super::words;
use crate::args::ColorWhen;
use crate::client::address::uri_wants_tls;
use crate::client::explain::explain;
use crate::client::{Address, Target, Tls, TlsOptions};
use crate::exit::{Status, write_out};
use crate::terminal::{Paint, Style, is_dumb};

/// A session at a terminal.
struct Repl<'a> {
    runtime: &'a Runtime,
    session: Session,
    settings: Settings,
    /// Whether the user wants RESP2 whatever the output.
    resp2: bool,
    editor: Editor<ReplHelper, FileHistory>,
    history: History,
    /// `None`: the terminal cannot be steered.
    idle: Option<Idle>,
    /// What was typed at a prompt that is shown already.
    typed: Option<rustyline::Result<String>>,
    /// Each Ctrl-C, also one that comes while no command is waited for, or together with a reply.
    interrupts: Signal,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Leave,
}

/// Runs a session until it is left.
pub(crate) fn run(
    runtime: &Runtime,
    mut session: Session,
    printer: Printer,
    color: ColorWhen,
    resp2: bool,
) -> Result<Status, Stop> {
    runtime.block_on(session.connect())?;
    // From here on an interrupt is for the command under way; it never ends the process.
    let interrupts = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
    let paint = Paint::for_stdout(color);
    let mut editor = editor(paint).map_err(terminal_failed)?;
    let history = History::load(&mut editor);
    let settings = Settings::new(Printer { paint, ..printer });
    let idle = Idle::new(&mut editor);
    let mut repl = Repl { runtime, session, settings, resp2, editor, history, idle, typed: None, interrupts };
    repl.welcome()?;
    loop {
        repl.reopen_if_lost();
        if mem::take(&mut repl.session.transaction_gone) {
            repl.forget_typed()?;
            say!("(the open transaction or WATCH is gone with its connection; nothing typed since is sent)");
        }
        let prompt = repl.prompt();
        if let Some(helper) = repl.editor.helper_mut() {
            helper.prompt_columns = prompt.0.width();
            helper.hint_at.set(None);
        }
        let Repl { session, settings, editor, idle, typed, .. } = &mut repl;
        let line = match (typed.take(), idle) {
            (Some(line), _) => line,
            (None, Some(idle)) => idle.meanwhile(runtime, session, settings.printer, || editor.readline(&prompt)),
            (None, None) => dumb::read_line(runtime, &prompt.0),
        };
        match line {
            Ok(input) => {
                if repl.input(&input)? == Next::Leave {
                    return Ok(Status::Fine);
                }
            }
            Err(ReadlineError::Interrupted) => repl.wipe_hint()?,
            Err(ReadlineError::Eof) => return Ok(Status::Fine),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                // The rest of it is no command of its own.
                repl.forget_typed()?;
                say!("(what was typed is not UTF-8; nothing was sent; write such bytes as \"\\xHH\")");
            }
            Err(error) => return Err(terminal_failed(error)),
        }
    }
}

fn editor(paint: Paint) -> rustyline::Result<Editor<ReplHelper, FileHistory>> {
    let config = Config::builder()
        .max_history_size(history::MAX_LINES)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .bell_style(BellStyle::None)
        // What the helper paints is all the colour that there is, and it may be told to paint later.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(ReplHelper {
        catalog: Catalog::own(),
        keys: BTreeSet::new(),
        paint,
        hints: !is_dumb(),
        prompt_columns: 0,
        hint_at: Cell::new(None),
    }));
    Ok(editor)
}

fn terminal_failed(error: ReadlineError) -> Stop {
    match error {
        ReadlineError::Io(error) => error.into(),
        other => failure!(Unavailable, "the terminal failed: {other}").into(),
    }
}

impl Repl<'_> {
    fn welcome(&mut self) -> io::Result<()> {
        let server = self.load_catalog();
        let line = format!(
            "kvred cli {}, connected to {}{server}; `help` says more\n",
            env!("CARGO_PKG_VERSION"),
            self.session.target.address
        );
        write_out(self.settings.printer.paint.text(Style::Hint, &line).as_bytes())
    }

    /// Takes the hint away that Ctrl-C has left on the line above, where it looks like typed text.
    fn wipe_hint(&self) -> io::Result<()> {
        match self.editor.helper().and_then(|helper| helper.hint_at.take()) {
            // By its number: a terminal takes a step of 0 columns for a step of one.
            Some(column) => write_out(format!("\x1b[A\x1b[{}G\x1b[K\r\n", column + 1).as_bytes()),
            None => Ok(()),
        }
    }

    /// Forgets what was typed ahead. The editor keeps what it has read of that, so there is a new one.
    fn forget_typed(&mut self) -> Result<(), Stop> {
        let config = self.editor.config_mut().clone();
        let history = mem::take(self.editor.history_mut());
        let mut editor = Editor::with_history(config, history).map_err(terminal_failed)?;
        editor.set_helper(self.editor.helper().cloned());
        self.idle = Idle::new(&mut editor);
        self.editor = editor;
        self.typed = None;
        Ok(tcflush(io::stdin(), QueueSelector::IFlush).map_err(io::Error::from)?)
    }

    /// The raw prompt, and the same in colour.
    fn prompt(&self) -> (String, String) {
        let target = &self.session.target;
        let user = target.login.as_ref().and_then(|login| login.user.as_ref());
        let mut name = user.map(|user| format!("{user}@")).unwrap_or_default();
        name.push_str(&target.address.to_string());
        if target.db != 0 {
            name = format!("{name}[{}]", target.db);
        }
        let (state, style) = match (self.session.is_connected(), self.session.in_transaction()) {
            (false, _) => (" (not connected)", Style::Error),
            (true, in_transaction) => (if in_transaction { "(TX)" } else { "" }, Style::Number),
        };
        let paint = self.settings.printer.paint;
        let state_in_colour = if state.is_empty() { String::new() } else { paint.text(style, state) };
        (format!("{name}{state}> "), format!("{}{state_in_colour}> ", paint.text(Style::Strong, &name)))
    }

    /// Runs what was typed, or pasted: one command or several.
    fn input(&mut self, input: &str) -> Result<Next, Stop> {
        self.history.add(&mut self.editor, input);
        // What was pressed at the prompt does not count.
        self.interrupted();
        for command in words::commands(input) {
            if self.stopped() {
                return Ok(Next::Line);
            }
            let words = match words::split(command.as_bytes()) {
                Ok(words) if words.is_empty() => continue,
                Ok(words) => words,
                Err(error) => {
                    say!("({error}; nothing was sent)");
                    return Ok(Next::Line);
                }
            };
            // Behind a count, the session's own words do what they do, once: no server is told of them.
            let own = if words.len() > 1 && is_count(&words[0]) { &words[1..] } else { &words[..] };
            match self.local(own)? {
                Some(Next::Leave) => return Ok(Next::Leave),
                Some(Next::Line) => {}
                None if self.run_line(words)? => {}
                // What was pasted behind a command that was stopped, or never sent, is not sent either.
                None => return Ok(Next::Line),
            }
        }
        Ok(Next::Line)
    }

    /// Runs one of the session's own commands, if it is one.
    fn local(&mut self, words: &[Vec<u8>]) -> Result<Option<Next>, Stop> {
        let name = words[0].to_ascii_lowercase();
        match (name.as_slice(), &words[1..]) {
            _ if is_end(words) => return Ok(Some(Next::Leave)),
            (b"clear", []) => self.editor.clear_screen().map_err(terminal_failed)?,
            (b"help" | b"?", rest) => {
                let catalog = self.editor.helper().map(|helper| &helper.catalog);
                let text = catalog.map(|catalog| help::text(rest, catalog, &self.settings)).unwrap_or_default();
                self.print(text.as_bytes())?;
            }
            (b":set", rest) => self.set(rest)?,
            (b"connect", rest) => self.connect(rest),
            (other, _) if other.starts_with(b":") => {
                say!("(there is no {}; `help` lists what there is)", String::from_utf8_lossy(&words[0]));
            }
            _ => return Ok(None),
        }
        Ok(Some(Next::Line))
    }

    fn set(&mut self, words: &[Vec<u8>]) -> io::Result<()> {
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        match words.as_slice() {
            [] => write_out(self.settings.list().as_bytes())?,
            [name, value] => {
                if let Err(why) = self.settings.set(name, value) {
                    say!("({why})");
                } else if name.eq_ignore_ascii_case("output") && self.settings.printer.format == Format::Json {
                    self.ask_for_maps();
                }
            }
            _ => say!("(:set NAME VALUE, or :set alone to see all)"),
        }
        if let Some(helper) = self.editor.helper_mut() {
            helper.paint = self.settings.printer.paint;
            helper.hints = self.settings.hints && !is_dumb();
        }
        Ok(())
    }

    fn target_of(&self, uri: &str) -> Result<Target, String> {
        let mut target = Target::from_uri(uri).map_err(|e| e.to_string())?;
        if uri_wants_tls(uri) {
            let known = self.session.target.tls.clone();
            let tls = known.map_or_else(|| Tls::new(TlsOptions::default()), Ok);
            target.tls = Some(tls.map_err(|e| format!("{e:#}"))?);
        }
        Ok(target)
    }

    fn connect(&mut self, words: &[Vec<u8>]) {
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let target = match words.as_slice() {
            [uri] if uri.contains("://") => self.target_of(uri),
            [path] if path.starts_with('/') => Ok(Target::new(Address::Unix(path.as_ref().into()))),
            [host, port] => match port.parse().ok().filter(|&port| port != 0) {
                Some(port) => {
                    // Whoever speaks TLS goes on to; to be without it takes a URI that says so.
                    let tls = self.session.target.tls.clone();
                    Ok(Target { tls, ..Target::new(Address::Tcp { host: host.to_string(), port }) })
                }
                None => Err(format!("'{port}' is no port")),
            },
            _ => Err("connect HOST PORT, connect /path/to/socket, or connect redis://...".to_owned()),
        };
        match target {
            Ok(target) => {
                // The login stays behind: another server must not be told this one's password. The protocol does not:
                // what reads the replies is the same.
                self.session.drop_connection();
                let Target { hello, hello_may_fail, .. } = self.session.target;
                self.session.target = Target { hello, hello_may_fail, ..target };
                match self.runtime.block_on(interruptible(self.session.connect())) {
                    Waited::Done(Ok(())) => drop(self.load_catalog()),
                    Waited::Done(Err(error)) => say!("({})", explain(&error)),
                    Waited::Interrupted => say!("(not connected; the next command tries again)"),
                }
            }
            Err(why) => say!("({why})"),
        }
    }
}
