//! From the files of the last run to a keyspace and a log to append to; what was found is told in a paragraph.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::config::Config;
use crate::command::loader::Loader;
use crate::db::state::Keyspace;
use crate::db::writer::LogPlace;
use crate::exit::{Failure, OrExit, Status};
use crate::persistence::LogOffset;
use crate::persistence::aof::{Aof, temporary_name};
use crate::persistence::disk::{Disk, DiskFile, LogLock, RealDisk, lock_path};
use crate::persistence::format::Salt;
use crate::persistence::recover::{RecoverError, Recovered, recover};
use crate::persistence::replay::{Recovery, ReplayError, Verdict, replay};

/// How often the progress bar moves.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

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
    let disk =
        RealDisk::make_dir(&config.dir).or_exit(Status::Unavailable, || format!("cannot use the directory {dir}"))?;
    let path = config.log_path();
    let lock = LogLock::take(&path)
        .or_exit(Status::Unavailable, || format!("cannot take the lock {}", lock_path(&path).display()))?
        .ok_or_else(|| {
            let error = anyhow!("{} is in use by another kvred; stop that one or choose another --dir", path.display());
            Failure::new(Status::Unavailable, error)
        })?;
    let aof = open(&disk, &config.append_filename, &path, keyspace)?;
    let place = LogPlace { disk: Arc::new(disk), name: config.append_filename.clone(), salt: Box::new(new_salt) };
    Ok(Loaded { aof, place, lock })
}

fn open(disk: &dyn Disk, name: &Path, path: &Path, keyspace: &Keyspace) -> Result<Aof, Failure> {
    let recovered = recover(disk, name, new_salt, |file| replay_file(file, path, keyspace));
    let recovered = recovered.map_err(|e| match e {
        RecoverError::Io { doing, error } => {
            Status::Unavailable.context_of(format!("{}: {doing}", path.display()))(error)
        }
        RecoverError::Replay(ReplayError::Io(e)) => {
            Status::Unavailable.context_of(format!("cannot read {}", path.display()))(e)
        }
        RecoverError::Replay(refused @ ReplayError::Refused { .. }) => {
            let error = anyhow::Error::from(refused).context(format!(
                "{} cannot be loaded; see `kvred aof check {}`",
                path.display(),
                path.display()
            ));
            Failure::new(Status::Damaged, error)
        }
        RecoverError::Damaged(found) => damaged(path, &found),
    })?;
    tell(&recovered, name, path);
    Ok(recovered.aof)
}

/// Says what was found and done, but for how the loading went.
fn tell(recovered: &Recovered, name: &Path, path: &Path) {
    if recovered.leftover_removed {
        tracing::info!("removed {}, which an interrupted rewrite had left", temporary_name(name).display());
    }
    match &recovered.found {
        None => tracing::info!("no log yet; a new one begins in {}", path.display()),
        Some(Recovery { verdict: Verdict::Torn(flaw), end, .. }) => {
            let cut = recovered.cut.as_ref().expect("a torn log is cut");
            let kept = cut.kept_in.as_ref().map_or_else(
                || "it was only zeros".to_owned(),
                |copy| format!("it is kept in {}", path.with_file_name(copy).display()),
            );
            tracing::warn!(
                "{}: the batch at byte {end} was not completely written before the last stop ({flaw}); {} bytes were \
                 cut off and {kept}",
                path.display(),
                cut.bytes
            );
        }
        Some(_) => {}
    }
}

fn replay_file(file: &Arc<dyn DiskFile>, path: &Path, keyspace: &Keyspace) -> Result<Recovery, ReplayError> {
    let began = Instant::now();
    let bar = progress_bar(file.len().unwrap_or(0));
    let mut last_shown = began;
    let progress = |at: LogOffset| {
        if last_shown.elapsed() >= PROGRESS_INTERVAL {
            last_shown = Instant::now();
            bar.set_position(at.0);
        }
    };
    let result = std::thread::scope(|scope| {
        let mut loader = Loader::start(scope, keyspace);
        let result = replay(file, progress, |batch| loader.take(batch));
        loader.finish();
        result
    });
    bar.finish_and_clear();
    let found = result?;
    let seconds = began.elapsed().as_secs_f64();
    if !matches!(found.verdict, Verdict::New | Verdict::Damaged { .. }) {
        tracing::info!(
            "loaded {}: {} keys from {} commands in {} {}, {} bytes, in {seconds:.3} s",
            path.display(),
            keyspace.len(),
            found.records,
            found.batches,
            if found.chain.is_some() { "checksummed batches" } else { "blocks without checksums" },
            found.end,
        );
    }
    Ok(found)
}

fn damaged(path: &Path, found: &Recovery) -> Failure {
    let Verdict::Damaged { flaw, seen_at, because } = &found.verdict else {
        unreachable!("only a damaged log is refused")
    };
    let path = path.display();
    Failure::new(
        Status::Damaged,
        anyhow!(
            "{path} is damaged: the batch at byte {} (record {}) does not verify: {flaw}, seen at byte {seen_at}. This \
             is not the trace of a crash: {because}. Nothing was changed; run \"kvred aof check {path}\" to see what \
             can be saved",
            found.end,
            found.records + 1,
        ),
    )
}

fn progress_bar(len: u64) -> ProgressBar {
    /// Shorter logs are loaded before a bar could be read.
    const WORTH_A_BAR_BYTES: u64 = 32 << 20;
    if len < WORTH_A_BAR_BYTES || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("loading {bytes}/{total_bytes} {wide_bar} {bytes_per_sec}, {eta} left");
    ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A random salt for a new chain, from the system's source of randomness.
fn new_salt() -> Salt {
    Salt(super::random_u64())
}

impl Status {
    /// Turns an I/O error into a failure with this status, said with what was being done.
    fn context_of(self, doing: String) -> impl FnOnce(std::io::Error) -> Failure {
        move |e| Failure::new(self, Err::<(), _>(e).context(doing).expect_err("it is an error"))
    }
}
