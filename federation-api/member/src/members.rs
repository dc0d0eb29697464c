//! The registry: one connection for every `Cluster` of the hub whose credentials can be read.
//!
//! Follows Clusters and their Secrets; a changed address or credential makes a new connection and ends the old one.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::{Cluster, ClusterName, Gvr, label, text};
use hub_client::{ApiError, Caller, Collection, Hub, Reflection, Reflector};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connect::{Connector, Target};
use crate::credentials::Credentials;
use crate::{IDENTITY_NAMESPACE, clusters, join};

/// All members, cheap to clone.
#[derive(Clone)]
pub struct Members {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    /// Guards the map; held for look-ups and swaps only.
    members: RwLock<BTreeMap<ClusterName, Entry>>,
    changed: watch::Sender<u64>,
}

/// A cluster that is registered: connected, or why it cannot be.
#[derive(Clone)]
enum Entry {
    Connected(Arc<Member>),
    Broken(Arc<str>),
}

/// One member with its connection.
pub struct Member {
    pub name: ClusterName,
    /// The hub's own identity in the member: reads, and nothing else.
    pub reader: Caller,
    /// Identity that writes, and reads of what the hub itself sees not, impersonate where no Placement names another.
    pub executor: String,
    target: Target,
    /// UID that the hub knows this member by; empty until it has been seen once. Guards one short string.
    expected: RwLock<String>,
    seen: tokio::sync::OnceCell<String>,
    closed: CancellationToken,
}

/// Why a member may not be written to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("another cluster answers: kube-system has UID {seen}, this member is known by {expected}")]
    Changed { seen: String, expected: String },
}

impl Members {
    /// No members yet; connections will be made by `connector`.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        let inner = Inner { connector, members: RwLock::default(), changed: watch::channel(0).0 };
        Self { inner: Arc::new(inner) }
    }

    /// The member of this name, `None` where it is not registered or cannot be connected.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Member>> {
        match self.inner.members.read().get(name)? {
            Entry::Connected(member) => Some(member.clone()),
            Entry::Broken(_) => None,
        }
    }

    /// All connected members, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Member>> {
        let members = self.inner.members.read();
        members.values().filter_map(|e| if let Entry::Connected(m) = e { Some(m.clone()) } else { None }).collect()
    }

    /// Whether the hub has a Cluster of this name, connected or not.
    #[must_use]
    pub fn is_registered(&self, name: &str) -> bool {
        self.inner.members.read().contains_key(name)
    }

    /// Why the registered cluster `name` has no connection.
    #[must_use]
    pub fn broken(&self, name: &str) -> Option<Arc<str>> {
        match self.inner.members.read().get(name)? {
            Entry::Broken(why) => Some(why.clone()),
            Entry::Connected(_) => None,
        }
    }

    /// Wakes whenever a member comes, goes or is connected anew.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Follows the hub's Clusters and credentials until `stop`.
    pub async fn run(&self, hub: Hub, stop: CancellationToken) {
        let secrets = Collection::all(Gvr::new("v1", "secrets"))
            .within(label::SYSTEM_NAMESPACE)
            .with_fields(format!("type={}", label::CREDENTIALS_TYPE));
        let secrets = Reflector::new(hub.clone(), secrets, Some);
        let registered =
            Reflector::new(hub, Collection::all(clusters()), |object| serde_json::from_value::<Cluster>(object).ok());
        let (known_secrets, known_clusters) = (secrets.reflection(), registered.reflection());
        let follow = async {
            let (mut a, mut b) = (known_secrets.changes(), known_clusters.changes());
            if !known_secrets.synced().await || !known_clusters.synced().await {
                return;
            }
            loop {
                a.mark_unchanged();
                b.mark_unchanged();
                self.refresh(&known_clusters, &known_secrets);
                tokio::select! {
                    Ok(()) = a.changed() => {}
                    Ok(()) = b.changed() => {}
                    else => return,
                }
            }
        };
        tokio::select! {
            () = secrets.run(stop.clone()) => {}
            () = registered.run(stop.clone()) => {}
            () = follow => {}
        }
    }

    fn refresh(&self, registered: &Reflection<Cluster>, secrets: &Reflection<Value>) {
        let mut next = BTreeMap::new();
        let mut changed = false;
        let old = self.inner.members.read().clone();
        for ((_, name), object) in registered.all() {
            let Ok(name) = ClusterName::new(&name) else { continue };
            let entry = match target(&object, secrets) {
                Ok(target) => self.entry(&name, &object, target, old.get(&name)),
                Err(why) => Entry::Broken(why.into()),
            };
            changed |= !same(old.get(&name), &entry);
            next.insert(name, entry);
        }
        changed |= next.len() != old.len();
        for (name, entry) in &old {
            if let Entry::Connected(member) = entry
                && !matches!(next.get(name), Some(Entry::Connected(kept)) if Arc::ptr_eq(kept, member))
            {
                member.closed.cancel();
            }
        }
        *self.inner.members.write() = next;
        if changed {
            self.inner.changed.send_modify(|n| *n += 1);
        }
    }

    fn entry(&self, name: &ClusterName, object: &Cluster, target: Target, old: Option<&Entry>) -> Entry {
        let uid = object.status.as_ref().map(|s| s.uid.clone()).unwrap_or_default();
        let executor = match object.spec.executor.as_str() {
            "" => label::DEFAULT_EXECUTOR,
            named => named,
        };
        if let Some(Entry::Connected(member)) = old
            && member.target == target
            && member.executor == executor
        {
            *member.expected.write() = uid;
            return Entry::Connected(member.clone());
        }
        match self.inner.connector.connect(&target) {
            Ok(reader) => Entry::Connected(Arc::new(Member {
                name: name.clone(),
                reader,
                executor: executor.to_owned(),
                target,
                expected: RwLock::new(uid),
                seen: tokio::sync::OnceCell::new(),
                closed: CancellationToken::new(),
            })),
            Err(e) => Entry::Broken(e.to_string().into()),
        }
    }
}

impl Member {
    /// UID of the member's kube-system namespace, asked once a connection.
    ///
    /// # Errors
    /// If the member does not answer or hides the namespace.
    pub async fn uid(&self) -> Result<&str, ApiError> {
        let ask = || async {
            let namespaces = Gvr::new("v1", "namespaces");
            let found = self.reader.get(&namespaces, "", IDENTITY_NAMESPACE).await?;
            found
                .map(|object| text::uid(&object).to_owned())
                .filter(|uid| !uid.is_empty())
                .ok_or_else(|| ApiError::Protocol(format!("the member has no namespace {IDENTITY_NAMESPACE}")))
        };
        self.seen.get_or_try_init(ask).await.map(String::as_str)
    }

    /// A caller for writes as `executor` (empty: the member's own), after the member's identity was checked.
    ///
    /// # Errors
    /// If the member does not answer, or another cluster answers at its address.
    pub async fn writer(&self, executor: &str) -> Result<Caller, IdentityError> {
        let seen = self.uid().await?;
        let expected = self.expected.read().clone();
        if !expected.is_empty() && expected != seen {
            return Err(IdentityError::Changed { seen: seen.to_owned(), expected });
        }
        Ok(self.acting_as(executor)?)
    }

    /// A caller that may read copies of a kind: the hub's own identity, or `executor` (empty: the member's own) where that
    /// sees none, as of Secrets.
    ///
    /// # Errors
    /// As [`Caller::acting_as`].
    pub fn reader_of(&self, gvr: &Gvr, executor: &str) -> Result<Caller, ApiError> {
        if join::is_seen(gvr) { Ok(self.reader.clone()) } else { self.acting_as(executor) }
    }

    fn acting_as(&self, executor: &str) -> Result<Caller, ApiError> {
        self.reader.acting_as(if executor.is_empty() { &self.executor } else { executor }, &[])
    }

    /// The UID that the hub knows this member by, empty until it was seen once.
    #[must_use]
    pub fn expected_uid(&self) -> String {
        self.expected.read().clone()
    }

    /// Address and credentials of this connection.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Cancelled when the member is removed or connected anew.
    #[must_use]
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

fn same(old: Option<&Entry>, new: &Entry) -> bool {
    match (old, new) {
        (Some(Entry::Connected(a)), Entry::Connected(b)) => Arc::ptr_eq(a, b),
        (Some(Entry::Broken(a)), Entry::Broken(b)) => a == b,
        _ => false,
    }
}

fn target(object: &Cluster, secrets: &Reflection<Value>) -> Result<Target, String> {
    let secret = object.spec.credentials_ref.as_ref().map_or(object.metadata.name.as_str(), |r| r.name.as_str());
    let found = secrets
        .get(label::SYSTEM_NAMESPACE, secret)
        .ok_or_else(|| format!("no Secret {}/{secret} of type {}", label::SYSTEM_NAMESPACE, label::CREDENTIALS_TYPE))?;
    if let Some(bound) = text::annotation(&found, label::CREDENTIALS_SERVER)
        && bound != object.spec.server
    {
        // Who may change a Cluster but not read its Secret must not have the Secret sent to himself.
        return Err(format!("Secret {secret} is for {bound} only, spec.server is another address"));
    }
    let credentials = Credentials::from_secret(&found).map_err(|e| format!("Secret {secret}: {e}"))?;
    let ca = match object.spec.ca_bundle.as_str() {
        "" => String::new(),
        encoded => STANDARD
            .decode(encoded)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| "spec.caBundle is not base64 of PEM".to_owned())?,
    };
    Ok(Target { server: object.spec.server.clone(), ca, credentials })
}
