//! `/metrics`, `/livez`, `/readyz` and `/status`, on a thread and runtime of
//! their own: a scrape never waits for the core, nor the core for a scrape. Who asks how the replica is gets a look
//! taken after the question, unless the core does not answer soon.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{oneshot, watch};

use crate::exit::StartError;
use crate::mailbox::Mailbox;
use crate::status::Status;

/// A core whose turns stand still for so long is not alive.
const CORE_SILENT: Duration = Duration::from_secs(5);
/// How often the exporter folds its samples, scraped or not.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long to wait for a fresh look; then the last one has to do.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// What the core publishes for others to look at.
#[derive(Debug)]
pub(crate) struct Published {
    /// The last look, and how many had been asked for when it was taken.
    shown: watch::Sender<(u64, Status)>,
    /// Looks asked for.
    asked: AtomicU64,
    mailbox: Arc<Mailbox>,
    begin: Instant,
    /// Nanoseconds after `begin` of the core's last sign of life.
    alive: AtomicU64,
}

impl Published {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Published {
        let starting = Status {
            sentence: "The replica is starting.".to_owned(),
            ..Status::default()
        };
        Published {
            shown: watch::Sender::new((0, starting)),
            asked: AtomicU64::new(0),
            mailbox,
            begin: Instant::now(),
            alive: AtomicU64::new(0),
        }
    }

    /// A look that the core took; `asked` is what [`Published::asked`] said before it.
    pub(crate) fn publish(&self, asked: u64, status: Status) {
        self.shown.send_replace((asked, status));
    }

    /// The last look.
    pub(crate) fn status(&self) -> Status {
        self.shown.borrow().1.clone()
    }

    /// How many looks were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// Asks for a look, and waits until one taken after this call is there, for `patience` at most.
    pub(crate) async fn refresh(&self, patience: Duration) {
        let mut shown = self.shown.subscribe();
        let ours = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.mailbox.ring();
        // Too late, or the core has ended: there is the last look.
        let _ = tokio::time::timeout(patience, shown.wait_for(|(asked, _)| *asked >= ours)).await;
    }

    /// The core is alive.
    pub(crate) fn beat(&self) {
        self.alive
            .store(self.begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// That the core does not move, if it does not.
    fn stuck(&self) -> Option<String> {
        let beat = Duration::from_nanos(self.alive.load(Ordering::Relaxed));
        let silent = self.begin.elapsed().saturating_sub(beat);
        (silent > CORE_SILENT)
            .then(|| format!("The core has not moved for {} s.\n", silent.as_secs()))
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
    if let Some(sentence) = served.published.stuck() {
        return (StatusCode::SERVICE_UNAVAILABLE, sentence).into_response();
    }
    "The replica is alive.\n".into_response()
}

async fn readyz(State(served): State<Served>) -> Response {
    served.published.refresh(LOOK).await;
    if let Some(sentence) = served.published.stuck() {
        return (StatusCode::SERVICE_UNAVAILABLE, sentence).into_response();
    }
    let status = served.published.status();
    let code = if status.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, format!("{}\n", status.sentence)).into_response()
}

async fn status(State(served): State<Served>) -> Response {
    served.published.refresh(LOOK).await;
    Json(served.published.status()).into_response()
}
