//! Canonical JSON (object keys sorted by code point, no whitespace) and SHA-256 over it: how evidence is hashed.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The value as canonical JSON.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = String::new();
    write(&serde_json::to_value(value).unwrap_or(Value::Null), &mut out);
    out
}

/// `sha256:` and the hex digest of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// `sha256:` and the hex digest of the value's canonical JSON.
pub fn hash<T: Serialize + ?Sized>(value: &T) -> String {
    sha256(to_string(value).as_bytes())
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (i, (key, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
