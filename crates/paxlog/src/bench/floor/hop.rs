//! Bare QUIC over loopback: one hop with the settings that clients or replicas use.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use paxlog_quic::{
    CertificateAuthority, Connection, Credentials, Endpoint, Expect, FrameReceiver, FrameSender,
    Plane, Tuning,
};
use paxlog_wire::client::{CommandBody, CommandRequest, Credit, Origin};
use paxlog_wire::{Flags, FrameLimits};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::cost::{Cost, Meter};
use crate::bench::append::filler;
use crate::bench::{histogram, record};
use crate::certs;
use crate::failure::Failure;

/// Body of each frame when bytes count: large enough that frames cost nothing beside their bytes.
const BULK_BODY_BYTES: usize = 64 << 10;

/// An append's frame there, a small frame back, one after the other.
pub(super) fn round_trips(
    plane: Plane,
    payload: usize,
    time: Duration,
) -> Result<Histogram<u64>, Failure> {
    let answer = Credit {
        bytes: payload as u64,
    };
    let answering = async move |mut out: FrameSender, mut back: FrameReceiver| {
        while let Ok(Some(_)) = back.next().await {
            out.send(&answer).await.map_err(io::Error::other)?;
        }
        Ok(())
    };
    hop(plane, answering, async |link: Link| {
        let Link {
            mut out, mut back, ..
        } = link;
        let (mut request, body) = (request(), [Bytes::from(filler(payload))]);
        let mut latencies = histogram();
        let (begin, warm) = (Instant::now(), time / 10);
        while begin.elapsed() < time {
            let sent = Instant::now();
            out.send_with(&request, Flags::NONE, &body)
                .await
                .map_err(|error| failed(&error))?;
            back.next().await.map_err(|error| failed(&error))?;
            if begin.elapsed() > warm {
                record(&mut latencies, sent.elapsed());
            }
            request.request += 1;
        }
        Ok(latencies)
    })
}

/// Appends' frames one behind the other, as many as go through, and the largest datagram they went in.
pub(super) fn bulk(plane: Plane, time: Duration) -> Result<(Cost, u16), Failure> {
    let arrived = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&arrived);
    let counting = async move |_: FrameSender, mut back: FrameReceiver| {
        while let Ok(Some(frame)) = back.next().await {
            let bytes = frame.body.iter().map(Bytes::len).sum::<usize>();
            counter.fetch_add(bytes as u64, Relaxed);
        }
        Ok(())
    };
    hop(plane, counting, async |link: Link| {
        let Link {
            connection,
            mut out,
            ..
        } = link;
        let (mut request, body) = (request(), [Bytes::from(filler(BULK_BODY_BYTES))]);
        let (begin, warm) = (Instant::now(), time / 5);
        // From the end of the warm-up on: by then the path's packet size is found.
        let mut measured: Option<(Meter, u64)> = None;
        while begin.elapsed() < time {
            out.send_with(&request, Flags::NONE, &body)
                .await
                .map_err(|error| failed(&error))?;
            if measured.is_none() && begin.elapsed() > warm {
                measured = Some((Meter::start(), arrived.load(Relaxed)));
            }
            request.request += 1;
        }
        let cost = measured.map(|(meter, before)| meter.stop(arrived.load(Relaxed) - before));
        match cost {
            Some(cost) if cost.bytes > 0 => Ok((cost, connection.mtu_bytes())),
            _ => Err(failed(&"nothing came through in time")),
        }
    })
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::unavailable(format!("QUIC over loopback failed: {error}"))
}

fn request() -> CommandRequest {
    CommandRequest {
        request: 0,
        deadline_ms: 10_000,
        command: CommandBody::Append {
            origin: Origin {
                producer: 1,
                epoch: 1,
                sequence: 0,
            },
            log: 1,
            if_tail: None,
            fence: None,
        },
    }
}

/// The dialling end.
struct Link {
    connection: Connection,
    out: FrameSender,
    back: FrameReceiver,
}

/// Runs `here` on one end of a connection and `there` on the other, which has a thread of its own, as if it were another
/// process. Each end has a runtime of one thread, as replicas have. Blocks.
fn hop<T>(
    plane: Plane,
    there: impl AsyncFnOnce(FrameSender, FrameReceiver) -> io::Result<()> + Send + 'static,
    here: impl AsyncFnOnce(Link) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let authority = CertificateAuthority::make(1).map_err(certs::failure)?;
    let credentials = |id| {
        let issued = authority.issue_replica(id).map_err(certs::failure)?;
        Credentials::of(&authority, &issued).map_err(certs::failure)
    };
    let (ours, theirs) = (credentials(1)?, credentials(2)?);
    let (sender, bound) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let other = thread::spawn(move || {
        runtime()?.block_on(async {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let (endpoint, mut acceptor) =
                Endpoint::serve(plane, address, &theirs, Tuning::of(plane))
                    .map_err(io::Error::other)?;
            // Nobody waits for it any more if this side failed.
            let _ = sender.send(endpoint.local_address());
            let serving = async {
                let connection = acceptor.next().await.ok_or(io::ErrorKind::NotConnected)?;
                fit(plane, &endpoint, &connection);
                let (out, back) = connection
                    .accept_bi(FrameLimits::FROM_CLIENT)
                    .await
                    .map_err(io::Error::other)?;
                there(out, back).await
            };
            tokio::select! {
                served = serving => served,
                _ = stopped => Ok(()),
            }
        })
    });
    let run = async {
        let address = bound.await.map_err(|error| failed(&error))?;
        let endpoint =
            Endpoint::dial_only(plane, &ours, Tuning::of(plane)).map_err(|error| failed(&error))?;
        let connection = endpoint
            .connect(address, Expect::Replica(2))
            .await
            .map_err(|error| failed(&error))?;
        fit(plane, &endpoint, &connection);
        let (out, back) = connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .map_err(|error| failed(&error))?;
        let done = here(Link {
            connection,
            out,
            back,
        })
        .await;
        endpoint.close(paxlog_wire::Code::Unavailable, "measured");
        done
    };
    let done = runtime().map_err(|error| failed(&error))?.block_on(run);
    // It may have ended by itself.
    let _ = stop.send(());
    match other.join() {
        Ok(Ok(())) => done,
        // What went wrong here is the reason for what went wrong there, or the other way round: this end's words are better.
        Ok(Err(error)) => done.and(Err(failed(&error))),
        Err(_) => Err(failed(&"the other end panicked")),
    }
}

/// Links between replicas keep less in flight than the other side's socket can buffer; both sides here have equal sockets.
fn fit(plane: Plane, endpoint: &Endpoint, connection: &Connection) {
    if plane == Plane::Replicas {
        connection.fit_in_flight(endpoint.receive_bytes());
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_and_cost_cpu() {
        for plane in [Plane::Clients, Plane::Replicas] {
            let (cost, mtu) = bulk(plane, Duration::from_millis(200)).unwrap();
            assert!(cost.bytes > 0 && !cost.took.is_zero() && !cost.cpu.is_zero());
            assert!((1_200..=Tuning::of(plane).mtu_bytes_max).contains(&mtu));
            let latencies = round_trips(plane, 100, Duration::from_millis(100)).unwrap();
            assert!(!latencies.is_empty());
        }
    }
}
