//! The history file: under the state directory, readable by its owner only, and never with a password in it.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use rustyline::Editor;
use rustyline::history::FileHistory;

use super::helper::ReplHelper;
use super::secrets::holds_secret;

/// How many lines are kept.
pub(crate) const MAX_LINES: usize = 10_000;

/// Where the history is kept.
#[derive(Debug)]
pub(crate) struct History {
    /// `None`: nowhere, because there is no place for it, or nobody wants one.
    path: Option<PathBuf>,
}

impl History {
    /// Loads the history into the editor. A file that cannot be had is said, and is no reason not to go on.
    pub(crate) fn load(editor: &mut Editor<ReplHelper, FileHistory>) -> Self {
        let Some(path) = path() else {
            return Self { path: None };
        };
        match fs::metadata(&path).map(|there| there.file_type()) {
            // As /dev/null, by whatever name.
            Ok(kind) if kind.is_char_device() => return Self { path: None },
            // Its mode is not ours to change, and a fifo would be waited for.
            Ok(kind) if !kind.is_file() => {
                say!("(no history is kept: {}: it is no regular file)", path.display());
                return Self { path: None };
            }
            _ => {}
        }
        let result = prepare(&path).map_err(rustyline::error::ReadlineError::from);
        match result.and_then(|()| editor.load_history(&path)) {
            Ok(()) => Self { path: Some(path) },
            Err(error) => {
                say!("(no history is kept: {}: {error})", path.display());
                Self { path: None }
            }
        }
    }

    /// Adds what was typed, in memory and at once in the file, so a crash loses nothing and sessions share it.
    pub(crate) fn add(&mut self, editor: &mut Editor<ReplHelper, FileHistory>, input: &str) {
        // A line that begins with a space is one not to be remembered, as in shells; the editor leaves it out.
        if input.trim().is_empty() || holds_secret(input) || !matches!(editor.add_history_entry(input), Ok(true)) {
            return;
        }
        if let Some(path) = &self.path {
            let result = editor.append_history(path);
            if let Err(error) = result.and_then(|()| Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)) {
                say!("(no history is kept: {}: {error})", path.display());
                self.path = None;
            }
        }
    }
}

/// `KVRED_HISTFILE`, else `cli_history` under `$XDG_STATE_HOME/kvred` or `~/.local/state/kvred`.
fn path() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = env::var_os("KVRED_HISTFILE") {
        let file = PathBuf::from(file);
        return (!file.as_os_str().is_empty()).then_some(file);
    }
    // The specification has relative paths ignored.
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("kvred/cli_history"))
}

/// Makes the file with its mode, before anything is written to it.
fn prepare(path: &std::path::Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    drop(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?);
    fs::set_permissions(path, Permissions::from_mode(0o600))
}
