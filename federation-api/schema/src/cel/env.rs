//! What an expression may refer to, and compiling within that.

use std::collections::HashMap;
use std::sync::Arc;

use super::check;
use super::declared::{Decl, DeclKind};
use super::overloads::{self, Overload, Table};
use super::parse;
use super::plan;
use super::program::Program;
use super::source::{CompileError, Issues};
use super::types::Type;

/// The types of objects that patches are made of; their fields are anything.
const PATCH_OBJECT: &str = "Object";
const JSON_PATCH: &str = "JSONPatch";
/// Types of libraries that can be named.
const LIBRARY_TYPES: &[&str] = &["net.IP", "net.CIDR"];

/// Variables, types and functions of expressions.
#[derive(Debug, Clone)]
pub struct Env {
    variables: HashMap<Arc<str>, Type>,
    sizes: HashMap<Arc<str>, Arc<Decl>>,
    objects: HashMap<Arc<str>, Arc<Decl>>,
    table: Arc<Table>,
    patches: bool,
}

impl Default for Env {
    fn default() -> Self {
        Env::new()
    }
}

impl Env {
    /// Kubernetes' functions and no variables.
    pub fn new() -> Self {
        Env {
            variables: HashMap::new(),
            sizes: HashMap::new(),
            objects: HashMap::new(),
            table: overloads::base().clone(),
            patches: false,
        }
    }

    /// As `new`, with `Object{…}`, `JSONPatch{…}` and `jsonpatch.escapeKey`.
    pub fn with_patches() -> Self {
        Env { table: overloads::with_patches().clone(), patches: true, ..Env::new() }
    }

    /// Adds a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, ty: Type) -> Self {
        self.variables.insert(name.into(), ty);
        self
    }

    /// Adds a variable of a declared type, and the objects that are in it.
    #[must_use]
    pub fn declared(mut self, name: &str, decl: &Arc<Decl>) -> Self {
        self.variables.insert(name.into(), decl.ty());
        self.sizes.insert(name.into(), decl.clone());
        self.objects(decl)
    }

    /// Gives the names of types the size of `decl`: upstream's estimator for definitions takes the first name of any path
    /// for `self`, so that `type(self.port) == int` costs next to nothing.
    #[must_use]
    pub(crate) fn sized_types(mut self, decl: &Arc<Decl>) -> Self {
        for name in ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"] {
            self.sizes.insert(name.into(), decl.clone());
        }
        self
    }

    /// Adds the objects that are in a type.
    #[must_use]
    pub fn objects(mut self, decl: &Arc<Decl>) -> Self {
        let objects = &mut self.objects;
        decl.objects(&mut |name, decl| {
            objects.insert(name.clone(), decl.clone());
        });
        self
    }

    /// Parses, checks and plans an expression.
    ///
    /// # Errors
    /// What is wrong with it, as upstream says it.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let mut issues = Issues::new(source);
        let Ok(parsed) = parse::parse(source, &mut issues) else { return Err(issues.into_error()) };
        let (checked, mut issues) = check::check(self, parsed, issues);
        if issues.is_empty() {
            super::validators::validate(&checked, &mut issues);
        }
        if !issues.is_empty() {
            return Err(issues.into_error());
        }
        let node = plan::plan(&checked)
            .map_err(|error| CompileError::plain(format!("program instantiation failed: {error}")))?;
        Ok(Program::new(checked, node, self.sizes.clone()))
    }

    pub(crate) fn find_variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    pub(crate) fn overloads(&self, function: &str) -> Option<(&'static str, &[Overload])> {
        self.table.get_key_value(function).map(|(name, overloads)| (*name, &**overloads))
    }

    /// The type that a name names.
    pub(crate) fn find_type(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "duration" | "google.protobuf.Duration" => Type::Duration,
            "int" => Type::Int,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "null_type" => Type::Null,
            "string" => Type::String,
            "timestamp" | "google.protobuf.Timestamp" => Type::Timestamp,
            "type" => Type::Type(None),
            "uint" => Type::Uint,
            "optional_type" => Type::optional(Type::Dyn),
            _ if LIBRARY_TYPES.contains(&name) => Type::Opaque(name.into(), [].into()),
            _ if self.is_struct(name) => Type::object(name),
            _ => return None,
        })
    }

    pub(crate) fn is_struct(&self, name: &str) -> bool {
        self.objects.contains_key(name) || (self.patches && is_patch_type(name))
    }

    /// The type of a field of an object.
    pub(crate) fn field_type(&self, object: &str, field: &str) -> Option<Type> {
        if let Some(decl) = self.objects.get(object) {
            return decl.field(field).map(|field| field.decl.ty());
        }
        if !self.patches {
            return None;
        }
        match (object, field) {
            (JSON_PATCH, "op" | "path" | "from") => Some(Type::String),
            (JSON_PATCH, "value") => Some(Type::Dyn),
            (JSON_PATCH, _) => None,
            _ if is_patch_type(object) => Some(Type::Dyn),
            _ => None,
        }
    }

    /// The name in JSON of a field that an expression sets.
    pub(crate) fn json_name(&self, object: &str, field: &str) -> Option<Arc<str>> {
        match self.objects.get(object) {
            Some(decl) => decl.field(field).map(|field| field.json.clone()),
            None => Some(field.into()),
        }
    }
}

fn is_patch_type(name: &str) -> bool {
    name == JSON_PATCH || name.strip_prefix(PATCH_OBJECT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What a `Decl` of a plain type is, for variables whose type an expression decided.
impl From<Type> for Decl {
    fn from(ty: Type) -> Self {
        Decl::simple(DeclKind::Native(ty))
    }
}
