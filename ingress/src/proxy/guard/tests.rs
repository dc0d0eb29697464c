//! Tables for the guard: each request whole, then byte by byte, with the same verdict.

use super::{Guard, State};

/// How many bytes the guard lets the parser see, when they come in pieces of `size`; and what it made of them.
fn seen(request: &[u8], size: usize) -> (Vec<u8>, bool) {
    let (mut guard, mut seen) = (Guard::default(), Vec::new());
    for piece in request.chunks(size) {
        let mut piece = piece.to_vec();
        let readable = guard.check(&mut piece);
        seen.extend_from_slice(&piece[..readable]);
        if guard.state == State::Refused {
            return (seen, false);
        }
    }
    (seen, guard.state == State::Start)
}

const HEAD: &str = "POST /x HTTP/1.1\r\nHost: h\r\n";

/// Ingress: 1, 2, 5, 7, 11, 15
#[test]
fn what_is_well_framed_passes_unchanged_in_pieces_of_any_size() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nReferer: /a#b\r\n\r\n".to_owned(),
        format!("{HEAD}Content-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("{HEAD}content-length:\t 5 \t\r\nCookie: c\r\n\r\na\nb#\0{HEAD}Connection: close\r\n\r\n"),
        format!(
            "{HEAD}TRANSFER-ENCODING: Chunked\r\n\r\n5\r\na\n#\r\n\r\n1a;x=\"\0\";y\r\n{}\r\n000\r\n\r\n",
            "z".repeat(26)
        ),
        format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y#\r\nContent-Length: 7\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        ),
        format!("GET /{} HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(300), "b".repeat(300)),
    ] {
        for size in [1, 2, 3, 7, 64, 4096] {
            let (bytes, whole) = seen(request.as_bytes(), size);
            assert!(whole && bytes == request.as_bytes(), "{request:?} in pieces of {size}");
        }
    }
}

/// Ingress: 1, 2, 3, 5, 6, 7, 11
#[test]
fn what_could_be_read_in_two_ways_is_poisoned_and_nothing_after_it_is_seen() {
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    for request in [
        "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nHost: h\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\r\n\n".to_owned(),
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        format!("{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        format!("{HEAD}Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        format!("{HEAD}Content-Length: 5, 5\r\n\r\n"),
        format!("{HEAD}Content-Length: +5\r\n\r\n"),
        format!("{HEAD}Content-Length: -5\r\n\r\n"),
        format!("{HEAD}Content-Length: 0x5\r\n\r\n"),
        format!("{HEAD}Content-Length: 5_0\r\n\r\n"),
        format!("{HEAD}Content-Length: \r\n\r\n"),
        format!("{HEAD}Content-Length:\x0b5\r\n\r\n"),
        format!("{HEAD}Content-Length: {}\r\n\r\n", "9".repeat(19)),
        format!("{HEAD}Content-Length: {}5\r\n\r\n", " ".repeat(100)),
        format!("{HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n"),
        format!("{HEAD}Transfer-Encoding: ,chunked\r\n\r\n"),
        format!("{HEAD}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{HEAD}Transfer-Encoding: chunked{}\r\n\r\n", " ".repeat(100)),
        format!("{chunked}0x5\r\n"),
        format!("{chunked}+5\r\n"),
        format!("{chunked}5_0\r\n"),
        format!("{chunked} 5\r\n"),
        format!("{chunked}5 \r\n"),
        format!("{chunked}5\n"),
        format!("{chunked}5\rX"),
        format!("{chunked}\r\n"),
        format!("{chunked};x\r\n"),
        format!("{chunked}5;x\ny\r\n"),
        format!("{chunked}5;x\ry\r\n"),
        format!("{chunked}1000000000000000\r\n"),
        format!("{chunked}1\r\nab\r\n"),
        format!("{chunked}1\r\na\n"),
        format!("{chunked}1\r\na\rb"),
        format!("{chunked}0\r\nX: y\n\r\n"),
    ] {
        let whole = format!("{request}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        for size in [1, 2, 3, 7, 64, 4096] {
            let (bytes, fine) = seen(whole.as_bytes(), size);
            assert!(!fine && bytes.last() == Some(&0), "{request:?} in pieces of {size}");
            assert!(!bytes.windows(9).any(|nine| nine == b"/smuggled"), "{request:?} in pieces of {size}");
        }
    }
}

/// Ingress: 1, 5, 7, 15
#[test]
fn bytes_of_any_kind_in_pieces_of_any_size_get_one_verdict() {
    // Pieces of requests in any order reach every state; the seed is fixed, so that a failure comes again.
    let pieces = [
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.1\r\n",
        "Host: h\r\n",
        "\r\n",
        "\n",
        "\r",
        "#",
        "Content-Length: 3\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: ",
        "abc",
        "3\r\n",
        "0\r\n",
        "0\r\n\r\n",
        ";x=y",
        "X: y\r\n",
        " ",
        "\t",
        "\0",
        "ffffffff",
        "chunked",
        "5",
        ":",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    for _ in 0..20_000 {
        let length = draw(14) + 1;
        let text: String = (0..length).map(|_| pieces[draw(pieces.len())]).collect();
        let (whole, fine) = seen(text.as_bytes(), text.len());
        for size in [1, draw(9) + 2] {
            let (again, same) = seen(text.as_bytes(), size);
            assert_eq!(fine, same, "{text:?} in pieces of {size}");
            if fine {
                assert!(again == text.as_bytes() && whole == again, "{text:?} in pieces of {size}");
            } else if whole.last() == Some(&0) {
                assert_eq!(again.last(), Some(&0), "{text:?} in pieces of {size}");
            }
        }
    }
}
