//! How long commands take: the `usec` of `INFO commandstats`, and what goes into the slow log.
//!
//! A clock is read twice for a batch, never for each of its commands. The time is then shared out by how much work each
//! command was beside the others: right for the sum, and close for each. What runs alone is measured alone. As in
//! Redis, the time is that of carrying a command out, without reading, writing and the wait for a commit.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Worker;
use crate::command::batch::Batch;
use crate::command::spec::CommandSpec;
use crate::protocol::decode::Args;
use crate::server::clients::Client;

impl Worker {
    /// Notes the time of the first commands of a batch, so many, that has just been run.
    pub fn time_batch(&self, began: Instant, batch: &Batch<'_>, commands: usize, input: &[u8], client: &Client) {
        let nanos = began.elapsed().as_nanos() as u64;
        let mut runs = batch.runs(commands);
        if let (Some((Some(spec), _)), None) = (runs.next(), runs.next())
            && !self.is_slow(nanos)
        {
            // Nearly all batches are of one command.
            return self.stats.took(spec.id, nanos);
        }
        let total: u64 = batch.runs(commands).map(|(_, weight)| u64::from(weight)).sum();
        let share = |weight: u32| u128::from(nanos) * u128::from(weight) / u128::from(total.max(1));
        for (spec, weight) in batch.runs(commands) {
            if let Some(spec) = spec {
                self.stats.took(spec.id, share(weight) as u64);
            }
        }
        if self.is_slow(nanos) {
            for (spec, weight, args) in batch.singly(commands, input) {
                self.note_if_slow(share(weight) as u64, spec, args, client);
            }
        }
    }

    /// Notes the time of a command that has just been run alone.
    pub fn time_control(&self, began: Instant, spec: &'static CommandSpec, args: Args<'_>, client: &Client) {
        let nanos = began.elapsed().as_nanos() as u64;
        self.stats.took(spec.id, nanos);
        self.note_if_slow(nanos, Some(spec), args, client);
    }

    fn is_slow(&self, nanos: u64) -> bool {
        let limit_us = self.server.live.slowlog_slower_than_us.load(Ordering::Relaxed).cast_signed();
        limit_us >= 0 && nanos / 1000 >= limit_us.cast_unsigned()
    }

    fn note_if_slow(&self, nanos: u64, spec: Option<&'static CommandSpec>, args: Args<'_>, client: &Client) {
        if let Some(spec) = spec.filter(|_| self.is_slow(nanos)) {
            let server = &self.server;
            let now = server.writer.clock().unix_time().as_secs();
            let max_len = server.live.slowlog_max_len.load(Ordering::Relaxed) as usize;
            server.slow_log.add(spec.id, args, nanos / 1000, now, client, max_len);
        }
    }
}
