//! A header with one wrong bit, or one that is lost. All checksums hang on its salt, so it is put right before anything
//! else is looked at, or what the batches tell of it takes its place.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::examine::File;
use crate::persistence::LogOffset;
use crate::persistence::batch::Flaw;
use crate::persistence::disk::{BLOCK_BYTES, DiskRead, read_full_at};
use crate::persistence::format::{Chain, HEADER_LINE_BYTES, HEADER_NAME, mended_header, salt_of_header};
use crate::persistence::plain::salt_at;
use crate::persistence::replay::{Recovery, Verdict};
use crate::persistence::survey::Survey;

/// The header at `at` as it must have been, if one bit of it is wrong.
pub(super) fn mended(file: &dyn DiskRead, at: LogOffset) -> io::Result<Option<[u8; HEADER_LINE_BYTES]>> {
    let mut line = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut line, at.0)?;
    Ok(mended_header(&line[..read]))
}

/// The search for what verifies behind a flaw, and where it begins: with a header that is put right, or is another
/// log's, behind that.
pub(super) fn survey(file: &File, recovery: &Recovery) -> io::Result<(Survey, LogOffset)> {
    let (from, file_len) = (recovery.end, recovery.file_len);
    let survey = |chain, from| Survey::new(Arc::clone(file), chain, from, file_len);
    let salt = match recovery.chain {
        None => mended(&**file, from)?.and_then(|line| salt_of_header(&line)),
        // That of another log.
        Some(_) => salt_at(&**file, from)?,
    };
    if let Some(salt) = salt {
        let behind = from + HEADER_LINE_BYTES as u64;
        return Ok((survey(Some(Chain::new(salt)), behind), behind));
    }
    let flaw = match &recovery.verdict {
        Verdict::Damaged { flaw, .. } if recovery.chain.is_none() && !matches!(flaw, Flaw::Rdb | Flaw::TooLong) => flaw,
        _ => return Ok((survey(recovery.chain, from), from)),
    };
    let without_header = Survey::without_header(Arc::clone(file), from, file_len)?;
    // It may be there but out of its place, and so all behind it: then what the batches tell is wrong, but some agree.
    // In a log that may be a plain one it would be a copy in a value.
    let is_ours = matches!(flaw, Flaw::Header | Flaw::NoHeader) || from == LogOffset(0);
    let moved = if is_ours { moved(&**file, from)? } else { None };
    let moved = moved.map(|(chain, behind)| survey(Some(chain), behind));
    let surveys = [Some(without_header), moved, Some(survey(None, from))].into_iter().flatten();
    let found = surveys.map(|survey| Ok((bytes_found(survey.clone())?, survey))).collect::<io::Result<Vec<_>>>()?;
    let (_, survey) = found.into_iter().max_by_key(|(bytes, _)| *bytes).expect("there are two at least");
    Ok((survey, from))
}

/// The chain of the first header that stands near behind `from`, and where that header ends.
fn moved(file: &dyn DiskRead, from: LogOffset) -> io::Result<Option<(Chain, LogOffset)>> {
    let mut bytes = vec![0; BLOCK_BYTES];
    let read = read_full_at(file, &mut bytes, from.0)?;
    let header = memmem::find_iter(&bytes[..read], HEADER_NAME).find_map(|at| {
        let end = at + HEADER_LINE_BYTES;
        let salt = salt_of_header(bytes[..read].get(at..end)?)?;
        Some((Chain::new(salt), from + end as u64))
    });
    Ok(header)
}

fn bytes_found(mut survey: Survey) -> io::Result<u64> {
    let mut bytes = 0;
    while let Some(survivor) = survey.next(|_| {})? {
        bytes += survivor.end - survivor.start;
    }
    Ok(bytes)
}
