//! How many connections the process can have: each is an open file, and what else the host opens has
//! to find room beside them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a host has open beside its clients, its origin's connections not counted: those of the
/// store, listeners, watched files, a component that is compiled.
const OWN: usize = 64;

/// What the admin face gets: its clients are few, and have to get through when those of the front are
/// many.
const ADMIN: usize = 64;

/// Where connections are few, the admin face gets one in this many.
const ADMIN_PART: usize = 4;

/// The fewest connections of a face: fewer could not serve a browser and a scraper side by side.
const LEAST: usize = 8;

/// How many connections the two faces may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionShare {
    /// Of the face for reads and writes.
    pub front: usize,
    /// Of the admin face.
    pub admin: usize,
}

/// Shares out what this process may open, of which `reserved` are for the origin's connections.
/// `wanted`: of the front, when there is enough.
#[must_use]
pub fn shares(wanted: usize, reserved: usize) -> ConnectionShare {
    let open = raised();
    let share = shared(open, wanted, reserved);
    if share.front < wanted {
        tracing::warn!(
            max_connections = wanted,
            served = share.front,
            "this process may open {open} files, so fewer connections are served at once; raise its \
             limit (ulimit -n, LimitNOFILE=)"
        );
    }
    share
}

fn shared(open: usize, wanted: usize, reserved: usize) -> ConnectionShare {
    let free = open.saturating_sub(OWN + reserved);
    let admin = (free / ADMIN_PART).clamp(LEAST, ADMIN);
    let front = free.saturating_sub(admin).max(LEAST).min(wanted);
    ConnectionShare { front, admin }
}

/// The limit on open files, raised as far as the process may.
fn raised() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    // Some systems name a maximum that they do not grant.
    let open = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    open.map_or(usize::MAX, |open| usize::try_from(open).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_may_open_is_shared_out_with_room_for_the_rest() {
        for (open, front, admin) in
            [(1 << 20, 10_000, 64), (1024, 1024 - 104 - 64, 64), (256, 114, 38), (64, 8, 8)]
        {
            let share = ConnectionShare { front, admin };
            assert_eq!(shared(open, 10_000, 40), share, "of {open}");
        }
    }
}
