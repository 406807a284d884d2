//! A catalog document as it comes in: into a catalog that may be published, or every fault of it at once. First
//! its shape, entry by entry; only what has it is judged in `check`.

use super::{Adjustment, Catalog, CatalogSource, Offering, PriceEntry, Rule};
use crate::rejection::FieldError;
use crate::shape;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest catalog document in bytes. One of 20,000 offerings and 60,000 prices has 22 MB and more.
pub const MAX_DOCUMENT_BYTES: usize = 40 * 1024 * 1024;
/// Faults of shape that are told; whoever has more has another document than this one.
const MAX_SHAPE_FAULTS: usize = 10_000;

/// Reads and compiles a document, or gives its faults.
pub fn read(document: &Value) -> Result<Catalog, Vec<FieldError>> {
    match shape::read::<CatalogSource>(document) {
        Ok(source) => Catalog::compile(source),
        Err(first) => {
            let mut faults = shape::faults::<CatalogSource>(&outline(document), "");
            faults.extend(entry_faults(document));
            if faults.is_empty() {
                faults.push(first);
            }
            Err(faults)
        }
    }
}

/// The document with its lists empty.
fn outline(document: &Value) -> Value {
    let Value::Object(members) = document else { return document.clone() };
    let emptied = |value: &Value| if value.is_array() { Value::Array(Vec::new()) } else { value.clone() };
    Value::Object(members.iter().map(|(name, value)| (name.clone(), emptied(value))).collect())
}

fn entry_faults(document: &Value) -> Vec<FieldError> {
    let lists = [
        list_faults::<Offering>(document, "offerings"),
        list_faults::<Rule>(document, "rules"),
        list_faults::<PriceEntry>(document, "prices"),
        list_faults::<Adjustment>(document, "adjustments"),
    ];
    lists.into_iter().flatten().take(MAX_SHAPE_FAULTS).collect()
}

fn list_faults<T: DeserializeOwned>(document: &Value, name: &str) -> Vec<FieldError> {
    let entries = document.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_entry = |(i, entry): (usize, &Value)| shape::faults::<T>(entry, &format!("/{name}/{i}"));
    entries.iter().enumerate().flat_map(of_entry).take(MAX_SHAPE_FAULTS).collect()
}
