//! Who a client is, and how it is served: `HELLO`, `AUTH`, `RESET`, `SELECT`, `QUIT`, `CLIENT`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{After, Context, REDIS_VERSION, rest};
use crate::command::errors::{CommandError, c_string};
use crate::protocol::decode::Args;
use crate::protocol::encode::{Resp, array, bulk, integer, map, null, simple};
use crate::protocol::number::parse_i64;
use crate::server::clients::Client;
use crate::server::worker::session::{Answers, Session};

pub(super) fn quit(out: &mut Vec<u8>) -> After {
    simple(out, "OK");
    After::Close
}

pub(super) fn hello(args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let resp = match (args.len() > 1).then(|| parse_i64(args.at(1))) {
        None => context.session.resp,
        Some(Some(2)) => Resp::V2,
        Some(Some(3)) => Resp::V3,
        Some(Some(_)) => return Err(CommandError::NoProto),
        Some(None) => return Err(CommandError::ProtocolVersion),
    };
    let (mut credentials, mut name) = (None, None);
    let mut options = args.from(args.len().min(2));
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"AUTH") && options.len() >= 2 {
            credentials = options.next().zip(options.next());
        } else if option.eq_ignore_ascii_case(b"SETNAME") && options.len() >= 1 {
            let given = options.next();
            if !is_printable(given.unwrap_or_default()) {
                return Err(CommandError::ClientName);
            }
            name = given;
        } else {
            return Err(CommandError::hello_option(option));
        }
    }
    if let Some((user, password)) = credentials {
        check_password(user, password, context)?;
        context.session.authenticated = true;
    } else if !context.session.authenticated {
        return Err(CommandError::NoAuthHello);
    }
    if let Some(name) = name {
        context.client.about.lock().name = name.to_vec();
    }
    context.session.resp = resp;
    context.client.about.lock().resp = resp;

    map(out, 7, resp);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        bulk(out, field.as_bytes());
        bulk(out, value.as_bytes());
    }
    bulk(out, b"proto");
    integer(out, if resp == Resp::V3 { 3 } else { 2 });
    bulk(out, b"id");
    integer(out, context.client.id.cast_signed());
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        bulk(out, field.as_bytes());
        bulk(out, value.as_bytes());
    }
    bulk(out, b"modules");
    array(out, 0);
    Ok(())
}

pub(super) fn auth(args: Args<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let (user, password) = match args.len() {
        2 if context.server().config.password.is_none() => return Err(CommandError::AuthWithoutPassword),
        2 => (&b"default"[..], args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(CommandError::Syntax),
    };
    check_password(user, password, context)?;
    context.session.authenticated = true;
    simple(out, "OK");
    Ok(())
}

/// There is one user, `default`; without a password set, any is right for it, as in Redis.
fn check_password(user: &[u8], password: &[u8], context: &Context<'_>) -> Result<(), CommandError> {
    let right = match &context.server().config.password {
        Some(expected) => expected.matches(password),
        None => true,
    };
    if right && user == b"default" { Ok(()) } else { Err(CommandError::WrongPass) }
}

pub(super) fn reset(context: &mut Context<'_>, out: &mut Vec<u8>) {
    context.session.resp = Resp::V2;
    context.session.authenticated = context.server().config.password.is_none();
    if context.session.answers != Answers::SkipThis {
        context.session.answers = Answers::All;
    }
    context.client.about.lock().reset();
    simple(out, "RESET");
}

pub(super) fn select(args: Args<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    match parse_i64(args.at(1)).map(i32::try_from) {
        Some(Ok(0)) => simple(out, "OK"),
        Some(Ok(_)) => return Err(CommandError::DbIndex),
        Some(Err(_)) => return Err(CommandError::NotAnInt32),
        None => return Err(CommandError::NotAnInteger),
    }
    Ok(())
}

pub(super) fn get_name(client: &Client, resp: Resp, out: &mut Vec<u8>) {
    match &client.about.lock().name {
        name if name.is_empty() => null(out, resp),
        name => bulk(out, name),
    }
}

pub(super) fn set_name(args: Args<'_>, client: &Client, out: &mut Vec<u8>) -> Result<(), CommandError> {
    if !is_printable(args.at(2)) {
        return Err(CommandError::ClientName);
    }
    client.about.lock().name = args.at(2).to_vec();
    simple(out, "OK");
    Ok(())
}

/// Redis takes no spaces, control characters or bytes beyond ASCII in names, as far as it looks: to the first NUL.
fn is_printable(text: &[u8]) -> bool {
    c_string(text, usize::MAX).iter().all(|c| (b'!'..=b'~').contains(c))
}

pub(super) fn set_info(args: Args<'_>, client: &Client, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let (option, value) = (args.at(2), args.at(3));
    let mut about = client.about.lock();
    let field = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut about.lib_name,
        b"lib-ver" => &mut about.lib_version,
        _ => return Err(CommandError::client_info_option(option)),
    };
    if !is_printable(value) {
        return Err(CommandError::client_info_value(option));
    }
    *field = value.to_vec();
    simple(out, "OK");
    Ok(())
}

pub(super) fn info(context: &Context<'_>, out: &mut Vec<u8>) {
    let mut line = context.client.describe(context.worker.now_seconds());
    line.push(b'\n');
    bulk(out, &line);
}

pub(super) fn reply(args: Args<'_>, session: &mut Session, out: &mut Vec<u8>) -> Result<(), CommandError> {
    session.answers = match args.at(2).to_ascii_lowercase().as_slice() {
        b"on" => Answers::All,
        b"off" => Answers::None,
        // Where nothing is answered, there is nothing to skip.
        b"skip" if session.answers == Answers::None => Answers::None,
        b"skip" => Answers::SkipNext,
        _ => return Err(CommandError::Syntax),
    };
    simple(out, "OK");
    Ok(())
}

pub(super) fn no_evict(args: Args<'_>, client: &Client, out: &mut Vec<u8>) -> Result<(), CommandError> {
    client.about.lock().no_evict = on_or_off(args.at(2))?;
    simple(out, "OK");
    Ok(())
}

pub(super) fn no_touch(args: Args<'_>, client: &Client, out: &mut Vec<u8>) -> Result<(), CommandError> {
    client.about.lock().no_touch = on_or_off(args.at(2))?;
    simple(out, "OK");
    Ok(())
}

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

pub(super) fn list(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let filter = rest(args, 2);
    let clients = context.server().clients.all();
    let chosen = match filter[..] {
        [] => clients,
        [word, kind] if word.eq_ignore_ascii_case(b"TYPE") => {
            if is_type_of_all(kind)? {
                clients
            } else {
                Vec::new()
            }
        }
        [word, ref ids @ ..] if word.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
            let ids = ids.iter().map(|id| parse_i64(id).ok_or(CommandError::InvalidClientId));
            let ids = ids.collect::<Result<Vec<i64>, _>>()?;
            let by_id = |id| clients.binary_search_by_key(&id, |c| c.id.cast_signed()).ok();
            ids.into_iter().filter_map(by_id).map(|at| Arc::clone(&clients[at])).collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    let mut lines = Vec::new();
    for client in chosen {
        lines.extend_from_slice(&client.describe(context.worker.now_seconds()));
        lines.push(b'\n');
    }
    bulk(out, &lines);
    Ok(())
}

/// Whether a type of clients is the one that all have here, and not one that nobody has.
fn is_type_of_all(kind: &[u8]) -> Result<bool, CommandError> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => Err(CommandError::client_type(kind)),
    }
}

/// Which clients `CLIENT KILL` means. Of a filter that is given twice, the last counts.
#[derive(Default)]
struct Filters<'a> {
    id: Option<i64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    /// Of a type that nobody has here.
    of_no_type: bool,
    least_age_seconds: i64,
    with_me: bool,
}

impl<'a> Filters<'a> {
    /// `[ID id] [ADDR addr] [LADDR addr] [TYPE type] [USER user] [MAXAGE seconds] [SKIPME yes|no]`. What is wrong is
    /// found from left to right: that the last one lacks its value, last.
    fn parse(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Self, CommandError> {
        let mut filters = Self::default();
        while let Some(option) = words.next() {
            let value = words.next().ok_or(CommandError::Syntax)?;
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_i64(value).filter(|id| *id > 0);
                    filters.id = Some(id.ok_or(CommandError::ClientIdNotPositive)?);
                }
                b"addr" => filters.addr = Some(value),
                b"laddr" => filters.laddr = Some(value),
                b"user" if value == b"default" => {}
                b"user" => return Err(CommandError::no_such_user(value)),
                b"type" => filters.of_no_type = !is_type_of_all(value)?,
                b"skipme" => {
                    filters.with_me = match value.to_ascii_lowercase().as_slice() {
                        b"yes" => false,
                        b"no" => true,
                        _ => return Err(CommandError::Syntax),
                    }
                }
                b"maxage" => {
                    filters.least_age_seconds = parse_i64(value).ok_or(CommandError::MaxAgeNotAnInteger)?;
                    if filters.least_age_seconds <= 0 {
                        return Err(CommandError::MaxAgeNotPositive);
                    }
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(filters)
    }

    fn fit(&self, client: &Client, mine: u64) -> bool {
        self.id.is_none_or(|id| client.id.cast_signed() == id)
            && self.addr.is_none_or(|addr| client.addr.as_bytes() == addr)
            && self.laddr.is_none_or(|laddr| client.laddr.as_bytes() == laddr)
            && !self.of_no_type
            && client.age_seconds().cast_signed() >= self.least_age_seconds
            && (self.with_me || client.id != mine)
    }
}

/// `CLIENT KILL addr`, or `CLIENT KILL` with filters.
pub(super) fn kill(args: Args<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<After, CommandError> {
    let old_form = args.len() == 3;
    let filters = if old_form {
        Filters { addr: Some(args.at(2)), with_me: true, ..Filters::default() }
    } else {
        Filters::parse(args.from(2))?
    };
    let (clients, mine) = (&context.server().clients, context.client.id);
    let mut chosen = clients.all();
    chosen.retain(|client| filters.fit(client, mine));
    if old_form && chosen.is_empty() {
        return Err(CommandError::NoSuchClient);
    }
    // Once this is answered, they are not there any more.
    chosen.retain(|c| c.id == mine || clients.remove(c));
    let mark = |client: &Arc<Client>| {
        client.killed.store(true, Ordering::SeqCst);
        client.worker.load(Ordering::SeqCst)
    };
    // Once each: a worker looks through all that it serves.
    let workers: BTreeSet<usize> = chosen.iter().filter(|c| c.id != mine).map(mark).collect();
    for worker in workers {
        context.server().sweep(worker);
    }
    if old_form {
        simple(out, "OK");
    } else {
        integer(out, chosen.len() as i64);
    }
    Ok(if chosen.iter().any(|c| c.id == mine) { After::Close } else { After::GoOn })
}
