//! Static types and how they unify; it knows no functions and no values.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The type of an expression.
#[allow(clippy::enum_variant_names, reason = "the type of types is called type")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    Dyn,
    /// What a wrong expression has, so that one mistake is told once.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    /// A message or an object, by name.
    Object(Arc<str>),
    /// A type of a library, possibly with parameters: `net.IP`, `optional_type(int)`.
    Opaque(Arc<str>, Arc<[Type]>),
    /// The type of types.
    Type(Option<Arc<Type>>),
    /// A parameter of a declaration.
    Param(Arc<str>),
    /// A parameter of one use of a declaration.
    Var(u32),
}

const OPTIONAL: &str = "optional_type";

impl Type {
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    pub fn object(name: impl Into<Arc<str>>) -> Type {
        Type::Object(name.into())
    }

    pub fn optional(inner: Type) -> Type {
        Type::Opaque(OPTIONAL.into(), [inner].into())
    }

    /// What an optional holds; none for every other type.
    pub fn optional_inner(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, params) if &**name == OPTIONAL => params.first(),
            _ => None,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    fn is_wild(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    fn accepts_null(&self) -> bool {
        matches!(self, Type::Null | Type::Object(_) | Type::Opaque(..) | Type::Timestamp | Type::Duration)
    }

    /// The name without parameters, as `type()` shows it.
    pub fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Error => "error",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Duration => "google.protobuf.Duration",
            Type::List(_) => "list",
            Type::Map(..) => "map",
            Type::Object(name) | Type::Opaque(name, _) | Type::Param(name) => name,
            Type::Type(_) => "type",
            Type::Var(_) => "_var",
        }
    }

    /// Whether the types agree when all parameters are taken as equal.
    pub(crate) fn is_equivalent(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b)) => a.is_equivalent(b),
            (Type::Map(ak, av), Type::Map(bk, bv)) => ak.is_equivalent(bk) && av.is_equivalent(bv),
            (Type::Opaque(a, ap), Type::Opaque(b, bp)) => {
                a == b && ap.len() == bp.len() && ap.iter().zip(bp.iter()).all(|(a, b)| a.is_equivalent(b))
            }
            (Type::Type(Some(a)), Type::Type(Some(b))) => a.is_equivalent(b),
            (Type::Param(_) | Type::Var(_), Type::Param(_) | Type::Var(_)) => true,
            (a, b) => a == b,
        }
    }
}

/// As errors show it: `map(string, list(int))`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Error => f.write_str("!error!"),
            Type::Null => f.write_str("null"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Duration => f.write_str("duration"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Type(Some(of)) => write!(f, "type({of})"),
            Type::Var(number) => write!(f, "_var{number}"),
            Type::Opaque(name, params) if !params.is_empty() => {
                write!(f, "{name}(")?;
                for (i, param) in params.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{param}")?;
                }
                f.write_str(")")
            }
            other => f.write_str(other.name()),
        }
    }
}

/// What the parameters in use stand for; attempts that fail leave it as it was.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    bound: HashMap<u32, Type>,
    undo: Vec<(u32, Option<Type>)>,
    next: u32,
}

impl Mapping {
    pub(crate) fn fresh(&mut self) -> Type {
        self.next += 1;
        Type::Var(self.next - 1)
    }

    /// Whether all of `left` can be used where `right` is wanted.
    pub(crate) fn assignable_all(&mut self, left: &[Type], right: &[Type]) -> bool {
        self.undo.clear();
        let fits = left.len() == right.len() && left.iter().zip(right).all(|(l, r)| self.unify(l, r));
        if !fits {
            while let Some((var, old)) = self.undo.pop() {
                match old {
                    Some(old) => self.bound.insert(var, old),
                    None => self.bound.remove(&var),
                };
            }
        }
        fits
    }

    /// Whether one type can be used where the other is wanted.
    pub(crate) fn assignable(&mut self, left: &Type, right: &Type) -> bool {
        self.assignable_all(std::slice::from_ref(left), std::slice::from_ref(right))
    }

    fn bind(&mut self, var: u32, to: Type) {
        let old = self.bound.insert(var, to);
        self.undo.push((var, old));
    }

    fn unify(&mut self, t1: &Type, t2: &Type) -> bool {
        if let Type::Var(var) = t2 {
            let (valid, bound) = self.substitutes(t1, *var);
            if valid || bound {
                return valid;
            }
        }
        if let Type::Var(var) = t1 {
            return self.substitutes(t2, *var).0;
        }
        if t1.is_wild() || t2.is_wild() {
            return true;
        }
        match (t1, t2) {
            (Type::Null, other) | (other, Type::Null) => other.accepts_null(),
            (Type::List(a), Type::List(b)) => self.unify(a, b),
            (Type::Map(ak, av), Type::Map(bk, bv)) => self.unify(ak, bk) && self.unify(av, bv),
            (Type::Opaque(a, ap), Type::Opaque(b, bp)) => {
                a == b && ap.len() == bp.len() && ap.iter().zip(bp.iter()).all(|(a, b)| self.unify(a, b))
            }
            (Type::Type(_), Type::Type(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Whether a parameter can stand for a type, and whether it stands for something already.
    fn substitutes(&mut self, t1: &Type, var: u32) -> (bool, bool) {
        if matches!(t1, Type::Var(other) if *other == var) {
            return (true, true);
        }
        if let Some(bound) = self.bound.get(&var).cloned() {
            if *t1 == bound {
                return (true, true);
            }
            if !self.unify(t1, &bound) {
                return (false, true);
            }
            let general = most_general(t1, &bound);
            if self.is_free_of(var, &general) {
                self.bind(var, general);
            }
            return (true, true);
        }
        if self.is_free_of(var, t1) {
            self.bind(var, t1.clone());
            return (true, false);
        }
        (false, false)
    }

    fn is_free_of(&self, var: u32, within: &Type) -> bool {
        match within {
            Type::Var(other) if *other == var => false,
            Type::Var(other) => self.bound.get(other).is_none_or(|bound| self.is_free_of(var, bound)),
            Type::List(element) => self.is_free_of(var, element),
            Type::Map(key, value) => self.is_free_of(var, key) && self.is_free_of(var, value),
            Type::Opaque(_, params) => params.iter().all(|param| self.is_free_of(var, param)),
            Type::Type(Some(of)) => self.is_free_of(var, of),
            _ => true,
        }
    }

    /// A type with what its parameters stand for; free ones become `dyn` if asked.
    pub(crate) fn substitute(&self, of: &Type, free_to_dyn: bool) -> Type {
        match of {
            Type::Var(var) => match self.bound.get(var) {
                Some(bound) => self.substitute(bound, free_to_dyn),
                None if free_to_dyn => Type::Dyn,
                None => of.clone(),
            },
            Type::List(element) => Type::list(self.substitute(element, free_to_dyn)),
            Type::Map(key, value) => Type::map(self.substitute(key, free_to_dyn), self.substitute(value, free_to_dyn)),
            Type::Opaque(name, params) if !params.is_empty() => {
                Type::Opaque(name.clone(), params.iter().map(|param| self.substitute(param, free_to_dyn)).collect())
            }
            Type::Type(Some(inner)) => Type::Type(Some(Arc::new(self.substitute(inner, free_to_dyn)))),
            other => other.clone(),
        }
    }

    /// A declared type with fresh parameters in the place of its own.
    pub(crate) fn instantiate(&mut self, of: &Type, params: &mut HashMap<Arc<str>, Type>) -> Type {
        match of {
            Type::Param(name) => params.entry(name.clone()).or_insert_with(|| self.fresh()).clone(),
            Type::List(element) => Type::list(self.instantiate(element, params)),
            Type::Map(key, value) => {
                let key = self.instantiate(key, params);
                Type::map(key, self.instantiate(value, params))
            }
            Type::Opaque(name, inner) if !inner.is_empty() => {
                Type::Opaque(name.clone(), inner.iter().map(|param| self.instantiate(param, params)).collect())
            }
            Type::Type(Some(inner)) => Type::Type(Some(Arc::new(self.instantiate(inner, params)))),
            other => other.clone(),
        }
    }
}

/// The more general of two types that are known to unify.
pub(crate) fn most_general(t1: &Type, t2: &Type) -> Type {
    if is_less_specific(t1, t2) { t1.clone() } else { t2.clone() }
}

fn is_less_specific(t1: &Type, t2: &Type) -> bool {
    if t1.is_dyn() || matches!(t1, Type::Var(_) | Type::Param(_)) {
        return true;
    }
    if t2.is_dyn() || matches!(t2, Type::Var(_) | Type::Param(_)) {
        return false;
    }
    match (t1, t2) {
        (Type::Opaque(a, ap), Type::Opaque(b, bp)) => {
            a == b && ap.len() == bp.len() && ap.iter().zip(bp.iter()).all(|(a, b)| is_less_specific(a, b))
        }
        (Type::List(a), Type::List(b)) => is_less_specific(a, b),
        (Type::Map(ak, av), Type::Map(bk, bv)) => is_less_specific(ak, bk) && is_less_specific(av, bv),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}
