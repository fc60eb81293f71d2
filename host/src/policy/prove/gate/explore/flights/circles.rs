//! Flights without an end, in a graph of all situations.
//!
//! A circle is a way from a situation back to itself. Time passes in a wait, so the deadline ends a
//! circle that waits often enough. A bad circle takes more turns than its waits allow: after some
//! rounds the guard stops it.

use std::collections::VecDeque;

use super::alphabet::Pending;
use super::graph::{Edge, Graph, Taken};
use crate::policy::run::guard::TURNS_PER_WAIT;

/// A circle that has no end.
pub(super) struct Endless {
    /// The situation where it begins.
    pub(super) at: usize,
    /// One round of it.
    pub(super) round: Vec<Taken>,
    /// No event on it leads to an end of the flight.
    pub(super) hopeless: bool,
}

/// The circle without a wait that is reached and gone round in the fewest turns, hopeless ones
/// before others. If there is none, a circle that takes more turns than its waits allow.
pub(super) fn find(graph: &Graph) -> Option<Endless> {
    let never_waits = |at: usize| graph.nodes[at].state.pending != Pending::Wait;
    let circling = on_circles(graph, &never_waits);
    let hopeless = hopeless(graph);
    let rounds = circling.iter().enumerate().filter(|(_, circling)| **circling);
    let rounds = rounds.filter_map(|(at, _)| Some((at, shortest_round(graph, at, &circling)?)));
    let least = rounds.min_by_key(|(at, round)| {
        (!hopeless[*at], graph.nodes[*at].turns as usize + round.len(), *at)
    });
    let (at, round) = least.or_else(|| wasteful_round(graph))?;
    Some(Endless { at, round, hopeless: hopeless[at] })
}

/// The situations that lie on a circle, or on a way from one circle to another: what is left when
/// every situation is removed that no other one leads to or that leads to no other one.
fn on_circles(graph: &Graph, among: &dyn Fn(usize) -> bool) -> Vec<bool> {
    let mut left: Vec<bool> = (0..graph.nodes.len()).map(among).collect();
    let before = before(graph);
    let leads = |left: &[bool], at: usize| {
        let on = graph.nodes[at].next.iter().any(|edge| left[edge.to]);
        on && before[at].iter().any(|from| left[*from])
    };
    let mut suspects: Vec<usize> = (0..left.len()).collect();
    while let Some(at) = suspects.pop() {
        if left[at] && !leads(&left, at) {
            left[at] = false;
            suspects.extend(graph.nodes[at].next.iter().map(|edge| edge.to));
            suspects.extend(&before[at]);
        }
    }
    left
}

/// The situations from which no end can be reached.
fn hopeless(graph: &Graph) -> Vec<bool> {
    let before = before(graph);
    let mut hopeless: Vec<bool> = graph.nodes.iter().map(|node| !node.may_end).collect();
    let mut ends: Vec<usize> = (0..hopeless.len()).filter(|at| !hopeless[*at]).collect();
    while let Some(at) = ends.pop() {
        for &from in &before[at] {
            if std::mem::take(&mut hopeless[from]) {
                ends.push(from);
            }
        }
    }
    hopeless
}

fn before(graph: &Graph) -> Vec<Vec<usize>> {
    let mut before = vec![Vec::new(); graph.nodes.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        for edge in &node.next {
            before[edge.to].push(at);
        }
    }
    before
}

/// The shortest way from a situation back to itself.
fn shortest_round(graph: &Graph, start: usize, among: &[bool]) -> Option<Vec<Taken>> {
    let mut from: Vec<Option<(usize, Edge)>> = vec![None; graph.nodes.len()];
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for edge in graph.nodes[at].next.iter().filter(|edge| among[edge.to]) {
            if from[edge.to].is_none() {
                from[edge.to] = Some((at, *edge));
                if edge.to == start {
                    return Some(back(&from, start, start));
                }
                open.push_back(edge.to);
            }
        }
    }
    None
}

/// A circle with more turns than its waits allow (Bellman-Ford): without such a circle, the balance
/// of turns stops growing after as many steps as there are situations.
fn wasteful_round(graph: &Graph) -> Option<(usize, Vec<Taken>)> {
    let circling = on_circles(graph, &|_| true);
    let count = circling.iter().filter(|circling| **circling).count();
    let mut balance = vec![0_i64; graph.nodes.len()];
    let mut from: Vec<Option<(usize, Edge)>> = vec![None; graph.nodes.len()];
    let mut grown = None;
    for _ in 0..=count {
        grown = None;
        for at in (0..graph.nodes.len()).filter(|at| circling[*at]) {
            for edge in graph.nodes[at].next.iter().filter(|edge| circling[edge.to]) {
                let waits = graph.nodes[edge.to].state.pending == Pending::Wait;
                let paid = if waits { i64::from(TURNS_PER_WAIT) } else { 0 };
                let after = balance[at] + 1 - paid;
                if after > balance[edge.to] {
                    balance[edge.to] = after;
                    from[edge.to] = Some((at, *edge));
                    grown = Some(edge.to);
                }
            }
        }
        grown?;
    }
    // As many steps back as there are situations lead into the circle itself.
    let mut at = grown?;
    for _ in 0..count {
        at = from[at]?.0;
    }
    Some((at, back(&from, at, at)))
}

/// The turns from `start` to `end`, found by going back from `end`.
fn back(from: &[Option<(usize, Edge)>], start: usize, end: usize) -> Vec<Taken> {
    let mut way = Vec::new();
    let mut at = end;
    while let Some((before, edge)) = from[at] {
        way.push(edge.taken);
        at = before;
        if at == start {
            break;
        }
    }
    way.reverse();
    way
}
