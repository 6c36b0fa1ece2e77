//! From the files of the last run to a keyspace and a log to append to; what was found is told in a paragraph.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::systemd::Loading;
use crate::command::loader::Loader;
use crate::db::state::Keyspace;
use crate::db::writer::LogPlace;
use crate::exit::{Failure, OrExit, Status, no_directory};
use crate::machine::random_u64;
use crate::persistence::LogOffset;
use crate::persistence::aof::{Aof, temporary_name};
use crate::persistence::batch::Flaw;
use crate::persistence::disk::{Disk, DiskRead};
use crate::persistence::format::Salt;
use crate::persistence::lock::{LogLock, follow_links, lock_path};
use crate::persistence::make_durable::MakeDurable;
use crate::persistence::manifest;
use crate::persistence::real_disk::{RealDisk, file_name};
use crate::persistence::recover::{RecoverError, Recovered, recover};
use crate::persistence::replay::{Recovery, ReplayError, Verdict, replay};
use crate::protocol::number::counted;
use crate::terminal::for_shell;
use crate::terminal::progress::Progress;

/// A log that is ours, and what was in it.
pub struct Loaded {
    /// To append to.
    pub aof: Aof,
    /// Where it lies.
    pub place: LogPlace,
    /// Kept for as long as the log is.
    pub lock: LogLock,
}

/// Takes the log's lock, replays the log into `keyspace`, repairs a torn tail and makes all of it durable.
///
/// # Errors
/// The lock is taken, or a file cannot be read or written: exit code 3. The log is damaged: 4.
pub fn load(config: &Config, keyspace: &Keyspace) -> Result<Loaded, Failure> {
    let dir = config.dir.display().to_string();
    let disk = RealDisk::make_dir(&config.dir)
        .map_err(no_directory)
        .or_unavailable(|| format!("cannot use the directory {dir}"))?;
    let named = config.log_path();
    refuse_part(&named)?;
    let path = follow_links(&named).or_unavailable(|| format!("cannot use {}", named.display()))?;
    let disk = if path == named {
        disk
    } else {
        RealDisk::holding(&path).or_unavailable(|| format!("cannot use the directory of {}", path.display()))?
    };
    let name = file_name(&path).to_owned();
    let lock = LogLock::take(&disk, &name)
        .or_unavailable(|| format!("cannot take the lock {}", lock_path(&path).display()))?
        .ok_or_else(|| {
            failure!(
                Unavailable,
                "{} is in use by another kvred; stop that one or choose another --dir",
                path.display()
            )
        })?;
    let aof = open(&disk, &name, &path, keyspace)?;
    let place = LogPlace { disk: Arc::new(disk), name, salt: Box::new(new_salt) };
    Ok(Loaded { aof, place, lock })
}

/// Without the other parts its data is wrong, and what is written to it changes theirs.
fn refuse_part(log: &Path) -> Result<(), Failure> {
    // Where a directory cannot be read, only names that are known can be opened.
    let Ok(Some(manifest)) = manifest::that_lists(log, |_, parts| parts > 1) else { return Ok(()) };
    Err(failure!(
        Damaged,
        "{} cannot be loaded: it is one of several parts of the log that {} lists. Nothing was changed; to take that over, \
         stop the server that writes it, run `kvred aof rewrite -o moved.aof {}`, and start with moved.aof in a directory \
         of its own",
        log.display(),
        manifest.display(),
        for_shell(&manifest)
    ))
}

fn open(disk: &dyn Disk, name: &Path, path: &Path, keyspace: &Keyspace) -> Result<Aof, Failure> {
    let began = Instant::now();
    let mut took = Duration::ZERO;
    let recovered = recover(disk, name, new_salt, |file, make_durable| {
        let found = replay_file(file, make_durable, keyspace);
        took = began.elapsed();
        found
    });
    let unavailable =
        |error: std::io::Error, doing| Failure::new(Status::Unavailable, anyhow::Error::new(error).context(doing));
    let recovered = recovered.map_err(|e| match e {
        RecoverError::Io { doing, error } => unavailable(error, format!("{}: {doing}", path.display())),
        RecoverError::Replay(ReplayError::Io(error)) => unavailable(error, format!("cannot read {}", path.display())),
        RecoverError::Replay(refused @ ReplayError::Refused { .. }) => {
            let error = anyhow::Error::from(refused).context(format!(
                "{} cannot be loaded; see `kvred aof check {}`",
                path.display(),
                for_shell(path)
            ));
            Failure::new(Status::Damaged, error)
        }
        RecoverError::Damaged(found) => damaged(path, &found),
        RecoverError::Leftover(leftover) => left(path, &path.with_file_name(leftover)),
    })?;
    tell(&recovered, name, path, keyspace, took);
    Ok(recovered.aof)
}

/// Says in one paragraph what was found, cut, kept and loaded.
fn tell(recovered: &Recovered, name: &Path, path: &Path, keyspace: &Keyspace, took: Duration) {
    if recovered.leftover_removed {
        tracing::info!("removed {}, which an interrupted rewrite had left", temporary_name(name).display());
    }
    let path_shown = path.display();
    let Some(found) = &recovered.found else {
        tracing::info!("no log yet; a new one begins in {path_shown}");
        if let Some(manifest) = manifest_of_redis(path) {
            tracing::warn!(
                "a log of Redis or Valkey lies in {}, and is not loaded; to take it over, have it written with \
                 `aof-use-rdb-preamble no`, stop this server, run `kvred aof rewrite -o moved.aof {}`, and put moved.aof \
                 in the place of {path_shown}",
                manifest.parent().unwrap_or(path).display(),
                for_shell(&manifest)
            );
        }
        return;
    };
    let loaded = || loaded(keyspace, found, took);
    match &found.verdict {
        Verdict::New => {}
        Verdict::Damaged { .. } => unreachable!("a damaged log is refused"),
        Verdict::Clean if found.file_len > found.end.0 => {
            let reserved = found.file_len - found.end.0;
            let what = if found.chain.is_some() { "bytes of reserved space" } else { "zero bytes" };
            tracing::info!("{path_shown}: {}; {reserved} {what} behind it were cut off", loaded());
        }
        Verdict::Clean if found.chain.is_none() => {
            tracing::info!("{path_shown}: {}; checksums begin at byte {}", loaded(), found.end);
        }
        Verdict::Clean => tracing::info!("{path_shown}: {}", loaded()),
        Verdict::Torn(flaw) => {
            let cut = recovered.cut.as_ref().expect("a torn log is cut");
            let kept = cut.kept_in.as_ref().map_or_else(
                || "were only zeros".to_owned(),
                |copy| format!("are kept in {}", path.with_file_name(copy).display()),
            );
            tracing::warn!(
                "{path_shown}: the batch at byte {} was not completely written before the last stop ({flaw}), the usual \
                 trace of a crash; {} bytes were cut off and {kept}; {}",
                found.end,
                cut.bytes,
                loaded()
            );
        }
    }
}

/// The manifest of a log that Redis or Valkey has beside this one.
fn manifest_of_redis(path: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(path.with_file_name("appendonlydir")).ok()?;
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.find(|file| file.extension().is_some_and(|extension| extension == "manifest"))
}

fn replay_file(
    file: &Arc<dyn DiskRead>,
    make_durable: &mut MakeDurable,
    keyspace: &Keyspace,
) -> Result<Recovery, ReplayError> {
    let bytes = file.len().unwrap_or(0);
    let bar = Progress::new("loading", bytes);
    let mut loading = Loading::of(bytes);
    let progress = |at: LogOffset| {
        loading.reached(at.0);
        bar.at(at.0);
    };
    Loader::run(keyspace, bytes, |loader| {
        replay(file, progress, |batch| loader.take(batch).inspect(|()| make_durable.passed(batch)))
    })
}

/// What came out of the log, as a clause.
fn loaded(keyspace: &Keyspace, found: &Recovery, took: Duration) -> String {
    let blocks = match found.chain {
        Some(_) => counted(found.batches, "checksummed batch"),
        None => "a plain log without checksums".to_owned(),
    };
    format!(
        "loaded {} from {} in {blocks}, {} bytes, in {:.3} s",
        counted(keyspace.len() as u64, "key"),
        counted(found.records, "command"),
        found.end,
        took.as_secs_f64()
    )
}

fn damaged(path: &Path, found: &Recovery) -> Failure {
    let Verdict::Damaged { flaw, seen_at, because } = &found.verdict else {
        unreachable!("only a damaged log is refused")
    };
    if *flaw == Flaw::Rdb {
        return failure!(Damaged, "{} cannot be loaded: {flaw}. Nothing was changed", path.display());
    }
    if *flaw == Flaw::OnlyZeros {
        return failure!(
            Damaged,
            "{} is damaged: {flaw}. Nothing was changed; restore a backup, or move it away to begin a new log",
            path.display()
        );
    }
    failure!(
        Damaged,
        "{} is damaged: the batch at byte {} (record {}) does not verify: {flaw}, seen at byte {seen_at}. This \
         is not the trace of a crash: {because}. Nothing was changed; run `kvred aof check {}` to see what \
         can be saved",
        path.display(),
        found.end,
        found.records + 1,
        for_shell(path),
    )
}

fn left(path: &Path, leftover: &Path) -> Failure {
    failure!(
        Damaged,
        "{} is missing or empty, but {}, which an interrupted rewrite has left, is not: it may be the only copy, \
         though not of all data. Nothing was changed; see `kvred aof check {}`, then rename it to {} to start with \
         what is in it, or remove it to begin a new log",
        path.display(),
        leftover.display(),
        for_shell(leftover),
        file_name(path).display(),
    )
}

/// A random salt for a new chain, from the system's source of randomness.
fn new_salt() -> Salt {
    Salt(random_u64())
}
