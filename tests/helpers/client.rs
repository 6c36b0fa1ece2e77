//! A client that sends and expects raw bytes.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::{DEADLINE, wait_until};

/// Encodes one command as clients send it.
pub fn command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.as_ref().len()).as_bytes());
        out.extend_from_slice(arg.as_ref());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Encodes commands written as lines of words: `commands("SET a 1, GET a")`.
pub fn commands(text: &str) -> Vec<u8> {
    text.split(',').flat_map(|line| command(&line.split_whitespace().collect::<Vec<_>>())).collect()
}

/// A reply, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Null,
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
}

impl Reply {
    /// A bulk string of text.
    pub fn bulk(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    pub fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// The bytes of a bulk string.
    ///
    /// # Panics
    /// If it is something else.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Bulk(bytes) => bytes,
            other => panic!("not a bulk string: {other:?}"),
        }
    }

    /// The same as text.
    ///
    /// # Panics
    /// If it is no text.
    pub fn into_text(self) -> String {
        String::from_utf8(self.into_bytes()).expect("a reply is text")
    }

    /// The elements of an array or a map.
    ///
    /// # Panics
    /// If it is something else.
    pub fn into_array(self) -> Vec<Reply> {
        match self {
            Self::Array(elements) => elements,
            other => panic!("not an array: {other:?}"),
        }
    }
}

/// The connection broke, or the server closed it.
#[derive(Debug)]
pub struct Gone;

/// A connection to a server.
pub struct Client {
    input: BufReader<Box<dyn Read + Send>>,
    output: Box<dyn Write + Send>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    pub fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap_or_else(|e| panic!("cannot connect to port {port}: {e}"))
    }

    pub fn try_connect(port: u16) -> std::io::Result<Self> {
        Self::try_connect_to(Ipv4Addr::LOCALHOST.into(), port)
    }

    /// Another address of this machine's.
    pub fn try_connect_to(address: IpAddr, port: u16) -> std::io::Result<Self> {
        Self::over(TcpStream::connect((address, port))?)
    }

    /// One that keeps a large reply waiting at the server until it is read. Else, where the system allows that, its
    /// buffer has grown by the second one until it holds all of it.
    pub fn connect_narrow(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        set_socket_recv_buffer_size(&stream, 256 << 10).expect("a buffer's size can be set");
        Self::over(stream).expect("timeouts can be set")
    }

    fn over(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { output: Box::new(stream.try_clone()?), input: BufReader::new(Box::new(stream)) })
    }

    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|e| panic!("cannot connect to {}: {e}", path.display()));
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        let output = Box::new(stream.try_clone().expect("a socket can be cloned"));
        Self { output, input: BufReader::new(Box::new(stream)) }
    }

    /// Splits it, so that one thread can send while another reads.
    pub fn split(self) -> (Box<dyn Write + Send>, BufReader<Box<dyn Read + Send>>) {
        (self.output, self.input)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the server takes what is sent");
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Gone> {
        self.output.write_all(bytes.as_ref()).map_err(|_| Gone)
    }

    /// Reads exactly these bytes.
    ///
    /// # Panics
    /// If others come, with both.
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) -> &mut Self {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut len = 0;
        while len < got.len() {
            match self.input.read(&mut got[len..]) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(e) => panic!("{e} after {}, expected {}", shown(&got[..len]), shown(expected)),
            }
            if got[..len] != expected[..len] {
                break;
            }
        }
        assert!(got[..len] == *expected, "got {}, expected {}", shown(&got[..len]), shown(expected));
        self
    }

    /// Reads to the end, where the server closes: what still came. A reset is an end too.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(e) = self.input.read_to_end(&mut rest) {
            assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "the server does not close the connection");
        }
        rest
    }

    /// Expects the server to close without another byte.
    pub fn expect_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more came before the close: {}", shown(&rest));
    }

    /// Sends one command and reads its reply.
    pub fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.send(command(args)).reply()
    }

    /// The same on a connection that may break.
    pub fn try_ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply, Gone> {
        self.try_send(command(args))?;
        self.try_reply()
    }

    /// Sends one command, given as words, and reads its reply.
    pub fn ask_words(&mut self, words: &str) -> Reply {
        self.send(commands(words)).reply()
    }

    /// The same where the reply is a text.
    pub fn text(&mut self, words: &str) -> String {
        self.ask_words(words).into_text()
    }

    pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        assert_eq!(self.ask(&[b"SET", key.as_ref(), value.as_ref()]), Reply::ok());
    }

    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        match self.ask(&[b"GET", key.as_ref()]) {
            Reply::Bulk(value) => Some(value),
            Reply::Null => None,
            other => panic!("GET: {other:?}"),
        }
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply comes")
    }

    pub fn try_reply(&mut self) -> Result<Reply, Gone> {
        read_reply(&mut self.input, None)
    }

    /// Reads one reply and gives it as the bytes it came in.
    pub fn raw_reply(&mut self) -> Vec<u8> {
        self.reply_and_raw().1
    }

    /// Reads one reply, and gives its bytes too.
    pub fn reply_and_raw(&mut self) -> (Reply, Vec<u8>) {
        let mut raw = Vec::new();
        let reply = read_reply(&mut self.input, Some(&mut raw)).expect("a reply comes");
        (reply, raw)
    }
}

fn read_reply(input: &mut impl BufRead, mut raw: Option<&mut Vec<u8>>) -> Result<Reply, Gone> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line).map_err(|_| Gone)?;
    let Some(content) = line.strip_suffix(b"\r\n") else { return Err(Gone) };
    if let Some(raw) = raw.as_deref_mut() {
        raw.extend_from_slice(&line);
    }
    let (kind, rest) = content.split_first().expect("a line is never empty");
    let text = String::from_utf8_lossy(rest).into_owned();
    let number = || text.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {}", shown(content)));
    Ok(match kind {
        b'+' | b',' | b'#' => Reply::Simple(text),
        b'-' => Reply::Error(text),
        b':' => Reply::Integer(number()),
        b'_' => Reply::Null,
        b'$' | b'*' if number() == -1 => Reply::Null,
        b'$' | b'=' => {
            let mut bytes = vec![0; usize::try_from(number()).expect("a length") + 2];
            input.read_exact(&mut bytes).map_err(|_| Gone)?;
            if let Some(raw) = raw {
                raw.extend_from_slice(&bytes);
            }
            assert!(bytes.ends_with(b"\r\n"), "a bulk string ends in CRLF");
            bytes.truncate(bytes.len() - 2);
            Reply::Bulk(bytes)
        }
        b'*' | b'~' | b'%' => {
            let count = if *kind == b'%' { number() * 2 } else { number() };
            let elements = (0..count).map(|_| read_reply(input, raw.as_deref_mut())).collect::<Result<_, _>>()?;
            Reply::Array(elements)
        }
        _ => panic!("not a reply: {}", shown(content)),
    })
}

/// One field of `INFO`.
pub fn info(client: &mut Client, field: &str) -> String {
    let text = client.text("INFO everything");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
}

/// The same of a field that is a number.
pub fn info_number(client: &mut Client, field: &str) -> u64 {
    let value = info(client, field);
    value.parse().unwrap_or_else(|_| panic!("{field} is no number: {value}"))
}

/// Asks for a rewrite and waits for its end: whether it was a good one.
pub fn rewrite(client: &mut Client) -> bool {
    let before = info_number(client, "aof_rewrites");
    client.send("BGREWRITEAOF\r\n").expect("+Background append only file rewriting started\r\n");
    wait_until("the rewrite ends", || {
        info(client, "aof_rewrite_in_progress") == "0" && info(client, "aof_rewrite_scheduled") == "0"
    });
    info_number(client, "aof_rewrites") > before
}

/// Bytes for a person, cut where they are long.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    if bytes.len() <= MOST {
        format!("\"{}\"", bytes.escape_ascii())
    } else {
        format!("\"{}…\" ({} bytes)", bytes[..MOST].escape_ascii(), bytes.len())
    }
}
