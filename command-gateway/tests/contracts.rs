//! The OpenAPI documents of `contracts/openapi` are what the code says. `UPDATE_CONTRACTS=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use command_gateway::operation::{Kind, Tag};
use command_gateway::{openapi, routes::OPERATIONS};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../contracts/openapi")
}

#[test]
fn the_checked_in_documents_are_those_of_the_code() {
    for (file, title, tags) in openapi::FILES {
        let text = serde_yaml_ng::to_string(&openapi::document(&format!("CPQ Streams: {title}"), tags)).unwrap();
        let path = folder().join(file);
        if std::env::var_os("UPDATE_CONTRACTS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == text,
            "{file} is not what the code says: run UPDATE_CONTRACTS=1 cargo test -p command-gateway --test contracts"
        );
    }
}

#[test]
fn every_operation_is_in_exactly_one_document() {
    for tag in Tag::ALL {
        assert_eq!(openapi::FILES.iter().filter(|(_, _, tags)| tags.contains(&tag)).count(), 1, "{}", tag.name());
    }
}

#[test]
fn operation_ids_are_unique_and_every_reference_leads_somewhere() {
    let ids: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), OPERATIONS.len());
    for (_, title, tags) in openapi::FILES {
        let document = openapi::document(title, tags);
        let mut references = BTreeSet::new();
        collect(&document, &mut references);
        assert!(references.len() > 10);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{title}: {reference} leads nowhere");
        }
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(reference) if name == "$ref" => drop(references.insert(reference.clone())),
                    other => collect(other, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn every_command_documents_its_headers_statuses_and_an_example() {
    let document = openapi::document("all", &Tag::ALL);
    for operation in OPERATIONS {
        let described = &document["paths"][operation.path][operation.method.as_str().to_lowercase()];
        for status in ["401", "403", "429", "431", "500", "503"] {
            assert!(described["responses"].get(status).is_some(), "{} has no {status}", operation.id);
        }
        if operation.method == http::Method::GET {
            continue;
        }
        assert!(described["requestBody"]["content"]["application/json"]["example"].is_object(), "{}", operation.id);
        let parameters = described["parameters"].to_string();
        let (headers, statuses): (&[&str], &[&str]) = match operation.kind {
            Kind::Command { .. } => (&["IdempotencyKey", "IfMatch"], &["202", "400", "412", "413", "415", "422"]),
            Kind::Check { .. } => (&["IfMatch"], &["200", "400", "412", "413", "415", "422"]),
            Kind::Document(_) => (&["IdempotencyKey"], &["201", "400", "412", "413", "415", "422"]),
            Kind::Read => panic!("{} reads by {}", operation.id, operation.method),
        };
        for header in headers {
            assert!(parameters.contains(header), "{} has no {header}", operation.id);
        }
        assert_eq!(operation.is_idempotent(), parameters.contains("IdempotencyKey"), "{}", operation.id);
        for status in statuses {
            assert!(described["responses"].get(status).is_some(), "{} has no {status}", operation.id);
        }
    }
}

#[test]
fn every_example_body_passes_its_own_form() {
    for operation in OPERATIONS {
        let form = match operation.kind {
            Kind::Command { body, .. } => body.object(),
            Kind::Check { body } => body,
            Kind::Document(_) | Kind::Read => continue,
        };
        let example = serde_json::from_str(form.example).unwrap();
        assert_eq!(command_gateway::form::check(form, &example).err(), None, "{}", operation.id);
    }
}

#[test]
fn the_example_of_a_catalog_is_a_catalog() {
    let example = serde_json::from_str(command_gateway::routes::catalog::versions::DOCUMENT.example).unwrap();
    assert_eq!(
        cpq_domain::catalog::read(&example).map(|catalog| catalog.version().to_owned()),
        Ok("2026.12".to_owned())
    );
}
