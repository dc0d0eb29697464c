//! Thousands of edits under load: no request is lost, and nothing of the past is left. Counts, no times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ingress::snapshot::{IngressObject, Named, TlsSecret};
use ingress::{Snapshot, build};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Gate, Upstream, backend, options, read_head, snapshot};

/// Edits of one test, each a build and a swap.
const EDITS: usize = 1000;
/// Ingresses that are there at any time.
const INGRESSES: usize = 50;
/// Connections that ask all the time.
const CLIENTS: usize = 4;

/// One Ingress that nobody asks for, another one with each edit.
fn ingress(number: usize, edit: usize) -> Arc<IngressObject> {
    let annotations: Value = match edit % 3 {
        0 => json!({"nginx.ingress.kubernetes.io/use-regex": "true"}),
        1 => json!({"nginx.ingress.kubernetes.io/limit-rps": format!("{}", edit % 100 + 1)}),
        _ => json!({}),
    };
    let path = format!("/edit{edit}/(a|b{edit})");
    Arc::new(IngressObject::read(&json!({
        "metadata": {"namespace": "n", "name": format!("i{number}"), "creationTimestamp": "2", "annotations": annotations},
        "spec": {
            "ingressClassName": "fedgate",
            "rules": [{"host": format!("h{number}-{edit}.example"), "http": {"paths": [
                {"path": path, "pathType": "ImplementationSpecific", "backend": backend("web")},
            ]}}],
            "tls": [{"hosts": [format!("h{number}-{edit}.example")], "secretName": format!("s{}", edit % 5)}],
        },
    })))
}

async fn asks(to: std::net::SocketAddr, running: Arc<AtomicUsize>) -> usize {
    let mut stream = TcpStream::connect(to).await.expect("connect");
    let mut answered = 0;
    while running.load(Ordering::SeqCst) != 0 {
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: any\r\n\r\n").await.expect("written");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).expect("a length");
        stream.read_exact(&mut vec![0; length.parse().expect("a number")]).await.expect("a body");
        answered += 1;
    }
    answered
}

fn secrets() -> Vec<Arc<TlsSecret>> {
    let one = || {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
        let private_key = made.signing_key.serialize_pem().into_bytes();
        Arc::new(TlsSecret { certificate: made.cert.pem().into_bytes(), private_key })
    };
    (0..10).map(|_| one()).collect()
}

/// Ingress: 72, 50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_edits_loses_no_request_and_leaves_nothing_behind() {
    let ups = [Upstream::start("a").await, Upstream::start("b").await];
    let secrets = secrets();
    let mut current: Snapshot = snapshot(&[ups[0].address, ups[1].address]);
    let fixed = current.ingresses.clone();
    let mut edited: Vec<_> = (0..INGRESSES).map(|number| ingress(number, 0)).collect();
    let gate = Gate::start(&current, |_| ());
    let running = Arc::new(AtomicUsize::new(1));
    let asking: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(asks(gate.http, running.clone()))).collect();
    let mut old = Vec::new();
    let mut sizes = None;
    for edit in 1..=EDITS {
        edited[edit % INGRESSES] = ingress(edit % INGRESSES, edit);
        current.ingresses = fixed.iter().chain(&edited).cloned().collect();
        for number in 0..5 {
            let secret = &secrets[(number + edit / 100) % secrets.len()];
            current.secrets.insert(Named::new("n", &format!("s{number}")), secret.clone());
        }
        let before = gate.routes.load_full();
        let table = build(&current, Some(&before), &options());
        if edit % 100 == 0 {
            old.push(Arc::downgrade(&before));
            // Once every Ingress has been edited all tables are alike in size.
            let now = (table.routes().count(), table.accepted().len(), table.memory());
            if edit > INGRESSES * 2 {
                let known = *sizes.get_or_insert(now);
                assert_eq!((known.0, known.1), (now.0, now.1));
                assert!(now.2 <= known.2 + INGRESSES / 2, "{now:?} grew from {known:?}");
            }
        }
        gate.routes.store(Arc::new(table));
        tokio::task::yield_now().await;
    }
    running.store(0, Ordering::SeqCst);
    for each in asking {
        assert!(each.await.expect("no lost request") > 0);
    }
    assert!(old.iter().all(|table| table.upgrade().is_none()), "tables of the past are gone");
    let connections: usize = ups.iter().map(|up| up.connections.load(Ordering::SeqCst)).sum();
    assert!(connections <= CLIENTS * ups.len() * 2, "connections outlive edits: {connections}");
}
