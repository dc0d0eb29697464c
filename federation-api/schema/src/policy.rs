//! Admission policies as compiled expressions: the environment that they see and the programs that they are.
//!
//! The same compilation judges a policy when it is written and runs it afterwards. It knows no requests.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/cel` and `plugin/policy`.

mod typing;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value as Json;

use crate::cel::{Decl, DeclField, DeclKind, Env, Program, Type};

pub use typing::warnings;

/// What one policy may spend on a request; upstream's number.
pub const BUDGET: u64 = 10_000_000;
/// What match conditions may spend on a request; upstream's number.
pub const MATCH_BUDGET: u64 = 2_500_000;
/// The name of the type of `variables`.
const VARIABLES: &str = "kubernetes.variables";

/// What an expression may refer to beside the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    pub params: bool,
    pub authorizer: bool,
    /// Whether it writes patches.
    pub patches: bool,
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The expression is wrong.
    Invalid(String),
    /// It is well typed and still cannot run.
    Internal(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Invalid(text) | Problem::Internal(text) => f.write_str(text),
        }
    }
}

/// A compiled expression with its text, or why there is none.
#[derive(Debug)]
pub struct Expression {
    pub text: String,
    pub program: Result<Program, Problem>,
}

/// Compiles the expressions of one policy; variables are known to those that come after them.
#[derive(Debug, Default)]
pub struct Compiler {
    variables: BTreeMap<Arc<str>, DeclField>,
    /// What objects and parameters are, where that is known.
    object: Option<Arc<Decl>>,
    params: Option<Arc<Decl>>,
}

/// A policy ready to run.
#[derive(Debug)]
pub struct Policy {
    pub variables: Vec<(String, Expression)>,
    pub conditions: Vec<(String, Expression)>,
    pub validations: Vec<Validation>,
    pub annotations: Vec<(String, Expression)>,
    pub mutations: Vec<Mutation>,
}

/// One validation.
#[derive(Debug)]
pub struct Validation {
    pub expression: Expression,
    pub message: String,
    pub message_expression: Option<Expression>,
    pub reason: Option<String>,
}

/// One mutation.
#[derive(Debug)]
pub enum Mutation {
    Apply(Expression),
    JsonPatch(Expression),
}

/// The type of what `applyConfiguration` has to make.
pub fn apply_type() -> Type {
    Type::object("Object")
}

/// The type of what `jsonPatch` has to make.
pub fn patch_type() -> Type {
    Type::list(Type::object("JSONPatch"))
}

impl Compiler {
    /// Compiles for objects and parameters of these types.
    pub fn typed(object: Arc<Decl>, params: Option<Arc<Decl>>) -> Self {
        Compiler { object: Some(object), params, ..Compiler::default() }
    }

    /// Compiles an expression that has to be of one of these types.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(&self, text: &str, scope: Scope, wanted: &[Type]) -> Result<Program, Problem> {
        let program = self.env(scope).compile(text).map_err(|error| {
            let shown = error.to_string();
            match shown.strip_prefix("program instantiation failed: ") {
                Some(_) => Problem::Internal(shown),
                None => Problem::Invalid(format!("compilation failed: {shown}")),
            }
        })?;
        let found = program.output();
        if wanted.is_empty() || wanted.contains(found) {
            return Ok(program);
        }
        let reason = match wanted {
            [only] => format!("must evaluate to {} but got {}", plain(only), plain(found)),
            _ => {
                let all: Vec<String> = wanted.iter().map(plain).collect();
                format!("must evaluate to one of [{}] but got {}", all.join(" "), plain(found))
            }
        };
        Err(Problem::Invalid(reason))
    }

    /// Compiles a variable, and lets what comes after it refer to it.
    ///
    /// # Errors
    /// As `compile`.
    pub fn variable(&mut self, name: &str, text: &str, scope: Scope) -> Result<Program, Problem> {
        let outcome = self.compile(text, scope, &[]);
        let ty = outcome.as_ref().map_or(Type::Dyn, |program| program.output().clone());
        let field = DeclField { json: name.into(), decl: Arc::new(Decl::from(ty)) };
        self.variables.insert(name.into(), field);
        outcome
    }

    fn env(&self, scope: Scope) -> Env {
        let kind = DeclKind::Object { name: VARIABLES.into(), fields: self.variables.clone() };
        let variables = Arc::new(Decl::simple(kind));
        let mut env = if scope.patches { Env::with_patches() } else { Env::new() };
        env = match &self.object {
            Some(object) => env.declared("object", object).declared("oldObject", object),
            None => env.variable("object", Type::Dyn).variable("oldObject", Type::Dyn),
        };
        env =
            env.declared("request", &REQUEST).declared("namespaceObject", &NAMESPACE).declared("variables", &variables);
        if scope.params {
            env = match &self.params {
                Some(params) => env.declared("params", params),
                None => env.variable("params", Type::Dyn),
            };
        }
        if scope.authorizer {
            env = env
                .variable("authorizer", Type::object("kubernetes.authorization.Authorizer"))
                .variable("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"));
        }
        env
    }

    fn expression(&self, text: &str, scope: Scope, wanted: &[Type]) -> Expression {
        Expression { text: text.to_owned(), program: self.compile(text, scope, wanted) }
    }
}

/// The name of a type as Go's `String` has it.
fn plain(ty: &Type) -> String {
    match ty {
        Type::Timestamp | Type::Duration | Type::Null => ty.name().to_owned(),
        other => other.to_string(),
    }
}

fn text<'v>(value: &'v Json, name: &str) -> &'v str {
    value.get(name).and_then(Json::as_str).unwrap_or("")
}

fn items<'v>(spec: &'v Json, name: &str) -> &'v [Json] {
    spec.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

impl Policy {
    /// Compiles the spec of a policy of either kind; what is wrong in it is kept with the expression.
    pub fn compile(spec: &Json) -> Policy {
        let params = spec.get("paramKind").is_some_and(Json::is_object);
        let scope = Scope { params, authorizer: true, patches: false };
        let quiet = Scope { authorizer: false, ..scope };
        let mut compiler = Compiler::default();
        let mut variables = Vec::new();
        for variable in items(spec, "variables") {
            let (name, own) = (text(variable, "name"), text(variable, "expression"));
            let program = compiler.variable(name, own, scope);
            variables.push((name.to_owned(), Expression { text: own.to_owned(), program }));
        }
        let conditions = items(spec, "matchConditions").iter().map(|condition| {
            let own = compiler.expression(text(condition, "expression"), scope, &[Type::Bool]);
            (text(condition, "name").to_owned(), own)
        });
        let validations = items(spec, "validations").iter().map(|validation| Validation {
            expression: compiler.expression(text(validation, "expression"), scope, &[Type::Bool]),
            message: text(validation, "message").to_owned(),
            message_expression: Some(text(validation, "messageExpression"))
                .filter(|own| !own.is_empty())
                .map(|own| compiler.expression(own, quiet, &[Type::String])),
            reason: validation.get("reason").and_then(Json::as_str).map(str::to_owned),
        });
        let annotations = items(spec, "auditAnnotations").iter().map(|annotation| {
            let own = compiler.expression(text(annotation, "valueExpression"), scope, &[Type::String, Type::Null]);
            (text(annotation, "key").to_owned(), own)
        });
        let writes = Scope { patches: true, ..scope };
        let mutations = items(spec, "mutations").iter().map(|mutation| {
            let own = |field: &str| mutation.get(field).map_or("", |inner| text(inner, "expression"));
            match text(mutation, "patchType") {
                "JSONPatch" => Mutation::JsonPatch(compiler.expression(own("jsonPatch"), writes, &[patch_type()])),
                _ => Mutation::Apply(compiler.expression(own("applyConfiguration"), writes, &[apply_type()])),
            }
        });
        Policy {
            conditions: conditions.collect(),
            validations: validations.collect(),
            annotations: annotations.collect(),
            mutations: mutations.collect(),
            variables,
        }
    }
}

fn string() -> Decl {
    Decl::simple(DeclKind::String)
}

fn strings() -> Decl {
    Decl::list(string(), -1)
}

/// The type of `request`.
static REQUEST: LazyLock<Arc<Decl>> = LazyLock::new(|| {
    let kind = || {
        let fields = ["group", "version", "kind"].map(|name| (name, string()));
        Decl::object("kubernetes.GroupVersionKind", fields)
    };
    let resource = || {
        let fields = ["group", "version", "resource"].map(|name| (name, string()));
        Decl::object("kubernetes.GroupVersionResource", fields)
    };
    let user = Decl::object(
        "kubernetes.UserInfo",
        [("username", string()), ("uid", string()), ("groups", strings()), ("extra", Decl::map(strings(), -1))],
    );
    Arc::new(Decl::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", string()),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", string()),
            ("name", string()),
            ("namespace", string()),
            ("operation", string()),
            ("userInfo", user),
            ("dryRun", Decl::simple(DeclKind::Bool)),
            ("options", Decl::any()),
        ],
    ))
});

/// The type of `namespaceObject`.
static NAMESPACE: LazyLock<Arc<Decl>> = LazyLock::new(|| {
    let time = || Decl::simple(DeclKind::Timestamp);
    let condition = Decl::object(
        "kubernetes.NamespaceCondition",
        [
            ("status", string()),
            ("type", string()),
            ("lastTransitionTime", time()),
            ("message", string()),
            ("reason", string()),
        ],
    );
    let metadata = Decl::object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", string()),
            ("generateName", string()),
            ("namespace", string()),
            ("labels", Decl::map(string(), -1)),
            ("annotations", Decl::map(string(), -1)),
            ("UID", string()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", Decl::simple(DeclKind::Int)),
            ("deletionTimestamp", time()),
            ("generation", Decl::simple(DeclKind::Int)),
            ("resourceVersion", string()),
            ("finalizers", strings()),
        ],
    );
    let status = [("conditions", Decl::list(condition, -1)), ("phase", string())];
    Arc::new(Decl::object(
        "kubernetes.Namespace",
        [
            ("metadata", metadata),
            ("spec", Decl::object("kubernetes.NamespaceSpec", [("finalizers", strings())])),
            ("status", Decl::object("kubernetes.NamespaceStatus", status)),
        ],
    ))
});
