//! What one node of a cluster says of all nodes: the text of `CLUSTER NODES`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A node's id in its cluster, which it keeps for its whole life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MemberId(Arc<str>);

impl MemberId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MemberId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

/// A node's address: host and port.
pub(super) type MemberAddress = (String, u16);

/// A node as another one, or the node itself, sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenNode {
    pub(super) address: MemberAddress,
    /// The primary whose replica the node is; `None` if it is a primary.
    pub(super) follows: Option<MemberId>,
    /// Whether the node is taken for dead, by all or by the one that was asked.
    pub(super) is_failing: bool,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

impl SeenNode {
    pub(super) fn is_primary(&self) -> bool {
        self.follows.is_none()
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|slots| slots.contains(&slot))
    }
}

/// What one node says of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// The node that was asked.
    pub(super) of: MemberId,
    pub(super) nodes: BTreeMap<MemberId, SeenNode>,
}

impl View {
    /// Reads the answer of the node at `asked`; `None` if it does not say which node was asked. Lines that are no
    /// nodes, and nodes that are not yet or no longer part of the cluster, are left out.
    pub(super) fn read(text: &str, asked: &MemberAddress) -> Option<Self> {
        let (mut of, mut nodes) = (None, BTreeMap::new());
        for (id, flags, seen) in text.lines().filter_map(|line| read_line(line, asked)) {
            if flags.contains(&"myself") {
                of = Some(id.clone());
            }
            nodes.insert(id, seen);
        }
        Some(Self { of: of?, nodes })
    }

    /// The node that was asked, as it sees itself.
    pub(super) fn itself(&self) -> Option<&SeenNode> {
        self.nodes.get(&self.of)
    }
}

/// Reads `id ip:port@bus[,name] flags primary ping pong epoch link slot…`.
fn read_line<'l>(
    line: &'l str,
    asked: &MemberAddress,
) -> Option<(MemberId, Vec<&'l str>, SeenNode)> {
    let mut words = line.split(' ');
    let (id, address, flags) = (words.next()?, words.next()?, words.next()?);
    let primary = words.next()?;
    let flags: Vec<&str> = flags.split(',').collect();
    if flags.iter().any(|flag| matches!(*flag, "handshake" | "noaddr")) {
        return None;
    }
    // Behind the primary follow ping, pong, epoch and the state of the link.
    let slots = words.skip(4).filter_map(read_slots).collect();
    let seen = SeenNode {
        address: read_address(address, asked)?,
        follows: flags.contains(&"slave").then(|| primary.into()),
        is_failing: flags.iter().any(|flag| matches!(*flag, "fail" | "fail?")),
        slots,
    };
    Some((id.into(), flags, seen))
}

/// An address without a host means the one that was asked.
fn read_address(text: &str, asked: &MemberAddress) -> Option<MemberAddress> {
    let (address, _bus) = text.split_once('@').unwrap_or((text, ""));
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { asked.0.clone() } else { host.to_owned() };
    Some((host, port.parse().ok()?))
}

/// `7` or `7-9`; a slot on its way (`[7->-id]`) is none.
fn read_slots(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
aa 127.0.0.1:7000@17000 master - 0 1700000000000 2 connected 0-99 200
bb :7001@17001,name.example myself,master - 0 0 3 connected 100-199 [7->-aa]
cc ::1:7002@17002 slave,fail? bb 0 1700000000000 3 disconnected
dd 127.0.0.1:7003@17003 master,fail - 1 2 1 disconnected
ee :0@0 master,noaddr - 1 2 1 disconnected
ff 127.0.0.1:7005@17005 handshake - 0 0 0 disconnected
";

    #[test]
    fn every_node_is_read_with_its_slots_and_what_is_thought_of_it() {
        let view = View::read(TEXT, &("here".to_owned(), 7001)).unwrap();
        assert_eq!(view.of, "bb".into());
        assert_eq!(view.nodes.len(), 4);
        let seen = |id: &str| &view.nodes[&id.into()];
        assert_eq!(seen("aa").slots, [0..=99, 200..=200]);
        assert!(seen("aa").has(200) && !seen("aa").has(100) && seen("aa").is_primary());
        assert_eq!(view.itself().unwrap().address, ("here".to_owned(), 7001));
        assert_eq!(view.itself().unwrap().slots, [100..=199], "what is on its way is not there");
        assert_eq!(seen("cc").address, ("::1".to_owned(), 7002));
        assert_eq!(seen("cc").follows, Some("bb".into()));
        assert_eq!(["aa", "cc", "dd"].map(|id| seen(id).is_failing), [false, true, true]);
    }

    #[test]
    fn what_does_not_say_whom_was_asked_is_no_view() {
        let asked = ("h".to_owned(), 1);
        for text in ["", "x", "aa 127.0.0.1:7000@17000 master - 0 0 2 connected 0-99\n"] {
            assert_eq!(View::read(text, &asked), None);
        }
    }
}
