//! Exchanges the definitions of one configuration for those of another while reads go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::policy::Generation;

use super::{Cache, Definition};

/// How long [`Cache::welcome`] waits at most: a beat to publish new namings, and the time in which other
/// hosts learn them. A store that can't be reached must not keep a host from serving another configuration;
/// nothing is filled then before its namings are published.
const WELCOMED_WITHIN: Duration = Duration::from_millis(2_500);

/// How often [`Cache::welcome`] looks again: a naming that waits for other hosts becomes ready without a
/// notification.
const LOOK: Duration = Duration::from_millis(50);

impl Cache {
    /// Adds these definitions to those in use, and returns once what is loaded for them can be stored, or
    /// after two and a half seconds.
    pub async fn welcome(&self, definitions: &[Arc<Definition>]) {
        self.join(definitions);
        let policy = self.slot.peek().policy_id();
        let filled = async {
            loop {
                let changed = self.stamps.changed();
                if self.stamps.is_filled(policy, self.clock.now()) {
                    return;
                }
                let _either = timeout(LOOK, changed).await;
            }
        };
        let _in_time = timeout(WELCOMED_WITHIN, filled).await;
    }

    /// Whether each entity leaves places for the loads of others from now on; `false` where one entity is
    /// alone.
    pub fn share_loads(&self, is_shared: bool) {
        self.loads.share(is_shared);
    }

    /// Adds these definitions to those in use; nothing is filled under them before they are published.
    pub fn join(&self, definitions: &[Arc<Definition>]) {
        self.stamps.join(definitions);
        self.nodes.hurry();
    }

    /// From now on this generation decides the reads and writes of these definitions.
    pub fn leave_with(&self, definitions: &[Arc<Definition>], last: &Arc<Generation>) {
        definitions.iter().for_each(|definition| definition.leave_with(last));
    }

    /// Takes these definitions out of use; requests that began under them end under them.
    pub fn dismiss(&self, definitions: &[Arc<Definition>]) {
        self.stamps.leave(definitions);
    }
}
