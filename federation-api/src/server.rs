//! What every request shares: the store, the cache, the table of kinds, who decides about identity and rights.
//!
//! Composed once by [`Builder`]; immutable afterwards but for the state its parts keep themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use auth::service_account::{ServiceAccountKey, ServiceAccountTokens, TokenError};
use auth::{AuthenticatorChain, Authorizer, AuthorizerChain, Mode, RbacAuthorizer, RbacRules, UserInfo};
use bytes::Bytes;
use federation_schema::facts::{self, Facts};
use federation_store::{Options, RedbStore, Store};
use federation_types::extension::{NoPlacement, PlacementView};
use member_cluster::AddressPolicy;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::audit::Audit;
use crate::cache::{Cache, Clock, REGISTRY};
use crate::flow::Flow;
use crate::health::{Health, PostStart};
use crate::kinds::Kinds;
use crate::limit::InFlight;
use crate::metrics::Metrics;
use crate::request::page::Seal;
use crate::service::{Api, InProcess};
use crate::wire::openapi::OpenApi;

/// Where the objects are kept.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// One redb file, created where it is missing.
    Redb(std::path::PathBuf),
    /// Nothing survives the process; for tests and throw-away servers.
    Memory,
}

/// Why a server cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store cannot be opened")]
    Store(#[from] federation_store::StoreError),
    #[error("the store cannot be loaded")]
    Cache(#[from] crate::cache::CacheError),
    #[error("service account tokens cannot be issued")]
    Tokens(#[from] TokenError),
    #[error("the certificate for aggregated API servers cannot be used: {0}")]
    FrontProxy(String),
}

/// Time as the server sees it; tests pass their own.
pub type Now = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Composes an [`Api`].
pub struct Builder {
    authenticators: AuthenticatorChain,
    modes: Vec<Mode>,
    extra_authorizers: Vec<Arc<dyn Authorizer>>,
    placement: Option<Arc<dyn PlacementView>>,
    mirrored: Vec<(String, String)>,
    replica: u8,
    service_range: Option<crate::admission::ServiceRange>,
    components: Vec<String>,
    account_key: Option<ServiceAccountKey>,
    front_proxy: Option<crate::hook::Identity>,
    endpoints: AddressPolicy,
    address: String,
    now: Now,
    audit: Option<Audit>,
}

/// The shared parts of a server.
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    /// The same store, where this server has opened it and closes it.
    own: Option<Arc<RedbStore>>,
    pub(crate) cache: Cache,
    /// The built-in kinds' facts.
    pub(crate) facts: &'static Facts,
    pub(crate) kinds: Kinds,
    /// Group versions that other servers answer for.
    pub(crate) aggregation: crate::aggregation::Aggregation,
    pub(crate) openapi: OpenApi<&'static Facts>,
    pub(crate) authenticators: AuthenticatorChain,
    /// `HOST:PORT` under which clients know this server; may be empty.
    pub(crate) address: String,
    /// Issues service account tokens, where this server does.
    pub(crate) tokens: Option<Arc<ServiceAccountTokens>>,
    pub(crate) access: Access,
    pub(crate) placement: Arc<dyn PlacementView>,
    pub(crate) service_range: Option<crate::admission::ServiceRange>,
    /// How the servers that people name in objects are called.
    pub(crate) hooks: crate::hook::Hooks,
    pub(crate) webhooks: crate::admission::webhook::Webhooks,
    pub(crate) quotas: Arc<crate::admission::quota::Quotas>,
    pub(crate) policies: crate::admission::policy::Policies,
    /// User names of our own components: their writes have no author.
    pub(crate) components: Vec<String>,
    /// Whether there is placement: then writes record their author, and fields that only a member can fill are refused.
    pub(crate) is_hub: bool,
    pub(crate) in_flight: InFlight,
    pub(crate) flow: Flow,
    /// Seals continue tokens.
    pub(crate) seal: Seal,
    /// How requests about mirrored objects reach their members.
    pub(crate) reach: crate::mirror::forward::Reach,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) audit: Option<Arc<Audit>>,
    /// Cancelled when the process begins to stop; watches end with it.
    pub(crate) draining: CancellationToken,
    pub(crate) now: Now,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            authenticators: AuthenticatorChain::default(),
            modes: vec![Mode::Rbac],
            extra_authorizers: Vec::new(),
            placement: None,
            mirrored: Vec::new(),
            replica: 0,
            service_range: None,
            components: Vec::new(),
            account_key: None,
            front_proxy: None,
            endpoints: AddressPolicy::Public,
            address: String::new(),
            now: Arc::new(jiff::Timestamp::now),
            audit: None,
        }
    }
}

impl Builder {
    /// Who is believed on a socket. Without this only in-process callers get in.
    #[must_use]
    pub fn authenticators(mut self, chain: AuthenticatorChain) -> Self {
        self.authenticators = chain;
        self
    }

    /// Issues and believes service account tokens, signed with `key`.
    #[must_use]
    pub fn service_accounts(mut self, key: ServiceAccountKey) -> Self {
        self.account_key = Some(key);
        self
    }

    /// `--authorization-mode`; RBAC where it is not called.
    #[must_use]
    pub fn authorization_modes(mut self, modes: Vec<Mode>) -> Self {
        self.modes = modes;
        self
    }

    /// Authorizers that are asked before the modes (a node authorizer for data planes, say).
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.extra_authorizers.push(authorizer);
        self
    }

    /// What placement knows. Where it is called, writes record their authors.
    #[must_use]
    pub fn placement(mut self, view: Arc<dyn PlacementView>) -> Self {
        self.placement = Some(view);
        self
    }

    /// A resource that a mirror feeds beside the store: it gets a clock of its own.
    #[must_use]
    pub fn mirrored(mut self, group: &str, resource: &str) -> Self {
        self.mirrored.push((group.to_owned(), resource.to_owned()));
        self
    }

    /// This replica's number (0–7): the low bits of every own clock.
    #[must_use]
    pub fn replica(mut self, replica: u8) -> Self {
        self.replica = replica;
        self
    }

    /// Services without a clusterIP get one of this range.
    #[must_use]
    pub fn service_range(mut self, range: crate::admission::ServiceRange) -> Self {
        self.service_range = Some(range);
        self
    }

    /// User names of our own components: their writes leave the author of a template alone.
    #[must_use]
    pub fn components(mut self, users: impl IntoIterator<Item = String>) -> Self {
        self.components.extend(users);
        self
    }

    /// What this server shows to aggregated API servers, so that they believe it who the user is: a certificate and its
    /// key as PEM (`--proxy-client-cert-file`, `--proxy-client-key-file`).
    ///
    /// # Errors
    /// Where either cannot be read.
    pub fn front_proxy(mut self, certificate_pem: &str, key_pem: &str) -> Result<Self, OpenError> {
        let identity = crate::hook::Identity::from_pem(certificate_pem, key_pem);
        self.front_proxy = Some(identity.map_err(OpenError::FrontProxy)?);
        Ok(self)
    }

    /// Where the endpoints of Services may be that this server calls; on this machine only where everything is.
    #[must_use]
    pub fn endpoints(mut self, policy: AddressPolicy) -> Self {
        self.endpoints = policy;
        self
    }

    /// `HOST:PORT` that `/api` tells old clients.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// Records requests.
    #[must_use]
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// The clock, for tests.
    #[must_use]
    pub fn now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    /// Opens the store of that configuration and serves from it.
    ///
    /// # Errors
    /// Where the file is locked, broken or of another format.
    pub async fn open(self, config: StoreConfig) -> Result<Api, OpenError> {
        let store = match config {
            StoreConfig::Redb(path) => {
                let open = move || RedbStore::open(path, Options::default());
                tokio::task::spawn_blocking(open).await.expect("opening a store does not panic")?
            }
            StoreConfig::Memory => RedbStore::in_memory(Options::default())?,
        };
        let store = Arc::new(store);
        self.compose(Arc::clone(&store) as Arc<dyn Store>, Some(store)).await
    }

    /// Serves from a store that is open already.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn serve(self, store: Arc<dyn Store>) -> Result<Api, OpenError> {
        self.compose(store, None).await
    }

    async fn compose(self, store: Arc<dyn Store>, own: Option<Arc<RedbStore>>) -> Result<Api, OpenError> {
        let start_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let start_us = u64::try_from(start_us).unwrap_or(u64::MAX >> 8);
        let clock = Clock::Own { start_us, replica: self.replica };
        let mirrored: HashMap<String, Clock> = self
            .mirrored
            .iter()
            .map(|(group, resource)| (crate::kind::storage_name(group, resource), clock.clone()))
            .collect();
        let facts = facts::kubernetes();
        let seal = Seal::open(&*store).await?;
        let cache = Cache::open(Arc::clone(&store), mirrored).await?;
        let rbac = Arc::new(RbacAuthorizer::new(RbacRules::default()));
        let mut chain = self.extra_authorizers;
        chain.push(Arc::new(AuthorizerChain::of_modes(&self.modes, &rbac)));
        let kinds = Kinds::new(&cache, self.address.clone());
        let access = Access::new(AuthorizerChain::new(chain), rbac, &cache);
        let tokens = self.account_key.map(|key| crate::account::tokens(key, &cache)).transpose()?.map(Arc::new);
        let mut authenticators = self.authenticators;
        if let Some(tokens) = &tokens {
            authenticators = authenticators.and(tokens.clone());
        }
        let flow = Flow::new(&cache);
        let aggregation = crate::aggregation::Aggregation::new(&cache);
        Ok(Api::new(Server {
            store,
            own,
            cache,
            facts,
            kinds,
            aggregation,
            openapi: OpenApi::new(facts, crate::kind::serves),
            authenticators,
            address: self.address,
            tokens,
            access,
            is_hub: self.placement.is_some(),
            placement: self.placement.unwrap_or_else(|| Arc::new(NoPlacement)),
            service_range: self.service_range,
            hooks: crate::hook::Hooks::new(self.front_proxy, self.endpoints),
            webhooks: crate::admission::webhook::Webhooks::default(),
            quotas: Arc::default(),
            policies: crate::admission::policy::Policies::default(),
            components: self.components,
            in_flight: InFlight::default(),
            flow,
            seal,
            reach: crate::mirror::forward::Reach::default(),
            metrics: Metrics::default(),
            health: Health::default(),
            audit: self.audit.map(Arc::new),
            draining: CancellationToken::new(),
            now: self.now,
        }))
    }
}

impl Server {
    /// The key under which the store keeps an object.
    pub(crate) fn store_key(storage: &str, key: &str) -> Bytes {
        Bytes::from(format!("{REGISTRY}{storage}/{key}"))
    }

    /// Whether the process has begun to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The text of `/metrics`.
    pub(crate) fn render_metrics(&self) -> String {
        let (reading, writing) = self.flow.running();
        let mut text = self.metrics.render(&self.cache.sizes(), (reading, writing, self.in_flight.watches()));
        self.flow.render(&mut text);
        self.aggregation.render(&mut text);
        if let Some(audit) = &self.audit {
            audit.render(&mut text);
        }
        text
    }

    /// Whether the user is a component of ours.
    pub(crate) fn is_component(&self, user: &UserInfo) -> bool {
        self.components.contains(&user.name)
    }

    /// The time in whole seconds, as metadata has it.
    pub(crate) fn timestamp(&self) -> String {
        (self.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl Api {
    /// Starts composing a server.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same service for a caller in this process, whose identity is known.
    #[must_use]
    pub fn in_process(&self, user: UserInfo) -> InProcess {
        InProcess::new(self.clone(), user)
    }

    /// From now on `/readyz` fails, so that load balancers turn away before the listener closes, and watches end.
    pub fn begin_drain(&self) {
        self.server().draining.cancel();
    }

    /// The server's metrics in the text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.server().render_metrics()
    }

    /// Names of the checks of `/readyz` that fail; empty where the server is ready.
    pub async fn failed_checks(&self) -> Vec<String> {
        crate::health::not_ready(self.server()).await
    }

    /// A check `poststarthook/NAME` that fails until the work that it stands for is done.
    #[must_use]
    pub fn post_start(&self, name: &'static str) -> PostStart {
        self.server().health.post_start(name)
    }

    /// Names of what keeps this server from being ready; empty where it is.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        if self.server().is_draining() { vec!["shutdown".to_owned()] } else { Vec::new() }
    }

    /// Ends, for lists, the revisions that were old at the call before; happens by itself every five minutes.
    pub async fn compact(&self) {
        crate::compact::compact(self.server()).await;
    }

    /// Makes everything durable and lets go of the store's file. Later requests are answered 503.
    pub async fn close(&self) {
        self.begin_drain();
        if let Some(store) = self.server().own.clone() {
            let closed = tokio::task::spawn_blocking(move || store.close()).await;
            closed.expect("closing a store does not panic");
        }
    }

    /// The cache of a resource, for those who feed rings (the mirror) and those who only read.
    #[must_use]
    pub fn resource_cache(&self, group: &str, resource: &str) -> Arc<crate::cache::ResourceCache> {
        self.server().cache.resource(&crate::kind::storage_name(group, resource))
    }
}
