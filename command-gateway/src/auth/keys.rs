//! Verification keys out of a JWK set: asymmetric ones for signatures, each with the one algorithm it is for.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::collections::HashMap;
use std::sync::Arc;
use tracing::warn;

/// Keys in one set; more is no key set of an issuer.
const MAX_KEYS: usize = 100;

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key set cannot be read: {0}")]
    Unreadable(String),
    #[error("the key set is no JWK set: {0}")]
    NotAKeySet(String),
    #[error("the key set has no usable key (RS256, ES256 or EdDSA, for signatures)")]
    Empty,
}

/// A key with its algorithm.
pub struct VerificationKey {
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// The keys by id; a key without an id is under `None`.
pub type Keys = HashMap<Option<String>, Arc<VerificationKey>>;

/// The usable keys of a set. Others are left out with a word in the log.
pub fn parse(text: &[u8]) -> Result<Keys, KeyError> {
    // Key by key, so that one of a kind we have never heard of does not spoil the others.
    let set: serde_json::Value = serde_json::from_slice(text).map_err(|e| KeyError::NotAKeySet(e.to_string()))?;
    let listed = set.get("keys").and_then(serde_json::Value::as_array);
    let listed = listed.ok_or_else(|| KeyError::NotAKeySet("no member `keys`".to_owned()))?;
    let known = listed.iter().take(MAX_KEYS).filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    let set = JwkSet { keys: known.collect() };
    let mut keys = Keys::new();
    for jwk in &set.keys {
        match usable(jwk) {
            Some(key) => {
                keys.insert(jwk.common.key_id.clone(), Arc::new(key));
            }
            None => warn!(key_id = jwk.common.key_id.as_deref(), "a key of the set is not usable here"),
        }
    }
    if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
}

fn usable(jwk: &Jwk) -> Option<VerificationKey> {
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let stated_for = match jwk.common.key_algorithm {
        None => algorithm,
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
        Some(_) => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (stated_for == algorithm).then_some(VerificationKey { algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    fn set(keys: &str) -> String {
        format!("{{\"keys\":[{keys}]}}")
    }

    #[test]
    fn a_key_is_for_the_algorithm_of_its_type() {
        let keys = parse(set(EC).as_bytes()).unwrap();
        assert_eq!(keys[&Some("a".to_owned())].algorithm, Algorithm::ES256);
    }

    #[rstest]
    #[case::shared_secret(r#"{"kty":"oct","kid":"a","k":"c2VjcmV0"}"#)]
    #[case::for_encryption(r#"{"kty":"EC","crv":"P-256","use":"enc","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#)]
    #[case::stated_for_another(r#"{"kty":"EC","crv":"P-256","alg":"HS256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#)]
    #[case::unheard_of(r#"{"kty":"LATTICE","kid":"a"}"#)]
    fn what_is_no_asymmetric_signing_key_is_left_out(#[case] key: &str) {
        assert!(matches!(parse(set(key).as_bytes()), Err(KeyError::Empty)));
        assert_eq!(parse(set(&format!("{},{}", key, EC.replace("\"a\"", "\"b\""))).as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        assert!(matches!(parse(b"<html>"), Err(KeyError::NotAKeySet(_))));
        assert!(matches!(parse(b"{}"), Err(KeyError::NotAKeySet(_))));
    }
}
