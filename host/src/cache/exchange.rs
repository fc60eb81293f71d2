//! Definitions that come and go with a configuration, while reads go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::policy::Generation;

use super::{Cache, Definition};

/// How long others have to learn of new names, and a beat for publishing them. A store that is away keeps
/// nobody from serving another configuration: nothing is filled then before its names are published.
const WELCOMED_WITHIN: Duration = Duration::from_millis(2_500);

/// A naming that only waits for others becomes ready without a word.
const LOOK: Duration = Duration::from_millis(50);

impl Cache {
    /// Uses these definitions beside those in use, and returns when what is loaded for them can be stored, or
    /// soon after that is seen to take too long.
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

    /// From now on loads of an entity leave places for those of others; or there are no others.
    pub fn share_loads(&self, is_shared: bool) {
        self.loads.share(is_shared);
    }

    /// Uses these definitions beside those in use; nothing is filled under them before they are published.
    pub fn join(&self, definitions: &[Arc<Definition>]) {
        self.stamps.join(definitions);
        self.trust.hurry();
    }

    /// From now on reads and writes of these definitions are decided by this generation.
    pub fn leave_with(&self, definitions: &[Arc<Definition>], last: &Arc<Generation>) {
        definitions.iter().for_each(|definition| definition.leave_with(last));
    }

    /// Uses these definitions no more, but for what has begun.
    pub fn dismiss(&self, definitions: &[Arc<Definition>]) {
        self.stamps.leave(definitions);
    }
}
