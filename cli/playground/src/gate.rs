//! The door of a simulated member: every connection to it or to its pods passes here, and here it can be made to fail.
//!
//! Bytes only. Faults act on connections that stand as well as on new ones.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Delay of every answer of a slow member.
pub const SLOW: Duration = Duration::from_millis(500);
/// Bytes in flight between the socket and whoever serves it.
const PIPE: usize = 64 << 10;

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Connections are refused, standing ones are reset.
    Fail,
    /// Every answer comes [`SLOW`] late.
    Slow,
    /// Packets vanish: connections hang, nothing is answered.
    Partition,
}

/// No such fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such fault {0:?}: want fail, slow, partition or heal")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;
    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Ok(match text {
            "heal" => Self::None,
            "fail" => Self::Fail,
            "slow" => Self::Slow,
            "partition" => Self::Partition,
            other => return Err(UnknownFault(other.to_owned())),
        })
    }
}

/// The fault of one member, shared by all of its doors.
#[derive(Clone)]
pub struct Gate {
    fault: watch::Sender<Fault>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { fault: watch::channel(Fault::None).0 }
    }
}

impl Gate {
    /// Sets the fault; it acts at once.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// The fault at this moment.
    #[must_use]
    pub fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    /// Opens a door at `address` (port 0 picks one) and says where; `serve` gets each connection as a pipe.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn listen<F, R>(
        &self,
        address: SocketAddr,
        serve: F,
        stop: CancellationToken,
    ) -> io::Result<(SocketAddr, tokio::task::JoinHandle<()>)>
    where
        F: Fn(DuplexStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = bind(address).await?;
        let address = listener.local_addr()?;
        let fault = self.fault.subscribe();
        let door = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept(listener, address, serve, fault) => {}
            }
        };
        Ok((address, tokio::spawn(door)))
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    // The std listener sets SO_REUSEADDR, so that a healed member gets its port back at once.
    TcpListener::bind(address).await
}

async fn accept<F, R>(listener: TcpListener, address: SocketAddr, serve: F, mut fault: watch::Receiver<Fault>)
where
    F: Fn(DuplexStream) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let now = *fault.borrow_and_update();
        match (&listener, now) {
            (Some(_), Fault::Fail) => {
                listener = None;
                connections.abort_all();
            }
            (None, Fault::Fail) => {
                if fault.changed().await.is_err() {
                    return;
                }
            }
            (Some(open), Fault::Partition) => {
                lose_packets(SockRef::from(open), true);
                if fault.changed().await.is_err() {
                    return;
                }
                lose_packets(SockRef::from(open), false);
            }
            (None, _) => match bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(e) => {
                    tracing::warn!(%address, error = %e, "a simulated member cannot listen again");
                    return;
                }
            },
            (Some(open), _) => {
                tokio::select! {
                    changed = fault.changed() => if changed.is_err() { return },
                    Some(_) = connections.join_next(), if !connections.is_empty() => {}
                    accepted = open.accept() => match accepted {
                        Ok((socket, _)) => {
                            let (inner, outer) = tokio::io::duplex(PIPE);
                            let served = serve(inner);
                            let pass = pass(socket, outer, fault.clone());
                            connections.spawn(async move {
                                tokio::join!(served, pass);
                            });
                        }
                        Err(e) => tracing::debug!(%address, error = %e, "accept failed"),
                    },
                }
            }
        }
    }
}

/// Copies both ways until either side ends or the member fails.
async fn pass(socket: TcpStream, pipe: DuplexStream, fault: watch::Receiver<Fault>) {
    if let Err(e) = socket.set_nodelay(true) {
        tracing::debug!(error = %e, "nodelay refused");
    }
    let same = SockRef::from(&socket).try_clone();
    let (from_socket, to_socket) = tokio::io::split(socket);
    let (from_pipe, to_pipe) = tokio::io::split(pipe);
    let cut = cut(same, fault.clone());
    let up = copy(from_socket, to_pipe, fault.clone(), Duration::ZERO);
    let down = copy(from_pipe, to_socket, fault, SLOW);
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        () = cut => {}
    }
}

/// Loses the packets of a connection for as long as its member is cut off; goes on until dropped.
async fn cut(socket: io::Result<Socket>, mut fault: watch::Receiver<Fault>) {
    match socket {
        Ok(socket) => loop {
            let now = *fault.borrow_and_update();
            lose_packets(SockRef::from(&socket), now == Fault::Partition);
            if fault.changed().await.is_err() {
                break;
            }
        },
        Err(error) => tracing::debug!(%error, "packets of a connection cannot be lost, it only hangs"),
    }
    std::future::pending().await
}

/// Packets to `socket` are dropped before the system acknowledges them, or no longer.
fn lose_packets(socket: SockRef<'_>, lost: bool) {
    // A filter that lets zero bytes of every packet through (BPF_RET | BPF_K).
    #[cfg(target_os = "linux")]
    let done = if lost { socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]) } else { socket.detach_filter() };
    #[cfg(not(target_os = "linux"))]
    let done = io::Result::Ok(socket).map(|_| ());
    match done {
        // There was none to be taken off.
        Err(error) if lost || error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(%error, lost, "packets are not lost, connections only hang");
        }
        _ => {}
    }
}

async fn copy<A, B>(mut from: ReadHalf<A>, mut to: WriteHalf<B>, mut fault: watch::Receiver<Fault>, late: Duration)
where
    A: tokio::io::AsyncRead,
    B: tokio::io::AsyncWrite,
{
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if fault.wait_for(|fault| *fault != Fault::Partition).await.is_err() {
            return;
        }
        if *fault.borrow() == Fault::Slow {
            tokio::time::sleep(late).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    if let Err(e) = to.shutdown().await {
        tracing::trace!(error = %e, "the other side was gone");
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    use super::{Fault, Gate};

    async fn echo(mut pipe: DuplexStream) {
        let mut byte = [0];
        while pipe.read_exact(&mut byte).await.is_ok() && pipe.write_all(&byte).await.is_ok() {}
    }

    #[tokio::test]
    async fn a_failed_member_refuses_and_a_healed_one_answers_at_the_same_port() {
        let gate = Gate::default();
        let any = "127.0.0.1:0".parse().expect("an address");
        let (address, _door) = gate.listen(any, echo, CancellationToken::new()).await.expect("a port");
        let mut standing = TcpStream::connect(address).await.expect("connected");
        standing.write_all(b"a").await.expect("sent");
        let mut byte = [0];
        standing.read_exact(&mut byte).await.expect("answered");
        gate.set(Fault::Fail);
        assert!(standing.read_exact(&mut byte).await.is_err(), "the standing connection ends");
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.set(Fault::None);
        let mut again = loop {
            match TcpStream::connect(address).await {
                Ok(socket) => break socket,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        again.write_all(b"b").await.expect("sent");
        again.read_exact(&mut byte).await.expect("answered");
        assert_eq!(&byte, b"b");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_member_that_is_cut_off_acknowledges_nothing_and_answers_again_when_it_is_back() {
        let gate = Gate::default();
        let any = "127.0.0.1:0".parse().expect("an address");
        let (address, _door) = gate.listen(any, echo, CancellationToken::new()).await.expect("a port");
        let mut standing = TcpStream::connect(address).await.expect("connected");
        let mut byte = [0];
        standing.write_all(b"a").await.expect("sent");
        standing.read_exact(&mut byte).await.expect("answered");
        gate.set(Fault::Partition);
        let short = std::time::Duration::from_millis(200);
        // The door hears of its fault a moment later.
        while tokio::time::timeout(short, TcpStream::connect(address)).await.is_ok() {}
        SockRef::from(&standing).set_tcp_user_timeout(Some(short)).expect("a limit");
        standing.write_all(b"b").await.expect("the system takes it");
        let error = standing.read_exact(&mut byte).await.expect_err("nothing was acknowledged");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        let other = tokio::spawn(TcpStream::connect(address));
        gate.set(Fault::None);
        let mut other = other.await.expect("no panic").expect("sent again");
        other.write_all(b"c").await.expect("sent");
        other.read_exact(&mut byte).await.expect("answered");
        assert_eq!(&byte, b"c");
    }
}
