//! Where a server is, and who asks: addresses, logins and the URIs that hold both.
//!
//! `redis://[[user:]password@]host[:port][/db]` and `unix://[[user:]password@]/path[?db=n]`, percent-encoded, as
//! `redis-cli -u` reads them.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::tls::Tls;

/// The port that a `redis://` URI without one means.
pub const REDIS_URI_PORT: u16 = 6379;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host, by name or number, and its port.
    Tcp {
        /// A name, or an IP address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What `AUTH` is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, where it is not the default one.
    pub user: Option<String>,
    /// The password, any bytes.
    pub password: Vec<u8>,
}

impl fmt::Debug for Login {
    /// Leaves the password out: it must never come into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A server and the state that a connection to it starts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// Who asks.
    pub login: Option<Login>,
    /// The database that is selected.
    pub db: u32,
    /// The protocol to ask for with `HELLO`; `None`: no `HELLO` is sent, so RESP2.
    pub hello: Option<u8>,
    /// Whether a server that refuses `HELLO` is spoken to all the same, in RESP2.
    pub hello_may_fail: bool,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
}

/// Whether a URI asks for TLS.
pub fn uri_wants_tls(uri: &str) -> bool {
    let scheme = uri.split("://").next().unwrap_or_default();
    ["rediss", "valkeys"].iter().any(|s| s.eq_ignore_ascii_case(scheme))
}

impl Target {
    /// A server as it is found, without a login.
    pub fn new(address: Address) -> Self {
        Self { address, login: None, db: 0, hello: None, hello_may_fail: false, tls: None }
    }

    /// Reads a URI. Of TLS, it can only ask for it ([`uri_wants_tls`]): whom to trust, it does not say.
    ///
    /// # Errors
    /// [`UriError`], which says what is wrong with it, and never repeats the password.
    pub fn from_uri(uri: &str) -> Result<Self, UriError> {
        let (scheme, rest) = uri.split_once("://").ok_or(UriError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" | "kvred" | "rediss" | "valkeys" => tcp(rest),
            "unix" | "redis+unix" => unix(rest),
            _ => Err(UriError::Scheme),
        }
    }
}

/// What is wrong with a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UriError {
    /// None of `redis://`, `rediss://` and `unix://`.
    #[error("a server's URI is redis://[[user:]password@]host[:port][/db] or unix:///path")]
    Scheme,
    /// No number, or too large a one.
    #[error("the port in the URI is not a number from 1 to 65535")]
    Port,
    /// No number, or too large a one.
    #[error("the database in the URI is not a number")]
    Db,
    /// A `%` without two hexadecimal digits, or what it spells is not UTF-8.
    #[error("the URI has a bad %-escape")]
    Escape,
}

fn tcp(rest: &str) -> Result<Target, UriError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, host_port) = login(authority)?;
    let (host, port) = match host_port.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => host_port.rsplit_once(':').map_or((host_port, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|&p| p != 0).ok_or(UriError::Port)?,
        None => REDIS_URI_PORT,
    };
    let host = if host.is_empty() { "127.0.0.1".to_owned() } else { text(host)? };
    let path = path.split('?').next().unwrap_or_default();
    let db = if path.is_empty() { 0 } else { path.parse().map_err(|_| UriError::Db)? };
    Ok(Target { login, db, ..Target::new(Address::Tcp { host, port }) })
}

fn unix(rest: &str) -> Result<Target, UriError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A login stands before the first slash, where the path begins.
    let (authority, path) = rest.split_at(rest.find('/').ok_or(UriError::Scheme)?);
    let (login, _) = login(authority)?;
    let db = match query.split('&').find_map(|pair| pair.strip_prefix("db=")) {
        Some(db) => db.parse().map_err(|_| UriError::Db)?,
        None => 0,
    };
    Ok(Target { login, db, ..Target::new(Address::Unix(PathBuf::from(text(path)?))) })
}

/// Splits a login off; a word without a colon is the password, as for `redis-cli`.
fn login(authority: &str) -> Result<(Option<Login>, &str), UriError> {
    let Some((login, host)) = authority.rsplit_once('@') else {
        return Ok((None, authority));
    };
    let (user, password) = login.split_once(':').map_or(("", login), |pair| pair);
    let user = if user.is_empty() { None } else { Some(text(user)?) };
    Ok((Some(Login { user, password: bytes(password)? }), host))
}

fn text(encoded: &str) -> Result<String, UriError> {
    String::from_utf8(bytes(encoded)?).map_err(|_| UriError::Escape)
}

fn bytes(encoded: &str) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&c, behind)) = rest.split_first() {
        rest = behind;
        if c != b'%' {
            out.push(c);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or(UriError::Escape)?;
        // A number may have a sign.
        let digits = str::from_utf8(digits).ok().filter(|digits| !digits.contains('+')).ok_or(UriError::Escape)?;
        out.push(u8::from_str_radix(digits, 16).map_err(|_| UriError::Escape)?);
        rest = behind;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_say_where_and_who() {
        let tcp = |host: &str, port| Address::Tcp { host: host.to_owned(), port };
        let cases = [
            ("redis://h", tcp("h", 6379), None, 0),
            ("redis://h:7/3", tcp("h", 7), None, 3),
            ("redis://", tcp("127.0.0.1", 6379), None, 0),
            ("redis://[::1]:7", tcp("::1", 7), None, 0),
            ("redis://pw@h", tcp("h", 6379), Some((None, "pw")), 0),
            ("redis://:pw@h", tcp("h", 6379), Some((None, "pw")), 0),
            ("redis://ann:p%40%2f:x@h:7/1", tcp("h", 7), Some((Some("ann"), "p@/:x")), 1),
            ("rediss://pw@h", tcp("h", 6379), Some((None, "pw")), 0),
            ("unix:///tmp/a%20b?db=2", Address::Unix("/tmp/a b".into()), None, 2),
            ("unix://ann:pw@/tmp/s", Address::Unix("/tmp/s".into()), Some((Some("ann"), "pw")), 0),
        ];
        for (uri, address, login, db) in cases {
            let target = Target::from_uri(uri).unwrap();
            let login = login
                .map(|(user, pw): (Option<&str>, &str)| Login { user: user.map(str::to_owned), password: pw.into() });
            assert_eq!(target, Target { login, db, ..Target::new(address) }, "{uri}");
            assert_eq!(uri_wants_tls(uri), uri.starts_with("rediss"), "{uri}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_uri_is_said_without_its_password() {
        for (uri, error) in [
            ("h:7", UriError::Scheme),
            ("http://h", UriError::Scheme),
            ("unix://h", UriError::Scheme),
            ("redis://secret@h:x", UriError::Port),
            ("redis://h:0", UriError::Port),
            ("redis://h/x", UriError::Db),
            ("redis://a%zz@h", UriError::Escape),
            ("redis://a%2@h", UriError::Escape),
            ("redis://a%+5@h", UriError::Escape),
        ] {
            assert_eq!(Target::from_uri(uri), Err(error), "{uri}");
            assert!(!error.to_string().contains("secret"));
        }
        let login = Login { user: None, password: b"secret".to_vec() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
