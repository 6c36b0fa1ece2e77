//! What has to be true: the states in the one order of published groups, and which of them a crash may leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use kvred::db::writer::{Ticket, WriteFailure};

use super::tally::Tally;
use crate::random::Random;

pub type Value = Arc<[u8]>;
pub type State = BTreeMap<usize, Value>;

/// Commands evaluated into one group, and who waits for it.
#[derive(Default)]
pub struct Group {
    pub ops: usize,
    pub tickets: Vec<(usize, Ticket)>,
    /// The state behind it, once it is sealed.
    pub after: State,
}

/// What call of the writer is under way while the disk stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    None,
    Commit,
    Sync,
    /// The commit token is held, but no group is under way.
    WithToken,
    RewriteStep,
    Close,
}

pub struct Model {
    pub rng: Random,
    pub tally: Tally,
    /// The state after each published group; the first is what recovery found.
    pub order: Vec<State>,
    /// Whether each was written under `none`, where a hole in what a crash leaves is damage.
    pub without_sync: Vec<bool>,
    /// The first state that a power cut may leave.
    pub floor: usize,
    /// The state after the group whose outcome is not known.
    pub unknown: Option<State>,
    pub unknown_without_sync: bool,
    /// What a write batch sees.
    pub view: State,
    pub sealed: Option<Group>,
    pub open: Group,
    pub poisoned: bool,
    /// A sync has failed, so that the kernel may drop what it has.
    pub sync_failed: bool,
    pub call: Call,
    pub next_value: u64,
    /// While it recovers: the first state that the crashes so far may have left.
    pub left_from: usize,
}

impl Model {
    /// Whether a hole may stand in what was written without syncs.
    pub fn damage_may_show(&self) -> bool {
        // All before the first of a stretch is durable.
        self.without_sync.get(self.left_from + 1) == Some(&true) || self.unknown.is_some() && self.unknown_without_sync
    }

    pub fn published(&self) -> &State {
        self.order.last().expect("there is always one")
    }

    /// The log was poisoned: what was open is refused.
    pub fn refuse_open_group(&mut self) {
        for (_, ticket) in std::mem::take(&mut self.open).tickets {
            assert!(
                matches!(ticket.outcome(), Some(Err(WriteFailure::Refused(_)))),
                "evaluated before the log was poisoned, and {:?}",
                ticket.outcome()
            );
        }
        self.view = self.published().clone();
    }
}
