//! The host that a request names. A request has one header `Host` or none afterwards, over both protocols and in
//! every form of a request's target, so that later checks look at one place.

use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Version};

use crate::http::Problem;

/// Leaves the name that was asked as the one header `Host`.
///
/// # Errors
/// The request names none where it must (RFC 9112, section 3.2), two, or something that is no name.
pub(super) fn settle<B>(request: &mut Request<B>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Problem::malformed("the request has two headers Host; send one"));
    }
    // The name in the target stands above the header.
    if let Some(asked) = request.uri().authority() {
        let name = HeaderValue::from_str(asked.as_str());
        let name = name.ok().filter(|name| is_name(name.as_bytes()));
        let name = name.ok_or_else(no_name)?;
        request.headers_mut().insert(HOST, name);
        return Ok(());
    }
    match host {
        Some(host) if is_name(host.as_bytes()) => Ok(()),
        Some(_) => Err(no_name()),
        // Health checks of load balancers still speak HTTP/1.0.
        None if request.version() <= Version::HTTP_10 => Ok(()),
        None => Err(Problem::malformed("the request has no header Host; HTTP/1.1 requires one")),
    }
}

fn no_name() -> Problem {
    Problem::malformed("the header Host is no name or address with or without a port")
}

/// Whether these are the bytes of a name or an address, perhaps with a port; an empty one is legal.
fn is_name(host: &[u8]) -> bool {
    host.iter().all(|byte| NAMES[usize::from(*byte)])
}

/// Whether a name may have the byte of this number. Every request has a name, so a look has to do.
const NAMES: [bool; 256] = {
    let (mut may, mut byte) = ([false; 256], 0_u8);
    while byte.is_ascii() {
        may[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'%');
        byte += 1;
    }
    may
};

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(request: hyper::http::request::Builder) -> Result<Option<String>, u16> {
        let mut request = request.body(()).unwrap();
        settle(&mut request).map_err(|problem| problem.into_response().status().as_u16())?;
        let host = request.headers().get(HOST);
        Ok(host.map(|host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_request_has_one_host_or_is_refused() {
        let get = |target: &str| Request::get(target);
        for (request, host) in [
            (get("/").header(HOST, "corral:7070"), Some("corral:7070")),
            (get("/").header(HOST, "[::1]:7070"), Some("[::1]:7070")),
            (get("/").header(HOST, ""), Some("")),
            (get("http://evil.example/").header(HOST, "127.0.0.1"), Some("evil.example")),
            (get("https://corral:1/").version(Version::HTTP_2), Some("corral:1")),
            (get("/").version(Version::HTTP_10), None),
        ] {
            assert_eq!(settled(request).unwrap().as_deref(), host);
        }
        for request in [
            get("/"),
            get("/").header(HOST, "a").header(HOST, "a"),
            get("/").header(HOST, "a, b"),
            get("/").header(HOST, "user@a"),
            get("/").header(HOST, "a/b"),
            get("http://user@evil.example/").header(HOST, "127.0.0.1"),
            get("/").version(Version::HTTP_2),
        ] {
            assert_eq!(settled(request), Err(400));
        }
    }
}
