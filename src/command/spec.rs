//! What a row of the command table says: arity, flags, ACL categories, keys and documentation.
//!
//! The words and their order are Redis's, so that `COMMAND INFO` and `COMMAND DOCS` print what clients expect.
//! Everything here is `const`: a row is built at compile time and never changes.

use super::table::{CommandId, ControlId, DataId};

/// Defines an enum of Redis's words and a set of them that fits in a register.
///
/// The variants stand in the order in which Redis prints them.
macro_rules! word_set {
    ($(#[$doc:meta])* $name:ident, $set:ident { $($variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("Redis's `", $word, "`.")] $variant,)+
        }

        impl $name {
            const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Returns the word as Redis prints it.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        #[doc = concat!("A set of [`", stringify!($name), "`], iterated in Redis's order.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $set(u32);

        impl $set {
            /// Builds a set from its members.
            pub const fn of(members: &[$name]) -> Self {
                let mut bits = 0;
                let mut i = 0;
                while i < members.len() {
                    bits |= 1 << members[i] as u32;
                    i += 1;
                }
                Self(bits)
            }

            /// Says whether the set holds `member`.
            pub const fn contains(self, member: $name) -> bool {
                self.0 & (1 << member as u32) != 0
            }

            /// Iterates over the members in Redis's order.
            pub fn iter(self) -> impl Iterator<Item = $name> {
                $name::ALL.iter().copied().filter(move |&member| self.contains(member))
            }
        }
    };
}

word_set! {
    /// What a command does to the server and where it may run.
    Flag, FlagSet {
        Write = "write",
        Readonly = "readonly",
        DenyOom = "denyoom",
        Admin = "admin",
        NoScript = "noscript",
        Blocking = "blocking",
        Loading = "loading",
        Stale = "stale",
        Fast = "fast",
        NoAuth = "no_auth",
        NoAsyncLoading = "no_async_loading",
        NoMulti = "no_multi",
        AllowBusy = "allow_busy",
    }
}

word_set! {
    /// An ACL category. kvred has no ACLs; tools show and filter by the words.
    Category, CategorySet {
        Keyspace = "keyspace",
        Read = "read",
        Write = "write",
        String = "string",
        Admin = "admin",
        Fast = "fast",
        Slow = "slow",
        Blocking = "blocking",
        Dangerous = "dangerous",
        Connection = "connection",
    }
}

/// The chapter of the documentation that a command stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Commands on string values.
    String,
    /// Commands on keys of any type.
    Generic,
    /// Commands about the connection itself.
    Connection,
    /// Commands about the server.
    Server,
}

impl Group {
    /// Returns the group's name in `COMMAND DOCS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Generic => "generic",
            Self::Connection => "connection",
            Self::Server => "server",
        }
    }
}

/// Where the keys stand among a command's arguments; the command's name is position 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Position of the first key.
    pub first: u8,
    /// Position of the last key; -1 is the last argument. All between them are keys.
    pub last: i8,
    /// Redis's words for what happens to the keys (`RO`, `access`, …).
    pub flags: &'static [&'static str],
    /// What Redis says of these; empty: nothing.
    pub notes: &'static str,
}

impl KeySpec {
    /// One key at `position`.
    pub(super) const fn one(position: u8, flags: &'static [&'static str]) -> Self {
        Self { first: position, last: position.cast_signed(), flags, notes: "" }
    }

    /// Keys from `first` to the last argument.
    pub(super) const fn rest(first: u8, flags: &'static [&'static str]) -> Self {
        Self { first, last: -1, flags, notes: "" }
    }

    /// Says more about the flags.
    pub(super) const fn notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }
}

/// The type of an argument in `COMMAND DOCS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// A key's name.
    Key,
    /// Any bytes.
    String,
    /// A signed 64-bit integer.
    Integer,
    /// A glob pattern.
    Pattern,
    /// The token alone, without a value.
    PureToken,
    /// One of the nested arguments.
    OneOf,
    /// All of the nested arguments.
    Block,
}

impl ArgKind {
    /// Returns the type's name in `COMMAND DOCS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Pattern => "pattern",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// One argument as `COMMAND DOCS`, the hints and the completion describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The argument's name.
    pub name: &'static str,
    /// Its type.
    pub kind: ArgKind,
    /// What a hint shows in its place; Redis sends none for `oneof` and `block`.
    pub display: &'static str,
    /// The word that comes before it (`MATCH`), or that it is.
    pub token: Option<&'static str>,
    /// The version of Redis that added it, where that is later than the command.
    pub since: Option<&'static str>,
    /// It may be left out.
    pub optional: bool,
    /// It may come several times.
    pub multiple: bool,
    /// The nested arguments of `oneof` and `block`.
    pub args: &'static [Arg],
}

impl Arg {
    /// An argument of `kind` called `name`.
    pub(super) const fn new(name: &'static str, kind: ArgKind) -> Self {
        Self { name, kind, display: name, token: None, since: None, optional: false, multiple: false, args: &[] }
    }

    /// The argument `key`.
    pub(super) const fn key() -> Self {
        Self::new("key", ArgKind::Key)
    }

    /// Any bytes.
    pub(super) const fn string(name: &'static str) -> Self {
        Self::new(name, ArgKind::String)
    }

    /// An integer.
    pub(super) const fn integer(name: &'static str) -> Self {
        Self::new(name, ArgKind::Integer)
    }

    /// A glob pattern.
    pub(super) const fn pattern() -> Self {
        Self::new("pattern", ArgKind::Pattern)
    }

    /// A word that stands alone.
    pub(super) const fn word(name: &'static str, token: &'static str) -> Self {
        Self::new(name, ArgKind::PureToken).token(token)
    }

    /// A choice between `args`.
    pub(super) const fn one_of(name: &'static str, args: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, ArgKind::OneOf);
        arg.args = args;
        arg
    }

    /// All of `args`, in order.
    pub(super) const fn block(name: &'static str, args: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, ArgKind::Block);
        arg.args = args;
        arg
    }

    /// Says which word introduces the argument.
    pub(super) const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Says what a hint shows instead of the name.
    pub(super) const fn shown_as(mut self, display: &'static str) -> Self {
        self.display = display;
        self
    }

    /// Says which version of Redis added the argument.
    pub(super) const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    /// Lets the argument be left out.
    pub(super) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Lets the argument be repeated.
    pub(super) const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }
}

/// The documentation of a command: what `COMMAND DOCS`, `HELP` and the client show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Docs {
    /// One sentence.
    pub summary: &'static str,
    /// The version of Redis that added the command.
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// Where Redis deprecates it: since when, and what takes its place.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Its arguments in order.
    pub args: &'static [Arg],
}

/// One row of the table: a command, or a subcommand of a container such as `CLIENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// What the executor matches on.
    pub id: CommandId,
    /// The name in lower case; a subcommand's is `container|subcommand`, as in error texts.
    pub name: &'static str,
    /// The number of arguments, the name included; negative: at least that many.
    pub arity: i8,
    /// The chapter it stands in.
    pub group: Group,
    /// What it does and where it may run.
    pub flags: FlagSet,
    /// The categories that do not follow from the flags; see [`CommandSpec::categories`].
    extra_categories: CategorySet,
    /// Where its keys are.
    pub keys: Option<KeySpec>,
    /// Redis's hints to proxies and cluster clients.
    pub tips: &'static [&'static str],
    /// What people read.
    pub docs: Docs,
    /// The rows of its subcommands.
    pub subcommands: &'static [&'static CommandSpec],
}

impl CommandSpec {
    /// Starts the row of a command on data; the methods below fill in the rest.
    pub(super) const fn data(id: DataId, name: &'static str, arity: i8, group: Group) -> Self {
        Self::new(CommandId::Data(id), name, arity, group)
    }

    /// Starts the row of another command.
    pub(super) const fn control(id: ControlId, name: &'static str, arity: i8, group: Group) -> Self {
        Self::new(CommandId::Control(id), name, arity, group)
    }

    const fn new(id: CommandId, name: &'static str, arity: i8, group: Group) -> Self {
        Self {
            id,
            name,
            arity,
            group,
            flags: FlagSet::of(&[]),
            extra_categories: CategorySet::of(&[]),
            keys: None,
            tips: &[],
            docs: Docs { summary: "", since: "", complexity: "", deprecated: None, args: &[] },
            subcommands: &[],
        }
    }

    pub(super) const fn flags(mut self, flags: &[Flag]) -> Self {
        self.flags = FlagSet::of(flags);
        self
    }

    pub(super) const fn also_in(mut self, categories: &[Category]) -> Self {
        self.extra_categories = CategorySet::of(categories);
        self
    }

    pub(super) const fn keys(mut self, keys: KeySpec) -> Self {
        self.keys = Some(keys);
        self
    }

    pub(super) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(super) const fn docs(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
        args: &'static [Arg],
    ) -> Self {
        self.docs = Docs { summary, since, complexity, deprecated: None, args };
        self
    }

    pub(super) const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Self {
        self.docs.deprecated = Some((since, replaced_by));
        self
    }

    pub(super) const fn subcommands(mut self, rows: &'static [&'static CommandSpec]) -> Self {
        self.subcommands = rows;
        self
    }

    /// Says whether a call with `argc` arguments, the name included, has an acceptable number of them.
    #[inline]
    pub const fn arity_ok(&self, argc: usize) -> bool {
        let bound = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { argc >= bound } else { argc == bound }
    }

    /// Says whether the row only groups subcommands or has them besides its own call.
    pub const fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Returns the word a user types for this row: for `client|id` that is `id`.
    pub fn word(&self) -> &'static str {
        self.name.rsplit_once('|').map_or(self.name, |(_, word)| word)
    }

    /// Finds a subcommand by its word, in any letter case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static CommandSpec> {
        self.subcommands.iter().copied().find(|row| row.word().as_bytes().eq_ignore_ascii_case(word))
    }

    /// Returns the ACL categories, those that follow from the flags included.
    ///
    /// The rules are `setImplicitACLCategories` of Redis's `server.c`.
    pub fn categories(&self) -> CategorySet {
        let speed = if self.flags.contains(Flag::Fast) { Category::Fast } else { Category::Slow };
        let mut bits = self.extra_categories.0 | CategorySet::of(&[speed]).0;
        for (flag, implied) in [
            (Flag::Write, &[Category::Write][..]),
            (Flag::Readonly, &[Category::Read]),
            (Flag::Admin, &[Category::Admin, Category::Dangerous]),
            (Flag::Blocking, &[Category::Blocking]),
        ] {
            if self.flags.contains(flag) {
                bits |= CategorySet::of(implied).0;
            }
        }
        CategorySet(bits)
    }
}
