//! DNS messages on the wire: reading a query strictly, writing an answer without allocating.
//! Knows RFC 1035 and RFC 6891; must not know what any name means.

use crate::name::NAME_MAX;

/// Length of the fixed header.
pub const HEADER: usize = 12;
/// Answers over UDP are never longer: fits every path without fragments (DNS flag day 2020).
pub const UDP_MAX: usize = 1232;
/// What a client without EDNS can take over UDP.
pub const UDP_CLASSIC: usize = 512;

pub mod rtype {
    //! Record types, by number.
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const SOA: u16 = 6;
    pub const HINFO: u16 = 13;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    /// First and last of the meta types that we refuse: TKEY, TSIG, IXFR, AXFR, MAILB, MAILA.
    pub const META: std::ops::RangeInclusive<u16> = 249..=254;
    pub const TSIG: u16 = 250;
    pub const ANY: u16 = 255;
}

/// The internet class.
pub const CLASS_IN: u16 = 1;

/// How a query was answered. Source: RFC 1035 §4.1.1, RFC 6891 §9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
}

/// What a packet is, if it is to be answered at all.
// A query is kept where it is used: boxing it would cost an allocation a packet.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Packet {
    Query(Query),
    /// Answered with a bare header.
    Bad(Rcode),
    /// Not answered: a response, or too short for a header.
    Nothing,
}

/// A question with what matters around it.
#[derive(Debug)]
pub struct Query {
    name: [u8; NAME_MAX],
    name_length: usize,
    pub qtype: u16,
    pub qclass: u16,
    /// Where the question section ends.
    pub question_end: usize,
    pub edns: Option<Edns>,
    /// Whether it is signed, which we cannot check.
    pub signed: bool,
}

/// What an OPT record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
}

impl Query {
    /// The name asked for, in lower case wire form.
    pub fn name(&self) -> &[u8] {
        &self.name[..self.name_length]
    }
}

/// Reads a packet.
pub fn parse(packet: &[u8]) -> Packet {
    let Some(header) = packet.first_chunk::<HEADER>() else { return Packet::Nothing };
    if header[2] & 0x80 != 0 {
        return Packet::Nothing;
    }
    if header[2] & 0x78 != 0 {
        return Packet::Bad(Rcode::NotImp);
    }
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    // Only IXFR has authority records in a query, and nothing has answers; we serve neither.
    if count(4) != 1 || count(6) != 0 || count(8) != 0 {
        return Packet::Bad(Rcode::FormErr);
    }
    match question(packet).and_then(|query| additional(packet, count(10), query)) {
        Some(query) => Packet::Query(query),
        None => Packet::Bad(Rcode::FormErr),
    }
}

fn question(packet: &[u8]) -> Option<Query> {
    let (mut name, mut length, mut at) = ([0; NAME_MAX], 0, HEADER);
    loop {
        let label = usize::from(*packet.get(at)?);
        // A compressed name in a question could only point backwards into the header.
        if label > 63 {
            return None;
        }
        let bytes = packet.get(at..at + 1 + label)?;
        let into = name.get_mut(length..length + 1 + label)?;
        into.copy_from_slice(bytes);
        into[1..].make_ascii_lowercase();
        length += 1 + label;
        at += 1 + label;
        if label == 0 {
            break;
        }
    }
    let fixed = packet.get(at..at + 4)?;
    Some(Query {
        name,
        name_length: length,
        qtype: u16::from_be_bytes([fixed[0], fixed[1]]),
        qclass: u16::from_be_bytes([fixed[2], fixed[3]]),
        question_end: at + 4,
        edns: None,
        signed: false,
    })
}

/// Reads the additional section: at most one OPT, a signature, nothing after the end.
fn additional(packet: &[u8], count: u16, mut query: Query) -> Option<Query> {
    let mut at = query.question_end;
    for _ in 0..count {
        let root = packet.get(at) == Some(&0);
        at = skip_name(packet, at)?;
        let fixed = packet.get(at..at + 10)?;
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        at += 10;
        packet.get(at..at + length)?;
        at += length;
        match u16::from_be_bytes([fixed[0], fixed[1]]) {
            rtype::OPT if query.edns.is_some() || !root => return None,
            rtype::OPT => {
                query.edns = Some(Edns {
                    payload: u16::from_be_bytes([fixed[2], fixed[3]]),
                    version: fixed[5],
                    dnssec_ok: fixed[6] & 0x80 != 0,
                });
            }
            rtype::TSIG => query.signed = true,
            _ => {}
        }
    }
    (at == packet.len()).then_some(query)
}

/// The position after a name; never follows a pointer, so it cannot loop.
fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    let from = at;
    loop {
        let label = *packet.get(at)?;
        match label {
            0 => return Some(at + 1),
            0xC0.. => return packet.get(at + 1).map(|_| at + 2),
            1..=63 if at - from < NAME_MAX => at += 1 + usize::from(label),
            _ => return None,
        }
    }
}

/// An answer being written: whole records until the limit, then the truncation bit.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
    answers: u16,
    authorities: u16,
    truncated: bool,
}

/// Owner of a record, as a compression pointer.
#[derive(Debug, Clone, Copy)]
pub struct Owner(u16);

impl Owner {
    /// The name in the question.
    pub const QUESTION: Self = Self(0xC000 | HEADER as u16);

    /// The tail of the name in the question that begins `at` bytes into it.
    pub fn tail(at: usize) -> Self {
        Self(Self::QUESTION.0 + u16::try_from(at).expect("a name is shorter than 256 bytes"))
    }
}

/// The part of a record before its data.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub owner: Owner,
    pub rtype: u16,
    pub ttl: u32,
}

impl<'o> Writer<'o> {
    /// Begins an answer with the query's header and question; `limit` is for everything but the OPT.
    pub fn begin(out: &'o mut Vec<u8>, packet: &[u8], question_end: usize, limit: usize) -> Self {
        out.clear();
        out.extend_from_slice(&packet[..question_end]);
        Self { out, limit, answers: 0, authorities: 0, truncated: false }
    }

    /// Appends a record to the answer section; false when there is no room, for this or any other.
    pub fn answer(&mut self, head: Head, data: &[&[u8]]) -> bool {
        let written = self.record(head, data);
        self.answers += u16::from(written);
        written
    }

    /// Appends a record to the authority section, after all answers.
    pub fn authority(&mut self, head: Head, data: &[&[u8]]) {
        let written = self.record(head, data);
        self.authorities += u16::from(written);
    }

    fn record(&mut self, head: Head, data: &[&[u8]]) -> bool {
        let length: usize = data.iter().map(|part| part.len()).sum();
        if self.truncated || self.out.len() + 12 + length > self.limit {
            self.truncated = true;
            return false;
        }
        let mut fixed = [0; 12];
        fixed[..2].copy_from_slice(&head.owner.0.to_be_bytes());
        fixed[2..4].copy_from_slice(&head.rtype.to_be_bytes());
        fixed[4..6].copy_from_slice(&CLASS_IN.to_be_bytes());
        fixed[6..10].copy_from_slice(&head.ttl.to_be_bytes());
        fixed[10..].copy_from_slice(&u16::try_from(length).expect("records of ours are short").to_be_bytes());
        self.out.extend_from_slice(&fixed);
        data.iter().for_each(|part| self.out.extend_from_slice(part));
        true
    }

    /// Ends the answer: counts, flags, and an OPT if the query had one.
    pub fn finish(self, rcode: Rcode, authoritative: bool, opt: Option<Opt>) {
        let code = rcode as u16;
        let out = self.out;
        // Of the query's flags only RD and CD come back. Source: RFC 1035 §4.1.1, RFC 4035 §3.2.2.
        out[2] = 0x80 | (out[2] & 0x01) | if authoritative { 0x04 } else { 0 } | if self.truncated { 0x02 } else { 0 };
        out[3] = (out[3] & 0x10) | (code & 0x0F) as u8;
        out[4..6].copy_from_slice(&1u16.to_be_bytes());
        out[6..8].copy_from_slice(&self.answers.to_be_bytes());
        out[8..10].copy_from_slice(&self.authorities.to_be_bytes());
        out[10..12].copy_from_slice(&u16::from(opt.is_some()).to_be_bytes());
        if let Some(opt) = opt {
            opt.write(out, (code >> 4) as u8);
        }
    }
}

/// The OPT of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    pub dnssec_ok: bool,
    /// An extended DNS error (RFC 8914).
    pub error: Option<u16>,
}

/// Stale answer: RFC 8914 §4.4.
pub const EDE_STALE: u16 = 3;
/// Not ready: RFC 8914 §4.15.
pub const EDE_NOT_READY: u16 = 14;

impl Opt {
    /// Bytes on the wire.
    pub fn length(self) -> usize {
        if self.error.is_some() { 17 } else { 11 }
    }

    fn write(self, out: &mut Vec<u8>, extended: u8) {
        let mut fixed = [0; 17];
        fixed[1..3].copy_from_slice(&rtype::OPT.to_be_bytes());
        fixed[3..5].copy_from_slice(&(UDP_MAX as u16).to_be_bytes());
        fixed[5] = extended;
        fixed[7] = if self.dnssec_ok { 0x80 } else { 0 };
        if let Some(error) = self.error {
            fixed[10] = 6;
            fixed[12] = 15;
            fixed[14] = 2;
            fixed[15..].copy_from_slice(&error.to_be_bytes());
        }
        out.extend_from_slice(&fixed[..self.length()]);
    }
}

/// A bare header: the answer to what could not be read.
pub fn refuse(out: &mut Vec<u8>, packet: &[u8], rcode: Rcode) {
    out.clear();
    let [first, second, flags, ..] = *packet else { return };
    out.extend_from_slice(&[first, second, 0x80 | (flags & 0x79), rcode as u8, 0, 0, 0, 0, 0, 0, 0, 0]);
}
