//! How each server is installed and started.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::measure::fill;
use super::rig::Rig;
use super::{install, item};
use crate::servers::{self, Host, Program, free_port};

/// A server that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Corral, from its near cache, on so many threads.
    CorralNear(usize),
    /// Corral, from the store, on so many threads.
    CorralStore(usize),
    /// axum, a constant from memory, on so many threads.
    Constant(usize),
    /// axum and Redis over one multiplexed connection, written by hand, on so many threads.
    HandWritten(usize),
    /// nginx, `proxy_cache`.
    Nginx,
    /// nginx and Lua, with a `GET` of Redis for each request.
    NginxLua,
    /// Varnish.
    Varnish,
    /// Node, BentoCache with two tiers.
    Node,
    /// Python, the usual recipe with `redis.asyncio`.
    Python,
}

/// The numbers of threads on which a server that can choose is measured: one, and one for each
/// core.
#[must_use]
pub fn threads() -> Vec<usize> {
    let mut threads = vec![1, cores()];
    threads.dedup();
    threads
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Peer {
    /// All peers, Corral first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let kinds = [Self::CorralNear, Self::CorralStore, Self::Constant, Self::HandWritten];
        let mut all: Vec<Self> =
            kinds.iter().flat_map(|kind| threads().into_iter().map(kind)).collect();
        all.extend([Self::Nginx, Self::Varnish, Self::NginxLua, Self::Node, Self::Python]);
        all
    }

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> String {
        let on = |threads| match threads {
            1 => "one thread".to_owned(),
            more => format!("{more} threads"),
        };
        match self {
            Self::CorralNear(threads) => format!("Corral, near hits, {}", on(threads)),
            Self::CorralStore(threads) => format!("Corral, store hits, {}", on(threads)),
            Self::Constant(threads) => format!("axum, a constant, {}", on(threads)),
            Self::HandWritten(threads) => format!("axum + redis by hand, {}", on(threads)),
            Self::Nginx => "nginx proxy_cache".to_owned(),
            Self::NginxLua => "nginx + Lua, Redis GET".to_owned(),
            Self::Varnish => "Varnish".to_owned(),
            Self::Node => "Node, BentoCache".to_owned(),
            Self::Python => "Python, redis.asyncio".to_owned(),
        }
    }

    /// Whether Redis answers its requests.
    #[must_use]
    pub fn asks_redis(self) -> bool {
        match self {
            Self::CorralStore(_) | Self::HandWritten(_) | Self::NginxLua | Self::Python => true,
            Self::CorralNear(_) | Self::Constant(_) | Self::Nginx | Self::Varnish | Self::Node => {
                false
            }
        }
    }

    /// Installs and starts it.
    ///
    /// # Errors
    /// If it can't be installed, or does not come up.
    pub async fn start(self, rig: &Rig) -> anyhow::Result<Running> {
        let server = match self {
            Self::CorralNear(threads) => {
                let host = rig.host_on(threads, "near = \"1h\"\n").await?;
                Server::Host(Box::new(near(host).await?))
            }
            Self::CorralStore(threads) => Server::Host(Box::new(rig.host_on(threads, "").await?)),
            Self::Constant(threads) => rig.service("constant", threads).await?.into(),
            Self::HandWritten(threads) => rig.service("redis", threads).await?.into(),
            Self::Nginx => nginx(rig).await?.into(),
            Self::NginxLua => nginx_lua(rig).await?.into(),
            Self::Varnish => varnish(rig).await?.into(),
            Self::Node => node(rig).await?.into(),
            Self::Python => python(rig).await?.into(),
        };
        let running = Running { peer: self, server };
        item::check(&running.url()).await?;
        // Everything is in every cache before the measurement; a value that goes into two caches is
        // there after two passes.
        for _ in 0..2 {
            fill(&format!("{}{{n}}", running.url()), item::KEYS).await?;
        }
        Ok(running)
    }
}

/// A server that gives the common answer. It ends on drop.
pub struct Running {
    /// Which one.
    pub peer: Peer,
    server: Server,
}

enum Server {
    Host(Box<Host>),
    Program(Program),
}

impl From<Program> for Server {
    fn from(program: Program) -> Self {
        Self::Program(program)
    }
}

impl Running {
    /// Its address up to the number.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.server {
            Server::Host(host) => host.url("/read/item?id="),
            Server::Program(program) => format!("{}/item?id=", program.url()),
        }
    }

    /// Its process, which may have children.
    ///
    /// # Errors
    /// When it does not run any more.
    pub fn pid(&self) -> anyhow::Result<u32> {
        match &self.server {
            Server::Host(host) => host.pid().context("the host was killed"),
            Server::Program(program) => Ok(program.pid()),
        }
    }

    /// The host, if this is Corral.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match &self.server {
            Server::Host(host) => Some(host),
            Server::Program(_) => None,
        }
    }
}

/// A host that answers from its near cache what it has answered before.
async fn near(host: Host) -> anyhow::Result<Host> {
    // The first pass fills the store, the second the near cache.
    for _ in 0..2 {
        host.get("/read/item?id=1").await?;
    }
    let answer = host.get("/read/item?id=1").await?;
    let status = answer.header("cache-status");
    ensure!(status.contains("detail=near"), "no near hit: {status:?}");
    Ok(host)
}

async fn nginx(rig: &Rig) -> anyhow::Result<Program> {
    install::debian(&["nginx"]).await?;
    let home = tempfile::tempdir()?;
    let http = format!(
        "proxy_cache_path {home}/cache keys_zone=items:16m max_size=256m inactive=2h;\n\
         upstream origin {{ server {origin}; keepalive 16; }}\n",
        home = home.path().display(),
        origin = rig.origin_address(),
    );
    let location = "proxy_pass http://origin; proxy_http_version 1.1;\n\
                    proxy_set_header Connection \"\"; proxy_cache items;\n\
                    proxy_cache_valid 200 1h; proxy_cache_lock on;\n";
    start_nginx(home, "", &http, location).await
}

async fn nginx_lua(rig: &Rig) -> anyhow::Result<Program> {
    install::debian(&["nginx", "libnginx-mod-http-lua", "lua-nginx-redis"]).await?;
    let modules = "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n\
                   load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\n";
    let location = format!(
        "default_type application/json;\n\
         content_by_lua_block {{\n\
         local redis = require(\"nginx.redis\"):new()\n\
         redis:set_timeouts(1000, 1000, 1000)\n\
         if not redis:connect(\"127.0.0.1\", {port}) then return ngx.exit(502) end\n\
         local body = redis:get(\"item:\" .. ngx.var.arg_id)\n\
         if not body or body == ngx.null then return ngx.exit(404) end\n\
         redis:set_keepalive(60000, 128)\n\
         ngx.header.content_length = #body\n\
         ngx.print(body)\n\
         }}\n",
        port = rig.redis.port(),
    );
    start_nginx(tempfile::tempdir()?, modules, "", &location).await
}

async fn start_nginx(
    home: TempDir,
    modules: &str,
    http: &str,
    location: &str,
) -> anyhow::Result<Program> {
    let port = free_port()?;
    let http = format!(
        "keepalive_requests 1000000000; keepalive_timeout 1h;\n\
         {http}server {{ listen 127.0.0.1:{port} backlog=4096;\nlocation /item {{\n{location}}}\n}}"
    );
    servers::nginx(home, port, modules, &http, "/item?id=1").await
}

async fn varnish(rig: &Rig) -> anyhow::Result<Program> {
    install::debian(&["varnish"]).await?;
    let (home, port) = (tempfile::tempdir()?, free_port()?);
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-a", &format!("127.0.0.1:{port}")]);
    command.args(["-b", &rig.origin_address(), "-s", "malloc,128m", "-n"]);
    command.arg(home.path().join("varnish"));
    Program::start(command, home, port, "/item?id=1").await
}

async fn node(rig: &Rig) -> anyhow::Result<Program> {
    let installed = install::npm(&["bentocache@1", "ioredis@5"]).await?;
    let script = installed.join("bentocache.mjs");
    fs::write(&script, include_str!("bentocache.mjs"))?;
    script_of("node", &script, rig).await
}

async fn python(rig: &Rig) -> anyhow::Result<Program> {
    let installed = install::pip(&["redis", "starlette", "uvicorn[standard]"]).await?;
    let script = installed.join("recipe.py");
    fs::write(&script, include_str!("recipe.py"))?;
    let program = installed.join("bin/python");
    script_of(&program.display().to_string(), &script, rig).await
}

async fn script_of(program: &str, script: &Path, rig: &Rig) -> anyhow::Result<Program> {
    let port = free_port()?;
    let mut command = Command::new(program);
    command.arg(script).args([port.to_string(), rig.redis.port().to_string()]);
    command.arg(format!("http://{}/item?id=", rig.origin_address()));
    Program::start(command, tempfile::tempdir()?, port, "/item?id=1").await
}
