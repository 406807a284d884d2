//! Canonical JSON (object keys sorted by code point, no whitespace) and SHA-256 over it: how evidence is hashed.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// The value as canonical JSON.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = String::new();
    // A string takes whatever is written.
    let _ = write(&serde_json::to_value(value).unwrap_or(Value::Null), &mut out);
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

/// As [`hash`], of a document that may be large: neither it nor its text is copied.
pub fn hash_document(document: &Value) -> String {
    let mut digest = Digesting(Sha256::new());
    // A digest takes whatever is written.
    let _ = write(document, &mut digest);
    format!("sha256:{}", hex::encode(digest.0.finalize()))
}

struct Digesting(Sha256);

impl Write for Digesting {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn write(value: &Value, out: &mut impl Write) -> fmt::Result {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.write_char('{')?;
            for (i, (key, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                write!(out, "{}:", Value::String(key.clone()))?;
                write(member, out)?;
            }
            out.write_char('}')
        }
        Value::Array(items) => {
            out.write_char('[')?;
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                write(item, out)?;
            }
            out.write_char(']')
        }
        scalar => write!(out, "{scalar}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn canonical_json_has_sorted_keys_and_no_blanks_and_keeps_the_order_of_arrays() {
        let value = json!({"b": [2, {"z": null, "a": "x\"y"}, 1], "a": {"é": true, "e": 1.5}, "B": "ü\n"});
        assert_eq!(super::to_string(&value), r#"{"B":"ü\n","a":{"e":1.5,"é":true},"b":[2,{"a":"x\"y","z":null},1]}"#);
    }

    #[test]
    fn a_hash_does_not_depend_on_how_the_json_was_written() {
        let (one, other) = (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}));
        assert_eq!(super::hash(&one), super::hash(&other));
        assert_eq!(super::hash(&one), super::hash_document(&other));
        assert_eq!(super::hash(&json!({})), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }
}
