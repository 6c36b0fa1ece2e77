//! Batches: the complete commands of one turn of a connection, decoded in place and run together. Those of several
//! connections wait in one [`Queue`], so that what their keys need is loaded ahead across all of them.
//!
//! A batch of reads is answered from the published state. From its first write on, a batch runs in the writer's view
//! (published and pending) and its replies are held until the newest group that it could have seen is committed:
//! so a pipeline reads its own writes, costs one sync, and nobody is told of a write that then fails.

mod known;
mod large;
mod view;

use std::ops::Range;

use self::known::{KnownCommands, Meaning};
use self::large::LargeValues;
use self::view::WriterView;
use super::errors::CommandError;
use super::parse::{DataCommand, is_data, parse};
use super::spec::{CommandSpec, Flag};
use super::table::{CommandId, find, resolve};
use crate::db::ahead::Ahead;
use crate::db::state::{KeyHash, Keyspace, ValueRef};
use crate::db::writer::{NotNow, Ticket, WriteFailure, Writer};
use crate::protocol::decode::{Args, ProtocolError, RequestDecoder, Span};
use crate::protocol::encode::{self, Resp};
use crate::protocol::limits::RequestLimits;
use crate::protocol::rope::{Mark, Rope};

/// Most commands of one turn: the neighbours of a deep pipeline wait no longer than these take.
pub const TURN_COMMANDS: usize = 128;

/// Past so many bytes of input, or of replies, a turn takes no further command.
pub const TURN_BYTES: usize = 256 << 10;

/// Room for so many arguments is kept. A turn has more only with a huge command in it: each takes 6 bytes at least.
const KEEP_SPANS: usize = TURN_BYTES / 4;

/// What a batch runs on.
#[derive(Clone, Copy)]
pub struct Env<'e> {
    /// The published state.
    pub keyspace: &'e Keyspace,
    /// The way to write.
    pub writer: &'e Writer,
    /// The worker that the connection belongs to.
    pub worker: usize,
    /// The connection's protocol version.
    pub resp: Resp,
    /// Whether the connection may run commands that need authentication.
    pub authenticated: bool,
    /// Most bytes that the keyspace may take; 0: no limit.
    pub max_memory_bytes: usize,
    /// What is counted.
    pub counters: &'e dyn Count,
    /// Most commands that one batch takes.
    pub most_commands: usize,
}

/// Receives what is counted while a batch runs.
pub trait Count {
    /// A command was carried out, or failed.
    fn command(&self, id: CommandId);
    /// A command was refused before it was tried: its number of arguments is wrong, there is no memory for it.
    fn rejected(&self, id: CommandId);
    /// An error was replied; `code` is its first word.
    fn error(&self, id: Option<CommandId>, code: &str);
    /// Keys were looked up by reads.
    fn lookups(&self, hits: u64, misses: u64);
    /// The same for one key.
    fn lookup(&self, found: bool) {
        self.lookups(u64::from(found), u64::from(!found));
    }
}

/// A command that waits to be run.
#[derive(Debug, Clone, Copy)]
struct Queued {
    first_span: u32,
    end_span: u32,
    /// One past the command's last byte in the input.
    end_byte: u32,
    /// `None`: it will be answered with an error, which is made when it is run.
    spec: Option<&'static CommandSpec>,
    /// The hash of the first key; without one it means nothing.
    hash: KeyHash,
    /// Whether it is looked up. For a plain SET it is not; whoever publishes that looks, and loads ahead, for itself.
    looked_up: bool,
}

impl Queued {
    fn is_of_same_command(&self, other: &Self) -> bool {
        // Each command has one row in the table.
        self.spec.map(std::ptr::from_ref) == other.spec.map(std::ptr::from_ref)
    }
}

/// Commands that wait to be run, of one connection after another; all were decoded from one buffer.
#[derive(Debug, Default)]
pub struct Queue {
    spans: Vec<Span>,
    queued: Vec<Queued>,
    known: KnownCommands,
}

/// What was taken from one connection's input into a queue.
#[derive(Debug)]
pub struct Taken {
    /// Where in the queue its commands are.
    commands: Range<usize>,
    /// Where the first begins in the input.
    pub start: usize,
    /// One past the last byte of the input that was looked at to the end.
    pub end: usize,
    /// Why no further one was taken.
    pub stop: Stop,
}

/// The commands of one connection that are run together.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'q> {
    queue: &'q Queue,
    taken: &'q Taken,
}

/// Why no further command was taken into a queue.
#[derive(Debug)]
pub enum Stop {
    /// The next command is not there yet, or not all of it.
    Incomplete,
    /// The turn is long enough, or a command that runs alone comes next.
    Full,
    /// A command that runs alone comes first: the batch is empty.
    Control(Control),
    /// What comes next is not RESP.
    NotResp(ProtocolError),
    /// What comes next is a line of an HTTP request.
    Http,
}

/// A command that runs alone.
#[derive(Debug, Clone)]
pub struct Control {
    /// Which it is.
    pub spec: &'static CommandSpec,
    /// One past its last byte in the input.
    pub end_byte: usize,
    spans: Range<usize>,
}

/// How far a batch came.
#[derive(Debug)]
pub struct Ran {
    /// How many of its commands were run.
    pub commands: usize,
    /// One past the last byte of the input that is done with.
    pub consumed: usize,
    /// How the replies go out.
    pub replies: Replies,
}

/// What is to be done with a batch's replies.
#[derive(Debug)]
pub enum Replies {
    /// They can be sent.
    Ready,
    /// Those behind a mark are held until a group is committed.
    Held(Held),
    /// They can be sent; what comes next is a write for which there is no room at the moment.
    NoRoom,
}

/// Replies that wait for a commit.
#[derive(Debug)]
pub struct Held {
    /// Tells how the commit ended.
    pub ticket: Ticket,
    /// Where the held replies begin.
    mark: Mark,
    retained: Retained,
}

/// What is needed to answer anew if the commit fails.
#[derive(Debug)]
enum Retained {
    /// Nothing but so many writes of one command.
    Writes(CommandId, usize),
    /// The commands, as they were sent.
    Input(Vec<u8>),
}

/// How writes are answered that fail.
struct Refusal<'r> {
    failure: &'r WriteFailure,
    counters: &'r dyn Count,
}

impl Queue {
    /// Empties it.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(KEEP_SPANS);
        self.queued.clear();
    }

    /// Takes commands from `buffer[at..]` on, until something stops it. Keys are hashed on the way.
    pub fn fill(&mut self, buffer: &mut [u8], at: usize, decoder: &mut RequestDecoder, env: &Env<'_>) -> Taken {
        decoder.settle();
        let (first, start) = (self.queued.len(), at);
        let mut at = at;
        let stop = loop {
            let taken = self.queued.len() - first;
            if taken == env.most_commands || at - start > TURN_BYTES {
                break Stop::Full;
            }
            let first_span = self.spans.len();
            if env.authenticated
                && let Some(known) = self.known.at(buffer, at)
                && let Some(end) = decoder.decode_known(buffer, at, &known.opening, &mut self.spans)
            {
                let meaning = known.meaning;
                self.push(first_span, end, meaning, buffer, env);
                at = end;
                continue;
            }
            let end = match decoder.decode(buffer, at, &mut self.spans) {
                Ok(Some(end)) => end,
                Ok(None) => break Stop::Incomplete,
                Err(e) => break Stop::NotResp(e),
            };
            if self.spans.len() == first_span {
                at = end;
                continue;
            }
            let args = Args::new(buffer, &self.spans[first_span..]);
            let spec = resolve(args).ok().filter(|s| env.authenticated || s.flags.contains(Flag::NoAuth));
            if let Some(spec) = spec.filter(|s| !is_data(s.id)) {
                if taken == 0 {
                    break Stop::Control(Control { spec, end_byte: end, spans: first_span..self.spans.len() });
                }
                self.spans.truncate(first_span);
                decoder.restore(buffer, at);
                break Stop::Full;
            }
            if spec.is_none() && is_http(args.at(0)) {
                self.spans.truncate(first_span);
                decoder.restore(buffer, at);
                break Stop::Http;
            }
            let meaning = Meaning::of(spec);
            self.known.learn(buffer, at, self.spans[first_span], meaning);
            self.push(first_span, end, meaning, buffer, env);
            at = end;
        };
        Taken { commands: first..self.queued.len(), start, end: at, stop }
    }

    #[inline(always)]
    fn push(&mut self, first_span: usize, end: usize, meaning: Meaning, buffer: &[u8], env: &Env<'_>) {
        let key = meaning.keyed.then(|| self.spans[first_span + 1].of(buffer));
        self.queued.push(Queued {
            first_span: first_span as u32,
            end_span: self.spans.len() as u32,
            end_byte: end as u32,
            spec: meaning.spec,
            hash: key.map(|key| env.keyspace.hash(key)).unwrap_or_default(),
            looked_up: meaning.looked_up,
        });
    }

    /// How many commands it has.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// The commands of one connection.
    pub fn batch<'q>(&'q self, taken: &'q Taken) -> Batch<'q> {
        Batch { queue: self, taken }
    }

    /// What loads ahead for all of its commands, when they are run in order.
    pub fn ahead<'k>(&self, keyspace: &'k Keyspace) -> Ahead<'k> {
        Ahead::new(keyspace, self.queued.len())
    }

    /// The arguments of a command that runs alone.
    pub fn control_args<'a>(&'a self, control: &Control, buffer: &'a [u8]) -> Args<'a> {
        Args::new(buffer, &self.spans[control.spans.clone()])
    }

    fn args<'a>(&'a self, queued: &Queued, buffer: &'a [u8]) -> Args<'a> {
        Args::new(buffer, &self.spans[queued.first_span as usize..queued.end_span as usize])
    }
}

impl<'q> Batch<'q> {
    /// How many commands it has.
    pub fn len(&self) -> usize {
        self.taken.commands.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.taken.commands.is_empty()
    }

    fn queued(&self) -> &'q [Queued] {
        &self.queue.queued[self.taken.commands.clone()]
    }

    /// The first commands, so many, in runs of the same one, each with how much work it is beside the others: by its
    /// arguments and bytes.
    pub fn runs(&self, commands: usize) -> impl Iterator<Item = (Option<&'static CommandSpec>, u32)> + use<'q> {
        let queued = &self.queued()[..commands];
        let (mut span, mut byte) = (queued.first().map_or(0, |first| first.first_span), self.taken.start as u32);
        queued.chunk_by(Queued::is_of_same_command).map(move |run| {
            let last = &run[run.len() - 1];
            let weight = weight(last.end_span - span, last.end_byte - byte, run);
            (span, byte) = (last.end_span, last.end_byte);
            (last.spec, weight)
        })
    }

    /// The same for each command by itself, with its arguments.
    pub fn singly<'a>(
        &'a self,
        commands: usize,
        buffer: &'a [u8],
    ) -> impl Iterator<Item = (Option<&'static CommandSpec>, u32, Args<'a>)> {
        let mut byte = self.taken.start as u32;
        self.queued()[..commands].iter().map(move |queued| {
            let spans = queued.end_span - queued.first_span;
            let weight = weight(spans, queued.end_byte - byte, std::slice::from_ref(queued));
            byte = queued.end_byte;
            (queued.spec, weight, self.queue.args(queued, buffer))
        })
    }

    /// Where the first so many commands end in the input.
    fn end_of(&self, commands: usize) -> usize {
        if commands == 0 { self.taken.start } else { self.queued()[commands - 1].end_byte as usize }
    }

    /// Runs the commands in order, appending their replies to `out`. `decoder` is who decoded them from `buffer`, and
    /// `ahead` who loads ahead for the queue.
    pub fn run(
        &self,
        buffer: &[u8],
        decoder: &RequestDecoder,
        ahead: &mut Ahead<'_>,
        env: &Env<'_>,
        out: &mut Rope,
    ) -> Ran {
        let queued = self.queued();
        let first_write = queued.iter().position(is_write).unwrap_or(queued.len());
        let read = self.run_published(0..first_write, buffer, ahead, env, None, out);
        let ran = |commands: usize, replies| Ran { commands, consumed: self.end_of(commands), replies };
        if read < first_write || first_write == queued.len() {
            return ran(read, Replies::Ready);
        }
        let out_of_memory = env.max_memory_bytes > 0 && env.keyspace.memory().total_bytes() > env.max_memory_bytes;
        let large =
            if out_of_memory { Some(LargeValues::default()) } else { self.large_values(first_write, buffer, env) };
        let Some(large) = large else { return ran(first_write, Replies::NoRoom) };
        let mut batch = match env.writer.begin(env.worker, self.made_bytes(first_write, &large)) {
            Ok(batch) => batch,
            Err(NotNow::NoRoom) => return ran(first_write, Replies::NoRoom),
            Err(NotNow::Failed(failure)) => {
                let refusal = Refusal { failure: &failure, counters: env.counters };
                let done = self.run_published(first_write..queued.len(), buffer, ahead, env, Some(&refusal), out);
                return ran(done, Replies::Ready);
            }
        };
        let mark = out.mark();
        let mut view = WriterView { batch: &mut batch, keyspace: env.keyspace, out_of_memory };
        let (mut done, mut all_right) = (first_write, true);
        while done < queued.len() && out.len() < TURN_BYTES && view.batch.takes_another() {
            self.load_before(done, ahead);
            let large = large.of(done);
            all_right &= self.run_one(&queued[done], buffer, env, out, |spec, args, hash, out| {
                view.run(spec, args, hash, large, env, out)
            });
            done += 1;
        }
        let replies = match batch.finish() {
            None => Replies::Ready,
            Some(ticket) => {
                let commands = first_write..done;
                Replies::Held(Held { ticket, mark, retained: self.retained(commands, all_right, buffer, decoder) })
            }
        };
        ran(done, replies)
    }

    /// What is needed to answer commands anew; `all_right`: none was answered with an error of its own.
    fn retained(&self, commands: Range<usize>, all_right: bool, buffer: &[u8], decoder: &RequestDecoder) -> Retained {
        let held = &self.queued()[commands.clone()];
        let one = held.split_first().filter(|(first, rest)| {
            // One that is wrong is answered so, whatever becomes of the others.
            all_right && rest.iter().all(|q| q.is_of_same_command(first))
        });
        match one.and_then(|(first, _)| first.spec) {
            Some(spec) => Retained::Writes(spec.id, held.len()),
            None => Retained::Input(decoder.copy(buffer, self.end_of(commands.start)..self.end_of(commands.end))),
        }
    }

    /// Loads what the `n`-th command and those behind it in the queue will need. A single one would only wait for it.
    #[inline]
    fn load_before(&self, n: usize, ahead: &mut Ahead<'_>) {
        let queued = &self.queue.queued[..];
        if queued.len() > 1 {
            ahead.before(self.taken.commands.start + n, |n| Some(queued[n].hash).filter(|_| queued[n].looked_up));
        }
    }

    /// Runs a range on the published state, where each write meets `refusal`: how far it came.
    fn run_published(
        &self,
        range: Range<usize>,
        buffer: &[u8],
        ahead: &mut Ahead<'_>,
        env: &Env<'_>,
        refusal: Option<&Refusal<'_>>,
        out: &mut Rope,
    ) -> usize {
        let queued = self.queued();
        for n in range.clone() {
            // A failed batch has to be answered in one go; its replies to reads are what they would have been before.
            if out.len() >= TURN_BYTES && refusal.is_none() {
                return n;
            }
            self.load_before(n, ahead);
            self.run_one(&queued[n], buffer, env, out, |spec, args, hash, out| {
                let command = parse(spec.id, args)?;
                match refusal {
                    Some(refusal) if is_write(&queued[n]) => refusal.reply(spec.id, out),
                    _ => run_read(command, hash, env, out),
                }
                Ok(())
            });
        }
        range.end
    }

    /// Runs one command, or answers it with its error; `false` for that.
    #[inline]
    fn run_one<'b>(
        &'b self,
        queued: &Queued,
        buffer: &'b [u8],
        env: &Env<'_>,
        out: &mut Rope,
        run: impl FnOnce(&CommandSpec, Args<'b>, KeyHash, &mut Rope) -> Result<(), CommandError>,
    ) -> bool {
        let args = self.queue.args(queued, buffer);
        let result = match queued.spec {
            // Counted afterwards: only then is it known that it was not refused.
            Some(spec) => run(spec, args, queued.hash, out).inspect(|()| env.counters.command(spec.id)),
            None => Err(unresolved(args, env)),
        };
        if let Err(error) = &result {
            reply_error(error, queued, args, env, out);
        }
        result.is_ok()
    }
}

impl Held {
    /// Answers anew after a failed commit: each write with the failure, each read from the published state.
    pub fn answer_failed(self, failure: &WriteFailure, env: &Env<'_>, out: &mut Rope) {
        out.truncate(self.mark);
        let refusal = Refusal { failure, counters: env.counters };
        match self.retained {
            Retained::Writes(id, count) => (0..count).for_each(|_| refusal.reply(id, out)),
            Retained::Input(mut buffer) => {
                let mut queue = Queue::default();
                // All but the failures was counted when it was run.
                let env = &Env { counters: &Uncounted, ..*env };
                let taken = queue.fill(&mut buffer, 0, &mut RequestDecoder::new(RequestLimits::HIGHEST), env);
                debug_assert_eq!(taken.end, buffer.len(), "what was decoded once is decoded again");
                let (batch, mut ahead) = (queue.batch(&taken), queue.ahead(env.keyspace));
                batch.run_published(0..batch.len(), &buffer, &mut ahead, env, Some(&refusal), out);
            }
        }
    }
}

impl Refusal<'_> {
    fn reply(&self, id: CommandId, out: &mut Rope) {
        let text = self.failure.to_string();
        count_error(self.counters, Some(id), text.as_bytes());
        encode::error(&mut out.buffer, text);
    }
}

/// Counts nothing.
struct Uncounted;

impl Count for Uncounted {
    fn command(&self, _: CommandId) {}
    fn rejected(&self, _: CommandId) {}
    fn error(&self, _: Option<CommandId>, _: &str) {}
    fn lookups(&self, _: u64, _: u64) {}
}

/// Whether a name begins a line of an HTTP request. A web page can have its visitor's browser send one, to wherever the
/// browser can reach, with commands in it.
#[cold]
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

/// Why a call did not become a command.
#[cold]
fn unresolved(args: Args<'_>, env: &Env<'_>) -> CommandError {
    match resolve(args) {
        Err(CommandError::NotSupported { .. }) if !env.authenticated => CommandError::NoAuth,
        Err(error) => error,
        Ok(_) => CommandError::NoAuth,
    }
}

/// Answers a command with its error, and counts that.
#[cold]
fn reply_error(error: &CommandError, queued: &Queued, args: Args<'_>, env: &Env<'_>, out: &mut Rope) {
    let at = out.buffer.len();
    error.encode(&mut out.buffer);
    let tried = queued.spec.filter(|_| *error != CommandError::OutOfMemory).map(|spec| spec.id);
    match tried {
        Some(id) => env.counters.command(id),
        None => count_rejected(env, error, args),
    }
    count_error(env.counters, tried, &out.buffer[at + 1..]);
}

/// How much work a run of one command is: what is looked up, and what is copied.
fn weight(spans: u32, bytes: u32, run: &[Queued]) -> u32 {
    /// So many bytes are copied in the time of a lookup.
    const BYTES_A_LOOKUP: u32 = 256;
    /// Beside a command that drops everything, what else a batch does takes no time.
    const FLUSH: u32 = 1 << 20;
    let flushes = run[0].spec.is_some_and(|s| matches!(s.id, CommandId::FlushAll | CommandId::FlushDb));
    spans + bytes / BYTES_A_LOOKUP + if flushes { FLUSH } else { 0 }
}

fn is_write(queued: &Queued) -> bool {
    queued.spec.is_some_and(|spec| spec.flags.contains(Flag::Write))
}

/// Counts a call that was not even tried, for the command that it was meant for: Redis calls it rejected.
fn count_rejected(env: &Env<'_>, error: &CommandError, args: Args<'_>) {
    if matches!(error, CommandError::OutOfMemory | CommandError::WrongArity(_) | CommandError::NoAuth)
        && let Some(spec) = find(args)
    {
        env.counters.rejected(spec.id);
    }
}

fn count_error(counters: &dyn Count, id: Option<CommandId>, text: &[u8]) {
    let code = text.split(|&c| c == b' ' || c == b'\r').next().unwrap_or_default();
    counters.error(id, std::str::from_utf8(code).unwrap_or("ERR"));
}

/// Runs a command that changes nothing, on the published state.
#[inline]
fn run_read(command: DataCommand<'_>, hash: KeyHash, env: &Env<'_>, out: &mut Rope) {
    match command {
        DataCommand::Get(key) => {
            let found = env.keyspace.get(hash, key, |value| reply_value(value, out));
            reply_missing(found.is_none(), env, out);
        }
        DataCommand::Exists(args) => {
            let count = env.keyspace.count_existing(args.from(1));
            reply_count(count, args, env, out);
        }
        DataCommand::StrLen(key) => {
            let len = env.keyspace.get(hash, key, |value| value.as_slice().len());
            reply_len(len, env, out);
        }
        DataCommand::Type(key) => reply_type(env.keyspace.contains(hash, key), env, out),
        DataCommand::Ping(message) => reply_ping(message, out),
        DataCommand::Echo(message) => encode::bulk(&mut out.buffer, message),
        DataCommand::Set { .. } | DataCommand::Del(_) | DataCommand::FlushAll => {
            unreachable!("a write is not run on the published state")
        }
    }
}

#[inline]
fn reply_value(value: ValueRef<'_>, out: &mut Rope) {
    match value {
        ValueRef::Inline(bytes) => encode::bulk(&mut out.buffer, bytes),
        ValueRef::Shared(bytes) => encode::bulk_shared(out, bytes),
    }
}

#[inline]
fn reply_missing(missing: bool, env: &Env<'_>, out: &mut Rope) {
    if missing {
        encode::null(&mut out.buffer, env.resp);
    }
    env.counters.lookup(!missing);
}

fn reply_count(count: usize, args: Args<'_>, env: &Env<'_>, out: &mut Rope) {
    encode::integer(&mut out.buffer, count as i64);
    env.counters.lookups(count as u64, (args.len() - 1 - count) as u64);
}

fn reply_len(len: Option<usize>, env: &Env<'_>, out: &mut Rope) {
    encode::integer(&mut out.buffer, len.unwrap_or(0) as i64);
    env.counters.lookup(len.is_some());
}

fn reply_type(exists: bool, env: &Env<'_>, out: &mut Rope) {
    encode::simple(&mut out.buffer, if exists { "string" } else { "none" });
    env.counters.lookup(exists);
}

fn reply_ping(message: Option<&[u8]>, out: &mut Rope) {
    match message {
        Some(message) => encode::bulk(&mut out.buffer, message),
        None => out.buffer.extend_from_slice(b"+PONG\r\n"),
    }
}

#[cfg(test)]
mod tests;
