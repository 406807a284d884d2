//! The HTTP/1.1 server: bounded connections, bounded and timed heads, and an orderly end. What the protocol layer
//! refuses by itself (a head that is no HTTP, or far too large) it answers without our help; everything else
//! goes to the gateway.

use crate::gateway::Gateway;
use axum::body::Body;
use cpq_runtime::shutdown::DRAIN_LIMIT;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// A head that takes longer to arrive ends its connection; so does a connection that is idle for so long.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of a head that are read at all. Above [`crate::gateway::MAX_HEADER_BYTES`], so that most of what is too
/// large still gets a problem document.
const MAX_HEAD_BUFFER: usize = 256 * 1024;
/// Header lines of a request.
const MAX_HEADER_LINES: usize = 256;
/// Pause after the system could not give a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port. A taken one ends the start.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let explain =
        |error: std::io::Error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(explain)
}

/// Serves until shutdown, then finishes what is in hand within [`DRAIN_LIMIT`].
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, max_connections: usize, shutdown: CancellationToken) {
    let connections = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = shutdown.cancelled() => break,
        };
        let Some((stream, permit)) = accepted else { continue };
        let connection = graceful.watch(connection(stream, gateway.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended badly");
            }
            drop(permit);
        });
    }
    drop(listener);
    info!(connections = graceful.count(), "no longer taking connections");
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        warn!("connections were still open at the end of the drain");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and complete: they leave at once.
            let _ = stream.set_nodelay(true);
            Some((stream, permit))
        }
        Err(error) => {
            warn!(%error, "a connection could not be taken");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn connection(
    stream: TcpStream,
    gateway: Arc<Gateway>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    let service = service_fn(move |request: Request<Incoming>| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.answer(request.map(Body::new)).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BUFFER)
        .max_headers(MAX_HEADER_LINES)
        .serve_connection(TokioIo::new(stream), service)
}
