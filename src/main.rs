//! Parses the arguments, runs the subcommand and turns its result into an exit code.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use kvred::args::{self, Command};
use kvred::exit::{Status, printed};
use rustix::process::{Resource, getrlimit};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Else such a limit, if there is one, ends the process: not what anybody hopes for, but no reason to do nothing.
    drop(take_file_size_signal());
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let result = match cli.command {
        Command::Serve(args) => kvred::server::serve(&args, cli.color),
        Command::Aof(args) => kvred::aof::run(&args.command),
        Command::Cli(args) => kvred::cli::run(&args, cli.color),
        Command::Bench(args) => kvred::bench::run(&args),
        Command::Completions(args) => kvred::manual::print_completions(&args),
        Command::Man(args) => kvred::manual::write_pages(&args),
    };
    match result {
        Ok(status) => status.into(),
        Err(failure) => failure.report().into(),
    }
}

/// Takes the signal of a write beyond the limit on the size of files (`ulimit -f`): so it is an error of that write.
/// The server, which may be given such a limit while it runs, takes it in any case.
fn take_file_size_signal() -> io::Result<()> {
    if getrlimit(Resource::Fsize).current.is_none() {
        return Ok(());
    }
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _within = runtime.enter();
    // It stays taken for as long as the process lives, though nobody listens.
    signal(SignalKind::from_raw(libc::SIGXFSZ)).map(drop)
}

/// Help that was asked for is output; help that was not, and errors, are diagnostics.
fn usage(error: &clap::Error) -> ExitCode {
    let written = error.print();
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Status::Usage.into();
    }
    match printed(written) {
        Ok(()) => Status::Fine.into(),
        Err(failure) => failure.report().into(),
    }
}
