//! Invalidations: names at once, and the names of a tag's index in chunks.

use std::time::Duration;

use corral_host::store::{
    Doomed, Intent, LinkId, Marking, Name, Over, Removed, StoreError, StoreTag,
};

use super::Link;
use super::operation::{Kind, Operation};
use crate::sim::climate::Climate;
use crate::sim::nodes::Node;
use crate::sim::protection::Protection;
use crate::sim::shelf::Member;
use crate::sim::wire::Change;

/// How many members of an index one exchange removes: few, so that a walk has several exchanges.
const CHUNK: usize = 1;

/// How long a host freezes at most in the middle of a walk, while others look, claim, load and
/// fill.
const LONGEST_FREEZE_MS: u64 = 500;

impl Link {
    pub(super) async fn carry_out_invalidation(
        &self,
        doomed: &[Doomed],
        marking: Marking,
    ) -> Result<Over<Removed>, StoreError> {
        if let Some(over) = self.answer_too_early(doomed, marking) {
            return Ok(over);
        }
        self.remove_doomed(doomed, marking).await
    }

    async fn remove_doomed(
        &self,
        doomed: &[Doomed],
        marking: Marking,
    ) -> Result<Over<Removed>, StoreError> {
        let (mut link, mut names, mut refused) = (None, 0, None);
        for doomed in doomed {
            match doomed {
                Doomed::Name(name) => names += self.remove(name.clone(), &mut link).await?,
                Doomed::Tag(tag) => match self.remove_tagged(tag, marking, &mut link).await {
                    Ok(removed) => names += removed,
                    Err(error @ StoreError::Refused(_)) => refused = Some(error),
                    Err(error) => return Err(error),
                },
            }
        }
        let link = link.unwrap_or_else(|| self.open().id);
        refused.map_or(Ok(Over { link, answer: Removed { names } }), Err)
    }

    async fn remove(&self, name: Name, link: &mut Option<LinkId>) -> Result<u64, StoreError> {
        let spares_leases = self.lacks(Protection::InvalidationTakesLease);
        let change = Change::Key(name.clone());
        let remove = Operation::on_name(Kind::Removes, "invalidate", &name);
        let over = self.exchange(remove, move |node, now_ms| {
            if spares_leases {
                node.shelf.remove_value(&name);
                return false;
            }
            node.shelf.remove(&name, now_ms)
        });
        let gone = same(link, over.await?)?;
        self.ears.hear(&change);
        Ok(u64::from(gone))
    }

    /// A node that takes no mark removes the names all the same, and the caller repeats the
    /// invalidation for the mark.
    async fn remove_tagged(
        &self,
        tag: &StoreTag,
        mut marking: Marking,
        link: &mut Option<LinkId>,
    ) -> Result<u64, StoreError> {
        if self.lacks(Protection::MarksOutliveLoads) {
            marking.lasts = Duration::from_millis(1);
        }
        let (of, compares) = (tag.clone(), !self.lacks(Protection::WalkCompares));
        let mark = Operation::on_tag(Kind::Adds, "mark", tag);
        let marked = self.exchange(mark, move |node, now_ms| node.shelf.mark(&of, marking, now_ms));
        let (mut removed, mut refused) = (0, None);
        let (walk, members) = match marked.await {
            Ok(over) => same(link, over)?,
            Err(error @ StoreError::Refused(_)) => {
                refused = Some(error);
                let of = tag.clone();
                let look = Operation::on_tag(Kind::Reads, "look at the index of", tag);
                let over = self.exchange(look, move |node, now_ms| node.shelf.members(&of, now_ms));
                let over = over.await?;
                (0, same(link, over)?)
            }
            Err(error) => return Err(error),
        };
        for chunk in members.chunks(CHUNK) {
            for (name, _) in chunk {
                removed += self.remove(name.clone(), link).await?;
            }
            self.may_freeze_in_walk();
            let (of, chunk): (StoreTag, Vec<Member>) = (tag.clone(), chunk.to_vec());
            let forget = Operation::on_tag(Kind::Removes, "forget a member of", tag);
            let over = self.exchange(forget, move |node, _| {
                chunk.iter().for_each(|member| node.shelf.forget(&of, member, walk, compares));
            });
            same(link, over.await?)?;
        }
        refused.map_or(Ok(removed), Err)
    }

    fn may_freeze_in_walk(&self) {
        let Climate { pauses, freezes_in_walks, .. } = self.world.climate;
        if pauses && self.world.chance.percent(freezes_in_walks) {
            self.world.freeze(self.host, self.world.chance.millis(1, LONGEST_FREEZE_MS));
        }
    }

    /// If debts do not come first, an invalidation that pays a debt is answered at once and carried
    /// out later. Trust ends with the first debt, so while something is owed a host sends nothing
    /// but debts.
    fn answer_too_early(&self, doomed: &[Doomed], marking: Marking) -> Option<Over<Removed>> {
        if !self.lacks(Protection::PendingComesFirst) || !self.owes() {
            return None;
        }
        let (doomed, delay) = (doomed.to_vec(), self.world.chance.millis(100, 500));
        let (id, end) = {
            let open = self.open();
            (open.id, open.end)
        };
        let late = Operation::on_store(Kind::Removes, "invalidate");
        self.arrive_late(late, end, delay, move |node, now_ms| {
            doomed.iter().for_each(|doomed| remove_at_once(node, doomed, marking, now_ms));
        });
        Some(Over { link: id, answer: Removed::default() })
    }

    /// The intent in the form in which it reaches the store.
    pub(super) fn as_announced(&self, intent: &Intent) -> Intent {
        if !self.lacks(Protection::IntentCarriesTransaction) {
            return intent.clone();
        }
        let transaction = intent.transaction().map(|xid| format!("\"transaction\":{xid},"));
        let text = intent.encode().replace(&transaction.unwrap_or_default(), "");
        Intent::decode(&text).unwrap_or_else(|_| intent.clone())
    }
}

fn remove_at_once(node: &mut Node, doomed: &Doomed, marking: Marking, now_ms: u64) {
    match doomed {
        Doomed::Name(name) => _ = node.shelf.remove(name, now_ms),
        Doomed::Tag(tag) => {
            let (walk, members) = node.shelf.mark(tag, marking, now_ms);
            for member in members {
                node.shelf.remove(&member.0, now_ms);
                node.shelf.forget(tag, &member, walk, true);
            }
        }
    }
}

/// The answer, if it came over the same link as the answers before it.
fn same<T>(link: &mut Option<LinkId>, over: Over<T>) -> Result<T, StoreError> {
    if *link.get_or_insert(over.link) == over.link {
        return Ok(over.answer);
    }
    Err(StoreError::Unavailable("the connection was replaced".to_owned()))
}
