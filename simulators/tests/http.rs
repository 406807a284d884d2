//! Each behaviour of the simulators over real HTTP, for each of the three systems.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use cpq_simulators::{Config, Simulators, System, start};
use reqwest::{Client, Response, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

/// How patient the tests' client is with a system that keeps silent.
const PATIENCE: Duration = Duration::from_millis(400);

struct Downstream {
    simulators: Simulators,
    client: Client,
    system: System,
}

impl Downstream {
    async fn start(system: System) -> Self {
        Self::start_with(system, None).await
    }

    async fn start_with(system: System, state_file: Option<std::path::PathBuf>) -> Self {
        let config = Config { addr: "127.0.0.1:0".parse().unwrap(), state_file };
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { simulators: start(config).await.unwrap(), client, system }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.simulators.base_url(), self.system.name())
    }

    async fn try_create(&self, key: &str, body: &Value) -> reqwest::Result<Response> {
        let request = self.client.post(self.url(self.system.collection())).header("Idempotency-Key", key);
        request.header("X-Correlation-Id", "corr-1").json(body).send().await
    }

    async fn create(&self, key: &str, body: &Value) -> Response {
        self.try_create(key, body).await.unwrap()
    }

    async fn ask(&self, key: &str) -> Response {
        let request = self.client.get(self.url(self.system.collection())).query(&[("idempotencyKey", key)]);
        request.send().await.unwrap()
    }

    async fn found(&self, key: &str) -> Vec<Value> {
        let response = self.ask(key).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    async fn try_compensate(&self, id: &str) -> reqwest::Result<Response> {
        let path = format!("{}/{id}/{}", self.system.collection(), self.system.compensation());
        self.client.post(self.url(&path)).send().await
    }

    async fn effects(&self, order: &str) -> Value {
        let request = self.client.get(self.url("effects")).query(&[("orderId", order)]);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn put_faults(&self, rules: Value) -> Response {
        self.client.put(self.url("faults")).json(&rules).send().await.unwrap()
    }

    async fn with_fault(system: System, rule: Value) -> Self {
        let downstream = Self::start(system).await;
        assert_eq!(downstream.put_faults(json!([rule])).await.status(), StatusCode::OK);
        downstream
    }
}

fn order(order: &str) -> Value {
    json!({
        "tenantId": "tenant-acme", "orderId": order, "lineNumber": "1", "stepId": "1:STEP",
        "productOfferingId": "fiber-1g", "quantity": "2", "characteristics": {"site": "Hamburg"}
    })
}

async fn body(response: Response) -> Value {
    response.json().await.unwrap()
}

async fn assert_problem(response: Response, status: u16, code: &str) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem = body(response).await;
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some(code), Some(u64::from(status))));
}

#[rstest]
#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_again_and_one_effect(
    #[values(System::Inventory, System::Activation, System::Billing)] system: System,
) {
    let downstream = Downstream::start(system).await;
    let first = downstream.create("k1", &order("O-1")).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let location = first.headers()["location"].to_str().unwrap().to_owned();
    let first = body(first).await;
    assert_eq!(first["status"], system.created_status());
    let read = downstream.client.get(format!("{}{location}", downstream.simulators.base_url())).send().await.unwrap();
    assert_eq!(body(read).await, first);

    let again = downstream.create("k1", &order("O-1")).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(body(again).await, first);

    let effects = downstream.effects("O-1").await;
    assert_eq!((&effects["total"], &effects["repeated"]), (&json!(1), &json!(0)));
    assert_eq!(effects["items"][0]["effect"], system.created_status());
    assert_eq!(effects["items"][0]["occurrences"][0]["correlationId"], "corr-1");
}

#[tokio::test]
async fn the_order_of_members_does_not_make_another_body() {
    let downstream = Downstream::start(System::Inventory).await;
    downstream.create("k1", &order("O-1")).await;
    let reversed: serde_json::Map<_, _> = order("O-1").as_object().unwrap().clone().into_iter().rev().collect();
    assert_eq!(downstream.create("k1", &reversed.into()).await.status(), StatusCode::OK);
}

#[rstest]
#[case::known_member("quantity", json!("3"))]
#[case::member_of_no_meaning_here("requestedDate", json!("2027-01-01"))]
#[tokio::test]
async fn the_same_key_with_another_body_is_refused(#[case] member: &str, #[case] value: Value) {
    let downstream = Downstream::start(System::Billing).await;
    downstream.create("k1", &order("O-1")).await;
    let mut other = order("O-1");
    other[member] = value;
    assert_problem(downstream.create("k1", &other).await, 422, "IDEMPOTENCY_KEY_REUSED").await;
    assert_eq!(downstream.effects("O-1").await["total"], 1);
}

#[tokio::test]
async fn concurrent_requests_under_one_key_have_one_effect() {
    let downstream = Downstream::start(System::Activation).await;
    let body = order("O-1");
    let answers = futures_of(&downstream, &body).await;
    assert_eq!(answers.iter().filter(|status| **status == StatusCode::CREATED).count(), 1);
    assert_eq!(answers.iter().filter(|status| **status == StatusCode::OK).count(), answers.len() - 1);
    assert_eq!(downstream.effects("O-1").await["total"], 1);
}

async fn futures_of(downstream: &Downstream, body: &Value) -> Vec<StatusCode> {
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let request = downstream.client.post(downstream.url("services")).header("Idempotency-Key", "k1").json(body);
        set.spawn(async move { request.send().await.unwrap().status() });
    }
    set.join_all().await
}

#[tokio::test]
async fn a_system_can_be_asked_by_key_what_happened() {
    let downstream = Downstream::start(System::Inventory).await;
    assert_eq!(downstream.found("k1").await, Vec::<Value>::new());
    let created = body(downstream.create("k1", &order("O-1")).await).await;
    assert_eq!(downstream.found("k1").await, vec![created]);
}

#[rstest]
#[tokio::test]
async fn a_compensation_done_twice_has_one_effect_and_the_creation_stays_on_record(
    #[values(System::Inventory, System::Activation, System::Billing)] system: System,
) {
    let downstream = Downstream::start(system).await;
    let created = body(downstream.create("k1", &order("O-1")).await).await;
    let id = created["id"].as_str().unwrap();
    let first = body(downstream.try_compensate(id).await.unwrap()).await;
    assert_eq!(first["status"], system.compensated_status());
    assert_eq!(body(downstream.try_compensate(id).await.unwrap()).await, first);
    assert_eq!(downstream.found("k1").await, vec![first]);
    let effects = downstream.effects("O-1").await;
    assert_eq!((&effects["total"], &effects["repeated"]), (&json!(2), &json!(0)));
    assert_eq!(body(downstream.create("k1", &order("O-1")).await).await, created, "a repeat gets the first answer");
}

#[tokio::test]
async fn two_keys_for_one_step_are_counted_as_an_effect_that_happened_twice() {
    let downstream = Downstream::start(System::Billing).await;
    downstream.create("k1", &order("O-1")).await;
    downstream.create("k2", &order("O-1")).await;
    downstream.create("k3", &order("O-2")).await;
    let effects = downstream.effects("O-1").await;
    assert_eq!((&effects["repeated"], &effects["items"][0]["count"]), (&json!(1), &json!(2)));
    let all = downstream.client.get(downstream.url("effects")).send().await.unwrap();
    assert_eq!(body(all).await["total"], 3);
}

#[rstest]
#[case(System::Inventory, 409, "INVENTORY_NOT_AVAILABLE")]
#[case(System::Activation, 422, "ACTIVATION_REJECTED")]
#[case(System::Billing, 422, "BILLING_REJECTED")]
#[tokio::test]
async fn a_rejection_has_no_effect_and_leaves_the_key_free(
    #[case] system: System,
    #[case] status: u16,
    #[case] code: &str,
) {
    let rule = json!({"match": {"orderId": "O-1"}, "kind": "REJECT", "times": 1});
    let downstream = Downstream::with_fault(system, rule).await;
    assert_problem(downstream.create("k1", &order("O-1")).await, status, code).await;
    assert_eq!(downstream.effects("O-1").await["total"], 0);
    assert_eq!(downstream.found("k1").await.len(), 0);
    assert_eq!(downstream.create("k1", &order("O-1")).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn what_has_happened_is_not_rejected_later() {
    let downstream = Downstream::start(System::Inventory).await;
    downstream.create("k1", &order("O-1")).await;
    downstream.put_faults(json!([{"kind": "REJECT"}])).await;
    assert_eq!(downstream.create("k1", &order("O-1")).await.status(), StatusCode::OK);
    assert_eq!(downstream.create("k2", &order("O-1")).await.status(), StatusCode::CONFLICT);
}

#[rstest]
#[case(json!({"orderId": "O-1"}), true)]
#[case(json!({"productOfferingId": "fiber-1g", "tenantId": "tenant-acme"}), true)]
#[case(json!({"stepId": "1:STEP"}), true)]
#[case(json!({}), true)]
#[case(json!({"orderId": "O-2"}), false)]
#[case(json!({"orderId": "O-1", "tenantId": "tenant-other"}), false)]
#[tokio::test]
async fn a_rule_hits_what_matches_in_all_its_members(#[case] matching: Value, #[case] hits: bool) {
    let rule = json!({"match": matching, "kind": "ERROR_5XX"});
    let downstream = Downstream::with_fault(System::Activation, rule).await;
    let response = downstream.create("k1", &order("O-1")).await;
    assert_eq!(response.status() == StatusCode::SERVICE_UNAVAILABLE, hits);
    assert_eq!(downstream.effects("O-1").await["total"], if hits { 0 } else { 1 });
}

#[tokio::test]
async fn a_rule_hits_as_often_as_it_says_and_counts_its_hits() {
    let downstream = Downstream::with_fault(System::Activation, json!({"kind": "ERROR_5XX", "times": 2})).await;
    for status in [503, 503, 201] {
        assert_eq!(downstream.create("k1", &order("O-1")).await.status().as_u16(), status);
    }
    let rules = body(downstream.client.get(downstream.url("faults")).send().await.unwrap()).await;
    assert_eq!(rules, json!([{"match": {}, "kind": "ERROR_5XX", "times": 2, "hits": 2}]));
}

#[tokio::test]
async fn deleted_faults_hit_nothing_and_one_system_s_faults_leave_the_others_alone() {
    let downstream = Downstream::with_fault(System::Inventory, json!({"kind": "ERROR_5XX"})).await;
    let billing = format!("{}/billing/subscriptions", downstream.simulators.base_url());
    let request = downstream.client.post(billing).header("Idempotency-Key", "k1").json(&order("O-1"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::CREATED);
    let deleted = downstream.client.delete(downstream.url("faults")).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(downstream.create("k1", &order("O-1")).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_delayed_request_has_its_effect_although_the_client_has_gone() {
    let rule = json!({"kind": "DELAY", "delayMs": 700, "times": 1});
    let downstream = Downstream::with_fault(System::Inventory, rule).await;
    assert!(downstream.try_create("k1", &order("O-1")).await.unwrap_err().is_timeout());
    assert_eq!(downstream.found("k1").await.len(), 0);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(downstream.found("k1").await.len(), 1);
}

#[tokio::test]
async fn a_hanging_request_has_no_effect() {
    let downstream = Downstream::with_fault(System::Billing, json!({"kind": "HANG", "times": 1})).await;
    assert!(downstream.try_create("k1", &order("O-1")).await.unwrap_err().is_timeout());
    assert_eq!(downstream.found("k1").await.len(), 0);
}

#[tokio::test]
async fn a_request_applied_before_its_time_out_is_found_by_key_and_its_retry_is_no_second_effect() {
    let rule = json!({"kind": "APPLY_THEN_TIMEOUT", "times": 1});
    let downstream = Downstream::with_fault(System::Inventory, rule).await;
    assert!(downstream.try_create("k1", &order("O-1")).await.unwrap_err().is_timeout());
    assert_eq!(downstream.found("k1").await.len(), 1);
    assert_eq!(downstream.create("k1", &order("O-1")).await.status(), StatusCode::OK);
    assert_eq!(downstream.effects("O-1").await["total"], 1);
}

#[tokio::test]
async fn silence_ends_in_a_gateway_time_out_when_its_delay_is_over() {
    let rule = json!({"kind": "APPLY_THEN_TIMEOUT", "delayMs": 50});
    let downstream = Downstream::with_fault(System::Inventory, rule).await;
    assert_problem(downstream.create("k1", &order("O-1")).await, 504, "NO_ANSWER").await;
}

#[rstest]
#[case("APPLY_TWICE_REPLY")]
#[case("DUPLICATE")]
#[tokio::test]
async fn a_request_delivered_twice_has_one_effect_and_the_second_reply(#[case] kind: &str) {
    let downstream = Downstream::with_fault(System::Activation, json!({"kind": kind})).await;
    let response = downstream.create("k1", &order("O-1")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(downstream.effects("O-1").await["total"], 1);
}

#[rstest]
#[case::it_happened("APPLY_THEN_TIMEOUT")]
#[case::it_did_not_happen("HANG")]
#[tokio::test]
async fn with_the_query_out_of_order_nobody_can_know_what_happened(#[case] kind: &str) {
    let downstream = Downstream::start(System::Inventory).await;
    let of_order = json!({"orderId": "O-1"});
    let rules = json!([{"match": of_order, "kind": kind}, {"match": of_order, "kind": "QUERY_UNAVAILABLE"}]);
    downstream.put_faults(rules).await;
    assert!(downstream.try_create("k1", &order("O-1")).await.unwrap_err().is_timeout());
    assert_problem(downstream.ask("k1").await, 503, "TEMPORARILY_UNAVAILABLE").await;
    downstream.create("k2", &order("O-2")).await;
    assert_eq!(downstream.found("k2").await.len(), 1, "another order can still be asked about");
}

#[rstest]
#[case("REJECT", 409, 0)]
#[case("ERROR_5XX", 503, 0)]
#[case("APPLY_TWICE_REPLY", 200, 1)]
#[tokio::test]
async fn a_compensation_can_fail_too(#[case] kind: &str, #[case] status: u16, #[case] undone: usize) {
    let rule = json!({"kind": kind, "operation": "COMPENSATE", "match": {"orderId": "O-1"}, "times": 1});
    let downstream = Downstream::with_fault(System::Inventory, rule).await;
    let created = body(downstream.create("k1", &order("O-1")).await).await;
    let id = created["id"].as_str().unwrap();
    assert_eq!(downstream.try_compensate(id).await.unwrap().status().as_u16(), status);
    assert_eq!(downstream.effects("O-1").await["total"], 1 + undone);
    assert_eq!(downstream.try_compensate(id).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn undoing_what_does_not_exist_is_not_found() {
    let downstream = Downstream::start(System::Billing).await;
    assert_problem(downstream.try_compensate("sub-1").await.unwrap(), 404, "NOT_FOUND").await;
}

#[rstest]
#[case::no_key(None, order("O-1").to_string(), 400, "IDEMPOTENCY_KEY_REQUIRED")]
#[case::empty_key(Some(""), order("O-1").to_string(), 400, "IDEMPOTENCY_KEY_INVALID")]
#[case::no_json(Some("k1"), "{".to_owned(), 400, "MALFORMED_REQUEST")]
#[case::missing_member(Some("k1"), r#"{"tenantId":"t"}"#.to_owned(), 422, "VALIDATION_FAILED")]
#[case::empty_member(Some("k1"), order("").to_string(), 422, "VALIDATION_FAILED")]
#[case::too_large(Some("k1"), " ".repeat(300_000), 413, "BODY_REFUSED")]
#[tokio::test]
async fn a_request_of_bad_form_is_refused(
    #[case] key: Option<&str>,
    #[case] body: String,
    #[case] status: u16,
    #[case] code: &str,
) {
    let downstream = Downstream::start(System::Inventory).await;
    let mut request = downstream.client.post(downstream.url("reservations")).body(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    assert_problem(request.send().await.unwrap(), status, code).await;
}

#[rstest]
#[case(json!([{"kind": "EXPLODE"}]))]
#[case(json!([{"kind": "REJECT", "match": {"order": "O-1"}}]))]
#[case(json!([{"kind": "DELAY", "delayMs": 600_001}]))]
#[case(json!([{"kind": "REJECT", "times": 0}]))]
#[case(json!([{"kind": "REJECT", "operation": "QUERY"}]))]
#[case(json!([{"kind": "QUERY_UNAVAILABLE", "operation": "CREATE"}]))]
#[tokio::test]
async fn a_fault_of_bad_form_is_refused_and_changes_nothing(#[case] rules: Value) {
    let downstream = Downstream::with_fault(System::Inventory, json!({"kind": "ERROR_5XX"})).await;
    assert_eq!(downstream.put_faults(rules).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(downstream.create("k1", &order("O-1")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn health_is_up_and_counts_what_is_remembered() {
    let downstream = Downstream::start(System::Inventory).await;
    downstream.create("k1", &order("O-1")).await;
    let health = downstream.client.get(format!("{}/healthz", downstream.simulators.base_url())).send().await.unwrap();
    let expected = json!({"status": "UP", "resources": {"inventory": 1, "activation": 0, "billing": 0}});
    assert_eq!(body(health).await, expected);
}

#[tokio::test]
async fn a_stop_cuts_off_what_hangs_instead_of_waiting_for_it() {
    let downstream = Downstream::with_fault(System::Billing, json!({"kind": "HANG"})).await;
    let request = Client::new().post(downstream.url("subscriptions")).header("Idempotency-Key", "k1");
    let hanging = tokio::spawn(request.json(&order("O-1")).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!hanging.is_finished());
    let limit = cpq_simulators::server::DRAIN_LIMIT + Duration::from_secs(2);
    tokio::time::timeout(limit, downstream.simulators.stop()).await.unwrap().unwrap();
}
