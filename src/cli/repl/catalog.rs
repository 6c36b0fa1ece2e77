//! What commands there are: from the server's `COMMAND DOCS`, or kvred's own table where it gives none.
//!
//! Both come through the same reader: the own table is rendered as the reply that kvred's server sends.

use std::collections::BTreeMap;

use bytes::BytesMut;

use crate::command::introspect;
use crate::command::synopsis::arg_hint;
use crate::protocol::encode::Resp;
use crate::protocol::frame::{Frame, FrameDecoder};
use crate::terminal::shown;

/// A command or a subcommand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CommandDoc {
    /// In upper case; a subcommand's has its container's before it: `CLIENT ID`.
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) since: String,
    pub(crate) group: String,
    pub(crate) complexity: String,
    /// What to use instead.
    pub(crate) replaced_by: Option<String>,
    pub(crate) args: Vec<ArgDoc>,
    /// By their own word, in upper case.
    pub(crate) subcommands: BTreeMap<String, CommandDoc>,
}

/// An argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ArgDoc {
    /// What a hint shows in its place.
    pub(crate) display: String,
    /// `key`, `string`, `pure-token`, `oneof`, `block` …
    pub(crate) kind: String,
    pub(crate) token: Option<String>,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    /// The nested arguments of `oneof` and `block`.
    pub(crate) args: Vec<ArgDoc>,
}

/// All commands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    commands: BTreeMap<String, CommandDoc>,
    /// Whether these are all that the server has, so that any other is unknown.
    pub(crate) complete: bool,
}

impl Catalog {
    /// kvred's own commands.
    pub(crate) fn own() -> Self {
        let mut out = Vec::new();
        introspect::docs(&mut out, &[], Resp::V2);
        let reply = FrameDecoder::default().decode(&mut BytesMut::from(&out[..]));
        let docs = reply.ok().flatten().and_then(|frame| Self::from_docs(&frame)).unwrap_or_default();
        Self { complete: false, ..docs }
    }

    /// Reads a reply of `COMMAND DOCS`; `None`: it is none, or an empty one.
    pub(crate) fn from_docs(reply: &Frame) -> Option<Self> {
        let commands = docs(reply, "");
        (!commands.is_empty()).then_some(Self { commands, complete: true })
    }

    /// Adds the names in a reply of `COMMAND`, for servers that know no `COMMAND DOCS`.
    pub(crate) fn add_names(&mut self, reply: &Frame) {
        let Frame::Array(entries) = reply else {
            return;
        };
        for entry in entries {
            if let Frame::Array(fields) = entry
                && let Some(name) = fields.first().and_then(text)
            {
                let name = name.to_ascii_uppercase();
                self.commands.entry(name.clone()).or_insert_with(|| CommandDoc { name, ..CommandDoc::default() });
            }
        }
        self.complete = !entries.is_empty();
    }

    /// A command by its name, in any letter case.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&CommandDoc> {
        self.commands.get(&String::from_utf8_lossy(name).to_ascii_uppercase())
    }

    /// The command that a call means, and how many words its name has.
    pub(crate) fn find<A: AsRef<[u8]>>(&self, words: &[A]) -> Option<(&CommandDoc, usize)> {
        let command = self.get(words.first()?.as_ref())?;
        let sub = words.get(1).and_then(|word| command.subcommand(word.as_ref()));
        Some(sub.map_or((command, 1), |sub| (sub, 2)))
    }

    /// All of them, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CommandDoc> {
        self.commands.values()
    }
}

impl CommandDoc {
    /// A subcommand by its word, in any letter case.
    pub(crate) fn subcommand(&self, word: &[u8]) -> Option<&CommandDoc> {
        self.subcommands.get(&String::from_utf8_lossy(word).to_ascii_uppercase())
    }

    /// The call in one line, as on Redis's command pages.
    pub(crate) fn synopsis(&self) -> String {
        std::iter::once(self.name.clone()).chain(self.args.iter().map(ArgDoc::hint)).collect::<Vec<_>>().join(" ")
    }
}

impl ArgDoc {
    /// The argument as a hint shows it.
    pub(crate) fn hint(&self) -> String {
        let nested = |separator: &str| self.args.iter().map(Self::hint).collect::<Vec<_>>().join(separator);
        arg_hint(&self.kind, &self.display, self.token.as_deref(), self.optional, self.multiple, nested)
    }
}

/// A map of RESP3, or the flat array that RESP2 has in its place.
fn pairs(frame: &Frame) -> Vec<(String, &Frame)> {
    match frame {
        Frame::Map(pairs) => pairs.iter().filter_map(|(key, value)| Some((text(key)?, value))).collect(),
        Frame::Array(items) => items.chunks_exact(2).filter_map(|pair| Some((text(&pair[0])?, &pair[1]))).collect(),
        _ => Vec::new(),
    }
}

fn text(frame: &Frame) -> Option<String> {
    match frame {
        Frame::Bulk(b) | Frame::Simple(b) | Frame::Verbatim(_, b) => Some(shown(b)),
        _ => None,
    }
}

fn docs(frame: &Frame, container: &str) -> BTreeMap<String, CommandDoc> {
    let mut out = BTreeMap::new();
    for (name, fields) in pairs(frame) {
        let word = name.rsplit('|').next().unwrap_or(&name).to_ascii_uppercase();
        let name = if container.is_empty() { word.clone() } else { format!("{container} {word}") };
        let mut doc = CommandDoc { name, ..CommandDoc::default() };
        for (field, value) in pairs(fields) {
            let as_text = || text(value).unwrap_or_default();
            match field.as_str() {
                "summary" => doc.summary = as_text(),
                "since" => doc.since = as_text(),
                "group" => doc.group = as_text(),
                "complexity" => doc.complexity = as_text(),
                "replaced_by" => doc.replaced_by = text(value),
                "arguments" => doc.args = args(value),
                "subcommands" => doc.subcommands = docs(value, &doc.name),
                _ => {}
            }
        }
        out.insert(word, doc);
    }
    out
}

fn args(frame: &Frame) -> Vec<ArgDoc> {
    let (Frame::Array(items) | Frame::Set(items)) = frame else {
        return Vec::new();
    };
    items.iter().map(arg).collect()
}

fn arg(frame: &Frame) -> ArgDoc {
    let mut doc = ArgDoc::default();
    for (field, value) in pairs(frame) {
        match field.as_str() {
            // The text to display comes after the name, where there is one.
            "name" | "display_text" => doc.display = text(value).unwrap_or_default(),
            "type" => doc.kind = text(value).unwrap_or_default(),
            "token" => doc.token = text(value).filter(|token| !token.is_empty()),
            "flags" => {
                if let Frame::Array(flags) | Frame::Set(flags) = value {
                    let has = |name: &str| flags.iter().any(|flag| text(flag).as_deref() == Some(name));
                    doc.optional = has("optional");
                    doc.multiple = has("multiple");
                }
            }
            "arguments" => doc.args = args(value),
            _ => {}
        }
    }
    doc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::synopsis::synopsis;
    use crate::command::table::COMMANDS;

    #[test]
    fn the_own_table_comes_through_whole() {
        let catalog = Catalog::own();
        for row in COMMANDS {
            let doc = catalog.get(row.name.as_bytes()).unwrap();
            assert_eq!(doc.synopsis(), synopsis(row), "{}", row.name);
            assert_eq!(doc.subcommands.len(), row.subcommands.len());
            for sub in row.subcommands {
                let expected = format!("{} {}", doc.name, synopsis(sub));
                assert_eq!(doc.subcommand(sub.word().as_bytes()).unwrap().synopsis(), expected);
            }
        }
        assert_eq!(catalog.find(&["client", "id"]).unwrap().1, 2);
        assert_eq!(catalog.find(&["client", "nonsense"]).unwrap().1, 1);
        assert!(catalog.find(&["nonsense"]).is_none());
    }
}
