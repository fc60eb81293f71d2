//! `corral serve`

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::http::{Front, Manners, Server, Share, admin_router, shares};
use crate::service::{Corral, FAREWELL};

use super::Failed;
use crate::config::Config;

pub(super) async fn run(mut config: Config) -> Result<(), Failed> {
    config.policy.cache = config.policy.cache.or_else(cache_folder);
    let corral = Corral::start(config).await?;
    serve(corral).await
}

/// Where this system wants a service, or else a user's program, to keep what it can make again:
/// systemd's `CacheDirectory=`, and the XDG base directories.
fn cache_folder() -> Option<PathBuf> {
    // systemd names several folders like a search path does.
    let first = |names: OsString| env::split_paths(&names).next();
    let absolute = |name| env::var_os(name).and_then(first).filter(|path| path.is_absolute());
    let of_user = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    absolute("CACHE_DIRECTORY").or_else(|| Some(of_user()?.join("corral")))
}

/// Serves both faces until SIGTERM or Ctrl-C, then ends within the grace time.
pub(super) async fn serve(corral: Corral) -> Result<(), Failed> {
    let config = corral.config();
    let (listen, admin, grace, idle) =
        (config.listen, config.admin.listen, config.grace, config.http.idle);
    let of_origin = config.origin.max_loads + config.origin.max_writes;
    let Share { front: clients, admin: operators } = shares(config.http.max_connections, of_origin);
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
    let (stop, stopped) = watch::channel(false);
    let serving = (
        tokio::spawn(front.serve(
            Front::new(corral.clone()),
            told(stopped.clone()),
            manners(clients),
        )),
        tokio::spawn(back.serve(admin_router(corral.clone()), told(stopped), manners(operators))),
    );
    let mut served = pin!(async { tokio::join!(serving.0, serving.1) });
    asked_to_stop().await?;
    tracing::info!("stopping: no new requests, those in progress may end");
    corral.drain();
    // The message finds no receiver only when both servers have ended already.
    let _ended = stop.send(true);
    // What is cut off is told so, and its lease is given back, within the grace time too.
    let cut = Instant::now() + grace - FAREWELL.min(grace / 4);
    let ended = timeout_at(cut, &mut served).await;
    corral.shutdown(cut.saturating_duration_since(Instant::now())).await;
    if ended.is_err() {
        let _both = served.await;
    }
    Ok(())
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone is an end as well.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

async fn asked_to_stop() -> Result<(), Failed> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be awaited")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted.context("Ctrl-C")?),
    }
}
