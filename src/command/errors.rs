//! What can be wrong with a command, as the exact reply.
//!
//! An error displays as its reply without the leading `-` and the line end; the texts are those of Redis 8.0, and
//! the tests pin them. Replies that repeat a client's bytes hold these bytes as they came: [`CommandError::encode`]
//! sends them, only without line ends, `Display` shows them as a terminal may have them.

use std::fmt;

use super::refused::{self, Family};
use super::spec::CommandSpec;
use crate::protocol::decode::Args;
use crate::protocol::encode;
use crate::terminal::shown;

/// How much of an unknown command's name, and of all its arguments together, Redis repeats.
const ECHO_LEN_MAX: usize = 128;

/// A command that is not carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A name, a subcommand, an option, a setting, a type of client or a user that is not known.
    #[error("{0}")]
    Unknown(Echo),
    /// A command takes another number of arguments; a subcommand's name is `client|id`.
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(&'static str),
    /// An option is unknown, repeated or lacks its value.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument that must be a number is none, or too large.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// An argument that must be a number of 32 bits is larger.
    #[error("ERR value is out of range, value must between -2147483648 and 2147483647")]
    NotAnInt32,
    /// `CLIENT KILL MAXAGE` with an age that is no number.
    #[error("ERR maxage is not an integer or out of range")]
    MaxAgeNotAnInteger,
    /// `CLIENT KILL MAXAGE` with an age that cannot be.
    #[error("ERR maxage should be greater than 0")]
    MaxAgeNotPositive,
    /// `SELECT` of a database other than 0.
    #[error("ERR DB index is out of range")]
    DbIndex,
    /// `SCAN` with a cursor that is no number.
    #[error("ERR invalid cursor")]
    InvalidCursor,
    /// `SCAN` with an option of `HSCAN`'s.
    #[error("ERR NOVALUES option can only be used in HSCAN")]
    ScanNoValues,
    /// A command before `AUTH`, where a password is set.
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// `HELLO` without `AUTH`, where a password is set.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
         <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
         same time"
    )]
    NoAuthHello,
    /// A wrong user or password.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    /// `AUTH password` where no password is set.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    AuthWithoutPassword,
    /// `HELLO` with a version other than 2 and 3.
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    /// `HELLO` with a version that is no number.
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolVersion,
    /// A connection's name with a space or a control character.
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// `COMMAND GETKEYS` of an unknown command.
    #[error("ERR Invalid command specified")]
    GetKeysCommand,
    /// `COMMAND GETKEYS` of a command without keys.
    #[error("ERR The command has no key arguments")]
    GetKeysNoKeys,
    /// `COMMAND GETKEYS` of a call with the wrong number of arguments.
    #[error("ERR Invalid number of arguments specified for command")]
    GetKeysArity,
    /// `CLIENT LIST ID` with something that is no id.
    #[error("ERR Invalid client ID")]
    InvalidClientId,
    /// `CLIENT KILL ID` with something that is no id.
    #[error("ERR client-id should be greater than 0")]
    ClientIdNotPositive,
    /// `CLIENT KILL` of an address that nobody has.
    #[error("ERR No such client")]
    NoSuchClient,
    /// `CONFIG SET` of a value that cannot be.
    #[error("ERR CONFIG SET failed (possibly related to argument '{0}') - {1}")]
    SettingRefused(String, String),
    /// `BGREWRITEAOF` while one is under way.
    #[error("ERR Background append only file rewriting already in progress")]
    RewriteInProgress,
    /// `BGREWRITEAOF` where there is no log.
    #[error("ERR BGREWRITEAOF cannot be used when appendonly is disabled.")]
    NoLog,
    /// `WAITAOF` for a log where there is none.
    #[error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")]
    NoLocalLog,
    /// `WAITAOF` for more logs than there can be.
    #[error("ERR value is out of range, value must between 0 and 1")]
    OneLocalLog,
    /// `WAITAOF` for a number of replicas that is none, or negative.
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    /// `WAITAOF` with a timeout that is no number.
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNotAnInteger,
    /// `WAITAOF` with a negative timeout.
    #[error("ERR timeout is negative")]
    NegativeTimeout,
    /// `WAITAOF` with a timeout that ends beyond what 64 bits of milliseconds hold.
    #[error("ERR timeout is out of range")]
    TimeoutOutOfRange,
    /// `WAITAOF` when a sync failed.
    #[error("{0}")]
    SyncFailed(String),
    /// `SLOWLOG GET` of a number of entries that cannot be.
    #[error("ERR count should be greater than or equal to -1")]
    CountTooSmall,
    /// `SHUTDOWN ABORT` while none is under way.
    #[error("ERR No shutdown in progress.")]
    NoShutdown,
    /// Past `maxmemory`; nothing is evicted.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// A command whose effect does not fit into one batch of the log beside others.
    #[error("ERR the command's effect is larger than 960 MiB, which the append-only file cannot hold as one step")]
    TooLargeToLog,
    /// A command of Redis's that kvred does not offer.
    #[error("ERR '{command}' is not supported: {family}")]
    NotSupported {
        /// The command in lower case.
        command: &'static str,
        /// What kvred goes without.
        family: Family,
    },
    /// A command that Redis, too, offers only as part of a cluster.
    #[error("ERR This instance has cluster support disabled")]
    NoCluster,
    /// An option of an offered command that belongs to what kvred does not offer (`SET key value EX 1`).
    #[error("ERR option '{option}' of '{command}' is not supported: {family}")]
    OptionNotSupported {
        /// The command in lower case.
        command: &'static str,
        /// The option in upper case.
        option: &'static str,
        /// What kvred goes without.
        family: Family,
    },
}

impl CommandError {
    /// The error for a name that is not in the table: refused with a reason, or unknown.
    ///
    /// `args` are the arguments after the name; Redis repeats the beginning of them.
    pub fn not_in_table<'a>(name: &[u8], args: impl IntoIterator<Item = &'a [u8]>) -> Self {
        if let Some((command, family)) = refused::find(name) {
            // Clients know these words: redis-cli asks READONLY before it walks the keys, and ends at any other error.
            if family == Family::ClusterNode {
                return Self::NoCluster;
            }
            return Self::NotSupported { command, family };
        }
        let mut shown = Vec::new();
        for arg in args {
            let Some(room @ 1..) = ECHO_LEN_MAX.checked_sub(shown.len()) else {
                break;
            };
            shown.push(b'\'');
            shown.extend_from_slice(c_string(arg, room));
            shown.extend_from_slice(b"' ");
        }
        Self::Unknown(Echo::new(&[
            b"ERR unknown command '",
            c_string(name, ECHO_LEN_MAX),
            b"', with args beginning with: ",
            &shown,
        ]))
    }

    /// The error for a word that is no subcommand of `container`.
    pub fn unknown_subcommand(container: &CommandSpec, word: &[u8]) -> Self {
        let container = container.name.to_ascii_uppercase();
        Self::Unknown(Echo::new(&[
            b"ERR unknown subcommand '",
            c_string(word, ECHO_LEN_MAX),
            b"'. Try ",
            container.as_bytes(),
            b" HELP.",
        ]))
    }

    /// The error for a subcommand that has too many arguments, where Redis finds that out by itself.
    pub fn subcommand_arity(args: Args<'_>) -> Self {
        let container = args.at(0).to_ascii_uppercase();
        Self::Unknown(Echo::new(&[
            b"ERR unknown subcommand or wrong number of arguments for '",
            c_string(args.at(1), ECHO_LEN_MAX),
            b"'. Try ",
            &container,
            b" HELP.",
        ]))
    }

    /// The error for an option of `HELLO` that is unknown or incomplete.
    pub fn hello_option(option: &[u8]) -> Self {
        Self::Unknown(Echo::new(&[b"ERR Syntax error in HELLO option '", c_string(option, usize::MAX), b"'"]))
    }

    /// The error for an attribute that `CLIENT SETINFO` does not know.
    pub fn client_info_option(option: &[u8]) -> Self {
        Self::Unknown(Echo::new(&[b"ERR Unrecognized option '", c_string(option, usize::MAX), b"'"]))
    }

    /// The error for a library's name or version with a space or a control character, by the attribute as it was
    /// written.
    pub fn client_info_value(attribute: &[u8]) -> Self {
        let end = b" cannot contain spaces, newlines or special characters.";
        Self::Unknown(Echo::new(&[b"ERR ", c_string(attribute, usize::MAX), end]))
    }

    /// The error for a type of clients that `CLIENT KILL` and `CLIENT LIST` do not know.
    pub fn client_type(kind: &[u8]) -> Self {
        Self::Unknown(Echo::new(&[b"ERR Unknown client type '", c_string(kind, usize::MAX), b"'"]))
    }

    /// The error for a user that `CLIENT KILL` does not know.
    pub fn no_such_user(user: &[u8]) -> Self {
        Self::Unknown(Echo::new(&[b"ERR No such user '", c_string(user, usize::MAX), b"'"]))
    }

    /// The error for a setting that `CONFIG SET` does not know.
    pub fn unknown_setting(name: &[u8]) -> Self {
        let start = b"ERR Unknown option or number of arguments for CONFIG SET - '";
        Self::Unknown(Echo::new(&[start, c_string(name, usize::MAX), b"'"]))
    }

    /// Appends the whole reply: `-`, the text, CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unknown(echo) => encode::error(out, &echo.0),
            other => encode::error(out, other.to_string()),
        }
    }
}

/// An error text that repeats bytes of the client's, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo(Box<[u8]>);

impl Echo {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().into())
    }
}

impl fmt::Display for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// Returns what C's `%.*s` prints of `bytes`: at most `len_max` of them, and nothing from a zero byte on.
pub fn c_string(bytes: &[u8], len_max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(len_max)];
    memchr::memchr(0, bytes).map_or(bytes, |end| &bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table::lookup;

    fn reply(error: &CommandError) -> Vec<u8> {
        let mut out = Vec::new();
        error.encode(&mut out);
        out
    }

    fn unknown(name: &[u8], args: &[&[u8]]) -> Vec<u8> {
        reply(&CommandError::not_in_table(name, args.iter().copied()))
    }

    /// A name, its arguments and the reply.
    type Case = (&'static [u8], &'static [&'static [u8]], &'static [u8]);

    /// Each expectation is what redis-server 8.0.6 sends.
    #[test]
    fn unknown_commands_are_answered_as_redis_does() {
        let cases: [Case; 7] = [
            (b"foo", &[b"bar"], b"-ERR unknown command 'foo', with args beginning with: 'bar' \r\n"),
            (b"foo", &[], b"-ERR unknown command 'foo', with args beginning with: \r\n"),
            (b"", &[b"a"], b"-ERR unknown command '', with args beginning with: 'a' \r\n"),
            (b"foo", &[b""], b"-ERR unknown command 'foo', with args beginning with: '' \r\n"),
            (b"FoO", &[b"a\r\nb", b"c"], b"-ERR unknown command 'FoO', with args beginning with: 'a  b' 'c' \r\n"),
            (b"fo\0o", &[b"b\0ar", b"z"], b"-ERR unknown command 'fo', with args beginning with: 'b' 'z' \r\n"),
            (
                b"f\noo\t\x01",
                &[b"\x7f\xff"],
                b"-ERR unknown command 'f oo\t\x01', with args beginning with: '\x7f\xff' \r\n",
            ),
        ];
        for (name, args, expected) in cases {
            assert_eq!(unknown(name, args), expected, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn long_names_and_arguments_are_cut_where_redis_cuts() {
        let text = |name: &str, args: &[String]| {
            let args: Vec<_> = args.iter().map(String::as_bytes).collect();
            String::from_utf8(unknown(name.as_bytes(), &args)).unwrap()
        };
        let line =
            |name: &str, args: &str| format!("-ERR unknown command '{name}', with args beginning with: {args}\r\n");
        let many = |letter: &str, n| letter.repeat(n);
        assert_eq!(text(&many("f", 200), &["x".into()]), line(&many("f", 128), "'x' "));
        let cases = [
            (vec![many("a", 100), many("b", 50), "c".into()], format!("'{}' '{}' ", many("a", 100), many("b", 25))),
            (vec![many("a", 200), "b".into()], format!("'{}' ", many("a", 128))),
            (vec![many("a", 124), many("b", 50), "c".into()], format!("'{}' 'b' ", many("a", 124))),
            (vec![many("a", 125), "b".into()], format!("'{}' ", many("a", 125))),
            (vec![many("a", 126), "b".into()], format!("'{}' ", many("a", 126))),
        ];
        for (args, shown) in cases {
            assert_eq!(text("foo", &args), line("foo", &shown));
        }
    }

    #[test]
    fn unknown_subcommands_are_answered_as_redis_does() {
        let client = lookup(b"client").unwrap();
        let answer = |word: &[u8]| reply(&CommandError::unknown_subcommand(client, word));
        assert_eq!(answer(b"FOO"), b"-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n");
        assert_eq!(answer(b"f\n"), b"-ERR unknown subcommand 'f '. Try CLIENT HELP.\r\n");
        assert_eq!(answer(b"f\0x"), b"-ERR unknown subcommand 'f'. Try CLIENT HELP.\r\n");
        let cut = format!("-ERR unknown subcommand '{}'. Try CLIENT HELP.\r\n", "f".repeat(128));
        assert_eq!(answer(&[b'f'; 200]), cut.as_bytes());
    }

    #[test]
    fn texts_are_pinned() {
        use CommandError as E;
        let (expiry, strings) = (Family::Expiry, Family::OtherTypes);
        let cases = [
            (E::WrongArity("get"), "ERR wrong number of arguments for 'get' command"),
            (E::WrongArity("client|id"), "ERR wrong number of arguments for 'client|id' command"),
            (E::Syntax, "ERR syntax error"),
            (E::NotAnInteger, "ERR value is not an integer or out of range"),
            (E::DbIndex, "ERR DB index is out of range"),
            (E::InvalidCursor, "ERR invalid cursor"),
            (E::NoAuth, "NOAUTH Authentication required."),
            (
                E::NoAuthHello,
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
            ),
            (E::WrongPass, "WRONGPASS invalid username-password pair or user is disabled."),
            (
                E::AuthWithoutPassword,
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ),
            (E::NoProto, "NOPROTO unsupported protocol version"),
            (E::ProtocolVersion, "ERR Protocol version is not an integer or out of range"),
            (E::hello_option(b"foo"), "ERR Syntax error in HELLO option 'foo'"),
            (E::client_info_option(b"foo"), "ERR Unrecognized option 'foo'"),
            (E::ClientName, "ERR Client names cannot contain spaces, newlines or special characters."),
            (E::client_info_value(b"lib-name"), "ERR lib-name cannot contain spaces, newlines or special characters."),
            (E::GetKeysCommand, "ERR Invalid command specified"),
            (E::GetKeysNoKeys, "ERR The command has no key arguments"),
            (E::GetKeysArity, "ERR Invalid number of arguments specified for command"),
            (
                E::NotSupported { command: "lpush", family: strings },
                "ERR 'lpush' is not supported: kvred stores strings only",
            ),
            (E::NoCluster, "ERR This instance has cluster support disabled"),
            (
                E::OptionNotSupported { command: "set", option: "EX", family: expiry },
                "ERR option 'EX' of 'set' is not supported: keys of kvred do not expire",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
            assert_eq!(reply(&error), format!("-{text}\r\n").as_bytes());
        }
    }

    #[test]
    fn no_client_bytes_can_end_the_line() {
        let nasty = b"x\r\n+OK\r\n";
        for error in [
            CommandError::not_in_table(nasty, [&nasty[..]]),
            CommandError::unknown_subcommand(lookup(b"config").unwrap(), nasty),
            CommandError::hello_option(nasty),
            CommandError::client_info_option(nasty),
            CommandError::client_type(nasty),
            CommandError::no_such_user(nasty),
            CommandError::unknown_setting(nasty),
            CommandError::SettingRefused("x\r\ny".to_owned(), "why\r\n+OK\r\n".to_owned()),
        ] {
            let reply = reply(&error);
            assert_eq!(memchr::memmem::find(&reply, b"\r\n"), Some(reply.len() - 2));
        }
    }
}
