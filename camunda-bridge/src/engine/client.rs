//! The transport of the engine client: one HTTP client, a bound on calls in flight, a time limit on each,
//! answers of bounded size. The endpoints are in the files beside it.

use super::EngineError;
use super::caught::Known;
use super::error::{Effect, of_answer, of_transport};
use reqwest::{Method, RequestBuilder, Response, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

/// The most results of one query; callers that may see more page on.
pub const MAX_RESULTS: u32 = 1000;
/// The largest answer that is read. A full page of external tasks with their variables is some 2 MB.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// How long a connection may be idle: shorter than the engine's own limit (Tomcat: 20 s), as a request on a
/// connection that is being closed has an unknown outcome.
const IDLE_CONNECTION: Duration = Duration::from_secs(10);
/// Long polls in flight. They have permits of their own: they wait on purpose, and must not make others wait.
const MAX_LONG_POLLS: usize = 32;

/// Where the engine is, and what it may cost.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// `http://…/engine-rest`; credentials in it are sent as basic authentication.
    pub base_url: Url,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long one call may take, the wait for its turn apart. A long poll adds its own waiting time.
    pub request_timeout: Duration,
    /// Calls in flight, long polls apart. The engine serves some 50–110 sequential calls a second.
    pub max_concurrent: usize,
}

impl EngineConfig {
    /// The usual bounds for an engine at that address.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            max_concurrent: 16,
        }
    }
}

/// A client of one engine. Cheap to clone; clones share connections and bounds.
#[derive(Clone, Debug)]
pub struct EngineClient {
    http: reqwest::Client,
    base_url: Url,
    request_timeout: Duration,
    calls: Arc<Semaphore>,
    long_polls: Arc<Semaphore>,
    models: Known,
}

impl EngineClient {
    /// Connects to nothing yet: an engine that is down is found at the first call.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| EngineError::Invalid { detail: error.to_string() })?;
        if config.base_url.cannot_be_a_base() {
            return Err(EngineError::Invalid {
                detail: "the engine's URL must be http(s)://…/engine-rest".to_owned()
            });
        }
        Ok(Self {
            http,
            base_url: config.base_url,
            request_timeout: config.request_timeout,
            calls: Arc::new(Semaphore::new(config.max_concurrent)),
            long_polls: Arc::new(Semaphore::new(MAX_LONG_POLLS)),
            models: Known::default(),
        })
    }

    /// The engine's version, which also says that it answers.
    pub async fn version(&self) -> Result<String, EngineError> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: String,
        }
        self.get::<Version>(&["version"], &[]).await.map(|answer| answer.version)
    }

    pub(super) fn models(&self) -> &Known {
        &self.models
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, EngineError> {
        let answer = self.call(self.request(Method::GET, path)?.query(query), Effect::Read).await?;
        read(&answer)
    }

    /// As [`Self::get`], where "not found" is an answer.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, EngineError> {
        match self.get(path, &[]).await {
            Ok(found) => Ok(Some(found)),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Self::find`], of an answer that is text and not JSON.
    pub(super) async fn find_text(&self, path: &[&str]) -> Result<Option<String>, EngineError> {
        match self.call(self.request(Method::GET, path)?, Effect::Read).await {
            Ok(body) => Ok(Some(String::from_utf8_lossy(&body).into_owned())),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A query by POST: it changes nothing.
    pub(super) async fn query<T: DeserializeOwned>(
        &self,
        path: &[&str],
        first: u32,
        filter: &impl Serialize,
    ) -> Result<Vec<T>, EngineError> {
        let page = [("firstResult", first.to_string()), ("maxResults", MAX_RESULTS.to_string())];
        let request = self.request(Method::POST, path)?.query(&page).json(filter);
        read(&self.call(request, Effect::Read).await?)
    }

    /// A write whose answer holds something.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, EngineError> {
        read(&self.call(self.request(Method::POST, path)?.json(body), Effect::Write).await?)
    }

    /// A write that is only acknowledged.
    pub(super) async fn send(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<(), EngineError> {
        self.call(self.request(method, path)?.json(body), Effect::Write).await.map(drop)
    }

    pub(super) async fn post_form<T: DeserializeOwned>(
        &self,
        path: &[&str],
        form: reqwest::multipart::Form,
    ) -> Result<T, EngineError> {
        read(&self.call(self.request(Method::POST, path)?.multipart(form), Effect::Write).await?)
    }

    pub(super) async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(), EngineError> {
        self.call(self.request(Method::DELETE, path)?.query(query), Effect::Write).await.map(drop)
    }

    /// A POST that the engine may answer only after `wait`. The read limit is above the poll's own, so that a
    /// half-open connection ends it.
    pub(super) async fn long_poll<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<T, EngineError> {
        let _permit = self.permit(&self.long_polls).await?;
        let request = self.request(Method::POST, path)?.json(body).timeout(wait + self.request_timeout);
        read(&exchange(request, Effect::Write).await?)
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, EngineError> {
        let mut url = self.base_url.clone();
        // Each segment is encoded: an id from outside cannot reach another endpoint.
        let mut segments =
            url.path_segments_mut().map_err(|()| EngineError::Invalid { detail: "not a base URL".to_owned() })?;
        segments.pop_if_empty().extend(path);
        drop(segments);
        Ok(self.http.request(method, url))
    }

    async fn call(&self, request: RequestBuilder, effect: Effect) -> Result<Vec<u8>, EngineError> {
        let _permit = self.permit(&self.calls).await?;
        exchange(request.timeout(self.request_timeout), effect).await
    }

    async fn permit<'a>(&self, semaphore: &'a Semaphore) -> Result<SemaphorePermit<'a>, EngineError> {
        let unavailable = |detail: &str| EngineError::Unavailable { detail: detail.to_owned() };
        let turn = tokio::time::timeout(self.request_timeout, semaphore.acquire()).await;
        turn.map_err(|_| unavailable("too many calls in flight"))?.map_err(|_| unavailable("the client is closed"))
    }
}

/// The order of a query: one that is stable, so that pages neither overlap nor leave gaps.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sorting {
    sort_by: &'static str,
    sort_order: &'static str,
}

impl Sorting {
    pub(super) const fn ascending(by: &'static str) -> Self {
        Self { sort_by: by, sort_order: "asc" }
    }
}

/// New retries of an external task or a job.
#[derive(Serialize)]
pub(super) struct RetriesBody {
    pub(super) retries: u32,
}

/// `{}`, where the engine wants a body and reads nothing from it.
#[derive(Serialize)]
pub(super) struct NoBody {}

async fn exchange(request: RequestBuilder, effect: Effect) -> Result<Vec<u8>, EngineError> {
    let transport = |error: reqwest::Error| of_transport(&error, effect);
    let mut response = request.send().await.map_err(transport)?;
    let status = response.status();
    let body = read_bounded(&mut response).await.map_err(transport)?;
    match body {
        // Not the engine's: deployments need no redirects.
        Some(_) if status.is_redirection() => {
            let detail = format!("HTTP {status}: is the URL that of the engine's REST?");
            Err(EngineError::Invalid { detail })
        }
        Some(body) if status.is_success() => Ok(body),
        Some(body) => Err(of_answer(status.as_u16(), &body, effect)),
        None => Err(EngineError::Unreadable { detail: format!("longer than {MAX_ANSWER_BYTES} bytes") }),
    }
}

/// The body, or nothing if it is too long.
async fn read_bounded(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(body).map_err(|error| EngineError::Unreadable { detail: error.to_string() })
}
