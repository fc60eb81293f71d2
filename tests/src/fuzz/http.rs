//! Requests of all kinds to a whole host, over its socket: request lines, headers, query strings,
//! bodies.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use corral_host::Corral;
use corral_host::config::{Config, Environment};
use corral_host::http::{Front, Manners, Notice, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::Target;

const CONFIG: &str = r#"
[query]
enabled = true
[entity.user]
params = ["id:int8", "at:timestamptz", "tag:text[]"]
read = "SELECT 1 AS id"
ttl = "1s"
tags = ["user:{id}"]
[entity.user.write.rename]
params = ["id:int8", "f:jsonb"]
sql = "UPDATE nothing SET id = $1"
touches = ["tag user:{id}"]
"#;

/// Longer than any answer takes. A host that does not answer fails too.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host within this process, started at the first input.
#[derive(Default)]
pub(super) struct Http(Option<Running>);

struct Running {
    _runtime: Runtime,
    _folder: TempDir,
    address: SocketAddr,
    /// Kept so that the host runs on: dropped, it would tell the host to stop.
    _tell: watch::Sender<Notice>,
}

impl Running {
    fn start() -> anyhow::Result<Self> {
        let (runtime, folder) = (Runtime::new()?, tempfile::tempdir()?);
        let database = folder.path().join("fuzz.db");
        // An empty file is a database without tables.
        std::fs::write(&database, "")?;
        let config = format!("[origin]\nurl = \"sqlite:{}\"\n{CONFIG}", database.display());
        let (tell, notices) = watch::channel(Notice::Serve);
        let address = runtime.block_on(async {
            let config = Config::parse(&config, "fuzz.toml", &Environment::default())?;
            let corral = Corral::start(config).await.context("a host")?;
            let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
            let address = server.address()?;
            let manners = Manners { connections: 64, idle: PATIENCE, grace: Duration::ZERO };
            tokio::spawn(server.serve(Front::new(corral), notices, manners));
            anyhow::Ok(address)
        })?;
        Ok(Self { _runtime: runtime, _folder: folder, address, _tell: tell })
    }

    /// Sends the bytes and reads the answer to its end.
    fn ask(&self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // A host that refuses a request may close before everything is sent.
        let _cut_off = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => Ok(answer),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
            Err(error) => Err(error),
        }
    }
}

impl Target for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let post = |path: &str, body: &str| {
            let length = body.len();
            format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}"
            )
        };
        let chunked = "POST /invalidate HTTP/1.1\r\nhost: localhost\r\n\
                       content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
                       e\r\n{\"tags\":[\"a\"]}\r\n0\r\n\r\n";
        vec![
            get("/read/user?id=42&at=2026-01-01T00:00:00Z&tag=%7Ba,b%7D").into(),
            get("/readyz").into(),
            format!("{}{}", get("/healthz"), get("/read/none")).into(),
            post("/write/user/rename", r#"{"id":7,"f":{"a":[1.50,null]}}"#).into(),
            post("/invalidate", r#"{"tags":["a:b",{"tag":"user:{id}","values":{"id":"7"}}]}"#)
                .into(),
            post(
                "/invalidate",
                r#"{"keys":["v1:user:7"],"reads":[{"entity":"user","params":{}}]}"#,
            )
            .into(),
            post("/query", r#"{"sql":"SELECT $1","params":[1],"tags":["t"],"ttl":"5s"}"#).into(),
            chunked.into(),
        ]
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\r\n",
            "\r\n\r\n",
            "HTTP/1.0",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "content-length: ",
            "transfer-encoding: chunked\r\n",
            "host: evil\r\n",
            "expect: 100-continue\r\n",
            "if-none-match: \"",
            "cache-control: no-cache\r\n",
            "\"ttl\":\"18446744073709551615s\"",
            "%00",
            "%ff",
            "..",
            "\u{0}",
            "{\"a\":",
            "[[[[[[[[[[[[",
            "1e999",
            "connection: close\r\n",
        ]
    }

    fn most_bytes(&self) -> usize {
        16 << 20
    }

    fn share(&self) -> u64 {
        2
    }

    #[expect(clippy::panic, reason = "an attempt says by a panic what it broke")]
    fn attempt(&mut self, bytes: &[u8]) -> bool {
        let running = self.0.take().map_or_else(Running::start, Ok);
        let running = running.unwrap_or_else(|error| panic!("no host: {error:#}"));
        let answer = running.ask(bytes);
        self.0 = Some(running);
        let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}"));
        answer.starts_with(b"HTTP/1.1 2")
    }
}
