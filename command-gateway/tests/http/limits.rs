//! Bounds: faults 4, 5, 6 and 56, some of them over a real connection.

use super::support::*;
use command_gateway::server;
use http::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

#[test]
fn fault_56_bodies_depth_and_headers_are_bounded() {
    run(async {
        let world = World::new().await;
        let post = |body: &str| world.request("POST", "/quotes").token(&world.sales()).key("k").text(body).send();
        post(&" ".repeat((1 << 20) + 1)).await.assert_problem(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE");
        post(&format!("{}{}", "[".repeat(129), "]".repeat(129)))
            .await
            .assert_problem(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST");
        post(&"[".repeat(1 << 20)).await.assert_problem(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST");
        assert_eq!(post(&format!("{}{}", "[".repeat(128), "]".repeat(128))).await.status, 422);
        let large = world
            .request("GET", "/quotes")
            .token(&world.sales())
            .header("x-large", &"x".repeat(33 * 1024))
            .send()
            .await;
        large.assert_problem(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE");
    });
}

/// A server of its own on a free port.
async fn serve(world: &World) -> (String, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let task = tokio::spawn(server::serve(listener, world.stage.gateway.clone(), 64, stop.clone()));
    (address, stop, task)
}

async fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn fault_56_a_refusal_reaches_a_client_that_is_still_sending() {
    run(async {
        let world = World::new().await;
        let (address, stop, _) = serve(&world).await;
        let body = vec![b' '; 2 << 20];
        let head = format!(
            "POST /quotes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            world.sales(),
            body.len()
        );
        let answer = exchange(&address, &[head.as_bytes(), &body].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("BODY_TOO_LARGE"), "{answer}");
        let head = format!("GET /quotes HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(100_000));
        let answer = exchange(&address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("HEADERS_TOO_LARGE"), "{answer}");
        stop.cancel();
    });
}

#[test]
fn fault_4_a_client_that_leaves_does_not_take_its_command_with_it() {
    run(async {
        let world = World::new().await;
        let (address, stop, _) = serve(&world).await;
        let body = json!({"customerAccountId": ACCOUNT, "currency": "USD"}).to_string();
        for index in 0..40u64 {
            let request = format!(
                "POST /quotes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: k-{index}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                world.sales(),
                body.len()
            );
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_micros(index * 250)).await;
            drop(stream);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.count("command").await, world.count("outbox_event").await, "whole or absent");
        let answer = world.request("GET", "/quotes").token(&world.sales()).send().await;
        assert_eq!(answer.status, 200, "the next borrower of the connections is clean");
        stop.cancel();
    });
}

#[test]
fn fault_6_a_server_that_stops_finishes_what_is_in_hand() {
    run(async {
        let world = World::new().await;
        let (address, stop, task) = serve(&world).await;
        let body = json!({"customerAccountId": ACCOUNT, "currency": "USD"}).to_string();
        let request = format!(
            "POST /quotes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: k\r\nprefer: wait=2\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            world.sales(),
            body.len()
        );
        let waiting = tokio::spawn({
            let address = address.clone();
            async move { exchange(&address, request.as_bytes()).await }
        });
        while world.count("command").await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
        world.decide().await;
        let answer = waiting.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        assert!(TcpStream::connect(&address).await.is_err(), "nothing new is taken");
    });
}

#[test]
fn fault_5_an_exhausted_pool_is_503_within_a_bounded_wait() {
    run(async {
        let world = World::new().await;
        let stage = world.stage;
        let small = gateway(&[
            ("CPQ_DATABASE_URL", &stage.database_url),
            ("CPQ_OIDC_JWKS", &stage.jwks_path),
            ("CPQ_GATEWAY_DATABASE_CONNECTIONS", "4"),
        ])
        .await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(small.db.begin(&[]).await.unwrap());
        }
        let began = Instant::now();
        let call = Call::new(small.clone(), "POST", "/quotes").token(&world.sales()).key("k");
        let answer = call.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send().await;
        answer.assert_problem(StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE");
        assert_eq!((answer.header("retry-after"), &answer.body["retryable"]), (Some("1"), &json!(true)));
        assert!(began.elapsed() < Duration::from_secs(10));
        drop(held);
        let call = Call::new(small, "POST", "/quotes").token(&world.sales()).key("k").header("prefer", "respond-async");
        assert_eq!(call.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send().await.status, 202);
    });
}

#[test]
fn too_many_requests_of_one_actor_are_429_and_another_goes_on() {
    run(async {
        let world = World::new().await;
        let stage = world.stage;
        let strict = gateway(&[
            ("CPQ_DATABASE_URL", &stage.database_url),
            ("CPQ_OIDC_JWKS", &stage.jwks_path),
            ("CPQ_RATE_LIMIT_PER_SECOND", "1"),
            ("CPQ_RATE_LIMIT_BURST", "2"),
        ])
        .await;
        let get = |token: String| Call::new(strict.clone(), "GET", "/quotes").token(&token).send();
        let statuses = [get(world.sales()).await.status, get(world.sales()).await.status];
        assert_eq!(statuses, [200, 200]);
        let limited = get(world.sales()).await;
        limited.assert_problem(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED");
        assert_eq!(limited.header("retry-after"), Some("1"));
        assert_eq!(get(world.token("sam", &["sales-rep"])).await.status, 200);
    });
}

#[test]
fn more_requests_at_once_than_may_be_are_503() {
    run(async {
        let world = World::new().await;
        let stage = world.stage;
        let narrow = gateway(&[
            ("CPQ_DATABASE_URL", &stage.database_url),
            ("CPQ_OIDC_JWKS", &stage.jwks_path),
            ("CPQ_GATEWAY_MAX_IN_FLIGHT", "1"),
        ])
        .await;
        let call =
            Call::new(narrow.clone(), "POST", "/quotes").token(&world.sales()).key("k").header("prefer", "wait=1");
        let waiting = tokio::spawn(call.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send());
        while world.count("command").await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let refused = Call::new(narrow.clone(), "GET", "/quotes").token(&world.sales()).send().await;
        refused.assert_problem(StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE");
        assert_eq!(Call::new(narrow, "GET", "/healthz").send().await.status, 200, "probes are not counted");
        assert_eq!(waiting.await.unwrap().status, 202);
    });
}
