//! One TLS connection, without async: what is written goes out by a thread of its own, so that a server that stops
//! reading holds up nobody; what comes back is read when a test likes to.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::endpoint::PATIENCE;

pub struct Line {
    tls: ClientConnection,
    tcp: TcpStream,
    out: Sender<Vec<u8>>,
    /// Read and not looked at yet.
    buffer: Vec<u8>,
}

impl Line {
    pub fn open(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let mut tls = ClientConnection::new(config, name).expect("a configuration");
        tls.set_buffer_limit(None);
        let mut tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_nodelay(true).expect("a socket");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).expect("a handshake");
        }
        let (out, written) = channel::<Vec<u8>>();
        let mut to = tcp.try_clone().expect("a socket");
        std::thread::spawn(move || {
            // The other side may have had enough.
            while let Ok(bytes) = written.recv() {
                if to.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        Self { tls, tcp, out, buffer: Vec::new() }
    }

    /// Writes; whether the other side reads it is another matter.
    pub fn send(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("memory takes everything");
        let mut sealed = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut sealed).expect("memory takes everything");
        }
        // The thread is gone where the connection is.
        drop(self.out.send(sealed));
    }

    /// Whether there was more to read before the end.
    pub fn read(&mut self) -> bool {
        match self.tls.read_tls(&mut self.tcp) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither an answer nor an end")
            }
            Err(_) => return false,
        }
        let Ok(state) = self.tls.process_new_packets() else { return false };
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        self.tls.reader().read_exact(&mut plain).expect("it is there");
        self.buffer.extend_from_slice(&plain);
        !state.peer_has_closed()
    }

    /// Takes so many bytes.
    pub fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < bytes {
            if !self.read() && self.buffer.len() < bytes {
                return None;
            }
        }
        Some(self.buffer.drain(..bytes).collect())
    }

    /// The head of an HTTP/1.1 answer.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("text"));
            }
            if !self.read() && self.buffer.is_empty() {
                return None;
            }
        }
    }

    /// The code of an HTTP/1.1 answer whose length is known, and passes over its body.
    pub fn answer(&mut self) -> Option<u16> {
        let head = self.head()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        self.take(length.map_or(0, |length| length.parse().expect("a length")))?;
        Some(code(&head))
    }

    /// Sends an HTTP/1.1 request; the code of its answer.
    pub fn ask(&mut self, method: &str, path: &str, (token, body): (&str, &[u8])) -> u16 {
        self.send(request(method, path, token, &format!("content-length: {}", body.len())).as_bytes());
        self.send(body);
        self.answer().unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.tcp.shutdown(Shutdown::Both));
    }
}

/// The head of a request with one more header.
pub fn request(method: &str, path: &str, token: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         {more}\r\n\r\n"
    )
}

/// The code that a head tells.
pub fn code(head: &str) -> u16 {
    head.split(' ').nth(1).expect("a status line").parse().expect("a code")
}
