//! The conformance suite h2spec, on TLS and on the plain port; `cargo xtask h2spec` provides the program.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::process::Command;

use crate::fixture::{Gate, Upstream};

/// The whole suite takes seconds; each case that waits in vain adds two.
const LIMIT: Duration = Duration::from_secs(600);

async fn suite(program: &str, at: SocketAddr, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command.arg("--strict").args(["-h", "127.0.0.1", "-p", &at.port().to_string()]).args(more).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("an end in time").expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ingress: 69
#[tokio::test]
#[ignore = "needs the program h2spec, whose path is in H2SPEC"]
async fn every_case_passes_on_tls_and_on_the_plain_port() {
    let program = std::env::var("H2SPEC").expect("H2SPEC");
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let mut failed = Vec::new();
    for (name, at, more) in [("TLS", gate.https, &["-t", "-k"][..]), ("h2c", gate.http, &[])] {
        let (passed, text) = suite(&program, at, more).await;
        println!("{name}: {}", text.lines().rev().find(|line| line.contains(" tests, ")).unwrap_or("no totals"));
        if !passed {
            let failures = text.split_once("Failures:").map_or(text.as_str(), |(_, failures)| failures);
            failed.push(format!("{name}:\n{failures}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
