//! What needs no token.

use super::support::*;
use http::StatusCode;

#[test]
fn health_documents_and_metrics_need_no_token() {
    run(async {
        let world = World::new().await;
        for (path, content_type) in [
            ("/healthz", "application/json"),
            ("/readyz", "application/json"),
            ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
            ("/openapi.json", "application/json"),
            ("/docs", "text/html; charset=utf-8"),
        ] {
            let answer = world.request("GET", path).send().await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)), "{path}");
            let other = world.request("POST", path).send().await;
            other.assert_problem(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED");
        }
        let document = world.request("GET", "/openapi.json").send().await.body;
        assert_eq!(document["openapi"], "3.1.0");
    });
}
