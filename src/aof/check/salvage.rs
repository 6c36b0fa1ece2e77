//! `check --salvage`: every batch that verifies, into a new log; and a list of what is lost.
//!
//! What stands behind a flaw of a plain log is lost: nothing tells its commands from the bytes of a value.

use std::fmt::Write;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use serde_json::json;

use super::super::image::Image;
use super::super::reading::{self, Pass, Settle};
use super::super::source::Source;
use super::super::text::{counted, grouped};
use super::super::view::View;
use super::{header, print};
use crate::args::CheckArgs;
use crate::command::replay::check;
use crate::exit::{Failure, OrExit, Status};
use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskFile, read_full_at};
use crate::persistence::format::COMMIT_LINE_BYTES;
use crate::persistence::reader::Batch;
use crate::persistence::replay::{Recovery, Survey, Verdict, len_without_trailing_zeros};
use crate::terminal::progress::Progress;

/// Bytes that are not in the new log.
struct Lost {
    from: LogOffset,
    to: LogOffset,
    why: String,
}

/// Salvages `source` into a new log at `out`.
pub(super) fn run(args: &CheckArgs, source: &Source, out: &Path) -> Result<Status, Failure> {
    let shown = out.display();
    if out.symlink_metadata().is_ok() {
        return Err(Failure::new(Status::Unavailable, anyhow!("{shown} is there already; name a new file")));
    }
    let part = &source.parts[0];
    let file = part
        .file
        .as_ref()
        .map_err(|why| Failure::new(Status::Unavailable, anyhow!("{}: {why}", part.path.display())))?;
    let mut image = Image::create(out).or_exit(Status::Unavailable, || format!("cannot make {shown}"))?;
    let doing = || format!("cannot salvage {} into {shown}", part.path.display());
    let lost = match salvage(file, &mut image) {
        Ok(lost) => lost,
        Err(e) => {
            image.discard();
            return Err(Failure::new(Status::Unavailable, anyhow::Error::new(e).context(doing())));
        }
    };
    let size = image.size;
    image.publish(out, false).or_exit(Status::Unavailable, doing)?;
    let bytes: u64 = lost.iter().map(|lost| lost.to - lost.from).sum();
    if args.json {
        let ranges: Vec<_> = lost.iter().map(|l| json!({"from": l.from.0, "to": l.to.0, "reason": l.why})).collect();
        let document = json!({
            "file": part.path.to_string_lossy(), "out": out.to_string_lossy(), "records": size.records,
            "lost_bytes": bytes, "lost": ranges,
        });
        print(&format!("{document:#}\n"))?;
    } else {
        let mut text = format!("{shown}: {} saved, {} lost\n", counted(size.records, "record"), counted(bytes, "byte"));
        for Lost { from, to, why } in &lost {
            writeln!(text, "  lost  bytes {from} to {to} ({}): {why}", grouped(*to - *from))
                .expect("a String takes everything");
        }
        print(&text)?;
    }
    Ok(if lost.is_empty() { Status::Fine } else { Status::Negative })
}

fn salvage(file: &Arc<dyn DiskFile>, image: &mut Image) -> io::Result<Vec<Lost>> {
    let mended = header::mended(&**file)?;
    let file: Arc<dyn DiskFile> = match mended {
        Some(line) => Arc::new(View::beginning_with(Arc::clone(file), &line)),
        None => Arc::clone(file),
    };
    let (mut lost, mut time, mut failed) = (Vec::new(), 0, None);
    let progress = Progress::new("salvaging", file.len()?);
    let pass = reading::read(&file, &progress, Settle::Wait, |batch| match copy_sound(batch, image, &mut lost) {
        Ok(()) => {
            time = batch.times().last().map_or(time, |(_, t)| t);
            ControlFlow::Continue(())
        }
        Err(e) => {
            failed = Some(e);
            ControlFlow::Break(())
        }
    })?;
    let recovery = match (pass, failed) {
        (Pass::Read(recovery), None) => recovery,
        (_, Some(e)) => return Err(e),
        (Pass::Stopped, None) => unreachable!("it stops only when it failed"),
    };
    if matches!(recovery.verdict, Verdict::Torn(_) | Verdict::Damaged { .. }) {
        copy_survivors(&file, &recovery, image, &mut lost)?;
    }
    image.finish(None, time)?;
    Ok(lost)
}

fn copy_sound(batch: &Batch<'_>, image: &mut Image, lost: &mut Vec<Lost>) -> io::Result<()> {
    if let Err(reason) = image.copy(&mut batch.bytes().to_vec(), check)? {
        lost.push(Lost {
            from: batch.start,
            to: batch.end,
            why: format!("it verifies, but kvred refuses it: {reason}"),
        });
    }
    Ok(())
}

fn copy_survivors(
    file: &Arc<dyn DiskFile>,
    recovery: &Recovery,
    image: &mut Image,
    lost: &mut Vec<Lost>,
) -> io::Result<()> {
    let mut known = recovery.end;
    let mut gap = |from: LogOffset, to: LogOffset, why: &str| {
        if to > from {
            lost.push(Lost { from, to, why: why.to_owned() });
        }
    };
    if let Some(chain) = recovery.chain {
        let mut survey = Survey::new(Arc::clone(file), chain, recovery.end, recovery.file_len);
        while let Some(survivor) = survey.next()? {
            gap(known, survivor.start, "it does not verify");
            let mut bytes = vec![0; (survivor.end - survivor.start) as usize - COMMIT_LINE_BYTES];
            let read = read_full_at(&**file, &mut bytes, survivor.start.0)?;
            if let Err(reason) = image.copy(&mut bytes[..read], check)? {
                gap(survivor.start, survivor.end, &format!("it verifies, but kvred refuses it: {reason}"));
            }
            known = survivor.end;
        }
    }
    let end = len_without_trailing_zeros(&**file, known, recovery.file_len)?;
    let why = if recovery.chain.is_some() {
        "it does not verify"
    } else {
        "it is not whole, and nothing verifies what follows"
    };
    gap(known, end, why);
    Ok(())
}
