//! Bytes as JSON: a string if they are UTF-8, else `{"base64": "…"}`, so that none are lost.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Appends bytes.
pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        string(out, text);
    } else {
        out.extend_from_slice(b"{\"base64\":\"");
        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// A path, likewise.
pub(super) fn path(path: &Path) -> Value {
    path.to_str().map_or_else(|| json!({"base64": STANDARD.encode(path.as_os_str().as_bytes())}), Value::from)
}

/// Appends a string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can be written into memory");
}
