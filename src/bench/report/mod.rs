//! `kvred bench report`: servers of its own under each fsync policy, measured in turn over one connection.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | starts a kvred, Redis or Valkey with a policy, and ends it |
//! | `book` | what was measured, and the files that it is kept in |
//! | `summary` | `summary.md` |
//! | `chart`, `svg` | the charts |
//!
//! Whatever is finished is on disk: everything is written anew after each run.

mod book;
mod chart;
mod server;
mod summary;
mod svg;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use self::book::{Book, ReportSettings, Run};
use self::server::{Program, Running};
use super::environment::{self, Watch};
use super::phase::End;
use super::plan::{Kind, Plan};
use super::results::Settings;
use super::run::{in_turn, problems};
use super::session::{Session, Side};
use crate::args::{DataSize, Distribution, Peer, ReportArgs, Test, name_of};
use crate::exit::{Failure, OrExit, Status, print};
use crate::terminal::for_shell;

/// The tests in the order of the charts: reads, then writes.
const READS: [Test; 3] = [Test::Ping, Test::Get, Test::Exists];
const WRITES: [Test; 2] = [Test::Set, Test::Del];

/// So many keys that caches of the processor do not hold them all, and so few that they are there in no time.
const KEYS: u64 = 10_000;

/// Makes the report.
pub(super) fn run(args: &ReportArgs) -> Result<Status, Failure> {
    let mut book = match &args.resume {
        Some(root) => Book::open(root)?,
        None => begin(args)?,
    };
    let programs: Vec<Program> = book.programs.iter().map(Program::find).collect::<Result<_, _>>()?;
    let root = book.root.clone();
    for folder in ["charts", "raw"] {
        let path = root.join(folder);
        std::fs::create_dir_all(&path).or_unavailable(|| format!("cannot make {}", path.display()))?;
    }
    let mut session = Session::new(Duration::from_secs(5))?;
    session.progress.fills_silently = true;
    say!("writing to {}", root.display());
    let watch = Watch::start();
    book.warnings.extend(environment::clock_warning());
    book.warnings.extend(disk_warning(&root));
    let data = servers_folder(&root)
        .or_unavailable(|| format!("cannot make a folder for the servers in {}", root.display()))?;
    let end = policies(&programs, &data, &mut session, &mut book);
    book.warnings.extend(watch.warnings());
    // What is left of it is in nobody's way.
    drop(std::fs::remove_dir_all(&data));
    book.partial = !matches!(end, Ok(End::Finished));
    book.save()?;
    for warning in &book.warnings {
        say!("warning: {warning}");
    }
    for problem in &book.problems {
        say!("{problem}");
    }
    if book.partial {
        say!("to go on with it: kvred bench report --resume {}", for_shell(&root));
    }
    print(&format!("{}\n", root.join("summary.md").display()))?;
    match end? {
        End::Finished if book.problems.is_empty() => Ok(Status::Fine),
        End::Finished => Ok(Status::Negative),
        End::Interrupted => Ok(Status::Interrupted),
        End::Lost(reason) => Err(failure!(Unavailable, "the report ended early: {reason}")),
    }
}

/// The report that the flags mean.
fn begin(args: &ReportArgs) -> Result<Book, Failure> {
    let root = args.output.clone().unwrap_or_else(default_folder);
    if Book::lies_in(&root) {
        return Err(failure!(
            Unavailable,
            "there is a report in {} already; name a new folder, or --resume",
            root.display()
        ));
    }
    let mut fsync: Vec<String> = Vec::new();
    for name in args.fsync.iter().map(name_of) {
        if !fsync.contains(&name) {
            fsync.push(name);
        }
    }
    let settings = ReportSettings {
        ops_read: args.ops_read,
        ops_write: args.ops_write,
        repeats: args.repeats,
        warmup: args.warmup,
        load: Settings { tests: Vec::new(), ..plan(args.data, None).settings() },
    };
    Ok(Book::new(root, fsync, programs(args)?, settings))
}

fn default_folder() -> PathBuf {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    Path::new("benchmark_reports").join(now.replace(':', "-").trim_end_matches('Z'))
}

/// kvred first, then the others; where they are, from wherever the report is gone on with.
fn programs(args: &ReportArgs) -> Result<Vec<Peer>, Failure> {
    let kvred = match &args.server_bin {
        Some(path) => path.clone(),
        None => std::env::current_exe().or_unavailable(|| "cannot find this program".to_owned())?,
    };
    let kvred = Peer { name: "kvred".to_owned(), path: kvred };
    let mut programs: Vec<Peer> = Vec::new();
    for Peer { name, path } in std::iter::once(&kvred).chain(&args.peers) {
        if programs.iter().any(|known| known.name == *name) {
            return Err(failure!(Usage, "--peer: there are two servers called {name}"));
        }
        // A bare name is looked up in PATH.
        let is_bare = path.components().count() == 1;
        let path = if is_bare { Ok(path.clone()) } else { std::path::absolute(path) };
        let path = path.or_unavailable(|| format!("cannot find {name}"))?;
        if path.to_str().is_none() {
            return Err(failure!(
                Unavailable,
                "{} is not UTF-8, as a report has to note it for --resume",
                path.display()
            ));
        }
        programs.push(Peer { name: name.clone(), path });
    }
    Ok(programs)
}

/// Makes a folder for what the servers write. It is removed at the end, so it never is one that was there.
fn servers_folder(root: &Path) -> io::Result<PathBuf> {
    for n in 0_u32.. {
        let path = root.join(format!("servers-{}.{n}", std::process::id()));
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A file system in memory has no disk to wait for.
fn disk_warning(root: &Path) -> Option<String> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::statfs(root).ok()?.f_type;
    let in_memory = [TMPFS, RAMFS].contains(&kind);
    in_memory
        .then(|| format!("{} is in memory and not on a disk: what a sync costs cannot be seen; use -o", root.display()))
}

/// One run of something.
fn plan(size: DataSize, requests: Option<u64>) -> Plan {
    Plan {
        tests: Vec::new(),
        requests,
        duration: None,
        clients: 1,
        threads: 1,
        pipeline: 1,
        size,
        keyspace: KEYS,
        distribution: Distribution::Uniform,
        rate: None,
        warmup: 0,
        repeats: 1,
        seed: 1,
        verify: false,
    }
}

/// Runs what is not finished yet, policy after policy.
fn policies(programs: &[Program], data: &Path, session: &mut Session, book: &mut Book) -> Result<End, Failure> {
    let s = &book.settings;
    let runs_of_policy = u64::from(s.warmup + s.repeats) * (programs.len() * (READS.len() + WRITES.len())) as u64;
    let runs = runs_of_policy * book.policies.len() as u64;
    for (nth, policy) in book.policies.clone().iter().enumerate() {
        if is_finished(book, programs, policy) {
            continue;
        }
        let mut servers = Vec::new();
        for program in programs {
            let Some(running) = Running::start(program, policy, data, session)? else { return Ok(End::Interrupted) };
            book.meet(&program.name, &running.info)?;
            servers.push((Side::new(running.target.clone()), running));
        }
        let end = rounds(policy, &mut servers, runs_of_policy * nth as u64, runs, session, book)?;
        if end != End::Finished {
            return Ok(end);
        }
        for (_, running) in servers {
            running.end();
        }
    }
    Ok(End::Finished)
}

/// Runs what is not finished of a policy, the servers in turn; `done` of all `runs` come before it.
fn rounds(
    policy: &str,
    servers: &mut [(Side, Running)],
    mut done: u64,
    runs: u64,
    session: &mut Session,
    book: &mut Book,
) -> Result<End, Failure> {
    let s = book.settings.clone();
    for round in 0..s.warmup + s.repeats {
        let number = (round >= s.warmup).then(|| round - s.warmup + 1);
        for test in READS.into_iter().chain(WRITES) {
            let kind = Kind::Single(test);
            let requests = if WRITES.contains(&test) { s.ops_write } else { s.ops_read };
            let plan = plan(DataSize(s.load.value_bytes_min, s.load.value_bytes_max), Some(requests));
            for at in in_turn(servers.len(), round) {
                done += 1;
                let (side, running) = &mut servers[at];
                if number.is_some_and(|number| book.has(policy, &running.name, kind, number)) {
                    continue;
                }
                session.progress.prefix = format!("{done}/{runs} {policy} ");
                let run = Run { policy, server: &running.name, kind, number };
                let end = run_one(&run, side, &plan, session, book)?;
                if end != End::Finished {
                    return Ok(end);
                }
            }
        }
    }
    Ok(End::Finished)
}

/// One run; what is finished is entered and saved.
fn run_one(
    run: &Run<'_>,
    side: &mut Side,
    plan: &Plan,
    session: &mut Session,
    book: &mut Book,
) -> Result<End, Failure> {
    let what = format!("{} {}", run.server, run.kind.name());
    let outcome = session.measure(side, run.kind, plan, &what)?;
    if outcome.end != End::Finished {
        return Ok(outcome.end);
    }
    let number = run.number.map_or_else(|| "warm-up".to_owned(), |number| format!("run {number}"));
    let found = problems(&outcome.tally).into_iter();
    book.problems.extend(found.map(|problem| format!("{} {what}, {number}: {problem}", run.policy)));
    book.add(run, &outcome);
    book.save()?;
    Ok(End::Finished)
}

/// Whether no run of a policy is missing.
fn is_finished(book: &Book, programs: &[Program], policy: &str) -> bool {
    let tests = || READS.into_iter().chain(WRITES).map(Kind::Single);
    let has_all = |server: &str, kind| (1..=book.settings.repeats).all(|n| book.has(policy, server, kind, n));
    programs.iter().all(|program| tests().all(|kind| has_all(&program.name, kind)))
}
