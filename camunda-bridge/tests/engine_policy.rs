//! The approval policy decides in process what the engine's own DMN evaluation decides of the same file, so an
//! author may try a policy out in the engine's tools. The engine computes with doubles: compared within their 15
//! digits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod engine_support;

use cpq_domain::approval::{ApprovalPolicy, PolicyInputs, policy::BUILT_IN_DMN};
use cpq_domain::money::Currency;
use engine_support::{client, engine_url};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

/// Unique per run, as the engine's decisions are known by their key alone.
fn own_policy() -> (String, String) {
    let key = format!("p{}", uuid::Uuid::new_v4().simple());
    let cells = BUILT_IN_DMN
        .replace(
            "id=\"term-over-60-segment\">\n          <text><",
            "id=\"term-over-60-segment\">\n          <text>not(\"SMB\", \"SOHO\")<",
        )
        .replace("<text>&gt; 60<", "<text>]60..84[, &gt;= 120<")
        .replace(
            "id=\"total-over-100000-currency\">\n          <text><",
            "id=\"total-over-100000-currency\">\n          <text>\"USD\",\"EUR\"<",
        );
    assert_ne!(cells, BUILT_IN_DMN);
    (key, cells)
}

fn cases() -> Vec<PolicyInputs> {
    let mut cases = Vec::new();
    let facts = [
        ("10", "100000", Some("15"), 60, "USD", "SMB", false),
        ("10.01", "100000.01", Some("14.99"), 61, "USD", "SMB", false),
        ("20.00", "99999.99", None, 61, "JPY", "ENTERPRISE", true),
        ("20.01", "250000", Some("-3.5"), 84, "EUR", "ENTERPRISE", false),
        ("-5", "0", Some("100"), 83, "GBP", "SOHO", true),
        ("99.99", "9999999999.99", Some("0"), 120, "GBP", "ENTERPRISE", true),
    ];
    for (discount, total, margin, term, currency, segment, manual) in facts {
        cases.push(PolicyInputs {
            effective_discount_percent: discount.parse().unwrap(),
            total_amount: total.parse().unwrap(),
            currency: Currency::parse(currency).unwrap(),
            margin_percent: margin.map(|margin| margin.parse().unwrap()),
            term_months: term,
            segment: segment.to_owned(),
            has_manual_override: manual,
        });
    }
    cases
}

async fn by_engine(key: &str, inputs: &PolicyInputs) -> Vec<(String, String)> {
    let double = |text: String| json!({"type": "Double", "value": text.parse::<f64>().unwrap()});
    let variables = json!({
        "effectiveDiscountPercent": double(inputs.effective_discount_percent.to_string()),
        "totalAmount": double(inputs.total_amount.to_string()),
        "currency": {"type": "String", "value": inputs.currency.code()},
        "marginPercent": inputs.margin_percent.map_or(json!({"type": "Null", "value": null}), |m| double(m.to_string())),
        "termMonths": {"type": "Integer", "value": inputs.term_months},
        "segment": {"type": "String", "value": inputs.segment},
        "hasManualOverride": {"type": "Boolean", "value": inputs.has_manual_override},
    });
    let url = format!("{}/decision-definition/key/{key}/evaluate", engine_url());
    let answer = reqwest::Client::new().post(url).json(&json!({"variables": variables})).send().await.unwrap();
    let rows = answer.error_for_status().unwrap().json::<Vec<Value>>().await.unwrap();
    let text = |row: &Value, name: &str| row[name]["value"].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "level"), text(row, "reasonCode"))).collect()
}

#[tokio::test]
async fn a_policy_decides_in_process_as_it_does_in_the_engine() {
    let (key, cells) = own_policy();
    let engine = client();
    let deployed = cells.replace("\"approval-policy\"", &format!("\"{key}\""));
    let resource = camunda_bridge::engine::Resource { name: "policy.dmn".to_owned(), content: deployed };
    let deployment = engine.deploy(&key, &[resource]).await.unwrap();
    let policy = ApprovalPolicy::compile(&cells).unwrap();
    for inputs in cases() {
        let matched = policy.evaluate(&inputs).matched;
        let ours: Vec<(String, String)> =
            matched.into_iter().map(|rule| (rule.level.to_string(), rule.reason_code)).collect();
        assert_eq!(ours, by_engine(&key, &inputs).await, "{inputs:?}");
    }
    engine.delete_deployment(&deployment.id).await.unwrap();
}
