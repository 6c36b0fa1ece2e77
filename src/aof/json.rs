//! Bytes as JSON: a string if they are UTF-8, else `{"base64": "…"}`, so that none are lost.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

/// Appends a string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can be written into memory");
}
