//! A header with one wrong bit. All checksums hang on its salt, so it is put right before anything else is looked at.

use std::io;
use std::sync::Arc;

use super::examine::File;
use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskRead, read_full_at};
use crate::persistence::format::{Chain, HEADER_LINE_BYTES, mended_header, salt_of_header};
use crate::persistence::replay::Recovery;
use crate::persistence::survey::Survey;

/// The header at `at` as it must have been, if one bit of it is wrong.
pub(super) fn mended(file: &dyn DiskRead, at: LogOffset) -> io::Result<Option<[u8; HEADER_LINE_BYTES]>> {
    let mut line = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut line, at.0)?;
    Ok(mended_header(&line[..read]))
}

/// The search for what verifies behind a flaw, and where it begins: with a header that is put right, behind that.
pub(super) fn survey(file: &File, recovery: &Recovery) -> io::Result<(Survey, LogOffset)> {
    let (mut chain, mut from) = (recovery.chain, recovery.end);
    if chain.is_none()
        && let Some(header) = mended(&**file, from)?
    {
        chain = salt_of_header(&header).map(Chain::new);
        from = from + HEADER_LINE_BYTES as u64;
    }
    Ok((Survey::new(Arc::clone(file), chain, from, recovery.file_len), from))
}
