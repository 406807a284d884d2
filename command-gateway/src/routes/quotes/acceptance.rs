//! `POST /quotes/{quoteId}/acceptance`.

use crate::call::Call;
use crate::form::{Field, ID, Kind, NAME, Object, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;

static EVIDENCE: Object = Object {
    name: "AcceptanceEvidenceRequest",
    describes: "How the customer accepted, and which document.",
    fields: &[
        Field::required(
            "method",
            Kind::Choice(&["DIGITAL_SIGNATURE", "EMAIL_CONFIRMATION", "MANUAL_ENTRY"]),
            "DIGITAL_SIGNATURE is the customer's own.",
        ),
        Field::required("acceptedAt", Kind::Instant, "When the customer accepted."),
        Field::required("artifactId", ID, "The newest artifact of this revision: what the customer was shown."),
    ],
    also: None,
    example: r#"{"method": "EMAIL_CONFIRMATION", "acceptedAt": "2026-11-30T12:00:00Z", "artifactId": "art-2026-000123-r5-1"}"#,
};

pub static BODY: Object = Object {
    name: "AcceptQuoteRequest",
    describes: "Accepts exactly this revision, as the artifact shows it.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The approved revision."),
        Field::required("acceptedBy", NAME, "Who accepted, on the customer's side."),
        Field::required("acceptanceEvidence", Kind::Object(&EVIDENCE), "How."),
    ],
    also: None,
    example: r#"{"quoteRevision": 5, "acceptedBy": "Jane Doe, Northwind", "acceptanceEvidence": {"method": "EMAIL_CONFIRMATION", "acceptedAt": "2026-11-30T12:00:00Z", "artifactId": "art-2026-000123-r5-1"}}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::AcceptQuote(command), Shape::AcceptedQuote).await
}
