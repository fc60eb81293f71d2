//! What is asked of a candidate that has passed.

use std::sync::Arc;

use super::requests::requests;
use super::{Hot, HotRead, Passed};
use crate::policy::{Entity, Policy, Request};

/// Reads of each entity by which two namings are compared: those that the gate itself begins with.
const READS: usize = 48;

impl Passed {
    /// The same candidate once more, with instances of its own. What passes the gate is a function
    /// of the component, its settings and the entities, so it need not be asked twice; what is hot
    /// changes by the minute, and is.
    #[must_use]
    pub fn again(&self, hot: &[HotRead]) -> Self {
        let report = super::Passport { hot: self.names(hot), ..self.report.clone() };
        Self { pool: Arc::new(self.pool.renewed()), report }
    }

    /// How many of these reads it gives another key. One that it refuses goes cold as well.
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

/// Reads of every entity, by which namings can be compared when nothing is hot.
#[must_use]
pub fn sample(entities: &[Entity]) -> Vec<Request> {
    entities.iter().flat_map(|entity| requests(entity).into_iter().take(READS)).collect()
}
