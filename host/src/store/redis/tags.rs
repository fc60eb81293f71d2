//! Bulk removal: keys in chunks, and a tag's keys by its index.

use std::time::Duration;

use redis::Pipeline;

use super::scripts::SETTLED_CHANNEL;
use super::{RedisStore, lease_name, lifetime_ms, waiters_name};
use crate::store::{Removed, StoreError, Tag};

/// How many keys one exchange removes: it holds the server for well under a millisecond, and a
/// round trip is small beside it.
const CHUNK: usize = 256;

pub(super) fn index_name(tag: &Tag) -> String {
    format!("tags:{{{tag}}}")
}

pub(super) fn mark_name(tag: &Tag) -> String {
    format!("mark:{{{tag}}}")
}

/// A member of an index, and the score it had when it was read.
type Member = (String, f64);

impl RedisStore {
    /// Removes keys' values and leases, chunk by chunk.
    pub(super) async fn remove(&self, keys: &[&str]) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        for chunk in keys.chunks(CHUNK) {
            removed.keys += self.remove_chunk(chunk).await?;
        }
        Ok(removed)
    }

    /// A value and its lease go in one command, hence at once. Plain commands need no script
    /// that might have to be loaded in the middle of a pipeline.
    async fn remove_chunk(&self, keys: &[&str]) -> Result<u64, StoreError> {
        let mut commands = Pipeline::with_capacity(keys.len() * 2);
        for key in keys {
            commands.cmd("DEL").arg(key).arg(lease_name(key));
            commands.cmd("DEL").arg(waiters_name(key));
        }
        let counts: Vec<u64> = self.pipeline(commands).await?;
        keys.iter().for_each(|key| self.ears.listeners.changed(key));
        let (mut removed, mut wake) = (0, Pipeline::new());
        for (key, counts) in keys.iter().zip(counts.chunks(2)) {
            removed += u64::from(counts.first().is_some_and(|gone| *gone > 0));
            if counts.get(1).is_some_and(|waiting| *waiting > 0) {
                wake.cmd("PUBLISH").arg(SETTLED_CHANNEL).arg(key);
            }
        }
        if !wake.is_empty() {
            // They are gone. That a waiter was not told only makes it wait for the lease's end.
            let _ = self.pipeline::<Vec<u64>>(wake).await;
        }
        Ok(removed)
    }

    /// Marks the tag, then removes its keys chunk by chunk, each from the index after its value.
    ///
    /// A key may be indexed again while this goes on. Whoever does that (a refresh, a write-through)
    /// loads after the mark, but the value that is there until then was loaded before it: so the walk
    /// must not miss the key, which has a higher score now. A scan finds every member that was there
    /// from its beginning to its end, wherever its score moves. And the key stays in the index for
    /// the next invalidation, because its score is not the one that was read.
    pub(super) async fn remove_tagged(
        &self,
        tag: &Tag,
        mark: Duration,
    ) -> Result<Removed, StoreError> {
        let mark_refused = match self.mark(tag, mark).await {
            Ok(()) => None,
            // A server that is out of memory takes no mark, but removing is what helps both: the
            // caller gets the error once everything is gone, and will repeat it for the mark.
            Err(StoreError::Refused(why)) => Some(StoreError::Refused(why)),
            Err(error) => return Err(error),
        };
        let (mut removed, mut cursor) = (Removed::default(), 0);
        loop {
            let (next, members) = self.members(tag, cursor).await?;
            let keys: Vec<_> = members.iter().map(|(key, _)| key.as_str()).collect();
            removed.keys += self.remove(&keys).await?.keys;
            self.forget(tag, &members).await?;
            if next == 0 {
                break;
            }
            cursor = next;
        }
        mark_refused.map_or(Ok(removed), Err)
    }

    async fn mark(&self, tag: &Tag, mark: Duration) -> Result<(), StoreError> {
        let (random, mark_ms) = (format!("{:032x}", rand::random::<u128>()), lifetime_ms(mark));
        let command =
            redis::cmd("SET").arg(mark_name(tag)).arg(random).arg("PX").arg(mark_ms).take();
        self.link
            .exchange(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// Members from here on, about a chunk of them or all of a small index; and from where to go on,
    /// 0 at the end.
    async fn members(&self, tag: &Tag, from: u64) -> Result<(u64, Vec<Member>), StoreError> {
        let mut command = redis::cmd("ZSCAN");
        command.arg(index_name(tag)).arg(from).arg("COUNT").arg(CHUNK);
        self.link
            .exchange(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    async fn forget(&self, tag: &Tag, members: &[Member]) -> Result<(), StoreError> {
        if members.is_empty() {
            return Ok(());
        }
        let scores: Vec<_> = members.iter().map(|(_, score)| format!("{score:.0}")).collect();
        let args: Vec<&[u8]> = members
            .iter()
            .zip(&scores)
            .flat_map(|((key, _), score)| [key.as_bytes(), score.as_bytes()])
            .collect();
        self.run::<u64>(&self.scripts.forget, &[&index_name(tag)], &args).await?;
        Ok(())
    }

    async fn pipeline<T: redis::FromRedisValue>(
        &self,
        commands: Pipeline,
    ) -> Result<T, StoreError> {
        self.link
            .exchange(|mut connection| async move { commands.query_async(&mut connection).await })
            .await
    }
}
