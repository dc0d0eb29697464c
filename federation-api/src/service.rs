//! The service itself, and the life of a request: identity, meaning, rights, verb, answer.
//!
//! The order is fixed and one function long ([`Api::answer`]); nothing answers a caller before authentication and
//! authorization but what they refuse.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use auth::{Attributes, AuthenticationRequest, Credential, Impersonation, ResourceAttributes, UserInfo};
use bytes::Bytes;
use federation_schema::decode::legacy::Legacy;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::Body as HttpBody;
use hyper::upgrade::OnUpgrade;

use crate::aggregation::proxy::{self, Forward};
use crate::aggregation::service::Remote;
use crate::answer::{self, Answer, Reader};
use crate::audit::{Head, Record, Stage};
use crate::body::{Body, BoxError, RequestBody, erase};
use crate::cache::ResourceCache;
use crate::call::Call;
use crate::error::ApiError;
use crate::flow::{self, Class, Classified, Flow, Seat};
use crate::kinds::{Kind, Unserved};
use crate::limit::{Load, REQUEST_TIMEOUT};
use crate::listen::{PeerAddress, PeerCertificate};
use crate::mirror::owner;
use crate::request::RequestInfo;
use crate::request::query::Query;
use crate::server::Server;
use crate::{access, compress, endpoint, kind, legacy, render, verb, warning};

static AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Longest `Audit-Id` that is taken over from a request.
const MAX_AUDIT_ID_BYTES: usize = 128;

/// A Kubernetes-compatible API server as a service; cheap to clone.
///
/// Over a socket an identity comes from credentials; in the process from [`Api::in_process`].
#[derive(Clone)]
pub struct Api(Arc<Server>);

/// [`Api`] in the hands of a caller in this process; give it to `kube::Client::new`.
#[derive(Clone)]
pub struct InProcess {
    api: Api,
    user: Authenticated,
}

/// The identity of an in-process caller, as a request extension. No socket can set it: the listeners
/// build requests from bytes, and extensions are not bytes.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Arc<UserInfo>);

/// What an answer with an end holds until it is told, as an extension of the response: its seat. Who does not read what
/// he asks for waits for himself.
#[derive(Clone)]
pub(crate) struct Held(pub(crate) Arc<dyn Send + Sync>);

/// A request in parts, its body erased.
struct Asked {
    method: Method,
    uri: http::Uri,
    headers: HeaderMap,
    extensions: http::Extensions,
    body: RequestBody,
}

impl Held {
    /// The response, with its seat; a stream to a member has none.
    fn by(mut response: Response<Body>, seat: Option<Seat>) -> Response<Body> {
        if let Some(seat) = seat {
            response.extensions_mut().insert(Self(Arc::new(seat)));
        }
        response
    }
}

impl Api {
    pub(crate) fn new(server: Server) -> Self {
        let server = Arc::new(server);
        tokio::spawn(crate::expire::run(Arc::downgrade(&server)));
        tokio::spawn(crate::admission::quota::recount::run(Arc::downgrade(&server)));
        tokio::spawn(crate::compact::run(Arc::downgrade(&server)));
        tokio::spawn(crate::custom::keeper::run(Arc::downgrade(&server)));
        tokio::spawn(crate::aggregation::keeper::run(Arc::downgrade(&server)));
        Self(server)
    }

    /// The service of a server that runs already.
    pub(crate) fn of(server: Arc<Server>) -> Self {
        Self(server)
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.0
    }

    async fn serve(self, asked: Asked) -> Response<Body> {
        let audit_id = audit_id(&asked.headers);
        let head = asked.method == Method::HEAD;
        let mut panicked = false;
        let reader = (asked.headers.get(header::ACCEPT).cloned(), asked.headers.get(header::USER_AGENT).cloned());
        let encodings = asked.headers.get(header::ACCEPT_ENCODING).cloned();
        let begun = std::time::Instant::now();
        let mut trace = Trace { audit_id: Some(audit_id.clone()), ..Trace::default() };
        let outcome = std::panic::AssertUnwindSafe(self.answer(asked, &mut trace)).catch_unwind().await;
        let mut response = match outcome {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let pretty = trace.pretty.as_deref();
                answer::refusal(&error, Reader::of(reader.0.as_ref(), reader.1.as_ref(), pretty))
            }
            Err(_) => {
                tracing::error!(path = %trace.info.path, "a request panicked");
                panicked = true;
                let why = ApiError::Internal("this request caused apiserver to panic".to_owned());
                answer::refusal(&why, Reader::Program)
            }
        };
        self.0.metrics.observe(&trace.info, trace.known, response.status(), begun.elapsed());
        let headers = response.headers_mut();
        headers.insert(AUDIT_ID.clone(), audit_id);
        if let Some(classified) = &trace.classified {
            classified.write(headers);
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        warning::write(headers, &trace.warnings);
        if let Some(record) = trace.audit.take() {
            response = conclude(record, response, panicked).await;
        }
        if head {
            *response.body_mut() = Body::empty();
        }
        compress::compress(encodings.as_ref(), response)
    }

    /// The life of a request.
    async fn answer(&self, asked: Asked, trace: &mut Trace) -> Result<Response<Body>, ApiError> {
        let server = &self.0;
        let query = Query::parse(asked.uri.query().unwrap_or(""))?;
        trace.pretty = query.get("pretty").map(str::to_owned);
        trace.info = RequestInfo::parse(&asked.method, asked.uri.path(), &query)?;
        let remote = server.aggregation.route(&trace.info.path);
        let old = if remote.is_some() { None } else { legacy::translate(&mut trace.info) };
        let info = trace.info.clone();
        let user = match server.authenticate(&asked).await {
            Ok(user) => user,
            Err(error) => {
                trace.audit = server.record(&asked, trace, &UserInfo::default());
                return Err(error);
            }
        };
        trace.audit = server.record(&asked, trace, &user);
        if let Some(record) = &trace.audit {
            record.write(Stage::RequestReceived).await;
        }
        let user = server.impersonate(user, &asked.headers).await?;
        if let Some(record) = &trace.audit {
            record.impersonated(&user);
        }
        let load = load_of(&info);
        let found = find_kind(server, &info, &asked.extensions);
        let cache = found.map(|kind| (server.cache.resource(&kind::storage_name(&kind.group, &kind.plural)), kind));
        let inside = asked.extensions.get::<Authenticated>().is_some();
        let admission = Admission { user: &user, info: &info, query: &query, load, inside };
        let seat = server.admit(admission, cache.as_ref().map(|(cache, _)| &**cache), trace).await?;
        server.authorize(&user, &info, trace.audit.as_deref()).await?;
        if let Some(remote) = remote {
            return hand_on((server, &remote), asked, (user, info), seat).await;
        }
        if !info.is_resource {
            trace.known = true;
            let Asked { method, headers, .. } = asked;
            let asked = endpoint::Asked { info: &info, query: &query, raw_query: asked.uri.query(), headers: &headers };
            return endpoint::answer(server, &method, &asked).await.map(|response| Held::by(response, seat));
        }
        let (cache, kind) = cache.filter(|(_, kind)| kind.is_reached_by(&info)).ok_or_else(|| unknown(&info))?;
        trace.known = true;
        let mut call = call(server, asked, (cache, kind), (info, query, user));
        call.audit = trace.audit.clone();
        if let Some(warning) = call.kind.custom().and_then(|custom| custom.version().warning.clone()) {
            call.warn(warning);
        }
        if load == Load::Watch {
            let place = if inside { None } else { Some(server.in_flight.watch(&call.user.name)?) };
            return verb::watch::watch(&mut call, place).await;
        }
        let late = || Err(ApiError::Timeout("request did not complete within the allotted timeout".to_owned()));
        let done = tokio::time::timeout(REQUEST_TIMEOUT, dispatch(&mut call, old)).await.unwrap_or_else(|_| late());
        trace.warnings = std::mem::take(&mut call.warnings);
        render::render(&call, done?).map(|response| Held::by(response, seat))
    }
}

/// The request as the verbs see it.
fn call(
    server: &Arc<Server>,
    mut asked: Asked,
    (cache, kind): (Arc<ResourceCache>, Kind),
    (info, query, user): (RequestInfo, Query, Arc<UserInfo>),
) -> Call {
    Call {
        server: Arc::clone(server),
        cache,
        stored: kind.stored(),
        old: None,
        kind,
        method: asked.method,
        uri: asked.uri,
        upgrade: asked.extensions.remove(),
        info,
        query,
        headers: asked.headers,
        user,
        body: Some(asked.body),
        warnings: Vec::new(),
        audit: None,
        trail: crate::admission::Trail::default(),
    }
}

/// Lets the server answer that the group version is registered for.
async fn hand_on(
    (server, remote): (&Arc<Server>, &Remote),
    mut asked: Asked,
    (user, info): (Arc<UserInfo>, RequestInfo),
    seat: Option<Seat>,
) -> Result<Response<Body>, ApiError> {
    let upgrade: Option<OnUpgrade> = asked.extensions.remove();
    let upgrade = upgrade.filter(|_| proxy::is_tunnel(&asked.headers));
    let is_stream = upgrade.is_some() || matches!(load_of(&info), Load::Watch | Load::Tunnel);
    let inside = asked.extensions.get::<Authenticated>().is_some();
    let place = if is_stream && !inside { Some(server.in_flight.watch(&user.name)?) } else { None };
    let Asked { method, uri, headers, extensions, body } = asked;
    let peer = extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    let forward = Forward { method, uri, path: info.path, headers, user, peer, upgrade, body, place, is_stream };
    // A stream has a place instead, as a watch here.
    let seat = if is_stream { None } else { seat };
    proxy::forward(server, remote, forward).await.map(|response| Held::by(response, seat))
}

/// The verbs, and which methods they answer on which paths.
async fn dispatch(call: &mut Call, old: Option<&'static Legacy>) -> Result<Answer, ApiError> {
    if let Some(old) = old {
        legacy::translate_body(call, old).await?;
    }
    owner::check_write(call)?;
    if !call.info.subresource.is_empty() {
        return verb::subresource::dispatch(call).await;
    }
    let verb = call.info.verb.clone();
    if !call.kind.has_verb(&verb) || !call.kind.namespaced && is_stray_namespace(call) {
        return Err(not_allowed(call));
    }
    if call.method == Method::HEAD {
        return Err(not_allowed(call));
    }
    if call.kind.namespaced && call.info.namespace.is_empty() && !matches!(verb.as_str(), "list" | "watch") {
        return match verb.as_str() {
            "create" if !call.info.named_by_path && crate::verb::review::is_review(&call.kind) => {
                verb::review::review(call).await
            }
            _ => Err(not_allowed(call)),
        };
    }
    match verb.as_str() {
        "get" => verb::get::get(call).await,
        "list" => verb::list::list(call).await,
        "create" if call.info.named_by_path => Err(not_allowed(call)),
        "create" if verb::review::is_review(&call.kind) => verb::review::review(call).await,
        "create" => verb::create::create(call).await,
        "update" | "patch" if !call.info.named_by_path => Err(not_allowed(call)),
        "update" => verb::update::update(call).await,
        "patch" => verb::patch::patch(call).await,
        "delete" => verb::delete::delete(call).await,
        "deletecollection" => verb::delete::delete_collection(call).await,
        _ => Err(not_allowed(call)),
    }
}

/// The kind that the path names.
fn find_kind(server: &Server, info: &RequestInfo, extensions: &http::Extensions) -> Option<Kind> {
    let (group, version, plural) = (&info.group, &info.version, info.is_resource.then_some(&info.resource)?);
    let unserved = || {
        extensions.get::<Unserved>()?;
        server.kinds.find_defined(group, version, plural)
    };
    server.kinds.find(group, version, plural).or_else(unserved)
}

/// The answer for a resource that there is not: a Status in a group that is known, else a bare page.
fn unknown(info: &RequestInfo) -> ApiError {
    let known = |group: &federation_schema::facts::Group| group.name == info.group;
    if info.group.is_empty() || federation_schema::facts::kubernetes().groups().iter().any(known) {
        ApiError::UnknownPath
    } else {
        ApiError::NoSuchPage
    }
}

/// A namespace in the path of a cluster-scoped kind (other than namespaces themselves).
fn is_stray_namespace(call: &Call) -> bool {
    !call.info.namespace.is_empty() && !kind::is_namespace(&call.kind)
}

fn not_allowed(call: &Call) -> ApiError {
    if !call.kind.namespaced && is_stray_namespace(call) {
        return ApiError::UnknownPath;
    }
    ApiError::NoSuchMethod
}

/// What is known of a request by the time it is answered.
#[derive(Default)]
struct Trace {
    info: RequestInfo,
    /// Whether the resource exists: unknown names must not become metric labels.
    known: bool,
    audit_id: Option<HeaderValue>,
    audit: Option<Arc<Record>>,
    /// What flow control says of it.
    classified: Option<Classified>,
    /// `?pretty=`, where it was sent.
    pretty: Option<String>,
    warnings: Vec<String>,
}

/// Writes the last record of a request; of a stream when it ends.
async fn conclude(record: Arc<Record>, response: Response<Body>, panicked: bool) -> Response<Body> {
    let (parts, body) = response.into_parts();
    record.answered(parts.status, body.as_full());
    if panicked {
        record.write(Stage::Panic).await;
    } else if body.is_stream() {
        record.write(Stage::ResponseStarted).await;
        return Response::from_parts(parts, body.holding(Ends(record)));
    } else {
        record.write(Stage::ResponseComplete).await;
    }
    Response::from_parts(parts, body)
}

/// Records the end of a stream.
struct Ends(Arc<Record>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.write_now(Stage::ResponseComplete);
    }
}

/// What flow control is told of a request.
struct Admission<'a> {
    user: &'a UserInfo,
    info: &'a RequestInfo,
    query: &'a Query,
    load: Load,
    /// Whether the caller is in this process.
    inside: bool,
}

impl Server {
    /// Waits until the request may run; streams to members run at once, as upstream's long-running requests.
    async fn admit(
        &self,
        admission: Admission<'_>,
        cache: Option<&ResourceCache>,
        trace: &mut Trace,
    ) -> Result<Option<Seat>, ApiError> {
        let Admission { user, info, query, load, inside } = admission;
        if load == Load::Tunnel {
            return Ok(None);
        }
        let (matched, classified) = self.flow.classify(user, info);
        trace.classified = Some(classified);
        let seats = cache.map_or(1, |cache| flow::estimate(info, query, cache, Flow::widest(&matched)));
        // Components of ours bound themselves; refusing them would make overload outside stop the house's own work.
        let class = Class { ours: inside && self.is_component(user), writes: load == Load::Write };
        self.flow.admit(matched, seats, class).await.map(Some)
    }

    async fn authenticate(&self, asked: &Asked) -> Result<Arc<UserInfo>, ApiError> {
        if let Some(Authenticated(user)) = asked.extensions.get::<Authenticated>() {
            return Ok(Arc::clone(user));
        }
        let certificate = asked.extensions.get::<PeerCertificate>().map(|peer| Arc::clone(&peer.0));
        let values = asked.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let credential = Credential::from_headers(values, certificate).map_err(|error| {
            tracing::debug!(%error, "an unreadable credential");
            ApiError::Unauthorized
        })?;
        let _turn = self.in_flight.authenticate().await?;
        let request = AuthenticationRequest { credential: &credential, path: asked.uri.path(), now: (self.now)() };
        self.authenticators.authenticate(&request).await.map_err(|error| {
            tracing::debug!(%error, "a request is unauthorized");
            ApiError::Unauthorized
        })
    }

    async fn impersonate(&self, user: Arc<UserInfo>, headers: &HeaderMap) -> Result<Arc<UserInfo>, ApiError> {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let wish = Impersonation::from_headers(pairs).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let Some(wish) = wish else { return Ok(user) };
        for check in &wish.checks {
            self.access.require(&check.attributes(&user)).await?;
        }
        Ok(Arc::new(wish.user))
    }

    /// The record of a request, where it is audited.
    fn record(&self, asked: &Asked, trace: &Trace, user: &UserInfo) -> Option<Arc<Record>> {
        let audit = self.audit.as_ref()?;
        let head = Head {
            audit_id: trace.audit_id.as_ref()?,
            uri: &asked.uri,
            headers: &asked.headers,
            info: &trace.info,
            user,
            peer: asked.extensions.get::<PeerAddress>().map(|peer| peer.0.ip()),
        };
        Record::begin(audit, &self.now, &head)
    }

    async fn authorize(&self, user: &UserInfo, info: &RequestInfo, record: Option<&Record>) -> Result<(), ApiError> {
        let attributes = if info.is_resource {
            let upgrade = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward");
            let verb = if upgrade && info.verb == "get" { "create" } else { &info.verb };
            Attributes::resource(
                user,
                verb,
                ResourceAttributes {
                    group: &info.group,
                    version: &info.version,
                    resource: &info.resource,
                    subresource: &info.subresource,
                    namespace: &info.namespace,
                    name: &info.name,
                },
            )
        } else {
            Attributes::path(user, &info.verb, &info.path)
        };
        let decision = self.access.decide(&attributes).await?;
        if let Some(record) = record {
            let said = if decision.is_allowed() { "allow" } else { "forbid" };
            record.annotate("authorization.k8s.io/decision", said);
            record.annotate("authorization.k8s.io/reason", decision.reason());
        }
        if decision.is_allowed() { Ok(()) } else { Err(access::forbidden(&attributes, decision.reason())) }
    }
}

fn load_of(info: &RequestInfo) -> Load {
    match info.verb.as_str() {
        "watch" if info.is_resource => Load::Watch,
        _ if matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "log" | "proxy") => Load::Tunnel,
        "create" | "update" | "patch" | "delete" | "deletecollection" => Load::Write,
        _ => Load::Read,
    }
}

fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let sent = headers.get(&AUDIT_ID).filter(|id| !id.is_empty() && id.len() <= MAX_AUDIT_ID_BYTES);
    sent.cloned()
        .unwrap_or_else(|| HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("a UUID is visible ASCII"))
}

impl<B> tower::Service<Request<B>> for Api
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let asked = Asked {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            extensions: parts.extensions,
            body: erase(body),
        };
        let api = self.clone();
        Box::pin(async move { Ok(api.serve(asked).await) })
    }
}

impl InProcess {
    pub(crate) fn new(api: Api, user: UserInfo) -> Self {
        Self { api, user: Authenticated(Arc::new(user)) }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.user.clone());
        tower::Service::call(&mut self.api, request)
    }
}
