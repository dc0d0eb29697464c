//! Two connections that became one: bytes through, in both directions, without a look at them.
//!
//! Knows nothing of who is at the ends; credentials are taken out of the upgrade before it travels.

use std::time::Duration;

use http::HeaderValue;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

/// Longest wait until both sides of an accepted upgrade have let go of HTTP.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// A WebSocket protocol that is a bearer token in disguise.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Both sides of an accepted upgrade.
pub(crate) struct Tunnel {
    pub(crate) downstream: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    /// Ends the tunnel.
    pub(crate) closed: CancellationToken,
}

impl Tunnel {
    /// Joins both sides until one ends; `to` names the other end, `held` lives as long as the tunnel.
    pub(crate) async fn run(self, to: String, held: impl Send) {
        let Self { downstream, upstream, closed } = self;
        let both = async { tokio::try_join!(downstream, upstream) };
        let (downstream, upstream) = match tokio::time::timeout(UPGRADE_TIMEOUT, both).await {
            Ok(Ok(both)) => both,
            Ok(Err(error)) => {
                tracing::debug!(%to, %error, "an upgrade broke off");
                return;
            }
            Err(_) => {
                tracing::debug!(%to, "an upgrade did not end in time");
                return;
            }
        };
        let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
        tokio::select! {
            ended = tokio::io::copy_bidirectional(&mut downstream, &mut upstream) => if let Err(error) = ended {
                tracing::debug!(%to, %error, "a tunnel broke off");
            },
            () = closed.cancelled() => tracing::debug!(%to, "a tunnel's end is gone"),
        }
        drop(held);
    }
}

/// The WebSocket protocols of a header without those that are credentials; none where nothing is left.
pub(crate) fn without_tokens(offered: &HeaderValue) -> Option<HeaderValue> {
    let all = offered.to_str().unwrap_or("").split(',').map(str::trim);
    let kept: Vec<&str> = all.filter(|one| !one.is_empty() && !one.starts_with(TOKEN_PROTOCOL)).collect();
    if kept.is_empty() { None } else { HeaderValue::from_str(&kept.join(", ")).ok() }
}
