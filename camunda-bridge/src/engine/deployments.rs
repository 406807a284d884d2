//! Deploying models. The engine versions a definition by its key: an unchanged file makes no new version.

use super::{EngineClient, EngineError};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use std::collections::HashMap;

/// A model file: its name (which decides its kind: `.bpmn`, `.dmn`) and text.
#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    pub content: String,
}

/// A deployment: a new one, or the earlier one if nothing had changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    pub id: String,
    // Missing and null alike: nothing of the kind is new.
    #[serde(default)]
    deployed_process_definitions: Option<HashMap<String, DeployedDefinition>>,
    #[serde(default)]
    deployed_decision_definitions: Option<HashMap<String, DeployedDefinition>>,
}

/// A process or decision as this deployment made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct DeployedDefinition {
    pub key: String,
    pub version: u32,
}

impl Deployment {
    /// The definitions that are new by this very call; none if no file had changed.
    pub fn new_definitions(&self) -> Vec<&DeployedDefinition> {
        let maps = [&self.deployed_process_definitions, &self.deployed_decision_definitions];
        let mut new: Vec<_> = maps.into_iter().flatten().flat_map(HashMap::values).collect();
        new.sort();
        new
    }
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
