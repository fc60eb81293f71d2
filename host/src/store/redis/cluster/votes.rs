//! Which node has a slot, by what other nodes say of it.
//!
//! A node alone does not know that another one has taken its place. It is **confirmed** as the owner of a slot
//! if one of these holds:
//!
//! - more than half of all primaries, the node itself not counted, name it as the owner;
//! - every replica that is known of the node answers as its replica, and no node names another owner: no other
//!   node can have been promoted in its place.
//!
//! A node that is taken for dead is named by none.

use std::collections::BTreeSet;

use super::view::{MemberId, SeenNode, View};
use crate::slot::SLOTS;

/// The owner of each slot, as far as one is confirmed by these views.
pub(super) fn owners(views: &[&View]) -> Vec<Option<MemberId>> {
    let ballot = OwnerBallot::new(views);
    // Between two ends of ranges in any view, each view names one owner for all slots.
    let ranges = views.iter().flat_map(|view| view.nodes.values()).flat_map(|seen| &seen.slots);
    let ends = ranges.flat_map(|slots| [*slots.start(), slots.end().saturating_add(1)]);
    let mut ends: BTreeSet<u16> = ends.filter(|end| *end < SLOTS).collect();
    ends.insert(0);
    let mut owners = Vec::with_capacity(usize::from(SLOTS));
    let mut ends = ends.into_iter().peekable();
    while let Some(first) = ends.next() {
        let owner = ballot.owner(&ballot.namings(first));
        owners.resize(usize::from(*ends.peek().unwrap_or(&SLOTS)), owner);
    }
    owners
}

struct OwnerBallot<'v> {
    views: &'v [&'v View],
    /// How many primaries there are, at most.
    primaries: usize,
}

impl<'v> OwnerBallot<'v> {
    fn new(views: &'v [&'v View]) -> Self {
        let primaries = |view: &&View| {
            view.nodes.values().filter(|seen| seen.is_primary() && !seen.slots.is_empty()).count()
        };
        Self { views, primaries: views.iter().map(primaries).max().unwrap_or(0) }
    }

    /// Which node names which one as the owner of a slot.
    fn namings(&self, slot: u16) -> Vec<(MemberId, MemberId)> {
        let named = |view: &&View| {
            let is_owner = |(_, seen): &(&MemberId, &SeenNode)| {
                seen.is_primary() && !seen.is_failing && seen.has(slot)
            };
            let (owner, _) = view.nodes.iter().find(is_owner)?;
            Some((view.of.clone(), owner.clone()))
        };
        self.views.iter().filter_map(named).collect()
    }

    fn owner(&self, namings: &[(MemberId, MemberId)]) -> Option<MemberId> {
        let mut candidates: Vec<&MemberId> = namings.iter().map(|(_, owner)| owner).collect();
        candidates.sort_unstable();
        candidates.dedup();
        if let Some(owner) = candidates.iter().find(|owner| self.has_majority(owner, namings)) {
            return Some((*owner).clone());
        }
        match candidates[..] {
            [only] if self.has_its_family(only) => Some(only.clone()),
            _ => None,
        }
    }

    fn has_majority(&self, owner: &MemberId, namings: &[(MemberId, MemberId)]) -> bool {
        let is_vote = |(voter, named): &&(MemberId, MemberId)| {
            named == owner && voter != owner && self.is_primary(voter)
        };
        namings.iter().filter(is_vote).count() * 2 > self.primaries
    }

    /// Whether a node is a primary with slots, as it says itself.
    fn is_primary(&self, node: &MemberId) -> bool {
        let own = self.views.iter().find(|view| view.of == *node).and_then(|view| view.itself());
        own.is_some_and(|own| own.is_primary() && !own.slots.is_empty())
    }

    /// Whether the node answers, and every replica that any node knows of it answers as its replica.
    fn has_its_family(&self, node: &MemberId) -> bool {
        let of = |id: &MemberId| self.views.iter().find(|view| view.of == *id);
        let follows = |id: &MemberId| {
            let own = of(id).and_then(|view| view.itself());
            own.is_some_and(|own| own.follows.as_ref() == Some(node))
        };
        let known = self.views.iter().flat_map(|view| &view.nodes);
        let mut replicas = known.filter(|(_, seen)| seen.follows.as_ref() == Some(node));
        self.is_primary(node) && replicas.all(|(id, _)| follows(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A primary with some slots and the nodes that follow it, as one node sees it.
    struct Family(&'static str, std::ops::RangeInclusive<u16>, &'static [&'static str]);

    fn view(of: &str, families: &[Family], failing: &[&str]) -> View {
        let mut nodes = BTreeMap::new();
        for Family(primary, slots, replicas) in families {
            let seen = |id: &str, follows: Option<MemberId>, slots| SeenNode {
                address: (id.to_owned(), 1),
                follows,
                is_failing: failing.contains(&id),
                slots,
            };
            nodes.insert((*primary).into(), seen(primary, None, vec![slots.clone()]));
            for replica in *replicas {
                nodes.insert((*replica).into(), seen(replica, Some((*primary).into()), vec![]));
            }
        }
        View { of: of.into(), nodes }
    }

    fn three() -> [Family; 3] {
        [Family("a", 0..=9, &["x"]), Family("b", 10..=19, &["y"]), Family("c", 20..=29, &["z"])]
    }

    fn owner(views: &[View], slot: u16) -> Option<String> {
        let views: Vec<&View> = views.iter().collect();
        owners(&views)[usize::from(slot)].as_ref().map(|owner| owner.as_str().to_owned())
    }

    #[test]
    fn two_other_primaries_of_three_confirm_an_owner() {
        let all = ["a", "b", "c"].map(|of| view(of, &three(), &[]));
        for (slot, expected) in [(0, Some("a")), (15, Some("b")), (29, Some("c")), (30, None)] {
            assert_eq!(owner(&all, slot).as_deref(), expected, "{slot}");
        }
        // Without the other two, no node confirms it.
        assert_eq!(owner(&all[..1], 0), None);
        assert_eq!(owner(&all[..2], 0), None, "one of two others is no majority of three");
    }

    #[test]
    fn a_node_that_is_taken_for_dead_is_named_by_nobody() {
        let all = ["b", "c"].map(|of| view(of, &three(), &["a"]));
        assert_eq!(owner(&all, 0), None);
        // The dead one counts among the primaries all the same.
        assert_eq!(owner(&all, 10), None);
    }

    #[test]
    fn a_node_whose_replicas_all_follow_it_is_confirmed_by_them() {
        let family = ["a", "x"].map(|of| view(of, &three(), &["b", "c"]));
        assert_eq!(owner(&family, 0).as_deref(), Some("a"));
        // A replica that is silent may have been promoted.
        assert_eq!(owner(&family[..1], 0), None);
        // So may one that any other node names as the node's.
        let mut more = three();
        more[0].2 = &["x", "w"];
        let known = view("y", &more, &[]);
        let views = [family[0].clone(), family[1].clone(), known];
        assert_eq!(owner(&views, 0), None);
    }

    #[test]
    fn a_family_confirms_nothing_where_somebody_names_another_owner() {
        let moved = [Family("a", 1..=9, &["x"]), Family("b", 0..=0, &["y"])];
        let views = [view("a", &three(), &[]), view("x", &three(), &[]), view("y", &moved, &[])];
        assert_eq!(owner(&views, 0), None);
        assert_eq!(owner(&views, 1).as_deref(), Some("a"), "the control: a slot that stays");
    }

    #[test]
    fn a_primary_without_replicas_is_confirmed_by_itself_unless_it_lost_the_slot() {
        let alone = || [Family("a", 0..=9, &[]), Family("b", 10..=19, &[])];
        assert_eq!(owner(&[view("a", &alone(), &["b"])], 0).as_deref(), Some("a"));
        assert_eq!(owner(&[view("b", &alone(), &[])], 0), None, "it does not answer");
    }
}
