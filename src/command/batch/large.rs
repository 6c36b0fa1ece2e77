//! The large values of a batch, copied before the short lock is taken: every worker waits for who holds it, and a value
//! may have as much as 960 MiB.

use bytes::Bytes;

use super::view::is_set_loggable;
use super::{Batch, Env};
use crate::command::parse::{DataCommand, parse};
use crate::command::table::CommandId;
use crate::db::state::NewValue;
use crate::db::writer::own_if_large;
use crate::protocol::rope::SHARE_AT_LEAST_BYTES;

/// Values that were copied, each with the number of its command. Few: a turn is not much longer than one of them.
///
/// To be dropped when the lock is not held: of one that is not set, this is the only one that has it.
#[derive(Debug, Default)]
pub(super) struct LargeValues(Vec<(usize, Bytes)>);

impl LargeValues {
    /// The value of the `n`-th command, if it is large.
    #[inline]
    pub(super) fn of(&self, n: usize) -> Option<Bytes> {
        self.0.iter().find(|(number, _)| *number == n).map(|(_, value)| value.clone())
    }
}

impl Batch<'_> {
    /// Copies what the commands from the `first` on set that is large. `None`: the log has no room for that one yet,
    /// and they would have to be copied again.
    #[inline]
    pub(super) fn large_values(&self, first: usize, buffer: &[u8], env: &Env<'_>) -> Option<LargeValues> {
        if self.end_of(self.len()) - self.end_of(first) < SHARE_AT_LEAST_BYTES {
            return Some(LargeValues::default());
        }
        env.writer.has_room(env.worker).then(|| self.copy_large_values(first, buffer))
    }

    /// The length, as sent, of the command `first` if any value was copied, else 0. The whole command counts: its key
    /// may be as large as its value.
    #[inline]
    pub(super) fn copied_bytes(&self, first: usize, copied: &LargeValues) -> usize {
        if copied.0.is_empty() { 0 } else { self.end_of(first + 1) - self.end_of(first) }
    }

    fn copy_large_values(&self, first: usize, buffer: &[u8]) -> LargeValues {
        let values = self.queued().iter().enumerate().skip(first).filter_map(|(n, queued)| {
            let CommandId::Data(id) = queued.spec?.id else { return None };
            let Ok(DataCommand::Set { key, value, .. }) = parse(id, self.queue.args(queued, buffer)) else {
                return None;
            };
            if !is_set_loggable(key, value) {
                return None;
            }
            match own_if_large(NewValue::Copy(value)) {
                NewValue::Shared(value) => Some((n, value)),
                NewValue::Copy(_) => None,
            }
        });
        LargeValues(values.collect())
    }
}
