//! One DNS question over UDP and its answer, read by somebody who shares no code with the server.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;

/// Longest wait for an answer.
const WITHIN: Duration = Duration::from_secs(3);
const TYPE_A: u16 = 1;
/// Largest answer that is read.
const ANSWER_MAX: usize = 4096;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 0 no error, 2 server failure, 3 no such name.
    pub code: u8,
    /// In ascending order.
    pub addresses: Vec<Ipv4Addr>,
}

/// Asks `server` for the addresses of `name`.
///
/// # Errors
/// Where there is no answer, or not one of DNS.
pub async fn ask(server: &str, name: &str) -> Result<Reply, String> {
    let exchange = async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(server).await?;
        socket.send(&question(name)).await?;
        let mut answer = vec![0; ANSWER_MAX];
        let length = socket.recv(&mut answer).await?;
        answer.truncate(length);
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(WITHIN, exchange).await.map_err(|_| format!("no answer within {WITHIN:?}"))?;
    read(&answer.map_err(|e| e.to_string())?).ok_or_else(|| "an answer that is not DNS".to_owned())
}

fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.trim_end_matches('.').split('.') {
        packet.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    // EDNS: answers may be as long as we read.
    let size = u16::try_from(ANSWER_MAX).expect("the constant fits").to_be_bytes();
    packet.extend([0, 0, 41, size[0], size[1], 0, 0, 0, 0, 0, 0]);
    packet
}

fn read(packet: &[u8]) -> Option<Reply> {
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let code = packet.get(3)? & 0x0f;
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(packet, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        at = after_name(packet, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        if let (TYPE_A, [a, b, c, d]) = (kind, packet.get(at + 10..at + 10 + length)?) {
            addresses.push(Ipv4Addr::new(*a, *b, *c, *d));
        }
        at += 10 + length;
    }
    addresses.sort_unstable();
    Some(Reply { code, addresses })
}

fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}
