//! What must be known before values of a range are believed: floors, and the namings in use.
//!
//! A single node is one range. A host publishes its namings before it fills under them, and makes the
//! names that an invalidation removes from the namings of all hosts (race J).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Epoch, FleetCard};
use crate::name::{Digest, PolicyId};

/// The values that a floor covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FloorScope {
    /// Every value of the deployment.
    Everything,
    /// The values of one definition of an entity, as one policy names them.
    Naming(Digest, PolicyId),
}

/// How long a naming stays in use at most after a host used it last. Values that live longer are not believed
/// afterwards: a naming that comes back begins cold.
const IN_USE_AT_MOST: Duration = Duration::from_secs(3600);

/// What turns arguments into names: an entity's definition and a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The definition.
    pub digest: Digest,
    /// The policy.
    pub policy: PolicyId,
    /// The entity's name.
    pub entity: String,
    /// The entity's parameters with their types, in order: `id:int8`.
    pub params: Vec<String>,
    /// How long the naming is in use after a host used it last, in ms; at most an hour counts.
    pub lasts_ms: u64,
    /// The entity's deadline, in ms.
    pub deadline_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct NamingText {
    entity: String,
    params: Vec<String>,
    lasts_ms: u64,
    deadline_ms: u64,
}

impl Naming {
    /// The scope of the naming's floor.
    #[must_use]
    pub fn scope(&self) -> FloorScope {
        FloorScope::Naming(self.digest.clone(), self.policy)
    }

    /// How long the naming is in use after a host used it last, in ms, an hour at most.
    #[must_use]
    pub fn in_use_ms(&self) -> u64 {
        self.lasts_ms.min(IN_USE_AT_MOST.as_millis() as u64)
    }

    /// The naming's content in the store, as JSON.
    pub(super) fn encode(&self) -> String {
        let Self { entity, params, lasts_ms, deadline_ms, .. } = self.clone();
        let text = NamingText { entity, params, lasts_ms, deadline_ms };
        // Can't fail: texts and numbers have JSON.
        serde_json::to_string(&text).unwrap_or_default()
    }

    fn decode(digest: Digest, policy: PolicyId, text: &str) -> Option<Self> {
        let NamingText { entity, params, lasts_ms, deadline_ms } =
            serde_json::from_str(text).ok()?;
        Some(Self { digest, policy, entity, params, lasts_ms, deadline_ms })
    }
}

/// The content of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Another number after every change; 0 if the range is empty.
    pub version: u64,
    /// The node's clock when the range was read, in ms since the Unix epoch.
    pub now_ms: u64,
    /// The floors.
    pub floors: BTreeMap<FloorScope, u64>,
    /// The namings in use.
    pub namings: Vec<Naming>,
    /// The namings in use that every host knows: each was noted as known under the floor that it has now.
    /// Empty while the range may have lost a naming that a host still uses.
    pub known: BTreeSet<FloorScope>,
    /// Epochs that were watched for as long as their fence lasts.
    pub watched: Vec<Epoch>,
    /// Namings of the caller that were not in use when [`Store::publish`](super::Store::publish) wrote them.
    pub new: Vec<FloorScope>,
    /// Whether [`Store::publish`](super::Store::publish) found an empty range: the store is new, or was
    /// emptied.
    pub was_empty: bool,
}

/// The fields of a range's hash.
pub(super) const VERSION: &str = "version";
pub(super) const FLOOR: &str = "floor";
const NAMING: &str = "naming";
const WATCHED: &str = "watched";
const KNOWN: &str = "known";

impl FloorScope {
    /// `floor` or `floor:digest:policy`.
    pub(super) fn floor_field(&self) -> String {
        match self {
            Self::Everything => FLOOR.to_owned(),
            Self::Naming(digest, policy) => format!("{FLOOR}:{digest}:{policy}"),
        }
    }

    /// `naming:digest:policy`; for everything, the version's field, which is no naming's.
    pub(super) fn naming_field(&self) -> String {
        match self {
            Self::Everything => VERSION.to_owned(),
            Self::Naming(digest, policy) => format!("{NAMING}:{digest}:{policy}"),
        }
    }

    /// `known:digest:policy`; for everything, the version's field, which is no naming's.
    pub(super) fn known_field(&self) -> String {
        match self {
            Self::Everything => VERSION.to_owned(),
            Self::Naming(digest, policy) => format!("{KNOWN}:{digest}:{policy}"),
        }
    }

    fn read(digest: &str, policy: &str) -> Option<(Digest, PolicyId)> {
        Some((Digest::read(digest)?, PolicyId::read(policy)?))
    }
}

/// The field that says that an epoch was watched.
pub(super) fn watched_field(epoch: Epoch) -> String {
    format!("{WATCHED}:{:016x}", epoch.0)
}

impl Range {
    /// Reads the fields of a range's hash. A field that can't be read counts as missing: without its floor, a
    /// value is not believed, and without the naming, this host makes no names under it.
    pub(super) fn read<'a>(
        now_ms: u64,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut range = Self { now_ms, ..Self::default() };
        let mut noted = Vec::new();
        for (field, value) in fields {
            range.take(field, value, &mut noted);
        }
        let is_under_its_floor =
            |(scope, floor): &(FloorScope, u64)| range.floors.get(scope) == Some(floor);
        range.known =
            noted.into_iter().filter(is_under_its_floor).map(|(scope, _)| scope).collect();
        range
    }

    fn take(&mut self, field: &str, value: &str, noted: &mut Vec<(FloorScope, u64)>) {
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let parts: Vec<&str> = field.split(':').collect();
        match parts[..] {
            [VERSION] => self.version = hex(value).unwrap_or_default(),
            [FLOOR] => self.floors.extend(hex(value).map(|floor| (FloorScope::Everything, floor))),
            [FLOOR, digest, policy] => {
                if let (Some((digest, policy)), Some(floor)) =
                    (FloorScope::read(digest, policy), hex(value))
                {
                    self.floors.insert(FloorScope::Naming(digest, policy), floor);
                }
            }
            [NAMING, digest, policy] => self.namings.extend(self.naming(digest, policy, value)),
            [KNOWN, digest, policy] => {
                let scope = FloorScope::read(digest, policy).map(|(d, p)| FloorScope::Naming(d, p));
                noted.extend(scope.zip(hex(value)));
            }
            [WATCHED, epoch] => self.watched.extend(hex(epoch).map(Epoch)),
            _ => {}
        }
    }

    /// Reads `used-at in-use-for json`; `None` if the naming is no longer in use.
    fn naming(&self, digest: &str, policy: &str, value: &str) -> Option<Naming> {
        let (digest, policy) = FloorScope::read(digest, policy)?;
        let mut parts = value.splitn(3, ' ');
        let used_ms: u64 = parts.next()?.parse().ok()?;
        let lasts_ms: u64 = parts.next()?.parse().ok()?;
        let naming = Naming::decode(digest, policy, parts.next()?)?;
        (self.now_ms <= used_ms.saturating_add(lasts_ms)).then_some(naming)
    }

    /// The longest deadline that any naming in use has.
    #[must_use]
    pub fn longest_deadline(&self) -> Duration {
        let longest_ms = self.namings.iter().map(|naming| naming.deadline_ms).max();
        Duration::from_millis(longest_ms.unwrap_or_default())
    }
}

/// The hosts that use a deployment's store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The hosts that are alive, with the caller.
    pub alive: Vec<HostCard>,
    /// Whether the caller was listed before.
    pub was_listed: bool,
    /// Whether no other host was listed within the last two hours, apart from hosts that left by
    /// [`Store::delist`](super::Store::delist). A step of the node's clock makes a live host look dead for
    /// less time than that.
    pub is_alone: bool,
}

/// A host that is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCard {
    /// A random id, new with every start.
    pub id: String,
    /// The number of the format that the host stores.
    pub format: u32,
    /// The host's release.
    pub version: String,
    /// The policy in force on the host.
    pub policy: String,
    /// What a host that takes part in rollouts adds; `None` if the host's release knows no rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetCard>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming() -> Naming {
        Naming {
            digest: Digest::of(["user"]),
            policy: PolicyId::of("component", "{}"),
            entity: "user".into(),
            params: vec!["id:int8".into()],
            lasts_ms: 5_000,
            deadline_ms: 2_000,
        }
    }

    fn fields(used_ms: u64) -> Vec<(String, String)> {
        let (naming, scope) = (naming(), naming().scope());
        vec![
            (VERSION.into(), "2a".into()),
            (FloorScope::Everything.floor_field(), "1".into()),
            (scope.floor_field(), "ff".into()),
            (scope.naming_field(), format!("{used_ms} {} {}", naming.in_use_ms(), naming.encode())),
            (watched_field(Epoch(7)), "1".into()),
            (scope.known_field(), "ff".into()),
            ("something:else".into(), "x".into()),
        ]
    }

    fn read(now_ms: u64, fields: &[(String, String)]) -> Range {
        Range::read(now_ms, fields.iter().map(|(field, value)| (field.as_str(), value.as_str())))
    }

    #[test]
    fn what_is_written_is_read_back_and_the_rest_is_left_alone() {
        let range = read(1_000, &fields(1_000));
        assert_eq!(range.version, 42);
        assert_eq!(range.floors[&FloorScope::Everything], 1);
        assert_eq!(range.floors[&naming().scope()], 255);
        assert_eq!(range.namings, [naming()]);
        assert_eq!(range.watched, [Epoch(7)]);
        assert_eq!(range.longest_deadline(), Duration::from_secs(2));
    }

    #[test]
    fn a_naming_is_in_use_for_the_lifetime_of_its_values_after_its_last_use() {
        assert_eq!(read(6_000, &fields(1_000)).namings.len(), 1);
        assert_eq!(read(6_001, &fields(1_000)).namings.len(), 0);
    }

    #[test]
    fn a_naming_is_known_only_under_the_floor_that_it_was_noted_with() {
        let mut fields = fields(1_000);
        assert_eq!(read(1_000, &fields).known, [naming().scope()].into());
        let known = naming().scope().known_field();
        fields.iter_mut().filter(|(field, _)| *field == known).for_each(|f| f.1 = "fe".into());
        assert!(read(1_000, &fields).known.is_empty());
    }

    #[test]
    fn policies_of_equal_component_and_settings_name_alike() {
        assert_eq!(PolicyId::of("a", "b"), PolicyId::of("a", "b"));
        assert_ne!(PolicyId::of("a", "b"), PolicyId::of("ab", ""));
        let policy = PolicyId::of("a", "b");
        assert_eq!(PolicyId::read(&policy.to_string()), Some(policy));
    }
}
