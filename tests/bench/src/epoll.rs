//! One event loop a thread, each with a listener of its own on the same address.

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted; more than any benchmark opens at once.
const BACKLOG: i32 = 4096;
const LISTENER: Token = Token(usize::MAX);
const EVENTS_AT_ONCE: usize = 1024;

/// What a connection does when its sockets are ready. Tokens `2 * slot` and `2 * slot + 1` are its own.
pub trait Connection: Sized {
    /// Takes an accepted socket and registers it.
    ///
    /// # Errors
    /// The connection is dropped.
    fn open(accepted: TcpStream, registry: &Registry, tokens: [Token; 2]) -> Result<Self>;

    /// Goes on until every socket would block; false when the connection is done.
    ///
    /// # Errors
    /// The connection is dropped.
    fn ready(&mut self) -> Result<bool>;
}

/// Serves with one loop a core until the process is killed.
///
/// # Errors
/// The address cannot be listened on, or a loop failed.
pub fn serve<C: Connection>(address: SocketAddr) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let others: Vec<_> = (1..cores).map(|_| thread::spawn(move || run::<C>(address))).collect();
    run::<C>(address)?;
    for other in others {
        other.join().expect("loops do not panic")?;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn run<C: Connection>(address: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS_AT_ONCE);
    let mut listener = listen(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut slots: Vec<Option<C>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            if event.token() == LISTENER {
                accept_all(&listener, poll.registry(), &mut slots, &mut free)?;
                continue;
            }
            let slot = event.token().0 / 2;
            let Some(connection) = slots[slot].as_mut() else { continue };
            if !connection.ready().unwrap_or(false) {
                slots[slot] = None;
                free.push(slot);
            }
        }
    }
}

fn accept_all<C: Connection>(
    listener: &TcpListener,
    registry: &Registry,
    slots: &mut Vec<Option<C>>,
    free: &mut Vec<usize>,
) -> Result<()> {
    loop {
        let (accepted, _) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        accepted.set_nodelay(true)?;
        let slot = free.pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        let mut connection = C::open(accepted, registry, [Token(2 * slot), Token(2 * slot + 1)])?;
        // What arrived before the registration raises no event.
        if connection.ready().unwrap_or(false) {
            slots[slot] = Some(connection);
        } else {
            free.push(slot);
        }
    }
}

/// Whether the socket is merely not ready: also while it still connects.
pub fn not_ready(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}
