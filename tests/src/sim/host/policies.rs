//! The policies of a schedule: the default one under some naming, or one whose keys collide.

use std::sync::Arc;

use corral_host::policy::{
    self, Decider, Event, Memo, Moment, Plan, Refusal, Request, Row, Target, Trap, Turn,
};

use crate::native::{Native, named};
use crate::sim::world::World;

/// The policy of this naming.
#[expect(clippy::expect_used, reason = "a schedule whose settings are wrong proves nothing")]
pub(super) fn policy(world: &Arc<World>, naming: u32) -> policy::NativePolicy {
    let configuration = world.climate.configuration(naming);
    let policy = Native::try_new(&configuration).expect("what the policy accepts");
    if world.climate.collides {
        return named(Arc::new(Colliding(policy)), configuration);
    }
    named(Arc::new(policy), configuration)
}

/// A policy that gives the first two rows of every entity one key.
struct Colliding(Native);

impl Decider for Colliding {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        let own = self.0.plan(request)?;
        let mut alike = request.clone();
        for argument in &mut alike.arguments {
            if argument.value.as_deref() == Some("1") {
                argument.value = Some("0".to_owned());
            }
        }
        let shared = self.0.plan(&alike)?;
        Ok(own.and_then(|own| Ok(Plan { key: shared?.key, ..own })))
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.0.row_tags(request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.0.step(memo, moment, event)
    }

    fn invalidate(&self, change: &policy::Change) -> Result<Vec<Target>, Trap> {
        self.0.invalidate(change)
    }
}
