//! What a server does when its memory is full, and what follows from it.

/// The eviction settings of a server with a memory limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Eviction {
    policy: String,
    limit_bytes: u64,
}

impl Eviction {
    /// Reads `INFO memory`; `None` if the server never evicts, or hides its settings.
    pub(super) fn read(info: &str) -> Option<Self> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let limit_bytes = field("maxmemory")?.parse().ok().filter(|limit| *limit > 0)?;
        Some(Self { policy: field("maxmemory_policy")?.to_owned(), limit_bytes })
    }

    /// Why the setting should be changed, and to what; `None` if it need not be.
    pub(super) fn complaint(&self) -> Option<String> {
        let why = match self.policy.as_str() {
            "noeviction" => "refuses writes when it is full: nothing new is cached any more",
            "volatile-ttl" => {
                "evicts what ends soonest, leases first: when it is full, fills are rejected"
            }
            "volatile-random" | "allkeys-random" => {
                "evicts the indexes of tags as readily as values: an invalidation of a tag then \
                 misses the values that carry it, for as long as they live"
            }
            _ => return None,
        };
        let policy = &self.policy;
        Some(format!(
            "its maxmemory-policy {policy} {why}; set allkeys-lfu, and enough memory that it seldom \
             evicts"
        ))
    }

    /// What may happen even under a setting that need not be changed.
    pub(super) fn note(&self) -> Option<String> {
        let Self { policy, limit_bytes } = self;
        self.complaint().is_none().then(|| {
            format!(
                "its maxmemory-policy {policy} may evict the index of a tag that is seldom used: an \
                 invalidation of the tag then misses the values that carry it, for as long as they live; \
                 give it enough memory that it never evicts (maxmemory is {limit_bytes} bytes)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &str) -> Option<Eviction> {
        Eviction::read(&format!("# Memory\r\nmaxmemory:1048576\r\nmaxmemory_policy:{policy}\r\n"))
    }

    #[test]
    fn a_server_without_a_limit_evicts_nothing() {
        assert_eq!(Eviction::read("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), None);
        assert_eq!(Eviction::read("redis_version:7.0.15\r\n"), None);
    }

    #[test]
    fn every_setting_has_one_sentence() {
        for policy in ["noeviction", "volatile-ttl", "volatile-random", "allkeys-random"] {
            let eviction = of(policy).unwrap();
            assert!(eviction.complaint().unwrap().contains("set allkeys-lfu"), "{policy}");
            assert_eq!(eviction.note(), None, "{policy}");
        }
        for policy in ["allkeys-lfu", "allkeys-lru", "volatile-lru", "volatile-lfu"] {
            let eviction = of(policy).unwrap();
            assert_eq!(eviction.complaint(), None, "{policy}");
            assert!(eviction.note().unwrap().contains("1048576 bytes"), "{policy}");
        }
    }
}
