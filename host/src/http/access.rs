//! Access: bearer tokens by scope. A scope without one is open, but not to web pages.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::config::{Config, Secret};

use super::pages::Pages;
use super::problem::Problem;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessScope {
    /// `GET /read`, `POST /query`.
    Read,
    /// `POST /write`, `POST /invalidate`.
    Write,
    /// The admin face.
    Admin,
}

impl AccessScope {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Lets a request with these headers pass, or says why not: 401 without a valid token, 403
/// with one of another scope alone. Where no token is asked for, 403 for a web page: a page has no
/// token, and so it passes nowhere.
///
/// # Errors
/// The problem document to answer with.
pub(super) fn check(
    config: &Config,
    scope: AccessScope,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let tokens: [(AccessScope, Option<&Secret>); 3] = [
        (AccessScope::Read, config.access.read.as_ref()),
        (AccessScope::Write, config.access.write.as_ref()),
        (AccessScope::Admin, config.admin.token.as_ref()),
    ];
    if tokens.iter().any(|(of, token)| *of == scope && token.is_none()) {
        return Pages::new(&config.http.hosts).check(headers);
    }
    let Some(sent) = bearer(headers) else {
        return Err(Problem::no_token(scope.name()));
    };
    // Every token is compared, whichever matched: the time says nothing.
    let (mut ours, mut another) = (false, false);
    for (of, token) in &tokens {
        let equal = token.is_some_and(|token| same(&token.0, sent));
        ours |= equal && *of == scope;
        another |= equal && *of != scope;
    }
    match (ours, another) {
        (true, _) => Ok(()),
        (false, true) => Err(Problem::other_scope(scope.name())),
        (false, false) => Err(Problem::no_token(scope.name())),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn same(token: &str, sent: &str) -> bool {
    token.as_bytes().ct_eq(sent.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn a_scope_without_a_token_is_open() {
        assert_eq!(status(&tokens(None, Some("w")), AccessScope::Read, None), 200);
    }

    #[test]
    fn without_a_token_a_guarded_scope_answers_401() {
        let config = tokens(Some("r"), Some("w"));
        assert_eq!(status(&config, AccessScope::Read, None), 401);
        assert_eq!(status(&config, AccessScope::Read, Some("Bearer wrong")), 401);
        assert_eq!(status(&config, AccessScope::Read, Some("Basic r")), 401);
        assert_eq!(status(&config, AccessScope::Read, Some("Bearer ")), 401);
    }

    #[test]
    fn with_the_token_of_another_scope_it_answers_403() {
        let config = tokens(Some("r"), Some("w"));
        assert_eq!(status(&config, AccessScope::Write, Some("Bearer r")), 403);
        assert_eq!(status(&config, AccessScope::Write, Some("bearer w")), 200);
    }

    fn tokens(read: Option<&str>, write: Option<&str>) -> Config {
        let mut config = Config::parse("", "c", &Environment::default()).unwrap();
        let secret = |token: Option<&str>| token.map(|token| Secret(token.to_owned()));
        (config.access.read, config.access.write) = (secret(read), secret(write));
        config
    }

    fn status(config: &Config, scope: AccessScope, authorization: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        match check(config, scope, &headers) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }
}
