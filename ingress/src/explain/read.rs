//! What routes are built from, as a user may read it at the hub.
//!
//! Of Secrets that this user may not read it is taken that they are there and sound.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use federation_types::endpoint::group;
use federation_types::{Gvr, text};
use hub_client::{ApiError, Caller, Collection, Hub};

use crate::route::{BuildOptions, ExternalNames, RouteTable, build};
use crate::snapshot::{
    IngressClass, IngressObject, Named, ParametersObject, SecretObject, ServiceObject, SliceObject, Snapshot,
    TlsSecret, UserList,
};
use crate::watch::secret;

/// Group and version of our own kinds.
const OURS: &str = "fedgate.dev/v1alpha1";
/// The key of RFC 8037 appendix A.2: of which kind the keys are makes no difference here.
const KEYS: &str =
    r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// What a caller sees of the things that routes are built from.
pub struct Seen {
    pub snapshot: Snapshot,
    /// Secrets that this caller may not read; they are taken for sound.
    pub unread: BTreeSet<Named>,
    /// Members are on this machine, as a playground's: their endpoints are, too.
    pub on_loopback: bool,
}

impl Seen {
    /// The routes, as a gateway beside the hub has them; which names outside it allows is not known here.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        let options = BuildOptions {
            allow_loopback: self.on_loopback,
            external_names: ExternalNames::untold(),
            ..BuildOptions::default()
        };
        build(&self.snapshot, None, &options)
    }
}

/// Reads what routes are built from.
///
/// # Errors
/// If the hub does not answer, or does not let this caller list one of the kinds.
pub async fn snapshot(hub: &Hub) -> Result<Seen, ApiError> {
    let networking = "networking.k8s.io/v1";
    let ingresses = list(hub, networking, "ingresses").await?;
    let classes = list(hub, networking, "ingressclasses").await?;
    let services = list(hub, "v1", "services").await?;
    let slices = list(hub, "discovery.k8s.io/v1", "endpointslices").await?;
    let services = services.iter().map(|object| Arc::new(ServiceObject::read(object)));
    let own = |object| match SliceObject::read(object)? {
        SliceObject::Own(slice) => Some(slice),
        SliceObject::Mirrored(_) => None,
    };
    let mut snapshot = Snapshot {
        ingresses: ingresses.iter().map(|object| Arc::new(IngressObject::read(object))).collect(),
        classes: classes.iter().map(IngressClass::read).collect(),
        services: services.map(|service| (service.key.clone(), service)).collect(),
        clusters: group(&slices),
        own_slices: slices.iter().filter_map(own).collect(),
        ..Snapshot::default()
    };
    if snapshot.classes.iter().any(|class| class.parameters.is_some()) {
        let mut all = list(hub, OURS, "ingressparameters").await?;
        all.extend(list(hub, OURS, "clusteringressparameters").await?);
        let read = all.iter().map(|object| Arc::new(ParametersObject::read(object)));
        snapshot.parameters = Some(read.map(|one| (one.key.clone(), one)).collect());
    }
    let members = match list(hub, OURS, "clusters").await {
        // Who may not see members is no playground's administrator.
        Err(error) if error.code() == 403 => Vec::new(),
        members => members?,
    };
    let on_loopback = members.iter().any(|member| is_loopback(text::str_at(member, &["spec", "server"])));
    let unread = secrets(hub, &mut snapshot).await?;
    stand_in(&mut snapshot, &unread);
    Ok(Seen { snapshot, unread, on_loopback })
}

/// Whether an API server is on this machine.
fn is_loopback(server: &str) -> bool {
    let host = server.parse::<http::Uri>().ok().and_then(|server| server.host().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Reads the Secrets that Ingresses name; gives those that this caller may not.
async fn secrets(hub: &Hub, snapshot: &mut Snapshot) -> Result<BTreeSet<Named>, ApiError> {
    let gvr = Gvr::new("v1", "secrets");
    let (mut unread, mut shut) = (BTreeSet::new(), BTreeSet::new());
    for key in snapshot.wanted_secrets() {
        if shut.contains(&key.namespace) {
            unread.insert(key);
            continue;
        }
        match hub.get(&gvr, &key.namespace, &key.name).await {
            Ok(object) => {
                let SecretObject { tls, users } = object.map_or_else(SecretObject::default, |object| secret(&object));
                snapshot.secrets.extend(tls.map(|tls| (key.clone(), tls)));
                snapshot.user_lists.extend(users.map(|users| (key, users)));
            }
            Err(error) if error.code() == 403 => {
                shut.insert(key.namespace.clone());
                unread.insert(key);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(unread)
}

/// Puts something in the place of Secrets, so that routes redirect and ask for passwords as they will.
pub(crate) fn stand_in(snapshot: &mut Snapshot, wanted: &BTreeSet<Named>) {
    if wanted.is_empty() {
        return;
    }
    let Ok(made) = rcgen::generate_simple_self_signed(["fedgate.invalid".to_owned()]) else { return };
    let (certificate, private_key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let rest = [
        ("auth".to_owned(), Vec::new()),
        ("ca.crt".to_owned(), certificate.clone()),
        ("jwks.json".to_owned(), KEYS.into()),
    ];
    let rest = Arc::new(UserList(rest.into()));
    snapshot.user_lists.extend(wanted.iter().map(|key| (key.clone(), rest.clone())));
    let tls = Arc::new(TlsSecret { certificate, private_key });
    snapshot.secrets.extend(wanted.iter().map(|key| (key.clone(), tls.clone())));
}

async fn list(hub: &Caller, api_version: &str, resource: &str) -> Result<Vec<serde_json::Value>, ApiError> {
    Ok(hub.list(&Collection::all(Gvr::new(api_version, resource))).await?.items)
}
