//! Passwords: the question for one, and the line of a file that is one. What is typed is not shown, and the terminal is
//! left as it was, whatever is typed.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// What Ctrl-C types where it sends no signal.
const CTRL_C: u8 = 3;

/// Asks at the terminal, wherever the standard streams go.
///
/// # Errors
/// There is no terminal; [`ErrorKind::Interrupted`]: Ctrl-C; [`ErrorKind::UnexpectedEof`]: Ctrl-D.
pub(crate) fn ask(prompt: &str) -> io::Result<Vec<u8>> {
    let mut terminal = Silent::open()?;
    terminal.file.write_all(prompt.as_bytes())?;
    let line = terminal.read_line();
    // The one that was typed is not shown either.
    terminal.file.write_all(b"\n")?;
    line
}

/// The password in a file's content: its first line.
pub(crate) fn in_file(content: &[u8]) -> &[u8] {
    let line = content.split(|&c| c == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A terminal that shows nothing of what is typed.
struct Silent {
    file: File,
    before: Termios,
}

impl Silent {
    fn open() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&file)?;
        let mut silent = before.clone();
        // A signal would end the process before the terminal is as it was: Ctrl-C ends the line instead.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        silent.local_modes.insert(LocalModes::ICANON);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(&file, OptionalActions::Now, &silent)?;
        Ok(Self { file, before })
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let (mut line, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.file.read(&mut part)?;
            line.extend_from_slice(&part[..read]);
            match line.last() {
                None => return Err(ErrorKind::UnexpectedEof.into()),
                Some(&CTRL_C) => return Err(ErrorKind::Interrupted.into()),
                Some(b'\n') => line.truncate(line.len() - 1),
                Some(_) if read > 0 => continue,
                Some(_) => {}
            }
            return Ok(line);
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nobody is left to be told.
        tcsetattr(&self.file, OptionalActions::Now, &self.before).ok();
    }
}
