//! Varnish, whose VCL is exchanged: the new one is loaded, which compiles it, and used, and the old
//! one is discarded.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::wire::Wire;
use super::{Exchanged, Side, Swaps, Target, Took, Which, is_of_the_shop};
use crate::servers::Varnish;
use crate::shop::expected_product;

const PATH: &str = "/product/1";
const HEADER: &str = "x-vcl";

pub(super) async fn run(swaps: Swaps) -> anyhow::Result<Side> {
    let port = origin().await?;
    let server = Varnish::start(&vcl(port, "first", 0), PATH).await?;
    let pid = server.pid();
    let target = Target::learn(server.url("/product/"), is_of_the_shop).await?;
    let reads = Wire::to(server.url("").as_str())?;
    let exchanged = Vcls { server, reads, port, number: 0, in_use: "boot".into() };
    swaps.measure(pid, target, exchanged, swaps.varnish_swaps, Which::Ready).await
}

/// Like the policies, one of two keeps its objects for a quarter of the other's time.
fn vcl(port: u16, name: &str, number: u32) -> String {
    let ttl = if number.is_multiple_of(2) { "1h" } else { "15m" };
    format!(
        "vcl 4.1;
        backend default {{ .host = \"127.0.0.1\"; .port = \"{port}\"; }}
        sub vcl_backend_response {{ set beresp.ttl = {ttl}; }}
        sub vcl_deliver {{ set resp.http.X-Vcl = \"{name}\"; }}"
    )
}

struct Vcls {
    server: Varnish,
    reads: Wire,
    port: u16,
    number: u32,
    in_use: String,
}

impl Exchanged for Vcls {
    fn exchange(&mut self, which: Which) -> anyhow::Result<Took> {
        self.number += 1;
        let name = format!("v{}", self.number);
        let file = self.server.file("next.vcl");
        std::fs::write(&file, vcl(self.port, &name, self.number))?;
        let file = file.to_str().context("a path")?;
        let load = ["vcl.load", &name, file];
        if which == Which::Ready {
            self.server.admin(&load)?;
        }
        let began = Instant::now();
        if which != Which::Ready {
            self.server.admin(&load)?;
        }
        self.server.admin(&["vcl.use", &name])?;
        let active = self.reads.until(PATH, HEADER, |text| text == name)?;
        let old = std::mem::replace(&mut self.in_use, name);
        self.server.admin(&["vcl.discard", &old])?;
        let way = if which == Which::Ready { "vcl.use" } else { "vcl.load and vcl.use" };
        Ok(Took { way, time: active.duration_since(began).max(Duration::ZERO) })
    }
}

/// An origin of product pages.
async fn origin() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that hangs up has what it wanted.
            tokio::spawn(async move { drop(serve(stream).await) });
        }
    });
    Ok(port)
}

async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut id = 0;
    while let Some(line) = lines.next_line().await? {
        if let Some(path) = line.strip_prefix("GET /product/") {
            id = path.split(' ').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        } else if line.is_empty() {
            let body = expected_product(id).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
            write.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        }
    }
    Ok(())
}
