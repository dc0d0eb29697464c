//! nginx's combined format: `ADDRESS - USER [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "REFERER" "AGENT"`.
//!
//! As everywhere in this log, neither path nor referer has its query. A blank in the user's name, which stands in no quotes,
//! is escaped, too: it would be the end of the field.

use super::{Asked, Stamp, address, hexadecimal, is_plain, number, protocol};
use crate::access::Fields;

/// What is known at the beginning of a request; gives where the time goes, and where status and length go.
pub fn asked(to: &mut Vec<u8>, asked: &Asked<'_>) -> [usize; 2] {
    address(to, asked);
    let time = to.len();
    to.push(b'"');
    escaped(to, asked.method);
    to.push(b' ');
    escaped(to, asked.path);
    to.push(b' ');
    to.extend_from_slice(protocol(asked.version));
    to.push(b'"');
    let status = to.len();
    to.push(b'"');
    let referer = asked.referer.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or(b"");
    escaped_or_dash(to, referer);
    to.extend_from_slice(b"\" \"");
    escaped_or_dash(to, asked.agent);
    to.push(b'"');
    [time, status]
}

/// The whole line.
pub fn line(to: &mut Vec<u8>, stamp: &Stamp, fields: &Fields) {
    let [time, status] = fields.cuts;
    to.extend_from_slice(&fields.asked[..time]);
    to.extend_from_slice(b" - ");
    user(to, &fields.user);
    to.extend_from_slice(b" [");
    to.extend_from_slice(&stamp.text);
    to.extend_from_slice(b"] ");
    to.extend_from_slice(&fields.asked[time..status]);
    to.push(b' ');
    number(to, u64::from(fields.status.as_u16()));
    to.push(b' ');
    number(to, fields.bytes);
    to.push(b' ');
    to.extend_from_slice(&fields.asked[status..]);
    to.push(b'\n');
}

fn user(to: &mut Vec<u8>, name: &[u8]) {
    if name.is_empty() {
        return to.push(b'-');
    }
    for (number, word) in name.split(|byte| *byte == b' ').enumerate() {
        if number > 0 {
            to.extend_from_slice(b"\\x20");
        }
        escaped(to, word);
    }
}

fn escaped_or_dash(to: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() { to.push(b'-') } else { escaped(to, bytes) }
}

/// As nginx does: what is not printable, quotes and backslashes as `\xXX`.
fn escaped(to: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return to.extend_from_slice(bytes);
    }
    for byte in bytes {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                let (high, low) = (hexadecimal(byte >> 4), hexadecimal(*byte));
                to.extend_from_slice(&[b'\\', b'x', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            }
            _ => to.push(*byte),
        }
    }
}
