//! `corral serve`

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::http::{Admin, ConnectionShare, Front, Manners, Notice, Server, shares};
use crate::service::{Corral, FAREWELL};

use super::Failed;
use super::cache::cache_folder;
use crate::config::Config;

pub(super) async fn run(mut config: Config) -> Result<(), Failed> {
    // From here on SIGHUP does not end the process. One that comes before the host serves is
    // ignored: the configuration was just read.
    let _heard = signal(SignalKind::hangup()).context("SIGHUP can't be awaited")?;
    config.policy.cache = config.policy.cache.or_else(cache_folder);
    let corral = Corral::start(config).await?;
    serve(corral).await
}

/// Serves both faces until SIGTERM or Ctrl-C; then ends within the drain and the grace time, or at
/// once at a second signal.
pub(super) async fn serve(corral: Corral) -> Result<(), Failed> {
    let mut stops = Stops::new()?;
    let mut hangups = Hangups::of(&corral)?;
    let config = corral.config();
    let (listen, admin, grace, idle) =
        (config.listen, config.admin.listen, config.grace, config.http.idle);
    let of_origin = config.origin.max_loads + config.origin.max_writes;
    let ConnectionShare { front: clients, admin: operators } =
        shares(config.http.max_connections, of_origin);
    let manners = |connections| Manners { connections, idle, grace };
    let front = Server::bind(listen).await.with_context(|| format!("listen = \"{listen}\""))?;
    let back = Server::bind(admin).await.with_context(|| format!("admin.listen = \"{admin}\""))?;
    tracing::info!(
        listen = %front.address()?,
        admin = %back.address()?,
        store = corral.store_kind(),
        origin = corral.origin_kind(),
        policy = corral.policies().slot().current().label(),
        "serving"
    );
    let (tell, notices) = watch::channel(Notice::Serve);
    let serving = (
        tokio::spawn(front.serve(Front::new(corral.clone()), notices.clone(), manners(clients))),
        tokio::spawn(back.serve(Admin::new(corral.clone()), notices, manners(operators))),
    );
    let served = async { _ = tokio::join!(serving.0, serving.1) };
    let first = loop {
        tokio::select! {
            asked = stops.asked() => break asked,
            () = hangups.asked() => {
                let corral = corral.clone();
                // The log says what becomes of the reload.
                tokio::spawn(async move { corral.reload().await });
            }
        }
    };
    corral.drain();
    tokio::select! {
        () = end(&corral, first, tell, served) => {}
        _again = stops.asked() => {
            tracing::warn!("asked again to stop: what is in progress is cut off");
            corral.shutdown(Duration::ZERO).await;
        }
    }
    Ok(())
}

/// Serves on for the drain time, then takes no new requests and gives those in progress the grace
/// time.
async fn end(
    corral: &Corral,
    why: Stop,
    tell: watch::Sender<Notice>,
    served: impl Future<Output = ()>,
) {
    let config = corral.config();
    let (drain, grace) = (config.drain, config.grace);
    // Ctrl-C comes from a terminal: no balancer has to see `/readyz` fail before the host stops.
    if why == Stop::Terminated && !drain.is_zero() {
        tracing::info!(
            ?drain,
            "draining: not ready any more, and still serving requests that come"
        );
        tell.send_replace(Notice::Drain);
        sleep(drain).await;
    }
    tracing::info!("stopping: no new requests, those in progress may end");
    tell.send_replace(Notice::Stop);
    // Requests that are cut off are answered, and their leases given back, within the grace time
    // too.
    let cut = Instant::now() + grace - FAREWELL.min(grace / 4);
    let mut served = pin!(served);
    let ended = timeout_at(cut, &mut served).await;
    corral.shutdown(cut.saturating_duration_since(Instant::now())).await;
    if ended.is_err() {
        served.await;
    }
}

/// How a host was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// By SIGTERM.
    Terminated,
    /// By Ctrl-C.
    Interrupted,
}

/// The signals that ask a host to end.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> Result<Self, Failed> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM can't be awaited")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT can't be awaited")?,
        })
    }

    async fn asked(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminated,
            _ = self.interrupt.recv() => Stop::Interrupted,
        }
    }
}

/// SIGHUP, which asks a host to read its configuration again. The demo has no file to read, so
/// SIGHUP ends it with its terminal.
struct Hangups(Option<Signal>);

impl Hangups {
    fn of(corral: &Corral) -> Result<Self, Failed> {
        let hangup = || signal(SignalKind::hangup()).context("SIGHUP can't be awaited");
        let has_file = corral.config().file.is_some();
        Ok(Self(has_file.then(hangup).transpose()?))
    }

    async fn asked(&mut self) {
        match &mut self.0 {
            Some(hangup) => _ = hangup.recv().await,
            None => std::future::pending().await,
        }
    }
}
