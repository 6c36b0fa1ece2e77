//! Which server the flags and the environment mean, and who logs in.

use std::env;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::Context;

use super::address::{Address, Login, Target, uri_wants_tls};
use super::tls::{Tls, TlsOptions};
use crate::args::{ConnectArgs, TlsArgs};
use crate::exit::{Failure, OrExit, Status};
use crate::terminal::password;

/// Puts the target together: the socket comes before the URI, and that before host and port. Of the login, flags come
/// before the URI, and that before the environment; user and password each for itself.
pub(crate) fn target(args: &ConnectArgs, db: Option<u32>, warn_of_visible_password: bool) -> Result<Target, Failure> {
    let mut target = match (&args.socket, &args.uri) {
        (Some(path), _) => Target::new(Address::Unix(path.clone())),
        (None, Some(uri)) => Target::from_uri(uri).or_exit(Status::Usage, || "-u (or KVRED_URI)".to_owned())?,
        (None, None) if args.port == 0 => {
            // A flag that named none would have been refused.
            return Err(failure!(
                Usage,
                "KVRED_PORT names no port to connect to; give one with -p, or a socket with -s"
            ));
        }
        (None, None) => Target::new(Address::Tcp { host: args.host.clone(), port: args.port }),
    };
    target.tls = tls(&args.tls, args.socket.as_deref(), args.uri.as_deref())?;
    target.db = db.unwrap_or(target.db);
    if warn_of_visible_password && args.pass.is_some() {
        say!("warning: other users can see a password given with -a; use --askpass or KVRED_PASSWORD");
    }
    let given = given(args)?;
    let in_uri = target.login.take();
    let of_uri = in_uri.as_ref().and_then(|login| login.user.as_ref());
    let user = args.user.as_ref().or(of_uri).or(args.user_of_variable.as_ref()).cloned();
    let password = given.or_else(|| in_uri.map(|login| login.password)).or_else(from_environment);
    if password.is_none() && user.is_some() {
        return Err(failure!(
            Usage,
            "--user (or KVRED_USER) needs a password: --askpass, --password-file or KVRED_PASSWORD"
        ));
    }
    target.login = password.map(|password| Login { user, password });
    Ok(target)
}

/// Whether the flags or the URI ask for TLS.
pub(crate) fn wants_tls(args: &TlsArgs, socket: Option<&Path>, uri: Option<&str>) -> bool {
    args.tls || socket.is_none() && uri.is_some_and(uri_wants_tls)
}

/// TLS, if the flags or the URI ask for it.
pub(crate) fn tls(args: &TlsArgs, socket: Option<&Path>, uri: Option<&str>) -> Result<Option<Tls>, Failure> {
    if !wants_tls(args, socket, uri) {
        if args.any() {
            return Err(failure!(
                Usage,
                "--cacert, --cert, --key, --insecure and --sni need --tls or a URI of rediss://"
            ));
        }
        return Ok(None);
    }
    if socket.is_some() {
        return Err(failure!(Usage, "there is no TLS on a unix socket"));
    }
    let options = TlsOptions {
        ca_cert: args.cacert.clone(),
        cert: args.cert.clone(),
        key: args.key.clone(),
        insecure: args.insecure,
        sni: args.sni.clone(),
    };
    Tls::new(options).map(Some).or_unavailable(|| "TLS cannot be used".to_owned())
}

/// The password that a flag gives: asked for, from the first line of a file, or in plain sight.
fn given(args: &ConnectArgs) -> Result<Option<Vec<u8>>, Failure> {
    if args.askpass {
        return password::ask("Password: ").map(Some).map_err(|error| match error.kind() {
            ErrorKind::Interrupted => failure!(Interrupted, "interrupted; nothing was sent"),
            ErrorKind::UnexpectedEof => {
                failure!(Unavailable, "no password was given; nothing was sent")
            }
            _ => failure!(Unavailable, "cannot ask for the password: there is no terminal: {error}"),
        });
    }
    if let Some(path) = &args.password_file {
        let content = std::fs::read(path)
            .with_context(|| path.display().to_string())
            .or_unavailable(|| "cannot read the password".to_owned())?;
        return Ok(Some(password::in_file(&content).to_vec()));
    }
    Ok(args.pass.as_ref().map(|password| password.as_bytes().to_vec()))
}

/// The password in the environment.
fn from_environment() -> Option<Vec<u8>> {
    ["KVRED_PASSWORD", "REDISCLI_AUTH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(OsStringExt::into_vec)
        .find(|password| !password.is_empty())
}
