//! What a sentinel answers, and how the answers of several are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::store::redis::reply::Reply;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::redis) struct NodeAddress {
    /// A host's name, or an IP address without brackets.
    pub(in crate::store::redis) host: String,
    pub(in crate::store::redis) port: u16,
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The answers of one sentinel to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentinelAnswer {
    /// The sentinel's own id.
    pub(super) id: String,
    /// Where it says that the primary is; `None` if it knows no primary of that name.
    pub(super) primary: Option<NodeAddress>,
    /// The ids and addresses of the other sentinels that it knows.
    pub(super) others: Vec<(String, NodeAddress)>,
}

impl SentinelAnswer {
    /// Reads the replies to `SENTINEL MYID`, `GET-MASTER-ADDR-BY-NAME` and `SENTINELS`.
    ///
    /// # Errors
    /// The sentinel's own words, if it refuses to answer.
    pub(super) fn read([id, primary, others]: [Reply; 3]) -> Result<Self, String> {
        if let Reply::Error(error) = id {
            return Err(error);
        }
        let id = text(&id).ok_or("it does not answer as a sentinel does")?;
        let primary = match primary {
            Reply::Error(error) => return Err(error),
            Reply::List(words) => match words.as_slice() {
                [host, port] => node_address(host, port),
                _ => None,
            },
            Reply::Nothing | Reply::Value(_) | Reply::Word(_) | Reply::Number(_) => None,
        };
        let others = match others {
            Reply::List(others) => others.iter().filter_map(other).collect(),
            // A sentinel that does not know the name knows no sentinels of it either.
            Reply::Error(_) if primary.is_none() => Vec::new(),
            Reply::Error(error) => return Err(error),
            Reply::Nothing | Reply::Value(_) | Reply::Word(_) | Reply::Number(_) => Vec::new(),
        };
        Ok(Self { id, primary, others })
    }
}

fn other(fields: &Reply) -> Option<(String, NodeAddress)> {
    let Reply::List(fields) = fields else { return None };
    let field = |name: &str| {
        let mut pairs = fields.chunks_exact(2);
        pairs.find(|pair| text(&pair[0]).as_deref() == Some(name)).map(|pair| &pair[1])
    };
    let id = text(field("runid")?).filter(|id| !id.is_empty())?;
    Some((id, node_address(field("ip")?, field("port")?)?))
}

fn node_address(host: &Reply, port: &Reply) -> Option<NodeAddress> {
    let host = text(host).filter(|host| !host.is_empty())?;
    Some(NodeAddress { host, port: text(port)?.parse().ok()? })
}

fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Value(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Reply::Word(text) => Some(text.clone()),
        Reply::Nothing | Reply::Number(_) | Reply::List(_) | Reply::Error(_) => None,
    }
}

/// What the sentinels that have answered a question say. Each counts once, by its id, however many addresses
/// lead to it.
#[derive(Debug, Default)]
pub(super) struct Ballot {
    votes: BTreeMap<String, Option<NodeAddress>>,
    /// The addresses that brought no answer, with the reason.
    pub(super) silent: BTreeMap<NodeAddress, String>,
}

impl Ballot {
    pub(super) fn add(&mut self, answer: &SentinelAnswer) {
        self.votes.insert(answer.id.clone(), answer.primary.clone());
    }

    /// How many sentinels have answered.
    pub(super) fn answering(&self) -> usize {
        self.votes.len()
    }

    /// The address that most of those name that have answered, and how many do.
    pub(super) fn first(&self) -> Option<(&NodeAddress, usize)> {
        let named: BTreeSet<&NodeAddress> = self.votes.values().flatten().collect();
        let count = |address: &NodeAddress| {
            self.votes.values().filter(|vote| vote.as_ref() == Some(address)).count()
        };
        named.into_iter().map(|address| (address, count(address))).max_by_key(|(_, count)| *count)
    }

    /// The address that more than half of all sentinels name.
    pub(super) fn winner(&self, all: usize) -> Option<&NodeAddress> {
        self.first().filter(|(_, votes)| *votes >= majority(all)).map(|(address, _)| address)
    }
}

/// The least number that is more than half of all.
pub(super) fn majority(all: usize) -> usize {
    all / 2 + 1
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn value(text: &str) -> Reply {
        Reply::Value(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn at(port: u16) -> NodeAddress {
        NodeAddress { host: "h".to_owned(), port }
    }

    fn names(id: &str, port: u16) -> SentinelAnswer {
        SentinelAnswer { id: id.to_owned(), primary: Some(at(port)), others: Vec::new() }
    }

    #[test]
    fn an_answer_is_read_whatever_fields_it_has() {
        let primary = Reply::List(vec![value("h"), value("1")]);
        let words = ["name", "x", "ip", "::1", "port", "7", "runid", "b", "flags", "sentinel"];
        let other = Reply::List(words.map(value).into());
        // A sentinel that was heard of and not yet asked has no id.
        let nameless = Reply::List(["ip", "h", "port", "8", "runid", ""].map(value).into());
        let replies = [value("a"), primary, Reply::List(vec![other, nameless])];
        let answer = SentinelAnswer::read(replies).unwrap();
        let address = NodeAddress { host: "::1".to_owned(), port: 7 };
        assert_eq!(address.to_string(), "[::1]:7");
        let others = vec![("b".to_owned(), address)];
        assert_eq!(answer, SentinelAnswer { others, ..names("a", 1) });
    }

    #[test]
    fn a_sentinel_that_does_not_know_the_name_answers_and_names_nothing() {
        let unknown = Reply::Error("ERR No such master with that name".to_owned());
        let answer = SentinelAnswer::read([value("a"), Reply::Nothing, unknown]).unwrap();
        assert_eq!((answer.primary, answer.others), (None, Vec::new()));
    }

    #[test]
    fn a_sentinel_that_refuses_is_no_answer() {
        let refusal = || Reply::Error("NOPERM no".to_owned());
        for replies in [
            [refusal(), refusal(), refusal()],
            [value("a"), refusal(), refusal()],
            [value("a"), Reply::List(vec![value("h"), value("1")]), refusal()],
        ] {
            assert_eq!(SentinelAnswer::read(replies), Err("NOPERM no".to_owned()));
        }
    }

    #[test]
    fn more_than_half_of_all_have_to_name_one_address() {
        let mut ballot = Ballot::default();
        for (answer, winner_of_3, winner_of_4) in [
            (names("a", 1), None, None),
            (names("b", 2), None, None),
            // The same sentinel, reached through another address, counts once.
            (names("a", 1), None, None),
            (names("c", 1), Some(at(1)), None),
            (names("d", 1), Some(at(1)), Some(at(1))),
        ] {
            ballot.add(&answer);
            assert_eq!(ballot.winner(3), winner_of_3.as_ref(), "{answer:?}");
            assert_eq!(ballot.winner(4), winner_of_4.as_ref(), "{answer:?}");
        }
        assert_eq!((ballot.answering(), ballot.first()), (4, Some((&at(1), 3))));
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }
}
