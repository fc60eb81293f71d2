//! The end of a server, such that no request is lost on its way: not one that a client sends over a kept
//! connection while the host closes it, and not one over a connection that the system has made and the host
//! has not accepted yet. A balancer may not send these again if they are writes.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

/// The time for handshakes that had begun when the server stopped: a few round trips to a balancer. A client
/// that begins a handshake within this time has to repeat it a second later, so the time is short.
pub(super) const HANDSHAKE: Duration = Duration::from_millis(2);

/// How long a connection without a request waits for one after the server stopped. A request that was on its
/// way when the server stopped arrives within this time.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// What a server is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// No end is in sight.
    Serve,
    /// Serve every request, and close each connection after its answer, so that clients open another one.
    Drain,
    /// Accept no new connection, and end.
    Stop,
}

/// The next notice; [`Notice::Stop`] when the sender of notices is gone.
pub(super) async fn next(notices: &mut watch::Receiver<Notice>) -> Notice {
    match notices.changed().await {
        Ok(()) => *notices.borrow_and_update(),
        Err(_gone) => Notice::Stop,
    }
}

/// How long quiet connections are kept after the server stopped.
pub(super) fn quiet_time(grace: Duration) -> Duration {
    ON_ITS_WAY.min(grace / 2)
}

/// Lets no further connection begin, while handshakes that have begun are completed. A listener that closes
/// during a handshake resets the connection, which its client takes for a broken one. A client that has not
/// begun repeats its attempt after a second, and is refused. On systems other than Linux a few handshakes are
/// reset.
pub(super) fn refuse_beginnings(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(listener);
        // Without it the listener is closed as anywhere else.
        let _best_effort = socket.attach_filter(&linux::no_beginnings());
    }
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
}

#[cfg(target_os = "linux")]
mod linux {
    use socket2::SockFilter;

    /// Where a TCP header has its flags, and of these the ones that tell a beginning from what follows.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;

    /// Instructions of the classic BPF (Linux, networking/filter.rst).
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_UNLESS_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;

    /// What of a segment is kept.
    const NOTHING: u32 = 0;
    const WHOLE: u32 = u32::MAX;

    /// Drops segments that ask for a connection. Accepted connections inherit it, and get none of these.
    pub(super) fn no_beginnings() -> [SockFilter; 5] {
        [
            SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
            SockFilter::new(AND, 0, 0, SYN_OR_ACK),
            SockFilter::new(JUMP_UNLESS_EQUAL, 0, 1, SYN),
            SockFilter::new(RETURN, 0, 0, NOTHING),
            SockFilter::new(RETURN, 0, 0, WHOLE),
        ]
    }
}
