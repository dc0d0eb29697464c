//! Sound headers, hostile headers, and many that were sound once.

use std::net::SocketAddr;

use super::{Ends, Fault, Header, LINE, MOST, V2, crc32c, read, write};
use crate::route::Announce;

fn ends(source: &str, target: &str) -> Ends {
    let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Ends { source: parse(source), target: parse(target) }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [V2, &[command, family], &length, rest].concat()
}

/// Ingress: 35
#[test]
fn lines_of_version_1() {
    let four = Some(ends("1.2.3.4:5", "6.7.8.9:65535"));
    for (line, wanted) in [
        ("PROXY TCP4 1.2.3.4 6.7.8.9 5 65535", Ok(four)),
        ("PROXY TCP6 2001:db8::1 ::1 0 1", Ok(Some(ends("[2001:db8::1]:0", "[::1]:1")))),
        ("PROXY UNKNOWN", Ok(None)),
        ("PROXY UNKNOWN ffff:: ffff:: 1 2 whatever", Ok(None)),
        ("PROXY TCP4 1.2.3.4 6.7.8.9 5", Err(Fault::Line)),
        ("PROXY TCP4 1.2.3.4 6.7.8.9 5 6 7", Err(Fault::Line)),
        ("PROXY TCP4 1.2.3.4 6.7.8.9 5 65536", Err(Fault::Line)),
        ("PROXY TCP4 1.2.3.4 6.7.8.9 05 6", Err(Fault::Line)),
        ("PROXY TCP4 1.2.3.4 6.7.8.9 +5 6", Err(Fault::Line)),
        ("PROXY TCP4 1.2.3.4  6.7.8.9 5 6", Err(Fault::Line)),
        ("PROXY TCP4 1.2.3.256 6.7.8.9 5 6", Err(Fault::Line)),
        ("PROXY TCP4 ::1 ::1 5 6", Err(Fault::Line)),
        ("PROXY TCP6 1.2.3.4 6.7.8.9 5 6", Err(Fault::Line)),
        ("PROXY UDP4 1.2.3.4 6.7.8.9 5 6", Err(Fault::Line)),
        ("PROXY tcp4 1.2.3.4 6.7.8.9 5 6", Err(Fault::Line)),
        ("PROXY ", Err(Fault::Line)),
        ("GET / HTTP/1.1", Err(Fault::Absent)),
        ("proxy TCP4 1.2.3.4 6.7.8.9 5 6", Err(Fault::Absent)),
    ] {
        let bytes = format!("{line}\r\nGET / HTTP/1.1\r\n");
        let read = read(bytes.as_bytes()).expect("a verdict");
        assert_eq!(read, wanted.map(|ends| Header { ends, length: line.len() + 2 }), "{line}");
    }
    assert_eq!(read(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; LINE]].concat()), Some(Err(Fault::Line)));
    assert_eq!(read(b"PROXY TCP4 1.2.3.4 6.7.8.9 5 6\n"), None, "a bare LF ends nothing");
}

/// Ingress: 35
#[test]
fn headers_of_version_2() {
    let four = [1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 255, 255];
    let wanted = Some(ends("1.2.3.4:5", "6.7.8.9:65535"));
    let with = |more: &[u8]| [&four[..], more].concat();
    let mut six = [0; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
    for (bytes, wanted) in [
        (v2(0x21, 0x11, &four), Ok(wanted)),
        (v2(0x21, 0x11, &with(&[1, 0, 2, b'h', b'2', 4, 0, 0])), Ok(wanted)),
        (v2(0x21, 0x21, &six), Ok(Some(ends("[::1]:3", "[::2]:4")))),
        (v2(0x20, 0x00, &[]), Ok(None)),
        (v2(0x20, 0xff, b"anything"), Ok(None)),
        (v2(0x21, 0x00, &[]), Ok(None)),
        (v2(0x21, 0x31, &[0; 216]), Ok(None)),
        (v2(0x21, 0x12, &four), Err(Fault::Kind)),
        (v2(0x21, 0x41, &four), Err(Fault::Kind)),
        (v2(0x22, 0x11, &four), Err(Fault::Kind)),
        (v2(0x11, 0x11, &four), Err(Fault::Kind)),
        (v2(0x21, 0x11, &four[..11]), Err(Fault::Length)),
        (v2(0x21, 0x21, &four), Err(Fault::Length)),
        (v2(0x21, 0x11, &[0; MOST]), Err(Fault::Length)),
        (v2(0x21, 0x11, &with(&[1, 0])), Err(Fault::Extension)),
        (v2(0x21, 0x11, &with(&[1, 0, 9, 0])), Err(Fault::Extension)),
        (v2(0x21, 0x11, &with(&[3, 0, 4, 0, 0, 0, 0])), Err(Fault::Checksum)),
        (v2(0x21, 0x11, &with(&[3, 0, 2, 0, 0])), Err(Fault::Extension)),
    ] {
        let length = bytes.len();
        let read = read(&[&bytes[..], b"GET /"].concat()).expect("a verdict");
        assert_eq!(read, wanted.map(|ends| Header { ends, length }), "{bytes:?}");
    }
    assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283, "the check value of the algorithm");
    let mut sealed = v2(0x21, 0x11, &with(&[4, 0, 1, 0, 3, 0, 4, 0, 0, 0, 0, 4, 0, 0]));
    let sum = crc32c(sealed.iter()).to_be_bytes();
    sealed[35..39].copy_from_slice(&sum);
    assert!(matches!(read(&sealed), Some(Ok(_))), "a checksum between other extensions");
    sealed[20] ^= 1;
    assert_eq!(read(&sealed), Some(Err(Fault::Checksum)));
}

#[test]
fn what_is_written_is_read_again_and_no_part_of_it_is_enough() {
    for (source, target) in [("1.2.3.4:5", "6.7.8.9:80"), ("[2001:db8::1]:5", "[::1]:80"), ("[::1]:5", "6.7.8.9:80")] {
        let ends = ends(source, target);
        for version in [Announce::V1, Announce::V2] {
            let bytes = write(version, &ends);
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), None, "{version:?} {source} {cut}");
            }
            let header = read(&bytes).expect("whole").expect("sound");
            let found = header.ends.expect("addresses");
            let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
            assert_eq!(canonical(found.source), canonical(ends.source));
            assert_eq!(canonical(found.target), canonical(ends.target));
            assert_eq!(header.length, bytes.len());
        }
    }
    let mapped = ends("[::ffff:1.2.3.4]:5", "6.7.8.9:80");
    assert_eq!(write(Announce::V1, &mapped), b"PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
}

/// Changes sound headers at random, many times: whatever comes of it is judged without a panic and within its bytes.
#[test]
fn mutations_are_judged_soundly() {
    let seeds = [
        write(Announce::V1, &ends("1.2.3.4:5", "6.7.8.9:80")),
        write(Announce::V1, &ends("[2001:db8::1]:5", "[::1]:80")),
        write(Announce::V2, &ends("1.2.3.4:5", "6.7.8.9:80")),
        write(Announce::V2, &ends("[2001:db8::1]:5", "[::1]:80")),
        v2(0x21, 0x11, &[1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 255, 255, 1, 0, 2, b'h', b'2', 3, 0, 4, 0, 0, 0, 0]),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut verdicts = [0; 3];
    for round in 0..200_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=draw(4) {
            let at = draw(bytes.len());
            match draw(4) {
                0 => bytes[at] = u8::try_from(draw(256)).expect("a byte"),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, u8::try_from(draw(256)).expect("a byte")),
                _ => bytes[at] ^= 1 << draw(8),
            }
        }
        match read(&bytes) {
            None => verdicts[0] += 1,
            Some(Err(_)) => verdicts[1] += 1,
            Some(Ok(header)) => {
                verdicts[2] += 1;
                assert!(header.length <= bytes.len());
                assert_eq!(read(&bytes[..header.length]), Some(Ok(header)), "what follows has no say");
            }
        }
    }
    assert!(verdicts.iter().all(|count| *count > 1000), "{verdicts:?}");
}
