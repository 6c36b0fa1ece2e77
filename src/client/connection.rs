//! One connection to a server: connecting within a time limit, sending requests, taking replies in order.
//!
//! Requests may be sent ahead of their replies (a pipeline); the two halves can be used by two tasks. A connection
//! that failed once stays failed: there is no telling which replies are still to come.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io as io_split;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
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

/// How much room there is at least for what one read brings.
const READ_BYTES: usize = 64 * 1024;

/// Why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there, or it cannot be got at.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// What was tried.
        address: Address,
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
    #[error("cannot connect to {address}: no answer within {} s", limit.as_secs_f64())]
    TimedOut {
        /// What was tried.
        address: Address,
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
        match timeout(limit, Self::connect(address, tls)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut { address: address.clone(), limit }),
        }
    }

    async fn connect(address: &Address, tls: Option<&Tls>) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { address: address.clone(), source };
        let (read, write) = match address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
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
