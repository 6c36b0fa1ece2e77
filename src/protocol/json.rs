//! Bytes as JSON: a string if they are UTF-8, else `{"base64": "…"}`, so that none are lost.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, Serializer};

/// Bytes as JSON has them.
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl<'a> Text<'a> {
    /// Those of a path.
    pub(crate) fn path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_bytes())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", STANDARD.encode(self.0))]),
        }
    }
}

/// A document on a line of its own.
pub(crate) fn line(document: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, document);
    out.push(b'\n');
    out
}

/// Appends a document, whose keys are strings.
pub(crate) fn write(out: &mut Vec<u8>, document: &impl Serialize) {
    serde_json::to_writer(out, document).expect("a vector takes all bytes, and every key is a string");
}
