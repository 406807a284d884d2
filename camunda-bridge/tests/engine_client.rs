//! The engine client against servers that refuse, hang and answer nonsense, and its calls against the real
//! engine that no model needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod engine_support;

use camunda_bridge::engine::{
    Completion, EngineClient, EngineConfig, EngineError, FetchAndLock, Resource, StartProcess, TopicSubscription,
    Variables, WorkerId,
};
use engine_support::{Stage, client};
use rstest::rstest;
use std::time::{Duration, Instant};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const SHORT: Duration = Duration::from_millis(200);

fn client_of(url: &str) -> EngineClient {
    let mut config = EngineConfig::new(url.parse().unwrap());
    config.connect_timeout = SHORT;
    config.request_timeout = SHORT;
    config.max_concurrent = 2;
    EngineClient::new(config).unwrap()
}

async fn start(engine: &EngineClient) -> EngineError {
    let start = StartProcess { process_key: "p", business_key: "b", variables: Variables::new() };
    engine.start_process(&start).await.expect_err("no engine, no instance")
}

async fn answering(answer: ResponseTemplate) -> (MockServer, EngineClient) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/engine-rest/process-definition/key/p/start"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let engine = client_of(&format!("{}/engine-rest/", server.uri()));
    (server, engine)
}

#[tokio::test]
async fn an_engine_that_refuses_the_connection_is_unavailable_and_nothing_has_happened() {
    // Bound and dropped: a port where nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = start(&client_of(&format!("http://127.0.0.1:{port}/engine-rest"))).await;
    assert!(matches!(error, EngineError::Unavailable { .. }), "{error}");
    assert!(error.is_without_effect() && error.is_transient());
}

#[tokio::test]
async fn a_start_without_an_answer_in_time_has_an_unknown_outcome() {
    let (_server, engine) = answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(5))).await;
    let error = start(&engine).await;
    assert!(matches!(error, EngineError::Unknown { .. }), "{error}");
    assert!(!error.is_without_effect() && error.is_transient());
}

#[tokio::test]
async fn a_start_whose_connection_breaks_has_an_unknown_outcome() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = client_of(&format!("http://{}/engine-rest", listener.local_addr().unwrap()));
    // Reads the request, then closes without a word.
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap()
    });
    let error = start(&engine).await;
    assert!(matches!(error, EngineError::Unknown { .. }), "{error}");
    assert!(server.await.unwrap() > 0);
}

#[rstest]
#[case(ResponseTemplate::new(502).set_body_string("<html>"), "Unknown")]
#[case(ResponseTemplate::new(200).set_body_string("<html>"), "Unreadable")]
#[case(ResponseTemplate::new(200).set_body_string("{}"), "Unreadable")]
#[case(ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:9/"), "Invalid")]
#[case(ResponseTemplate::new(401), "Rejected")]
#[tokio::test]
async fn an_answer_that_is_not_the_engines_is_told_apart(#[case] answer: ResponseTemplate, #[case] kind: &str) {
    let (_server, engine) = answering(answer).await;
    let error = start(&engine).await;
    assert!(format!("{error:?}").starts_with(kind), "{error:?}");
}

#[tokio::test]
async fn calls_beyond_the_bound_wait_their_turn_and_then_give_up_unsent() {
    let (server, engine) = answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(5))).await;
    let errors = futures::future::join_all((0..6).map(|_| start(&engine))).await;
    let sent = server.received_requests().await.unwrap().len();
    let unavailable = errors.iter().filter(|error| matches!(error, EngineError::Unavailable { .. })).count();
    assert!(sent < 6 && unavailable > 0, "{sent} sent, {unavailable} given up");
}

#[tokio::test]
async fn credentials_in_the_url_are_sent_and_never_shown_in_an_error() {
    let server = MockServer::start().await;
    let authority = server.address().to_string();
    Mock::given(wiremock::matchers::basic_auth("bridge", "secret"))
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"version":"7.24.0"}"#))
        .mount(&server)
        .await;
    let engine = client_of(&format!("http://bridge:secret@{authority}/engine-rest"));
    assert_eq!(engine.version().await.unwrap(), "7.24.0");
    drop(server);
    let error = start(&engine).await;
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_hostile_id_cannot_reach_another_endpoint() {
    let server = MockServer::start().await;
    let engine = client_of(&format!("{}/engine-rest", server.uri()));
    let answer = engine.process_instance("../deployment?x=#y").await;
    assert!(answer.is_err() || answer.is_ok_and(|found| found.is_none()));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.path(), "/engine-rest/process-instance/..%2Fdeployment%3Fx=%23y");
}

#[tokio::test]
async fn a_long_poll_waits_for_its_task_and_ends_without_one() {
    let stage = Stage::open().await;
    let topic = stage.process("admit");
    let poll = |wait| FetchAndLock {
        worker: &stage.worker,
        max_tasks: 1,
        wait,
        topics: vec![TopicSubscription::new(topic.as_str(), Duration::from_secs(60), &[])],
    };
    let before = Instant::now();
    assert!(stage.engine.fetch_and_lock(&poll(Duration::from_millis(700))).await.unwrap().is_empty());
    assert!(before.elapsed() >= Duration::from_millis(600));

    let waiting = poll(Duration::from_secs(20));
    let (tasks, run) = tokio::join!(stage.engine.fetch_and_lock(&waiting), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.approval(1).await
    });
    let tasks = tasks.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].process_instance_id, run.instance);
    assert_eq!(tasks[0].business_key.as_deref(), Some(run.key.as_str()));
    assert!(before.elapsed() < Duration::from_secs(15));
    stage.close().await;
}

#[tokio::test]
async fn a_lock_is_its_workers_until_another_has_fetched_the_task() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    let task = run.take("admit").await;
    let other = WorkerId::unique("other");
    let completion = Completion::default();
    let error = stage.engine.complete_external_task(&task.id, &other, &completion).await.unwrap_err();
    assert!(matches!(error, EngineError::LockLost { .. }), "{error}");
    let error = stage.engine.extend_lock(&task.id, &other, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, EngineError::LockLost { .. }), "{error}");

    stage.engine.extend_lock(&task.id, &stage.worker, Duration::from_secs(3600)).await.unwrap();
    let extended = stage.engine.external_task(&task.id).await.unwrap().unwrap();
    assert!(extended.lock_expiration_time > task.lock_expiration_time);

    stage.engine.unlock(&task.id).await.unwrap();
    let topics = vec![TopicSubscription::new(stage.process("admit"), Duration::from_secs(60), &[])];
    let fetch = FetchAndLock { worker: &other, max_tasks: 1, wait: Duration::ZERO, topics };
    assert_eq!(stage.engine.fetch_and_lock(&fetch).await.unwrap()[0].id, task.id);
    let error = stage.engine.complete_external_task(&task.id, &stage.worker, &completion).await.unwrap_err();
    assert!(matches!(error, EngineError::LockLost { .. }), "{error}");
    stage.engine.complete_external_task(&task.id, &other, &completion).await.unwrap();
    let error = stage.engine.complete_external_task(&task.id, &other, &completion).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error}");
    stage.close().await;
}

#[tokio::test]
async fn a_model_that_has_not_changed_makes_no_new_version() {
    let engine = client();
    let key = format!("p{}", uuid::Uuid::new_v4().simple());
    let model = |name: &str| Resource {
        name: "p.bpmn".to_owned(),
        content: format!(
            "<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\" targetNamespace=\"x\">\
             <process id=\"{key}\" name=\"{name}\" isExecutable=\"true\" camunda:historyTimeToLive=\"1\" \
             xmlns:camunda=\"http://camunda.org/schema/1.0/bpmn\"><startEvent id=\"s\"/></process></definitions>"
        ),
    };
    assert_eq!(engine.process_definition(&key).await.unwrap(), None);
    let first = engine.deploy(&key, &[model("a")]).await.unwrap();
    assert_eq!(engine.deploy(&key, &[model("a")]).await.unwrap().id, first.id);
    assert_eq!(engine.process_definition(&key).await.unwrap().unwrap().version, 1);
    let second = engine.deploy(&key, &[model("b")]).await.unwrap();
    assert_eq!(engine.process_definition(&key).await.unwrap().unwrap().version, 2);
    for deployment in [first, second] {
        engine.delete_deployment(&deployment.id).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_engine_refuses_is_rejected_with_its_reason() {
    let engine = client();
    let broken = Resource { name: "broken.bpmn".to_owned(), content: "<definitions/>".to_owned() };
    let error = engine.deploy("broken", &[broken]).await.unwrap_err();
    assert!(matches!(&error, EngineError::Rejected { message, .. } if !message.is_empty()), "{error}");
    let error = start(&engine).await;
    assert!(matches!(error, EngineError::NotFound { .. }), "{error}");
    let nobody = uuid::Uuid::new_v4().to_string();
    assert_eq!(engine.process_instance(&nobody).await.unwrap(), None);
    assert_eq!(engine.external_task(&nobody).await.unwrap(), None);
    for error in [
        engine.set_external_task_retries(&nobody, 1).await.unwrap_err(),
        engine.set_job_due_date(&nobody, time::OffsetDateTime::now_utc()).await.unwrap_err(),
        engine.execute_job(&nobody).await.unwrap_err(),
        engine.set_job_retries(&nobody, 1).await.unwrap_err(),
        engine.unlock(&nobody).await.unwrap_err(),
        engine.delete_process_instance(&nobody).await.unwrap_err(),
    ] {
        assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
    }
}
