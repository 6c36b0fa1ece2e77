//! `kvred completions` and `kvred man`: what packages install beside the binary, made from the flags in `args`.
//!
//! | module | what it does |
//! |---|---|
//! | `completions` | the completion script for a shell |
//! | `page`, `text` | a man page; the end of `--help`, read for it |
//!
//! The same files stand under `completions/` and `man/`; `tests/package` fails when they are stale.

mod completions;
mod page;
mod text;

pub use self::completions::script;
pub use self::page::{Page, pages};
use crate::args::{CompletionsArgs, ManArgs};
use crate::exit::{Failure, OrExit, Status, no_directory, print};

/// Prints the completion script for a shell.
///
/// # Errors
/// It cannot be written to the standard output.
pub fn print_completions(args: &CompletionsArgs) -> Result<Status, Failure> {
    print(&script(args.shell)).map(|()| Status::Fine)
}

/// Writes the man pages into a directory.
///
/// # Errors
/// The directory or a page cannot be written.
pub fn write_pages(args: &ManArgs) -> Result<Status, Failure> {
    let doing = |path: &std::path::Path| format!("{} cannot be written", path.display());
    std::fs::create_dir_all(&args.dir).map_err(no_directory).or_unavailable(|| doing(&args.dir))?;
    let pages = pages();
    for page in &pages {
        let path = args.dir.join(&page.file_name);
        std::fs::write(&path, &page.roff).or_unavailable(|| doing(&path))?;
    }
    say!("wrote {} pages to {}", pages.len(), args.dir.display());
    Ok(Status::Fine)
}
