//! HTTP/1 framing line by line: what comes in, what goes out, and that one request's bytes never become another's.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Answer, Gate, PATIENCE, Upstream, ask, exchange, read_head, scripted, snapshot};
use ingress::metrics::Count;

/// The statuses of all answers in a text, in order.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|rest| rest.get(..3).unwrap_or("")).collect()
}

/// Ingress: 4
#[tokio::test]
async fn http_1_0_is_kept_alive_only_if_it_asks() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let asked = "GET /1 HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: h\r\n\r\n";
    assert_eq!(exchange(gate.http, asked.as_bytes()).await.matches(" 200 OK").count(), 2);
    let plain = "GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n";
    let text = exchange(gate.http, plain.as_bytes()).await;
    assert_eq!(text.matches(" 200 OK").count(), 1, "{text}");
    assert!(text.contains("\"host\":\"\""), "servers of HTTP/1.1 insist on the field: {text}");
}

/// Ingress: 10
#[tokio::test]
async fn an_absolute_target_decides_host_and_route() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let ask = async |line: &str| {
        ask(gate.http, &format!("{line} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")).await
    };
    let answer = ask("GET http://only.example:7080/here?q").await;
    assert_eq!((answer.status, answer.json()["target"].as_str()), (200, Some("/here?q")));
    assert_eq!(answer.json()["headers"]["host"], "only.example:7080");
    assert_eq!(answer.json()["headers"]["x-forwarded-host"], "only.example:7080");
    assert_eq!(ask("GET http://only.example/elsewhere").await.status, 404, "not the routes of the Host field");
    // What came in is what `X-Forwarded-Proto` says, whatever scheme the target claims.
    assert_eq!(ask("GET https://h/").await.json()["headers"]["x-forwarded-proto"], "http");
    for (line, wanted) in [
        ("GET ftp://h/", 400),
        ("GET http://u@h/", 400),
        ("GET http://h:0/", 400),
        ("GET http:///x", 400),
        ("GET //h/x", 200),
        ("GET h", 400),
    ] {
        assert_eq!(ask(line).await.status, wanted, "{line}");
    }
}

/// Ingress: 11, 12
#[tokio::test]
async fn targets_and_methods_that_are_not_for_every_server() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    for (line, wanted) in [
        ("GET /a#b", 400),
        ("GET /#", 400),
        ("GET /a?b#c", 400),
        ("GET *", 400),
        ("OPTIONS *", 200),
        ("OPTIONS /", 200),
        ("CONNECT h:80", 405),
        ("CONNECT /", 405),
        ("TRACE /", 405),
        ("BREW /pot", 200),
        ("PROPFIND /x", 200),
        ("get /", 200),
        ("GET /a%20b\u{e9}?{}|\\^`", 200),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &request).await.status, wanted, "{line}");
    }
    let answer = ask(gate.http, "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.json()["target"], "*");
    assert_eq!(ask(gate.http, "get / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.json()["method"], "get");
}

/// Ingress: 14
#[tokio::test]
async fn a_target_that_is_too_long_is_a_414() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| config.heads.target_bytes = 100);
    for (length, wanted) in [(99, 200), (100, 414)] {
        let target = format!("/{}", "a".repeat(length));
        let answer = ask(gate.http, &format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, wanted);
    }
}

/// Ingress: 15
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let requests = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
                    GET /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n\
                    POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
                    POST /4 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nX-T: 1\r\n\r\n\r\n\
                    HEAD /5 HTTP/1.1\r\nHost: h\r\n\r\n\
                    GET /6 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /7 HTTP/1.1\r\nHost: h\r\n\r\n";
    for size in [1, 7, 4096] {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        for piece in requests.as_bytes().chunks(size) {
            // After the request that closes nobody reads on.
            if stream.write_all(piece).await.is_err() {
                break;
            }
        }
        let mut text = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("in time");
        drop(read);
        let targets: Vec<&str> = text.split("\"target\":\"").skip(1).map(|rest| &rest[..2]).collect();
        assert_eq!(targets, ["/1", "/2", "/3", "/4", "/6"], "pieces of {size}: {text}");
        assert_eq!(statuses(&text), ["200"; 6]);
    }
}

/// Ingress: 6
#[tokio::test]
async fn chunk_extensions_end_here() {
    let (sender, mut recorded) = tokio::sync::mpsc::unbounded_channel::<String>();
    let address = scripted(move |mut stream, head, _| {
        let sender = sender.clone();
        async move {
            let mut body = String::new();
            while !body.ends_with("0\r\n\r\n") {
                body.push(char::from(stream.read_u8().await.expect("more")));
            }
            sender.send(head + &body).expect("awaited");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("written");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;name=\"value\"\r\nabc\r\n0;last\r\n\r\n";
    assert_eq!(ask(gate.http, request).await.status, 200);
    let seen = recorded.recv().await.expect("a request");
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{seen}");
    assert!(!seen.contains("value") && !seen.contains("last"), "{seen}");
}

/// Ingress: 16
#[tokio::test]
async fn a_body_that_nobody_read_never_becomes_a_request() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| config.limits.body_bytes = Some(100_000));
    let prey = "GET /prey HTTP/1.1\r\nHost: h\r\n\r\n";
    for size in [1, 50, 2000] {
        let body = prey.repeat(size);
        for head in [
            "POST /elsewhere HTTP/1.1\r\nHost: only.example\r\n".to_owned(),
            "POST / HTTP/1.1\r\nHost: empty.example\r\n".to_owned(),
            "POST / HTTP/1.1\r\nHost: broken.example\r\n".to_owned(),
            "POST / HTTP/1.1\r\nHost: a@b\r\n".to_owned(),
            "TRACE / HTTP/1.1\r\nHost: h\r\n".to_owned(),
        ] {
            let length = body.len();
            let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
            for request in [format!("{head}Content-Length: {length}\r\n\r\n{body}"), chunked] {
                let text = exchange(
                    gate.http,
                    format!("{request}GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes(),
                )
                .await;
                assert!(!text.contains("/prey"), "{head}: {text}");
                assert!(statuses(&text).len() <= 2, "{head}: {text}");
            }
        }
    }
}

/// Ingress: 18
#[tokio::test]
async fn a_client_that_ends_in_the_middle_of_its_request_cancels_it() {
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let address = scripted(move |mut stream, _, _| {
        let sender = sender.clone();
        async move {
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
            sender.send(String::from_utf8_lossy(&rest).into_owned()).expect("awaited");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    for body in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("written");
        stream.shutdown().await.expect("half closed");
        let seen = tokio::time::timeout(PATIENCE, ended.recv()).await.expect("in time").expect("told");
        assert!(seen.contains("abc") && !seen.ends_with("0\r\n\r\n"), "no end that the client did not send: {seen}");
    }
}

/// Ingress: 19, 20, 22
#[tokio::test]
async fn bytes_after_an_answer_never_become_the_next_answer() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, answer) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"),
        ("GET", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
    ] {
        let address = scripted(move |mut stream, mut head, _| async move {
            while !head.is_empty() {
                let trap = head.contains(" /trap ");
                let answer = if trap {
                    format!("{answer}{poison}")
                } else {
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean".to_owned()
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                head = read_head(&mut stream).await;
            }
        })
        .await;
        let gate = Gate::start(&snapshot(&[address]), |config| config.workers = 1);
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        for _ in 0..3 {
            let trap = format!("{method} /trap HTTP/1.1\r\nHost: h\r\n\r\n");
            let next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
            stream.write_all(format!("{trap}{next}").as_bytes()).await.expect("written");
        }
        stream.write_all(b"GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("written");
        let mut text = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("in time").expect("text");
        assert!(!text.contains("poison"), "{method} {answer:?}: {text}");
        assert_eq!(text.matches("clean").count(), 4, "{method} {answer:?}: {text}");
    }
}

/// Ingress: 20, 21
#[tokio::test]
async fn an_answer_that_ends_too_early_is_cut_and_its_connection_is_not_kept() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ] {
        let address = scripted(move |mut stream, _, _| async move {
            stream.write_all(answer.as_bytes()).await.expect("written");
        })
        .await;
        let gate = Gate::to(&[address]);
        let text = exchange(gate.http, b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(statuses(&text).len() <= 1, "the connection ends with the answer: {text}");
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        assert_eq!(gate.running.metrics.get(Count::Reused), 0);
    }
}

/// Ingress: 19, 21
#[tokio::test]
async fn answers_that_frame_themselves_badly_are_a_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "\r\n",
    ] {
        let address = scripted(move |mut stream, _, _| async move {
            drop(stream.write_all(answer.as_bytes()).await);
        })
        .await;
        assert_eq!(Gate::to(&[address]).get("/").await.status, 502, "{answer:?}");
    }
}

/// Ingress: 21
#[tokio::test]
async fn chunking_decides_where_an_answer_has_a_length_too() {
    let address = scripted(|mut stream, _, _| async move {
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let answer = Gate::to(&[address]).get("/").await;
    assert!(
        answer.head.contains("transfer-encoding: chunked") && !answer.head.contains("content-length"),
        "{answer:?}"
    );
    assert!(answer.body.contains("hello") && answer.body.ends_with("0\r\n\r\n"), "{answer:?}");
}

/// Ingress: 26, 30
#[tokio::test]
async fn fields_of_one_hop_stay_on_it_in_both_directions() {
    let address = scripted(|mut stream, head, _| async move {
        let body = head.to_ascii_lowercase();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-T\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Server: theirs\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let gate = Gate::to(&[address]);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: x\r\nTE: gzip\r\n\
                   Proxy-Connection: x\r\nProxy-Authorization: x\r\nUpgrade: foo\r\nUser-Agent: kept/1\r\n\r\n";
    let answer = ask(gate.http, request).await;
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert!(!answer.head.contains(gone), "{gone} in {}", answer.head);
    }
    assert!(answer.head.contains("\r\ntrailer: x-t") && answer.head.contains("\r\nserver: theirs"), "{}", answer.head);
    assert_eq!(answer.head.matches("\r\ndate: ").count(), 1);
    assert!(answer.head.contains("date: thu, 01 jan 1970"), "{}", answer.head);
    for gone in ["x-own", "keep-alive", "\r\nte:", "proxy-", "upgrade", "connection:"] {
        assert!(!answer.body.contains(gone), "{gone} in {}", answer.body);
    }
    assert!(answer.body.contains("user-agent: kept/1"));
    let own = Answer::parse(&exchange(gate.http, b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n").await);
    assert_eq!(own.status, 400);
    for field in ["date", "server", "content-type", "content-length"] {
        assert!(own.head.contains(&format!("\r\n{field}: ")), "{field} in {}", own.head);
    }
}

/// Ingress: 40
#[tokio::test]
async fn target_bytes_are_forwarded_as_they_came() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    for target in [
        "/",
        "/?",
        "/??",
        "/a?b=%2F&c=d+e&&f",
        "/%7Euser/%61",
        "/a//b",
        "/a;b=c",
        "/%C3%A9",
        "/a%2Fb?x=%zz",
        "/a?/../b",
        "/?%00",
    ] {
        assert_eq!(gate.get(target).await.json()["target"], target, "{target}");
    }
}
