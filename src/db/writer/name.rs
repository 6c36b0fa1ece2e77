//! The log's name, which somebody may take away while the server runs: it goes on in a file that no start finds.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use super::rewrite::RewriteError;
use super::{LogPlace, Writer};
use crate::persistence::disk::DiskFile;

/// What has become of the log's name.
#[derive(Debug, Error)]
pub(super) enum LostName {
    #[error("{} was removed or renamed; all data is written to a new one", .0.display())]
    Gone(PathBuf),
    #[error(
        "{} is another file by now, which is not replaced; no start would find what is written; move that away",
        .0.display()
    )]
    Taken(PathBuf),
}

impl LogPlace {
    /// Whether the log, which is `file`, is not found under its name any more. Where the system does not tell, it is.
    fn lost_name(&self, file: &dyn DiskFile) -> Option<LostName> {
        let own = file.id().ok()?;
        match self.disk.id_of(&self.name) {
            Ok(named) if named == own => None,
            // A start would replace that unasked, too.
            Ok(_) if self.has_empty_file() => Some(LostName::Gone(self.name.clone())),
            Ok(_) => Some(LostName::Taken(self.name.clone())),
            Err(e) => matches!(Errno::from_io_error(&e), Some(Errno::NOENT | Errno::LOOP))
                .then(|| LostName::Gone(self.name.clone())),
        }
    }

    fn has_empty_file(&self) -> bool {
        self.disk.open(&self.name, false).and_then(|file| file.len()).is_ok_and(|len| len == 0)
    }

    /// Fails if the log's name is another file's: nobody has asked for that one to be replaced.
    pub(super) fn refuse_taken_name(&self, file: &dyn DiskFile) -> Result<(), RewriteError> {
        match self.lost_name(file) {
            Some(LostName::Taken(name)) => Err(RewriteError::NameTaken(name)),
            _ => Ok(()),
        }
    }
}

impl Writer {
    /// With the token: a rewrite would take the name for its own file meanwhile.
    pub(super) fn lost_name(&self) -> Option<LostName> {
        let place = self.place.as_ref()?;
        let log = self.token();
        place.lost_name(&**log.aof.as_ref()?.file())
    }

    /// Has a rewrite put all data under the log's name again, if it has lost that; not at once if one came to nothing.
    pub(super) fn look_after_name(&self) {
        if let Some(lost) = self.lost_name()
            && self.rewrite_report().may_try_again(self.clock.monotonic())
        {
            tracing::error!("the append-only file has lost its name: {lost}");
            self.request_rewrite();
        }
    }
}
