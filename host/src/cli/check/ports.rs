//! Whether a host could listen where the configuration says.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::say;
use super::CheckResults;

/// A host on this machine answers sooner; a listener that does not is no host.
const HOST_ANSWERS: Duration = Duration::from_secs(1);

impl CheckResults<'_> {
    /// A configuration is also checked while a host serves with it, or with its predecessor: it is
    /// no problem that a host holds both addresses.
    pub(super) async fn ports(&mut self) {
        let addresses =
            [("listen", self.config.listen), ("admin.listen", self.config.admin.listen)];
        let mut taken = Vec::new();
        let mut held = Vec::new();
        for (key, address) in addresses {
            match TcpListener::bind(address).await {
                Ok(listener) => held.push(listener),
                Err(error) => taken.push((key, address, error)),
            }
        }
        if let [front, back] = &taken[..]
            && is_host(front.1).await
            && is_host(back.1).await
        {
            return say(format_args!("{}: a host serves there", front.1));
        }
        for (key, address, error) in taken {
            let what = if error.kind() == io::ErrorKind::AddrInUse {
                "stop what listens there, or write another port"
            } else if error.kind() == io::ErrorKind::AddrNotAvailable {
                "write an address of this machine"
            } else {
                "write another one"
            };
            self.add(key, format!("{address} can't be listened on: {error}; {what}"));
        }
    }
}

/// Whether a host answers there.
async fn is_host(address: SocketAddr) -> bool {
    timeout(HOST_ANSWERS, health(address)).await.is_ok_and(|answer| {
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"))
    })
}

async fn health(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
