//! A connection to the server, opened and greeted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use redis::{ConnectionAddr, ConnectionInfo, RedisConnectionInfo};
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::reply::{Reply, take_reply};

/// How often an idle connection asks its other end whether it is still there; so no firewall
/// forgets the connection.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// After so many unanswered questions the connection breaks, and is replaced before a caller needs
/// it.
const UNANSWERED: u32 = 3;

/// A stream of bytes in both directions, whatever carries it.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// Connects, and authenticates as the address says.
pub(super) async fn open(to: &ConnectionInfo) -> io::Result<Box<dyn ByteStream>> {
    let mut stream = connect(to.addr()).await?;
    greet(&mut *stream, to.redis_settings()).await?;
    Ok(stream)
}

async fn connect(address: &ConnectionAddr) -> io::Result<Box<dyn ByteStream>> {
    Ok(match address {
        ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port).await?),
        ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = tcp(host, *port).await?;
            Box::new(tls()?.connect(name, stream).await?)
        }
        ConnectionAddr::Unix(path) => Box::new(UnixStream::connect(path).await?),
        ConnectionAddr::TcpTls { .. } | _ => {
            return Err(io::Error::other("no address of a server that can be trusted"));
        }
    })
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    set_socket_keepalive(&stream, true)?;
    set_tcp_keepidle(&stream, KEEPALIVE)?;
    set_tcp_keepintvl(&stream, KEEPALIVE)?;
    set_tcp_keepcnt(&stream, UNANSWERED)?;
    Ok(stream)
}

fn tls() -> io::Result<TlsConnector> {
    // The certificates that the system trusts, or those of the file that `SSL_CERT_FILE` names.
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty()
        && let Some(error) = found.errors.into_iter().next()
    {
        return Err(io::Error::other(error));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Authenticates, selects the database, and finds out whether the server answers.
async fn greet(stream: &mut dyn ByteStream, who: &RedisConnectionInfo) -> io::Result<()> {
    let mut greeting = redis::pipe();
    match (who.username(), who.password()) {
        (Some(user), Some(password)) => _ = greeting.cmd("AUTH").arg(user).arg(password),
        (None, Some(password)) => _ = greeting.cmd("AUTH").arg(password),
        (_, None) => {}
    }
    if who.db() != 0 {
        greeting.cmd("SELECT").arg(who.db());
    }
    greeting.cmd("PING");
    stream.write_all(&greeting.get_packed_pipeline()).await?;
    stream.flush().await?;
    let mut arrived = BytesMut::new();
    for _ in 0..greeting.len() {
        let reply = loop {
            if let Some(reply) = take_reply(&mut arrived)? {
                break reply;
            }
            if stream.read_buf(&mut arrived).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        match reply {
            Reply::Word(_) => {}
            Reply::Error(error) => return Err(io::Error::other(error)),
            Reply::Value(_) | Reply::Nothing | Reply::Number(_) | Reply::List(_) => {
                return Err(io::Error::other(format!("a greeting is answered by {reply:?}")));
            }
        }
    }
    Ok(())
}
