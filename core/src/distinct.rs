//! Lists in order, without repetition.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

/// The items, sorted, none twice. Sorted by a heap, because each exchange of a policy compiles this
/// crate anew and the library's `sort` would be a tenth of its code.
pub(crate) fn distinct<T: Ord>(items: Vec<T>) -> Vec<T> {
    let mut items = BinaryHeap::from(items).into_sorted_vec();
    items.dedup();
    items
}
