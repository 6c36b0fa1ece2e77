//! `kvred cli`: one command, a script, a mass insertion, or an interactive session with any Redis-compatible server.
//!
//! | module | what it does |
//! |---|---|
//! | `session` | a connection that knows what a command did to it, and never sends one twice |
//! | `oneshot`, `script`, `pipe` | commands from the arguments, from lines, in bulk |
//! | `stat`, `latency`, `keys`, `bigkeys` | the modes that watch a server or walk its keys |
//! | `repl` | the interactive session |
//! | `output`, `words` | replies as text, quoting |
//! | `interrupt`, `progress`, `stop` | Ctrl-C; progress on stderr; why a run ends early |
//!
//! Data goes to stdout, everything else to stderr. The exit code tells the truth in every mode.

mod bigkeys;
mod interrupt;
mod keys;
mod latency;
mod oneshot;
mod output;
mod pipe;
mod progress;
mod repl;
mod script;
mod session;
mod stat;
mod stop;
mod words;

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::runtime::Runtime;

use self::output::{Format, Printer};
use self::session::Session;
use self::stop::Stop;
use crate::args::{CliArgs, ColorWhen, OutputFormat};
use crate::client::{EventLoop, flags};
use crate::exit::{Failure, OrExit, Status};

/// Runs `kvred cli`.
///
/// # Errors
/// Wrong usage, a server that cannot be reached, a connection that was lost.
pub fn run(args: &CliArgs, color: ColorWhen) -> Result<Status, Failure> {
    let runtime = EventLoop::new().or_unavailable(|| "cannot start the event loop".to_owned())?;
    match dispatch(args, color, &runtime) {
        Ok(status) => Ok(status),
        Err(Stop::ClosedPipe) => Ok(Status::Fine),
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

fn dispatch(args: &CliArgs, color: ColorWhen, runtime: &Runtime) -> Result<Status, Stop> {
    check_flags(args)?;
    let script = is_script(args);
    let limit = Duration::from_secs_f64(args.connect_timeout);
    let mut target = flags::target(&args.connect, args.db, !args.no_auth_warning)?;
    let printer = Printer::new(args, color);
    // As redis-cli: JSON wants the maps of RESP3, but takes what a server has that does not know it.
    let wants_maps = printer.format == Format::Json && !has_mode(args) && !args.resp2;
    target.hello = (args.resp3 || wants_maps).then_some(3);
    target.hello_may_fail = wants_maps && !args.resp3;
    if args.pipe {
        return runtime.block_on(async { pipe::run(target.connect(limit).await?, args, &printer).await });
    }
    let mut session = Session::new(target, limit);
    if script && io::stdin().is_terminal() {
        return repl::run(runtime, session, printer, color, args.resp2);
    }
    runtime.block_on(async {
        if args.stat {
            return stat::run(&mut session, args, &printer).await;
        }
        session.connect().await?;
        if args.latency {
            latency::run(&mut session, args, &printer).await
        } else if args.scan {
            keys::run(&mut session, args, &printer).await
        } else if args.bigkeys {
            bigkeys::run(&mut session, args, &printer).await
        } else if script {
            script::run(&mut session, args, &printer).await
        } else {
            oneshot::run(&mut session, args, &printer).await
        }
    })
}

/// Refuses flags that would mean nothing, or two things.
fn check_flags(args: &CliArgs) -> Result<(), Failure> {
    let walks = args.scan || args.bigkeys;
    let repeats = args.repeat.is_some() || args.stat || args.latency;
    for (is_so, what) in [
        (has_mode(args) && !args.command.is_empty(), "--pipe, --stat, --latency, --scan and --bigkeys take no command"),
        (
            args.stdin_argument && args.command.is_empty(),
            "-x needs a command whose last argument comes from the standard input",
        ),
        ((args.pattern.is_some() || args.count.is_some()) && !walks, "--pattern and --count need --scan or --bigkeys"),
        (
            args.repeat.is_some() && args.command.is_empty() && !(args.stat || args.latency),
            "-r needs a command, --stat or --latency; in a script, write the line so many times",
        ),
        (args.interval.is_some() && !(repeats || walks), "-i needs -r, --stat, --latency, --scan or --bigkeys"),
        (args.pipe_timeout.is_some() && !args.pipe, "--pipe-timeout needs --pipe"),
        (
            args.keep_going && !is_script(args),
            "--keep-going is for scripts, whose commands come from the standard input",
        ),
        (args.quoted_input && args.command.is_empty(), "--quoted-input needs a command"),
        (
            args.names_format() && args.output != OutputFormat::Auto,
            "--raw, --no-raw, --csv and --json each stand for an --output; give one of them",
        ),
    ] {
        if is_so {
            return Err(failure!(Usage, what));
        }
    }
    Ok(())
}

fn has_mode(args: &CliArgs) -> bool {
    args.pipe || args.stat || args.latency || args.scan || args.bigkeys
}

/// Whether the commands come from the standard input.
fn is_script(args: &CliArgs) -> bool {
    args.command.is_empty() && !has_mode(args)
}
