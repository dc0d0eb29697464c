//! Hand-over of an ingress to a new process, say of another version: its sockets first, then the new connections.
//!
//! The old one offers them on a Unix socket in the data directory to processes of the same user. The new one takes them,
//! gets its routes, begins to accept, and says so; only then the old one stops accepting and drains as at SIGTERM. Whatever
//! goes wrong before leaves the old one as it was. No connection is lost, since the sockets are never closed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingress::watch::Outcome;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg, sockopt,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::planes::Doors;
use crate::config::ServeConfig;
use crate::failure::Failure;
use crate::playground_dir::Dir;

/// What comes with the sockets: which they are, in their order.
const GREETING: &[u8] = b"fedgate sockets: http https admin\n";
const SOCKETS: usize = 3;
/// The new process accepts.
const READY: &[u8] = b"ready\n";
/// The old process does not any more.
const GOING: &[u8] = b"going\n";
/// How long either waits for what the other has at hand.
const PROMPT: Duration = Duration::from_secs(10);
/// How long the old process waits for the new one's routes.
const STARTED: Duration = Duration::from_secs(60);
/// How long the new process waits for the hub's word before it begins with the routes of the disk.
const FRESH: Duration = Duration::from_secs(5);
/// How long it waits for any routes at all.
const ROUTES: Duration = Duration::from_secs(30);

/// The sockets of a process that goes on until it hears otherwise.
pub(super) struct Taken {
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    admin: Option<TcpListener>,
    hold: CancellationToken,
    old: UnixStream,
}

/// How this process is told to end.
pub(super) struct Ends {
    /// Said first, if it is another process that goes on.
    pub(super) handed_over: CancellationToken,
    pub(super) stop: CancellationToken,
    pub(super) parts: CancellationToken,
}

/// Takes the sockets of the process of this directory, if that is wanted and there is one.
///
/// # Errors
/// FG-HUB-003 where there is one that does not hand them over, or hands over others than the flags name.
pub(super) async fn take(dir: &Dir, config: &ServeConfig) -> Result<Option<Taken>, Failure> {
    if !config.take_over {
        return Ok(None);
    }
    let path = dir.hand_over();
    let old = match UnixStream::connect(&path).await {
        Ok(old) => old,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            tracing::info!(path = %path.display(), "there is no process to take over from");
            return Ok(None);
        }
        Err(e) => return Err(failed(format!("cannot ask at {}", path.display())).because(e)),
    };
    let sockets = tokio::time::timeout(PROMPT, receive(&old)).await;
    let sockets = sockets.map_err(|_| failed("the other process hands nothing over in time"))?;
    let [http, https, admin] = sockets.map_err(|e| failed("the sockets cannot be taken over").because(e))?;
    for (flag, wanted, socket) in [
        ("--ingress-addr", config.ingress_addr, &http),
        ("--ingress-tls-addr", config.ingress_tls_addr, &https),
        ("--admin-addr", config.admin_addr, &admin),
    ] {
        same(flag, wanted, socket)?;
    }
    tracing::info!("taking over from another process");
    let hold = CancellationToken::new();
    Ok(Some(Taken { http: Some(http), https: Some(https), admin: Some(admin), hold, old }))
}

impl Taken {
    /// What the ingress listens on, once it may.
    pub(super) fn doors(&mut self) -> Doors {
        Doors { http: self.http.take(), https: self.https.take(), hold: Some(self.hold.clone()) }
    }

    /// What the administrator's listener listens on.
    pub(super) fn admin(&mut self) -> Option<TcpListener> {
        self.admin.take()
    }

    /// Waits for routes, begins to accept, and tells the other process.
    ///
    /// # Errors
    /// FG-HUB-003 where there are no routes in time; the other process goes on then.
    pub(super) async fn finish(mut self, mut routes: watch::Receiver<Outcome>) -> Result<(), Failure> {
        let complete = tokio::time::timeout(FRESH, routes.wait_for(|outcome| outcome.complete)).await.is_ok();
        if !complete {
            let serving = tokio::time::timeout(ROUTES, routes.wait_for(|outcome| outcome.serving)).await;
            serving.map_err(|_| failed("there are no routes in time, the other process goes on"))?.map_err(failed)?;
            tracing::warn!("the hub does not answer in time, taking over with the routes on disk");
        }
        self.hold.cancel();
        let told = async {
            self.old.write_all(READY).await?;
            let mut answer = Vec::new();
            (&mut self.old).take(GOING.len() as u64).read_to_end(&mut answer).await?;
            if answer == GOING { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
        };
        match tokio::time::timeout(PROMPT, told).await {
            Ok(Ok(())) => tracing::info!("the other process drains, this one serves"),
            // To go now could leave nobody.
            Ok(Err(error)) => tracing::warn!(%error, "the other process went without a word"),
            Err(_) => tracing::warn!("the other process does not say that it goes"),
        }
        Ok(())
    }
}

/// Offers the sockets until one process has taken them, or `ends` come otherwise; closes them then.
///
/// # Errors
/// None: without the offer everything else is as it should be.
pub(super) async fn offer(path: PathBuf, sockets: Vec<TcpListener>, ends: Ends) -> Result<(), Failure> {
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no other process can take over from this one");
            return Ok(());
        }
    };
    let taken = async {
        loop {
            let handed = match listener.accept().await {
                Ok((stream, _)) => hand_over(stream, &sockets).await,
                Err(error) => Err(error),
            };
            match handed {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "another process did not take over"),
            }
        }
    };
    if ends.parts.run_until_cancelled(taken).await.is_some() {
        tracing::info!("another process has taken over, this one drains");
        ends.handed_over.cancel();
        // Nothing is accepted any more before anybody hears of a shutdown: the new process is asked whether it is ready.
        ends.parts.cancel();
        ends.stop.cancel();
    }
    Ok(())
}

/// Gives one process the sockets and waits until it uses them.
async fn hand_over(mut to: UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    is_ours(&to)?;
    tokio::time::timeout(PROMPT, send(&to, sockets)).await??;
    let mut ready = [0; READY.len()];
    tokio::time::timeout(STARTED, to.read_exact(&mut ready)).await??;
    if ready != READY {
        return Err(invalid("it says something else than that it is ready"));
    }
    if let Err(error) = to.write_all(GOING).await {
        tracing::warn!(%error, "the other process does not hear that this one goes");
    }
    Ok(())
}

async fn send(to: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let sent = to.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(invalid("there are too many sockets"));
        }
        Ok(sendmsg(to, &[IoSlice::new(GREETING)], &mut control, SendFlags::NOSIGNAL)?)
    });
    if sent.await? == GREETING.len() { Ok(()) } else { Err(invalid("it takes half a line")) }
}

async fn receive(from: &UnixStream) -> io::Result<[TcpListener; SOCKETS]> {
    is_ours(from)?;
    let (text, descriptors) = from
        .async_io(Interest::READABLE, || {
            let mut text = [0; 256];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let got = recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let mut descriptors: Vec<OwnedFd> = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            Ok((text[..got.bytes].to_vec(), descriptors))
        })
        .await?;
    if text != GREETING {
        return Err(invalid("it speaks of other sockets"));
    }
    let sockets: Vec<TcpListener> = descriptors.into_iter().map(listening).collect::<io::Result<_>>()?;
    sockets.try_into().map_err(|_| invalid("it hands over another number of sockets"))
}

/// A descriptor that is a listening socket.
fn listening(descriptor: OwnedFd) -> io::Result<TcpListener> {
    if sockopt::socket_acceptconn(&descriptor)? { Ok(descriptor.into()) } else { Err(invalid("one does not listen")) }
}

/// Processes of other users are none of ours.
fn is_ours(stream: &UnixStream) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it is a process of user {uid}")))
}

/// Listens at `path`, in the place of who did before, for this user alone.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let aside = path.with_extension(std::process::id().to_string());
    match std::fs::remove_file(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, path)?;
    Ok(listener)
}

fn same(flag: &str, wanted: SocketAddr, socket: &TcpListener) -> Result<(), Failure> {
    let bound = socket.local_addr().map_err(|e| failed("a socket has no address").because(e))?;
    if wanted == bound || (wanted.port() == 0 && wanted.ip() == bound.ip()) {
        return Ok(());
    }
    Err(failed(format!("{flag} is {wanted}, and the other process listens on {bound}"))
        .fix("end the other process first, or keep its addresses"))
}

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new("FG-HUB-003", format!("cannot take over: {what}"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
