//! The development key: an ES256 key pair in PEM (PKCS #8), and the JWK set that the services trust.

use crate::Failure;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The private key's file in its directory.
pub const DEV_KEY_FILE: &str = "dev-key.pem";
/// The public keys' file in the same directory.
pub const JWKS_FILE: &str = "jwks.json";
/// Only the owner may read the private key.
const PRIVATE_MODE: u32 = 0o600;
/// Anybody may read the public ones.
const PUBLIC_MODE: u32 = 0o644;
const ALGORITHM: Algorithm = Algorithm::ES256;

/// The key that signs tokens for local work.
pub struct DevKey {
    key: EncodingKey,
    /// Named by its RFC 7638 thumbprint.
    public: Jwk,
}

impl DevKey {
    /// Reads the key's file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let pem = fs::read(path).map_err(|cause| {
            Failure::failed(format!(
                "cannot read the development key {}: {cause}; `make up` makes it, `cpq token --init-dev-key DIR` another one, \
                 --key or CPQ_OIDC_DEV_KEY names it",
                path.display()
            ))
        })?;
        Self::from_pem(&pem)
            .map_err(|cause| Failure::failed(format!("{} is no ES256 key in PEM: {cause}", path.display())))
    }

    fn from_pem(pem: &[u8]) -> jsonwebtoken::errors::Result<Self> {
        let key = EncodingKey::from_ec_pem(pem)?;
        let mut public = Jwk::from_encoding_key(&key, ALGORITHM)?;
        public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256)?);
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { key, public })
    }

    /// Makes the key, unless the directory has one, and writes the JWK set that belongs to it. Returns whether
    /// the key is new.
    pub fn init(directory: &Path) -> Result<bool, Failure> {
        let path = directory.join(DEV_KEY_FILE);
        fs::create_dir_all(directory).map_err(Failure::because(format!("cannot make {}", directory.display())))?;
        let made = !path.exists();
        if made {
            write(&path, &generate()?, PRIVATE_MODE)?;
        }
        let keys = JwkSet { keys: vec![Self::read(&path)?.public] };
        let text = serde_json::to_string_pretty(&keys).map_err(Failure::because("cannot write the key set"))?;
        write(&directory.join(JWKS_FILE), text.as_bytes(), PUBLIC_MODE)?;
        Ok(made)
    }

    /// Signs claims.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Failure> {
        let header = Header { kid: self.public.common.key_id.clone(), ..Header::new(ALGORITHM) };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(Failure::because("cannot sign the token"))
    }
}

/// A new private key in PEM.
fn generate() -> Result<Vec<u8>, Failure> {
    let unable = |_| Failure::failed("the system gives no randomness for a new key");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(unable)?;
    let der = pair.to_pkcs8v1().map_err(unable)?;
    Ok(pem("PRIVATE KEY", der.as_ref()).into_bytes())
}

/// RFC 7468 text.
fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for start in (0..encoded.len()).step_by(LINE) {
        out.push_str(&encoded[start..encoded.len().min(start + LINE)]);
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// Writes the whole file or none: a reader never sees half of it, nor ever with a wider mode.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|cause| {
        let _ = fs::remove_file(&new);
        Failure::failed(format!("cannot write {}: {cause}", path.display()))
    })
}
