//! The JSON format: a document for each reply, on one line.
//!
//! | reply | JSON |
//! |---|---|
//! | string | a string; `{"base64": "…"}` where it is not UTF-8, so no byte is lost |
//! | integer, double | a number; `"inf"`, `"-inf"`, `"nan"` where JSON has none; a big number is a string |
//! | array, set | an array |
//! | map | an object, in the server's order; an array of pairs where a key is no text, or comes twice |
//! | error | `{"error": "…"}` |
//! | push | `{"push": […]}` |

use std::borrow::Cow;
use std::collections::HashSet;

use serde::ser::{Serialize, Serializer};

use crate::protocol::frame::Frame;
use crate::protocol::json::{Text, write};
use crate::protocol::number::parse_i64;

/// Appends a reply, without a newline at its end.
pub(crate) fn render(out: &mut Vec<u8>, frame: &Frame) {
    write(out, &Document(frame));
}

struct Document<'a>(&'a Frame);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Frame::Simple(b) | Frame::Bulk(b) | Frame::Verbatim(_, b) | Frame::BigNumber(b) => {
                Text(b).serialize(serializer)
            }
            Frame::Error(text) => serializer.collect_map([("error", Text(text))]),
            Frame::Integer(n) => serializer.serialize_i64(*n),
            Frame::Double(text) => double(text, serializer),
            Frame::Boolean(yes) => serializer.serialize_bool(*yes),
            Frame::Null => serializer.serialize_unit(),
            Frame::Array(items) | Frame::Set(items) => List(items).serialize(serializer),
            Frame::Push(items) => serializer.collect_map([("push", List(items))]),
            Frame::Map(pairs) => match names(pairs) {
                Some(names) => serializer.collect_map(names.iter().zip(pairs.iter().map(|(_, v)| Document(v)))),
                None => serializer.collect_seq(pairs.iter().map(|(k, v)| (Document(k), Document(v)))),
            },
        }
    }
}

struct List<'a>(&'a [Frame]);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Document))
    }
}

fn double<S: Serializer>(text: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    // A whole number stays one: 2, not 2.0.
    if let Some(whole) = parse_i64(text) {
        return serializer.serialize_i64(whole);
    }
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match number.filter(|number| number.is_finite()) {
        Some(number) => serializer.serialize_f64(number),
        None => Text(text).serialize(serializer),
    }
}

/// A map's keys as the names of an object's members; `None`: they cannot be.
fn names(pairs: &[(Frame, Frame)]) -> Option<Vec<Cow<'_, str>>> {
    let mut seen = HashSet::new();
    pairs.iter().map(|(key, _)| name(key).filter(|name| seen.insert(name.clone()))).collect()
}

fn name(key: &Frame) -> Option<Cow<'_, str>> {
    match key {
        Frame::Simple(b) | Frame::Bulk(b) | Frame::Verbatim(_, b) | Frame::Double(b) | Frame::BigNumber(b) => {
            std::str::from_utf8(b).ok().map(Cow::Borrowed)
        }
        Frame::Integer(n) => Some(Cow::Owned(n.to_string())),
        Frame::Boolean(yes) => Some(Cow::Owned(yes.to_string())),
        _ => None,
    }
}
