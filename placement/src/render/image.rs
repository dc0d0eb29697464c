//! An image reference taken apart: `registry/repository:tag@digest`.
//!
//! Source: github.com/distribution/reference, `splitDockerDomain`.

use std::fmt;

/// The parts of a reference; absent ones are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub registry: String,
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

impl Image {
    pub(super) fn parse(text: &str) -> Self {
        let (rest, digest) = text.split_once('@').unwrap_or((text, ""));
        // A colon before the last slash belongs to a port.
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (rest, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], &rest[slash + colon + 1..]),
            None => (rest, ""),
        };
        let (registry, repository) = match rest.split_once('/') {
            Some((first, more)) if first.contains(['.', ':']) || first == "localhost" => (first, more),
            _ => ("", rest),
        };
        Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (before, part, after) in
            [("", &self.registry, "/"), ("", &self.repository, ""), (":", &self.tag, ""), ("@", &self.digest, "")]
        {
            if !part.is_empty() {
                write!(f, "{before}{part}{after}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn references_come_apart_and_together() {
        for (text, registry, repository, tag, digest) in [
            ("nginx", "", "nginx", "", ""),
            ("nginx:1.27", "", "nginx", "1.27", ""),
            ("library/nginx", "", "library/nginx", "", ""),
            ("r.eu/a/b:1", "r.eu", "a/b", "1", ""),
            ("r.eu:5000/a", "r.eu:5000", "a", "", ""),
            ("localhost/a:x@sha256:ff", "localhost", "a", "x", "sha256:ff"),
        ] {
            let image = Image::parse(text);
            assert_eq!(
                (image.registry.as_str(), image.repository.as_str(), image.tag.as_str(), image.digest.as_str()),
                (registry, repository, tag, digest)
            );
            assert_eq!(image.to_string(), text);
        }
    }
}
