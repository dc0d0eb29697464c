//! Whether the machine at the other end of a connection acknowledges what it is sent: a slow peer does, one that vanished does not.
//!
//! Asks Linux (sock_diag(7)) about one connection at a time; elsewhere, and where that is denied, nothing is known.

use crate::announce::Ends;

/// What the system knows of a connection's other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// It has acknowledged everything, or its window is closed and it says so.
    Well,
    /// Something is on its way to it.
    Open,
    /// The same bytes were sent again and again, and nothing came back.
    Nothing,
    Unknown,
}

/// Asks about the connection from `ends.source`, ours, to `ends.target`.
#[must_use]
pub fn of(ends: Ends) -> Hearing {
    system::ask(ends)
}

/// Whether the system tells of connections such as this one, which is open.
#[must_use]
pub fn is_told(ends: Ends) -> bool {
    system::is_told(ends)
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Ends, Hearing};

    pub const fn ask(_: Ends) -> Hearing {
        Hearing::Unknown
    }

    pub const fn is_told(_: Ends) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::cell::{Cell, OnceCell};
    use std::io::{Read, Write};
    use std::net::{IpAddr, SocketAddr};

    use socket2::{Domain, Protocol, Socket, Type};

    use super::{Ends, Hearing};

    /// `AF_NETLINK`, `NETLINK_SOCK_DIAG` and `SOCK_DIAG_BY_FAMILY` of Linux.
    const NETLINK: i32 = 16;
    const SOCK_DIAG: i32 = 4;
    const BY_FAMILY: u16 = 20;
    const REQUEST: u16 = 1;
    const TCP: u8 = 6;
    const INET: u8 = 2;
    const INET6: u8 = 10;
    /// Header of a message; what is asked; what of the answer is read: `struct inet_diag_msg` begins with four bytes.
    const HEAD: usize = 16;
    const QUESTION: usize = HEAD + 56;
    const ANSWER: usize = HEAD + 4;
    /// Answers to other questions that may come before the right one.
    const STALE: usize = 8;
    /// The timer that runs is the one that sends again; the one of closed windows is another.
    const SENDS_AGAIN: u8 = 1;
    /// Times that the same bytes were sent in vain, after which nobody is believed to be there.
    const IN_VAIN: u8 = 2;
    /// Connections that the system knows nothing of, after which it is believed to deny all.
    const MISSES_MAX: u8 = 8;

    thread_local! {
        static SOCKET: OnceCell<Option<Socket>> = const { OnceCell::new() };
        static NUMBER: Cell<u32> = const { Cell::new(0) };
        static TOLD: Cell<bool> = const { Cell::new(false) };
        static MISSES: Cell<u8> = const { Cell::new(0) };
    }

    pub fn ask(ends: Ends) -> Hearing {
        let number = NUMBER.get().wrapping_add(1);
        NUMBER.set(number);
        let answer = SOCKET.with(|socket| {
            let socket = socket.get_or_init(|| open().ok()).as_ref()?;
            talk(socket, &question(ends, number)?, number).ok()
        });
        let Some([_family, _state, timer, again]) = answer else { return Hearing::Unknown };
        match timer {
            SENDS_AGAIN if again >= IN_VAIN => Hearing::Nothing,
            SENDS_AGAIN => Hearing::Open,
            _ => Hearing::Well,
        }
    }

    pub fn is_told(ends: Ends) -> bool {
        if TOLD.get() || MISSES.get() >= MISSES_MAX {
            return TOLD.get();
        }
        TOLD.set(ask(ends) != Hearing::Unknown);
        // A connection may be gone before it is asked about: once is no denial.
        MISSES.set(MISSES.get() + u8::from(!TOLD.get()));
        TOLD.get()
    }

    fn open() -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::from(NETLINK), Type::DGRAM, Some(Protocol::from(SOCK_DIAG)))?;
        // The answer is there when the question has been sent.
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// `struct nlmsghdr` and `struct inet_diag_req_v2` for one connection in any state.
    fn question(ends: Ends, number: u32) -> Option<[u8; QUESTION]> {
        let mut bytes = [0; QUESTION];
        let family = match (ends.source, ends.target) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => INET,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => INET6,
            _ => return None,
        };
        bytes[0..4].copy_from_slice(&u32::try_from(QUESTION).ok()?.to_ne_bytes());
        bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        bytes[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
        bytes[8..12].copy_from_slice(&number.to_ne_bytes());
        let (asked, id) = bytes[HEAD..].split_at_mut(8);
        (asked[0], asked[1]) = (family, TCP);
        asked[4..8].fill(0xff);
        id[0..2].copy_from_slice(&ends.source.port().to_be_bytes());
        id[2..4].copy_from_slice(&ends.target.port().to_be_bytes());
        for (at, address) in [(4, ends.source.ip()), (20, ends.target.ip())] {
            match address {
                IpAddr::V4(address) => id[at..at + 4].copy_from_slice(&address.octets()),
                IpAddr::V6(address) => id[at..at + 16].copy_from_slice(&address.octets()),
            }
        }
        // Any cookie.
        id[40..48].fill(0xff);
        Some(bytes)
    }

    /// Family, state, timer and retransmissions, as the answer begins.
    fn talk(mut socket: &Socket, question: &[u8], number: u32) -> std::io::Result<[u8; 4]> {
        socket.write_all(question)?;
        for _ in 0..STALE {
            let mut bytes = [0; 512];
            let read = socket.read(&mut bytes)?;
            if read < ANSWER || bytes[8..12] != number.to_ne_bytes() {
                continue;
            }
            if bytes[4..6] != BY_FAMILY.to_ne_bytes() {
                break;
            }
            let mut answer = [0; 4];
            answer.copy_from_slice(&bytes[HEAD..ANSWER]);
            return Ok(answer);
        }
        Err(std::io::ErrorKind::NotFound.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use socket2::{SockFilter, SockRef};

    use super::{Hearing, is_told, of};
    use crate::announce::Ends;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pair(address: &str) -> (TcpStream, TcpStream, Ends) {
        let listener = TcpListener::bind(address).expect("a free port");
        let ours = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (theirs, _) = listener.accept().expect("accepted");
        let ends = Ends { source: ours.local_addr().expect("bound"), target: ours.peer_addr().expect("connected") };
        (ours, theirs, ends)
    }

    fn until(ends: Ends, wanted: Hearing) {
        let began = Instant::now();
        while of(ends) != wanted {
            assert!(began.elapsed() < PATIENCE, "{:?}, never {wanted:?}", of(ends));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ingress: 61
    #[test]
    fn who_acknowledges_is_told_from_who_does_not() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut ours, mut theirs, ends) = pair(address);
            assert!(is_told(ends));
            ours.write_all(b"unread").expect("sent");
            until(ends, Hearing::Well);
            // From here on packets to the other side vanish.
            let drop_all = [SockFilter::new(0x06, 0, 0, 0)];
            SockRef::from(&theirs).attach_filter(&drop_all).expect("a filter");
            ours.write_all(b"lost").expect("sent");
            until(ends, Hearing::Open);
            until(ends, Hearing::Nothing);
            SockRef::from(&theirs).detach_filter().expect("the filter goes");
            theirs.read_exact(&mut [0; 10]).expect("it is sent again");
            until(ends, Hearing::Well);
            let gone = Ends { source: ([127, 0, 0, 1], 1).into(), target: ([127, 0, 0, 1], 1).into() };
            assert_eq!(of(gone), Hearing::Unknown, "nobody has this connection");
        }
    }

    /// Ingress: 61
    #[test]
    fn a_closed_window_is_no_silence() {
        let (mut ours, _theirs, ends) = pair("127.0.0.1:0");
        ours.set_nonblocking(true).expect("a socket");
        let began = Instant::now();
        // As long as several retransmissions would take.
        while began.elapsed() < Duration::from_secs(2) {
            if ours.write(&[0; 65_536]).is_err() {
                assert_ne!(of(ends), Hearing::Nothing);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
