//! The situations that a flight can come to, breadth first, so that the way to each is a shortest
//! one.

use std::collections::{HashMap, VecDeque};

use super::alphabet::{Alphabet, Pending};
use super::shown::{shown_action, shown_event};
use crate::policy::prove::gate::Move;
use crate::policy::run::guard::Spent;
use crate::policy::{Action, Event, Memo, Moment};

/// A situation: everything that the next turn depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Situation {
    pub(super) memo: Memo,
    pub(super) pending: Pending,
    /// The index of the moment in the alphabet; it never decreases.
    pub(super) moment: usize,
    /// The flight refreshes: no reader waits for it.
    pub(super) background: bool,
}

/// From one situation to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) to: usize,
    pub(super) taken: Taken,
}

/// A turn that the policy took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) moment: Moment,
    pub(super) event: Event,
    pub(super) action: Action,
}

#[derive(Debug)]
pub(super) struct GraphNode {
    pub(super) state: Situation,
    /// The turn that first led here; `None` where flights begin.
    from: Option<(usize, Taken)>,
    pub(super) turns: u32,
    pub(super) waits: u32,
    pub(super) next: Vec<Edge>,
    /// One of its turns ends the flight, or is not known.
    pub(super) may_end: bool,
}

/// Situations, numbered in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<GraphNode>,
    known: HashMap<Situation, usize>,
    open: VecDeque<usize>,
}

impl Graph {
    pub(super) fn beginning_with(memo: Memo) -> Self {
        let mut graph = Self::default();
        let state = Situation { memo, pending: Pending::Start, moment: 0, background: false };
        graph.find(state, None);
        graph
    }

    /// The next situation whose turns are not known; `None` if all are.
    pub(super) fn next_open(&mut self) -> Option<usize> {
        self.open.pop_front()
    }

    /// What a turn in this situation has used up, this turn included.
    pub(super) fn spent(&self, at: usize, left_ms: u32) -> Spent {
        let node = &self.nodes[at];
        Spent { turns: node.turns + 1, waits: node.waits, left_ms }
    }

    /// Notes a turn that the guard let pass.
    pub(super) fn take(&mut self, alphabet: &Alphabet, at: usize, to: Taken, next: Situation) {
        if let Some(pending) = Alphabet::carried_out(to.action) {
            let to_node = self.find(Situation { pending, ..next }, Some((at, to)));
            self.nodes[at].next.push(Edge { to: to_node, taken: to });
            return;
        }
        self.nodes[at].may_end = true;
        let begins = self.nodes[at].state.pending == Pending::Start;
        if begins && to.action == Action::AnswerAndRefresh
            // Only the first turn of a flight begins a refresh: a later one answers readers that
            // wait.
            && let Some(pending) = alphabet.refresh_of(to.event)
        {
            let refresh = Situation { pending, moment: 0, background: true, ..next };
            self.find(refresh, Some((at, to)));
        }
    }

    fn find(&mut self, state: Situation, from: Option<(usize, Taken)>) -> usize {
        if let Some(known) = self.known.get(&state) {
            return *known;
        }
        let begins = matches!(state.pending, Pending::Start | Pending::Refresh(_));
        let (turns, waits) = match from {
            Some((at, _)) if !begins => {
                let waits = u32::from(state.pending == Pending::Wait);
                (self.nodes[at].turns + 1, self.nodes[at].waits + waits)
            }
            Some(_) | None => (0, 0),
        };
        let at = self.nodes.len();
        self.nodes.push(GraphNode { state, from, turns, waits, next: Vec::new(), may_end: false });
        self.known.insert(state, at);
        self.open.push_back(at);
        at
    }

    /// The shortest way to a situation.
    pub(super) fn way_to(&self, at: usize) -> Vec<Taken> {
        let mut way = Vec::new();
        let mut node = &self.nodes[at];
        while let Some((before, taken)) = node.from {
            way.push(taken);
            node = &self.nodes[before];
        }
        way.reverse();
        way
    }
}

impl Taken {
    pub(super) fn shown(&self) -> Move {
        Move { event: shown_event(self.event, self.moment), action: shown_action(self.action) }
    }
}
