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

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::anyhow;

use self::book::{Book, Run};
use self::server::{Program, Running};
use super::environment::{self, Watch};
use super::phase::End;
use super::plan::{Kind, Plan};
use super::run::problems;
use super::session::{Session, Side};
use crate::args::{Distribution, Fsync, ReportArgs, Test};
use crate::exit::{Failure, OrExit, Status};

/// The tests in the order of the charts: reads, then writes.
const READS: [Test; 3] = [Test::Ping, Test::Get, Test::Exists];
const WRITES: [Test; 2] = [Test::Set, Test::Del];

/// So many keys that caches of the processor do not hold them all, and so few that they are there in no time.
const KEYS: u64 = 10_000;

/// Makes the report.
pub(super) fn run(args: &ReportArgs) -> Result<Status, Failure> {
    let programs = programs(args)?;
    let root = args.output.clone().unwrap_or_else(default_folder);
    for folder in ["charts", "raw"] {
        let path = root.join(folder);
        std::fs::create_dir_all(&path).or_exit(Status::Unavailable, || format!("cannot make {}", path.display()))?;
    }
    let mut session = Session::new(Duration::from_secs(5))?;
    session.progress.fills_silently = true;
    session.progress.say(&format!("writing to {}", root.display()));
    let watch = Watch::start();
    let mut book = Book::new(args, &root, plan(args, READS[0]).settings());
    book.warnings.extend(environment::clock_warning());
    book.warnings.extend(disk_warning(&root));
    let data = root.join("data");
    let end = policies(args, &programs, &data, &mut session, &mut book);
    book.warnings.extend(watch.warnings());
    // What is left of it is in nobody's way.
    drop(std::fs::remove_dir_all(&data));
    book.partial = !matches!(end, Ok(End::Finished));
    book.save()?;
    for warning in &book.warnings {
        session.progress.say(&format!("warning: {warning}"));
    }
    super::output::print(&format!("{}\n", root.join("summary.md").display()))?;
    match end? {
        End::Finished if book.problems.is_empty() => Ok(Status::Fine),
        End::Finished => {
            for problem in &book.problems {
                session.progress.say(problem);
            }
            Ok(Status::Negative)
        }
        End::Interrupted => Ok(Status::Interrupted),
        End::Lost(reason) => Err(Failure::new(Status::Unavailable, anyhow!("the report ended early: {reason}"))),
    }
}

fn default_folder() -> PathBuf {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    Path::new("benchmark_reports").join(now.replace(':', "-").trim_end_matches('Z'))
}

/// kvred first, then the others.
fn programs(args: &ReportArgs) -> Result<Vec<Program>, Failure> {
    let kvred = match &args.server_bin {
        Some(path) => path.clone(),
        None => std::env::current_exe().or_exit(Status::Unavailable, || "cannot find this program".to_owned())?,
    };
    let mut programs = vec![Program::find("kvred", &kvred)?];
    for peer in &args.peers {
        if programs.iter().any(|known| known.name == peer.name) {
            let error = anyhow!("--peer: there are two servers called {}", peer.name);
            return Err(Failure::new(Status::Usage, error));
        }
        programs.push(Program::find(&peer.name, &peer.path)?);
    }
    Ok(programs)
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

fn plan(args: &ReportArgs, test: Test) -> Plan {
    let requests = if WRITES.contains(&test) { args.ops_write } else { args.ops_read };
    Plan {
        tests: vec![Kind::Single(test)],
        requests: Some(requests),
        duration: None,
        clients: 1,
        threads: 1,
        pipeline: 1,
        size: args.data,
        keyspace: KEYS,
        distribution: Distribution::Uniform,
        rate: None,
        warmup: 0,
        repeats: args.repeats,
        seed: 1,
        verify: false,
    }
}

fn policies(
    args: &ReportArgs,
    programs: &[Program],
    data: &Path,
    session: &mut Session,
    book: &mut Book,
) -> Result<End, Failure> {
    let mut policies: Vec<Fsync> = Vec::new();
    for &policy in &args.fsync {
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    let runs = policies.len() * programs.len() * (READS.len() + WRITES.len()) * (args.repeats + args.warmup) as usize;
    let mut done = 0;
    for policy in policies {
        let mut servers = Vec::new();
        for program in programs {
            let Some(running) = Running::start(program, policy, data, session)? else { return Ok(End::Interrupted) };
            book.servers.insert(program.name.clone(), running.info.clone());
            servers.push((Side::new(running.target.clone()), running));
        }
        for round in 0..args.warmup + args.repeats {
            for test in READS.into_iter().chain(WRITES) {
                // In turn, and each second time the other way round.
                let mut order: Vec<usize> = (0..servers.len()).collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                for at in order {
                    done += 1;
                    session.progress.prefix = format!("{done}/{runs} {} ", policy_name(policy));
                    let (side, running) = &mut servers[at];
                    let kind = Kind::Single(test);
                    let what = format!("{} {}", running.name, kind.name());
                    let outcome = session.measure(side, kind, &plan(args, test), &what)?;
                    if outcome.end != End::Finished {
                        return Ok(outcome.end);
                    }
                    for problem in problems(&outcome.tally) {
                        book.problems.push(format!("{} {what}: {problem}", policy_name(policy)));
                    }
                    let number = (round >= args.warmup).then(|| round - args.warmup + 1);
                    book.add(&Run { policy: policy_name(policy), server: &running.name, kind, number, outcome });
                    book.save()?;
                }
            }
        }
        for (_, running) in servers {
            running.end();
        }
    }
    Ok(End::Finished)
}

fn policy_name(policy: Fsync) -> &'static str {
    match policy {
        Fsync::Always => "always",
        Fsync::Everysec => "everysec",
        Fsync::None => "none",
    }
}
