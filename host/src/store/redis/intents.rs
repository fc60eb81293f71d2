//! Intents: announced invalidations, in a few shards.

use std::time::Duration;

use super::{RedisStore, lifetime_ms};
use crate::store::{Intent, StoreError};

/// So many sorted sets share the intents of all writes, and the slots of a cluster.
const SHARDS: usize = 4;

/// How many intents of a shard one look takes.
const AT_ONCE: usize = 64;

/// A shard outlives the longest-lived value, and every announcement prolongs it: what is lost with it
/// concerns nothing that is still there. Without intents there is no shard.
const KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

fn shard_name(shard: usize) -> String {
    format!("intents:{{{shard}}}")
}

impl RedisStore {
    pub(super) async fn write_intent(
        &self,
        intent: &Intent,
        hold: Duration,
    ) -> Result<(), StoreError> {
        let (text, hold_ms, kept_ms) = (intent.encode(), lifetime_ms(hold), lifetime_ms(KEPT));
        let args = [text.as_bytes(), hold_ms.as_bytes(), kept_ms.as_bytes()];
        let shard = shard_name(intent.shard(SHARDS));
        self.run::<u64>(&self.scripts.announce, &[&shard], &args).await?;
        Ok(())
    }

    pub(super) async fn remove_intent(&self, shard: &str, text: &str) -> Result<(), StoreError> {
        let command = redis::cmd("ZREM").arg(shard).arg(text).take();
        self.link
            .exchange(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    pub(super) async fn withdraw_intent(&self, intent: &Intent) -> Result<(), StoreError> {
        self.remove_intent(&shard_name(intent.shard(SHARDS)), &intent.encode()).await
    }

    pub(super) async fn due_intents(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        let (hold_ms, at_once) = (lifetime_ms(hold), AT_ONCE.to_string());
        let mut intents = Vec::new();
        for shard in (0..SHARDS).map(shard_name) {
            let args = [hold_ms.as_bytes(), at_once.as_bytes()];
            let (_, due): (_, Vec<String>) = self.run(&self.scripts.due, &[&shard], &args).await?;
            for text in due {
                match Intent::decode(&text) {
                    Ok(intent) => intents.push(intent),
                    Err(error) => {
                        tracing::warn!(%error, text, shard, "removed from the announced invalidations");
                        self.count_unreadable();
                        self.remove_intent(&shard, &text).await?;
                    }
                }
            }
        }
        Ok(intents)
    }
}
