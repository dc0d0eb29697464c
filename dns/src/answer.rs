//! From a query and a zone to an answer. Pure: whoever asks passes in what varies.
//! Must not know sockets; allocates nothing once the output buffer has grown.

#[cfg(test)]
mod tests;

use crate::wire::{self, CLASS_IN, EDE_NOT_READY, EDE_STALE, Head, Opt, Owner, Packet, Query, Rcode, Writer, rtype};
use crate::zone::{Node, Other, Srv, Zone};

/// How the query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What makes one answer differ from the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Where the part of a long list begins: the same for one client for a while, so that its A and AAAA agree.
    pub part: u32,
    /// Which record of it comes first.
    pub first: u32,
}

/// Answers one packet into `out`; none if it must not be answered, `out` is then empty.
pub fn answer(zone: &Zone, packet: &[u8], transport: Transport, turn: Turn, out: &mut Vec<u8>) -> Option<Rcode> {
    match wire::parse(packet) {
        Packet::Nothing => {
            out.clear();
            None
        }
        Packet::Bad(rcode) => {
            wire::refuse(out, packet, rcode);
            Some(rcode)
        }
        Packet::Query(query) => {
            let writer = Writer::begin(out, packet, query.question_end, room(&query, transport));
            Some(Reply { zone, query, turn, writer }.send())
        }
    }
}

/// How long the answer may be, without its OPT.
fn room(query: &Query, transport: Transport) -> usize {
    let longest = match (transport, query.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => wire::UDP_CLASSIC,
        (Transport::Udp, Some(edns)) => usize::from(edns.payload).clamp(wire::UDP_CLASSIC, wire::UDP_MAX),
    };
    longest - query.edns.map_or(0, |_| Opt { dnssec_ok: false, error: Some(0) }.length())
}

struct Reply<'a> {
    zone: &'a Zone,
    query: Query,
    turn: Turn,
    writer: Writer<'a>,
}

/// What is said beside the records.
struct Verdict {
    rcode: Rcode,
    authoritative: bool,
    error: Option<u16>,
}

impl Verdict {
    fn foreign(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, error: None }
    }
}

impl Reply<'_> {
    fn send(mut self) -> Rcode {
        let verdict = self.write();
        let opt = self.query.edns.map(|edns| Opt { dnssec_ok: edns.dnssec_ok, error: verdict.error });
        self.writer.finish(verdict.rcode, verdict.authoritative, opt);
        verdict.rcode
    }

    fn write(&mut self) -> Verdict {
        let query = &self.query;
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Verdict::foreign(Rcode::BadVers);
        }
        if query.qtype == rtype::OPT {
            return Verdict::foreign(Rcode::FormErr);
        }
        let zone = self.zone;
        let Some(cut) = zone.cut(query.name()) else { return Verdict::foreign(Rcode::Refused) };
        if query.qclass != CLASS_IN || query.signed || rtype::META.contains(&query.qtype) {
            return Verdict::foreign(Rcode::Refused);
        }
        let node = zone.node(query.name());
        if !zone.ready || node.is_some_and(|node| node.unknown) {
            return Verdict { rcode: Rcode::ServFail, authoritative: false, error: Some(EDE_NOT_READY) };
        }
        let stale = node.map_or(zone.stale, |node| node.stale);
        let written = node.is_some_and(|node| self.records(node));
        if !written {
            let head = Head { owner: Owner::tail(cut), rtype: rtype::SOA, ttl: zone.ttl };
            self.writer.authority(head, &[&zone.soa]);
        }
        let rcode = if node.is_some() { Rcode::NoError } else { Rcode::NxDomain };
        Verdict { rcode, authoritative: true, error: stale.then_some(EDE_STALE) }
    }

    /// Writes what the name has of the type asked for; false if there is nothing.
    fn records(&mut self, node: &Node) -> bool {
        match self.query.qtype {
            rtype::A => self.rotated(node.a.len(), |at| node.a[at].octets()),
            rtype::AAAA => self.rotated(node.aaaa.len(), |at| node.aaaa[at].octets()),
            rtype::SRV => self.srv(&node.srv),
            // Source: RFC 8482 §4.2, so that ANY is of no use for amplification.
            rtype::ANY => self.writer.answer(self.head(rtype::HINFO, self.zone.ttl), &[b"\x07RFC8482\0"]),
            other => self.other(&node.other, other),
        }
    }

    fn head(&self, rtype: u16, ttl: u32) -> Head {
        Head { owner: Owner::QUESTION, rtype, ttl }
    }

    /// Which records come in this answer, in order.
    fn chosen(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let most = count.min(self.zone.max_addresses);
        let part = if count > most { self.turn.part as usize % count } else { 0 };
        let first = self.turn.first as usize;
        (0..most).map(move |at| (part + (first + at) % most) % count)
    }

    fn rotated<const N: usize>(&mut self, count: usize, address: impl Fn(usize) -> [u8; N]) -> bool {
        let head = self.head(self.query.qtype, self.zone.ttl);
        for at in self.chosen(count) {
            if !self.writer.answer(head, &[&address(at)]) {
                break;
            }
        }
        count > 0
    }

    fn srv(&mut self, records: &[Srv]) -> bool {
        let head = self.head(rtype::SRV, self.zone.ttl);
        // Equal shares of a hundred, as CoreDNS gives them; priority 0.
        let weight = u16::try_from(100 / records.len().max(1)).unwrap_or(1).max(1).to_be_bytes();
        for at in self.chosen(records.len()) {
            let Srv { port, target } = &records[at];
            if !self.writer.answer(head, &[&[0, 0], &weight, &port.to_be_bytes(), target.wire()]) {
                break;
            }
        }
        !records.is_empty()
    }

    fn other(&mut self, records: &[Other], rtype: u16) -> bool {
        let mut any = false;
        for record in records.iter().filter(|record| record.rtype == rtype) {
            any = true;
            self.writer.answer(self.head(rtype, record.ttl), &[&record.data]);
        }
        any
    }
}
