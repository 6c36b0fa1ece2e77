//! Where `-o` leads. What is wrong with it is found before the run, whose figures would be lost otherwise.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use anyhow::anyhow;
use rustix::fs::{Access, access, fstat};

use super::output::save;
use crate::exit::{Failure, OrExit, print, unless_closed};

/// What takes the results.
#[derive(Debug)]
pub(super) enum Destination {
    /// The standard output, which then gets no table beside them.
    Stdout,
    /// A regular file, replaced in one step.
    File(PathBuf),
    /// What must stay what it is: a pipe, a device. It is open from the start, since a pipe that nobody reads yet waits
    /// for somebody, and Ctrl-C ends that only before the run.
    Stream(PathBuf, File),
}

impl Destination {
    /// What `path` names, behind all symbolic links.
    ///
    /// # Errors
    /// Nothing can be written there: exit code 3.
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        let cannot = || format!("cannot write {}", path.display());
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let found = match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.or_unavailable(cannot)?),
        };
        // What ends in a slash can be nothing else once it is there.
        let is_dir = found.as_ref().map_or(path.as_os_str().as_encoded_bytes().ends_with(b"/"), fs::Metadata::is_dir);
        match found {
            _ if is_dir => Err(anyhow!("it is a directory; name a file in it")).or_unavailable(cannot),
            Some(found) if is_stdout(&found) => Ok(Self::Stdout),
            Some(found) if !found.is_file() => {
                let file = File::options().write(true).open(path).or_unavailable(cannot)?;
                Ok(Self::Stream(path.to_owned(), file))
            }
            found => {
                let file = if found.is_some() { path.canonicalize() } else { new_file(path) };
                let file = file.or_unavailable(cannot)?;
                let dir = file.parent().unwrap_or(Path::new("/"));
                access(dir, Access::WRITE_OK | Access::EXEC_OK)
                    .or_unavailable(|| format!("cannot write {}: the directory {}", path.display(), dir.display()))?;
                Ok(Self::File(file))
            }
        }
    }

    /// Writes the results.
    ///
    /// # Errors
    /// The results cannot be written: exit code 3.
    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => print(text),
            Self::File(path) => save(path, text),
            Self::Stream(path, file) => {
                let mut stream: &File = file;
                unless_closed(stream.write_all(text.as_bytes()))
                    .or_unavailable(|| format!("cannot write {}", path.display()))
            }
        }
    }
}

fn is_stdout(found: &fs::Metadata) -> bool {
    fstat(io::stdout()).is_ok_and(|out| (out.st_dev, out.st_ino) == (found.dev(), found.ino()))
}

/// Where a file that is not there yet comes to lie: a symbolic link may wait for it.
fn new_file(path: &Path) -> io::Result<PathBuf> {
    let path = absolute(path)?;
    Ok(fs::read_link(&path).map_or(path.clone(), |target| path.with_file_name("").join(target)))
}
