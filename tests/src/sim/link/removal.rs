//! Removals: names at once, and the names of a tag's index in chunks.

use std::time::Duration;

use corral_host::store::{
    Intent, LinkId, Marking, Name, Over, Removed, Remover, StoreError, StoreTag,
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
    pub(super) async fn remove_names(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        if let Some(over) = self.answer_too_early(names) {
            return Ok(over);
        }
        let (mut link, mut removed) = (None, 0);
        for name in names {
            removed += self.remove(name.clone(), &mut link).await?;
        }
        let link = link.unwrap_or_else(|| self.open().id);
        Ok(Over { link, answer: Removed { names: removed } })
    }

    pub(super) async fn walk_indexes(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        if let Some(over) = self.walk_too_early(tags, marking) {
            return Ok(over);
        }
        let (mut link, mut refused) = (None, None);
        for tag in tags {
            match self.walk_index(tag, marking, remover, &mut link).await {
                Ok(()) => {}
                Err(error @ StoreError::Refused(_)) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        let link = link.unwrap_or_else(|| self.open().id);
        refused.map_or(Ok(Over { link, answer: () }), Err)
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
    async fn walk_index(
        &self,
        tag: &StoreTag,
        mut marking: Marking,
        remover: &dyn Remover,
        link: &mut Option<LinkId>,
    ) -> Result<(), StoreError> {
        if self.lacks(Protection::MarksOutliveLoads) {
            marking.lasts = Duration::from_millis(1);
        }
        let (of, compares) = (tag.clone(), !self.lacks(Protection::WalkCompares));
        let mark = Operation::on_tag(Kind::Adds, "mark", tag);
        let marked = self.exchange(mark, move |node, now_ms| node.shelf.mark(&of, marking, now_ms));
        let mut refused = None;
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
            let names: Vec<Name> = chunk.iter().map(|(name, _)| name.clone()).collect();
            let gone = remover.remove_members(&names).await;
            self.may_freeze_in_walk();
            let gone = chunk.iter().zip(gone).filter(|(_, is_gone)| *is_gone);
            let chunk: Vec<Member> = gone.map(|(member, _)| member.clone()).collect();
            let of: StoreTag = tag.clone();
            let forget = Operation::on_tag(Kind::Removes, "forget a member of", tag);
            let over = self.exchange(forget, move |node, _| {
                chunk.iter().for_each(|member| node.shelf.forget(&of, member, walk, compares));
            });
            same(link, over.await?)?;
        }
        refused.map_or(Ok(()), Err)
    }

    fn may_freeze_in_walk(&self) {
        let Climate { pauses, freezes_in_walks, .. } = self.world.climate;
        if pauses && self.world.chance.percent(freezes_in_walks) {
            self.world.freeze(self.host, self.world.chance.millis(1, LONGEST_FREEZE_MS));
        }
    }

    /// If debts do not come first, a removal that pays a debt is answered at once and carried out later. Trust
    /// ends with the first debt, so while something is owed a host sends nothing but debts.
    fn answer_too_early(&self, names: &[Name]) -> Option<Over<Removed>> {
        let names = names.to_vec();
        let over = self.carry_out_later(move |node, now_ms| {
            names.iter().for_each(|name| _ = node.shelf.remove(name, now_ms));
        })?;
        Some(over.map(|()| Removed::default()))
    }

    fn walk_too_early(&self, tags: &[StoreTag], marking: Marking) -> Option<Over<()>> {
        let tags = tags.to_vec();
        self.carry_out_later(move |node, now_ms| {
            tags.iter().for_each(|tag| walk_at_once(node, tag, marking, now_ms));
        })
    }

    /// Carries out a payment later, if debts do not come first and this is one.
    fn carry_out_later(
        &self,
        apply: impl FnOnce(&mut Node, u64) + Send + 'static,
    ) -> Option<Over<()>> {
        if !self.lacks(Protection::PendingComesFirst) || !self.owes() {
            return None;
        }
        let delay = self.world.chance.millis(100, 500);
        let (id, end) = {
            let open = self.open();
            (open.id, open.end)
        };
        let late = Operation::on_store(Kind::Removes, "invalidate");
        self.arrive_late(late, end, delay, apply);
        Some(Over { link: id, answer: () })
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

fn walk_at_once(node: &mut Node, tag: &StoreTag, marking: Marking, now_ms: u64) {
    let (walk, members) = node.shelf.mark(tag, marking, now_ms);
    for member in members {
        node.shelf.remove(&member.0, now_ms);
        node.shelf.forget(tag, &member, walk, true);
    }
}

/// The answer, if it came over the same link as the answers before it.
fn same<T>(link: &mut Option<LinkId>, over: Over<T>) -> Result<T, StoreError> {
    if *link.get_or_insert(over.link) == over.link {
        return Ok(over.answer);
    }
    Err(StoreError::Unavailable("the connection was replaced".to_owned()))
}
