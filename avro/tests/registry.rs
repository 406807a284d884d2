//! Registering against a real registry, and what a registry's troubles become.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use cpq_avro::registry::{COMPATIBILITY, Check, Registry, RegistryError, RegistrySource};
use cpq_avro::wire::plan::compile;
use cpq_avro::{SchemaSource, Schemas, SourceError};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn real_registry() -> String {
    std::env::var("CPQ_SCHEMA_REGISTRY_URL").expect("run through `make test` (or `source .stack/env`)")
}

async fn get(url: &str) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn registering_twice_gives_the_same_ids_and_every_subject_its_compatibility() {
    let url = real_registry();
    let registry = Registry::new(&url).unwrap();
    let schemas = Schemas::load().unwrap();
    let first = registry.register(&schemas).await.unwrap();
    let second = registry.register(&schemas).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.len(), schemas.len());
    for (subject, check) in registry.check(&schemas).await.unwrap() {
        assert!(matches!(check, Check::Registered(_)), "{subject}: {check:?}");
        let config = get(&format!("{url}/config/{subject}")).await;
        assert_eq!(config["compatibilityLevel"], json!(COMPATIBILITY), "{subject}");
    }
}

#[tokio::test]
async fn a_registered_schema_can_be_asked_for_by_its_id() {
    let url = real_registry();
    let schemas = Schemas::load().unwrap();
    let registered = Registry::new(&url).unwrap().register(&schemas).await.unwrap();
    let source = RegistrySource::new(&url).unwrap();
    for schema in &registered[..3] {
        let text = source.schema(schema.schema_id).await.unwrap();
        // The registry may write the same schema differently: it leaves out repeated namespaces.
        let compiled = |text: &str| compile(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(compiled(&text), compiled(&schema.schema));
    }
    assert_eq!(source.schema(i32::MAX).await, Err(SourceError::Unknown(i32::MAX)));
    assert_eq!(source.schema(-1).await, Err(SourceError::Unknown(-1)));
}

/// Fault 33, at registration.
#[tokio::test]
async fn the_real_registry_refuses_a_field_without_default() {
    let url = real_registry();
    let schemas = Schemas::load().unwrap();
    Registry::new(&url).unwrap().register(&schemas).await.unwrap();
    let (_, schema) = schemas.by_full_name("cpq.quote.QuoteOrderLinked").unwrap();
    let mut broken: Value = serde_json::from_str(&schema.json).unwrap();
    broken["fields"].as_array_mut().unwrap().push(json!({"name": "must", "type": "string", "doc": "no default"}));
    let body = json!({"schema": broken.to_string()}).to_string();
    let request = reqwest::Client::new().post(format!("{url}/subjects/{}/versions", schema.subject));
    let answer = request.header("Content-Type", "application/vnd.schemaregistry.v1+json").body(body).send();
    assert_eq!(answer.await.unwrap().status(), 409);
}

#[rstest]
#[case::proxy(404, json!("<html>no such page</html>"), false)]
#[case::other_code(404, json!({"error_code": 40401, "message": "Subject not found"}), false)]
#[case::unknown(404, json!({"error_code": 40403, "message": "Schema 7 not found."}), true)]
#[case::broken(500, json!({"error_code": 50001, "message": "store"}), false)]
#[case::busy(503, json!({}), false)]
#[tokio::test]
async fn only_the_registrys_own_not_found_condemns_a_record(
    #[case] status: u16,
    #[case] body: Value,
    #[case] unknown: bool,
) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(status).set_body_json(body)).mount(&server).await;
    let error = RegistrySource::new(&server.uri()).unwrap().schema(7).await.unwrap_err();
    assert_eq!(error == SourceError::Unknown(7), unknown, "{error:?}");
}

#[tokio::test]
async fn a_registry_that_fails_for_a_moment_is_asked_again() {
    let server = MockServer::start().await;
    let schema = json!({"schema": "\"string\"", "schemaType": "AVRO"});
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).up_to_n_times(2).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(schema)).mount(&server).await;
    assert_eq!(RegistrySource::new(&server.uri()).unwrap().schema(7).await, Ok("\"string\"".to_owned()));
}

#[tokio::test]
async fn a_registry_that_is_down_is_named_with_its_address() {
    let registry = Registry::new("http://127.0.0.1:9").unwrap();
    let error = registry.register(&Schemas::load().unwrap()).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable { url, .. } if url == "http://127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_was_asked_and_why_not() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(403).set_body_json(json!({"error_code": 40301, "message": "read only"}));
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let error = Registry::new(&server.uri()).unwrap().register(&Schemas::load().unwrap()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("403") && text.contains("GET /subjects/cpq.") && text.contains("read only"), "{text}");
}
