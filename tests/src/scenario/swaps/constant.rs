//! A service that answers from its own memory, and has nothing to exchange.

use std::time::Duration;

use super::{Exchanged, Side, Swaps, Target, Took, Which};
use crate::peers::rig::service;
use crate::servers::Program;

/// The service has this address and never connects to it.
const NO_REDIS: &str = "redis://127.0.0.1";

pub(super) async fn run(swaps: Swaps) -> anyhow::Result<Side> {
    // As many threads as Corral has by default.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let server = service("constant", threads, NO_REDIS).await?;
    let (pid, root) = (server.pid(), format!("{}/item?id=", server.url()));
    let target = Target::learn(root, |answer, product| answer["id"] == product).await?;
    swaps.measure(pid, target, Nothing { _server: server }, swaps.swaps, Which::InTurn).await
}

/// Exchanges nothing, as often as policies are exchanged.
struct Nothing {
    _server: Program,
}

impl Exchanged for Nothing {
    fn exchange(&mut self, _which: Which) -> anyhow::Result<Took> {
        Ok(Took { way: "nothing", time: Duration::ZERO })
    }
}
