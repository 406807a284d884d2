//! A load generator that costs little beside what it loads: one HTTP/1.1 connection per client, requests that
//! are only headers and bytes, answers that are only a status.

use crate::operator;
use crate::settings::variable;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::http::request::Builder;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use ulid::Ulid;

/// Creates a quote.
pub const CREATE: &str = r#"{"customerAccountId":"acct-1001","currency":"USD","termMonths":36}"#;

/// One client: a person with a connection.
pub struct Client {
    connection: SendRequest<Full<Bytes>>,
    authorization: String,
    host: String,
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// `Prefer: respond-async`: for acceptance.
    Accepted,
    /// For the outcome.
    Decided,
}

impl Client {
    /// The nth person of the demo's tenant: each has a rate limit of their own.
    pub async fn connect(n: usize) -> Result<Self, String> {
        Self::connect_as(variable("CPQ_HTTP_ADDR")?, n, &["sales-rep"]).await
    }

    /// The same with these roles, at the gateway that listens there.
    pub async fn connect_as(host: String, n: usize, roles: &[&str]) -> Result<Self, String> {
        let token = operator::token("tenant-acme", &format!("bench-{n}"), roles)?;
        Ok(Self { connection: connection(&host).await?, authorization: format!("Bearer {token}"), host })
    }

    /// Creates a quote under this correlation id; an error unless it is accepted.
    pub async fn create_quote(&mut self, correlation_id: &str, wait: Wait) -> Result<(), String> {
        self.command(Method::POST, "/quotes", Bytes::from_static(CREATE.as_bytes()), correlation_id, wait)
            .await
            .map(drop)
    }

    /// Sends a command and gives the answer's body; an error unless it is accepted.
    pub async fn command(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        correlation_id: &str,
        wait: Wait,
    ) -> Result<Bytes, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("idempotency-key", Ulid::generate().to_string())
            .header("x-correlation-id", correlation_id);
        if wait == Wait::Accepted {
            request = request.header("prefer", "respond-async");
        }
        let expected = if wait == Wait::Accepted { StatusCode::ACCEPTED } else { StatusCode::CREATED };
        self.send(request, body, expected).await
    }

    /// Sends a request with what it carries besides the token and gives the answer's body; an error unless the
    /// answer has this status.
    pub async fn send(&mut self, request: Builder, body: Bytes, expected: StatusCode) -> Result<Bytes, String> {
        let request = request
            .header("host", &self.host)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| e.to_string())?;
        // The gateway closes a connection that rests.
        if self.connection.ready().await.is_err() {
            self.connection = connection(&self.host).await?;
        }
        let answer = self.connection.send_request(request).await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = whole(answer).await?;
        if status == expected { Ok(body) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body))) }
    }
}

async fn connection(host: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(host).await.map_err(|e| format!("{host}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let (connection, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // Ends with the connection; a failure shows at the next request.
    tokio::spawn(driver);
    Ok(connection)
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, String> {
    Ok(answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes())
}
