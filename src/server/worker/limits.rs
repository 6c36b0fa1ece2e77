//! How much unexecuted input clients may have.

use std::sync::atomic::Ordering;

use super::Worker;
use crate::protocol::limits::MAX_QUERY_BYTES_UNAUTHENTICATED;

/// So much unexecuted input each client may have, though all together have more than they may.
const SMALL_QUERY_BYTES: usize = 64 << 10;

/// Unexecuted input of all clients together may be so many times the limit of one.
const ALL_CLIENTS_FACTOR: usize = 4;

impl Worker {
    /// Notes how much unexecuted input a connection has, for the limit over all of them.
    pub(super) fn account(&self, accounted: &mut usize, now: usize) {
        if *accounted != now {
            let total = &self.server.query_bytes;
            if now > *accounted {
                total.fetch_add(now - *accounted, Ordering::Relaxed);
            } else {
                total.fetch_sub(*accounted - now, Ordering::Relaxed);
            }
            *accounted = now;
        }
    }

    /// Whether a connection with so much unexecuted input has to go, and for which reason.
    pub(super) fn over_limit(&self, query_bytes: usize, authenticated: bool) -> Option<String> {
        let limit = self.server.live.max_query_bytes.load(Ordering::Relaxed) as usize;
        if !authenticated && query_bytes > MAX_QUERY_BYTES_UNAUTHENTICATED {
            return Some(format!("before authentication, {MAX_QUERY_BYTES_UNAUTHENTICATED} is the limit"));
        }
        if query_bytes > limit {
            return Some(format!("--client-query-buffer-limit is {limit}"));
        }
        let total = self.server.query_bytes.load(Ordering::Relaxed);
        (total > limit.saturating_mul(ALL_CLIENTS_FACTOR) && query_bytes > SMALL_QUERY_BYTES)
            .then(|| format!("all clients together have {total}"))
    }
}
