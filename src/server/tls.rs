//! TLS: the certificates, which can be exchanged while the server runs, and a socket that speaks it.
//!
//! The socket keeps to what a connection expects of a plain one: readiness from tokio, reading and writing by calls
//! that never wait. What it promises is written only when all of it, encrypted, has gone to the kernel: so a connection
//! that closes after its last reply has sent it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

use crate::args::TlsAuthClients;
use crate::pem;
use crate::protocol::rope::Rope;
use crate::sparing::{LeftOut, Sparing};

/// How long a client may take to shake hands.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Most bytes of replies that are encrypted before the socket has taken what was encrypted before them.
const CHUNK_BYTES: usize = 64 << 10;

/// Most pieces of replies that one chunk is made of.
const MAX_PIECES: usize = 64;

/// The lines about clients that are refused.
static REFUSALS: Sparing = Sparing::new();

/// Where keys and certificates lie, and what clients must show.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and the CA's; PEM.
    pub cert: PathBuf,
    /// Its private key; PEM.
    pub key: PathBuf,
    /// The certificates of the CAs that sign clients' certificates; PEM.
    pub ca_cert: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub auth_clients: TlsAuthClients,
}

/// The certificates in use.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    current: Mutex<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// A file cannot be read, or what is in it does not fit together.
    pub fn load(files: TlsFiles) -> Result<Self> {
        let config = read(&files)?;
        Ok(Self { files, current: Mutex::new(config) })
    }

    /// Reads them anew, and logs what came of it, if a client has asked not always: whether new connections use them.
    /// If not, those in use stay.
    pub fn reload(&self, by_client: bool) -> bool {
        static TOLD: Sparing = Sparing::new();
        static REFUSED: Sparing = Sparing::new();
        let due = |lines: &Sparing| if by_client { lines.due() } else { Some(LeftOut::default()) };
        match read(&self.files) {
            Ok(config) => {
                *self.current.lock() = config;
                if let Some(left_out) = due(&TOLD) {
                    tracing::info!("the TLS certificates were read anew; new connections use them{left_out}");
                }
                true
            }
            Err(e) => {
                if let Some(left_out) = due(&REFUSED) {
                    tracing::error!(
                        "the TLS certificates stay as they were, the new ones cannot be used: {e:#}{left_out}"
                    );
                }
                false
            }
        }
    }

    /// What new connections use.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock())
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let chain = pem::certificates(&files.cert)?;
    let key = pem::private_key(&files.key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("the TLS library has no protocol version")?;
    let builder = match (files.auth_clients, &files.ca_cert) {
        (TlsAuthClients::No, _) => builder.with_no_client_auth(),
        (_, None) => {
            bail!("--tls-auth-clients needs --tls-ca-cert-file; `--tls-auth-clients no` asks for no certificates")
        }
        (wanted, Some(file)) => {
            let roots = Arc::new(pem::roots(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = if wanted == TlsAuthClients::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().context("clients' certificates cannot be verified")?)
        }
    };
    let config = builder.with_single_cert(chain, key).with_context(|| pem::do_not_fit(&files.cert, &files.key))?;
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A connected stream that speaks TLS.
pub struct TlsSocket {
    stream: TcpStream,
    peer: SocketAddr,
    session: RefCell<ServerConnection>,
    /// Decrypted and not yet taken.
    readable_bytes: Cell<usize>,
    /// Bytes of replies that are encrypted, and not all of them written: they are not reported yet.
    in_flight_bytes: Cell<usize>,
}

impl fmt::Debug for TlsSocket {
    /// Without the session, which holds keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSocket").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl TlsSocket {
    /// A connection whose client has yet to begin.
    ///
    /// # Errors
    /// The library refuses the settings.
    pub fn new(stream: TcpStream, peer: SocketAddr, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self {
            stream,
            peer,
            session: RefCell::new(session),
            readable_bytes: Cell::new(0),
            in_flight_bytes: Cell::new(0),
        })
    }

    /// Whether the client has not finished its handshake.
    pub fn is_handshaking(&self) -> bool {
        self.session.borrow().is_handshaking()
    }

    /// Whether something can be read, or written that the protocol itself has to say.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.readable_bytes.get() > 0 {
            return Poll::Ready(Ok(()));
        }
        if self.in_flight_bytes.get() == 0 && self.session.borrow().wants_write() {
            // `read` says it.
            if let Poll::Ready(result) = self.stream.poll_write_ready(cx) {
                return Poll::Ready(result);
            }
        }
        self.stream.poll_read_ready(cx)
    }

    /// Whether something can be written.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Reads into `buffer`: how much; 0 if the peer has closed. `Ok(None)`: nothing is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            if self.in_flight_bytes.get() == 0 {
                write_tls(session, &self.stream)?;
            }
            match session.reader().read(buffer) {
                Ok(read) => {
                    self.readable_bytes.set(self.readable_bytes.get().saturating_sub(read));
                    return Ok(Some(read));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.readable_bytes.set(0),
                // Closed without a goodbye: a client that was killed.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(0)),
                Err(e) => return Err(e),
            }
            match session.read_tls(&mut Stream(&self.stream)) {
                Ok(0) if session.is_handshaking() => return Ok(Some(0)),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            }
            let shook_hands = !session.is_handshaking();
            match session.process_new_packets() {
                Ok(state) => self.readable_bytes.set(state.plaintext_bytes_to_read()),
                Err(e) => {
                    // The peer is told, as far as that is possible at once.
                    drop(write_tls(session, &self.stream));
                    if shook_hands {
                        tracing::debug!(addr = %self.peer, "a TLS connection fails: {e}");
                    } else if let Some(left_out) = REFUSALS.due() {
                        tracing::info!(addr = %self.peer, "a client is refused by TLS: {}{left_out}", why(&e));
                    }
                    return Err(io::Error::new(io::ErrorKind::InvalidData, e));
                }
            }
        }
    }

    /// Writes what is in `rope` from byte `skip` on: how much. `Ok(None)`: there is no room, and the same is to be
    /// offered again.
    pub fn write(&self, rope: &Rope, skip: usize) -> io::Result<Option<usize>> {
        let session = &mut *self.session.borrow_mut();
        let mut written = 0;
        loop {
            if self.in_flight_bytes.get() == 0 {
                self.in_flight_bytes.set(encrypt(session, rope, skip + written)?);
            }
            if !write_tls(session, &self.stream)? {
                return Ok((written > 0).then_some(written));
            }
            let sent = self.in_flight_bytes.take();
            if sent == 0 {
                return Ok((written > 0).then_some(written));
            }
            written += sent;
        }
    }
}

impl Drop for TlsSocket {
    fn drop(&mut self) {
        // A goodbye, so that the client can tell this from a connection that was cut; without it, it is one.
        let session = self.session.get_mut();
        if !session.is_handshaking() {
            session.send_close_notify();
            drop(write_tls(session, &self.stream));
        }
    }
}

/// Encrypts a chunk of `rope` from byte `skip` on: how much of it.
fn encrypt(session: &mut ServerConnection, rope: &Rope, skip: usize) -> io::Result<usize> {
    let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
    let filled = rope.slices(skip, &mut pieces);
    let mut taken = 0;
    for piece in &pieces[..filled] {
        let offered = &piece[..piece.len().min(CHUNK_BYTES - taken)];
        let accepted = session.writer().write(offered)?;
        taken += accepted;
        if accepted < piece.len() {
            break;
        }
    }
    Ok(taken)
}

/// Writes what is encrypted: whether that was all of it.
fn write_tls(session: &mut ServerConnection, stream: &TcpStream) -> io::Result<bool> {
    while session.wants_write() {
        match session.write_tls(&mut Stream(stream)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// What went wrong, for the log.
fn why(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => "it does not speak TLS (is it meant for the other port?)".to_owned(),
        other => other.to_string(),
    }
}

/// The stream, for the library to read and write; it never waits.
struct Stream<'s>(&'s TcpStream);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retrying(|| self.0.try_read(buffer))
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retrying(|| self.0.try_write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        retrying(|| self.0.try_write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn retrying(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
