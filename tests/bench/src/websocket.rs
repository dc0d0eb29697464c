//! Just enough of RFC 6455 to make and echo short messages: two-byte frame heads, the handshake of its own example.

/// The handshake's key and what it is answered with, out of RFC 6455 §1.3: both sides know it, nobody computes.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to a handshake with [`KEY`].
pub const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The last frame of a text message.
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Longer ones have longer heads.
pub const SHORT_MAX: usize = 125;

/// What a client sends for a message of at most [`SHORT_MAX`] bytes.
///
/// # Panics
/// The message is longer.
#[must_use]
pub fn masked(message: &[u8]) -> Vec<u8> {
    assert!(message.len() <= SHORT_MAX, "a short message");
    let length = u8::try_from(message.len()).expect("at most 125");
    let mut frame = vec![TEXT, MASKED | length];
    frame.extend(MASK);
    frame.extend(message.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    frame
}

/// What a server sends for it.
///
/// # Panics
/// The message is longer.
#[must_use]
pub fn plain(message: &[u8]) -> Vec<u8> {
    assert!(message.len() <= SHORT_MAX, "a short message");
    let length = u8::try_from(message.len()).expect("at most 125");
    [TEXT, length].into_iter().chain(message.iter().copied()).collect()
}

/// Moves every whole message out of what has come into what goes back; false for a frame that [`masked`] did not make.
pub fn echo(come: &mut Vec<u8>, going: &mut Vec<u8>) -> bool {
    const HEAD: usize = 6;
    let mut at = 0;
    while let Some(&[first, second]) = come.get(at..at + 2) {
        let length = usize::from(second & !MASKED);
        if first != TEXT || second & MASKED == 0 || length > SHORT_MAX {
            return false;
        }
        let Some(frame) = come.get(at..at + HEAD + length) else { break };
        let (mask, message) = frame[2..].split_at(4);
        going.extend([first, second & !MASKED]);
        going.extend(message.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        at += HEAD + length;
    }
    come.drain(..at);
    true
}

#[cfg(test)]
mod tests {
    use super::{echo, masked, plain};

    #[test]
    fn messages_come_back_as_they_were() {
        let frame = masked(b"hello");
        let (mut come, mut going) = (Vec::new(), Vec::new());
        for byte in frame.iter().chain(&frame) {
            come.push(*byte);
            assert!(echo(&mut come, &mut going));
        }
        assert_eq!(going, [plain(b"hello"), plain(b"hello")].concat());
        assert!(come.is_empty());
        assert!(!echo(&mut plain(b"no mask"), &mut going));
    }
}
