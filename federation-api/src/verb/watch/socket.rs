//! A watch over a WebSocket: one text message an event.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/handlers/watch.go` (HandleWS).

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use crate::body::Body;
use crate::error::ApiError;

/// Largest message that a client may send: it has nothing to say.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;

/// Whether the client wants to go on with WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let has = |name: header::HeaderName, token: &str| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
        })
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket")
}

/// The answer that accepts; the events follow over the connection.
///
/// # Errors
/// 400 for a handshake that lacks its key or has several protocols.
pub(super) fn accept(
    headers: &HeaderMap,
    upgrade: OnUpgrade,
    frames: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let bad = |why: &str| ApiError::BadRequest(format!("the WebSocket handshake {why}"));
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| bad("has no key"))?;
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad("is of another version than 13"));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = derive_accept_key(key.as_bytes());
    out.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).expect("base64 is visible ASCII"));
    if let Some(protocol) = protocol(headers) {
        out.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => tell(TokioIo::new(connection), frames).await,
            Err(error) => tracing::debug!(%error, "a watch did not become a WebSocket"),
        }
    });
    Ok(response)
}

/// The protocol that the client offers, where it is no credential.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let mut plain = offered.split(',').map(str::trim).filter(|one| !one.starts_with("base64url.bearer."));
    HeaderValue::from_str(plain.next()?).ok()
}

async fn tell<C>(connection: C, frames: impl Stream<Item = Bytes> + Send + 'static)
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let mut socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
    tokio::pin!(frames);
    loop {
        let chunk = tokio::select! {
            chunk = frames.next() => chunk,
            said = socket.next() => match said {
                Some(Ok(message)) if !message.is_close() => continue,
                Some(Ok(_)) | Some(Err(_)) | None => return,
            },
        };
        let Some(chunk) = chunk else { break };
        for event in chunk.split_inclusive(|byte| *byte == b'\n') {
            let Ok(text) = std::str::from_utf8(event) else { return };
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }
    if let Err(error) = socket.close(None).await {
        tracing::debug!(%error, "a WebSocket did not close in order");
    }
}
