//! The configured key set, kept in memory: fetched at start and again, rarely, when a token names a key that
//! is not in it. While it cannot be fetched the known keys go on.

use super::keys::{KeyError, Keys, VerificationKey, parse};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tracing::{info, warn};

/// Between two fetches, whoever asks: an attacker's unknown key ids cost one fetch in this time.
pub const REFETCH_PAUSE: Duration = Duration::from_secs(10);
/// Longest fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest key set.
const MAX_BYTES: usize = 256 * 1024;

enum Source {
    File(PathBuf),
    Http { url: String, client: reqwest::Client },
}

/// The keys and where they come from.
pub struct KeySet {
    source: Source,
    keys: RwLock<Arc<Keys>>,
    fetched: Mutex<Option<Instant>>,
}

impl KeySet {
    /// `place` is an http(s) URL or a file. Nothing is fetched yet.
    pub fn new(place: &str) -> Result<Self, KeyError> {
        let source = if place.starts_with("http://") || place.starts_with("https://") {
            let client = reqwest::Client::builder()
                .timeout(FETCH_TIMEOUT)
                // The configured place, and no other that it may name.
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|e| KeyError::Unreadable(e.to_string()))?;
            Source::Http { url: place.to_owned(), client }
        } else {
            Source::File(PathBuf::from(place.strip_prefix("file://").unwrap_or(place)))
        };
        Ok(Self { source, keys: RwLock::default(), fetched: Mutex::new(None) })
    }

    /// Fetches the set, unless that was tried less than [`REFETCH_PAUSE`] ago.
    pub async fn refresh(&self) -> Result<(), KeyError> {
        let mut fetched = self.fetched.lock().await;
        if fetched.is_some_and(|at| at.elapsed() < REFETCH_PAUSE) {
            return Ok(());
        }
        *fetched = Some(Instant::now());
        let keys = parse(&self.read().await?)?;
        info!(keys = keys.len(), "key set fetched");
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// The key of that id; of no id, where there is only one key. Unknown ids lead to one fetch at most.
    pub async fn find(&self, key_id: Option<&str>) -> Option<Arc<VerificationKey>> {
        if let Some(key) = self.known(key_id) {
            return Some(key);
        }
        if let Err(error) = self.refresh().await {
            warn!(%error, "the key set cannot be fetched; the known keys go on");
        }
        self.known(key_id)
    }

    /// Whether a token that was verified with this key may still be.
    pub fn has(&self, key_id: Option<&str>) -> bool {
        self.known(key_id).is_some()
    }

    /// Whether any token can be verified.
    pub fn is_empty(&self) -> bool {
        self.snapshot().is_empty()
    }

    fn known(&self, key_id: Option<&str>) -> Option<Arc<VerificationKey>> {
        let keys = self.snapshot();
        match key_id {
            Some(id) => keys.get(&Some(id.to_owned())).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        }
    }

    fn snapshot(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<Vec<u8>, KeyError> {
        match &self.source {
            Source::File(path) => {
                let unreadable = |e: std::io::Error| KeyError::Unreadable(format!("{}: {e}", path.display()));
                let text = tokio::fs::read(path).await.map_err(unreadable)?;
                if text.len() > MAX_BYTES { Err(too_large()) } else { Ok(text) }
            }
            Source::Http { url, client } => {
                let unreadable = |e: reqwest::Error| KeyError::Unreadable(e.without_url().to_string());
                let mut response = client.get(url).send().await.map_err(unreadable)?;
                if !response.status().is_success() {
                    // Without the URL, which may hold credentials.
                    return Err(KeyError::Unreadable(format!("its server answered {}", response.status())));
                }
                let mut text = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(unreadable)? {
                    text.extend_from_slice(&chunk);
                    if text.len() > MAX_BYTES {
                        return Err(too_large());
                    }
                }
                Ok(text)
            }
        }
    }
}

fn too_large() -> KeyError {
    KeyError::Unreadable(format!("larger than {MAX_BYTES} bytes"))
}
