//! A header with one wrong bit, or one that is lost. All checksums hang on its salt, so it is put right before anything
//! else is looked at, or what the batches tell of it takes its place.

use std::io;
use std::sync::Arc;

use super::examine::File;
use crate::persistence::LogOffset;
use crate::persistence::batch::Flaw;
use crate::persistence::disk::{DiskRead, read_full_at};
use crate::persistence::format::{Chain, HEADER_LINE_BYTES, mended_header, salt_of_header};
use crate::persistence::replay::{Recovery, Verdict};
use crate::persistence::survey::Survey;

/// The header at `at` as it must have been, if one bit of it is wrong.
pub(super) fn mended(file: &dyn DiskRead, at: LogOffset) -> io::Result<Option<[u8; HEADER_LINE_BYTES]>> {
    let mut line = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut line, at.0)?;
    Ok(mended_header(&line[..read]))
}

/// The search for what verifies behind a flaw, and where it begins: with a header that is put right, behind that.
pub(super) fn survey(file: &File, recovery: &Recovery) -> io::Result<(Survey, LogOffset)> {
    let (from, file_len) = (recovery.end, recovery.file_len);
    if recovery.chain.is_none()
        && let Some(header) = mended(&**file, from)?
    {
        let behind = from + HEADER_LINE_BYTES as u64;
        let chain = salt_of_header(&header).map(Chain::new);
        return Ok((Survey::new(Arc::clone(file), chain, behind, file_len), behind));
    }
    let survey = if is_lost(recovery) {
        Survey::without_header(Arc::clone(file), from, file_len)?
    } else {
        Survey::new(Arc::clone(file), recovery.chain, from, file_len)
    };
    Ok((survey, from))
}

/// Whether a log that is one of kvred's has no header that can be read. Of a plain one, all that could be found were
/// a copy of a log in a value.
fn is_lost(recovery: &Recovery) -> bool {
    let Verdict::Damaged { flaw, .. } = &recovery.verdict else { return false };
    match flaw {
        Flaw::Header | Flaw::NoHeader => true,
        Flaw::Rdb => false,
        _ => recovery.end == LogOffset(0),
    }
}
