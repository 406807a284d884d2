//! Where documents are kept: a local folder (`file:///…`) or S3 (`s3://bucket/prefix`; credentials, region and
//! endpoint from the usual `AWS_*` variables).

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use std::sync::Arc;
use url::Url;

/// An object store with the prefix that documents stand under.
#[derive(Clone)]
pub struct ArtifactStore {
    url: Url,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ArtifactStore {
    /// Opens the store of a URL; a local folder is made if it is missing.
    pub fn open(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|e| e.to_string())?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| "not a path of this machine".to_owned())?;
            std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let options = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let (store, prefix) = object_store::parse_url_opts(&url, options).map_err(|e| e.to_string())?;
        Ok(Self { url, store: Arc::from(store), prefix })
    }

    /// Stores the bytes and gives their URI. The same path and bytes again change nothing.
    pub async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<String, object_store::Error> {
        let full = self.prefix.parts().chain(Path::from(path).parts().map(|p| p.as_ref().to_owned().into())).collect();
        self.store.put(&full, PutPayload::from(bytes)).await?;
        Ok(format!("{}/{path}", self.url.as_str().trim_end_matches('/')))
    }
}
