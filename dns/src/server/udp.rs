//! UDP: a thread a socket, one packet at a time, no queue but the kernel's.
//! A blocking thread costs two system calls an answer, and nothing while nobody asks.

use std::io;
use std::net::{Shutdown, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use socket2::SockRef;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Turns;
use crate::answer::{Transport, answer};
use crate::config::DnsError;
use crate::metrics::Shard;
use crate::wire::UDP_MAX;
use crate::zone::Zone;

/// Longest query read; a longer one is cut and then malformed. Questions with options fit many times.
const QUERY_MAX: usize = 4096;
/// How long a thread may sleep through a shutdown that did not wake it.
const SHUTDOWN_POLL: Duration = Duration::from_secs(1);
/// A thread's stack: the buffers, and room.
const STACK: usize = 256 * 1024;

/// What one thread needs.
pub(super) struct Seat {
    pub(super) zones: Arc<ArcSwap<Zone>>,
    pub(super) turns: Turns,
    pub(super) shard: Arc<Shard>,
}

/// Runs the socket's thread until `shutdown`.
pub(super) async fn serve(socket: UdpSocket, seat: Seat, shutdown: CancellationToken) -> Result<(), DnsError> {
    socket.set_read_timeout(Some(SHUTDOWN_POLL)).map_err(DnsError::Thread)?;
    let waker = socket.try_clone().map_err(DnsError::Thread)?;
    let (ended, mut end) = oneshot::channel();
    let stop = shutdown.clone();
    std::thread::Builder::new()
        .name("dns-udp".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            run(&socket, &seat, &stop);
            if ended.send(()).is_err() {
                tracing::debug!("the server did not wait for its UDP thread");
            }
        })
        .map_err(DnsError::Thread)?;
    tokio::select! {
        () = shutdown.cancelled() => {}
        // The thread may see the stop before we do; it ends for no other reason but a panic.
        done = &mut end => return done.map_err(|_| panicked()),
    }
    // Wakes the thread at once where the system allows it on an unconnected socket (Linux does, and says it did not).
    if let Err(error) = SockRef::from(&waker).shutdown(Shutdown::Both) {
        tracing::debug!(%error, "waking the UDP thread");
    }
    end.await.map_err(|_| panicked())
}

fn panicked() -> DnsError {
    DnsError::Ended("the UDP thread panicked".to_owned())
}

fn run(socket: &UdpSocket, seat: &Seat, stop: &CancellationToken) {
    let mut zones = Cache::new(Arc::clone(&seat.zones));
    let (mut query, mut out) = ([0; QUERY_MAX], Vec::with_capacity(UDP_MAX));
    let mut first = 0u32;
    while !stop.is_cancelled() {
        let (length, from) = match socket.recv_from(&mut query) {
            Ok(received) => received,
            // The wake at the end is no error of a packet.
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                note(&error);
                continue;
            }
        };
        let zone = Cache::load(&mut zones);
        first = first.wrapping_add(1);
        let turn = seat.turns.next(from.ip(), first);
        let rcode = answer(zone, &query[..length], Transport::Udp, turn, &mut out);
        seat.shard.count(rcode);
        if rcode.is_some()
            && let Err(error) = socket.send_to(&out, from)
        {
            note(&error);
        }
    }
}

/// Errors of a UDP socket concern one packet (an unreachable client, a full buffer), never the socket.
fn note(error: &io::Error) {
    let harmless = [
        io::ErrorKind::WouldBlock,
        io::ErrorKind::TimedOut,
        io::ErrorKind::Interrupted,
        io::ErrorKind::ConnectionRefused,
    ];
    if !harmless.contains(&error.kind()) {
        warn!(%error, "DNS over UDP");
    }
}
