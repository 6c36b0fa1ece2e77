//! Commands that wait to be run, decoded in place from what connections have sent.

use std::ops::Range;

use super::known::{KnownCommands, Meaning};
use super::{Batch, Env, TURN_BYTES};
use crate::command::spec::{CommandSpec, Flag};
use crate::command::table::{CommandId, ControlId, resolve};
use crate::db::ahead::Ahead;
use crate::db::state::{KeyHash, Keyspace};
use crate::protocol::decode::{Args, ProtocolError, RequestDecoder, Span};

/// Room for so many arguments is kept. A turn has more only with a huge command in it: each takes 6 bytes at least.
const KEEP_SPANS: usize = TURN_BYTES / 4;

/// A command that waits to be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    pub(super) first_span: u32,
    pub(super) end_span: u32,
    /// One past the command's last byte in the input.
    pub(super) end_byte: u32,
    /// `None`: it will be answered with an error, which is made when it is run.
    pub(super) spec: Option<&'static CommandSpec>,
    /// The hash of the first key; without one it means nothing.
    pub(super) hash: KeyHash,
    /// Whether it is looked up. For a plain SET it is not; whoever publishes that looks, and loads ahead, for itself.
    pub(super) looked_up: bool,
}

impl Queued {
    pub(super) fn is_of_same_command(&self, other: &Self) -> bool {
        // Each command has one row in the table.
        self.spec.map(std::ptr::from_ref) == other.spec.map(std::ptr::from_ref)
    }
}

/// Commands that wait to be run, of one connection after another; all were decoded from one buffer.
#[derive(Debug, Default)]
pub struct Queue {
    spans: Vec<Span>,
    pub(super) queued: Vec<Queued>,
    known: KnownCommands,
}

/// What was taken from one connection's input into a queue.
#[derive(Debug)]
pub struct Taken {
    /// Where in the queue its commands are.
    pub(super) commands: Range<usize>,
    /// Where the first begins in the input.
    pub start: usize,
    /// One past the last byte of the input that was looked at to the end.
    pub end: usize,
    /// Why no further one was taken.
    pub stop: Stop,
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
    pub id: ControlId,
    /// Its row.
    pub spec: &'static CommandSpec,
    /// One past its last byte in the input.
    pub end_byte: usize,
    spans: Range<usize>,
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
            let stop = match spec.map(|spec| (spec, spec.id)) {
                Some((spec, CommandId::Control(id))) if taken == 0 => {
                    break Stop::Control(Control { id, spec, end_byte: end, spans: first_span..self.spans.len() });
                }
                Some((_, CommandId::Control(_))) => Some(Stop::Full),
                None if is_http(args.at(0)) => Some(Stop::Http),
                // It runs alone, so that nothing else of its batch makes a copy of it, or lets it wait for another
                // turn.
                _ => (taken > 0 && end - at > TURN_BYTES).then_some(Stop::Full),
            };
            if let Some(stop) = stop {
                self.spans.truncate(first_span);
                decoder.restore(buffer, at);
                break stop;
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

    pub(super) fn args<'a>(&'a self, queued: &Queued, buffer: &'a [u8]) -> Args<'a> {
        Args::new(buffer, &self.spans[queued.first_span as usize..queued.end_span as usize])
    }
}

/// Whether a name begins a line of an HTTP request. A web page can have its visitor's browser send one, to wherever the
/// browser can reach, with commands in it.
#[cold]
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}
