//! `/quotes/{quoteId}/artifacts`: making a document, its metadata, its bytes.

use crate::answer::Answer;
use crate::artifacts::ArtifactError;
use crate::call::Call;
use crate::form::{Field, ID, Kind, Object, REVISION};
use crate::operation::Reply;
use crate::problem::Problem;
use crate::reading;
use crate::render::Shape;
use crate::submit;
use axum::body::Body;
use axum::response::Response;
use cpq_domain::ids::ArtifactId;
use cpq_domain::quote::command::{ArtifactType, GenerateArtifact};
use cpq_domain::quote::view::ArtifactView;
use cpq_domain::quote::{Artifact, Quote, QuoteCommand, template};
use cpq_domain::rejection::{ErrorCode, FieldCode, FieldError};
use cpq_state_stores::reads;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use tracing::error;

pub static BODY: Object = Object {
    name: "GenerateArtifactRequest",
    describes: "Makes a document of the approved quote; the same again gives the same artifact.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The approved revision."),
        Field::required("artifactType", Kind::Choice(&["PROPOSAL"]), "What it is."),
        Field::with_default("templateId", ID, "\"standard-proposal\"", "How it looks; its current version is taken."),
    ],
    also: None,
    example: r#"{"quoteRevision": 5, "artifactType": "PROPOSAL"}"#,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    quote_revision: u32,
    artifact_type: ArtifactType,
    template_id: String,
}

/// `POST /quotes/{quoteId}/artifacts`.
pub async fn generate(call: Call) -> Reply {
    let request: Request = call.read()?;
    let Some(version) = template::current_version(&request.template_id) else {
        let known: Vec<&str> = template::ids().collect();
        let detail = format!("there is no such template; known: {}", known.join(", "));
        return Err(Problem::invalid(vec![FieldError::new("/templateId", FieldCode::UnknownReference, detail)]));
    };
    let quote = call.quote_id()?;
    let command = QuoteCommand::GenerateArtifact(GenerateArtifact {
        quote_revision: request.quote_revision,
        artifact_type: request.artifact_type,
        template_id: request.template_id,
        template_version: version.to_owned(),
    });
    submit::to_quote(call, quote, command, Shape::Artifact).await
}

/// `GET /quotes/{quoteId}/artifacts/{artifactId}`.
pub async fn get(call: Call) -> Reply {
    let (quote, artifact) = find(&call).await?;
    Ok(Answer::ok(&ArtifactView::of(&artifact)).revision(quote.revision).build())
}

/// `GET /quotes/{quoteId}/artifacts/{artifactId}/content`.
pub async fn content(call: Call) -> Reply {
    let (quote, artifact) = find(&call).await?;
    let bytes = call.gateway.artifacts.read(&artifact.storage_uri, &artifact.content_hash).await.map_err(refuse)?;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    let name = format!("inline; filename=\"{}-r{}.pdf\"", quote.quote_id, artifact.quote_revision);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", quote.revision)) {
        headers.insert(http::header::ETAG, etag);
    }
    Ok(response)
}

fn refuse(error: ArtifactError) -> Problem {
    match error {
        ArtifactError::Unavailable(_) => {
            tracing::warn!(%error, "a document cannot be read now");
            Problem::unavailable("The document store does not answer: try again.")
        }
        ArtifactError::Elsewhere(_) | ArtifactError::Altered { .. } | ArtifactError::Missing(_) => {
            error!(%error, "a document is not what was recorded");
            Problem::new(ErrorCode::Internal, "The stored document is not what was recorded, so it is not shown.")
        }
    }
}

async fn find(call: &Call) -> Result<(Quote, Artifact), Problem> {
    let id = call.usable_segment("artifactId").map(ArtifactId::new);
    let mut tx = call.begin().await?;
    let quote = reading::quote(call, &mut tx).await?;
    let artifact = match &id {
        Some(id) => reads::artifact(&mut tx, call.tenant(), &quote.quote_id, id).await?,
        None => None,
    };
    tx.commit().await?;
    let missing =
        || Problem::new(ErrorCode::ArtifactNotFound, format!("Quote {} has no such artifact.", quote.quote_id));
    let artifact = artifact.ok_or_else(missing)?;
    Ok((quote, artifact))
}
