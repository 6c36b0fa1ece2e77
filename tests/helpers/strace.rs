//! Programs under `strace`, where it is installed and may trace.

use std::process::{Command, Output, Stdio};

use super::{Launch, output_of, skip};

/// With this, what `strace` says on stderr is why it cannot trace; it has said else that it follows a thread, and that
/// a path of `-P` is a link.
pub const QUIET_STRACE: &str = "--quiet=attach,path-resolution";

/// Runs the binary under `strace` with these options; `None` after having said why that cannot be.
pub fn traced(options: &[&str], args: &[&str]) -> Option<Output> {
    let mut strace = Launch::clean(Command::new("strace"));
    strace.args([QUIET_STRACE, "-f"]).args(options).arg(env!("CARGO_BIN_EXE_kvred")).args(args);
    match output_of(strace.stdout(Stdio::piped()).stderr(Stdio::piped())) {
        Ok(output) => was_traced(&String::from_utf8_lossy(&output.stderr)).then_some(output),
        Err(e) => {
            skip(&format!("strace: {e}"));
            None
        }
    }
}

/// Whether it could trace, by what was said on stderr; says why not.
pub fn was_traced(stderr: &str) -> bool {
    let why = stderr.lines().find(|line| line.starts_with("strace: "));
    if let Some(why) = why {
        skip(&format!("strace cannot trace: {why}"));
    }
    why.is_none()
}
