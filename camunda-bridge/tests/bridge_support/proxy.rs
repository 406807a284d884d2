//! A proxy before the engine: it forwards what it gets, and can swallow the answers to process starts or refuse
//! everything, as a network would.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use url::Url;

#[derive(Default)]
struct Faults {
    /// Starts whose answer is lost.
    swallowed_starts: AtomicUsize,
    /// Whether nothing is forwarded.
    down: AtomicBool,
    starts: AtomicUsize,
}

#[derive(Clone)]
struct Shared {
    engine: Url,
    http: reqwest::Client,
    faults: Arc<Faults>,
}

pub struct EngineProxy {
    url: Url,
    faults: Arc<Faults>,
    server: tokio::task::JoinHandle<()>,
}

impl EngineProxy {
    pub async fn start(engine: Url) -> Self {
        let faults = Arc::new(Faults::default());
        let shared = Shared { engine: engine.clone(), http: reqwest::Client::new(), faults: faults.clone() };
        let router = Router::new().fallback(forward).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = engine;
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, faults, server }
    }

    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The next `count` process starts happen, and their answers are lost.
    pub fn swallow_starts(&self, count: usize) {
        self.faults.swallowed_starts.store(count, Ordering::SeqCst);
    }

    /// Whether the engine can be reached.
    pub fn set_down(&self, down: bool) {
        self.faults.down.store(down, Ordering::SeqCst);
    }

    /// Process starts that reached the engine.
    pub fn starts(&self) -> usize {
        self.faults.starts.load(Ordering::SeqCst)
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response {
    let answer = |status: StatusCode, body: Bytes| Response::builder().status(status).body(Body::from(body)).unwrap();
    if shared.faults.down.load(Ordering::SeqCst) {
        return answer(StatusCode::BAD_GATEWAY, Bytes::from_static(b"<html>no upstream</html>"));
    }
    let (parts, body) = request.into_parts();
    let mut url = shared.engine.clone();
    url.set_path(parts.uri.path());
    url.set_query(parts.uri.query());
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let is_start = parts.uri.path().ends_with("/start");
    let mut call = shared.http.request(parts.method, url).body(body);
    if let Some(kind) = parts.headers.get("content-type") {
        call = call.header("content-type", kind);
    }
    let Ok(reply) = call.send().await else { return answer(StatusCode::BAD_GATEWAY, Bytes::new()) };
    let (status, kind) = (reply.status(), reply.headers().get("content-type").cloned());
    let body = reply.bytes().await.unwrap_or_default();
    if is_start {
        shared.faults.starts.fetch_add(1, Ordering::SeqCst);
        let swallow = |n: usize| n.checked_sub(1);
        if shared.faults.swallowed_starts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, swallow).is_ok() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
    let mut response = answer(status, body);
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    response
}
