//! What can be asked of a candidate that has passed.

use std::sync::Arc;

use super::requests::requests;
use super::{Hot, HotRead, Passed};
use crate::policy::{Decider, Entity, Request};

/// Reads of each entity by which two namings are compared: the first ones that the gate examines.
const READS: usize = 48;

impl Passed {
    /// The same candidate once more, with instances of its own. Whether a candidate passes depends
    /// on the component, its settings and the entities, so the gate need not examine it twice. Hot
    /// reads change by the minute, so they are named again.
    #[must_use]
    pub fn again(&self, hot: &[HotRead]) -> Self {
        let report = super::Passport { hot: self.names(hot), ..self.report.clone() };
        Self { pool: Arc::new(self.pool.renewed()), report }
    }

    /// How many of these reads get another key. A read that the candidate refuses counts too, since
    /// it goes cold as well.
    #[must_use]
    pub fn names(&self, reads: &[HotRead]) -> Hot {
        let mut hot = Hot::default();
        for HotRead { request, key } in reads {
            if let Ok(answer) = self.pool.plan(request) {
                let becomes = answer.map_or_else(|_refusal| "refused".to_owned(), |plan| plan.key);
                hot.note(request, key.as_str(), becomes);
            }
        }
        hot
    }
}

/// Reads of every entity, by which namings can be compared if nothing is hot.
#[must_use]
pub fn sample(entities: &[Entity]) -> Vec<Request> {
    entities.iter().flat_map(|entity| requests(entity).into_iter().take(READS)).collect()
}
