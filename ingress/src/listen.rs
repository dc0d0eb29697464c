//! Listening sockets and the one acceptor that hands each connection to the worker with the fewest.
//!
//! A hash over cores (SO_REUSEPORT) is lopsided with few long-lived connections, hides a busy port, and drops queued
//! connections when a socket closes; a hand-over costs one wake per connection and none per request.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::config::Listen;
use crate::crowd::{Crowd, Member};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4096;
/// Pause after an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection on its way to a worker.
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Where the listener is bound.
    pub listener: SocketAddr,
    pub tls: bool,
    /// A trusted peer says who the client is.
    pub announced: bool,
    pub seat: Seat,
}

/// A connection's place among those a worker may hold; free again when dropped.
pub struct Seat {
    of: Arc<Seats>,
    _member: Member,
}

/// The connections of one worker.
#[derive(Default)]
pub struct Seats {
    open: AtomicUsize,
    freed: Arc<Notify>,
}

/// The acceptor's end of one worker.
pub struct Lane {
    pub seats: Arc<Seats>,
    pub sender: mpsc::UnboundedSender<Accepted>,
}

/// A bound socket and what is spoken on it.
pub struct Listener {
    pub socket: TcpListener,
    pub address: SocketAddr,
    pub tls: bool,
    announced: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of.open.fetch_sub(1, Ordering::Relaxed);
        self.of.freed.notify_one();
    }
}

impl Seats {
    /// Seats that tell `freed` when one becomes free.
    #[must_use]
    pub fn new(freed: Arc<Notify>) -> Self {
        Self { open: AtomicUsize::new(0), freed }
    }

    fn take(self: &Arc<Self>, member: Member) -> Seat {
        self.open.fetch_add(1, Ordering::Relaxed);
        Seat { of: self.clone(), _member: member }
    }
}

/// Binds or takes over a socket.
///
/// # Errors
/// What the operating system says, for example that the address is in use.
pub fn bind(listen: Listen, tls: bool) -> io::Result<Listener> {
    let socket = match listen {
        Listen::Announced(listen) => return bind(*listen, tls).map(|plain| Listener { announced: true, ..plain }),
        Listen::Socket(socket) => socket,
        Listen::Address(address) => {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            socket.into()
        }
    };
    socket.set_nonblocking(true)?;
    Ok(Listener { address: socket.local_addr()?, socket, tls, announced: false })
}

/// Accepts until `stop`; then the socket is closed.
pub async fn accept(listener: Listener, lanes: Arc<[Lane]>, limit: usize, crowd: Arc<Crowd>, stop: CancellationToken) {
    let (address, tls, announced) = (listener.address, listener.tls, listener.announced);
    let socket = match tokio::net::TcpListener::from_std(listener.socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, address = %listener.address, "a listener could not be watched");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = next(&socket, &lanes, limit) => accepted,
        };
        match accepted {
            Ok((stream, peer, lane)) => {
                let Some(member) = crowd.enter(peer.ip()) else {
                    tracing::debug!(%peer, "an address holds too many connections");
                    continue;
                };
                let seat = lane.seats.take(member);
                let accepted = Accepted { stream, peer, listener: address, tls, announced, seat };
                if lane.sender.send(accepted).is_err() {
                    tracing::debug!("a connection came in while its worker stopped");
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, address = %listener.address, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn next<'l>(
    socket: &tokio::net::TcpListener,
    lanes: &'l [Lane],
    limit: usize,
) -> io::Result<(TcpStream, SocketAddr, &'l Lane)> {
    let lane = free_lane(lanes, limit).await;
    loop {
        match socket.accept().await {
            // The stream leaves this runtime: the worker's own watches it from here on.
            Ok((stream, peer)) => return Ok((stream.into_std()?, peer, lane)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The worker with the fewest connections, once it has room.
async fn free_lane(lanes: &[Lane], limit: usize) -> &Lane {
    let open = |lane: &&Lane| lane.seats.open.load(Ordering::Relaxed);
    loop {
        let lane = lanes.iter().min_by_key(open).expect("there is at least one worker");
        if open(&lane) < limit {
            return lane;
        }
        lane.seats.freed.notified().await;
    }
}
