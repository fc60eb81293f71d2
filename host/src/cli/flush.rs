//! `corral flush`: makes every stored value untrue, on every host.

use serde_json::json;

use super::client::FrontClient;
use super::{Failed, say};

#[derive(clap::Args)]
pub(super) struct Flush {
    #[command(flatten)]
    face: FrontClient,
}

pub(super) async fn run(flush: Flush) -> Result<(), Failed> {
    let answer = flush.face.post("/invalidate", &json!({ "all": true })).await?;
    match answer["cache"].as_str() {
        Some("invalidated") => say("every stored value is untrue, and every host knows"),
        _ => say(
            "the store can't be reached: this host makes every value untrue before it uses the \
             store again",
        ),
    }
    Ok(())
}
