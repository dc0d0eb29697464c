//! What the server itself has to say to a write, one plugin a file, in one order.
//!
//! Mutating plugins run before the record of managed fields, validation after it.

pub(crate) mod addresses;
pub(crate) mod amounts;
pub(crate) mod author;
mod authorize;
pub(crate) mod birth;
mod classes;
mod connect;
pub(crate) mod grants;
mod limits;
mod matching;
pub(crate) mod mirrored;
pub(crate) mod namespaces;
mod normal;
pub(crate) mod policy;
pub(crate) mod quota;
mod service_account;
mod suffix;
mod trail;
pub(crate) mod webhook;

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use crate::cache::Entry;
use crate::call::Call;
use crate::check;
use crate::error::ApiError;
use crate::request::options::{DeleteOptions, WriteOptions};
use crate::verb::write::Part;

pub use addresses::ServiceRange;
pub(crate) use trail::Trail;

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    /// A connection to what runs: exec, attach, port-forward, proxy; the object is its options.
    Connect,
}

impl Operation {
    /// The word that rules and reviews have for it.
    fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What a plugin may know of a write beside the request and the new object.
#[derive(Debug)]
pub(crate) struct Review<'a> {
    pub(crate) operation: Operation,
    pub(crate) part: Part,
    pub(crate) old: Option<&'a Value>,
    pub(crate) options: &'a WriteOptions,
    /// The options of a deletion.
    pub(crate) deletion: Option<&'a DeleteOptions>,
}

type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

/// How a plugin is asked that may change the object.
enum Admit {
    Now(fn(&mut Call, &mut Value, &Review<'_>) -> Result<(), ApiError>),
    /// It may have to wait for somebody.
    Later(for<'a> fn(&'a mut Call, &'a mut Value, &'a Review<'a>) -> Verdict<'a>),
}

/// How a plugin is asked that only judges.
enum Judge {
    Now(fn(&Call, &Value, &Review<'_>) -> Result<(), ApiError>),
    Later(for<'a> fn(&'a mut Call, &'a Value, &'a Review<'a>) -> Verdict<'a>),
}

/// Plugins that may change the object or refuse it for what it is not itself, in this order.
const MUTATING: &[(&str, Admit)] = &[
    (
        "Normal",
        Admit::Now(|call, new, _| {
            normal::admit(&call.kind, new);
            Ok(())
        }),
    ),
    ("Mirrored", Admit::Now(|call, new, review| mirrored::admit(call, new, review))),
    ("NamespaceLifecycle", Admit::Now(|call, new, review| namespaces::admit(call, new, review))),
    ("Suffix", Admit::Now(|call, new, review| suffix::admit(call, new, review))),
    ("Birth", Admit::Now(birth_and_defaults)),
    ("LimitRanger", Admit::Now(limits::admit)),
    ("ServiceAccount", Admit::Later(|call, new, review| Box::pin(service_account::admit(call, new, review)))),
    ("Priority", Admit::Now(classes::priority)),
    ("DefaultTolerationSeconds", Admit::Now(classes::tolerations)),
    ("DefaultIngressClass", Admit::Now(classes::ingress)),
    ("DefaultStorageClass", Admit::Now(classes::storage)),
    ("RuntimeClass", Admit::Now(classes::runtime)),
    ("MutatingAdmissionPolicy", Admit::Later(|call, new, review| Box::pin(policy::mutate(call, new, review)))),
    ("MutatingAdmissionWebhook", Admit::Later(|call, new, review| Box::pin(webhook::mutate(call, new, review)))),
    // What only the server itself writes comes last, so that nobody before could have forged it.
    (
        "Author",
        Admit::Now(|call, new, review| {
            author::admit(call, new, review);
            Ok(())
        }),
    ),
    ("Addresses", Admit::Now(addresses_of_main)),
];

/// Plugins that judge the finished, valid object, in this order; what it uses of quotas is taken with the commit.
const VALIDATING: &[(&str, Judge)] = &[
    ("Mirrored", Judge::Now(mirrored::admit)),
    ("LimitRanger", Judge::Now(limits::validate)),
    ("Priority", Judge::Now(classes::one_default_priority)),
    ("Escalation", Judge::Later(|call, new, review| Box::pin(grants::check(call, new, review)))),
    ("ValidatingAdmissionPolicy", Judge::Later(|call, new, review| Box::pin(policy::judge(call, new, review)))),
    ("ValidatingAdmissionWebhook", Judge::Later(|call, new, review| Box::pin(webhook::validate(call, new, review)))),
];

/// Plugins that are asked about deletions and connections, which change no object, in this order.
const UNCHANGING: &[(&str, Judge)] = &[
    (
        "MutatingAdmissionWebhook",
        Judge::Later(|call, old, review| Box::pin(webhook::mutate_nothing(call, old, review))),
    ),
    ("ValidatingAdmissionPolicy", Judge::Later(|call, old, review| Box::pin(policy::judge(call, old, review)))),
    ("ValidatingAdmissionWebhook", Judge::Later(|call, old, review| Box::pin(webhook::validate(call, old, review)))),
];

/// Runs the plugins that may change the object.
///
/// # Errors
/// The first refusal.
pub(crate) async fn admit(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    call.trail = Trail::default();
    loop {
        for (name, plugin) in MUTATING {
            let verdict = match plugin {
                Admit::Now(admit) => admit(call, new, review),
                Admit::Later(admit) => admit(call, new, review).await,
            };
            told(name, verdict)?;
        }
        // Where a policy or a webhook has changed the object, everybody sees it once more.
        if !call.trail.begin_again() {
            return Ok(());
        }
    }
}

/// Runs the plugins that judge the finished object.
///
/// # Errors
/// The first refusal.
pub(crate) async fn judge(call: &mut Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    ask_all(VALIDATING, call, new, review).await
}

/// Asks whether an object may be deleted.
///
/// # Errors
/// 403 for what has to stay, or the first refusal.
pub(crate) async fn deletes(call: &mut Call, entry: &Entry, options: &DeleteOptions) -> Result<(), ApiError> {
    namespaces::may_delete(call, entry)?;
    if !webhook::is_any(&call.server) && !policy::is_any(&call.server) {
        return Ok(());
    }
    let old = entry.value();
    let write = WriteOptions { dry_run: options.is_dry_run(), ..WriteOptions::default() };
    let (operation, part) = (Operation::Delete, Part::Main);
    let review = Review { operation, part, old: Some(&old), options: &write, deletion: Some(options) };
    ask_all(UNCHANGING, call, &old, &review).await
}

/// Asks whether a connection to what runs may be made.
///
/// # Errors
/// The first refusal.
pub(crate) async fn connects(call: &mut Call) -> Result<(), ApiError> {
    if !webhook::is_any(&call.server) && !policy::is_any(&call.server) {
        return Ok(());
    }
    let object = connect::options(call);
    let write = WriteOptions::default();
    let (operation, part) = (Operation::Connect, Part::Main);
    let review = Review { operation, part, old: None, options: &write, deletion: None };
    ask_all(UNCHANGING, call, &object, &review).await
}

/// Asks about an object that asks for something and is never stored: an eviction, a token.
///
/// # Errors
/// The first refusal.
pub(crate) async fn requests(call: &mut Call, new: &mut Value, options: &WriteOptions) -> Result<(), ApiError> {
    if !webhook::is_any(&call.server) && !policy::is_any(&call.server) {
        return Ok(());
    }
    let (operation, part) = (Operation::Create, Part::Main);
    let review = Review { operation, part, old: None, options, deletion: None };
    call.trail = Trail::default();
    // Policies that change write in the types of what is stored, and are not asked here.
    loop {
        told("MutatingAdmissionWebhook", webhook::mutate(call, new, &review).await)?;
        if !call.trail.begin_again() {
            break;
        }
    }
    told("ValidatingAdmissionPolicy", policy::judge(call, new, &review).await)?;
    told("ValidatingAdmissionWebhook", webhook::validate(call, new, &review).await)
}

async fn ask_all(
    plugins: &[(&str, Judge)],
    call: &mut Call,
    object: &Value,
    review: &Review<'_>,
) -> Result<(), ApiError> {
    for (name, plugin) in plugins {
        let verdict = match plugin {
            Judge::Now(judge) => judge(call, object, review),
            Judge::Later(judge) => judge(call, object, review).await,
        };
        told(name, verdict)?;
    }
    Ok(())
}

fn told(plugin: &str, verdict: Result<(), ApiError>) -> Result<(), ApiError> {
    verdict.inspect_err(|error| tracing::debug!(plugin, %error, "a write is refused"))
}

fn birth_and_defaults(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    birth::admit(call, new, review);
    federation_schema::defaults::set_status(new);
    match review.part {
        Part::Main => check::default(call, new, review)?,
        Part::Status => federation_schema::defaults::set_defaults(new),
        _ => {}
    }
    birth::count_templates(call, new, review);
    Ok(())
}

fn addresses_of_main(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if review.part == Part::Main { addresses::admit(call, new, review) } else { Ok(()) }
}

/// What there is to tell about a write that happened.
pub(crate) fn written(call: &mut Call, new: &Value, review: &Review<'_>) {
    if review.part == Part::Main
        && let Some(warning) = call.server.placement.unplaced_warning(new)
    {
        call.warn(warning);
    }
}
