//! The limits that input is held to where no setting says otherwise, each with its reason.

/// Longest line: an inline command, or the header of an array or a bulk string (Redis's `PROTO_INLINE_MAX_SIZE`).
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Longest array of a request (Redis 7 allows `INT_MAX`).
pub const MAX_ARRAY_LEN: i64 = i32::MAX as i64;

/// The most that `proto-max-bulk-len` can be set to: one batch of the log holds a command, and at most 1 GiB.
pub const HIGHEST_MAX_BULK_BYTES: usize = 1 << 30;

/// Most arguments of a command before authentication, as in Redis: a stranger cannot make the server keep much.
pub const MAX_ARRAY_LEN_UNAUTHENTICATED: i64 = 10;

/// Longest bulk string before authentication, as in Redis.
pub const MAX_BULK_BYTES_UNAUTHENTICATED: usize = 16 * 1024;

/// Unexecuted input of a client that has not authenticated: a stranger that reads no replies cannot pile up more.
pub const MAX_QUERY_BYTES_UNAUTHENTICATED: usize = 1 << 20;

/// Deepest nesting of a reply that a client accepts; Redis's own replies stay below 10.
pub const MAX_REPLY_DEPTH: usize = 64;

/// Longest bulk string of a reply that a client accepts; a server's own limit may be higher than our default.
pub const MAX_REPLY_BULK_BYTES: i64 = 1 << 32;

/// What requests of one connection are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most arguments of a command.
    pub array_len: i64,
    /// Longest argument, in bytes.
    pub bulk_bytes: usize,
    /// Before authentication: the limit that holds after it; else `None`. An argument beyond it gets the ordinary
    /// error, one between the two "unauthenticated bulk length".
    pub bulk_bytes_later: Option<usize>,
}

impl RequestLimits {
    /// For what has been accepted before, by whatever limits.
    pub const HIGHEST: Self = Self::new(HIGHEST_MAX_BULK_BYTES);

    /// The limits of a connection that may run commands.
    pub const fn new(max_bulk_bytes: usize) -> Self {
        Self { array_len: MAX_ARRAY_LEN, bulk_bytes: max_bulk_bytes, bulk_bytes_later: None }
    }

    /// The limits of a connection that has not given the password yet.
    pub const fn before_authentication(max_bulk_bytes: usize) -> Self {
        Self {
            array_len: MAX_ARRAY_LEN_UNAUTHENTICATED,
            bulk_bytes: MAX_BULK_BYTES_UNAUTHENTICATED,
            bulk_bytes_later: Some(max_bulk_bytes),
        }
    }
}
