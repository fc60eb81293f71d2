//! A server that is asked: its address, and the bytes of a request with a number in it.

use super::BenchError;

/// Stands in a URL or a body for the number of the thing that is asked for.
const NUMBER: &str = "{n}";

/// The most digits that a number has.
const DIGITS: usize = 20;

/// Where a connection goes, and what is asked there.
#[derive(Debug, Clone)]
pub struct LoadTarget {
    /// The URL as it was given.
    pub url: String,
    /// `host:port`, to connect to.
    pub address: String,
    /// What reads send.
    pub read: RequestBytes,
    /// What writes send, if there are any.
    pub write: Option<RequestBytes>,
}

impl LoadTarget {
    /// A target from a URL such as `http://127.0.0.1:7070/read/product.page?id={n}`. Each header
    /// is `name: value`.
    ///
    /// # Errors
    /// [`BenchError::Url`], [`BenchError::Header`].
    pub fn get(url: &str, headers: &[String]) -> Result<Self, BenchError> {
        let parts = UrlParts::of(url)?;
        let read = RequestBytes { head: parts.head("GET", headers, "\r\n")?, body: None };
        Ok(Self { url: url.to_owned(), address: parts.address(), read, write: None })
    }

    /// Adds writes to the same server: a `POST` of a JSON body in which `{n}` stands for the
    /// number, as in the URL.
    ///
    /// # Errors
    /// [`BenchError::Url`], also if the URL leads to another server; [`BenchError::Header`].
    pub fn with_post(
        mut self,
        url: &str,
        headers: &[String],
        body: &str,
    ) -> Result<Self, BenchError> {
        if UrlParts::of(url)?.address() != self.address {
            let reason = "writes go over the connections of the reads, so to the same server";
            return Err(BenchError::Url { url: url.to_owned(), reason });
        }
        self.write = Some(RequestBytes::post(url, headers, body)?);
        Ok(self)
    }
}

/// A request as it goes over the wire, but for the number.
#[derive(Debug, Clone)]
pub struct RequestBytes {
    head: NumberedText,
    body: Option<NumberedText>,
}

impl RequestBytes {
    fn post(url: &str, headers: &[String], body: &str) -> Result<Self, BenchError> {
        let end = "content-type: application/json\r\ncontent-length: ";
        let head = UrlParts::of(url)?.head("POST", headers, end)?;
        Ok(Self { head, body: Some(NumberedText::of(body)) })
    }

    /// Appends the request for thing `number`.
    pub(super) fn write(&self, number: u64, out: &mut Vec<u8>) {
        let mut digits = [0; DIGITS];
        let number = decimal(number, &mut digits);
        self.head.write(number, out);
        if let Some(body) = &self.body {
            let length = body.length(number.len()) as u64;
            out.extend_from_slice(decimal(length, &mut [0; DIGITS]));
            out.extend_from_slice(b"\r\n\r\n");
            body.write(number, out);
        }
    }
}

/// The parts of a URL that matter here.
struct UrlParts<'a> {
    authority: &'a str,
    path: &'a str,
}

impl<'a> UrlParts<'a> {
    fn of(url: &'a str) -> Result<Self, BenchError> {
        let wrong = |reason| BenchError::Url { url: url.to_owned(), reason };
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(wrong("it must begin with http:// (TLS is not spoken)"));
        };
        if url.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(wrong("percent-encode spaces and what is not ASCII"));
        }
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if authority.is_empty() || authority.contains(['@', '{']) {
            return Err(wrong("it needs a host, and perhaps a port, behind http://"));
        }
        if path.contains('#') {
            return Err(wrong("a fragment (#…) is never sent"));
        }
        Ok(Self { authority, path })
    }

    fn address(&self) -> String {
        let port = self.authority.rsplit_once(':').map(|(_, port)| port);
        match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.authority.to_owned()
            }
            Some(_) | None => format!("{}:80", self.authority),
        }
    }

    fn head(
        &self,
        method: &str,
        headers: &[String],
        end: &str,
    ) -> Result<NumberedText, BenchError> {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        let mut text =
            format!("{method} {slash}{} HTTP/1.1\r\nhost: {}\r\n", self.path, self.authority);
        for header in headers {
            let wrong = || BenchError::Header { text: header.clone() };
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            let named = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !named || value.bytes().any(|byte| byte < b' ' || byte == 0x7F) {
                return Err(wrong());
            }
            text.push_str(&format!("{name}: {}\r\n", value.trim()));
        }
        Ok(NumberedText::of(&(text + end)))
    }
}

/// Text around numbers.
#[derive(Debug, Clone)]
struct NumberedText {
    first: Vec<u8>,
    /// Each follows a number.
    rest: Vec<Vec<u8>>,
}

impl NumberedText {
    fn of(text: &str) -> Self {
        let mut pieces = text.split(NUMBER).map(|piece| piece.as_bytes().to_vec());
        Self { first: pieces.next().unwrap_or_default(), rest: pieces.collect() }
    }

    fn length(&self, number: usize) -> usize {
        self.rest.iter().fold(self.first.len(), |sum, piece| sum + number + piece.len())
    }

    fn write(&self, number: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first);
        for piece in &self.rest {
            out.extend_from_slice(number);
            out.extend_from_slice(piece);
        }
    }
}

/// A number in decimal digits, without an allocation.
fn decimal(mut number: u64, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &RequestBytes, number: u64) -> String {
        let mut out = Vec::new();
        message.write(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_number_stands_wherever_the_url_says() {
        let url = "http://127.0.0.1:7070/read/product.page?id={n}&again={n}";
        let target = LoadTarget::get(url, &[]).unwrap();
        assert_eq!(target.address, "127.0.0.1:7070");
        let expected =
            "GET /read/product.page?id=42&again=42 HTTP/1.1\r\nhost: 127.0.0.1:7070\r\n\r\n";
        assert_eq!(sent(&target.read, 42), expected);
        assert!(sent(&target.read, 0).starts_with("GET /read/product.page?id=0&again=0 "));
        assert!(sent(&target.read, u64::MAX).contains(&u64::MAX.to_string()));
    }

    #[test]
    fn a_url_without_path_or_port_has_the_usual_ones() {
        for (url, address, path) in [
            ("http://localhost", "localhost:80", "/"),
            ("http://localhost?a=1", "localhost:80", "/?a=1"),
            ("http://[::1]", "[::1]:80", "/"),
            ("http://[::1]:7070/", "[::1]:7070", "/"),
        ] {
            let target = LoadTarget::get(url, &[]).unwrap();
            assert_eq!(target.address, address);
            assert!(
                sent(&target.read, 1).starts_with(&format!("GET {path} HTTP/1.1\r\n")),
                "{url}"
            );
        }
    }

    #[test]
    fn a_write_tells_the_length_of_its_body() {
        let body = r#"{"id": {n}, "name": "number {n}"}"#;
        let write = RequestBytes::post("http://h/write/{n}", &[], body).unwrap();
        let sent = sent(&write, 1234);
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"id": 1234, "name": "number 1234"}"#);
        assert!(head.starts_with("POST /write/1234 HTTP/1.1\r\n"));
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }

    #[test]
    fn writes_go_where_the_reads_go() {
        let target = LoadTarget::get("http://h:1/read/{n}", &[]).unwrap();
        assert!(target.clone().with_post("http://h:1/write", &[], "{}").unwrap().write.is_some());
        assert!(target.with_post("http://h:2/write", &[], "{}").is_err());
    }

    #[test]
    fn headers_are_sent_along() {
        let headers = ["authorization: Bearer a:b".to_owned(), "x:  y ".to_owned()];
        let target = LoadTarget::get("http://h/", &headers).unwrap();
        assert!(sent(&target.read, 1).ends_with("\r\nauthorization: Bearer a:b\r\nx: y\r\n\r\n"));
    }

    #[test]
    fn what_can_not_be_sent_is_refused() {
        for url in [
            "",
            "h/",
            "https://h/",
            "http://",
            "http:///a",
            "http://u@h/",
            "http://h/a b",
            "http://h/é",
            "http://h/#a",
        ] {
            assert!(matches!(LoadTarget::get(url, &[]), Err(BenchError::Url { .. })), "{url}");
        }
        for header in ["", "a", ": b", "a b: c", "a: b\r\nc: d"] {
            let refused = LoadTarget::get("http://h/", &[header.to_owned()]);
            assert!(matches!(refused, Err(BenchError::Header { .. })), "{header}");
        }
    }
}
