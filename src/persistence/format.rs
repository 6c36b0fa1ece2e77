//! The bytes that kvred adds to a Redis append-only file: annotation lines, and the chain of checksums they carry.
//!
//! ```text
//! #KVRED:1:<salt, 16 hex>:<crc, 8 hex>\r\n      begins a chain
//! *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n     records: whole RESP commands
//! #TS:<unix seconds>\r\n                        annotations, anywhere between records
//! #SYNCED:<offset, 16 hex>\r\n
//! #C:<len, 8 hex>:<crc, 8 hex>\r\n              commits the `len` bytes directly before it
//! ```
//!
//! Redis skips lines that begin with `#` between commands. Every line has exactly one spelling: what does not read
//! back to the same bytes is not that annotation. The crc of a commit covers the chain's salt, the batch's offset
//! and the crc before it, so a batch verifies only in its own place of its own log, and no stored value can imitate
//! one (the salt is never shown to a client).

use std::fmt;
use std::ops::Range;

use super::LogOffset;
use super::crc::{with_zeros, without_zeros};
use crate::protocol::number::{HEX_DIGITS, parse_i64};

/// The longest an annotation line of a chain may be, its CRLF included.
pub const MAX_ANNOTATION_BYTES: usize = 128;

/// The longest a line between the commands of a plain log may be, its newline included: so much Redis reads of one.
pub const MAX_COMMENT_BYTES: usize = 1023;

/// The most that one batch may hold, without its commit line.
pub const MAX_BATCH_BYTES: usize = 1 << 30;

/// The most known annotation lines that one batch may hold, so that they take less memory than its bytes may. kvred
/// writes three; of a plain log a batch is what a block of the reader holds, which has no room for so many.
pub const MAX_ANNOTATIONS: usize = 1 << 20;

/// The length of a commit line, `#C:` to CRLF.
pub const COMMIT_LINE_BYTES: usize = 3 + 8 + 1 + 8 + 2;

/// The length of a header line.
pub const HEADER_LINE_BYTES: usize = 9 + 16 + 1 + 8 + 2;

/// What a commit line begins with.
pub const COMMIT_NAME: &[u8] = b"#C:";

/// What a header line of any version begins with.
pub const HEADER_NAME: &[u8] = b"#KVRED:";

/// What a header line of this version begins with.
const HEADER_START: &[u8] = b"#KVRED:1:";

const SALT_DIGITS: usize = 16;

/// Those of an offset, and of the crc before.
const PLACE_DIGITS: usize = 16 + 8;

/// An annotation line, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotation {
    /// `#KVRED:1:…`: a chain begins.
    Header(Salt),
    /// `#C:…`: commits the `len` bytes before it.
    Commit {
        /// The batch's length in bytes.
        len: u32,
        /// What [`Chain::crc_of`] gave for it.
        crc: u32,
    },
    /// `#SYNCED:…`: every byte before the offset was durable when this was written.
    Synced(LogOffset),
    /// `#NOSYNC`: nothing is synced from here on, until the next `#SYNCED`.
    NoSync,
    /// `#REWRITTEN:…`: ends the image that the n-th rewrite wrote.
    Rewritten(u64),
    /// `#TS:…`: unix seconds at which the batch was written; Redis's own annotation.
    Timestamp(i64),
    /// One that this version does not know; it is skipped.
    Unknown,
}

impl Annotation {
    /// Reads one line, newline included; what has no CRLF is somebody's comment.
    pub fn of_line(line: &[u8]) -> Self {
        line.strip_suffix(b"\r\n").map_or(Self::Unknown, Self::parse)
    }

    /// Reads one line, without its CRLF.
    pub fn parse(line: &[u8]) -> Self {
        Self::parse_known(line).unwrap_or(Self::Unknown)
    }

    fn parse_known(line: &[u8]) -> Option<Self> {
        if let Some(rest) = line.strip_prefix(COMMIT_NAME) {
            let (len, crc) = (rest.get(..8)?, rest.get(9..)?);
            if rest.get(8) != Some(&b':') || crc.len() != 8 {
                return None;
            }
            return Some(Self::Commit { len: parse_hex(len)? as u32, crc: parse_hex(crc)? as u32 });
        }
        if let Some(rest) = line.strip_prefix(b"#SYNCED:") {
            return (rest.len() == 16).then(|| parse_hex(rest))?.map(|at| Self::Synced(LogOffset(at)));
        }
        if line == b"#NOSYNC" {
            return Some(Self::NoSync);
        }
        if let Some(rest) = line.strip_prefix(b"#REWRITTEN:") {
            return u64::try_from(parse_i64(rest)?).ok().map(Self::Rewritten);
        }
        if let Some(rest) = line.strip_prefix(b"#TS:") {
            return parse_i64(rest).map(Self::Timestamp);
        }
        if let Some(rest) = line.strip_prefix(HEADER_START) {
            let (salt, crc) = (rest.get(..16)?, rest.get(17..)?);
            if rest.get(16) != Some(&b':') || crc.len() != 8 {
                return None;
            }
            let salt = Salt(parse_hex(salt)?);
            return (parse_hex(crc)? as u32 == header_crc(salt.crc())).then_some(Self::Header(salt));
        }
        None
    }

    /// Writes the line with its CRLF.
    ///
    /// # Panics
    /// On [`Annotation::Unknown`], which has no spelling.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Header(salt) => {
                out.extend_from_slice(HEADER_START);
                write_hex(out, salt.0, SALT_DIGITS);
                out.push(b':');
                write_hex(out, u64::from(header_crc(salt.crc())), 8);
            }
            Self::Commit { len, crc } => {
                out.extend_from_slice(COMMIT_NAME);
                write_hex(out, u64::from(len), 8);
                out.push(b':');
                write_hex(out, u64::from(crc), 8);
            }
            Self::Synced(at) => {
                out.extend_from_slice(b"#SYNCED:");
                write_hex(out, at.0, 16);
            }
            Self::NoSync => out.extend_from_slice(b"#NOSYNC"),
            Self::Rewritten(n) => write_decimal(out, b"#REWRITTEN:", n),
            Self::Timestamp(seconds) => write_decimal(out, b"#TS:", seconds),
            Self::Unknown => unreachable!("only known annotations are written"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The salt in a header line, CRLF included.
pub fn salt_of_header(line: &[u8]) -> Option<Salt> {
    match Annotation::of_line(line) {
        Annotation::Header(salt) => Some(salt),
        _ => None,
    }
}

/// The header line that `line` must have been, CRLF included, if one bit of it is wrong: its own checksum tells which.
pub fn mended_header(line: &[u8]) -> Option<[u8; HEADER_LINE_BYTES]> {
    let mut line: [u8; HEADER_LINE_BYTES] = line.try_into().ok()?;
    if salt_of_header(&line).is_some() {
        return None;
    }
    let wrong = HEADER_START.iter().zip(&line).position(|(right, byte)| right != byte);
    let suspects = wrong.map_or(0..line.len(), |at| at..at + 1);
    suspects.flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))).find_map(|(at, bit)| {
        line[at] ^= bit;
        let mended = salt_of_header(&line).map(|_| line);
        line[at] ^= bit;
        mended
    })
}

/// Whether a line, CRLF included, may be what is left of a header: at least three quarters of its bytes are as in some
/// header, and half of those behind its `#` that are no digits, which those of a checksum in a comment are not.
pub fn resembles_header(line: &[u8]) -> bool {
    let fitting = |range: Range<usize>| range.filter(|&at| is_in_headers(at, line[at])).count();
    let name = 1..9;
    line.len() == HEADER_LINE_BYTES
        && fitting(0..line.len()) >= line.len() / 4 * 3
        && fitting(name.clone()) >= name.len() / 2
}

/// Whether some header has that byte there.
pub fn is_in_headers(at: usize, byte: u8) -> bool {
    // A 0 stands for any digit.
    const FORM: &[u8; HEADER_LINE_BYTES] = b"#KVRED:1:0000000000000000:00000000\r\n";
    match FORM.get(at) {
        Some(b'0') => HEX_DIGITS.contains(&byte),
        form => form == Some(&byte),
    }
}

fn write_decimal(out: &mut Vec<u8>, prefix: &[u8], number: impl itoa::Integer) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// What makes a chain's checksums its own: random, in the header, never shown to a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub u64);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// The CRC-32C of its characters. No checksum hangs on more of it than this.
    fn crc(self) -> u32 {
        let mut digits = [0; SALT_DIGITS];
        put_hex(&mut digits, self.0);
        crc32c::crc32c(&digits)
    }
}

/// The checksum of the header whose salt has the checksum `salt_crc`.
fn header_crc(salt_crc: u32) -> u32 {
    with_zeros(crc32c::crc32c(HEADER_START), SALT_DIGITS as u64) ^ salt_crc
}

/// A chain up to some commit: what the next batch's checksum is computed from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// As secret as the salt.
    salt_crc: u32,
    /// The crc of the batch before; the header's own for the first.
    crc: u32,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain(…)")
    }
}

impl Chain {
    /// The chain that a header begins.
    pub fn new(salt: Salt) -> Self {
        Self::begun(salt.crc())
    }

    fn begun(salt_crc: u32) -> Self {
        Self { salt_crc, crc: header_crc(salt_crc) }
    }

    /// The chain, as it begins, in which a batch of `len` bytes at `offset`, whose own CRC-32C is `bytes_crc`, has the
    /// checksum `crc` behind a batch that has `before`: some chain always is it.
    pub fn told_by(offset: LogOffset, bytes_crc: u32, len: u64, crc: u32, before: u32) -> Self {
        let place_crc = crc32c::crc32c(&place(offset, before));
        Self::begun(without_zeros(without_zeros(crc ^ bytes_crc, len) ^ place_crc, PLACE_DIGITS as u64))
    }

    /// Whether it has no batch yet.
    pub fn is_new(self) -> bool {
        self.crc == header_crc(self.salt_crc)
    }

    /// This chain behind a batch whose commit line says `crc`.
    #[must_use]
    pub fn after(self, crc: u32) -> Self {
        Self { crc, ..self }
    }

    /// The checksum of the batch at `offset` that consists of `pieces`: CRC-32C of the salt, the offset, the crc
    /// before (each as its hex characters) and the batch's bytes.
    pub fn crc_of<'a>(self, offset: LogOffset, pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        pieces.into_iter().fold(self.prefix_crc(offset), crc32c::crc32c_append)
    }

    /// What [`Chain::crc_of`] gives for a batch of `len` bytes whose own CRC-32C is known already.
    pub fn crc_of_summed(self, offset: LogOffset, bytes_crc: u32, len: u64) -> u32 {
        with_zeros(self.prefix_crc(offset), len) ^ bytes_crc
    }

    /// The offsets from `from` to `to` at which a batch of `len` bytes, whose own CRC-32C is `bytes_crc`, has the
    /// checksum `crc`.
    ///
    /// The checksum is undone from its end to the last four digits of the offset. Four bytes lead from one crc to
    /// another in just one way, so every 64 KiB take one look.
    pub fn offsets_of(
        self,
        crc: u32,
        bytes_crc: u32,
        len: u64,
        (from, to): (LogOffset, LogOffset),
    ) -> impl Iterator<Item = LogOffset> {
        let mut before = [0; 8];
        put_hex(&mut before, u64::from(self.crc));
        let rest_crc = with_zeros(crc32c::crc32c(&before), len) ^ bytes_crc;
        let behind_digits = without_zeros(crc ^ rest_crc, len + 8);
        let digits = without_zeros(!behind_digits, 4);
        let offsets = (from.0 >> 16..=to.0 >> 16).filter_map(move |block| {
            let mut offset = [0; 16];
            put_hex(&mut offset, block << 16);
            let digits = digits ^ !crc32c::crc32c_append(self.salt_crc, &offset[..12]);
            parse_hex(&digits.to_le_bytes()).map(|low| LogOffset(block << 16 | low))
        });
        offsets.filter(move |offset| (from..=to).contains(offset))
    }

    fn prefix_crc(self, offset: LogOffset) -> u32 {
        crc32c::crc32c_append(self.salt_crc, &place(offset, self.crc))
    }
}

/// What stands between the salt and a batch's bytes in what its checksum is of: its offset, and the crc before it.
fn place(offset: LogOffset, before: u32) -> [u8; PLACE_DIGITS] {
    let mut digits = [0; PLACE_DIGITS];
    put_hex(&mut digits[..16], offset.0);
    put_hex(&mut digits[16..], u64::from(before));
    digits
}

/// Fills `out` with the lower-case hex digits of `number`, leading zeros included.
fn put_hex(out: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in out.iter_mut().rev() {
        *digit = HEX_DIGITS[(rest & 15) as usize];
        rest >>= 4;
    }
}

fn write_hex(out: &mut Vec<u8>, number: u64, digits: usize) {
    let at = out.len();
    out.resize(at + digits, 0);
    put_hex(&mut out[at..], number);
}

/// Reads up to 16 lower-case hex digits.
fn parse_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, &c| {
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(annotation: Annotation) -> String {
        let mut out = Vec::new();
        annotation.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_bytes_are_as_documented() {
        assert_eq!(line(Annotation::Commit { len: 0x1f, crc: 0xdead_beef }), "#C:0000001f:deadbeef\r\n");
        assert_eq!(line(Annotation::Synced(LogOffset(255))), "#SYNCED:00000000000000ff\r\n");
        assert_eq!(line(Annotation::NoSync), "#NOSYNC\r\n");
        assert_eq!(line(Annotation::Rewritten(12)), "#REWRITTEN:12\r\n");
        assert_eq!(line(Annotation::Timestamp(1_700_000_000)), "#TS:1700000000\r\n");
        let header = line(Annotation::Header(Salt(0x0123_4567_89ab_cdef)));
        let crc = crc32c::crc32c(b"#KVRED:1:0123456789abcdef");
        assert_eq!(header, format!("#KVRED:1:0123456789abcdef:{crc:08x}\r\n"));
        assert_eq!(header.len(), HEADER_LINE_BYTES);
        assert_eq!(line(Annotation::Commit { len: 0, crc: 0 }).len(), COMMIT_LINE_BYTES);
    }

    #[test]
    fn a_batch_crc_covers_salt_offset_and_the_crc_before() {
        let chain = Chain::new(Salt(7)).after(0xabcd);
        let text = format!("{:016x}{:016x}{:08x}hello", 7, 4096, 0xabcd);
        assert_eq!(chain.crc_of(LogOffset(4096), [&b"hel"[..], b"lo"]), crc32c::crc32c(text.as_bytes()));
    }

    fn any_annotation() -> impl Strategy<Value = Annotation> {
        prop_oneof![
            any::<u64>().prop_map(|s| Annotation::Header(Salt(s))),
            any::<(u32, u32)>().prop_map(|(len, crc)| Annotation::Commit { len, crc }),
            any::<u64>().prop_map(|at| Annotation::Synced(LogOffset(at))),
            Just(Annotation::NoSync),
            (0..=i64::MAX as u64).prop_map(Annotation::Rewritten),
            any::<i64>().prop_map(Annotation::Timestamp),
        ]
    }

    proptest! {
        #[test]
        fn each_annotation_has_one_spelling(annotation in any_annotation(), at in any::<prop::sample::Index>(), byte: u8) {
            let text = line(annotation);
            prop_assert!(text.len() <= MAX_ANNOTATION_BYTES);
            let mut bytes = text.into_bytes();
            bytes.truncate(bytes.len() - 2);
            prop_assert_eq!(Annotation::parse(&bytes), annotation);
            let at = at.index(bytes.len());
            if bytes[at] != byte {
                bytes[at] = byte;
                prop_assert_ne!(Annotation::parse(&bytes), annotation);
            }
        }

        #[test]
        fn one_wrong_bit_of_a_header_is_found_and_two_are_not(salt: u64, bit in 0..HEADER_LINE_BYTES * 8, other in 0..HEADER_LINE_BYTES * 8) {
            let header = line(Annotation::Header(Salt(salt))).into_bytes();
            prop_assert_eq!(mended_header(&header), None);
            let mut wrong = header.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(mended_header(&wrong).map(Vec::from), Some(header));
            wrong[other / 8] ^= 1 << (other % 8);
            prop_assert_eq!(mended_header(&wrong), None);
        }

        #[test]
        fn the_offset_of_a_batch_is_told_by_its_checksum(salt: u64, before: u32, bytes: Vec<u8>, offset in 0..1u64 << 40, less in 0..1u64 << 20, more in 0..1u64 << 20) {
            let (chain, offset) = (Chain::new(Salt(salt)).after(before), LogOffset(offset));
            let crc = chain.crc_of(offset, [&bytes[..]]);
            let range = (LogOffset(offset.0.saturating_sub(less)), offset + more);
            let found: Vec<_> =
                chain.offsets_of(crc, crc32c::crc32c(&bytes), bytes.len() as u64, range).collect();
            prop_assert!(found.contains(&offset), "{:?}", found);
            for other in found {
                prop_assert!(range.0 <= other && other <= range.1, "{:?}", other);
                prop_assert_eq!(chain.crc_of(other, [&bytes[..]]), crc);
            }
        }

        #[test]
        fn a_batch_tells_its_chain(salt: u64, before: u32, bytes: Vec<u8>, offset: u64) {
            let (chain, offset) = (Chain::new(Salt(salt)), LogOffset(offset));
            let crc = chain.after(before).crc_of(offset, [&bytes[..]]);
            let told = Chain::told_by(offset, crc32c::crc32c(&bytes), bytes.len() as u64, crc, before);
            prop_assert!(told == chain && told.is_new());
        }

        #[test]
        fn what_parses_is_written_back_alike(text in "#(C:[0-9a-f]{8}:[0-9A-Fa-f]{8}|TS:[-+]?[0-9]{1,4}|REWRITTEN:[0-9]{1,4}|SYNCED:[0-9a-fA-F]{15,17})") {
            let annotation = Annotation::parse(text.as_bytes());
            if annotation != Annotation::Unknown {
                prop_assert_eq!(line(annotation), text + "\r\n");
            }
        }
    }
}
