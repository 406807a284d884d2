//! A load generator that costs little beside what it loads: one HTTP/1.1 connection per client, requests that
//! are only headers and bytes, answers that are only a status.

use crate::operator;
use crate::settings::variable;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use ulid::Ulid;

const CREATE: &str = r#"{"customerAccountId":"acct-1001","currency":"USD","termMonths":36}"#;

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
        let host = variable("CPQ_HTTP_ADDR")?;
        let token = operator::token("tenant-acme", &format!("bench-{n}"), &["sales-rep"])?;
        let stream = TcpStream::connect(&host).await.map_err(|e| format!("{host}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let (connection, driver) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        // Ends with the connection; a failure shows at the next request.
        tokio::spawn(driver);
        Ok(Self { connection, authorization: format!("Bearer {token}"), host })
    }

    /// Creates a quote under this correlation id; an error unless it is accepted.
    pub async fn create_quote(&mut self, correlation_id: &str, wait: Wait) -> Result<(), String> {
        let mut request = Request::post("/quotes")
            .header("host", &self.host)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .header("idempotency-key", Ulid::generate().to_string())
            .header("x-correlation-id", correlation_id);
        if wait == Wait::Accepted {
            request = request.header("prefer", "respond-async");
        }
        let request = request.body(Full::new(Bytes::from_static(CREATE.as_bytes()))).map_err(|e| e.to_string())?;
        self.connection.ready().await.map_err(|e| e.to_string())?;
        let answer = self.connection.send_request(request).await.map_err(|e| e.to_string())?;
        let expected = if wait == Wait::Accepted { StatusCode::ACCEPTED } else { StatusCode::CREATED };
        let status = answer.status();
        let body = whole(answer).await?;
        (status == expected).then_some(()).ok_or_else(|| format!("{status}: {}", String::from_utf8_lossy(&body)))
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, String> {
    Ok(answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes())
}
