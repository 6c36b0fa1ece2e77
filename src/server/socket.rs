//! A client's socket: readiness from tokio, reading and writing by plain calls.
//!
//! A request costs one `read` and one `write`: a read that brings less than there was room for has drained the
//! socket, so the next one waits for the next event instead of asking once more.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::protocol::rope::Rope;

/// Most pieces that one `writev` takes here.
const MAX_PIECES: usize = 64;

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// Does the same with either kind.
macro_rules! each {
    ($socket:expr, $stream:ident => $do:expr) => {
        match $socket {
            Socket::Tcp($stream) => $do,
            Socket::Unix($stream) => $do,
        }
    };
}

impl Socket {
    /// Whether something can be read, or the peer has closed.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read_ready(cx))
    }

    /// Whether something can be written.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_write_ready(cx))
    }

    /// Reads into `buffer`: how much; 0 if the peer has closed. `Ok(None)`: nothing is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let room = buffer.len();
        each!(self, stream => self.nonblocking(Interest::READABLE, room, || Ok(rustix::io::read(stream, &mut *buffer)?)))
    }

    /// Appends to `buffer` what there is, as far as its capacity goes.
    pub fn read_append(&self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let room = buffer.capacity() - buffer.len();
        each!(self, stream => self.nonblocking(Interest::READABLE, room, || {
            Ok(rustix::io::read(stream, rustix::buffer::spare_capacity(buffer))?)
        }))
    }

    /// Writes what is in `rope` from byte `skip` on: how much. `Ok(None)`: there is no room.
    pub fn write(&self, rope: &Rope, skip: usize) -> io::Result<Option<usize>> {
        let room = rope.len() - skip;
        match rope.as_single_slice() {
            Some(all) => {
                each!(self, stream => self.nonblocking(Interest::WRITABLE, room, || Ok(rustix::io::write(stream, &all[skip..])?)))
            }
            None => {
                let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
                let filled = rope.slices(skip, &mut pieces);
                let offered = pieces[..filled].iter().map(|p| p.len()).sum();
                each!(self, stream => self.nonblocking(Interest::WRITABLE, offered, || Ok(rustix::io::writev(stream, &pieces[..filled])?)))
            }
        }
    }

    /// Calls `transfer`. If that moved less than `offered`, the socket is drained (or full), and tokio is told so,
    /// as it would be by the `WouldBlock` of one more call.
    fn nonblocking(
        &self,
        interest: Interest,
        offered: usize,
        mut transfer: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        let mut moved = None;
        let result = each!(self, stream => stream.try_io(interest, || loop {
            match transfer() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) => {
                    moved = Some(n);
                    return if n < offered { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) };
                }
                Err(e) => return Err(e),
            }
        }));
        match result {
            Ok(()) => Ok(moved),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(moved),
            Err(e) => Err(e),
        }
    }
}
