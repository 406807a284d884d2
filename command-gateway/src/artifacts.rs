//! Reads stored documents. The place of a document comes from the database; it is read only where it lies
//! under the configured store, and its bytes are shown only if they have the recorded hash.

use bytes::Bytes;
use cpq_domain::canonical;
use object_store::ObjectStore;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use std::sync::Arc;
use url::Url;

/// The configured store.
#[derive(Clone)]
pub struct Artifacts {
    base: Url,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// Why a document cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Its place is not under the configured store.
    #[error("{0} is not in the configured store")]
    Elsewhere(String),
    /// Its bytes are not those that were recorded.
    #[error("{uri} has the hash {found}, recorded is {recorded}")]
    Altered { uri: String, found: String, recorded: String },
    #[error("the document is not there: {0}")]
    Missing(#[source] object_store::Error),
    #[error("the store does not answer: {0}")]
    Unavailable(#[source] object_store::Error),
}

impl Artifacts {
    /// Opens the store of a `file:///…` or `s3://…` URL; S3's credentials, region and endpoint are the usual
    /// `AWS_*` variables.
    pub fn open(url: &str) -> Result<Self, String> {
        let base = Url::parse(url).map_err(|e| e.to_string())?;
        if base.scheme() == "file" {
            let folder = base.to_file_path().map_err(|()| "not a path of this machine".to_owned())?;
            std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let options = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let (store, prefix) = object_store::parse_url_opts(&base, options).map_err(|e| e.to_string())?;
        Ok(Self { base, store: Arc::from(store), prefix })
    }

    /// The bytes of a document, verified.
    pub async fn read(&self, uri: &str, recorded: &str) -> Result<Bytes, ArtifactError> {
        let path = self.path(uri).ok_or_else(|| ArtifactError::Elsewhere(uri.to_owned()))?;
        let failed = |error| match error {
            object_store::Error::NotFound { .. } => ArtifactError::Missing(error),
            other => ArtifactError::Unavailable(other),
        };
        let bytes = self.store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let found = canonical::sha256(&bytes);
        if found != recorded {
            return Err(ArtifactError::Altered { uri: uri.to_owned(), found, recorded: recorded.to_owned() });
        }
        Ok(bytes)
    }

    /// The document's path in the store, if its URI is the store's own with plain segments behind it.
    fn path(&self, uri: &str) -> Option<Path> {
        let rest = uri.strip_prefix(self.base.as_str().trim_end_matches('/'))?.strip_prefix('/')?;
        let plain =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['%', '\\', '?', '#']);
        if !rest.split('/').all(plain) {
            return None;
        }
        let full = format!("{}/{rest}", self.prefix);
        Path::parse(full.trim_start_matches('/')).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn folder() -> (std::path::PathBuf, Artifacts) {
        let folder =
            std::env::temp_dir().join(format!("cpq-artifacts-{}-{}", std::process::id(), ulid::Ulid::generate()));
        let artifacts = Artifacts::open(&format!("file://{}", folder.display())).unwrap();
        (folder, artifacts)
    }

    #[tokio::test]
    async fn only_the_recorded_bytes_are_shown() {
        let (folder, artifacts) = folder();
        std::fs::create_dir_all(folder.join("t")).unwrap();
        std::fs::write(folder.join("t/a.pdf"), b"%PDF").unwrap();
        let uri = format!("file://{}/t/a.pdf", folder.display());
        assert_eq!(artifacts.read(&uri, &canonical::sha256(b"%PDF")).await.unwrap(), "%PDF");
        let altered = artifacts.read(&uri, &canonical::sha256(b"other")).await;
        assert!(matches!(altered, Err(ArtifactError::Altered { .. })));
        let missing = artifacts.read(&uri.replace("a.pdf", "b.pdf"), "").await;
        assert!(matches!(missing, Err(ArtifactError::Missing(_))));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[rstest]
    #[case("http://169.254.169.254/latest/meta-data")]
    #[case("http://[::ffff:169.254.169.254]/latest/meta-data")]
    #[case("http://10.0.0.1/a.pdf")]
    #[case("s3://another-bucket/a.pdf")]
    #[case("file:///etc/passwd")]
    #[case("{base}/../../etc/passwd")]
    #[case("{base}/%2e%2e/secret")]
    #[case("{base}-other/a.pdf")]
    #[case("{base}")]
    #[tokio::test]
    async fn fault_61_a_place_outside_of_the_store_is_refused_without_asking_anyone(#[case] uri: &str) {
        let (folder, artifacts) = folder();
        let uri = uri.replace("{base}", &format!("file://{}", folder.display()));
        assert!(matches!(artifacts.read(&uri, "").await, Err(ArtifactError::Elsewhere(_))));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
