//! `authorizer.group('apps').resource('deployments').check('get')`: questions that an expression builds and asks.
//!
//! It knows how questions are put; who answers is the caller's.

use std::sync::Arc;

use super::value::{EvalError, Text, Value};

/// Who answers; a second user is a service account that the expression names.
pub trait Authorizer: std::fmt::Debug + Send + Sync {
    fn authorize(&self, question: &Question) -> Decision;
}

/// One question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Namespace and name of a service account to ask for in place of the request's user.
    pub account: Option<(String, String)>,
    /// Set for questions on paths that are no resources.
    pub path: Option<String>,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
    pub verb: String,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    /// Why it could not be decided.
    pub error: Option<String>,
}

/// A question at some stage, or its answer.
#[derive(Debug, Clone)]
pub struct AuthorizerValue<'a> {
    by: &'a dyn Authorizer,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    Authorizer(Arc<Question>),
    Path(Arc<Question>),
    Group(Arc<Question>),
    Resource(Arc<Question>),
    Decision(Arc<Decision>),
}

impl<'a> AuthorizerValue<'a> {
    /// The variable `authorizer`.
    pub fn new(by: &'a dyn Authorizer) -> Self {
        AuthorizerValue { by, stage: Stage::Authorizer(Arc::default()) }
    }

    /// The variable `authorizer.requestResource`.
    pub fn for_resource(by: &'a dyn Authorizer, question: Question) -> Self {
        AuthorizerValue { by, stage: Stage::Resource(Arc::new(question)) }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Stage::Path(_) => "kubernetes.authorization.PathCheck",
            Stage::Group(_) => "kubernetes.authorization.GroupCheck",
            Stage::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Stage::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    fn with(&self, stage: Stage) -> Value<'a> {
        Value::Authorizer(AuthorizerValue { by: self.by, stage })
    }

    /// A member function of any of these.
    ///
    /// # Errors
    /// Arguments that no question can have.
    pub(crate) fn call(&self, function: &str, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
        let arg = args.first().and_then(Value::as_str).unwrap_or("");
        let edited = |question: &Arc<Question>, edit: &dyn Fn(&mut Question)| {
            let mut question = (**question).clone();
            edit(&mut question);
            Arc::new(question)
        };
        let own = arg.to_owned();
        let stage = match (&self.stage, function) {
            (Stage::Authorizer(_), "path") if arg.trim().is_empty() => {
                return Err(EvalError::new("path must not be empty"));
            }
            (Stage::Authorizer(q), "path") => Stage::Path(edited(q, &|q| q.path = Some(own.clone()))),
            (Stage::Authorizer(q), "group") => Stage::Group(edited(q, &|q| q.group.clone_from(&own))),
            (Stage::Authorizer(q), "serviceAccount") => {
                let name = args.get(1).and_then(Value::as_str).unwrap_or("");
                check_account(arg, name)?;
                Stage::Authorizer(edited(q, &|q| q.account = Some((own.clone(), name.to_owned()))))
            }
            (Stage::Group(_), "resource") if arg.trim().is_empty() => {
                return Err(EvalError::new("resource must not be empty"));
            }
            (Stage::Group(q), "resource") => Stage::Resource(edited(q, &|q| q.resource.clone_from(&own))),
            (Stage::Resource(q), "subresource") => Stage::Resource(edited(q, &|q| q.subresource.clone_from(&own))),
            (Stage::Resource(q), "namespace") => Stage::Resource(edited(q, &|q| q.namespace.clone_from(&own))),
            (Stage::Resource(q), "name") => Stage::Resource(edited(q, &|q| q.name.clone_from(&own))),
            (Stage::Resource(q), "fieldSelector") => Stage::Resource(edited(q, &|q| q.field_selector.clone_from(&own))),
            (Stage::Resource(q), "labelSelector") => Stage::Resource(edited(q, &|q| q.label_selector.clone_from(&own))),
            (Stage::Path(q) | Stage::Resource(q), "check") => {
                let asked = edited(q, &|q| q.verb.clone_from(&own));
                Stage::Decision(Arc::new(self.by.authorize(&asked)))
            }
            (Stage::Decision(decision), _) => return answer(decision, function),
            _ => return Err(EvalError::no_such_overload()),
        };
        Ok(self.with(stage))
    }
}

fn answer<'a>(decision: &Decision, function: &str) -> Result<Value<'a>, EvalError> {
    let text = |text: &str| Ok(Value::String(Text::Shared(text.into())));
    match function {
        "allowed" => Ok(Value::Bool(decision.allowed)),
        "reason" => text(&decision.reason),
        "errored" => Ok(Value::Bool(decision.error.is_some())),
        "error" => text(decision.error.as_deref().unwrap_or("")),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn check_account(namespace: &str, name: &str) -> Result<(), EvalError> {
    if !crate::field::format::dns_subdomain(name).is_empty() {
        return Err(EvalError::new("Invalid service account name"));
    }
    if !crate::field::format::dns_label(namespace).is_empty() {
        return Err(EvalError::new("Invalid service account namespace"));
    }
    Ok(())
}
