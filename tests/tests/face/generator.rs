//! Random requests, most of them close to legal ones, so that they reach deep into the host.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// Requests from a seed; the same seed gives the same requests.
pub(super) struct Generator(StdRng);

/// A request as it goes over the wire.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) is_head: bool,
    /// Legal HTTP, so that the connection can be used again.
    pub(super) is_framed: bool,
}

const METHODS: [&str; 12] = [
    "GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get",
    "B-R_EW",
];

const PATHS: [&str; 20] = [
    "/read/user.profile",
    "/read/user.profile",
    "/read/user.orders",
    "/read/product.page",
    "/read/user.card",
    "/read/report.ratio",
    "/read/",
    "/read",
    "/write/user.card/rename",
    "/write/user.profile/rename",
    "/write/user.card/divide",
    "/write/user.card/add",
    "/write/a",
    "/invalidate",
    "/query",
    "/healthz",
    "/readyz",
    "/admin/policy",
    "/admin/policy/rollback",
    "/metrics",
];

const PIECES: [&str; 28] = [
    "",
    ".",
    "..",
    "%2e%2e%2f",
    "%00",
    "%ff",
    "%FF%FE",
    "%",
    "%zz",
    "%C3%A9",
    "%F0%9F%90%8E",
    "{id}",
    "%7Bid%7D",
    "~query",
    "v1:user.profile:1",
    "*",
    "a b",
    "a+b",
    "\u{e9}",
    "\u{202e}",
    "%0d%0a",
    "%22",
    "'--",
    ";",
    "user.profile",
    "rename",
    "id",
    "\\",
];

const VALUES: [&str; 24] = [
    "1",
    "7",
    "42",
    "007",
    "+7",
    "%2B7",
    "-1",
    "0",
    "999",
    "9223372036854775807",
    "9223372036854775808",
    "1e3",
    "1.0",
    "",
    "null",
    "NaN",
    "%00",
    "%FF",
    "seven",
    "7;8",
    "%EF%BC%97",
    "' OR 1=1",
    "true",
    "[]",
];

const HEADERS: [&str; 22] = [
    "if-none-match: *",
    "if-none-match: \"",
    "if-none-match: W/\"00\", \"x\"",
    "cache-control: no-cache",
    "cache-control: ,,max-age=0,no-cache=\"a\"",
    "authorization: Bearer",
    "authorization: Bearer \u{e9}",
    "authorization: ",
    "accept: */*",
    "accept-encoding: gzip, br",
    "content-type: application/json",
    "content-type: \u{7f}",
    "content-encoding: gzip",
    "range: bytes=0-1",
    "expect: 100-continue",
    "expect: 200-ok",
    "connection: keep-alive, te",
    "connection: close",
    "upgrade: h2c",
    "host: ",
    "x-forwarded-for: 127.0.0.1",
    "te: trailers",
];

const BODIES: [&str; 20] = [
    "",
    "{}",
    "[]",
    "null",
    "1",
    "\"",
    "{\"id\": 7}",
    "{\"id\": 7, \"name\": \"a\"}",
    "{\"id\": 7, \"id\": 8, \"name\": null}",
    "{\"id\": 1e400, \"name\": \"\\u0000\"}",
    "{\"id\": \"7\", \"name\": \"\\ud800\"}",
    "{\"id\": 7, \"by\": 0}",
    "{\"keys\": [\"v1:user.profile:7\"], \"tags\": [\"user:7\"]}",
    "{\"keys\": [\"\"]}",
    "{\"tags\": [\"a b\", \"{}\"]}",
    "{\"reads\": [{\"entity\": \"user.profile\", \"params\": {\"id\": 7}}]}",
    "{\"sql\": \"SELECT $1 AS a\", \"params\": [1.5], \"ttl\": \"1s\"}",
    "{\"sql\": \"SELECT \\u0000\"}",
    "{\"sql\": \"DROP TABLE users; --\", \"params\": [{}, [], null]}",
    "{\"sql\": \"SELECT 1\", \"ttl\": \"99999999999999999999y\"}",
];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(super) fn next(&mut self) -> Request {
        if self.one_in(16) { self.malformed() } else { self.framed() }
    }

    /// A request with legal framing and any content.
    fn framed(&mut self) -> Request {
        let method = self.pick(&METHODS);
        let body = self.body();
        let mut bytes = format!("{method} {}", self.target()).into_bytes();
        if self.one_in(24) {
            bytes.extend(self.junk(8).iter().filter(|byte| **byte > b' '));
        }
        bytes.extend(b" HTTP/1.1\r\nhost: corral\r\n");
        for _ in 0..self.below(4) {
            let header = self.pick(&HEADERS);
            bytes.extend(header.as_bytes());
            bytes.extend(b"\r\n");
        }
        if self.one_in(8) {
            bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in body.chunks(7) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend(body);
        }
        Request { bytes, is_head: method == "HEAD", is_framed: true }
    }

    /// A request that is damaged, cut off, or was never legal.
    fn malformed(&mut self) -> Request {
        let mut bytes = self.framed().bytes;
        match self.below(5) {
            0 => bytes = self.junk(200),
            1 => bytes.truncate(self.below(bytes.len())),
            2 => {
                for _ in 0..=self.below(6) {
                    let at = self.below(bytes.len());
                    bytes[at] = self.0.random();
                }
            }
            3 => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let old = self.pick(&["HTTP/1.1", "\r\n", " ", "content-length: ", "host"]);
                let new =
                    self.pick(&["HTTP/9.9", "HTTP/1.0", "\n", "\r", "content-length: -", "\0"]);
                bytes = text.replacen(old, new, 1).into_bytes();
            }
            _ => {
                let twice = bytes.clone();
                bytes.extend(twice);
            }
        }
        Request { bytes, is_head: false, is_framed: false }
    }

    fn target(&mut self) -> String {
        let mut target =
            if self.one_in(8) { self.odd_path() } else { self.pick(&PATHS).to_owned() };
        if self.one_in(8) {
            target.push('/');
            target.push_str(self.pick(&PIECES));
        }
        if target.starts_with("/read/") && !self.one_in(4) {
            let name = if target.contains("ratio") { "by" } else { "id" };
            target.push_str(&format!("?{name}={}", self.pick(&VALUES)));
        }
        for _ in 0..self.below(8).saturating_sub(5) {
            let separator = self.pick(&["?", "&", "&&", ";"]);
            let name = self.pick(&PIECES);
            target.push_str(&format!("{separator}{name}={}", self.pick(&VALUES)));
        }
        target.replace(' ', "%20")
    }

    fn odd_path(&mut self) -> String {
        if self.one_in(40) {
            return format!("/read/{}", "a".repeat(self.below(9_000)));
        }
        let start = self.pick(&["/", "/read/", "/write/", "//", "", "*", "http://x/read/"]);
        let pieces: Vec<_> = (0..self.below(4)).map(|_| self.pick(&PIECES)).collect();
        format!("{start}{}", pieces.join("/"))
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(16) {
            0 => self.junk(300),
            1 => "[".repeat(self.below(3_000)).into_bytes(),
            2 => [b"\0asm".to_vec(), self.junk(60)].concat(),
            3 => format!("{{\"id\": 7, \"name\": \"{}\"}}", "x".repeat(self.below(4_000))).into(),
            4 => {
                let mut body = self.pick(&BODIES).as_bytes().to_vec();
                body.truncate(self.below(body.len() + 1));
                body
            }
            5 => {
                let (id, entity) = (self.pick(&VALUES), self.pick(&PIECES));
                format!("{{\"id\": \"{id}\", \"name\": \"{entity}\"}}").into()
            }
            _ => self.pick(&BODIES).as_bytes().to_vec(),
        }
    }

    fn junk(&mut self, at_most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.below(at_most) + 1];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A number below `end`; 0 if `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end.max(1))
    }
}

#[test]
fn a_seed_names_its_requests() {
    let requests = |seed| {
        let mut generator = Generator::new(seed);
        (0..1_000).map(|_| generator.next().bytes).collect::<Vec<_>>()
    };
    assert_eq!(requests(1), requests(1));
    assert_ne!(requests(1), requests(2));
}
