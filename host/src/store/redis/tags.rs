//! Removal: names in chunks, and a tag's names by its index.

use std::ops::RangeInclusive;

use redis::Pipeline;

use super::calls::{CHUNK, Call};
use super::{RedisStore, lifetime_ms};
use crate::store::{Doomed, LinkId, Marking, Over, Removed, StoreError, Tag};

/// Tags that are walked together, so that what is read of their indexes stays small.
const TOGETHER: usize = 4_096;

/// Members of one tag that are read at a time: about so many of all walks together, within these.
const PAGE: usize = 16 << 10;
const PAGES: RangeInclusive<usize> = CHUNK..=2_048;

/// A member of an index, and the score it had when it was read.
type Member = (String, f64);

/// A tag on its way out.
struct Walk<'t> {
    tag: &'t Tag,
    /// The random number of the mark that this walk set.
    mark: String,
    /// Where the scan of the index goes on; `None`: it is at its end.
    cursor: Option<u64>,
}

impl RedisStore {
    /// Removes everything that is doomed. All exchanges have to go over one link: what was removed from
    /// another server says nothing of this one.
    pub(super) async fn remove_doomed(
        &self,
        doomed: &[Doomed],
        marking: Marking,
    ) -> Result<Over<Removed>, StoreError> {
        let mut link = None;
        let (mut names, mut tags) = (Vec::new(), Vec::new());
        for doomed in doomed {
            match doomed {
                Doomed::Name(name) => names.push(name.as_str()),
                Doomed::Tag(tag) => tags.push(tag),
            }
        }
        let mut removed = self.remove(&names, &mut link).await?;
        for tags in tags.chunks(TOGETHER) {
            removed += self.remove_tagged(tags, marking, &mut link).await?;
        }
        let link = match link {
            Some(link) => link,
            None => self.send::<()>(redis::cmd("PING")).await?.link,
        };
        Ok(Over { link, answer: Removed { names: removed } })
    }

    /// A value and its lease go in one command, hence at once. Plain commands need no script
    /// that might have to be loaded in the middle of a pipeline.
    async fn remove(&self, names: &[&str], link: &mut Option<LinkId>) -> Result<u64, StoreError> {
        let removal = |names: &[&str]| {
            let mut commands = Pipeline::with_capacity(names.len() * 2);
            for name in names {
                let (lease, body) = (self.names.lease(name), self.names.body(name));
                commands.cmd("DEL").arg(name).arg(lease).arg(body);
                commands.cmd("DEL").arg(self.names.waiters(name));
            }
            commands
        };
        let removals: Vec<Pipeline> = names.chunks(CHUNK).map(removal).collect();
        let counts = self.pipelines(&removals).await;
        // Also after a failure: some of them may be gone.
        names.iter().for_each(|name| self.listening.listeners.changed(name));
        let counts: Vec<Vec<u64>> = same(link, counts?)?;
        let (mut removed, mut wake) = (0, Pipeline::new());
        for (name, counts) in names.iter().zip(counts.concat().chunks(2)) {
            removed += u64::from(counts.first().is_some_and(|gone| *gone > 0));
            if counts.get(1).is_some_and(|waiting| *waiting > 0) {
                wake.cmd("PUBLISH").arg(self.names.settled_channel()).arg(name);
            }
        }
        if !wake.is_empty() {
            // They are gone. That a waiter was not told only makes it wait for the lease's end.
            let _ = self.pipeline::<Vec<u64>>(&wake).await;
        }
        Ok(removed)
    }

    /// Marks the tags, then removes their names chunk by chunk, each from the index after its value.
    ///
    /// A name may be indexed again while this goes on. Whoever does that (a refresh, a write-through)
    /// loads after the mark, but the value that is there until then was loaded before it: so the walk
    /// must not miss the name, which has a higher score now. A scan finds every member that was there
    /// from its beginning to its end, wherever its score moves. And the name stays in the index for
    /// the next invalidation, because its score is not the one that was read.
    async fn remove_tagged(
        &self,
        tags: &[&Tag],
        marking: Marking,
        link: &mut Option<LinkId>,
    ) -> Result<u64, StoreError> {
        let walk =
            |tag| Walk { tag, mark: format!("{:032x}", rand::random::<u128>()), cursor: Some(0) };
        let mut walks: Vec<Walk<'_>> = tags.iter().map(|tag| walk(*tag)).collect();
        let refused = match self.mark(&walks, marking, link).await {
            Ok(()) => None,
            // A server that is out of memory takes no mark, but removing is what helps both: the
            // caller gets the error once everything is gone, and will repeat it for the mark.
            Err(refused @ StoreError::Refused(_)) => Some(refused),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        while !walks.is_empty() {
            let members = self.members(&mut walks, link).await?;
            let names: Vec<&str> =
                members.iter().flatten().map(|(name, _)| name.as_str()).collect();
            removed += self.remove(&names, link).await?;
            // Only after their values are gone: should this end here, the next walk finds them again.
            self.forget(&walks, &members, link).await?;
            walks.retain(|walk| walk.cursor.is_some());
        }
        refused.map_or(Ok(removed), Err)
    }

    async fn mark(
        &self,
        walks: &[Walk<'_>],
        marking: Marking,
        link: &mut Option<LinkId>,
    ) -> Result<(), StoreError> {
        let (lasts_ms, epoch) = (lifetime_ms(marking.lasts), format!("{:016x}", marking.epoch.0));
        let calls = walks.iter().map(|walk| {
            let args = vec![walk.mark.clone(), lasts_ms.clone(), epoch.clone()];
            (vec![self.names.mark(walk.tag)], args)
        });
        let calls: Vec<Call> = calls.collect();
        same(link, self.run_each::<u64>(&self.scripts.mark, &calls).await?)?;
        Ok(())
    }

    /// The next members of each tag, or all of a small index.
    async fn members(
        &self,
        walks: &mut [Walk<'_>],
        link: &mut Option<LinkId>,
    ) -> Result<Vec<Vec<Member>>, StoreError> {
        let page = (PAGE / walks.len().max(1)).clamp(*PAGES.start(), *PAGES.end());
        let scan = |walks: &[Walk<'_>]| {
            let mut commands = Pipeline::with_capacity(walks.len());
            for walk in walks {
                let (index, from) = (self.names.index(walk.tag), walk.cursor.unwrap_or_default());
                commands.cmd("ZSCAN").arg(index).arg(from).arg("COUNT").arg(page);
            }
            commands
        };
        let scans: Vec<Pipeline> = walks.chunks(CHUNK).map(scan).collect();
        let pages: Vec<Vec<(u64, Vec<Member>)>> = same(link, self.pipelines(&scans).await?)?;
        let mut members = Vec::with_capacity(walks.len());
        for (walk, (next, page)) in walks.iter_mut().zip(pages.into_iter().flatten()) {
            walk.cursor = (next != 0).then_some(next);
            members.push(page);
        }
        Ok(members)
    }

    async fn forget(
        &self,
        walks: &[Walk<'_>],
        members: &[Vec<Member>],
        link: &mut Option<LinkId>,
    ) -> Result<(), StoreError> {
        let mut calls = Vec::new();
        for (walk, members) in walks.iter().zip(members) {
            for members in members.chunks(CHUNK) {
                let mut args = vec![walk.mark.clone()];
                let pairs =
                    members.iter().flat_map(|(name, score)| [name.clone(), format!("{score:.0}")]);
                args.extend(pairs);
                calls.push((vec![self.names.index(walk.tag), self.names.mark(walk.tag)], args));
            }
        }
        if !calls.is_empty() {
            same(link, self.run_each::<u64>(&self.scripts.forget, &calls).await?)?;
        }
        Ok(())
    }
}

/// The answer, if it came over the link of those before it.
fn same<T>(link: &mut Option<LinkId>, over: Over<T>) -> Result<T, StoreError> {
    if *link.get_or_insert(over.link) == over.link {
        return Ok(over.answer);
    }
    Err(StoreError::Unavailable("the connection was replaced".to_owned()))
}
