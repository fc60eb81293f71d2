//! Intents: announced invalidations.

use std::time::Duration;

use super::ranges::KEPT;
use super::{RedisStore, lifetime_ms};
use crate::store::{Intent, Over, StoreError};

/// How many intents one look takes.
const AT_ONCE: usize = 256;

impl RedisStore {
    pub(super) async fn write_intent(
        &self,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        let (text, hold_ms, kept_ms) = (intent.encode(), lifetime_ms(hold), lifetime_ms(KEPT));
        let args = [text.as_bytes(), hold_ms.as_bytes(), kept_ms.as_bytes()];
        let intents = self.names.intents();
        Ok(self.run::<u64>(&self.scripts.announce, &[&intents], &args).await?.map(drop))
    }

    pub(super) async fn remove_intent(&self, text: &str) -> Result<(), StoreError> {
        let command = redis::cmd("ZREM").arg(self.names.intents()).arg(text).take();
        self.send::<u64>(command).await.map(drop)
    }

    pub(super) async fn due_intents(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        let (hold_ms, at_once) = (lifetime_ms(hold), AT_ONCE.to_string());
        let args = [hold_ms.as_bytes(), at_once.as_bytes()];
        let names = [&*self.names.intents()];
        let due = self.run::<Vec<String>>(&self.scripts.due, &names, &args).await?.answer;
        let mut intents = Vec::new();
        for text in due {
            match Intent::decode(&text) {
                Ok(intent) => intents.push(intent),
                Err(error) => {
                    tracing::warn!(%error, "an announced invalidation can't be read and is removed");
                    self.count_unreadable();
                    self.remove_intent(&text).await?;
                }
            }
        }
        Ok(intents)
    }
}
