//! HTTP/1.1 as a browser's first request: one connection, one GET, no retries and no memory.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest wait for an answer.
pub const WITHIN: Duration = Duration::from_secs(5);

/// What was answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub code: u16,
    headers: String,
    pub body: String,
}

impl Reply {
    /// The first header of this name (lower case), empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }
}

/// GETs `path` of `host` from whoever listens at `address`.
///
/// # Errors
/// Where there is no answer within [`WITHIN`].
pub async fn get(address: &str, host: &str, path: &str) -> Result<Reply, String> {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(WITHIN, exchange).await.map_err(|_| format!("no answer within {WITHIN:?}"))?;
    let answer = String::from_utf8(answer.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no head in {answer:?}"))?;
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let code = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| format!("no status in {first:?}"))?;
    Ok(Reply { code, headers: headers.to_owned(), body: body.to_owned() })
}
