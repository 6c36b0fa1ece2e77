//! `check --fix`: cuts a log off where its sound part ends, after what is cut was copied and synced.
//!
//! A wrong bit in the header is put right instead: cutting would lose everything behind it.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::source;
use super::super::text::{counted, grouped};
use super::examine::{self, Conclusion};
use super::examine_file;
use super::header;
use super::report::{Fixed, Report};
use crate::args::CheckArgs;
use crate::exit::{Failure, OrExit, Status, print};
use crate::persistence::LogOffset;
use crate::persistence::batch::Flaw;
use crate::persistence::disk::{Disk, DiskFile, write_all_at};
use crate::persistence::lock::LogLock;
use crate::persistence::real_disk::{RealDisk, file_name};
use crate::persistence::repair::{cut_tail, keep_copy};
use crate::persistence::replay::Verdict;
use crate::terminal::shown_lines;

/// A log that nobody else writes to until this is dropped: not by this name, and by no other one that it has.
pub(in crate::aof) struct Held {
    /// Where it really is.
    pub(in crate::aof) path: PathBuf,
    /// The directory that it is in, which stays this one: who owns a folder on the path may swap that for another.
    pub(in crate::aof) disk: Arc<RealDisk>,
    /// It, open for writing.
    pub(in crate::aof) file: Arc<dyn DiskFile>,
    _lock: LogLock,
}

impl Held {
    /// Takes the locks of a log, by its name and of the file itself.
    ///
    /// # Errors
    /// Another kvred has one of them, or the log may not be written to: exit code 3.
    pub(in crate::aof) fn take(log: &Path) -> Result<Self, Failure> {
        let path = source::real_path(log)?;
        let unavailable = |what: &str| format!("{}: {what}", path.display());
        let disk = RealDisk::holding(&path).or_unavailable(|| unavailable("cannot use its directory"))?;
        let lock = source::lock(&disk, &path)?;
        let file = disk.open(file_name(&path), true).or_unavailable(|| unavailable("cannot open it for writing"))?;
        Ok(Self { path, disk: Arc::new(disk), file, _lock: lock })
    }
}

/// Repairs the log that is held. The report is brought up to date.
pub(super) fn run(args: &CheckArgs, held: &Held, report: &mut Report) -> Result<Status, Failure> {
    let Held { path, disk, file, .. } = held;
    let shown = path.display();
    let unavailable = |doing: &str| format!("{shown}: {doing}");
    let Some(Ok(found)) = report.parts.first().map(|part| &part.found) else { return Ok(report.status()) };
    let (end, more_follows) = (found.recovery.end, found.more_follows);
    if let Some(refused) = &found.refused {
        tell(&format!("nothing was changed: the command at byte {} is no damage, kvred does not take it", refused.at));
        return Ok(Status::Damaged);
    }
    if found.is_unreadable() {
        tell("nothing was changed: what the disk cannot read could not be kept; `--salvage` saves what verifies");
        return Ok(Status::Damaged);
    }
    if more_follows && found.conclusion() == Conclusion::Damaged && !found.header_fixable {
        tell("nothing was changed: other parts of the log follow this one, and cutting would hide that it has a hole");
        return Ok(Status::Damaged);
    }
    if end == LogOffset(0) && !found.header_fixable && matches!(found.recovery.verdict, Verdict::Damaged { .. }) {
        let why = match found.behind.unwrap_or_default().sound_batches {
            _ if found.conclusion() == Conclusion::Snapshot => "kvred cannot read a snapshot",
            0 if matches!(found.recovery.verdict, Verdict::Damaged { flaw: Flaw::Header, .. }) => {
                "its header is damaged, or of a newer version of kvred"
            }
            0 => "this does not look like a log at all",
            _ => "`--salvage` saves what verifies",
        };
        tell(&format!("nothing was changed: {why}, and cutting would leave nothing of it"));
        return Ok(Status::Damaged);
    }
    let question = if found.header_fixable {
        "put the wrong bit of the header right? The line as it is is kept".to_owned()
    } else if report.reserved_bytes() > 0 {
        format!("cut off {} zero bytes at the end?", grouped(report.reserved_bytes()))
    } else {
        let behind = found.behind.unwrap_or_default();
        let sound = match behind.sound_records {
            0 => String::new(),
            n => format!(" Of what goes, {} still verify: `--salvage` would save them.", counted(n, "record")),
        };
        format!("cut {} off at byte {end}? What is cut is kept.{sound}", counted(behind.bytes, "byte"))
    };
    if !args.yes && !confirmed(&question)? {
        tell("nothing was changed");
        return Ok(report.status());
    }
    let fixed = if found.header_fixable {
        mend(&**disk, path, &**file, end).or_unavailable(|| unavailable("cannot mend the header"))?
    } else {
        let cut = cut_tail(&**disk, file_name(path), &**file, end)
            .or_unavailable(|| unavailable("what is cut cannot be kept, so nothing was cut"))?;
        Fixed { at: end.0, cut_bytes: cut.bytes, kept_in: cut.kept_in.map(|kept| path.with_file_name(kept)) }
    };
    if !args.json {
        print(&shown_lines(&fixed.text(&shown.to_string())))?;
    }
    let now = examine_file(&(Arc::clone(file) as examine::File), path, more_follows)?;
    let status = now.status();
    report.parts[0].found = Ok(now);
    report.fixed = Some(fixed);
    if status != Status::Fine && !args.json {
        print(&report.text())?;
    }
    Ok(status)
}

/// Writes the right header, and keeps the line that stood there. The log at `path` lies in the directory of `disk`.
fn mend(disk: &dyn Disk, path: &Path, file: &dyn DiskFile, at: LogOffset) -> std::io::Result<Fixed> {
    let line = header::mended(file, at)?.ok_or(std::io::ErrorKind::InvalidData)?;
    let kept = keep_copy(disk, file_name(path), file, at, at + line.len() as u64)?;
    write_all_at(file, &line, at.0)?;
    file.sync_data()?;
    Ok(Fixed { at: at.0, cut_bytes: 0, kept_in: Some(path.with_file_name(kept)) })
}

fn confirmed(question: &str) -> Result<bool, Failure> {
    let unavailable = || "cannot ask".to_owned();
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).or_unavailable(unavailable)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).or_unavailable(unavailable)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "" | "n" | "no" => Ok(false),
        other => Err(failure!(Usage, "'{other}' is neither yes nor no; nothing was changed")),
    }
}

fn tell(text: &str) {
    say!("kvred: {text}");
}

impl Fixed {
    fn text(&self, log: &str) -> String {
        let (was, it_is) = match self.cut_bytes {
            0 => ("", "what stood there is"),
            1 => ("was", "it is"),
            _ => ("were", "they are"),
        };
        let kept = self.kept_in.as_ref();
        let kept = kept.map_or_else(|| "they were zeros".to_owned(), |p| format!("{it_is} kept in {}", p.display()));
        if self.cut_bytes == 0 {
            return format!("{log}: the header was put right; {kept}\n");
        }
        format!("{log}: {} {was} cut off at byte {}; {kept}\n", counted(self.cut_bytes, "byte"), grouped(self.at))
    }
}
