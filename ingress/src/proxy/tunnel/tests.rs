//! Tunnels over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use socket2::SockRef;

use super::carrier::{Carrier, Farewell};
use super::pair::{Limits, Pair};

const PATIENCE: Duration = Duration::from_secs(20);
const LONG: Limits = Limits { idle: PATIENCE, stall: Some(PATIENCE) };

/// A connection's two ends.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (far, _) = listener.accept().expect("accepted");
    near.set_read_timeout(Some(PATIENCE)).expect("set");
    (near, far)
}

/// The ends of a tunnel, the client's first; `early` was read before it, by the numbers of the senders.
fn tunnel(carrier: &Carrier, early: [&[u8]; 2], limits: Limits) -> (TcpStream, TcpStream, Farewell) {
    let ((near, downstream), (far, upstream)) = (connected(), connected());
    let sockets = [downstream, upstream].map(|socket| {
        socket.set_nonblocking(true).expect("set");
        mio::net::TcpStream::from_std(socket)
    });
    let farewell = carrier.carry(Pair::new(sockets, early.map(BytesMut::from), limits)).expect("taken over");
    (near, far, farewell)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

fn read_all(mut from: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).expect("read to the end");
    all
}

#[test]
fn what_was_read_before_comes_first_and_an_end_closes_one_direction_alone() {
    let carrier = Carrier::start().expect("a thread");
    let (mut near, mut far, farewell) = tunnel(&carrier, [b"up", b"down"], LONG);
    near.write_all(b" more").expect("written");
    near.shutdown(Shutdown::Write).expect("shut");
    assert_eq!(read_all(far.try_clone().expect("a handle")), b"up more");
    far.write_all(b" later").expect("the other direction goes on");
    drop(far);
    assert_eq!(read_all(near), b"down later");
    farewell.blocking_recv().expect("a word").expect("a good end");
}

#[test]
fn nothing_is_lost_when_both_send_more_than_the_other_takes_at_once() {
    let carrier = Carrier::start().expect("a thread");
    let sent = pattern(9_000_001);
    let (mut tunnels, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let (near, far, farewell) = tunnel(&carrier, [b"", b""], LONG);
        for end in [near, far] {
            let (mut out, sent) = (end.try_clone().expect("a handle"), sent.clone());
            ends.push(thread::spawn(move || {
                let writer = thread::spawn(move || {
                    out.write_all(&sent).expect("written");
                    out.shutdown(Shutdown::Write).expect("shut");
                });
                let all = read_all(end);
                writer.join().expect("no panic");
                all
            }));
        }
        tunnels.push(farewell);
    }
    for end in ends {
        assert!(end.join().expect("no panic") == sent, "byte for byte");
    }
    for farewell in tunnels {
        farewell.blocking_recv().expect("a word").expect("a good end");
    }
}

#[test]
fn the_end_that_comes_with_the_last_bytes_is_seen() {
    let carrier = Carrier::start().expect("a thread");
    for round in 0..200 {
        let (mut near, far, farewell) = tunnel(&carrier, [b"", b""], LONG);
        let bytes = pattern(1 + round * 400);
        near.write_all(&bytes).expect("written");
        near.shutdown(Shutdown::Write).expect("shut");
        far.shutdown(Shutdown::Write).expect("shut");
        assert!(read_all(far) == bytes, "{round}");
        assert!(read_all(near).is_empty());
        farewell.blocking_recv().expect("a word").expect("a good end");
    }
}

#[test]
fn a_reset_ends_both_sides() {
    let carrier = Carrier::start().expect("a thread");
    let (near, mut far, farewell) = tunnel(&carrier, [b"", b""], LONG);
    far.write_all(b"x").expect("written");
    let mut byte = [0];
    (&near).read_exact(&mut byte).expect("it is open");
    SockRef::from(&near).set_linger(Some(Duration::ZERO)).expect("set");
    drop(near);
    assert!(farewell.blocking_recv().expect("a word").is_err());
    assert!(matches!(far.read(&mut byte), Ok(0) | Err(_)));
}

#[test]
fn silence_and_a_client_that_takes_nothing_have_an_end_and_others_go_on() {
    let carrier = Carrier::start().expect("a thread");
    let (mut near, mut far, busy) = tunnel(&carrier, [b"", b""], LONG);
    let short = Duration::from_millis(200);
    let (_silent_client, _silent_endpoint, silent) = tunnel(&carrier, [b"", b""], Limits { idle: short, stall: None });
    let began = Instant::now();
    assert!(silent.blocking_recv().expect("a word").is_err());
    assert!(began.elapsed() >= short, "not before its time");
    let (_deaf, mut talker, deaf) = tunnel(&carrier, [b"", b""], Limits { idle: PATIENCE, stall: Some(short) });
    let talking = thread::spawn(move || while talker.write_all(&[0; 65_536]).is_ok() {});
    assert!(deaf.blocking_recv().expect("a word").is_err());
    talking.join().expect("no panic");
    let mut back = [0; 4];
    near.write_all(b"ping").expect("written");
    far.read_exact(&mut back).expect("through");
    assert_eq!(&back, b"ping");
    drop((near, far));
    busy.blocking_recv().expect("a word").expect("a good end");
}

#[test]
fn tunnels_end_with_who_waits_for_them_and_with_their_carrier() {
    let carrier = Carrier::start().expect("a thread");
    let (near, _endpoint, farewell) = tunnel(&carrier, [b"", b""], LONG);
    drop(farewell);
    assert!(read_all(near).is_empty(), "nobody waits");
    let (near, _endpoint, farewell) = tunnel(&carrier, [b"", b""], LONG);
    drop(carrier);
    assert!(read_all(near).is_empty(), "the carrier is gone");
    assert!(farewell.blocking_recv().is_err(), "without a word");
}
