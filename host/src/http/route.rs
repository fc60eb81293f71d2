//! From a request to the function that answers it. Each face has a table: a `match` over the method and
//! the segments of the path. The rest is read off that table: `HEAD` is answered as `GET` is, a method
//! that a path does not take is told those that it takes, and a path that takes none does not exist.

use std::borrow::Cow;
use std::pin::Pin;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;

use super::Face;
use super::access::{self, AccessScope};
use super::answered::Answered;
use super::problem::Problem;

pub(super) const GET: Method = Method::GET;
pub(super) const POST: Method = Method::POST;
pub(super) const PUT: Method = Method::PUT;
pub(super) const DELETE: Method = Method::DELETE;

/// The methods that tables have, and what `Allow` says of a path that takes one.
const METHODS: [(Method, &str); 4] =
    [(GET, "GET, HEAD"), (POST, "POST"), (PUT, "PUT"), (DELETE, "DELETE")];

/// What a request brings to the function that answers it, beside the names in its path.
pub(super) struct HttpCall<'r> {
    pub(super) face: &'r Face,
    pub(super) headers: &'r HeaderMap,
    /// The query string as it was sent; empty if there is none.
    pub(super) query: &'r str,
    pub(super) body: Incoming,
}

impl HttpCall<'_> {
    /// Lets the request pass by the tokens that are in force, or says why not.
    pub(super) fn check(&self, scope: AccessScope) -> Result<(), Problem> {
        access::check(&self.face.corral.config(), scope, self.headers)
    }
}

/// The handlers of a face: `None` for a path that does not exist, and for one that does not take the method.
/// Segments are as they were sent, escapes included.
pub(super) type RouteTable = for<'r> fn(&Method, &'r [&'r str]) -> Option<Handler<'r>>;

/// What answers a call.
pub(super) type Handler<'r> = Box<dyn FnOnce(HttpCall<'r>) -> Answering<'r> + 'r>;

type Answering<'r> = Pin<Box<dyn Future<Output = Result<Answered, Problem>> + Send + 'r>>;

/// The handler that calls this function.
pub(super) fn to<'r, F>(function: impl FnOnce(HttpCall<'r>) -> F + 'r) -> Handler<'r>
where
    F: Future<Output = Result<Answered, Problem>> + Send + 'r,
{
    Box::new(|call| Box::pin(function(call)))
}

/// A segment without its escapes. `what` says what the segment names, for the problem's text.
///
/// # Errors
/// Its bytes are no UTF-8.
pub(super) fn decoded<'r>(what: &str, segment: &'r str) -> Result<Cow<'r, str>, Problem> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map_err(|_| Problem::malformed(format!("Invalid URL: Invalid UTF-8 in `{what}`")))
}

/// The answer to a request, by a face's table. It is not kept by caches unless it says otherwise.
pub(super) async fn answer(
    face: &Face,
    table: RouteTable,
    request: Request<Incoming>,
) -> Result<Answered, Problem> {
    let (head, body) = request.into_parts();
    let path = segments(head.uri.path()).ok_or_else(Problem::no_such_path)?;
    let method = if head.method == Method::HEAD { &GET } else { &head.method };
    let handler = table(method, &path).ok_or_else(|| refusal(table, &path))?;
    let query = head.uri.query().unwrap_or_default();
    let mut answer = handler(HttpCall { face, headers: &head.headers, query, body }).await?;
    let no_store = HeaderValue::from_static("no-store");
    answer.headers_mut().entry(CACHE_CONTROL).or_insert(no_store);
    Ok(answer)
}

/// What stands between the slashes of a path. `None` for a path that ends with one: `/healthz/` is not
/// `/healthz`, and no last name is empty.
fn segments(path: &str) -> Option<Vec<&str>> {
    let segments = path.strip_prefix('/')?.split('/');
    (!path.ends_with('/')).then(|| segments.collect())
}

/// Why the table has no handler: the path takes other methods, or it does not exist.
fn refusal(table: RouteTable, path: &[&str]) -> Problem {
    let taken = METHODS.iter().filter(|(method, _)| table(method, path).is_some());
    let allowed: Vec<_> = taken.map(|(_, allowed)| *allowed).collect();
    match allowed.is_empty() {
        true => Problem::no_such_path(),
        false => Problem::method(allowed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::ALLOW;

    use super::super::front;
    use super::*;

    /// What `Allow` says when nothing answers.
    fn allowed(path: &str) -> Option<String> {
        let refusal = refusal(front, &segments(path)?).into_response();
        let allowed = refusal.headers().get(ALLOW)?;
        Some(allowed.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_path_says_which_methods_it_takes() {
        for (path, methods) in [
            ("/read/user", "GET, HEAD"),
            ("/read/%FF", "GET, HEAD"),
            ("/query", "POST"),
            ("/write/user/rename", "POST"),
            ("/readyz", "GET, HEAD"),
        ] {
            assert_eq!(allowed(path).as_deref(), Some(methods), "{path}");
        }
    }

    #[test]
    fn what_resembles_a_path_does_not_exist() {
        for path in [
            "",
            "*",
            "/",
            "query",
            "/query/",
            "//query",
            "/%71uery",
            "/read",
            "/read/",
            "/read/user/",
            "/read/user/more",
            "/write/user",
            "/write/user/",
        ] {
            assert_eq!(allowed(path), None, "{path}");
        }
    }

    #[test]
    fn a_name_in_a_path_may_be_escaped_and_is_text() {
        for (segment, name) in
            [("user.card", "user.card"), ("user%2Ecard", "user.card"), ("%2f+%", "/+%")]
        {
            assert_eq!(decoded("entity", segment).unwrap(), name);
        }
        assert!(decoded("entity", "%FF").is_err());
    }
}
