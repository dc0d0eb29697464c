//! TCP: a task a connection, queries answered in order, everything limited.
//! Source: RFC 7766; each message is preceded by its length in two bytes.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Turns;
use crate::answer::{Transport, answer};
use crate::config::{DnsError, TcpLimits};
use crate::metrics::Shard;
use crate::zone::Zone;

/// Longest query read; longer ones end the connection.
const QUERY_MAX: usize = 4096;
/// Read ahead of a client that pipelines.
const READ_BUFFER: usize = 2048;
/// How long to wait after the system refused an accept (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection needs.
pub(super) struct Seat {
    pub(super) zones: Arc<ArcSwap<Zone>>,
    pub(super) turns: Turns,
    pub(super) shard: Arc<Shard>,
    pub(super) limits: TcpLimits,
}

/// Accepts until `shutdown`; connections end with it.
pub(super) async fn serve(listener: TcpListener, seat: Seat, shutdown: CancellationToken) -> Result<(), DnsError> {
    let room = Arc::new(Semaphore::new(seat.limits.connections.max(1)));
    let (seat, guests) = (Arc::new(seat), Arc::new(Guests::default()));
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            permit = Arc::clone(&room).acquire_owned() => permit.map_err(|error| DnsError::Ended(error.to_string()))?,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "DNS over TCP");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(guest) = guests.admit(from.ip(), seat.limits.per_address) else { continue };
        let (seat, shutdown) = (Arc::clone(&seat), shutdown.clone());
        tokio::spawn(async move {
            let _held = (permit, &guest);
            tokio::select! {
                () = shutdown.cancelled() => {}
                ended = converse(stream, &seat, guest.address) => {
                    if let Err(error) = ended {
                        debug!(%error, asker = %guest.address, "DNS connection ended");
                    }
                }
            }
        });
    }
}

/// Answers the queries of one connection, one after the other.
async fn converse(stream: TcpStream, seat: &Seat, asker: IpAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(READ_BUFFER, stream);
    let (mut query, mut out, mut framed) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..seat.limits.queries {
        if !timeout(seat.limits.idle, read(&mut stream, &mut query)).await?? {
            return Ok(());
        }
        let zone = seat.zones.load();
        let rcode = answer(&zone, &query, Transport::Tcp, seat.turns.next(asker, number), &mut out);
        drop(zone);
        seat.shard.count(rcode);
        if rcode.is_none() {
            return Err(io::Error::other("not a query"));
        }
        let length = u16::try_from(out.len()).map_err(io::Error::other)?;
        framed.clear();
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&out);
        timeout(seat.limits.idle, stream.write_all(&framed)).await??;
    }
    stream.shutdown().await
}

/// Reads one message; false if the client has ended the connection between two.
async fn read(stream: &mut BufReader<TcpStream>, query: &mut Vec<u8>) -> io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    };
    if length > QUERY_MAX {
        return Err(io::Error::other("query too long"));
    }
    query.resize(length, 0);
    stream.read_exact(query).await?;
    Ok(true)
}

/// How many connections each address has.
#[derive(Default)]
struct Guests {
    /// Held for one look-up, never across an await.
    count: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that counts until it is dropped.
struct Guest {
    guests: Arc<Guests>,
    address: IpAddr,
}

impl Guests {
    fn admit(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Guest> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let own = count.entry(address).or_default();
        if *own >= most.max(1) {
            return None;
        }
        *own += 1;
        Some(Guest { guests: Arc::clone(self), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut count = self.guests.count.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = count.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                count.remove(&self.address);
            }
        }
    }
}
