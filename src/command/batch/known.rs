//! Commands that are met again. All that a command is known by, but for its arguments' bytes, is in its first bytes,
//! and clients send the same ones over and over: what they mean is looked up once.

use super::super::spec::CommandSpec;
use super::super::table::{CommandId, DataId};
use crate::protocol::decode::{OPENING_BYTES, Opening, Span};

/// For each number of arguments, modulo `SLOTS`, the command last met with it: GETs and SETs may take turns.
#[derive(Debug, Default)]
pub(super) struct KnownCommands([Known; SLOTS]);

const SLOTS: usize = 4;

/// A command on data that its opening tells, whatever its arguments are.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) opening: Opening,
    pub(super) meaning: Meaning,
}

/// What of a command does not depend on its arguments' bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meaning {
    /// `None`: it will be answered with an error.
    pub(super) spec: Option<&'static CommandSpec>,
    /// Whether its first argument is a key.
    pub(super) keyed: bool,
    /// Whether that is looked up.
    pub(super) looked_up: bool,
}

impl Meaning {
    #[inline(always)]
    pub(super) fn of(spec: Option<&'static CommandSpec>) -> Self {
        let keyed = spec.filter(|spec| spec.keys.is_some());
        let looked_up = keyed.is_some_and(|spec| spec.id != CommandId::Data(DataId::Set));
        Self { spec, keyed: keyed.is_some(), looked_up }
    }
}

impl KnownCommands {
    /// What begins at `buffer[at]`, if that is known.
    #[inline(always)]
    pub(super) fn at(&self, buffer: &[u8], at: usize) -> Option<&Known> {
        let bytes = buffer.get(at..)?.first_chunk()?;
        self.0.get(slot(bytes)).filter(|known| known.opening.begins(bytes))
    }

    /// Notes what the command at `buffer[at]` was found to mean, whose name is at `name`. It is one on data.
    pub(super) fn learn(&mut self, buffer: &[u8], at: usize, name: Span, meaning: Meaning) {
        if meaning.spec.is_some()
            && let Some((bytes, opening)) = Opening::of(buffer, at, name)
        {
            self.0[slot(bytes)] = Known { opening, meaning };
        }
    }
}

#[inline(always)]
fn slot(bytes: &[u8; OPENING_BYTES]) -> usize {
    usize::from(bytes[1]) % SLOTS
}
