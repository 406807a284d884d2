//! Deploying models. The engine versions a definition by its key: an unchanged file makes no new version.

use super::{EngineClient, EngineError};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

/// A model file: its name (which decides its kind: `.bpmn`, `.dmn`) and text.
#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    pub content: String,
}

/// A deployment: a new one, or the earlier one if nothing had changed.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployment {
    pub id: String,
}

impl EngineClient {
    /// Deploys what differs from the newest deployment of the same name and source. A model that does not
    /// parse is [`EngineError::Rejected`] with the parser's message.
    ///
    /// Several processes may deploy at once: on both engines the deployments are serialized by a lock, so the
    /// second finds nothing changed.
    pub async fn deploy(&self, name: &str, resources: &[Resource]) -> Result<Deployment, EngineError> {
        let form = Form::new()
            .text("deployment-name", name.to_owned())
            .text("deployment-source", "cpq-streams")
            .text("enable-duplicate-filtering", "true")
            .text("deploy-changed-only", "true");
        let form = resources.iter().fold(form, |form, resource| {
            let part = Part::text(resource.content.clone()).file_name(resource.name.clone());
            form.part(resource.name.clone(), part)
        });
        self.post_form(&["deployment", "create"], form).await
    }

    /// Removes a deployment with its definitions, instances and history.
    pub async fn delete_deployment(&self, id: &str) -> Result<(), EngineError> {
        self.delete(&["deployment", id], &[("cascade", "true")]).await
    }
}
