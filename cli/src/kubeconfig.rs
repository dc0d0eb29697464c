//! The user's kubeconfig: adding and removing our own entries, and finding the hub.
//!
//! Entries of ours carry an extension, so that removing never touches anything else. Files are replaced atomically.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::text;
use member_cluster::kubeconfig::Kubeconfig;
use member_cluster::{AddressPolicy, Connector, Target};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Name of the context, cluster and user that we write.
pub const CONTEXT: &str = "fedgate";
const EXTENSION: &str = "fedgate.dev/owned";

/// How a user reaches an API server: everything inline.
pub struct Access<'a> {
    pub server: &'a str,
    pub ca_pem: &'a str,
    pub certificate_pem: &'a str,
    pub key_pem: &'a str,
}

/// The kubeconfig that the user's kubectl uses: the first file of `$KUBECONFIG`, else `~/.kube/config`.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    match std::env::var("KUBECONFIG") {
        Ok(list) if !list.is_empty() => list.split(':').find(|p| !p.is_empty()).map(PathBuf::from),
        _ => std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config")),
    }
}

/// A kubeconfig with the one context `fedgate`.
#[must_use]
pub fn document(access: &Access<'_>) -> Value {
    let mut root = empty();
    put(&mut root, access, "");
    root["current-context"] = CONTEXT.into();
    root
}

fn empty() -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "preferences": {}, "clusters": [], "users": [], "contexts": [],
        "current-context": ""})
}

/// Adds our context to `path`, selects it, and remembers which one was selected before.
///
/// # Errors
/// If the file cannot be read as a kubeconfig or not be written; it is unchanged then.
pub fn merge(path: &Path, access: &Access<'_>) -> Result<(), Failure> {
    let mut root = read(path)?.unwrap_or_else(empty);
    let selected = text::str_at(&root, &["current-context"]).to_owned();
    let before = if selected == CONTEXT { previous(&root) } else { selected };
    strip(&mut root);
    put(&mut root, access, &before);
    root["current-context"] = CONTEXT.into();
    write(path, &root)
}

/// Removes what [`merge`] added and selects the former context again; nothing happens where nothing is ours.
///
/// # Errors
/// If the file cannot be read as a kubeconfig or not be written; it is unchanged then.
pub fn remove(path: &Path) -> Result<(), Failure> {
    let Some(mut root) = read(path)? else { return Ok(()) };
    let before = previous(&root);
    if !strip(&mut root) {
        return Ok(());
    }
    if text::str_at(&root, &["current-context"]) == CONTEXT {
        root["current-context"] = before.into();
    }
    write(path, &root)
}

/// Writes a kubeconfig, readable by its owner only.
///
/// # Errors
/// If the file cannot be written; the old one then still stands.
pub fn write(path: &Path, root: &Value) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::local(format!("cannot write {}", path.display()), e);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    // A link is followed, so that a kubeconfig kept elsewhere stays where it is.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = target.with_extension("fedgate-new");
    let text = serde_saphyr::to_string(root).map_err(|e| Failure::local("cannot encode a kubeconfig", e))?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, &target).map_err(failed)
}

fn read(path: &Path) -> Result<Option<Value>, Failure> {
    let source = match std::fs::read_to_string(path) {
        Ok(source) if source.trim().is_empty() => return Ok(None),
        Ok(source) => source,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::local(format!("cannot read {}", path.display()), e)),
    };
    let root: Value = serde_saphyr::from_str(&source)
        .map_err(|e| Failure::local(format!("{} is no kubeconfig; it was not changed", path.display()), e))?;
    if !root.is_object() {
        return Err(Failure::local(
            format!("{} is no kubeconfig; it was not changed", path.display()),
            "not a mapping",
        ));
    }
    Ok(Some(root))
}

fn put(root: &mut Value, access: &Access<'_>, before: &str) {
    let extension = json!([{"name": EXTENSION, "extension": {"before": before}}]);
    let entries = [
        (
            "clusters",
            "cluster",
            json!({"server": access.server, "extensions": extension,
            "certificate-authority-data": STANDARD.encode(access.ca_pem)}),
        ),
        (
            "users",
            "user",
            json!({"client-certificate-data": STANDARD.encode(access.certificate_pem),
            "client-key-data": STANDARD.encode(access.key_pem), "extensions": extension}),
        ),
        ("contexts", "context", json!({"cluster": CONTEXT, "user": CONTEXT, "extensions": extension})),
    ];
    for (list, key, entry) in entries {
        let mut named = json!({"name": CONTEXT});
        named[key] = entry;
        match root.get_mut(list) {
            Some(Value::Array(all)) => all.push(named),
            _ => root[list] = json!([named]),
        }
    }
}

/// Takes our entries out; also an entry of our name that is not marked, since ours shall replace it.
fn strip(root: &mut Value) -> bool {
    let mut found = false;
    for list in ["clusters", "users", "contexts"] {
        if let Some(Value::Array(all)) = root.get_mut(list) {
            let count = all.len();
            all.retain(|entry| text::str_at(entry, &["name"]) != CONTEXT);
            found |= all.len() != count;
        }
    }
    found
}

fn previous(root: &Value) -> String {
    text::list_at(root, &["contexts"])
        .find(|c| text::str_at(c, &["name"]) == CONTEXT)
        .into_iter()
        .flat_map(|c| text::list_at(c, &["context", "extensions"]))
        .find(|e| text::str_at(e, &["name"]) == EXTENSION)
        .map(|e| text::str_at(e, &["extension", "before"]).to_owned())
        .unwrap_or_default()
}

/// A caller of the hub from the user's kubeconfig: `file` or the default one, there the context `fedgate` or the current.
///
/// # Errors
/// FG-HUB-001 where there is no usable context.
pub fn hub(file: Option<&Path>) -> Result<hub_client::Hub, Failure> {
    let unusable = |cause: String| {
        Failure::new("FG-HUB-001", "no way to the federation control plane")
            .because(cause)
            .fix("give --hub FILE, or start a playground with `fedgate up`")
    };
    let path = file
        .map(Path::to_owned)
        .or_else(default_path)
        .ok_or_else(|| unusable("neither $KUBECONFIG nor $HOME is set".to_owned()))?;
    let source = std::fs::read_to_string(&path).map_err(|e| unusable(format!("{}: {e}", path.display())))?;
    let config = Kubeconfig::parse(&source).map_err(|e| unusable(format!("{}: {e}", path.display())))?;
    let name = if config.contexts().contains(&CONTEXT) { CONTEXT } else { "" };
    let dir = path.parent().unwrap_or(Path::new("."));
    let context = config.resolve(name, dir).map_err(|e| unusable(format!("{}: {e}", path.display())))?;
    let target = Target { server: context.server, ca: context.ca, credentials: context.credentials };
    let hub = Connector::direct(AddressPolicy::AllowLoopback).connect(&target).map_err(|e| unusable(e.to_string()))?;
    Ok(hub.at(&target.server))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Access, hub, merge, remove};

    const ACCESS: Access<'static> =
        Access { server: "https://127.0.0.1:7443", ca_pem: "ca", certificate_pem: "crt", key_pem: "key" };

    #[tokio::test]
    async fn a_hub_that_is_away_is_named_by_its_address() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("kubeconfig");
        let text = "{contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c, \
            clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: t}}]}";
        std::fs::write(&file, text).expect("written");
        let away = hub(Some(&file)).expect("a hub").get_path("/version").await.expect_err("nobody is there");
        let told = crate::failure::Failure::hub("cannot ask", &away).to_string();
        assert!(told.contains("https://127.0.0.1:1: "), "{told}");
    }

    fn parsed(path: &std::path::Path) -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(path).expect("a file")).expect("YAML")
    }

    #[test]
    fn merging_and_removing_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\ncurrent-context: mine\ncontexts:\n- name: mine\n  context: {cluster: c, user: u}\nclusters: []\nusers: []\n").expect("written");
        merge(&path, &ACCESS).expect("merged");
        merge(&path, &ACCESS).expect("merged twice");
        let merged = parsed(&path);
        assert_eq!(merged["current-context"], "fedgate");
        assert_eq!(merged["contexts"].as_array().map(Vec::len), Some(2));
        remove(&path).expect("removed");
        let left = parsed(&path);
        assert_eq!(left["current-context"], "mine");
        assert_eq!(left["contexts"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config");
        std::fs::write(&path, "- just\n- a list\n").expect("written");
        assert!(merge(&path, &ACCESS).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "- just\n- a list\n");
    }
}
