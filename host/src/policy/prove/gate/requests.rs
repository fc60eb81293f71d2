//! Requests that a naming gets wrong first: separators, nulls, escapes, lengths, look-alikes.

use crate::policy::prove::{OTHER_TTL_MS, USUAL_TTL_MS};
use crate::policy::{Argument, Entity, Query, Request, Subject};

/// Values that a careless naming confuses with each other, or can't put into a key at all.
pub(super) const VALUES: [Option<&str>; 36] = [
    None,
    Some(""),
    Some("~"),
    Some("null"),
    Some("-"),
    Some("_"),
    Some("42"),
    Some("042"),
    Some("42 "),
    Some("-42"),
    Some("42:admin"),
    Some(":"),
    Some("::"),
    Some("42:"),
    Some(":42"),
    Some("%"),
    Some("%3A"),
    Some("%3a"),
    Some("%253A"),
    Some("%7E"),
    Some("a b"),
    Some("A"),
    Some("a"),
    Some("{x}"),
    Some("}"),
    Some("a,b"),
    Some("a=b&c"),
    Some("\n"),
    Some("\r\n"),
    Some("\0"),
    Some("\u{7f}"),
    Some("\u{85}"),
    Some("\u{e9}"),
    Some("e\u{301}"),
    Some("😀"),
    Some("\\"),
];

/// Those of them that can be shifted from one parameter into the next.
const SHIFTING: [Option<&str>; 8] =
    [None, Some(""), Some("~"), Some(":"), Some("a"), Some("a:"), Some(":a"), Some("a:~")];

/// Lengths around the limit of a key, and one far beyond it; two values of each that differ in
/// their last character.
const LENGTHS: [usize; 5] = [200, 500, 512, 513, 10_000];

/// The value of a parameter while another one is varied.
const USUAL: &str = "7";

/// All requests for one entity, none twice.
pub(super) fn requests(entity: &Entity) -> Vec<Request> {
    let long = long_values();
    let values: Vec<Option<&str>> =
        VALUES.into_iter().chain(long.iter().map(|value| Some(value.as_str()))).collect();
    let mut rows: Vec<Vec<Option<&str>>> = vec![vec![Some(USUAL); entity.parameters.len()]];
    for at in 0..entity.parameters.len() {
        rows.extend(values.iter().map(|&value| with(entity, &[(at, value)])));
    }
    for at in 1..entity.parameters.len() {
        for left in SHIFTING {
            for right in SHIFTING {
                rows.push(with(entity, &[(at - 1, left), (at, right)]));
            }
        }
    }
    rows.sort_unstable();
    rows.dedup();
    rows.into_iter().map(|values| entity.request(&values)).collect()
}

/// Ad-hoc queries, none twice: statements, lifetimes and tags that differ in little, and arguments
/// that can be shifted from one parameter into the next.
pub(super) fn queries() -> Vec<Request> {
    const STATEMENTS: [&str; 3] = ["SELECT $1, $2", "select $1, $2", "SELECT $1,  $2"];
    /// A value that is kept for longer, or that another tag removes, does not answer the query.
    const KEPT: [(u32, &[&str]); 4] = [
        (OTHER_TTL_MS, &[]),
        (USUAL_TTL_MS, &["a"]),
        (USUAL_TTL_MS, &["b"]),
        (OTHER_TTL_MS, &["a", "b"]),
    ];
    let argument = |name: &str, value: Option<&str>| Argument {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let kept = |sql: &str, ttl_ms, tags: &[&str], arguments| {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let query = Query { sql: sql.to_owned(), ttl_ms, tags };
        Request { subject: Subject::Query(query), arguments }
    };
    let query = |sql: &str, arguments| kept(sql, USUAL_TTL_MS, &[], arguments);
    let mut queries = Vec::new();
    for (ttl_ms, tags) in KEPT {
        queries.push(kept(STATEMENTS[0], ttl_ms, tags, Vec::new()));
    }
    for sql in STATEMENTS {
        queries.push(query(sql, Vec::new()));
        for left in SHIFTING {
            queries.push(query(sql, vec![argument("001", left)]));
            let both = |right| vec![argument("001", left), argument("002", right)];
            queries.extend(SHIFTING.iter().map(|&right| query(sql, both(right))));
        }
    }
    queries
}

/// The same request with its arguments in another order.
pub(super) fn reordered(request: &Request) -> Request {
    let mut reordered = request.clone();
    reordered.arguments.reverse();
    reordered
}

/// A request as a report spells it: `user.profile(id="42:admin")`.
pub(super) fn shown(request: &Request) -> String {
    let arguments = shown_arguments(&request.arguments);
    match &request.subject {
        Subject::Entity(name) => format!("{name}({arguments})"),
        Subject::Query(Query { sql, ttl_ms: USUAL_TTL_MS, tags }) if tags.is_empty() => {
            format!("{sql}({arguments})")
        }
        Subject::Query(Query { sql, ttl_ms, tags }) => {
            format!("{sql}({arguments}), for {ttl_ms} ms, with the tags {tags:?}")
        }
    }
}

/// `id="42:admin", day=null`
pub(super) fn shown_arguments(arguments: &[Argument]) -> String {
    arguments.iter().map(shown_argument).collect::<Vec<_>>().join(", ")
}

fn shown_argument(argument: &Argument) -> String {
    /// A longer value is shown by its length and its last characters.
    const SHOWN: usize = 40;
    match &argument.value {
        None => format!("{}=null", argument.name),
        Some(value) if value.len() <= SHOWN => format!("{}={value:?}", argument.name),
        Some(value) => {
            let tail = value.len() - 3;
            let tail = value.get(tail..).unwrap_or("");
            format!("{}=… {} bytes, ending in {tail:?}", argument.name, value.len())
        }
    }
}

fn long_values() -> Vec<String> {
    LENGTHS.iter().flat_map(|&length| ["x", "y"].map(|end| "x".repeat(length - 1) + end)).collect()
}

fn with<'a>(entity: &Entity, varied: &[(usize, Option<&'a str>)]) -> Vec<Option<&'a str>> {
    let mut values: Vec<Option<&'a str>> = vec![Some(USUAL); entity.parameters.len()];
    for &(at, value) in varied {
        values[at] = value;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_is_asked_for_a_few_hundred_different_reads_at_most() {
        for (params, at_least) in [(0, 1), (1, 40), (2, 150), (3, 250)] {
            let requests = requests(&shape(params));
            assert!((at_least..600).contains(&requests.len()), "{params}: {}", requests.len());
            let mut shown: Vec<String> = requests.iter().map(|r| format!("{r:?}")).collect();
            shown.sort();
            shown.dedup();
            assert_eq!(shown.len(), requests.len());
        }
    }

    #[test]
    fn no_query_asks_for_a_lifetime_that_the_contract_forbids() {
        let queries = queries();
        let mut texts: Vec<String> = queries.iter().map(shown).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), queries.len());
        for query in queries {
            let Subject::Query(Query { ttl_ms, .. }) = query.subject else { panic!("{query:?}") };
            assert!((1..=2_592_000_000).contains(&ttl_ms), "{ttl_ms}");
        }
    }

    #[test]
    fn a_request_is_shown_as_one_writes_it() {
        let values = [Some("42:admin"), None, Some("\n")];
        let shown = shown(&shape(3).request(&values));
        assert_eq!(shown, r#"e(p0="42:admin", p1=null, p2="\n")"#);
    }

    fn shape(params: usize) -> Entity {
        Entity::of("e", &["p0", "p1", "p2"][..params])
    }
}
