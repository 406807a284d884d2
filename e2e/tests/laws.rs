//! The repository's laws that no compiler holds: which way dependencies point, where SQL is, that applied
//! migrations are frozen, and that every file says what it is for (ARCHITECTURE.md, "Laws" and "Layout").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each crate may use. The services are not among each other's.
const LAYERS: &[(&str, &[&str])] = &[
    ("cpq-domain", &[]),
    ("cpq-avro", &["cpq-domain"]),
    ("cpq-state-stores", &["cpq-domain", "cpq-avro"]),
    ("cpq-runtime", &["cpq-domain", "cpq-avro", "cpq-state-stores"]),
    ("command-gateway", SERVICE),
    ("streams", SERVICE),
    ("camunda-bridge", SERVICE),
    // The operator's command line deploys the bridge's models and checks what the processors write.
    ("cpq", &["cpq-domain", "cpq-avro", "cpq-state-stores", "cpq-runtime", "streams", "camunda-bridge"]),
    // Systems of others: they know nothing of ours.
    ("cpq-simulators", &[]),
    // Looks at the product from outside: never into a service.
    ("cpq-e2e", &["cpq-domain", "cpq-avro", "cpq-state-stores", "cpq-runtime"]),
];
const SERVICE: &[&str] = &["cpq-domain", "cpq-avro", "cpq-state-stores", "cpq-runtime"];

/// May be used in tests besides.
const IN_TESTS: &[(&str, &str)] = &[("camunda-bridge", "cpq-simulators")];

/// What the core is made of: values, formats, hashes. A new name is added here by whoever has looked that it
/// does no I/O and asks no clock.
const CORE_USES: &[&str] = &[
    "bigdecimal",
    "hex",
    "regex",
    "roxmltree",
    "rust_decimal",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "time",
    "utoipa",
];

/// How the outside gets into code; the core has none of it.
const IMPURE: &[&str] = &[
    "now_utc(",
    "now_local(",
    "SystemTime",
    "Instant::now",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "async fn",
    ".await",
    "static mut",
];

/// Who may talk to a store: the stores, and what looks at the product from outside. Tests of any crate may.
const STORES: &[(&str, &[&str])] = &[("sqlx", &["cpq-state-stores", "cpq-e2e"]), ("redis", &["cpq-state-stores"])];

/// Included in the middle of another file, where `//!` cannot stand.
const INCLUDED: &[&str] = &["avro/src/files.rs"];

/// Folders that hold what was made, not what was written.
fn is_made(name: &str) -> bool {
    matches!(name, "target" | ".git" | "node_modules" | "__pycache__" | ".data") || name.starts_with(".stack")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of the repository, with its path from the root.
fn files() -> Vec<(String, PathBuf)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                if !is_made(&name) {
                    folders.push(path);
                }
            } else if !name.ends_with(".log") {
                found.push((path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

/// The Rust files, with their text.
fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    rust.map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// The workspace's crates by name.
fn crates() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (text(package, "name").to_owned(), package.clone())).collect()
}

/// What a crate uses: name, and whether in tests alone.
fn uses(package: &Value) -> Vec<(&str, bool)> {
    let dependencies = package["dependencies"].as_array().unwrap();
    dependencies.iter().map(|d| (text(d, "name"), text(d, "kind") == "dev")).collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let crates = crates();
    let mut faults = Vec::new();
    for (name, package) in &crates {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| layer == name) else {
            faults.push(format!("{name} has no place among the layers: give it one in {}", file!()));
            continue;
        };
        for (used, in_tests) in uses(package).into_iter().filter(|(used, _)| crates.contains_key(*used)) {
            let may = allowed.contains(&used) || in_tests && IN_TESTS.contains(&(name, used));
            if !may {
                faults.push(format!("{name} must not use {used}"));
            }
        }
    }
    assert_none(&faults);
    assert_eq!(crates.len(), LAYERS.len(), "a layer names a crate that is gone");
}

#[test]
fn the_core_uses_nothing_that_does_io() {
    let crates = crates();
    let used: BTreeSet<_> = uses(&crates["cpq-domain"]).into_iter().filter(|(_, in_tests)| !in_tests).collect();
    let faults: Vec<_> = used
        .iter()
        .filter(|(name, _)| !CORE_USES.contains(name))
        .map(|(name, _)| format!("domain uses {name}: the core has no clock, random, I/O or async"))
        .collect();
    assert_none(&faults);
}

/// Tests of the core may read a file.
#[test]
fn the_core_asks_nothing_of_the_outside() {
    let of_core =
        |name: &str| name.starts_with("domain/src/") && !name.contains("/tests/") && !name.ends_with("tests.rs");
    let mut faults = Vec::new();
    let mut looked = 0;
    for (name, source) in sources().into_iter().filter(|(name, _)| of_core(name)) {
        looked += 1;
        for (number, line) in source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(word) = IMPURE.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{name}:{}: {word}: the core is pure; hand it in as a value", number + 1));
            }
        }
    }
    assert!(looked > 0);
    assert_none(&faults);
}

#[test]
fn only_state_stores_talk_to_the_stores() {
    let crates = crates();
    let mut faults = Vec::new();
    for (store, owners) in STORES {
        for (name, package) in crates.iter().filter(|(name, _)| !owners.contains(&name.as_str())) {
            if uses(package).contains(&(store, false)) {
                faults.push(format!("{name} uses {store}: put the query into state-stores and call it"));
            }
        }
    }
    // A crate may have sqlx for its tests; unit tests beside the code are no place for it either.
    let of_others =
        |name: &str| name.contains("/src/") && !name.starts_with("state-stores/") && !name.starts_with("e2e/");
    for (name, source) in sources().into_iter().filter(|(name, _)| of_others(name)) {
        if source.contains("sqlx::") {
            faults.push(format!("{name} names sqlx: put the query into state-stores and call it"));
        }
    }
    assert_none(&faults);
}

/// No address comes from data: all are configured. Only an answer could name another, and nobody follows it.
#[test]
fn fault_61_no_client_of_the_product_follows_a_redirect() {
    let of_product = |name: &str| name.contains("/src/") && !name.starts_with("e2e/");
    let (mut clients, mut faults) = (0, Vec::new());
    for (name, source) in sources().into_iter().filter(|(name, _)| of_product(name)) {
        for short in ["reqwest::get(", "Client::new()"] {
            if source.contains("reqwest") && source.contains(short) {
                faults.push(format!("{name} uses {short}…: build a client with `.redirect(Policy::none())`"));
            }
        }
        for built in source.split("reqwest::Client::builder()").skip(1) {
            clients += 1;
            let settings = built.split(".build()").next().unwrap_or_default();
            if !settings.contains("Policy::none()") {
                faults.push(format!("{name} builds a client that follows redirects: add `.redirect(Policy::none())`"));
            }
        }
    }
    assert!(clients >= 4, "only {clients} clients were found: is there another way to build one?");
    assert_none(&faults);
}

#[test]
fn every_source_file_says_what_it_owns() {
    let sources = sources();
    assert!(sources.len() > 300, "only {} files were found", sources.len());
    let mut faults = Vec::new();
    for (name, source) in sources {
        let header = if INCLUDED.contains(&name.as_str()) { "// " } else { "//! " };
        if !source.starts_with(header) {
            faults.push(format!("{name} does not begin with `{header}`: what it owns, and what it leaves to others"));
        }
    }
    assert_none(&faults);
}

/// Databases that have applied a migration compare it with their record of it and refuse a changed one.
#[test]
fn applied_migrations_are_frozen() {
    let folder = root().join("migrations");
    let list = std::fs::read_to_string(folder.join("checksums.txt")).unwrap();
    let mut listed: BTreeMap<&str, &str> = BTreeMap::new();
    for line in list.lines() {
        let (sum, name) = line.split_once("  ").unwrap_or_else(|| panic!("no line of sha256sum: {line}"));
        assert_eq!(listed.insert(name, sum), None, "{name} is listed twice");
    }
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".sql") {
            continue;
        }
        let sum = hex::encode(Sha256::digest(std::fs::read(&path).unwrap()));
        match listed.remove(name.as_str()) {
            Some(frozen) if frozen == sum => {}
            Some(_) => {
                faults.push(format!("{name} is frozen and was changed: put it back, and write a new migration instead"))
            }
            None => faults.push(format!(
                "{name} is new and needs its line: (cd migrations && sha256sum {name} >> checksums.txt)"
            )),
        }
    }
    faults.extend(listed.keys().map(|name| format!("{name} is frozen and is gone: put it back")));
    assert_none(&faults);
}

#[test]
fn nothing_names_a_folder_of_somebody_s_machine() {
    // Put together here, so that this file does not name them.
    let folders = ["work", "root", "home", "Users", "tmp/team"].map(|folder| format!("/{folder}/"));
    let mut faults = Vec::new();
    for (name, path) in files() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(folder) = folders.iter().find(|folder| line.contains(folder.as_str())) {
                faults.push(format!("{name}:{} names a path under {folder}", number + 1));
            }
        }
    }
    assert_none(&faults);
}
