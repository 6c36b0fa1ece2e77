//! One connection to a server: connecting within a time limit, sending requests, taking replies in order.
//!
//! Requests may be sent ahead of their replies (a pipeline); the two halves can be used by two tasks. A connection
//! that failed once stays failed: there is no telling which replies are still to come.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io as io_split;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host, tcp, unix};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::address::Address;
use super::replies::{self, Next, Reply};
use super::tls::{Tls, explain};
use crate::machine::check_socket_path;
use crate::protocol::encode;
use crate::protocol::frame::{Frame, FrameDecoder, FrameError};

/// A server's host that is gone without a word is noticed after half a minute without traffic, as by `redis-cli`.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5)).with_retries(3);

/// How long one address of several is waited for, before the next is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// How much room there is at least for what one read brings.
const READ_BYTES: usize = 64 * 1024;

/// Why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there, or it cannot be got at.
    #[error("cannot connect to {address}{tried}: {source}")]
    Unreachable {
        /// What was tried.
        address: Address,
        /// What that stands for, in brackets, if it is a name with several addresses.
        tried: String,
        /// The reason.
        source: io::Error,
    },
    /// Somebody listens there, and TLS fails.
    #[error("cannot connect to {address} by TLS: {reason}")]
    Tls {
        /// What was tried.
        address: Address,
        /// The reason, and what to do.
        reason: String,
    },
    /// Nobody answered in time.
    #[error("cannot connect to {address}{tried}: no answer within {} s", limit.as_secs_f64())]
    TimedOut {
        /// What was tried.
        address: Address,
        /// What that stands for, as in [`ClientError::Unreachable`].
        tried: String,
        /// For how long.
        limit: Duration,
    },
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server does not speak RESP.
    #[error("{error}{hint}", error = .0, hint = tls_hint(.0))]
    Frame(#[from] FrameError),
}

/// A record of TLS begins with its type: 0x15 for the alert that a server answers to what is no handshake, 0x16.
fn tls_hint(error: &FrameError) -> &'static str {
    match error {
        FrameError::UnknownType(0x15 | 0x16) => "; it seems to speak TLS: try --tls",
        _ => "",
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Where requests go.
    pub sender: Sender,
    /// Where replies come from.
    pub receiver: Receiver,
}

/// The half that requests go to.
#[derive(Debug)]
pub struct Sender(WriteHalf);

/// The half that replies come from.
#[derive(Debug)]
pub struct Receiver {
    half: ReadHalf,
    input: BytesMut,
    decoder: FrameDecoder,
    /// Whether the decoder is in the middle of a reply.
    inside: bool,
}

/// A reply that has arrived whole.
#[derive(Debug)]
pub enum Arrived<'a> {
    /// One of the common kinds, where it lies.
    Here(Reply<'a>),
    /// Any other.
    Decoded(Frame),
}

#[derive(Debug)]
enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Tls(io_split::WriteHalf<TlsStream<TcpStream>>),
}

#[derive(Debug)]
enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    /// With the socket below it, to look at without reading.
    Tls(io_split::ReadHalf<TlsStream<TcpStream>>, std::net::TcpStream),
}

impl Connection {
    /// Connects, looking the name up if it is one, and shaking hands with `tls`, within `limit` in all.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Tls`] or [`ClientError::TimedOut`].
    pub async fn open(address: &Address, tls: Option<&Tls>, limit: Duration) -> Result<Self, ClientError> {
        let mut tried = Vec::new();
        let result = timeout(limit, Self::connect(address, tls, &mut tried)).await;
        result.unwrap_or_else(|_| Err(ClientError::TimedOut { address: address.clone(), tried: told(&tried), limit }))
    }

    async fn connect(address: &Address, tls: Option<&Tls>, tried: &mut Vec<SocketAddr>) -> Result<Self, ClientError> {
        let at =
            |tried: &[_], source| ClientError::Unreachable { address: address.clone(), tried: told(tried), source };
        let unreachable = |source| at(&[], source);
        let (read, write) = match address {
            Address::Tcp { host, port } => {
                let addresses = lookup_host((host.as_str(), *port)).await.map_err(unreachable)?;
                let stream = first_of(addresses, tried).await.map_err(|e| at(tried, e))?;
                // A request goes out when it is written, not when the last one has been acknowledged.
                stream.set_nodelay(true).map_err(unreachable)?;
                // Where the system does not know of it, that is no reason to go without the connection.
                drop(SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE));
                if let Some(tls) = tls {
                    let below = SockRef::from(&stream).try_clone().map_err(unreachable)?;
                    let stream = tls.connect(stream, host).await;
                    let failed = |e| ClientError::Tls { address: address.clone(), reason: explain(&e) };
                    let (read, write) = io_split::split(stream.map_err(failed)?);
                    (ReadHalf::Tls(read, below.into()), WriteHalf::Tls(write))
                } else {
                    let (read, write) = stream.into_split();
                    (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
                }
            }
            Address::Unix(path) => {
                check_socket_path(path).map_err(unreachable)?;
                let (read, write) = UnixStream::connect(path).await.map_err(unreachable)?.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        };
        let (input, decoder) = (BytesMut::new(), FrameDecoder::default());
        let receiver = Receiver { half: read, input, decoder, inside: false };
        Ok(Self { sender: Sender(write), receiver })
    }

    /// Sends one request and waits for the frame that comes next.
    ///
    /// # Errors
    /// The connection failed; whether the request was carried out is then not known.
    pub async fn request<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Frame, ClientError> {
        self.sender.request(args).await?;
        self.receiver.next().await
    }

    /// Says whether the server has closed the connection, as far as this side has heard: a request sent now would be
    /// lost. Does not wait.
    pub fn is_closed(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match &self.receiver.half {
            ReadHalf::Tcp(half) => SockRef::from(half.as_ref()).peek(&mut byte),
            ReadHalf::Unix(half) => SockRef::from(half.as_ref()).peek(&mut byte),
            ReadHalf::Tls(_, below) => return tls_is_closed(below),
        };
        match peeked {
            Ok(read) => read == 0,
            Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

/// Connects to the first of these addresses that answers, and notes which were tried. None keeps the others waiting.
async fn first_of(addresses: impl Iterator<Item = SocketAddr>, tried: &mut Vec<SocketAddr>) -> io::Result<TcpStream> {
    let (mut addresses, mut attempts) = (addresses.peekable(), JoinSet::new());
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    loop {
        if let Some(address) = addresses.next() {
            tried.push(address);
            attempts.spawn(TcpStream::connect(address));
        }
        let wait = if addresses.peek().is_some() { HEAD_START } else { Duration::MAX };
        match timeout(wait, attempts.join_next()).await {
            Ok(Some(ended)) => match ended? {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            },
            Ok(None) => return Err(failure),
            Err(_) => {}
        }
    }
}

/// Several addresses, as they stand behind their name.
fn told(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    if addresses.len() > 1 { format!(" ({})", addresses.join(", ")) } else { String::new() }
}

/// Whether the server has said goodbye, or is gone: what waits below is nothing, or the record of an alert.
fn tls_is_closed(below: &std::net::TcpStream) -> bool {
    /// The record of an alert on its own, and of what is encrypted.
    const ALERT: u8 = 21;
    const ENCRYPTED: u8 = 23;
    /// An encrypted alert in TLS 1.3: its two bytes, its type, and the tag. No reply is as short.
    const ALERT_BYTES: [u8; 2] = [0, 2 + 1 + 16];
    let mut header = [0; 5];
    match below.peek(&mut header) {
        Ok(0) => true,
        Ok(read) => header[0] == ALERT || read == 5 && header[0] == ENCRYPTED && header[3..] == ALERT_BYTES,
        Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

/// A server that is gone without a goodbye has closed the connection like any other; what else TLS complains of is said
/// in words. (In TLS 1.3, a server that does not want the client says so only after the client's handshake.)
fn cut_off(error: &io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(0),
        kind => Err(io::Error::new(kind, explain(error))),
    }
}

impl Sender {
    /// Sends one request.
    ///
    /// # Errors
    /// The connection failed; the server may have got all, a part or nothing.
    pub async fn request<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<(), ClientError> {
        let mut out = Vec::with_capacity(16 + args.iter().map(|a| a.as_ref().len() + 16).sum::<usize>());
        encode::request(&mut out, args);
        self.send(&out).await
    }

    /// Sends encoded requests, any number of them.
    ///
    /// # Errors
    /// The connection failed; the server may have got all, a part or nothing.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        match &mut self.0 {
            WriteHalf::Tcp(half) => half.write_all(bytes).await?,
            WriteHalf::Unix(half) => half.write_all(bytes).await?,
            WriteHalf::Tls(half) => {
                half.write_all(bytes).await?;
                half.flush().await?;
            }
        }
        Ok(())
    }
}

impl Receiver {
    /// Waits for the next frame: the oldest outstanding reply, or in RESP3 a push.
    ///
    /// Cancel-safe: what has arrived is kept.
    ///
    /// # Errors
    /// The connection failed or was closed.
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            if let Some(frame) = self.ready()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Waits for more bytes from the server, and keeps them for [`Receiver::take`].
    ///
    /// Cancel-safe, as [`Self::next`] is.
    ///
    /// # Errors
    /// The connection failed or was closed.
    pub async fn fill(&mut self) -> Result<(), ClientError> {
        self.input.reserve(READ_BYTES);
        let read = match &mut self.half {
            ReadHalf::Tcp(half) => half.read_buf(&mut self.input).await?,
            ReadHalf::Unix(half) => half.read_buf(&mut self.input).await?,
            ReadHalf::Tls(half, _) => half.read_buf(&mut self.input).await.or_else(|e| cut_off(&e))?,
        };
        if read == 0 { Err(ClientError::Closed) } else { Ok(()) }
    }

    /// Whether nothing has arrived that was not taken.
    pub fn is_drained(&self) -> bool {
        self.input.is_empty()
    }

    /// Takes at most `most` of the replies that have arrived whole, shows each to `look`, and says how many there
    /// were. Replies of the common kinds are not copied.
    ///
    /// # Errors
    /// It is not RESP.
    pub fn take(&mut self, most: usize, mut look: impl FnMut(Arrived<'_>)) -> Result<usize, ClientError> {
        let (mut count, mut taken) = (0, 0);
        while count < most {
            let next = if self.inside { Next::Other } else { replies::next(&self.input[taken..])? };
            match next {
                Next::Reply(reply, bytes) => {
                    look(Arrived::Here(reply));
                    taken += bytes;
                }
                Next::More => break,
                Next::Other => {
                    self.input.advance(std::mem::take(&mut taken));
                    let frame = self.ready()?;
                    self.inside = frame.is_none();
                    let Some(frame) = frame else { break };
                    look(Arrived::Decoded(frame));
                }
            }
            count += 1;
        }
        self.input.advance(taken);
        Ok(count)
    }

    /// The next frame, if it is here already.
    ///
    /// # Errors
    /// It is not RESP.
    pub fn ready(&mut self) -> Result<Option<Frame>, ClientError> {
        Ok(self.decoder.decode(&mut self.input)?)
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn of_several_addresses_the_first_that_answers_is_taken() {
        let socket = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            let at = socket.local_addr().unwrap().as_socket().unwrap();
            (socket, at)
        };
        let ((silent, drops), (answering, answers), (_kept, refuses)) = (socket(), socket(), socket());
        silent.listen(0).unwrap();
        answering.listen(9).unwrap();
        // What does not fit into the queue of who listens is dropped without a word.
        let _fills = std::net::TcpStream::connect(drops).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first_of = |addresses: &[SocketAddr]| {
            let mut tried = Vec::new();
            let first = first_of(addresses.iter().copied(), &mut tried);
            let first = runtime.block_on(async { timeout(Duration::from_secs(20), first).await.unwrap() });
            (first.map(|stream| stream.peer_addr().unwrap()).map_err(|e| e.kind()), tried)
        };
        for (addresses, tried) in [
            (&[answers][..], 1),
            (&[answers, drops], 1),
            (&[drops, answers], 2),
            (&[refuses, drops, answers], 3),
            (&[drops, drops, refuses, answers, drops], 4),
        ] {
            assert_eq!(first_of(addresses), (Ok(answers), addresses[..tried].to_vec()));
        }
        assert_eq!(first_of(&[refuses, refuses]), (Err(io::ErrorKind::ConnectionRefused), vec![refuses, refuses]));
        assert_eq!(first_of(&[]), (Err(io::ErrorKind::InvalidInput), vec![]));
    }

    #[test]
    fn the_addresses_of_a_name_are_told_where_there_are_several() {
        let addresses = [([10, 0, 0, 1], 7).into(), "[fd99::77]:7".parse().unwrap()];
        assert_eq!((told(&addresses), told(&addresses[1..])), (" (10.0.0.1, fd99::77)".to_owned(), String::new()));
    }
}
