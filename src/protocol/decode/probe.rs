//! What may begin at a place. For who looks at bytes that may be anything, at as many places as they like: unlike the
//! decoder, nothing here looks far.

use super::{Kind, Span, behind_crlf, header};
use crate::protocol::limits::RequestLimits;

/// Longer than any header line that holds a number of 64 bits.
const MAX_HEADER_BYTES: usize = 32;

/// The array of a request that may begin at `buffer[at]`: its length, at least 1, and the position behind its header.
pub fn array_at(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let near = &buffer[..buffer.len().min(at + MAX_HEADER_BYTES)];
    if near.get(at) != Some(&b'*') {
        return None;
    }
    let (len, behind) = header(near, at, Kind::Array).ok()??;
    (1..=RequestLimits::HIGHEST.array_len).contains(&len).then_some((len as usize, behind))
}

/// The bulk string that may begin at `buffer[at]`, of which no more than the header need be there: its length, and
/// where its bytes begin.
pub fn bulk_header_at(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let near = &buffer[..buffer.len().min(at + MAX_HEADER_BYTES)];
    let (len, start) = header(near, at, Kind::Bulk).ok()??;
    let len = usize::try_from(len).ok().filter(|len| *len <= RequestLimits::HIGHEST.bulk_bytes)?;
    Some((len, start))
}

/// The whole bulk string that may begin at `buffer[at]`: where its bytes lie, and the position behind it.
pub fn bulk_at(buffer: &[u8], at: usize) -> Option<(Span, usize)> {
    let (len, start) = bulk_header_at(buffer, at)?;
    let behind = behind_crlf(buffer, start + len)?;
    Some((Span::new(start, start + len), behind))
}
