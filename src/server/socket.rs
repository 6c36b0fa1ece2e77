//! A client's socket: readiness from tokio, reading and writing by plain calls.
//!
//! A request costs one `recv` and one `send`: a `recv` that brings less than there was room for has drained the
//! socket, so the next one waits for the next event instead of asking once more. (`read` and `write` do the same, after
//! what Linux does for files of all kinds: some 3 % of a request.) It may also have stopped at TCP's urgent data, which
//! Redis's protocol has no use for: what follows is then read with what is sent next.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::tls::TlsSocket;
use crate::protocol::rope::Rope;

/// What one read by TLS can bring, since what is decrypted at a time is a record.
const TLS_RECORD_BYTES: usize = 16 << 10;

/// Most pieces that one `writev` takes here.
const MAX_PIECES: usize = 64;

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP; what it keeps lies elsewhere, so that plain sockets stay small.
    Tls(Box<TlsSocket>),
}

/// A stream that belongs to no runtime.
#[derive(Debug)]
pub enum Detached {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// Registers it with the runtime of the calling thread.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub fn attach(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// Does the same with either plain kind, and something else with TLS.
macro_rules! each {
    ($socket:expr, $stream:ident => $do:expr, $tls:ident => $do_tls:expr) => {
        match $socket {
            Socket::Tcp($stream) => $do,
            Socket::Unix($stream) => $do,
            Socket::Tls($tls) => $do_tls,
        }
    };
}

/// Does one transfer as [`transfer`] has it.
macro_rules! nonblocking {
    ($stream:expr, $interest:expr, $offered:expr, $call:expr) => {{
        let mut moved = None;
        let result = $stream.try_io($interest, || transfer($offered, &mut moved, || Ok($call?)));
        outcome(result, moved)
    }};
}

impl Socket {
    /// Whether something can be read, or the peer has closed.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read_ready(cx), tls => tls.poll_read_ready(cx))
    }

    /// Whether something can be written.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_write_ready(cx), tls => tls.poll_write_ready(cx))
    }

    /// Reads into `buffer`: how much; 0 if the peer has closed. `Ok(None)`: nothing is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let room = buffer.len();
        each!(
            self,
            stream => nonblocking!(
                stream,
                Interest::READABLE,
                room,
                recv(stream, &mut *buffer, RecvFlags::empty()).map(|(_, read)| read)
            ),
            tls => tls.read(buffer)
        )
    }

    /// Appends to `buffer` what there is, as far as its capacity goes.
    pub fn read_append(&self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let room = buffer.capacity() - buffer.len();
        each!(
            self,
            stream => nonblocking!(
                stream,
                Interest::READABLE,
                room,
                recv(stream, spare_capacity(buffer), RecvFlags::empty()).map(|(read, _)| read)
            ),
            tls => {
                let there = buffer.len();
                let read = tls.read(tls_room(buffer));
                buffer.truncate(there + read.as_ref().ok().copied().flatten().unwrap_or(0));
                read
            }
        )
    }

    /// Writes what is in `rope` from byte `skip` on: how much. `Ok(None)`: there is no room.
    pub fn write(&self, rope: &Rope, skip: usize) -> io::Result<Option<usize>> {
        let room = rope.len() - skip;
        each!(
            self,
            stream => match rope.as_single_slice() {
                Some(all) => {
                    nonblocking!(stream, Interest::WRITABLE, room, send(stream, &all[skip..], SendFlags::NOSIGNAL))
                }
                None => {
                    let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
                    let filled = rope.slices(skip, &mut pieces);
                    let offered = pieces[..filled].iter().map(|p| p.len()).sum();
                    nonblocking!(stream, Interest::WRITABLE, offered, rustix::io::writev(stream, &pieces[..filled]))
                }
            },
            tls => tls.write(rope, skip)
        )
    }

    /// Whether [`Socket::detach`] is for it: what TLS keeps belongs to its thread.
    pub fn can_move(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Takes it out of its runtime.
    ///
    /// # Errors
    /// It speaks TLS, or the runtime cannot let it go.
    pub fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(stream) => Ok(Detached::Tcp(stream.into_std()?)),
            Self::Unix(stream) => Ok(Detached::Unix(stream.into_std()?)),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether it speaks TLS and the client has not finished its handshake.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_handshaking())
    }
}

/// Grows `buffer` by what TLS is to read into. That is zeroed first, so it is no more than one read brings: all the
/// room that is made for a large value would be zeroed again with each of its records.
fn tls_room(buffer: &mut Vec<u8>) -> &mut [u8] {
    let there = buffer.len();
    let room = (buffer.capacity() - there).min(TLS_RECORD_BYTES);
    buffer.resize(there + room, 0);
    &mut buffer[there..]
}

/// Calls `call`. If that moved less than `offered`, the socket is drained (or full), and tokio is told so, as it would
/// be by the `WouldBlock` of one more call.
fn transfer(offered: usize, moved: &mut Option<usize>, mut call: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(n) => {
                *moved = Some(n);
                return if n < offered { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) };
            }
            Err(e) => return Err(e),
        }
    }
}

fn outcome(result: io::Result<()>, moved: Option<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(()) => Ok(moved),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(moved),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_by_tls_zeroes_no_more_than_it_brings() {
        let mut buffer = Vec::with_capacity(10 << 20);
        for bytes in [0, 5, 1 << 20] {
            buffer.resize(bytes, b'x');
            let room = tls_room(&mut buffer);
            assert_eq!(room.len(), TLS_RECORD_BYTES);
            assert!(room.iter().all(|byte| *byte == 0));
            buffer.truncate(bytes);
        }
        buffer.resize(buffer.capacity() - 3, b'x');
        assert_eq!(tls_room(&mut buffer), [0; 3], "as far as the capacity goes");
        assert!(tls_room(&mut buffer).is_empty());
    }
}
