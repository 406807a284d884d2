//! Secrets that a process is told stay with it: services are started with marked ones against stores that refuse
//! them, and nothing that they write may hold the mark. Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::services::Own;
use cpq_e2e::settings::variable;
use rstest::rstest;
use std::time::Duration;

/// In every secret; whatever is written must not hold it.
const MARK: &str = "s3cr3t-mark";
/// Long enough for each part to have failed several times.
const PROVOKED: Duration = Duration::from_secs(8);

/// A service with every credential that it takes, and nothing that would answer to them.
#[rstest]
#[case::gateway("command-gateway", &[])]
#[case::streams("streams", &[])]
#[case::bridge("camunda-bridge", &[])]
#[case::bad_values("streams", &[("CPQ_DATABASE_URL", "mysql://cpq:{mark}@127.0.0.1:1/cpq")])]
#[case::no_url("command-gateway", &[("CPQ_REDIS_URL", "cpq:{mark}@127.0.0.1")])]
#[tokio::test]
async fn fault_63_no_secret_is_in_what_a_failing_service_writes(
    #[case] program: &str,
    #[case] changed: &[(&'static str, &str)],
) {
    let with_mark = |text: &str| text.replace("{mark}", MARK);
    let mut environment = vec![
        ("CPQ_DATABASE_URL", with_mark("postgres://nobody:{mark}@127.0.0.1:1/cpq")),
        ("CPQ_REDIS_URL", with_mark("redis://:{mark}@127.0.0.1:1")),
        ("CPQ_SCHEMA_REGISTRY_URL", with_mark("http://user:{mark}@127.0.0.1:1")),
        ("CPQ_CAMUNDA_URL", with_mark("http://user:{mark}@127.0.0.1:1/engine-rest")),
        ("CPQ_INVENTORY_URL", with_mark("http://user:{mark}@127.0.0.1:1/inventory")),
        ("CPQ_ACTIVATION_URL", with_mark("http://user:{mark}@127.0.0.1:1/activation")),
        ("CPQ_BILLING_URL", with_mark("http://user:{mark}@127.0.0.1:1/billing")),
        // Somebody who answers, though not with keys.
        ("CPQ_OIDC_JWKS", with_mark(&format!("http://user:{{mark}}@{}/no-keys", variable("CPQ_HTTP_ADDR").unwrap()))),
        ("CPQ_MAIL_URL", with_mark("smtp://user:{mark}@127.0.0.1:1")),
        ("AWS_SECRET_ACCESS_KEY", MARK.to_owned()),
        ("CPQ_LOG", "debug".to_owned()),
        ("CPQ_HTTP_ADDR", "127.0.0.1:0".to_owned()),
        ("CPQ_STREAMS_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
        ("CPQ_BRIDGE_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
    ];
    environment.extend(changed.iter().map(|(name, value)| (*name, with_mark(value))));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let process = Own::start(program, &[], &environment, &log).unwrap();
    tokio::time::sleep(PROVOKED).await;
    process.kill().unwrap();
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(!written.is_empty(), "it has said nothing");
    let told: Vec<&str> = written.lines().filter(|line| line.contains(MARK)).collect();
    assert!(told.is_empty(), "{told:#?}");
}
