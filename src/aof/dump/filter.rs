//! Which commands of a log are shown, and which of their keys.

use std::os::unix::ffi::OsStringExt;

use super::super::keys::{Keys, changes_all};
use super::printer::Entry;
use crate::args::{DumpArgs, Moment};
use crate::command::glob;
use crate::protocol::decode::Args;

/// What the user asked for.
pub(super) struct Filter {
    key: Option<Vec<u8>>,
    /// The first offset.
    pub(super) from: u64,
    pub(super) since: Option<Moment>,
    pub(super) until: Option<Moment>,
    /// The time of what has none.
    pub(super) untimed: i64,
    /// The first time that is not before `since`. Nothing behind it is left out: an earlier time there comes of a clock
    /// that was wrong.
    pub(super) reached: Option<i64>,
}

/// What of a command is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chosen<'a> {
    /// Nothing.
    None,
    /// All of it.
    All,
    /// These words: a command on many keys, cut down to those that match.
    Some(Vec<&'a [u8]>),
}

impl Filter {
    /// The filters among the flags.
    pub(super) fn new(args: &DumpArgs) -> Self {
        let key = args.key.as_ref().map(|glob| glob.clone().into_vec());
        Self { key, from: args.from, since: args.since, until: args.until, untimed: i64::MIN, reached: None }
    }

    /// Whether something in particular is asked for.
    pub(super) fn is_narrow(&self) -> bool {
        self.key.is_some() || self.from > 0 || self.since.is_some() || self.until.is_some()
    }

    /// Notes that what follows is of this time.
    pub(super) fn passes(&mut self, time: i64) {
        self.reached = self.reached.or_else(|| (!self.is_too_early(time)).then_some(time));
    }

    /// Whether this time is before `since`.
    pub(super) fn is_too_early(&self, time: i64) -> bool {
        self.since.is_some_and(|since| time < since.0)
    }

    /// What is shown of a command.
    pub(super) fn choose<'a>(&self, entry: &Entry, args: Args<'a>) -> Chosen<'a> {
        let time = entry.time.unwrap_or(self.untimed);
        let too_early = self.reached.is_none() && self.is_too_early(time);
        let too_late = self.until.is_some_and(|until| time > until.0);
        if entry.offset < self.from || too_early || too_late {
            return Chosen::None;
        }
        self.key.as_ref().map_or(Chosen::All, |glob| by_key(glob, args))
    }
}

fn by_key<'a>(pattern: &[u8], args: Args<'a>) -> Chosen<'a> {
    let keys = Keys::of(args);
    let matching = keys.values(args).filter(|key| glob::matches(pattern, key)).count();
    if changes_all(args) || matching == keys.values(args).count() && matching > 0 {
        return Chosen::All;
    }
    if matching == 0 {
        return Chosen::None;
    }
    let is = |name: &str| args.at(0).eq_ignore_ascii_case(name.as_bytes());
    if !["DEL", "UNLINK", "MSET"].iter().any(|name| is(name)) {
        // Each of its keys matters to the others.
        return Chosen::All;
    }
    let mut words = vec![args.at(0)];
    let rest: Vec<&[u8]> = args.from(1).collect();
    for group in rest.chunks(keys.step) {
        if glob::matches(pattern, group[0]) {
            words.extend_from_slice(group);
        }
    }
    Chosen::Some(words)
}
