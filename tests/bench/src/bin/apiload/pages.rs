//! A list read page by page, as informers of old and `kubectl get` do.

use anyhow::{Context, Result, ensure};
use bench::kube::{Call, Connection};

use super::Act;
use super::seed::LISTED;

const LIMIT: usize = 500;
/// Servers write the list's metadata in the first bytes of a page.
const HEAD_BYTES: usize = 4_096;

pub fn walk() -> Act {
    Act::Pages(LISTED)
}

/// # Errors
/// A page was refused or has no end.
pub async fn read(connection: &mut Connection, path: &str) -> Result<()> {
    let mut token = String::new();
    loop {
        let page = format!("{path}?limit={LIMIT}{}{token}", if token.is_empty() { "" } else { "&continue=" });
        let (head, length) = connection.exchange_head(Call::get(&page), HEAD_BYTES).await?;
        ensure!(length > 0, "an empty page");
        match next(&head).context("a page's metadata")? {
            Some(more) => token = more,
            None => return Ok(()),
        }
    }
}

/// The continue token in the beginning of a list; none on its last page.
fn next(head: &[u8]) -> Result<Option<String>> {
    let head = String::from_utf8_lossy(head);
    let metadata = head.find("\"metadata\":{").context("no metadata")?;
    let metadata = &head[metadata..];
    let metadata = &metadata[..metadata.find('}').context("metadata does not end")?];
    let Some((_, token)) = metadata.split_once("\"continue\":\"") else { return Ok(None) };
    let token = token.split('"').next().unwrap_or("");
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn tokens_are_found() {
        let page = br#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"abc","remainingItemCount":3},"items":[{"#;
        assert_eq!(next(page).expect("a list"), Some("abc".to_owned()));
        let last =
            br#"{"kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"continue":"x"}}]}"#;
        assert_eq!(next(last).expect("a list"), None);
        assert!(next(b"{}").is_err());
    }
}
