//! Intents: announced invalidations.

use std::time::Duration;

use super::calls::Call;
use super::ranges::KEPT;
use super::{RedisStore, lifetime_ms};
use crate::store::{Intent, Over, RangeId, StoreError};

/// How many intents one look takes.
const AT_ONCE: usize = 256;

impl RedisStore {
    pub(super) async fn write_intent(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        let (text, hold_ms, kept_ms) = (intent.encode(), lifetime_ms(hold), lifetime_ms(KEPT));
        let args = [text.as_bytes(), hold_ms.as_bytes(), kept_ms.as_bytes()];
        let intents = self.names.intents(range);
        Ok(self.run::<u64>(&self.scripts.announce, &[&intents], &args).await?.map(drop))
    }

    pub(super) async fn remove_intent(&self, range: RangeId, text: &str) -> Result<(), StoreError> {
        let command = redis::cmd("ZREM").arg(self.names.intents(range)).arg(text).take();
        self.send::<u64>(command).await.map(drop)
    }

    pub(super) async fn due_intents(
        &self,
        ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        let args = vec![lifetime_ms(hold), AT_ONCE.to_string()];
        let call = |range: &RangeId| (vec![self.names.intents(*range)], args.clone());
        let calls: Vec<Call> = ranges.iter().map(call).collect();
        let due = self.run_each::<Vec<String>>(&self.scripts.due, &calls).await?.answer;
        let mut intents = Vec::new();
        for (range, (_, texts)) in ranges.iter().zip(due) {
            for text in texts {
                match Intent::decode(&text) {
                    Ok(intent) => intents.push((*range, intent)),
                    Err(error) => {
                        tracing::warn!(%error, "an announced invalidation can't be read and is removed");
                        self.count_unreadable();
                        self.remove_intent(*range, &text).await?;
                    }
                }
            }
        }
        Ok(intents)
    }
}
