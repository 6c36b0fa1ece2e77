//! The listening sockets, and how each accepted connection is set up.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::socket::{Detached, Socket as ClientSocket};
use super::tls::{Certificates, TlsSocket};
use crate::machine::check_socket_path;

/// Redis's `tcp-keepalive` default: half-open connections are noticed after some minutes.
pub const KEEPALIVE: Duration = Duration::from_mins(5);

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Something that connections come from.
#[derive(Debug)]
pub enum Listener {
    /// TCP, and what is shown where TLS is spoken.
    Tcp(TcpListener, Option<Arc<Certificates>>),
    /// A unix socket, and its file, where that is the server's to remove.
    Unix(UnixListener, Option<SocketFile>),
}

/// The file of a unix socket: where it was made, and which it is. Another server may put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

/// A connection that was accepted and not yet given to a worker; it belongs to no runtime.
#[derive(Debug)]
pub enum Accepted {
    /// TCP, the peer, and what that will be shown if it is to speak TLS, which is yet to begin.
    Tcp(std::net::TcpStream, SocketAddr, Option<Arc<rustls::ServerConfig>>),
    /// A unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Listener {
    /// Takes a socket that listens already; TLS is spoken there if there are certificates.
    ///
    /// # Errors
    /// The event loop cannot have it.
    pub fn tcp(listener: std::net::TcpListener, certificates: Option<Arc<Certificates>>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(listener)?, certificates))
    }

    /// Listens on a unix socket, where [`make_way`] has found nothing in the way.
    ///
    /// # Errors
    /// Somebody has made a file there meanwhile.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        Ok(Self::Unix(listener, file_id(path).map(|id| SocketFile { path: path.to_owned(), id })))
    }

    /// Takes a unix socket that listens already; its file stays when the server goes.
    ///
    /// # Errors
    /// The event loop cannot have it.
    pub fn adopt_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?, None))
    }

    /// The next connection.
    ///
    /// # Errors
    /// As `accept(2)`; most pass by themselves.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, certificates) => {
                let (stream, peer) = listener.accept().await?;
                // Refused, the connection works all the same.
                drop(set_up_tcp(&stream));
                Ok(Accepted::Tcp(stream.into_std()?, peer, certificates.as_deref().map(Certificates::current)))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Only tidiness: a start over a left socket file works too.
        if let Self::Unix(_, Some(file)) = self
            && file_id(&file.path) == Some(file.id)
        {
            drop(std::fs::remove_file(&file.path));
        }
    }
}

/// Device and inode of what lies at `path`.
fn file_id(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// Takes a TCP address, where connections are still refused; port 0 takes any free one. Returns the port that it is.
///
/// # Errors
/// The address cannot be had.
pub fn bind(addr: SocketAddr) -> io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    let port = socket.local_addr()?.as_socket().unwrap_or(addr).port();
    Ok((socket, port))
}

/// Listens on an address that was taken.
///
/// # Errors
/// Somebody else listens there after all.
pub fn listen(socket: Socket) -> io::Result<std::net::TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes sure that a unix socket can be made: a socket file that nobody listens on is left from a crash and removed.
/// `dir`, absolute, is made before the socket is, with the folders on the way.
///
/// # Errors
/// The path cannot be had: it is too long or taken, or its folder cannot be written.
pub fn make_way(path: &Path, dir: Option<&Path>) -> io::Result<()> {
    check_socket_path(path)?;
    let absolute = std::path::absolute(path)?;
    let folder = absolute.parent().ok_or(io::ErrorKind::NotFound)?;
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => remove_dead_socket(path),
        Err(Errno::NOENT) if dir.is_some_and(|dir| resolved(dir).starts_with(resolved(folder))) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// `path` without links, `.` and `..`, as it is once those of its folders are made that are missing.
fn resolved(path: &Path) -> PathBuf {
    let parts: Vec<Component<'_>> = path.components().collect();
    let there =
        (0..=parts.len()).rev().find_map(|n| Some((n, parts[..n].iter().collect::<PathBuf>().canonicalize().ok()?)));
    let (known, mut resolved) = there.unwrap_or_default();
    for part in &parts[known..] {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            other => resolved.push(other),
        }
    }
    resolved
}

/// Removes a socket file that nobody listens on, if there is one.
///
/// # Errors
/// The path cannot be had: it is another kind of file, or somebody else's.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket"));
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    // While the queue of whoever listens there is full, a connection would wait, perhaps for ever.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let because = |what, e: io::Error| Err(io::Error::new(e.kind(), format!("{what}: {e}")));
    match socket.connect(&SockAddr::unix(path)?).map_err(|e| (e.kind(), e)) {
        Ok(()) | Err((io::ErrorKind::WouldBlock, _)) => Err(io::ErrorKind::AddrInUse.into()),
        Err((io::ErrorKind::ConnectionRefused, _)) => std::fs::remove_file(path)
            .or_else(|e| because("the socket that a crash has left there cannot be removed", e)),
        Err((io::ErrorKind::NotFound, _)) => Ok(()),
        Err((_, e)) => because("it exists, and whether a server listens on it cannot be told", e),
    }
}

fn set_up_tcp(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

impl Accepted {
    /// Registers the connection with the runtime of the calling thread.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub fn into_socket(self) -> io::Result<ClientSocket> {
        Ok(match self {
            Self::Tcp(stream, _, None) => Detached::Tcp(stream).attach()?,
            Self::Tcp(stream, peer, Some(config)) => {
                ClientSocket::Tls(Box::new(TlsSocket::new(TcpStream::from_std(stream)?, peer, config)?))
            }
            Self::Unix(stream) => Detached::Unix(stream).attach()?,
        })
    }

    /// The peer's address and the local one, as `CLIENT LIST` shows them.
    pub fn addresses(&self, unix_path: &Path) -> (String, String) {
        match self {
            Self::Tcp(stream, peer, _) => {
                let local = stream.local_addr().map_or_else(|_| "?:0".to_owned(), |a| a.to_string());
                (peer.to_string(), local)
            }
            Self::Unix(_) => {
                let path = format!("{}:0", unix_path.display());
                (path.clone(), path)
            }
        }
    }

    /// Whether the peer is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(_, peer, _) => peer.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Tells the peer why it is not served, as far as that is possible at once; then the connection closes.
    pub fn refuse(self, reply: &[u8]) {
        use std::io::Write;
        // A peer that cannot take a line gets none.
        drop(match self {
            Self::Tcp(mut stream, _, None) => stream.write(reply),
            // It would have to shake hands first.
            Self::Tcp(..) => Ok(0),
            Self::Unix(mut stream) => stream.write(reply),
        });
    }
}
