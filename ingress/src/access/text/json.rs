//! One JSON object a line; fields that say nothing are left out.

use std::io::Write as _;
use std::time::Instant;

use super::{Asked, Stamp, address, endpoint, hexadecimal, is_plain, micros, number, protocol};
use crate::access::{Fields, GONE};

/// What is known at the beginning of a request.
pub fn asked(to: &mut Vec<u8>, asked: &Asked<'_>) {
    to.extend_from_slice(b",\"client\":\"");
    address(to, asked);
    to.extend_from_slice(b"\",\"scheme\":\"");
    to.extend_from_slice(asked.scheme);
    to.extend_from_slice(b"\",\"protocol\":\"");
    to.extend_from_slice(protocol(asked.version));
    to.extend_from_slice(b"\",\"method\":\"");
    escaped(to, asked.method);
    to.extend_from_slice(b"\",\"host\":\"");
    escaped(to, asked.host);
    to.extend_from_slice(b"\",\"path\":\"");
    escaped(to, asked.path);
    if !asked.agent.is_empty() {
        to.extend_from_slice(b"\",\"user_agent\":\"");
        escaped(to, asked.agent);
    }
    to.push(b'"');
}

/// The whole line.
pub fn line(to: &mut Vec<u8>, stamp: &Stamp, fields: &Fields, now: Instant) {
    to.extend_from_slice(b"{\"time\":\"");
    to.extend_from_slice(&stamp.text);
    to.push(b'.');
    micros(to, stamp.micros);
    to.extend_from_slice(b"Z\"");
    to.extend_from_slice(&fields.asked);
    if !fields.user.is_empty() {
        to.extend_from_slice(b",\"user\":\"");
        escaped(to, &fields.user);
        to.push(b'"');
    }
    to.extend_from_slice(b",\"status\":");
    number(to, u64::from(fields.status.as_u16()));
    to.extend_from_slice(b",\"bytes\":");
    number(to, fields.bytes);
    to.extend_from_slice(b",\"micros\":");
    let took = now.saturating_duration_since(fields.began).as_micros();
    number(to, u64::try_from(took).unwrap_or(u64::MAX));
    to.extend_from_slice(fields.route.as_bytes());
    if let Some(tried) = fields.endpoint {
        to.extend_from_slice(b",\"endpoint\":\"");
        endpoint(to, tried);
        to.extend_from_slice(b"\",\"cluster\":\"");
        to.extend_from_slice(fields.cluster.as_bytes());
        to.extend_from_slice(b"\",\"attempts\":");
        number(to, fields.attempts as u64);
    }
    if !fields.id.is_empty() {
        to.extend_from_slice(b",\"request_id\":\"");
        escaped(to, &fields.id);
        to.push(b'"');
    }
    if let Some(trace) = fields.trace {
        write!(to, ",\"trace_id\":\"{trace:032x}\"").expect("memory takes every byte");
    }
    let reason = if fields.reason.is_empty() && fields.status == GONE { "client_gone" } else { fields.reason };
    if !reason.is_empty() {
        to.extend_from_slice(b",\"reason\":\"");
        escaped(to, reason.as_bytes());
        to.push(b'"');
    }
    if fields.broken {
        to.extend_from_slice(b",\"broken\":true");
    }
    to.extend_from_slice(b"}\n");
}

/// As the inside of a JSON string; bytes that are no UTF-8 are taken for Latin-1.
fn escaped(to: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return to.extend_from_slice(bytes);
    }
    let readable = std::str::from_utf8(bytes).is_ok();
    for byte in bytes {
        match byte {
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => to.push(*byte),
            0x80.. if readable => to.push(*byte),
            _ => {
                to.extend_from_slice(b"\\u00");
                to.extend_from_slice(&[hexadecimal(byte >> 4), hexadecimal(*byte)]);
            }
        }
    }
}
