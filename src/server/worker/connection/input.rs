//! What a client has sent that is not executed yet, and waits in a buffer of its connection.

/// Least room made for input that did not fit into the worker's shared buffer.
const INPUT_BYTES: usize = 64 << 10;

/// Room made on the strength of an announced length alone, enough for a command with a value of 1 MiB. Beyond it, room
/// grows with what has arrived.
const TRUSTED_BYTES: usize = (1 << 20) + INPUT_BYTES;

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) buffer: Vec<u8>,
    /// What comes before is executed.
    pub(super) start: usize,
}

impl Input {
    pub(super) fn waiting_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Keeps what is left of input that was read elsewhere; nothing is here yet.
    pub(super) fn keep(&mut self, left: &[u8], bytes_wanted: usize) {
        self.buffer.reserve_exact(bytes_wanted.min(TRUSTED_BYTES).max(left.len()));
        self.buffer.extend_from_slice(left);
    }

    /// Makes room for the rest of a large argument, or for more of anything.
    pub(super) fn make_room(&mut self, bytes_wanted: usize) {
        self.drop_consumed();
        let there = self.waiting_bytes();
        let lacking = bytes_wanted.saturating_sub(there);
        // For the end of a large argument, exactly the missing room is enough; more would mean copying all of it to a
        // larger buffer.
        let enough = if lacking > 0 && there > INPUT_BYTES { lacking.min(INPUT_BYTES) } else { INPUT_BYTES };
        if self.buffer.capacity() - self.buffer.len() < enough {
            self.buffer.reserve_exact(if lacking > INPUT_BYTES {
                // All at once for what has been sent by half; an announcement alone is not worth that much memory.
                lacking.min(there.max(TRUSTED_BYTES))
            } else {
                // How long it all is nobody knows. Each time what is there is copied.
                INPUT_BYTES.max(there / 4)
            });
        }
    }

    /// Drops executed input where that is cheap. If all is executed, the buffer goes too: thousands of connections may
    /// rest after something large, and for one that goes on the allocator has the same memory at hand.
    pub(super) fn drop_consumed(&mut self) {
        if self.start == self.buffer.len() {
            *self = Self::default();
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}
