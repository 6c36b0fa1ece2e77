//! Batches: the complete commands of one turn of a connection, decoded in place and run together. Those of several
//! connections wait in one [`Queue`], so that what their keys need is loaded ahead across all of them.
//!
//! A batch of reads is answered from the published state. From its first write on, a batch runs in the writer's view
//! (published and pending) and its replies are held until the newest group that it could have seen is committed:
//! so a pipeline reads its own writes, costs one sync, and nobody is told of a write that then fails.

mod known;
mod large;
mod queue;
mod read;
mod view;

use std::ops::Range;

use self::large::LargeValues;
use self::queue::Queued;
pub use self::queue::{Control, Queue, Stop, Taken};
use self::read::run_read;
use self::view::WriterView;
use super::errors::CommandError;
use super::parse::parse;
use super::spec::{CommandSpec, Flag};
use super::table::{CommandId, DataId, find, resolve};
use crate::db::ahead::Ahead;
use crate::db::state::{KeyHash, Keyspace};
use crate::db::writer::{NotNow, Ticket, WriteFailure, Writer};
use crate::protocol::decode::{Args, RequestDecoder};
use crate::protocol::encode::{self, Resp};
use crate::protocol::limits::RequestLimits;
use crate::protocol::rope::{Mark, Rope};

/// Most commands of one turn: the neighbours of a deep pipeline wait no longer than these take.
pub const TURN_COMMANDS: usize = 128;

/// Past so many bytes of input, or of replies, a turn takes no further command.
pub const TURN_BYTES: usize = 256 << 10;

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
    /// One key was looked up by a read.
    fn lookup(&self, found: bool) {
        self.lookups(u64::from(found), u64::from(!found));
    }
}

/// The commands of one connection that are run together.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'q> {
    queue: &'q Queue,
    taken: &'q Taken,
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

    /// The first `commands`, in runs of the same command, each with its weight: its share of the time, by its arguments
    /// and bytes.
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

    /// The first `commands` one by one, each with its weight and its arguments.
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
        let mut batch = match env.writer.begin(env.worker, self.copied_bytes(first_write, &large)) {
            Ok(batch) => batch,
            Err(NotNow::NoRoom) => return ran(first_write, Replies::NoRoom),
            Err(NotNow::Failed(failure)) => {
                let refusal = Refusal { failure: &failure, counters: env.counters };
                let done = self.run_published(first_write..queued.len(), buffer, ahead, env, Some(&refusal), out);
                return ran(done, Replies::Ready);
            }
        };
        let mark = out.mark();
        let mut view = WriterView { batch: &mut batch, env, out_of_memory };
        let (mut done, mut all_right) = (first_write, true);
        while done < queued.len() && out.len() < TURN_BYTES && view.batch.takes_another() {
            self.load_before(done, ahead);
            let large = large.of(done);
            all_right &= self.run_one(&queued[done], buffer, env, out, |spec, id, args, hash, out| {
                view.run(spec, id, args, hash, large, out)
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
            self.run_one(&queued[n], buffer, env, out, |spec, id, args, hash, out| {
                let command = parse(id, args)?;
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
        run: impl FnOnce(&CommandSpec, DataId, Args<'b>, KeyHash, &mut Rope) -> Result<(), CommandError>,
    ) -> bool {
        let args = self.queue.args(queued, buffer);
        let result = match queued.spec {
            // Counted afterwards: only then is it known that it was not refused.
            Some(spec @ CommandSpec { id: CommandId::Data(id), .. }) => {
                run(spec, *id, args, queued.hash, out).inspect(|()| env.counters.command(spec.id))
            }
            // Of the commands that run alone, none is ever queued.
            Some(CommandSpec { id: CommandId::Control(_), .. }) | None => Err(unresolved(args, env)),
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

/// Why a call did not become a command.
#[cold]
fn unresolved(args: Args<'_>, env: &Env<'_>) -> CommandError {
    match resolve(args) {
        Err(CommandError::NotSupported { .. } | CommandError::NoCluster) if !env.authenticated => CommandError::NoAuth,
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
    let flushes = run[0].spec.is_some_and(|s| matches!(s.id, CommandId::Data(DataId::FlushAll | DataId::FlushDb)));
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

/// Counts an error that is replied; its code is the first word of the text.
pub fn count_error(counters: &dyn Count, id: Option<CommandId>, text: &[u8]) {
    let code = text.split(|&c| c == b' ' || c == b'\r').next().unwrap_or_default();
    counters.error(id, std::str::from_utf8(code).unwrap_or("ERR"));
}

#[cfg(test)]
mod tests;
