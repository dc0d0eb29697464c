//! Whom aggregated API servers are told to believe: what several servers say of it, together. Pure.
//!
//! Source: upstream's `pkg/controlplane/controller/clusterauthenticationtrust`.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Map, Value};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

const BUNDLES: [&str; 2] = ["client-ca-file", "requestheader-client-ca-file"];
const LISTS: [&str; 5] = [
    "requestheader-allowed-names",
    "requestheader-username-headers",
    "requestheader-uid-headers",
    "requestheader-group-headers",
    "requestheader-extra-headers-prefix",
];
const LINE_BYTES: usize = 64;

/// The `data` that says what both say; what cannot be read of `stored` counts as not said.
pub(super) fn combined(stored: &Value, wanted: &Value) -> Value {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut data = Map::new();
    for (keys, union) in [(&BUNDLES[..], bundles as fn(&str, &str) -> Option<String>), (&LISTS[..], lists)] {
        for key in keys {
            let (old, new) = (text(stored, key), text(wanted, key));
            let said = match (old, new) {
                (Some(old), Some(new)) => union(&old, &new).unwrap_or(new),
                (Some(old), None) if union(&old, &old).is_some() => old,
                (_, Some(new)) => new,
                _ => continue,
            };
            data.insert((*key).to_owned(), said.into());
        }
    }
    Value::Object(data)
}

/// Both bundles, every certificate once; none where one cannot be read.
fn bundles(old: &str, new: &str) -> Option<String> {
    let read = |pem: &str| {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        all.ok().filter(|all| !all.is_empty())
    };
    let (old_all, new_all) = (read(old)?, read(new)?);
    let missing: Vec<_> = new_all.into_iter().filter(|one| !old_all.contains(one)).collect();
    if missing.is_empty() {
        return Some(old.to_owned());
    }
    let mut seen = BTreeSet::new();
    let all = old_all.into_iter().chain(missing).filter(|one| seen.insert(one.to_vec()));
    Some(all.map(|one| encoded(&one)).collect())
}

fn encoded(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE_BYTES));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// Both lists, every word once; none where one cannot be read.
fn lists(old: &str, new: &str) -> Option<String> {
    let read = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
    let mut seen = BTreeSet::new();
    let mut all: Vec<String> = read(old)?.into_iter().chain(read(new)?).collect();
    all.retain(|word| seen.insert(word.clone()));
    Some(Value::from(all).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{combined, encoded};

    /// Protocol: B1, G1
    #[test]
    fn what_several_servers_say_is_said_together() {
        let (a, b) = (encoded(&[1; 100]), encoded(&[2; 3]));
        let names = |names: &str| json!({"requestheader-allowed-names": names});
        for (stored, wanted, want) in [
            (json!({"client-ca-file": a}), json!({"client-ca-file": b}), json!({"client-ca-file": format!("{a}{b}")})),
            (
                json!({"client-ca-file": format!("# ours\n{a}{b}")}),
                json!({"client-ca-file": b}),
                json!({"client-ca-file": format!("# ours\n{a}{b}")}),
            ),
            (json!({"client-ca-file": "rubbish"}), json!({"client-ca-file": b}), json!({"client-ca-file": b})),
            (json!({"requestheader-client-ca-file": "rubbish"}), json!({}), json!({})),
            (json!({"requestheader-client-ca-file": a}), json!({}), json!({"requestheader-client-ca-file": a})),
            (names(r#"["x","y"]"#), names(r#"["y","z"]"#), names(r#"["x","y","z"]"#)),
            (names("x"), names(r#"["y"]"#), names(r#"["y"]"#)),
            (json!({"another": "key"}), names(r#"["y"]"#), names(r#"["y"]"#)),
            (Value::Null, json!({"client-ca-file": b}), json!({"client-ca-file": b})),
        ] {
            assert_eq!(combined(&stored, &wanted), want, "{stored} and {wanted}");
            assert_eq!(combined(&want, &wanted), want, "once is enough");
        }
    }
}
