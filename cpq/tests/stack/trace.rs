//! `cpq trace`, of a story that is told in the test's own database.

use crate::support::{Database, unique};

#[tokio::test]
async fn a_story_is_told_in_the_order_in_time_over_all_tables() {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.tenant (tenant_id, document) values ('t', '{}'); \
             insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, \
               aggregate_id, correlation_id, received_at) \
               values ('t', 'c1', 'submitForApproval', 'alice', 'k', '', 'QUOTE', 'Q-2026-000001', 'story', now() - interval '10 s'); \
             insert into cpq.command_outcome (tenant_id, command_id, status, aggregate_type, aggregate_id, aggregate_revision, \
               aggregate_sequence, applied, decided_at) \
               values ('t', 'c1', 'APPLIED', 'QUOTE', 'Q-2026-000001', 4, 4, '{}', now() - interval '9 s'); \
             insert into cpq.transition_log (tenant_id, aggregate_type, aggregate_id, aggregate_sequence, aggregate_revision, event_id, \
               event_type, from_status, to_status, actor_id, actor_type, correlation_id, causation_id, payload, occurred_at) \
               values ('t', 'QUOTE', 'Q-2026-000001', 4, 4, 'e1', 'QuoteSubmittedForApproval', 'PRICED', 'PENDING_APPROVAL', 'alice', \
                 'USER', 'story', 'c1', '{}', now() - interval '9 s'); \
             insert into cpq.workflow_instance (tenant_id, process_key, business_key, aggregate_type, status, started_instance_id, \
               admitted_instance_id, request, correlation_id, requested_at, admitted_at) \
               values ('t', 'quote-approval', 'apr-2026-000001-r4', 'APPROVAL', 'ADMITTED', 'i', 'i', '{}', 'story', \
                 now() - interval '8 s', now() - interval '6 s'); \
             insert into cpq.external_call_attempt (id, tenant_id, system_name, operation_name, business_key, idempotency_key, request_hash, \
               request_payload, outcome, attempted_at, completed_at, correlation_id) \
               values (gen_random_uuid(), 't', 'camunda', 'start-process', 'apr-2026-000001-r4', 'k', 'h', '{}', 'SUCCEEDED', \
                 now() - interval '7 s', now() - interval '6.5 s', 'another');",
        )
        .await;
    let report = database.cpq("trace story -o json").expect(0).json();
    let told: Vec<String> = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| format!("{} {}", step["where"].as_str().unwrap(), step["what"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "HTTP submitForApproval",
            "POSTGRES submitForApproval decided",
            "POSTGRES QuoteSubmittedForApproval",
            "CAMUNDA quote-approval requested",
            "WORKER camunda start-process",
            "WORKER camunda start-process",
            "CAMUNDA quote-approval admitted",
        ]
    );
    let text = database.cpq("trace story").expect(0).out;
    assert!(text.contains("PRICED -> PENDING_APPROVAL") && text.contains("sequence 4, revision 4"), "{text}");
    assert!(database.cpq("trace story --tenant other").expect(1).err.contains("nothing is known"));
}

#[tokio::test]
async fn a_correlation_id_that_nobody_knows_is_a_failure() {
    let database = Database::migrated().await;
    let said = database.cpq(&format!("trace {} --since 1s", unique("nobody"))).expect(1);
    assert!(said.err.contains("nothing is known of correlation id"), "{said:?}");
}

#[tokio::test]
async fn a_part_that_does_not_answer_is_named_and_the_rest_is_told() {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.tenant (tenant_id, document) values ('t', '{}'); \
             insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, \
               aggregate_id, correlation_id, received_at) \
               values ('t', 'c1', 'createQuote', 'alice', 'k', '', 'QUOTE', 'Q-2026-000001', 'story', now())",
        )
        .await;
    let said = database.cpq_with("trace story", &[("CPQ_KAFKA_BROKERS", "")]).expect(1);
    assert!(
        said.out.contains("createQuote") && said.out.contains("the topics are missing here: CPQ_KAFKA_BROKERS"),
        "{said:?}"
    );
}
