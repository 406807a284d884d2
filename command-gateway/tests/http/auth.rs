//! Tokens: fault 54 (forged and broken ones), fault 55 (keys that rotate or cannot be fetched).

use super::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use command_gateway::auth::{Authenticator, KeySet};
use http::{HeaderMap, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn get(token: &str) -> Answer {
    Call::new(stage().await.gateway.clone(), "GET", "/quotes").token(token).send().await
}

fn good() -> Value {
    claims("tenant-a", "alice", &["sales-rep"], &["*"])
}

#[test]
fn a_good_token_is_taken() {
    run(async {
        let token = sign(&good(), &stage().await.signing_key, Some(KEY_ID));
        assert_eq!(get(&token).await.status, 200);
        assert_eq!(get(&token).await.status, 200, "and again, out of the cache");
    });
}

#[rstest]
#[case::expired(json!({"exp": 1_000_000}))]
#[case::not_yet(json!({"nbf": 99_999_999_999u64}))]
#[case::exp_as_text(json!({"exp": "99999999999"}))]
#[case::nbf_as_text(json!({"nbf": "0"}))]
#[case::no_exp(json!({"exp": null}))]
#[case::other_audience(json!({"aud": "somebody-else"}))]
#[case::no_audience(json!({"aud": null}))]
#[case::other_issuer(json!({"iss": "https://evil.test"}))]
#[case::no_tenant(json!({"tenant_id": null}))]
#[case::tenant_with_control_characters(json!({"tenant_id": "a\u{0}b"}))]
fn fault_54_a_token_with_a_wrong_claim_is_refused(#[case] change: Value) {
    run(async {
        let mut claims = good();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let answer = get(&sign(&claims, &stage().await.signing_key, Some(KEY_ID))).await;
        answer.assert_problem(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"));
        assert_eq!(answer.body["tenantId"], Value::Null);
    });
}

fn unsigned(header: Value) -> String {
    format!("{}.{}.", B64.encode(header.to_string()), B64.encode(good().to_string()))
}

#[test]
fn fault_54_a_forged_token_is_refused() {
    run(async {
        let stage = stage().await;
        let public = std::fs::read(&stage.jwks_path).unwrap();
        let with_secret = |secret: &[u8]| {
            let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &good(), &EncodingKey::from_secret(secret)).unwrap()
        };
        let other_key = key("other").0;
        let good_token = sign(&good(), &stage.signing_key, Some(KEY_ID));
        let (head, tail) = good_token.rsplit_once('.').unwrap();
        let mut with_jku = Header { kid: Some("elsewhere".to_owned()), ..Header::new(Algorithm::ES256) };
        with_jku.jku = Some("http://127.0.0.1:1/jwks.json".to_owned());
        let forged = [
            unsigned(json!({"alg": "none"})),
            unsigned(json!({"alg": "none", "kid": KEY_ID})),
            unsigned(json!({"alg": "None", "kid": KEY_ID})),
            with_secret(&public),
            with_secret(b""),
            sign(&good(), &other_key, Some(KEY_ID)),
            sign(&good(), &other_key, Some("../../../etc/passwd")),
            sign(&good(), &other_key, Some("' or 1=1 --")),
            jsonwebtoken::encode(&with_jku, &good(), &other_key).unwrap(),
            format!("{head}."),
            format!("{head}.{}", tail.chars().rev().collect::<String>()),
            "not.a.token".to_owned(),
            "x".to_owned(),
        ];
        for token in forged {
            get(&token).await.assert_problem(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
        }
    });
}

#[test]
fn a_critical_header_that_is_not_understood_is_refused() {
    run(async {
        let mut header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
        header.crit = Some(vec!["exp".to_owned()]);
        let token = jsonwebtoken::encode(&header, &good(), &stage().await.signing_key).unwrap();
        get(&token).await.assert_problem(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
    });
}

#[rstest]
#[case::none(&[])]
#[case::twice(&["Bearer a", "Bearer b"])]
#[case::other_scheme(&["Basic YTpi"])]
#[case::empty(&["Bearer "])]
fn without_one_bearer_token_nobody_is_known(#[case] sent: &[&str]) {
    run(async {
        let call = Call::new(stage().await.gateway.clone(), "GET", "/quotes");
        let answer = sent.iter().fold(call, |call, value| call.header("authorization", value)).send().await;
        answer.assert_problem(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"cpq\""));
    });
}

#[rstest]
#[case::none(&[])]
#[case::unheard_of(&["admin"])]
fn a_token_without_a_role_of_ours_may_do_nothing(#[case] roles: &[&str]) {
    run(async {
        let token = sign(&claims("tenant-a", "alice", roles, &["*"]), &stage().await.signing_key, Some(KEY_ID));
        get(&token).await.assert_problem(StatusCode::FORBIDDEN, "FORBIDDEN");
    });
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

/// A key set over HTTP that counts how often it is asked for.
async fn key_server(keys: JwkSet) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(keys)).mount(&server).await;
    server
}

fn authenticator(url: &str) -> Authenticator {
    Authenticator::new(ISSUER.to_owned(), AUDIENCE.to_owned(), KeySet::new(url).unwrap())
}

#[test]
fn fault_55_an_unknown_key_costs_one_fetch_and_known_keys_go_on_when_the_set_is_gone() {
    run(async {
        let (signing, jwk) = key("a");
        let server = key_server(JwkSet { keys: vec![jwk] }).await;
        let authenticator = authenticator(&server.uri());
        let token = sign(&good(), &signing, Some("a"));
        assert!(authenticator.authenticate(&bearer(&token)).await.is_ok());
        for index in 0..20 {
            let unknown = sign(&good(), &signing, Some(&format!("unknown-{index}")));
            assert!(authenticator.authenticate(&bearer(&unknown)).await.is_err());
        }
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "rate-limited");
        drop(server);
        let another = sign(&claims("tenant-b", "bob", &["approver"], &[]), &signing, Some("a"));
        assert!(authenticator.authenticate(&bearer(&another)).await.is_ok());
    });
}

#[test]
fn fault_61_a_redirected_key_set_is_not_followed() {
    run(async {
        let (signing, jwk) = key("a");
        let target = key_server(JwkSet { keys: vec![jwk] }).await;
        let redirecting = MockServer::start().await;
        let answer = ResponseTemplate::new(302).insert_header("location", target.uri().as_str());
        Mock::given(any()).respond_with(answer).mount(&redirecting).await;
        let authenticator = authenticator(&redirecting.uri());
        assert!(authenticator.authenticate(&bearer(&sign(&good(), &signing, Some("a")))).await.is_err());
        assert!(target.received_requests().await.unwrap().is_empty());
    });
}
