//! Starting and stopping the one process that serves all three systems. Leaves the routes to the API.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api;
use crate::config::Config;
use crate::ledger::{JournalError, Ledger};

/// How long a stop waits for requests in flight; those that hang on purpose are cut off then.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Why the simulators did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] JournalError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {cause}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// Running simulators; dropping it stops them at once.
pub struct Simulators {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<io::Result<()>>,
}

/// Starts them; they answer when this returns.
pub async fn start(config: Config) -> Result<Simulators, StartError> {
    let ledger = match &config.state_file {
        Some(path) => Ledger::open(path)?,
        None => Ledger::default(),
    };
    let listen = |cause| StartError::Listen { addr: config.addr, cause };
    let listener = TcpListener::bind(config.addr).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = axum::serve(listener, api::router(ledger));
    let server = tokio::spawn(async move {
        // A dropped sender means stop, too.
        let signal = async move {
            let _ = stopped.await;
        };
        serve.with_graceful_shutdown(signal).await
    });
    tracing::info!(%addr, stateFile = ?config.state_file, "simulators listen");
    Ok(Simulators { addr, stop: Some(stop), server })
}

impl Simulators {
    /// Where they listen.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://address`, to put the system's name behind.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Serves until `signal` comes or the server fails, then drains for at most [`DRAIN_LIMIT`].
    pub async fn run_until(mut self, signal: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            ended = &mut self.server => return ended.map_err(io::Error::other)?,
            () = signal => {}
        }
        self.stop().await
    }

    /// Stops: no new requests, those in flight end or are cut off after [`DRAIN_LIMIT`].
    pub async fn stop(mut self) -> io::Result<()> {
        drop(self.stop.take());
        match tokio::time::timeout(DRAIN_LIMIT, &mut self.server).await {
            Ok(ended) => ended.map_err(io::Error::other)?,
            Err(_) => {
                tracing::warn!("requests still in flight are cut off");
                self.server.abort();
                Ok(())
            }
        }
    }
}

impl Drop for Simulators {
    fn drop(&mut self) {
        self.server.abort();
    }
}
