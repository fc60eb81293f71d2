//! What is owed, to which nodes, and what is owed still.

use super::*;
use crate::store::StoreTag;

fn tag(text: &str) -> IntentTarget {
    IntentTarget::Tag(StoreTag::try_new(text).unwrap())
}

fn any() -> Creditors {
    Creditors { everyone: true, ..Creditors::default() }
}

fn debt() -> Debt {
    Debt::new(Arc::new(Metrics::new([])))
}

#[test]
fn a_row_that_is_written_often_is_owed_once() {
    let debt = debt();
    for _ in 0..10_000 {
        debt.add([tag("hot")], &any());
    }
    assert_eq!(debt.len(), 1);
}

#[test]
fn what_is_added_while_it_is_paid_is_owed_still() {
    let debt = debt();
    debt.add([tag("a"), tag("b")], &any());
    let part = debt.part(Payer::Fences, 10, None).unwrap();
    debt.add([tag("a")], &any());
    debt.paid(&part);
    let left: Vec<_> = debt.part(Payer::Fences, 10, None).unwrap().targets().cloned().collect();
    assert_eq!(left, [tag("a")]);
    assert!(!debt.if_clear(Payer::Fences, || panic!("something is owed")));
}

#[test]
fn parts_follow_each_other_and_everything_is_of_the_first() {
    let debt = debt();
    debt.add(["a", "b", "c"].map(tag), &any());
    debt.add_everything(&any());
    let first = debt.part(Payer::Fences, 2, None).unwrap();
    let second = debt.part(Payer::Fences, 2, Some(&first)).unwrap();
    assert!(first.is_everything() && !second.is_everything());
    assert!(first.targets().chain(second.targets()).eq(&["a", "b", "c"].map(tag)));
    assert!(debt.part(Payer::Fences, 2, Some(&second)).is_none());
    debt.paid(&second);
    assert_eq!(debt.len(), 3, "everything is owed still");
    debt.paid(&first);
    assert_eq!(debt.len(), 0);
}

#[test]
fn everything_that_is_added_while_it_is_paid_is_owed_still() {
    let debt = debt();
    debt.add_everything(&any());
    let part = debt.part(Payer::Fences, 10, None).unwrap();
    debt.add_everything(&any());
    debt.paid(&part);
    let part = debt.part(Payer::Fences, 10, None).unwrap();
    assert!(part.is_everything());
    debt.paid(&part);
    assert!(debt.if_clear(Payer::Fences, || {}));
}

#[test]
fn a_node_owes_what_concerns_it_and_its_slots_owe_what_is_left_when_it_is_gone() {
    let debt = debt();
    let [first, second] = [NodeNumber::of(1), NodeNumber::of(2)];
    let of_first = Creditors { nodes: [first].into(), ..Creditors::default() };
    debt.add([tag("a")], &of_first);
    let is_clear = |payer| debt.if_clear(payer, || {});
    assert!(!is_clear(Payer::Node(first)));
    assert!(is_clear(Payer::Node(second)) && is_clear(Payer::Fences));
    // The payment failed at the second node and was taken by the first.
    let part = debt.part(Payer::Node(first), 10, None).unwrap();
    debt.unpaid(&part, &Creditors { nodes: [second].into(), ..Creditors::default() });
    assert!(is_clear(Payer::Node(first)) && !is_clear(Payer::Node(second)));
    // A target that is added again while it is paid concerns the nodes of both.
    let part = debt.part(Payer::Node(second), 10, None).unwrap();
    debt.add([tag("a")], &of_first);
    debt.unpaid(&part, &Creditors { nodes: [second].into(), ..Creditors::default() });
    assert!(!is_clear(Payer::Node(first)) && !is_clear(Payer::Node(second)));
    debt.is_gone(second);
    assert!(is_clear(Payer::Node(second)) && !is_clear(Payer::Fences));
}
