//! Where clients are served: addresses are taken before the log is loaded, so that one in use is told at once, and
//! listened on after it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use socket2::Socket;

use super::config::{self, Config};
use super::listen::{self, Listener};
use super::systemd::Handed;
use super::tls::Certificates;
use crate::args::ServeArgs;
use crate::exit::{Failure, OrExit, Status};

/// Addresses that are this server's, and on which nobody is served yet.
pub struct Addresses {
    certificates: Option<Arc<Certificates>>,
    sockets: Sockets,
}

/// What is going to be listened on.
enum Sockets {
    /// What systemd listens on.
    Handed(Handed),
    /// This server's own.
    Own(Vec<Taken>),
}

/// A TCP address that is this server's.
struct Taken {
    address: SocketAddr,
    socket: Socket,
    /// `None`: TLS is not spoken there.
    certificates: Option<Arc<Certificates>>,
}

impl Addresses {
    /// Takes what systemd hands over, or else the addresses of the flags.
    ///
    /// # Errors
    /// An address is another's; a certificate, or a socket that was handed over, cannot be used.
    pub fn take(config: &mut Config, args: &ServeArgs) -> Result<Self, Failure> {
        let handed = Handed::take().or_unavailable(|| "a socket that was handed over cannot be used".to_owned())?;
        match &handed {
            Some(handed) => check_handed(handed, config, args)?,
            None => config::check_tls_port(args).map_err(|e| Failure::new(Status::Usage, e))?,
        }
        let certificates = config.tls.clone().map(Certificates::load).transpose();
        let certificates = certificates.or_unavailable(|| "TLS cannot be offered".to_owned())?;
        let certificates = certificates.map(Arc::new);
        let sockets = match handed {
            Some(handed) => Sockets::Handed(handed),
            None => {
                config.bind = addresses_of(&args.bind)?;
                Sockets::Own(take_addresses(config, certificates.as_ref())?)
            }
        };
        Ok(Self { certificates, sockets })
    }

    /// What is shown to those who speak TLS.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// Listens on them: from now on clients can connect.
    ///
    /// # Errors
    /// Somebody else listens there after all; the file of the unix socket cannot be made.
    pub fn listen(self, config: &mut Config) -> Result<Vec<Listener>, Failure> {
        match self.sockets {
            Sockets::Handed(handed) => adopt_listeners(config, self.certificates.as_ref(), handed),
            Sockets::Own(taken) => open_listeners(config, taken),
        }
    }
}

/// The addresses of these names, without a port. Each once: a second time it could not be listened on.
fn addresses_of(names: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut once = Vec::new();
    for name in names {
        let all = (name.as_str(), 0).to_socket_addrs();
        let all = all.or_unavailable(|| format!("--bind (or KVRED_BIND): the address of {name} cannot be found"))?;
        // Of several, those count that this machine has: `localhost` names `::1` even where there is no IPv6.
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            all.map(with_scope_that_counts).partition(|address| listen::bind(*address).is_ok());
        for address in if here.is_empty() { elsewhere } else { here } {
            if !once.contains(&address) {
                once.push(address);
            }
        }
    }
    Ok(once)
}

/// An address with its scope, the interface, only if it is link-local: each link can have the same one. Any other would
/// be taken for two addresses, with the scope and without.
fn with_scope_that_counts(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(address) = &mut address
        && !address.ip().is_unicast_link_local()
    {
        address.set_scope_id(0);
    }
    address
}

/// `address` with this port.
pub fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Takes the addresses of the flags. A unix socket has a file, which is made when it is listened on.
fn take_addresses(config: &mut Config, certificates: Option<&Arc<Certificates>>) -> Result<Vec<Taken>, Failure> {
    let mut taken: Vec<Taken> = Vec::new();
    for address in &config.bind {
        let tls_port = config.tls_port.as_mut().zip(certificates);
        let ports = config.port.as_mut().map(|port| (port, None)).into_iter();
        for (port, certificates) in ports.chain(tls_port.map(|(port, certificates)| (port, Some(certificates)))) {
            let mut address = with_port(*address, *port);
            // Both could be taken: it is only listening that would fail.
            if let Some(error) = taken.iter().find_map(|other| conflict(other.address, address)) {
                return Err(Failure::new(Status::Usage, error));
            }
            let bound = listen::bind(address).map_err(|e| cannot_listen_on(address, certificates.is_some(), &e));
            let (socket, given) = bound?;
            // With port 0, all addresses share the port that the first was given.
            *port = given;
            address.set_port(given);
            taken.push(Taken { address, socket, certificates: certificates.cloned() });
        }
    }
    if let Some(path) = &config.unix_socket {
        let dir = config.append_only.then_some(&*config.dir);
        listen::make_way(path, dir).map_err(|e| cannot_listen_on_unix(path, &e))?;
    }
    Ok(taken)
}

/// Why only one of two addresses could be listened on. IPv6 is taken without IPv4: see [`listen::bind`].
fn conflict(one: SocketAddr, other: SocketAddr) -> Option<anyhow::Error> {
    let (port, a, b) = (one.port(), one.ip(), other.ip());
    if port != other.port() || a.is_ipv4() != b.is_ipv4() {
        return None;
    }
    // An address is named once, so it comes again with the other port.
    if one == other {
        return Some(anyhow!("--port and --tls-port (or KVRED_PORT and KVRED_TLS_PORT) are both {port}: give two"));
    }
    let (all, part) = if a.is_unspecified() { (a, b) } else { (b, a) };
    all.is_unspecified().then(|| anyhow!("--bind (or KVRED_BIND) names {all}, which has {part} in it: leave one out"))
}

fn open_listeners(config: &Config, taken: Vec<Taken>) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::new();
    for Taken { address, socket, certificates } in taken {
        let is_tls = certificates.is_some();
        let listener = listen::listen(socket).and_then(|listener| Listener::tcp(listener, certificates));
        listeners.push(listener.map_err(|e| cannot_listen_on(address, is_tls, &e))?);
    }
    if let Some(path) = &config.unix_socket {
        listeners.push(Listener::unix(path).map_err(|e| cannot_listen_on_unix(path, &e))?);
    }
    Ok(listeners)
}

/// Why an address cannot be had, and what to do.
fn cannot_listen_on(address: SocketAddr, is_tls: bool, error: &io::Error) -> Failure {
    let flag = if is_tls { "--tls-port" } else { "--port" };
    let why = match error.kind() {
        ErrorKind::AddrInUse => in_use(flag),
        ErrorKind::AddrNotAvailable => "no interface of this machine has it; see --bind".to_owned(),
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            format!("permission denied; choose a {flag} from 1024 on")
        }
        _ => error.to_string(),
    };
    failure!(Unavailable, "cannot listen on {address}: {why}")
}

fn cannot_listen_on_unix(path: &Path, error: &io::Error) -> Failure {
    let why = if error.kind() == ErrorKind::AddrInUse { in_use("--unixsocket") } else { error.to_string() };
    failure!(Unavailable, "cannot listen on the unix socket {}: {why}", path.display())
}

fn in_use(flag: &str) -> String {
    format!("address already in use; stop what listens there, or choose another {flag}")
}

/// Checks that systemd hands over what the flags wish for. Without TLS that was wished for nothing is served: it would
/// all go in plain text.
fn check_handed(handed: &Handed, config: &Config, args: &ServeArgs) -> Result<(), Failure> {
    match config::given_tls_file(args) {
        Some(flag) if handed.tls.is_empty() => {
            return Err(failure!(
                Usage,
                "{flag} is given, with --tls-port or without, but no socket for TLS was handed over: name one in its unit \
                 (FileDescriptorName=tls), or leave the flags for TLS out"
            ));
        }
        _ if !handed.tls.is_empty() && config.tls.is_none() => {
            let missing = if args.tls_cert_file.is_none() { "--tls-cert-file" } else { "--tls-key-file" };
            return Err(failure!(Usage, "a socket for TLS was handed over, but there is no {missing}"));
        }
        _ => {}
    }
    if config.port.is_none() && !handed.tcp.is_empty() {
        tracing::warn!("--port none (or KVRED_PORT) is not heeded: a socket for plain text was handed over");
    }
    let is_at = |socket: &UnixListener, path: &Path| socket.local_addr().is_ok_and(|at| at.as_pathname() == Some(path));
    if let Some(path) = &config.unix_socket
        && !handed.unix.iter().any(|socket| is_at(socket, path))
    {
        tracing::warn!(
            "--unixsocket (or KVRED_UNIXSOCKET) is not heeded: sockets were handed over, and {} is not among them",
            path.display()
        );
    }
    Ok(())
}

/// Takes the sockets that systemd listens on; what the flags say of addresses and ports does not count then.
fn adopt_listeners(
    config: &mut Config,
    certificates: Option<&Arc<Certificates>>,
    handed: Handed,
) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::new();
    let failed = || "a socket that was handed over cannot be used".to_owned();
    (config.bind, config.port, config.tls_port, config.unix_socket) = (Vec::new(), None, None, None);
    let plain_and_tls = [(handed.tcp, None, &mut config.port), (handed.tls, certificates, &mut config.tls_port)];
    for (sockets, certificates, port) in plain_and_tls {
        for listener in sockets {
            let address = listener.local_addr().or_unavailable(failed)?;
            let without_port = with_port(address, 0);
            if !config.bind.contains(&without_port) {
                config.bind.push(without_port);
            }
            *port = Some(address.port());
            let listener = Listener::tcp(listener, certificates.cloned());
            listeners.push(listener.or_unavailable(failed)?);
        }
    }
    for listener in handed.unix {
        let address = listener.local_addr().or_unavailable(failed)?;
        config.unix_socket = address.as_pathname().map(Path::to_owned);
        listeners.push(Listener::adopt_unix(listener).or_unavailable(failed)?);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without its interface an address of a link cannot be listened on, and the same is one on each.
    #[test]
    fn an_address_keeps_its_scope_and_each_is_taken_once() {
        let names = ["fe80::1%1", "fe80::1%2", "fe80::1%1", "127.0.0.1", "127.0.0.1"].map(str::to_owned);
        let found = addresses_of(&names).unwrap_or_else(|e| panic!("{e:#}"));
        assert_eq!(found.len(), 3, "{found:?}");
        let scopes = found.iter().filter_map(|a| if let SocketAddr::V6(a) = a { Some(a.scope_id()) } else { None });
        assert_eq!(scopes.collect::<Vec<_>>(), [1, 2]);
        let conflicts = |i: usize, j: usize| conflict(found[i], found[j]).is_some();
        assert!(!conflicts(0, 1) && conflicts(0, 0));
    }
}
