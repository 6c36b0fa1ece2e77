//! Log messages on stderr, as text or as JSON Lines.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;

use crate::args::{LogFormat, LogLevel};

/// Begins to log. A second call changes nothing.
pub(super) fn init(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
        || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Those are about lines that cannot be written to stderr, and go there, in a way that then ends the process.
        .log_internal_errors(false);
    // It fails only if logging has begun already.
    drop(match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    });
}
