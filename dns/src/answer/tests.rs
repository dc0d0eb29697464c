//! Questions and answers: a table of names and types, the rules of the protocol, and packets from enemies.

use std::net::{Ipv4Addr, Ipv6Addr};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Transport, Turn, answer};
use crate::name::Name;
use crate::wire::{Rcode, rtype};
use crate::zone::tests::zone;
use crate::zone::{Zone, ZoneOptions};

const FIXTURE: &str = "
    cluster east complete
    cluster west complete
    service test/web
    slice east test/web http:8080/TCP 10.0.1.1 10.0.1.2!
    slice west test/web http:8080/TCP 10.0.2.1
    slice west test/web http:8080/TCP fd00::1
    service test/db headless
    slice east test/db pg:5432/TCP db-0=10.0.1.5 db-1=10.0.1.6!
    slice west test/db pg:5432/TCP db-0=10.0.2.5 10.0.2.6
    slice west test/db pg:5432/TCP fd00::
    service test/dual
    slice east test/dual a:42/TCP,b:42/UDP,:43/TCP 10.0.1.7
    service test/idle
    slice east test/idle http:80/TCP 10.0.1.8!
    service other/deep
    slice east other/deep http:80/TCP 10.0.1.9
    slice east test/undeclared http:80/TCP 10.0.1.10";

fn fixture() -> Zone {
    zone(&ZoneOptions::default(), FIXTURE)
}

/// A query; `edns` is the payload size.
fn query(name: &str, qtype: u16, edns: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    // Not through `Name`, which would lower the case.
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&[(qtype >> 8) as u8, qtype as u8, 0, 1]);
    if let Some(payload) = edns {
        packet.extend_from_slice(&[0, 0, 41, (payload >> 8) as u8, payload as u8, 0, 0, 0, 0, 0, 0]);
    }
    packet
}

/// An answer, read back by means that the crate itself does not use.
#[derive(Debug, Default)]
struct Read {
    flags: (u8, u8),
    answers: Vec<String>,
    authority: Vec<String>,
    opt: Option<Vec<u8>>,
    length: usize,
}

impl Read {
    fn rcode(&self) -> u8 {
        self.flags.1 & 0x0F
    }
    fn authoritative(&self) -> bool {
        self.flags.0 & 0x04 != 0
    }
    fn truncated(&self) -> bool {
        self.flags.0 & 0x02 != 0
    }
}

fn read_name(packet: &[u8], mut at: usize) -> (String, usize) {
    let (mut labels, mut end) = (Vec::new(), None);
    loop {
        match packet[at] {
            0 => return (labels.join("."), end.unwrap_or(at + 1)),
            high @ 0xC0.. => {
                end.get_or_insert(at + 2);
                at = usize::from(high & 0x3F) << 8 | usize::from(packet[at + 1]);
            }
            length => {
                labels.push(String::from_utf8_lossy(&packet[at + 1..at + 1 + usize::from(length)]).into_owned());
                at += 1 + usize::from(length);
            }
        }
    }
}

fn read(packet: &[u8]) -> Read {
    let word = |at: usize| usize::from(packet[at]) << 8 | usize::from(packet[at + 1]);
    let mut read = Read { flags: (packet[2], packet[3]), length: packet.len(), ..Read::default() };
    let mut at = 12;
    for _ in 0..word(4) {
        at = read_name(packet, at).1 + 4;
    }
    for section in [6, 8, 10] {
        for _ in 0..word(section) {
            let (owner, fixed) = read_name(packet, at);
            let (kind, length, data) = (word(fixed) as u16, word(fixed + 8), fixed + 10);
            at = data + length;
            let bytes = &packet[data..at];
            let text = match kind {
                rtype::A => format!("A {}", Ipv4Addr::from(<[u8; 4]>::try_from(bytes).expect("four"))),
                rtype::AAAA => format!("AAAA {}", Ipv6Addr::from(<[u8; 16]>::try_from(bytes).expect("sixteen"))),
                rtype::SRV => format!(
                    "SRV {} {} {} {}",
                    word(data),
                    word(data + 2),
                    word(data + 4),
                    read_name(packet, data + 6).0
                ),
                rtype::TXT => format!("TXT {}", String::from_utf8_lossy(&bytes[1..])),
                rtype::SOA => format!("SOA {} ttl {}", owner, word(fixed + 6)),
                rtype::NS => format!("NS {}", read_name(packet, data).0),
                rtype::HINFO => "HINFO".to_owned(),
                rtype::OPT => {
                    read.opt = Some(packet[fixed..at].to_vec());
                    continue;
                }
                other => panic!("type {other}"),
            };
            if section == 6 { &mut read.answers } else { &mut read.authority }.push(text);
        }
    }
    assert_eq!(at, packet.len(), "nothing after the end");
    read
}

fn ask(zone: &Zone, packet: &[u8], transport: Transport, turn: Turn) -> Read {
    let mut out = Vec::new();
    let rcode = answer(zone, packet, transport, turn, &mut out).expect("answered");
    assert_eq!(out[..2], packet[..2], "the query's id");
    let read = read(&out);
    assert_eq!(read.rcode(), rcode as u8 & 0x0F);
    read
}

/// `TYPE NAME` → `RCODE: answers`, sorted; names are below clusterset.local unless they end in a dot.
fn line(zone: &Zone, question: &str) -> String {
    let (kind, name) = question.split_once(' ').expect("TYPE NAME");
    let kind = match kind {
        "A" => rtype::A,
        "AAAA" => rtype::AAAA,
        "SRV" => rtype::SRV,
        "TXT" => rtype::TXT,
        "SOA" => rtype::SOA,
        "NS" => rtype::NS,
        "ANY" => rtype::ANY,
        "HTTPS" => 65,
        "AXFR" => 252,
        other => panic!("{other}"),
    };
    let name = if name.ends_with('.') { name.to_owned() } else { format!("{name}.clusterset.local") };
    let mut read = ask(zone, &query(&name, kind, None), Transport::Udp, Turn::default());
    read.answers.sort();
    let told = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"][usize::from(read.rcode())];
    assert_eq!(read.authoritative(), matches!(told, "NOERROR" | "NXDOMAIN"), "{question}");
    let negative = read.answers.is_empty() && read.authoritative();
    let soa: &[&str] = if negative { &["SOA clusterset.local ttl 5"] } else { &[] };
    assert_eq!(read.authority, soa, "{question}");
    format!("{told}: {}", read.answers.join(", "))
}

#[test]
fn names_and_types() {
    let zone = fixture();
    let table = [
        ("A web.test.svc", "NOERROR: A 10.0.1.1, A 10.0.2.1"),
        ("AAAA web.test.svc", "NOERROR: AAAA fd00::1"),
        ("SRV web.test.svc", "NOERROR: SRV 0 100 8080 web.test.svc.clusterset.local"),
        ("SRV _http._tcp.web.test.svc", "NOERROR: SRV 0 100 8080 web.test.svc.clusterset.local"),
        ("A _http._tcp.web.test.svc", "NOERROR: "),
        ("A _tcp.web.test.svc", "NOERROR: "),
        ("SRV _nope._tcp.web.test.svc", "NXDOMAIN: "),
        ("SRV _http._udp.web.test.svc", "NXDOMAIN: "),
        ("A east.web.test.svc", "NXDOMAIN: "),
        ("AAAA dual.test.svc", "NOERROR: "),
        ("TXT web.test.svc", "NOERROR: "),
        ("HTTPS web.test.svc", "NOERROR: "),
        ("ANY web.test.svc", "NOERROR: HINFO"),
        // Several ports of one target are one record a number.
        (
            "SRV dual.test.svc",
            "NOERROR: SRV 0 50 42 dual.test.svc.clusterset.local, SRV 0 50 43 dual.test.svc.clusterset.local",
        ),
        ("SRV _a._tcp.dual.test.svc", "NOERROR: SRV 0 100 42 dual.test.svc.clusterset.local"),
        ("SRV _b._udp.dual.test.svc", "NOERROR: SRV 0 100 42 dual.test.svc.clusterset.local"),
        // Headless: endpoints have names, by host name or by address.
        ("A db.test.svc", "NOERROR: A 10.0.1.5, A 10.0.2.5, A 10.0.2.6"),
        ("AAAA db.test.svc", "NOERROR: AAAA fd00::"),
        ("A db-0.east.db.test.svc", "NOERROR: A 10.0.1.5"),
        ("A db-0.west.db.test.svc", "NOERROR: A 10.0.2.5"),
        ("A db-1.east.db.test.svc", "NXDOMAIN: "),
        ("A 10-0-2-6.west.db.test.svc", "NOERROR: A 10.0.2.6"),
        ("AAAA fd00--0.west.db.test.svc", "NOERROR: AAAA fd00::"),
        ("A east.db.test.svc", "NOERROR: "),
        ("A north.db.test.svc", "NXDOMAIN: "),
        (
            "SRV _pg._tcp.db.test.svc",
            "NOERROR: SRV 0 25 5432 10-0-2-6.west.db.test.svc.clusterset.local, SRV 0 25 5432 db-0.east.db.test.svc.clusterset.local, SRV 0 25 5432 db-0.west.db.test.svc.clusterset.local, SRV 0 25 5432 fd00--0.west.db.test.svc.clusterset.local",
        ),
        // What has no ready endpoint, and what is no service of ours.
        ("A idle.test.svc", "NXDOMAIN: "),
        ("A undeclared.test.svc", "NXDOMAIN: "),
        ("A nope.test.svc", "NXDOMAIN: "),
        ("A web.nope.svc", "NXDOMAIN: "),
        ("A test.svc", "NOERROR: "),
        ("A nope.svc", "NXDOMAIN: "),
        ("A svc", "NOERROR: "),
        ("A web.test", "NXDOMAIN: "),
        // The top of the zone.
        ("SOA clusterset.local.", "NOERROR: SOA clusterset.local ttl 5"),
        ("NS clusterset.local.", "NOERROR: NS ns.dns.clusterset.local"),
        ("A clusterset.local.", "NOERROR: "),
        ("A ns.dns", "NOERROR: "),
        ("TXT dns-version", "NOERROR: TXT 1.0.0"),
        // Not ours.
        ("A example.com.", "REFUSED: "),
        ("A local.", "REFUSED: "),
        ("A .", "REFUSED: "),
        ("A xclusterset.local.", "REFUSED: "),
        ("A web.test.svc.cluster.local.", "REFUSED: "),
        ("AXFR clusterset.local.", "REFUSED: "),
    ];
    for (question, expected) in table {
        assert_eq!(line(&zone, question), expected, "{question}");
    }
}

#[test]
fn the_question_comes_back_byte_for_byte() {
    let packet = query("wEb.TeSt.SvC.ClusterSet.LOCAL", rtype::A, None);
    let mut out = Vec::new();
    answer(&fixture(), &packet, Transport::Udp, Turn::default(), &mut out).expect("answered");
    assert_eq!(out[12..packet.len()], packet[12..]);
    assert_eq!(read(&out).answers.len(), 2);
    assert_eq!(out[2] & 0x01, 1, "recursion desired comes back");
    assert_eq!(out[3] & 0x80, 0, "recursion is not available");
}

#[test]
fn nothing_is_denied_before_anything_is_known() {
    let zone = Zone::unknown(&ZoneOptions::default());
    let read =
        ask(&zone, &query("web.test.svc.clusterset.local", rtype::A, Some(1232)), Transport::Udp, Turn::default());
    assert_eq!((read.rcode(), read.authoritative()), (Rcode::ServFail as u8, false));
    assert_eq!(read.opt.expect("an OPT").split_off(10), [0, 15, 0, 2, 0, 14], "extended error 14: not ready");
    assert_eq!(line(&zone, "A example.com."), "REFUSED: ");
}

#[test]
fn absences_of_clusters_that_are_not_heard_are_not_told_as_facts() {
    let never_heard = zone(&ZoneOptions::default(), "cluster east complete\ncluster west\nservice test/web");
    assert_eq!(line(&never_heard, "A web.test.svc"), "SERVFAIL: ");
    assert_eq!(line(&never_heard, "A nope.test.svc"), "NXDOMAIN: ", "the hub itself knows its services");
    let lost = "cluster east complete\ncluster west\nservice test/web\nslice west test/web :80/TCP 10.0.0.1";
    let lost = zone(&ZoneOptions::default(), lost);
    let read =
        ask(&lost, &query("web.test.svc.clusterset.local", rtype::A, Some(1232)), Transport::Udp, Turn::default());
    assert_eq!(read.answers, ["A 10.0.0.1"]);
    assert_eq!(read.opt.expect("an OPT").split_off(10), [0, 15, 0, 2, 0, 3], "extended error 3: stale answer");
}

/// A zone whose one service has this many addresses.
fn crowd(count: u32, options: &ZoneOptions) -> Zone {
    let addresses: Vec<_> = (0..count).map(|n| Ipv4Addr::from(0x0A00_0001 + n).to_string()).collect();
    zone(options, &format!("cluster e complete\nservice test/web\nslice e test/web :80/TCP {}", addresses.join(" ")))
}

const WEB: &str = "web.test.svc.clusterset.local";

#[test]
fn answers_rotate_and_long_lists_are_cut_to_a_part() {
    let few = crowd(4, &ZoneOptions::default());
    let firsts: Vec<_> = (0..4)
        .map(|first| {
            let read = ask(&few, &query(WEB, rtype::A, None), Transport::Udp, Turn { part: 9, first });
            assert_eq!(read.answers.len(), 4);
            read.answers[0].clone()
        })
        .collect();
    assert_eq!(firsts, ["A 10.0.0.1", "A 10.0.0.2", "A 10.0.0.3", "A 10.0.0.4"]);
    let many = crowd(100, &ZoneOptions::default());
    let part = |part, first| {
        let mut read = ask(&many, &query(WEB, rtype::A, Some(1232)), Transport::Udp, Turn { part, first });
        assert!(!read.truncated());
        read.answers.sort();
        read.answers
    };
    assert_eq!(part(70, 0).len(), 32);
    assert_eq!(part(70, 0), part(70, 5), "the part is the client's, only the order changes");
    assert_ne!(part(70, 0), part(10, 0));
    assert_eq!(part(u32::MAX, u32::MAX).len(), 32);
}

#[test]
fn answers_fit_the_transport_and_say_when_they_are_cut() {
    let zone = crowd(200, &ZoneOptions { max_addresses: 200, ..ZoneOptions::default() });
    let sizes =
        [(None, 512), (Some(100), 512), (Some(512), 512), (Some(700), 700), (Some(1232), 1232), (Some(65535), 1232)];
    for (payload, limit) in sizes {
        let read = ask(&zone, &query(WEB, rtype::A, payload), Transport::Udp, Turn::default());
        assert!(read.truncated() && read.length <= limit && read.length > limit - 40, "{payload:?}: {}", read.length);
        assert_eq!(read.opt.is_some(), payload.is_some());
    }
    let read = ask(&zone, &query(WEB, rtype::A, None), Transport::Tcp, Turn::default());
    assert_eq!((read.truncated(), read.answers.len()), (false, 200));
}

#[test]
fn edns() {
    let zone = fixture();
    let with = |edit: fn(&mut Vec<u8>, usize)| {
        let mut packet = query(WEB, rtype::A, Some(4096));
        let opt = packet.len() - 11;
        edit(&mut packet, opt);
        ask(&zone, &packet, Transport::Udp, Turn::default())
    };
    let opt = with(|_, _| {}).opt.expect("an OPT");
    assert_eq!(opt, [0, 41, 4, 208, 0, 0, 0, 0, 0, 0], "our own size, nothing echoed");
    let later = with(|packet, opt| packet[opt + 6] = 1);
    assert_eq!((later.rcode(), later.answers.len()), (0, 0));
    assert_eq!(later.opt.expect("an OPT")[4..6], [1, 0], "BADVERS is 16, version 0");
    let flags = with(|packet, opt| packet[opt + 7..opt + 9].copy_from_slice(&[0xFF, 0xFF]));
    assert_eq!(flags.opt.expect("an OPT")[6..8], [0x80, 0], "only DO comes back");
    let option = with(|packet, opt| {
        packet[opt + 10] = 8;
        packet.extend_from_slice(&[0, 10, 0, 4, 1, 2, 3, 4]);
    });
    assert_eq!((option.answers.len(), option.opt.expect("an OPT").len()), (2, 10), "unknown options are ignored");
    let mut twice = query(WEB, rtype::A, Some(4096));
    twice.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    twice[11] = 2;
    assert_eq!(ask(&zone, &twice, Transport::Udp, Turn::default()).rcode(), Rcode::FormErr as u8);
}

#[test]
fn what_is_no_query_is_not_answered() {
    let zone = fixture();
    let mut response = query(WEB, rtype::A, None);
    response[2] |= 0x80;
    for packet in [&[][..], &[0x12], &response[..11], &response] {
        let mut out = vec![1, 2, 3];
        assert_eq!(answer(&zone, packet, Transport::Udp, Turn::default(), &mut out), None);
        assert!(out.is_empty());
    }
}

#[test]
fn what_is_malformed_is_refused_with_a_bare_header() {
    let zone = fixture();
    let good = query(WEB, rtype::A, None);
    let edited = |edit: fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        edit(&mut packet);
        packet
    };
    let header = |rest: &[u8]| [&good[..12], rest].concat();
    let long_label = header(&[&[64][..], &[b'a'; 64], &[0, 0, 1, 0, 1]].concat());
    let long_name = header(&[[&[63][..], &[b'a'; 63]].concat().repeat(4), vec![0, 0, 1, 0, 1]].concat());
    let cases: [(&str, Vec<u8>, Rcode); 18] = [
        ("no question", edited(|p| p[5] = 0), Rcode::FormErr),
        ("two questions", edited(|p| p[5] = 2), Rcode::FormErr),
        ("many questions", edited(|p| p[4] = 255), Rcode::FormErr),
        ("an answer", edited(|p| p[7] = 1), Rcode::FormErr),
        ("an authority", edited(|p| p[9] = 1), Rcode::FormErr),
        ("additional records that are not there", edited(|p| p[11] = 1), Rcode::FormErr),
        ("many of them", edited(|p| p[10] = 255), Rcode::FormErr),
        ("something after the end", edited(|p| p.push(0)), Rcode::FormErr),
        ("only a header", good[..12].to_vec(), Rcode::FormErr),
        ("a cut name", good[..20].to_vec(), Rcode::FormErr),
        ("a cut type", good[..good.len() - 3].to_vec(), Rcode::FormErr),
        ("a name that points to itself", header(&[0xC0, 12, 0, 1, 0, 1]), Rcode::FormErr),
        ("a name that points to the header", header(&[3, b'w', b'e', b'b', 0xC0, 0, 0, 1, 0, 1]), Rcode::FormErr),
        ("a label of 64", long_label, Rcode::FormErr),
        ("a label of an unknown kind", header(&[0x41, 1, 0, 0, 1, 0, 1]), Rcode::FormErr),
        ("a name of 257", long_name, Rcode::FormErr),
        ("an update", edited(|p| p[2] = 5 << 3), Rcode::NotImp),
        ("a status request", edited(|p| p[2] = 2 << 3), Rcode::NotImp),
    ];
    for (what, packet, rcode) in cases {
        let mut out = Vec::new();
        assert_eq!(answer(&zone, &packet, Transport::Udp, Turn::default(), &mut out), Some(rcode), "{what}");
        assert_eq!((out.len(), &out[..2], out[2] & 0x80), (12, &packet[..2], 0x80), "{what}");
    }
    let mut chaos = good.clone();
    let end = chaos.len();
    chaos[end - 1] = 3;
    assert_eq!(ask(&zone, &chaos, Transport::Udp, Turn::default()).rcode(), Rcode::Refused as u8);
    let mut looped = query(WEB, rtype::A, None);
    looped[11] = 1;
    let at = looped.len() as u8;
    looped.extend_from_slice(&[0xC0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        ask(&zone, &looped, Transport::Udp, Turn::default()).answers.len(),
        2,
        "a pointer is skipped, never followed"
    );
}

#[test]
fn the_longest_names_are_looked_up() {
    let labels = [&"a".repeat(63), &"b".repeat(63), &"c".repeat(63)].map(String::as_str).join(".");
    let name = format!("{labels}.{}.clusterset.local", "d".repeat(43));
    assert_eq!(Name::parse(&name).expect("fits").wire().len(), 254);
    let read = ask(&fixture(), &query(&name, rtype::A, Some(512)), Transport::Udp, Turn::default());
    assert_eq!((read.rcode(), read.authority.len()), (Rcode::NxDomain as u8, 1));
}

/// Random packets, and good ones with random damage. No panic, no answer to a response, and never
/// more bytes out than the limit; what is refused as malformed is answered with no more than a header.
#[test]
fn no_packet_is_answered_with_a_panic_or_too_much() {
    let seed = 53;
    let mut rng = StdRng::seed_from_u64(seed);
    let zone = crowd(100, &ZoneOptions { max_addresses: 100, ..ZoneOptions::default() });
    let seeds = [
        query(WEB, rtype::A, None),
        query(WEB, rtype::ANY, Some(4096)),
        query("_http._tcp.web.test.svc.clusterset.local", rtype::SRV, Some(1232)),
        query("nope.example.com", rtype::TXT, Some(0)),
    ];
    let (mut out, mut answered) = (Vec::new(), 0);
    for round in 0..150_000 {
        let mut packet = seeds[rng.random_range(0..seeds.len())].clone();
        if round % 3 == 0 {
            packet = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
            // Let half of them past the first look at the header.
            if packet.len() > 12 && rng.random() {
                packet[2..12].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, rng.random_range(0..3)]);
            }
        } else {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..packet.len());
                match rng.random_range(0..4) {
                    0 => packet[at] = rng.random(),
                    1 => packet[at] ^= 1 << rng.random_range(0..8),
                    2 => packet.truncate(at.max(1)),
                    _ => packet.insert(at, rng.random()),
                }
            }
        }
        let turn = Turn { part: rng.random(), first: rng.random() };
        let transport = if rng.random() { Transport::Udp } else { Transport::Tcp };
        let rcode = answer(&zone, &packet, transport, turn, &mut out);
        let is_query = packet.len() >= 12 && packet[2] & 0x80 == 0;
        assert_eq!(rcode.is_some(), is_query, "seed {seed}, round {round}");
        if transport == Transport::Udp {
            assert!(out.len() <= 1232, "seed {seed}, round {round}");
        }
        if rcode.is_some() {
            let read = read(&out);
            assert!(read.flags.0 & 0x80 != 0, "it is a response");
            answered += usize::from(!read.answers.is_empty());
        }
    }
    assert!(answered > 1000, "some of it was still answered: {answered}");
}
