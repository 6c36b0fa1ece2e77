//! How far a call has come: which of its words are keys, what may come next, and what is still missing.

use super::catalog::ArgDoc;

/// What is known of an unfinished call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which words are keys, counted from the first argument.
    pub(crate) keys: Vec<usize>,
    /// What is still missing, as a hint shows it.
    pub(crate) missing: Vec<String>,
    /// Option words that may come next.
    pub(crate) options: Vec<String>,
    /// Whether a key may come next.
    pub(crate) key_next: bool,
    /// Whether all words found a place.
    pub(crate) fits: bool,
}

struct Slot<'a> {
    arg: &'a ArgDoc,
    taken: bool,
}

impl Slot<'_> {
    /// Whether it must still be filled before what comes behind it.
    fn blocks(&self) -> bool {
        !self.taken && !self.arg.optional
    }

    fn is_open(&self) -> bool {
        !self.taken || self.arg.multiple
    }
}

/// Puts the words of a call in their places.
pub(crate) fn follow(args: &[ArgDoc], words: &[Vec<u8>]) -> Call {
    let mut slots: Vec<Slot<'_>> = args.iter().map(|arg| Slot { arg, taken: false }).collect();
    let mut call = Call { fits: true, ..Call::default() };
    let mut at = 0;
    while at < words.len() {
        let Some(i) = place(&slots, &words[at]) else {
            call.fits = false;
            return call;
        };
        let taken = take(slots[i].arg, &words[at..]);
        call.keys.extend(taken.keys.iter().map(|key| at + key));
        at += taken.used.max(1);
        slots[i].taken = true;
        if !taken.missing.is_empty() && at >= words.len() {
            call.key_next = taken.key_next;
            call.options = taken.options;
            call.missing = taken.missing;
            call.missing.extend(missing(&slots));
            return call;
        }
    }
    call.missing = missing(&slots);
    for slot in &slots[passed(&slots)..] {
        if slot.is_open() {
            first_words(slot.arg, &mut call.options);
            call.key_next |= first_is_key(slot.arg);
        }
        if slot.blocks() {
            break;
        }
    }
    call
}

/// The slot for a word: an option of that name that can come now, else the first open one that takes any word.
fn place(slots: &[Slot<'_>], word: &[u8]) -> Option<usize> {
    let passed = passed(slots);
    let reachable = slots.iter().position(Slot::blocks).map_or(slots.len(), |i| i + 1);
    let slots = &slots[passed..reachable];
    let by_name = slots.iter().position(|s| s.is_open() && names(s.arg, word));
    let found = by_name.or_else(|| slots.iter().position(|s| s.is_open() && takes_any(s.arg)));
    found.map(|i| passed + i)
}

/// How many slots are behind the call: options stand before the argument that follows them, not after it.
fn passed(slots: &[Slot<'_>]) -> usize {
    slots.iter().rposition(|slot| slot.taken && !slot.arg.optional).unwrap_or(0)
}

/// Whether the argument begins with this very word.
fn names(arg: &ArgDoc, word: &[u8]) -> bool {
    match (&arg.token, arg.kind.as_str()) {
        (Some(token), _) => token.as_bytes().eq_ignore_ascii_case(word),
        (None, "oneof") => arg.args.iter().any(|arg| names(arg, word)),
        (None, "block") => arg.args.first().is_some_and(|arg| names(arg, word)),
        _ => false,
    }
}

fn takes_any(arg: &ArgDoc) -> bool {
    match arg.kind.as_str() {
        _ if arg.token.is_some() => false,
        "oneof" => arg.args.iter().any(takes_any),
        "block" => arg.args.first().is_some_and(takes_any),
        "pure-token" => false,
        _ => true,
    }
}

#[derive(Debug, Default)]
struct Taken {
    used: usize,
    keys: Vec<usize>,
    missing: Vec<String>,
    options: Vec<String>,
    key_next: bool,
}

/// Fills one argument from the words, of which there is at least one.
fn take(arg: &ArgDoc, words: &[Vec<u8>]) -> Taken {
    let mut taken = Taken::default();
    if arg.token.is_some() {
        taken.used = 1;
    }
    let rest = &words[taken.used..];
    match arg.kind.as_str() {
        "pure-token" => {}
        _ if rest.is_empty() => {
            let value = ArgDoc { token: None, optional: false, multiple: false, ..arg.clone() };
            first_words(&value, &mut taken.options);
            taken.key_next = first_is_key(&value);
            taken.missing.push(value.hint());
        }
        "oneof" => {
            let by_name = arg.args.iter().find(|child| names(child, &rest[0]));
            if let Some(child) = by_name.or_else(|| arg.args.iter().find(|child| takes_any(child))) {
                taken.add(take(child, rest));
            } else {
                taken.used += 1;
            }
        }
        "block" => {
            let inner = follow_block(&arg.args, rest);
            taken.add(inner);
        }
        kind => {
            if kind == "key" {
                taken.keys.push(taken.used);
            }
            taken.used += 1;
        }
    }
    taken
}

fn follow_block(args: &[ArgDoc], words: &[Vec<u8>]) -> Taken {
    let mut taken = Taken::default();
    for arg in args {
        let rest = &words[taken.used..];
        let Some(word) = rest.first() else {
            if taken.missing.is_empty() {
                first_words(arg, &mut taken.options);
                taken.key_next = first_is_key(arg);
            }
            taken.missing.push(arg.hint());
            continue;
        };
        if names(arg, word) || takes_any(arg) {
            taken.add(take(arg, rest));
        }
    }
    taken
}

impl Taken {
    fn add(&mut self, other: Self) {
        self.keys.extend(other.keys.iter().map(|key| self.used + key));
        self.used += other.used;
        self.missing.extend(other.missing);
        self.options.extend(other.options);
        self.key_next |= other.key_next;
    }
}

fn missing(slots: &[Slot<'_>]) -> Vec<String> {
    let open = slots[passed(slots)..].iter().filter(|slot| slot.is_open());
    open.map(|slot| {
        if !slot.taken {
            return slot.arg.hint();
        }
        let once = ArgDoc { optional: false, multiple: false, token: None, ..slot.arg.clone() };
        format!("[{} ...]", once.hint())
    })
    .collect()
}

fn first_words(arg: &ArgDoc, out: &mut Vec<String>) {
    match (&arg.token, arg.kind.as_str()) {
        (Some(token), _) => out.push(token.clone()),
        (None, "oneof") => arg.args.iter().for_each(|arg| first_words(arg, out)),
        (None, "block") => arg.args.iter().take(1).for_each(|arg| first_words(arg, out)),
        _ => {}
    }
}

fn first_is_key(arg: &ArgDoc) -> bool {
    match arg.kind.as_str() {
        _ if arg.token.is_some() => false,
        "key" => true,
        "oneof" => arg.args.iter().any(first_is_key),
        "block" => arg.args.first().is_some_and(first_is_key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Catalog;
    use super::*;

    fn call(line: &str) -> Call {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let catalog = Catalog::own();
        let (doc, depth) = catalog.find(&words).unwrap();
        follow(&doc.args, &words[depth..])
    }

    #[test]
    fn what_is_missing_shrinks_as_one_types() {
        for (line, missing) in [
            ("get", "key"),
            ("get k", ""),
            ("set", "key value [NX|XX] [GET]"),
            ("set match", "value [NX|XX] [GET]"),
            ("set match x nx", "[GET]"),
            ("del a", "[key ...]"),
            ("scan", "cursor [MATCH pattern] [COUNT count] [TYPE type]"),
            ("scan 0 count", "count [MATCH pattern] [TYPE type]"),
            ("scan 0 COUNT 5", "[MATCH pattern] [TYPE type]"),
            ("scan 0 count 5 match x type string", ""),
            ("hello 3 auth", "username password [SETNAME clientname]"),
            ("hello 3 auth u", "password [SETNAME clientname]"),
            ("client no-evict", "<ON|OFF>"),
            ("client no-evict on", ""),
        ] {
            assert_eq!(call(line).missing.join(" "), missing, "{line}");
        }
        assert!(!call("get a b").fits);
    }

    #[test]
    fn blocks_repeat_as_a_whole() {
        let arg =
            |display: &str| ArgDoc { display: display.to_owned(), kind: "string".to_owned(), ..ArgDoc::default() };
        let args = vec![arg("parameter"), arg("value")];
        let block = ArgDoc { kind: "block".to_owned(), multiple: true, args, ..ArgDoc::default() };
        for (words, missing) in [
            (&[][..], "parameter value [parameter value ...]"),
            (&["a"], "value [parameter value ...]"),
            (&["a", "b"], "[parameter value ...]"),
            (&["a", "b", "c"], "value [parameter value ...]"),
        ] {
            let words: Vec<Vec<u8>> = words.iter().map(|word: &&str| word.as_bytes().to_vec()).collect();
            assert_eq!(follow(std::slice::from_ref(&block), &words).missing.join(" "), missing);
        }
    }

    #[test]
    fn options_stand_before_what_follows_them() {
        let option = |token: &str| ArgDoc {
            token: Some(token.to_owned()),
            kind: "pure-token".to_owned(),
            optional: true,
            ..ArgDoc::default()
        };
        let member = ArgDoc { display: "member".to_owned(), kind: "string".to_owned(), ..ArgDoc::default() };
        let args = [option("NX"), option("CH"), ArgDoc { multiple: true, ..member }];
        for (words, missing, options) in [
            (&[][..], "[NX] [CH] member [member ...]", &["NX", "CH"][..]),
            (&["ch"], "[NX] member [member ...]", &["NX"]),
            (&["m"], "[member ...]", &[]),
            (&["m", "nx"], "[member ...]", &[]),
        ] {
            let words: Vec<Vec<u8>> = words.iter().map(|word: &&str| word.as_bytes().to_vec()).collect();
            let call = follow(&args, &words);
            assert_eq!((&call.missing.join(" ")[..], call.fits), (missing, true), "{words:?}");
            assert_eq!(call.options, options, "{words:?}");
        }
    }

    #[test]
    fn keys_and_options_are_told() {
        assert_eq!(call("del a b c").keys, [0, 1, 2]);
        assert_eq!(call("set k v").keys, [0]);
        assert!(call("get").key_next && !call("get k").key_next && !call("set k").key_next);
        assert_eq!(call("scan 0").options, ["MATCH", "COUNT", "TYPE"]);
        assert_eq!(call("scan").options, Vec::<String>::new());
        assert_eq!(call("client no-evict").options, ["ON", "OFF"]);
    }
}
