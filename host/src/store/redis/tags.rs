//! Removal: of names in chunks, and of a tag's names by the tag's index.

use std::ops::RangeInclusive;

use redis::Pipeline;

use super::calls::{CHUNK, Call};
use super::{RedisStore, lifetime_ms};
use crate::store::{LinkId, Marking, Name, Over, Removed, Remover, StoreError, StoreTag};

/// Tags that are walked together, so few that what is read of their indexes stays small.
const TOGETHER: usize = 4_096;

/// Members that all walks together read at a time, roughly, and the limits for one tag.
const PAGE: usize = 16 << 10;
const PAGES: RangeInclusive<usize> = CHUNK..=2_048;

/// A member of an index, and the score it had when it was read.
type Member = (String, f64);

/// The walk over a tag's index.
struct TagWalk<'t> {
    tag: &'t StoreTag,
    /// The random number of the mark that this walk set.
    mark: String,
    /// Where the scan of the index goes on; `None` if it is at its end.
    cursor: Option<u64>,
}

impl RedisStore {
    /// Removes names. One command removes a value and its lease, so that both are gone at once. Plain commands
    /// are used since a script might have to be loaded in the middle of a pipeline.
    pub(super) async fn remove_names(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        if names.is_empty() {
            let link = self.send::<()>(redis::cmd("PING")).await?.link;
            return Ok(Over { link, answer: Removed::default() });
        }
        let removal = |names: &[Name]| {
            let mut commands = Pipeline::with_capacity(names.len() * 2);
            for name in names.iter().map(Name::as_str) {
                let (lease, body) = (self.names.lease(name), self.names.body(name));
                commands.cmd("DEL").arg(name).arg(lease).arg(body);
                commands.cmd("DEL").arg(self.names.waiters(name));
            }
            commands
        };
        let removals: Vec<Pipeline> = names.chunks(CHUNK).map(removal).collect();
        let counts = self.pipelines(&removals).await;
        // Also after a failure: some of the names may be gone.
        names.iter().for_each(|name| self.listening.listeners.changed(name.as_str()));
        let Over { link, answer: counts }: Over<Vec<Vec<u64>>> = counts?;
        let (mut removed, mut wake) = (0, Pipeline::new());
        for (name, counts) in names.iter().zip(counts.concat().chunks(2)) {
            removed += u64::from(counts.first().is_some_and(|gone| *gone > 0));
            if counts.get(1).is_some_and(|waiting| *waiting > 0) {
                wake.cmd("PUBLISH").arg(self.names.settled_channel()).arg(name.as_str());
            }
        }
        if !wake.is_empty() {
            // A failure is ignored: the names are gone, and a waiter that is not told looks when the lease
            // would have ended.
            let _ = self.pipeline::<Vec<u64>>(&wake).await;
        }
        Ok(Over { link, answer: Removed { names: removed } })
    }

    /// Walks the indexes of tags. All exchanges have to go over one link: what was read from another server
    /// does not count for this one.
    pub(super) async fn walk_indexes(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        let mut link = None;
        for tags in tags.chunks(TOGETHER) {
            self.walk_together(tags, marking, remover, &mut link).await?;
        }
        let link = match link {
            Some(link) => link,
            None => self.send::<()>(redis::cmd("PING")).await?.link,
        };
        Ok(Over { link, answer: () })
    }

    /// Marks the tags, then removes their names chunk by chunk. A name leaves the index after its value.
    ///
    /// A name may be indexed again during the walk, by a refresh or a write-through. Its load comes after the
    /// mark, but the value that is there until then was loaded before the mark: so the walk must not miss the
    /// name, which has a higher score now. `ZSCAN` finds every member that was there from its beginning to
    /// its end, whatever its score. And the name stays in the index for the next invalidation, because its
    /// score is not the one that was read (race Q).
    async fn walk_together(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
        link: &mut Option<LinkId>,
    ) -> Result<(), StoreError> {
        let walk = |tag| TagWalk {
            tag,
            mark: format!("{:032x}", rand::random::<u128>()),
            cursor: Some(0),
        };
        let mut walks: Vec<TagWalk<'_>> = tags.iter().map(walk).collect();
        let refused = match self.mark(&walks, marking, link).await {
            Ok(()) => None,
            // A server that is out of memory takes no mark, but removing values frees memory. So everything
            // is removed before the caller gets the error and repeats the call for the mark.
            Err(refused @ StoreError::Refused(_)) => Some(refused),
            Err(error) => return Err(error),
        };
        while !walks.is_empty() {
            let members = self.members(&mut walks, link).await?;
            let members = self.gone(members, remover).await;
            // Only after the values are gone: if this walk ends before, the next one finds the names again.
            self.forget(&walks, &members, link).await?;
            walks.retain(|walk| walk.cursor.is_some());
        }
        refused.map_or(Ok(()), Err)
    }

    async fn mark(
        &self,
        walks: &[TagWalk<'_>],
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

    /// Has the names of members removed, and returns the members whose names are gone.
    async fn gone(&self, members: Vec<Vec<Member>>, remover: &dyn Remover) -> Vec<Vec<Member>> {
        // A member that is no name of this deployment was written by another program and just leaves the index.
        let read = |(name, _): &Member| self.names.read(name);
        let names: Vec<Name> = members.iter().flatten().filter_map(read).collect();
        if names.is_empty() {
            return members;
        }
        let mut gone = remover.remove_members(&names).await.into_iter();
        let mut is_gone = |member: &Member| read(member).is_none() || gone.next().unwrap_or(false);
        let of_tag = |members: Vec<Member>| members.into_iter().filter(&mut is_gone).collect();
        members.into_iter().map(of_tag).collect()
    }

    /// The next members of each tag; all members of a small index.
    async fn members(
        &self,
        walks: &mut [TagWalk<'_>],
        link: &mut Option<LinkId>,
    ) -> Result<Vec<Vec<Member>>, StoreError> {
        let page = (PAGE / walks.len().max(1)).clamp(*PAGES.start(), *PAGES.end());
        let scan = |walks: &[TagWalk<'_>]| {
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
        walks: &[TagWalk<'_>],
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

/// The answer, if it came over the same link as the answers before it.
fn same<T>(link: &mut Option<LinkId>, over: Over<T>) -> Result<T, StoreError> {
    if *link.get_or_insert(over.link) == over.link {
        return Ok(over.answer);
    }
    Err(StoreError::Unavailable("the connection was replaced".to_owned()))
}
