//! Registering and checking subjects. schema_registry_converter reads schemas and versions; configuration and
//! verbose compatibility it does not offer, so those calls are made here.

use super::{CALL_TIMEOUT, COMPATIBILITY};
use crate::schemas::{Schema, Schemas};
use reqwest::{Method, StatusCode, redirect};
use serde_json::{Value, json};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// The registry's code for a subject that it does not know.
const SUBJECT_NOT_FOUND: u64 = 40401;

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("the schema registry at {url} cannot be reached: {source}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the schema registry answered {status} to {method} {path}: {message}")]
    Refused { method: Method, path: String, status: StatusCode, message: String },
    #[error("{subject} is not {COMPATIBILITY} with its registered versions: {message}")]
    Incompatible { subject: String, message: String },
    #[error("the schema registry's answer to {path} makes no sense: {answer}")]
    Unexpected { path: String, answer: Value },
}

/// A schema with the id that the registry gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub subject: String,
    pub full_name: String,
    pub fingerprint: String,
    pub schema_id: i32,
    pub schema: String,
}

/// How a schema of this build stands to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Registered, with this id.
    Registered(i32),
    /// Not registered; the subject is new.
    New,
    /// Not registered; compatible with all versions.
    Compatible,
    /// Would be refused, with the registry's reasons.
    Incompatible(String),
}

/// The registry's Confluent API.
#[derive(Clone, Debug)]
pub struct Registry {
    url: String,
    http: reqwest::Client,
}

struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn message(&self) -> String {
        self.body.get("message").and_then(Value::as_str).map_or_else(|| self.body.to_string(), str::to_owned)
    }
    fn error_code(&self) -> Option<u64> {
        self.body.get("error_code").and_then(Value::as_u64)
    }
}

impl Registry {
    /// `url` is the base of the Confluent API, `…/apis/ccompat/v7`.
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        let url = url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().timeout(CALL_TIMEOUT).redirect(redirect::Policy::none()).build();
        let http = http.map_err(|source| RegistryError::Unreachable { url: url.clone(), source })?;
        Ok(Self { url, http })
    }

    /// Registers every schema under its subject and sets the subject's compatibility. Doing it again changes
    /// nothing and gives the same ids.
    pub async fn register(&self, schemas: &Schemas) -> Result<Vec<Registered>, RegistryError> {
        let mut registered = Vec::with_capacity(schemas.len());
        for schema in schemas.iter() {
            let schema_id = self.register_one(schema).await?;
            registered.push(Registered {
                subject: schema.subject.clone(),
                full_name: schema.full_name.clone(),
                fingerprint: schema.fingerprint.clone(),
                schema_id,
                schema: schema.json.clone(),
            });
        }
        Ok(registered)
    }

    /// How every schema of this build stands to the registry. Changes nothing.
    pub async fn check(&self, schemas: &Schemas) -> Result<Vec<(String, Check)>, RegistryError> {
        let mut checks = Vec::with_capacity(schemas.len());
        for schema in schemas.iter() {
            let check = match self.id_of(schema).await? {
                Some(id) => Check::Registered(id),
                None => self.compatibility(schema).await?,
            };
            checks.push((schema.subject.clone(), check));
        }
        Ok(checks)
    }

    async fn register_one(&self, schema: &Schema) -> Result<i32, RegistryError> {
        if self.subject_exists(&schema.subject).await? {
            // Before the new version, so that a subject whose rule somebody took away is judged all the same.
            self.set_compatibility(&schema.subject).await?;
            if let Some(id) = self.id_of(schema).await? {
                return Ok(id);
            }
            return self.post_version(schema).await;
        }
        let id = self.post_version(schema).await?;
        self.set_compatibility(&schema.subject).await?;
        Ok(id)
    }

    async fn subject_exists(&self, subject: &str) -> Result<bool, RegistryError> {
        let path = format!("/subjects/{subject}/versions");
        let answer = self.call(Method::GET, &path, None).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND if answer.error_code() == Some(SUBJECT_NOT_FOUND) => Ok(false),
            _ => Err(refused(Method::GET, path, &answer)),
        }
    }

    /// Sets the subject's rule unless it is set. Of two that set it at once the registry refuses one, which
    /// then finds it set.
    async fn set_compatibility(&self, subject: &str) -> Result<(), RegistryError> {
        if self.has_compatibility(subject).await? {
            return Ok(());
        }
        let path = format!("/config/{subject}");
        let answer = self.call(Method::PUT, &path, Some(json!({ "compatibility": COMPATIBILITY }))).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT if self.has_compatibility(subject).await? => Ok(()),
            _ => Err(refused(Method::PUT, path, &answer)),
        }
    }

    async fn has_compatibility(&self, subject: &str) -> Result<bool, RegistryError> {
        let path = format!("/config/{subject}");
        let answer = self.call(Method::GET, &path, None).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body.get("compatibilityLevel").and_then(Value::as_str) == Some(COMPATIBILITY)),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused(Method::GET, path, &answer)),
        }
    }

    async fn post_version(&self, schema: &Schema) -> Result<i32, RegistryError> {
        let path = format!("/subjects/{}/versions", schema.subject);
        let answer = self.call(Method::POST, &path, Some(body(schema))).await?;
        match answer.status {
            StatusCode::OK => id(&path, answer.body),
            StatusCode::CONFLICT => {
                Err(RegistryError::Incompatible { subject: schema.subject.clone(), message: answer.message() })
            }
            _ => Err(refused(Method::POST, path, &answer)),
        }
    }

    /// The id under which this very schema is registered in its subject.
    async fn id_of(&self, schema: &Schema) -> Result<Option<i32>, RegistryError> {
        let path = format!("/subjects/{}", schema.subject);
        let answer = self.call(Method::POST, &path, Some(body(schema))).await?;
        match answer.status {
            StatusCode::OK => id(&path, answer.body).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(Method::POST, path, &answer)),
        }
    }

    async fn compatibility(&self, schema: &Schema) -> Result<Check, RegistryError> {
        if !self.subject_exists(&schema.subject).await? {
            return Ok(Check::New);
        }
        let path = format!("/compatibility/subjects/{}/versions?verbose=true", schema.subject);
        let answer = self.call(Method::POST, &path, Some(body(schema))).await?;
        if answer.status != StatusCode::OK {
            return Err(refused(Method::POST, path, &answer));
        }
        match answer.body.get("is_compatible").and_then(Value::as_bool) {
            Some(true) => Ok(Check::Compatible),
            Some(false) => Ok(Check::Incompatible(answer.body.get("messages").unwrap_or(&Value::Null).to_string())),
            None => Err(RegistryError::Unexpected { path, answer: answer.body }),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, RegistryError> {
        let unreachable = |source| RegistryError::Unreachable { url: self.url.clone(), source };
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("Accept", CONTENT_TYPE);
        if let Some(body) = body {
            request = request.header("Content-Type", CONTENT_TYPE).body(body.to_string());
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        // An answer that is not JSON is a proxy's page; it is shown as it is.
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }
}

fn body(schema: &Schema) -> Value {
    json!({ "schemaType": "AVRO", "schema": schema.json })
}

fn id(path: &str, answer: Value) -> Result<i32, RegistryError> {
    let id = answer.get("id").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok());
    id.ok_or_else(|| RegistryError::Unexpected { path: path.to_owned(), answer })
}

fn refused(method: Method, path: String, answer: &Answer) -> RegistryError {
    RegistryError::Refused { method, path, status: answer.status, message: answer.message() }
}
