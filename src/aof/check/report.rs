//! What `check` found, as text and as JSON.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::super::text::{counted, grouped, time};
use super::examine::{Conclusion, Findings};
use crate::exit::Status;
use crate::persistence::LogOffset;
use crate::persistence::batch::Flaw;
use crate::persistence::replay::Verdict;
use crate::protocol::json::Text;
use crate::terminal::{for_shell, shown_lines, wrap};

/// What was found in all parts.
pub(super) struct Report {
    /// What the user named.
    pub(super) path: PathBuf,
    /// Whether that is a manifest.
    pub(super) is_manifest: bool,
    /// The log, or the parts that the manifest lists.
    pub(super) parts: Vec<PartReport>,
    /// What `--fix` did.
    pub(super) fixed: Option<Fixed>,
}

/// What was found in one file; or why it cannot be read.
pub(super) struct PartReport {
    /// The file.
    pub(super) path: PathBuf,
    /// What was found.
    pub(super) found: Result<Findings, String>,
}

/// What `--fix` did.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    /// Where the log was cut off, or its header put right.
    pub(super) at: u64,
    /// How much was cut; 0: the header was put right.
    pub(super) cut_bytes: u64,
    /// Where it is kept.
    pub(super) kept_in: Option<PathBuf>,
}

impl PartReport {
    fn conclusion(&self) -> Conclusion {
        self.found.as_ref().map_or(Conclusion::Unreadable, Findings::conclusion)
    }
}

impl Report {
    /// The worst of the parts.
    pub(super) fn status(&self) -> Status {
        self.conclusion().status()
    }

    /// Zero bytes behind a clean log, which a server of ours has reserved and other servers do not load.
    pub(super) fn reserved_bytes(&self) -> u64 {
        match self.parts.first().map(|part| &part.found) {
            Some(Ok(found)) if matches!(found.recovery.verdict, Verdict::New | Verdict::Clean) => {
                found.recovery.file_len.saturating_sub(found.recovery.end.0)
            }
            _ => 0,
        }
    }

    fn conclusion(&self) -> Conclusion {
        self.parts.iter().map(PartReport::conclusion).max().unwrap_or(Conclusion::Clean)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        if self.is_manifest {
            line(&mut out, &format!("{}: a log in {}", self.path.display(), counted(self.parts.len() as u64, "part")));
        }
        for part in &self.parts {
            let start = format!("{}: {}", part.path.display(), part.conclusion().words());
            match &part.found {
                Err(why) => line(&mut out, &format!("{start}: {why}")),
                Ok(_) if part.conclusion() == Conclusion::Snapshot => {
                    line(&mut out, &format!("{start}: {}", Flaw::Rdb));
                }
                Ok(found) => {
                    line(&mut out, &start);
                    facts(&mut out, found);
                    trouble(&mut out, found, &for_shell(&part.path));
                }
            }
        }
        shown_lines(&out)
    }

    /// One document, closed by a newline.
    pub(super) fn json(&self) -> String {
        let mut document = Map::new();
        document.insert("file".into(), json!(Text::path(&self.path)));
        document.insert("verdict".into(), json!(self.conclusion().name()));
        if self.is_manifest {
            let parts = self.parts.iter().map(|part| {
                let mut object = Map::new();
                object.insert("file".into(), json!(Text::path(&part.path)));
                object.insert("verdict".into(), json!(part.conclusion().name()));
                describe(&mut object, part);
                Value::Object(object)
            });
            document.insert("parts".into(), parts.collect());
        } else if let Some(part) = self.parts.first() {
            describe(&mut document, part);
        }
        if let Some(fixed) = &self.fixed {
            let kept_in = fixed.kept_in.as_deref().map(Text::path);
            let fixed = json!({"offset": fixed.at, "cut_bytes": fixed.cut_bytes, "kept_in": kept_in});
            document.insert("fixed".into(), fixed);
        }
        let mut text = serde_json::to_string_pretty(&document).expect("maps of strings become JSON");
        text.push('\n');
        text
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn fact(out: &mut String, name: &str, text: &str) {
    writeln!(out, "  {name:<13} {text}").expect("a String takes everything");
}

/// Goes on about a fact, beside its name, in lines of 80 columns at most.
fn prose(out: &mut String, text: &str) {
    fact(out, "", &wrap(text, 16, 81));
}

fn facts(out: &mut String, found: &Findings) {
    let recovery = &found.recovery;
    let reserved = recovery.file_len.saturating_sub(recovery.end.0);
    let zeros = match recovery.verdict {
        Verdict::Clean if reserved > 0 => {
            let what = if recovery.chain.is_some() { "reserved space" } else { "zero bytes" };
            format!(", of which {} at the end are {what}", grouped(reserved))
        }
        _ => String::new(),
    };
    fact(out, "size", &format!("{}{zeros}", counted(recovery.file_len, "byte")));
    let batches = match (found.checksummed_batches, recovery.chain) {
        (0, None) => String::new(),
        (n, _) => format!(" in {}", counted(n, "batch")),
    };
    fact(out, "records", &format!("{}{batches}", grouped(recovery.records)));
    let about = if found.keys_exact { "" } else { "about " };
    fact(out, "keys touched", &format!("{about}{}", grouped(found.keys)));
    let share = share(found);
    let plain = if recovery.chain.is_none() && recovery.end.0 > 0 { " (a log without checksums)" } else { "" };
    fact(out, "checksummed", &format!("{share:.1} %{plain}"));
    if let Some((first, last)) = found.times {
        fact(out, "written", &format!("{} to {}", time(first), time(last)));
    }
    if recovery.chain.is_some() {
        let none = if recovery.no_sync { "; written without syncs since" } else { "" };
        fact(out, "durable", &format!("at least the first {}{none}", counted(recovery.durable.0, "byte")));
        fact(out, "rewrites", &grouped(recovery.rewrites));
    }
}

/// The share of the sound part that a checksum covers, in percent. The header covers itself.
fn share(found: &Findings) -> f64 {
    let covered = match found.recovery.chain {
        Some(_) => found.checksummed_bytes + crate::persistence::format::HEADER_LINE_BYTES as u64,
        None => 0,
    };
    match found.recovery.end.0 {
        0 => 0.0,
        end => (covered.min(end) as f64 / end as f64 * 1000.0).floor() / 10.0,
    }
}

/// What is wrong with the batch where the sound part ends, where that showed, and why it is not the trace of a crash,
/// if so.
fn damage(found: &Findings) -> Option<(&Flaw, LogOffset, Option<String>)> {
    match &found.recovery.verdict {
        Verdict::Torn(flaw) => {
            let because = found.more_follows.then(|| "other parts of the log follow it".to_owned());
            Some((flaw, found.recovery.end, because))
        }
        // It is refused.
        Verdict::Damaged { flaw: Flaw::TooLong, .. } | Verdict::New | Verdict::Clean => None,
        Verdict::Damaged { flaw, seen_at, because } => Some((flaw, *seen_at, Some(because.to_string()))),
    }
}

fn trouble(out: &mut String, found: &Findings, path: &str) {
    let recovery = &found.recovery;
    if let Some(refused) = &found.refused {
        fact(out, "refused", &format!("record {} at byte {}:", grouped(refused.record), refused.at));
        prose(out, &refused.reason);
    }
    let Some((flaw, seen_at, because)) = damage(found) else { return };
    let batch = if recovery.chain.is_some() {
        format!("batch {} ", grouped(found.checksummed_batches + 1))
    } else {
        String::new()
    };
    let seen = if seen_at == recovery.end { String::new() } else { format!(", seen at byte {seen_at}") };
    let place = format!("{batch}at byte {} (record {}):", recovery.end, grouped(recovery.records + 1));
    fact(out, if because.is_some() { "damage" } else { "torn" }, &place);
    prose(out, &format!("{flaw}{seen}"));
    if let Some(because) = because {
        prose(out, &format!("not the trace of a crash: {because}"));
    }
    let behind = found.behind.unwrap_or_default();
    let sound = match behind.sound_batches {
        0 => "none of them verifies".to_owned(),
        n => format!("{} in {} still verify", counted(behind.sound_records, "record"), counted(n, "batch")),
    };
    let following = format!("{} with {};", counted(behind.bytes, "byte"), counted(behind.records, "record"));
    fact(out, "from there on", &following);
    fact(out, "", &sound);
    if let Some(unreadable) = behind.unreadable {
        prose(out, &unreadable.to_string());
    }
    if found.header_fixable {
        prose(out, "one bit of the header is wrong; `--fix` puts it right, and nothing is lost");
    }
    if behind.sound_batches > 0 || found.header_fixable || found.is_unreadable() {
        fact(out, "to save it", &format!("kvred aof check --salvage OUT {path}"));
    }
    if found.is_unreadable() || found.refused.is_some() || (found.more_follows && !found.header_fixable) {
        // What was cut off could not be kept, or the first thing that is wrong is a whole command, or the log would
        // have a hole that nothing tells of.
        return;
    }
    if recovery.end.0 > 0 || found.header_fixable || matches!(recovery.verdict, Verdict::Torn(_)) {
        fact(out, "to repair it", &format!("kvred aof check --fix {path}"));
    } else if *flaw == Flaw::Header {
        prose(
            out,
            "a newer version of kvred, if one has written it, can read it; else move it away to begin a new one",
        );
    } else if behind.sound_batches == 0 {
        prose(out, "it does not look like a log at all: move it away to begin a new one");
    }
}

fn describe(object: &mut Map<String, Value>, part: &PartReport) {
    let found = match &part.found {
        Ok(found) => found,
        Err(why) => {
            object.insert("error".into(), json!(why));
            return;
        }
    };
    let recovery = &found.recovery;
    let format = match (recovery.chain, found.checksummed_bytes) {
        (None, 0) => "plain",
        _ => "kvred",
    };
    let Value::Object(facts) = json!({
        "format": format,
        "size_bytes": recovery.file_len,
        "sound_bytes": recovery.end.0,
        "records": recovery.records,
        "batches": found.checksummed_batches,
        "keys": found.keys,
        "keys_exact": found.keys_exact,
        "checksummed_bytes": found.checksummed_bytes,
        "checksummed_percent": share(found),
        "first_time": found.times.map(|t| t.0),
        "last_time": found.times.map(|t| t.1),
        "durable_offset": recovery.chain.map(|_| recovery.durable.0),
        "rewrites": recovery.rewrites,
    }) else {
        unreachable!("it is an object")
    };
    object.extend(facts);
    let behind = found.behind.unwrap_or_default();
    object.insert(
        "damage".into(),
        damage(found).map_or(Value::Null, |(flaw, seen_at, because)| {
            json!({
                "offset": recovery.end.0,
                "record": recovery.records + 1,
                "batch": found.checksummed_batches + 1,
                "reason": flaw.to_string(),
                "seen_at": seen_at.0,
                "because": because,
                "bytes_following": behind.bytes,
                "records_following": behind.records,
                "batches_verified_following": behind.sound_batches,
                "records_verified_following": behind.sound_records,
                "bytes_verified_following": behind.sound_bytes,
                "bytes_unreadable": behind.unreadable.map_or(0, |unreadable| unreadable.bytes),
                "header_fixable": found.header_fixable,
            })
        }),
    );
    let refused = found.refused.as_ref();
    object.insert(
        "refused".into(),
        refused.map_or(Value::Null, |r| json!({"offset": r.at.0, "record": r.record, "reason": r.reason})),
    );
}
