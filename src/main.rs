//! Parses the arguments, runs the subcommand and turns its result into an exit code.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use kvred::args::{self, Command};
use kvred::exit::{Failure, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let result = match cli.command {
        Command::Serve(args) => kvred::server::serve(&args),
        Command::Aof(args) => kvred::aof::run(&args.command),
        Command::Cli(args) => kvred::cli::run(&args),
        Command::Bench(args) => kvred::bench::run(&args),
        Command::Completions(args) => kvred::manual::print_completions(&args),
        Command::Man(args) => kvred::manual::write_pages(&args),
    };
    match result {
        Ok(status) => status.into(),
        Err(failure) => failure.report().into(),
    }
}

/// Help that was asked for is output; help that was not, and errors, are diagnostics.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Status::Usage.into();
    }
    match printed {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(e).context("cannot write the output");
            Failure::new(Status::Unavailable, error).report().into()
        }
        _ => Status::Fine.into(),
    }
}
