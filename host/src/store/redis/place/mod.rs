//! The place where connections lead: an address, or the name of a primary that sentinels know.

mod replies;
mod sentinels;
mod url;

use std::sync::Arc;

use redis::ConnectionInfo;

use super::cluster::Membership;
use super::unavailable;
use crate::store::{Replicas, StoreError};
use sentinels::Sentinels;
pub(super) use sentinels::Survey;
use url::StoreTarget;

/// A place is asked for an address whenever a connection is opened, and twice a second to confirm the one in
/// use.
pub(super) enum StorePlace {
    /// An address that the configuration names.
    Address(Box<ConnectionInfo>),
    /// The primary of a name, wherever most sentinels say that it is.
    Named(Arc<Sentinels>),
    /// One node of a cluster.
    Member(Box<ConnectionInfo>, Membership),
}

impl StorePlace {
    /// The place that a URL names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason if the URL can never work.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        Ok(match StoreTarget::parse(url)? {
            StoreTarget::Address(to) => Self::Address(to),
            StoreTarget::Named(named) => Self::Named(Arc::new(Sentinels::new(named))),
        })
    }

    /// Where a connection leads that is opened now.
    ///
    /// # Errors
    /// The reason, if no majority of all sentinels names an address.
    pub(super) async fn leads_to(&self) -> Result<ConnectionInfo, String> {
        match self {
            Self::Address(to) | Self::Member(to, _) => Ok((**to).clone()),
            Self::Named(sentinels) => sentinels.leads_to().await,
        }
    }

    /// What the replicas of a node mean that was reached through this place. A silent replica ends no trust
    /// where sentinels judge: they name the one that was promoted before any host uses it.
    pub(super) fn judged(&self, shown: Replicas) -> Replicas {
        match self {
            Self::Address(_) => shown,
            Self::Named(_) | Self::Member(..) => Replicas::Supervised,
        }
    }

    /// The node's part in its cluster; `None` if it has none.
    pub(super) fn membership(&self) -> Option<&Membership> {
        match self {
            Self::Address(_) | Self::Named(_) => None,
            Self::Member(_, membership) => Some(membership),
        }
    }

    pub(super) fn is_member(&self) -> bool {
        self.membership().is_some()
    }

    /// What the sentinels say; `None` if there are none.
    pub(super) async fn survey(&self) -> Option<Survey> {
        match self {
            Self::Address(_) | Self::Member(..) => None,
            Self::Named(sentinels) => Some(sentinels.survey().await),
        }
    }
}
