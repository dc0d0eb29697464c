//! Content negotiation: what the client accepts, what it sends.
//!
//! Answers are JSON or YAML; protobuf is read and never written. Source: `k8s.io/apiserver` handlers/negotiation.

use federation_schema::decode::Format;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What a 406 lists.
pub const PRODUCED: &str = "application/json, application/yaml";
/// What a 415 lists for built-in kinds.
pub const TAKEN: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Yaml,
}

/// What an answer is turned into first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convert {
    Table(MetaVersion),
    Partial(MetaVersion),
    PartialList(MetaVersion),
    /// `APIGroupDiscoveryList` v2.
    Discovery,
}

/// The version of `meta.k8s.io` that the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaVersion {
    V1,
    V1Beta1,
}

/// The first clause of `Accept` that can be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub encoding: Encoding,
    pub convert: Option<Convert>,
    pub pretty: bool,
}

/// Why a request cannot be met in any format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    #[error("only the following media types are accepted: {PRODUCED}")]
    NotAcceptable,
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    Unsupported(&'static str),
}

/// One clause of `Accept`.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl MetaVersion {
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// Chooses the format of an answer; `allows` tells which conversions the endpoint knows.
///
/// # Errors
/// [`NegotiateError::NotAcceptable`] where no clause can be met.
pub fn accept(header: &str, allows: impl Fn(Convert) -> bool) -> Result<Accepted, NegotiateError> {
    if header.trim().is_empty() {
        return Ok(Accepted { encoding: Encoding::Json, convert: None, pretty: false });
    }
    let mut clauses: Vec<Clause<'_>> = header.split(',').filter_map(clause).collect();
    clauses.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
    clauses.iter().find_map(|clause| clause.choose(&allows)).ok_or(NegotiateError::NotAcceptable)
}

/// An object or list of a resource: Tables and partial metadata can be had.
pub fn object_conversions(convert: Convert) -> bool {
    !matches!(convert, Convert::Discovery)
}

/// The format of a body on a built-in kind; absent is JSON.
///
/// # Errors
/// [`NegotiateError::Unsupported`].
pub fn body_format(content_type: &str) -> Result<Format, NegotiateError> {
    match essence(content_type).to_ascii_lowercase().as_str() {
        "" | JSON => Ok(Format::Json),
        YAML => Ok(Format::Yaml),
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(NegotiateError::Unsupported(TAKEN)),
    }
}

/// `application/json;charset=utf-8` → `application/json`.
pub fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// Whether a person reads the answer: `?pretty=` where it is said, else by the client's name.
pub fn wants_pretty(query: Option<&str>, user_agent: &str) -> bool {
    match query {
        Some(value) if !value.is_empty() => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => ["curl", "Wget", "Mozilla/5.0"].iter().any(|name| user_agent.starts_with(name)),
    }
}

impl Clause<'_> {
    /// Higher first; wildcards after what is named.
    fn rank(&self) -> f32 {
        let wildcard = if self.kind == "*" { 2.0 } else { f32::from(u8::from(self.subtype == "*")) };
        self.quality * 1000.0 - wildcard * 0.1
    }

    fn choose(&self, allows: &impl Fn(Convert) -> bool) -> Option<Accepted> {
        if self.quality <= 0.0 {
            return None;
        }
        let encoding = match (self.kind, self.subtype) {
            ("*", "*") | ("application", "*" | "json") => Encoding::Json,
            ("application", "yaml") => Encoding::Yaml,
            _ => return None,
        };
        let of = |name: &str| self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let convert = match of("as") {
            None if of("g").is_none() && of("v").is_none() => None,
            None => return None,
            Some(kind) => Some(conversion(kind, of("g").unwrap_or(""), of("v").unwrap_or(""))?),
        };
        if convert.is_some_and(|convert| !allows(convert)) {
            return None;
        }
        if of("stream").is_some_and(|stream| stream != "watch") || of("sv").is_some() {
            return None;
        }
        let pretty = of("pretty").is_some_and(|value| value == "1" || value == "true");
        Some(Accepted { encoding, convert, pretty })
    }
}

fn conversion(kind: &str, group: &str, version: &str) -> Option<Convert> {
    if (kind, group, version) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") {
        return Some(Convert::Discovery);
    }
    let version = match (group, version) {
        ("meta.k8s.io", "v1") => MetaVersion::V1,
        ("meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
        _ => return None,
    };
    match kind {
        "Table" => Some(Convert::Table(version)),
        "PartialObjectMetadata" => Some(Convert::Partial(version)),
        "PartialObjectMetadataList" => Some(Convert::PartialList(version)),
        _ => None,
    }
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut clause = Clause { kind, subtype, quality: 1.0, parameters: Vec::new() };
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if key == "q" {
            clause.quality = value.parse().ok().filter(|q: &f32| (0.0..=1.0).contains(q)).unwrap_or(1.0);
        } else {
            clause.parameters.push((key, value));
        }
    }
    Some(clause)
}

#[cfg(test)]
mod tests {
    use super::{Accepted, Convert, Encoding, MetaVersion, accept, body_format, object_conversions, wants_pretty};
    use federation_schema::decode::Format;

    fn plain(encoding: Encoding) -> Accepted {
        Accepted { encoding, convert: None, pretty: false }
    }

    /// Protocol: N1, N6
    #[test]
    fn the_best_clause_that_can_be_met_wins() {
        let table = |version| Accepted { convert: Some(Convert::Table(version)), ..plain(Encoding::Json) };
        for (header, wanted) in [
            ("", plain(Encoding::Json)),
            ("*/*", plain(Encoding::Json)),
            ("application/yaml", plain(Encoding::Yaml)),
            ("application/json;q=0.1, application/yaml;q=0.9", plain(Encoding::Yaml)),
            ("*/*, application/yaml", plain(Encoding::Yaml)),
            ("application/vnd.kubernetes.protobuf,application/json", plain(Encoding::Json)),
            ("text/html, application/*", plain(Encoding::Json)),
            ("application/json;charset=utf-8;foo=bar", plain(Encoding::Json)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                table(MetaVersion::V1),
            ),
            (
                "application/json;as=Table;v=v2;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io",
                table(MetaVersion::V1Beta1),
            ),
            ("application/json;as=Foo;v=v1;g=meta.k8s.io,application/json", plain(Encoding::Json)),
            ("application/json;pretty=1", Accepted { pretty: true, ..plain(Encoding::Json) }),
            ("application/json;stream=watch", plain(Encoding::Json)),
            (
                "application/yaml;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Accepted { convert: Some(Convert::Partial(MetaVersion::V1)), ..plain(Encoding::Yaml) },
            ),
        ] {
            assert_eq!(accept(header, object_conversions), Ok(wanted), "{header}");
        }
        for header in [
            "text/html",
            "application/vnd.kubernetes.protobuf",
            "application/json;q=0",
            "application/json;sv=v1",
            "json",
        ] {
            let error = accept(header, object_conversions).expect_err(header).to_string();
            assert_eq!(error, "only the following media types are accepted: application/json, application/yaml");
        }
        let table_only = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert!(accept(table_only, |_| false).is_err());
    }

    /// Protocol: N2, N3
    #[test]
    fn bodies_come_in_three_formats() {
        for (header, format) in [
            ("", Format::Json),
            ("application/json; charset=utf-8", Format::Json),
            ("Application/YAML", Format::Yaml),
            ("application/vnd.kubernetes.protobuf", Format::Protobuf),
        ] {
            assert_eq!(body_format(header), Ok(format), "{header}");
        }
        for header in ["application/cbor", "text/plain", "application/x-www-form-urlencoded"] {
            assert!(
                body_format(header)
                    .expect_err(header)
                    .to_string()
                    .starts_with("the body of the request was in an unknown format")
            );
        }
    }

    /// Protocol: N5
    #[test]
    fn people_get_indented_answers() {
        assert!(
            wants_pretty(None, "curl/8.5")
                && wants_pretty(Some("1"), "")
                && wants_pretty(Some(""), "Mozilla/5.0 (X11)")
        );
        assert!(!wants_pretty(Some("false"), "curl/8.5") && !wants_pretty(None, "kubectl/v1.37"));
    }
}
