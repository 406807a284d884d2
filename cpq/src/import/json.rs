//! JSON files into types, with every fault of every element rather than the first.

use super::fault::{Fault, pointer};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parses a document; a fault names the place.
pub fn document<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Fault::new(file, pointer("", error.path()), error.inner().to_string()))?;
    deserializer.end().map_err(|error| Fault::new(file, "", error.to_string()))?;
    Ok(parsed)
}

/// Parses a list element by element.
pub fn list<T: DeserializeOwned>(file: &str, text: &str) -> Result<Vec<T>, Vec<Fault>> {
    match document::<Vec<T>>(file, text) {
        Ok(list) => Ok(list),
        Err(first) => {
            let list: Value = serde_json::from_str(text).unwrap_or_default();
            let faults = element_faults::<T>(file, &list);
            // Where no element is at fault, the document is.
            Err(if faults.is_empty() { vec![first] } else { faults })
        }
    }
}

/// The faults of a list's elements as `T`; what is no list has none here.
fn element_faults<T: DeserializeOwned>(file: &str, list: &Value) -> Vec<Fault> {
    let elements = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let fault = |(index, element): (usize, &Value)| {
        let error = serde_path_to_error::deserialize::<_, T>(element).err()?;
        Some(Fault::new(file, pointer(&format!("/{index}"), error.path()), error.inner().to_string()))
    };
    elements.iter().enumerate().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[serde(rename = "a/b")]
        _a: u32,
    }

    #[test]
    fn every_bad_element_of_a_list_is_named() {
        let faults = list::<Thing>("t/x.json", r#"[{"a/b":1},{"a/b":"x"},{"c":1}]"#).unwrap_err();
        let shown: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert!(shown[0].starts_with("t/x.json#/1/a~1b: invalid type"), "{shown:?}");
        assert!(shown[1].starts_with("t/x.json#/2/c: unknown field"), "{shown:?}");
    }

    #[test]
    fn what_is_no_json_is_named_with_line_and_column() {
        let faults = list::<Thing>("t/x.json", "[{").unwrap_err();
        assert!(faults[0].detail.contains("line 1 column 2"), "{faults:?}");
    }

    #[test]
    fn what_follows_the_document_is_refused() {
        assert!(document::<Vec<u32>>("t/x.json", "[1] 2").is_err());
    }
}
