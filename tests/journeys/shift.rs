//! `fedgate route shift`: requests move to another cluster and back, by one command.

use std::path::Path;

use fedgate::command::route::{Route, Shift, run};
use serde_json::Value;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually, same};

use crate::shop;

/// Requests in a row: that all of them fall on one of three members by chance does not happen.
const IN_A_ROW: usize = 60;
const SHARES: &str = "ingress.fedgate.dev/cluster-shares";

fn to(shares: &str) -> Shift {
    let to = Some(shares.parse().expect("shares"));
    Shift { target: "web.localhost/".to_owned(), to, reset: false, dry_run: false }
}

async fn shift(shift: Shift, hub: &Path) -> Result<(), String> {
    run(&Route::Shift(shift), Some(hub)).await.map_err(|failure| failure.code.to_owned())
}

async fn said(federation: &Federation) -> Result<Value, String> {
    Ok(federation.hub().get("ingresses", "web").await?["metadata"]["annotations"][SHARES].clone())
}

async fn answered_by(federation: &Federation) -> Result<Vec<String>, String> {
    let mut members = Vec::new();
    for _ in 0..IN_A_ROW {
        let reply = federation.get("web.localhost", "/").await?;
        same("code", reply.code, 200)?;
        members.push(reply.header("x-cluster").to_owned());
    }
    members.sort();
    members.dedup();
    Ok(members)
}

#[tokio::test]
async fn shares_move_requests_and_a_reset_brings_them_back() {
    let federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    eventually("the demo runs", SOON, async || shop::rolled_out(federation.hub(), "web", 6).await).await;
    eventually("all members answer", SOON, async || same("members", answered_by(&federation).await?.len(), 3)).await;
    let hub = federation.kubeconfig();

    shift(Shift { dry_run: true, ..to("west=100%") }, &hub).await.expect("a dry run");
    assert_eq!(said(&federation).await, Ok(Value::Null), "a dry run changes nothing");
    assert_eq!(shift(to("mars=1%"), &hub).await, Err("FG-CLU-007".to_owned()), "no such member");
    let nobody = Shift { target: "nobody.localhost".to_owned(), ..to("west=1%") };
    assert_eq!(shift(nobody, &hub).await, Err("FG-ING-002".to_owned()), "no such host");
    assert_eq!(said(&federation).await, Ok(Value::Null), "what is refused changes nothing");

    shift(to("west=100%"), &hub).await.expect("a shift");
    assert_eq!(said(&federation).await, Ok("west=100%".into()));
    eventually("west alone answers", SOON, async || {
        same("members", answered_by(&federation).await?, vec!["west".into()])
    })
    .await;
    shift(to("west=0%,north=50%"), &hub).await.expect("another shift");
    eventually("west answers no more", SOON, async || {
        let members = answered_by(&federation).await?;
        holds(members == ["east", "north"], || format!("{members:?}"))
    })
    .await;
    shift(Shift { to: None, reset: true, ..to("west=1%") }, &hub).await.expect("a reset");
    assert_eq!(said(&federation).await, Ok(Value::Null));
    eventually("all members answer", SOON, async || same("members", answered_by(&federation).await?.len(), 3)).await;
    federation.stop().await;
}
