//! Tokens of the development issuer, judged as the gateway judges them, and the keys they rest on.

use super::*;
use clap::Parser;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use rstest::rstest;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const NOW: i64 = 1_800_000_000;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    token: TokenArgs,
}

fn args(line: &str) -> TokenArgs {
    Line::parse_from(std::iter::once("token").chain(line.split_whitespace())).token
}

fn directory() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("cpq-token-{}", Uuid::now_v7()));
    DevKey::init(&directory).unwrap();
    directory
}

/// The claims as a service sees them that trusts the directory's key set; expiry is judged by the caller.
fn verified(directory: &Path, token: &str) -> Value {
    let keys: JwkSet = serde_json::from_slice(&std::fs::read(directory.join(JWKS_FILE)).unwrap()).unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["cpq"]);
    validation.set_issuer(&["https://dev.cpq.local"]);
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

#[test]
fn a_token_is_trusted_by_whoever_has_the_key_set() {
    let directory = directory();
    let line = "--sub alice --tenant tenant-acme --role sales-rep --role approver --account acct-1001";
    let token = sign(&args(line), &DevKey::read(&directory.join(DEV_KEY_FILE)).unwrap(), NOW).unwrap();
    let claims = verified(&directory, &token);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["tenant_id"], "tenant-acme");
    assert_eq!(claims["roles"], json!(["sales-rep", "approver"]));
    assert_eq!(claims["customer_accounts"], json!(["acct-1001"]));
    assert_eq!(claims["actor_type"], "USER");
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(NOW), Some(NOW + 3600)));
}

#[rstest]
#[case("--account *", json!(["*"]))]
#[case("", Value::Null)]
fn no_account_means_no_claim(#[case] accounts: &str, #[case] claim: Value) {
    let directory = directory();
    let line = format!("--sub s --tenant t --actor-type SYSTEM {accounts}");
    let token = sign(&args(&line), &DevKey::read(&directory.join(DEV_KEY_FILE)).unwrap(), NOW).unwrap();
    let claims = verified(&directory, &token);
    assert_eq!(claims["customer_accounts"], claim);
    assert_eq!(claims["actor_type"], "SYSTEM");
}

#[test]
fn a_negative_ttl_makes_a_token_that_was_good_once() {
    let directory = directory();
    let key = DevKey::read(&directory.join(DEV_KEY_FILE)).unwrap();
    let claims = verified(&directory, &sign(&args("--sub s --tenant t --ttl -5m"), &key, NOW).unwrap());
    let (issued, expires) = (claims["nbf"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert_eq!(expires, NOW - 300);
    assert!(issued < expires);
}

#[test]
fn a_second_init_keeps_the_key_and_restores_the_key_set() {
    let directory = directory();
    let key = std::fs::read(directory.join(DEV_KEY_FILE)).unwrap();
    std::fs::remove_file(directory.join(JWKS_FILE)).unwrap();
    assert_eq!(DevKey::init(&directory), Ok(false));
    assert_eq!(std::fs::read(directory.join(DEV_KEY_FILE)).unwrap(), key);
    assert!(directory.join(JWKS_FILE).exists());
}

#[test]
fn only_the_owner_may_read_the_private_key() {
    let mode = std::fs::metadata(directory().join(DEV_KEY_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_key_set_holds_no_private_part() {
    let text = std::fs::read_to_string(directory().join(JWKS_FILE)).unwrap();
    let keys: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = keys["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(!names.contains(&"d"), "{names:?}");
}

#[test]
fn a_missing_key_says_how_to_get_one() {
    let failure = DevKey::read(Path::new("/nonexistent/dev-key.pem")).err().unwrap();
    assert!(failure.message().contains("--init-dev-key"), "{}", failure.message());
}
