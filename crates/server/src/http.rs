//! `/metrics`, `/livez`, `/readyz` and `/status`, on a thread and runtime of
//! their own: a scrape never waits for the core, nor the core for a scrape.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::oneshot;

use crate::exit::StartError;
use crate::status::Status;

/// A core whose turns stand still for so long is not alive.
const CORE_SILENT: Duration = Duration::from_secs(5);
/// How often the exporter folds its samples, scraped or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the core publishes for others to look at.
#[derive(Debug)]
pub(crate) struct Published {
    status: Mutex<Status>,
    begin: Instant,
    /// Nanoseconds after `begin` of the core's last sign of life.
    alive: AtomicU64,
}

impl Published {
    pub(crate) fn new() -> Published {
        Published {
            status: Mutex::default(),
            begin: Instant::now(),
            alive: AtomicU64::new(0),
        }
    }

    pub(crate) fn publish(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    pub(crate) fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The core is alive.
    pub(crate) fn beat(&self) {
        self.alive
            .store(self.begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.begin
            .elapsed()
            .saturating_sub(Duration::from_nanos(self.alive.load(Ordering::Relaxed)))
    }
}

#[derive(Clone)]
struct Served {
    published: Arc<Published>,
    metrics: PrometheusHandle,
}

/// The HTTP server; it ends when this is dropped.
pub(crate) struct Http {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The bound metrics port.
pub(crate) struct HttpPort {
    listener: TcpListener,
    address: SocketAddr,
}

impl HttpPort {
    pub(crate) fn bind(address: SocketAddr) -> Result<HttpPort, StartError> {
        let refused = |source| StartError::Http { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(HttpPort { listener, address })
    }
}

impl Http {
    pub(crate) fn start(
        name: &str,
        port: HttpPort,
        published: &Arc<Published>,
        metrics: PrometheusHandle,
    ) -> Result<Http, StartError> {
        let HttpPort { listener, address } = port;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let served = Served {
            published: Arc::clone(published),
            metrics,
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("{name}http"))
            .spawn(move || {
                runtime.block_on(async {
                    if let Err(error) = serve(listener, served, stopped).await {
                        tracing::error!(%error, "the metrics port failed");
                    }
                });
                runtime.shutdown_background();
            })
            .map_err(StartError::Thread)?;
        Ok(Http {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread ended with a panic");
        }
    }
}

async fn serve(
    listener: TcpListener,
    served: Served,
    stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let upkeep = served.metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(served);
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served,
        // Dropped by the owner: scrapes under way are broken off.
        _ = stopped => Ok(()),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        served.metrics.render(),
    )
        .into_response()
}

async fn livez(State(served): State<Served>) -> Response {
    let silent = served.published.silent_for();
    if silent > CORE_SILENT {
        let sentence = format!("The core has not moved for {} s.\n", silent.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, sentence).into_response();
    }
    "The replica is alive.\n".into_response()
}

async fn readyz(State(served): State<Served>) -> Response {
    let status = served.published.status();
    let code = if status.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, format!("{}\n", status.sentence)).into_response()
}

async fn status(State(served): State<Served>) -> Response {
    Json(served.published.status()).into_response()
}
