//! The JSON format: a document for each reply, on one line.
//!
//! | reply | JSON |
//! |---|---|
//! | string | a string; `{"base64": "…"}` where it is not UTF-8, so no byte is lost |
//! | integer, double | a number; `"inf"`, `"-inf"`, `"nan"` where JSON has none; a big number is a string |
//! | array, set | an array |
//! | map | an object; an array of pairs where a key is no text, or comes twice |
//! | error | `{"error": "…"}` |
//! | push | `{"push": […]}` |

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::protocol::frame::Frame;

/// Appends a reply, without a newline at its end.
pub(crate) fn render(out: &mut Vec<u8>, frame: &Frame) {
    write(out, &value(frame));
}

/// Appends a document.
pub(crate) fn write(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("a vector takes all bytes, and every key is a string");
}

/// Bytes as JSON has them.
pub(crate) fn string(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => object("base64", Value::from(STANDARD.encode(bytes))),
    }
}

fn value(frame: &Frame) -> Value {
    match frame {
        Frame::Simple(b) | Frame::Bulk(b) | Frame::Verbatim(_, b) => string(b),
        Frame::Error(text) => object("error", string(text)),
        Frame::Integer(n) => Value::from(*n),
        Frame::Double(text) => double(text),
        Frame::BigNumber(text) => string(text),
        Frame::Boolean(yes) => Value::from(*yes),
        Frame::Null => Value::Null,
        Frame::Array(items) | Frame::Set(items) => items.iter().map(value).collect(),
        Frame::Push(items) => object("push", items.iter().map(value).collect()),
        Frame::Map(pairs) => map(pairs),
    }
}

fn object(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn double(text: &[u8]) -> Value {
    let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).and_then(Number::from_f64);
    number.map_or_else(|| string(text), Value::Number)
}

fn map(pairs: &[(Frame, Frame)]) -> Value {
    let mut seen = HashSet::new();
    let keys: Option<Vec<String>> =
        pairs.iter().map(|(key, _)| name(key).filter(|name| seen.insert(name.clone()))).collect();
    match keys {
        Some(keys) => Value::Object(keys.into_iter().zip(pairs.iter().map(|(_, v)| value(v))).collect()),
        None => pairs.iter().map(|(k, v)| Value::Array(vec![value(k), value(v)])).collect(),
    }
}

/// A map's key as the name of an object's member.
fn name(key: &Frame) -> Option<String> {
    match key {
        Frame::Simple(b) | Frame::Bulk(b) | Frame::Verbatim(_, b) | Frame::Double(b) | Frame::BigNumber(b) => {
            String::from_utf8(b.to_vec()).ok()
        }
        Frame::Integer(n) => Some(n.to_string()),
        Frame::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}
