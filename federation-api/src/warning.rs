//! Warnings as headers: each once, and cut where all together are too long.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/filters/warning.go`, k8s.io/apimachinery `pkg/util/net`.

use http::{HeaderMap, HeaderValue, header};

/// Characters of all warnings together before they are cut.
const MAX_ALL_CHARS: usize = 4096;
/// Characters of one warning where they are.
const MAX_ONE_CHARS: usize = 256;

/// Writes `Warning: 299 - "text"` for each.
pub(crate) fn write(headers: &mut HeaderMap, warnings: &[String]) {
    for text in fitting(warnings) {
        let mut quoted = String::from("299 - \"");
        for c in text.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                c if c.is_control() => quoted.push(' '),
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        match HeaderValue::from_bytes(quoted.as_bytes()) {
            Ok(value) => {
                headers.append(header::WARNING, value);
            }
            Err(error) => tracing::warn!(%error, "a warning cannot be a header"),
        }
    }
}

/// The warnings that go out: whole where there is room for all, else the beginnings of as many as there is room for.
fn fitting(warnings: &[String]) -> Vec<&str> {
    let length = |text: &str| text.chars().count();
    let mut all: Vec<&str> = Vec::new();
    for text in warnings.iter().map(String::as_str).filter(|text| !text.is_empty()) {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    let mut total = 0;
    let over = all.iter().position(|text| {
        total += length(text);
        total > MAX_ALL_CHARS
    });
    let Some(over) = over else { return all };
    let mut written = 0;
    let mut cut: Vec<&str> = Vec::new();
    for (at, text) in all.into_iter().enumerate() {
        // Those before the one that was too much had their place already.
        if at > over && written >= MAX_ALL_CHARS {
            break;
        }
        let end = text.char_indices().nth(MAX_ONE_CHARS).map_or(text.len(), |(end, _)| end);
        written += length(&text[..end]);
        cut.push(&text[..end]);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::{fitting, write};
    use http::HeaderMap;

    /// Protocol: E3
    #[test]
    fn warnings_are_told_once_and_cut_where_they_are_too_long() {
        let short = ["one".to_owned(), "two".to_owned(), "one".to_owned(), String::new()];
        assert_eq!(fitting(&short), ["one", "two"]);
        let long = ["ä".repeat(4000)];
        assert_eq!(fitting(&long)[0].chars().count(), 4000, "alone it fits");
        let many: Vec<String> = (0..30).map(|at| format!("{at:02}{}", "ä".repeat(1000))).collect();
        let cut = fitting(&many);
        assert!(cut.iter().all(|text| text.chars().count() == 256));
        assert_eq!(cut.len(), 16, "and what comes after 4096 characters is left out");
        let mut headers = HeaderMap::new();
        write(&mut headers, &["a \"b\" \\ c\r\nd".to_owned()]);
        assert_eq!(headers["warning"], "299 - \"a \\\"b\\\" \\\\ c  d\"");
    }
}
