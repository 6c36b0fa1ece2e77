//! Which server the flags and the environment mean, and who logs in.

use std::env;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::args::{CliArgs, TlsArgs};
use crate::client::address::uri_wants_tls;
use crate::client::{Address, Login, Target, Tls};
use crate::exit::{Failure, OrExit, Status};

/// Puts the target together: the socket comes before the URI, and that before host and port.
pub(crate) fn target(args: &CliArgs) -> Result<Target, Failure> {
    let mut target = match (&args.socket, &args.uri) {
        (Some(path), _) => Target::new(Address::Unix(path.clone())),
        (None, Some(uri)) => Target::from_uri(uri).or_exit(Status::Usage, || "-u".to_owned())?,
        (None, None) => Target::new(Address::Tcp { host: args.host.clone(), port: args.port }),
    };
    target.tls = tls(&args.tls, args.socket.as_deref(), args.uri.as_deref())?;
    if let Some(db) = args.db {
        target.db = db;
    }
    target.hello = match (args.resp2, args.resp3) {
        (_, true) => Some(3),
        (true, _) => Some(2),
        _ => None,
    };
    if let Some(password) = given(args)? {
        let user = args.user.clone().or_else(|| target.login.take().and_then(|login| login.user));
        target.login = Some(Login { user, password });
    } else if let Some(login) = &mut target.login {
        login.user = args.user.clone().or_else(|| login.user.take());
    } else if let Some(password) = from_environment() {
        target.login = Some(Login { user: args.user.clone(), password });
    } else if args.user.is_some() {
        let error = anyhow!("--user needs a password: --askpass, --password-file or KVRED_PASSWORD");
        return Err(Failure::new(Status::Usage, error));
    }
    Ok(target)
}

/// TLS, if the flags or the URI ask for it.
pub(crate) fn tls(args: &TlsArgs, socket: Option<&Path>, uri: Option<&str>) -> Result<Option<Tls>, Failure> {
    let by_uri = socket.is_none() && uri.is_some_and(uri_wants_tls);
    if !args.tls && !by_uri {
        if args.any() {
            let error = anyhow!("--cacert, --cert, --key, --insecure and --sni need --tls or a URI of rediss://");
            return Err(Failure::new(Status::Usage, error));
        }
        return Ok(None);
    }
    if socket.is_some() {
        return Err(Failure::new(Status::Usage, anyhow!("there is no TLS on a unix socket")));
    }
    Tls::new(args.options()).map(Some).or_exit(Status::Unavailable, || "TLS cannot be used".to_owned())
}

/// The password that a flag gives.
fn given(args: &CliArgs) -> Result<Option<Vec<u8>>, Failure> {
    if let (Some(_), false) = (&args.pass, args.no_auth_warning) {
        warn_of_visible_password();
    }
    password(args.askpass, args.password_file.as_deref(), args.pass.as_deref())
}

/// Says what is wrong with `-a`.
pub(crate) fn warn_of_visible_password() {
    eprintln!("warning: other users can see a password given with -a; use --askpass or KVRED_PASSWORD");
}

/// The password that one of the three gives: asked for, from the first line of a file, or in plain sight.
pub(crate) fn password(ask: bool, file: Option<&Path>, plain: Option<&str>) -> Result<Option<Vec<u8>>, Failure> {
    if ask {
        let password = rpassword::prompt_password("Password: ")
            .or_exit(Status::Unavailable, || "cannot ask for the password: there is no terminal".to_owned())?;
        return Ok(Some(password.into_bytes()));
    }
    if let Some(path) = file {
        let bytes = std::fs::read(path)
            .with_context(|| path.display().to_string())
            .or_exit(Status::Unavailable, || "cannot read the password".to_owned())?;
        let line = bytes.split(|&c| c == b'\n').next().unwrap_or_default();
        return Ok(Some(line.strip_suffix(b"\r").unwrap_or(line).to_vec()));
    }
    Ok(plain.map(|password| password.as_bytes().to_vec()))
}

/// The password in the environment.
pub(crate) fn from_environment() -> Option<Vec<u8>> {
    ["KVRED_PASSWORD", "REDISCLI_AUTH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(OsStringExt::into_vec)
        .find(|password| !password.is_empty())
}
