//! A proxy before the engine: it forwards what it gets, and can lose, delay or refuse what passes, as a network or
//! the engine would. It counts what it sees, so that a test knows that its fault has landed.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// Longer than any client's patience.
const SILENCE: Duration = Duration::from_secs(60);
/// What the engine says of a transaction that lost a race.
const RACE_LOST: &str = r#"{"type":"OptimisticLockingException","message":"ENGINE-03005 Execution of 'DELETE ExternalTaskEntity' failed. Entity was updated by another transaction concurrently.","code":1}"#;

/// What happens to a call.
#[derive(Clone)]
pub enum Fault {
    /// It never arrives, and a gateway on the way says so.
    Lost,
    /// It arrives, and its answer is lost.
    AnswerLost,
    /// It arrives so much later, even if its client has gone meanwhile.
    Late(Duration),
    /// The engine rolls it back, as another transaction came first.
    RolledBack,
}

/// A fault, and which calls it is for.
struct Rule {
    path_end: &'static str,
    fault: Fault,
    /// `None`: every one.
    left: Option<usize>,
}

#[derive(Default)]
struct Seen {
    rules: Mutex<Vec<Rule>>,
    /// Whether nothing is forwarded.
    down: AtomicBool,
    /// Ends of the paths of the calls that a rule was for.
    hit: Mutex<Vec<&'static str>>,
    starts: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[derive(Clone)]
struct Shared {
    engine: Url,
    http: reqwest::Client,
    seen: Arc<Seen>,
}

pub struct EngineProxy {
    url: Url,
    seen: Arc<Seen>,
    server: tokio::task::JoinHandle<()>,
}

impl EngineProxy {
    pub async fn start(engine: Url) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = Shared { engine: engine.clone(), http: reqwest::Client::new(), seen: seen.clone() };
        let router = Router::new().fallback(forward).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = engine;
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, server }
    }

    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The next `times` calls whose path ends so suffer this; `None`: all, until [`Self::heal`].
    pub fn fault(&self, path_end: &'static str, fault: Fault, times: Option<usize>) {
        self.seen.rules.lock().unwrap().push(Rule { path_end, fault, left: times });
    }

    /// The next `count` process starts happen, and their answers are lost.
    pub fn swallow_starts(&self, count: usize) {
        self.fault("/start", Fault::AnswerLost, Some(count));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.seen.rules.lock().unwrap().clear();
    }

    /// How many calls whose path ends so have suffered a fault.
    pub fn hits(&self, path_end: &str) -> usize {
        self.seen.hit.lock().unwrap().iter().filter(|hit| **hit == path_end).count()
    }

    /// Whether the engine can be reached.
    pub fn set_down(&self, down: bool) {
        self.seen.down.store(down, Ordering::SeqCst);
    }

    /// Process starts that reached the engine.
    pub fn starts(&self) -> usize {
        self.seen.starts.load(Ordering::SeqCst)
    }

    /// The most calls that were under way at once, requests for work apart.
    pub fn most_in_flight(&self) -> usize {
        self.seen.most_in_flight.load(Ordering::SeqCst)
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seen {
    /// What happens to a call with this path.
    fn fault_of(&self, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| path.ends_with(rule.path_end) && rule.left != Some(0))?;
        rule.left = rule.left.map(|left| left - 1);
        self.hit.lock().unwrap().push(rule.path_end);
        Some(rule.fault.clone())
    }
}

/// Counts a call while it is under way.
struct UnderWay(Arc<Seen>);

impl UnderWay {
    fn new(seen: &Arc<Seen>) -> Self {
        let now = seen.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(seen.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response {
    Response::builder().status(status).body(Body::from(body.into())).unwrap()
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response {
    if shared.seen.down.load(Ordering::SeqCst) {
        return answer(StatusCode::BAD_GATEWAY, "<html>no upstream</html>");
    }
    let path = request.uri().path().to_owned();
    let _under_way = (!path.ends_with("/fetchAndLock")).then(|| UnderWay::new(&shared.seen));
    let fault = shared.seen.fault_of(&path);
    match &fault {
        Some(Fault::Lost) => return answer(StatusCode::BAD_GATEWAY, "<html>lost</html>"),
        Some(Fault::RolledBack) => {
            let mut lost = answer(StatusCode::INTERNAL_SERVER_ERROR, RACE_LOST);
            lost.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return lost;
        }
        _ => {}
    }
    // In a task of its own: what is on its way arrives, whoever has stopped waiting for it.
    let arrival = tokio::spawn(pass_on(shared, request, fault.clone()));
    let response = arrival.await.unwrap();
    if matches!(fault, Some(Fault::AnswerLost)) {
        tokio::time::sleep(SILENCE).await;
    }
    response
}

async fn pass_on(shared: Shared, request: Request, fault: Option<Fault>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    if let Some(Fault::Late(pause)) = fault {
        tokio::time::sleep(pause).await;
    }
    let mut url = shared.engine.clone();
    url.set_path(parts.uri.path());
    url.set_query(parts.uri.query());
    let mut call = shared.http.request(parts.method, url).body(body);
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        call = call.header(CONTENT_TYPE, kind);
    }
    let Ok(reply) = call.send().await else { return answer(StatusCode::BAD_GATEWAY, "") };
    let (status, kind) = (reply.status(), reply.headers().get(CONTENT_TYPE).cloned());
    let body = reply.bytes().await.unwrap_or_default();
    if parts.uri.path().ends_with("/start") {
        shared.seen.starts.fetch_add(1, Ordering::SeqCst);
    }
    let mut response = answer(status, body);
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}
