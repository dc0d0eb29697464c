//! Running steps: values in, one value out, and what it cost.
//!
//! Every step is charged for as upstream charges it; nothing but that budget ends an evaluation early.

mod attr;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cost;
use super::library;
use super::plan::{CallNode, Fold, Node};
use super::value::{EvalError, Key, List, Map, Struct, Value};

/// The values of variables.
pub trait Bindings<'a> {
    /// The value of a variable; none where there is no such variable.
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvalError>>;

    /// A field of a `Value::Lazy`; none where there is no such field.
    fn lazy(&self, of: u32, field: &str) -> Option<Result<Value<'a>, EvalError>> {
        let (_, _) = (of, field);
        None
    }
}

/// No variables but those in the list.
impl<'a> Bindings<'a> for [(&str, Value<'a>)] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| Ok(value.clone()))
    }
}

/// An evaluation under way.
pub(crate) struct Machine<'a, 'b> {
    bindings: &'b dyn Bindings<'a>,
    locals: Vec<Result<Value<'a>, EvalError>>,
    cost: u64,
    limit: u64,
}

type Evaluated<'a> = Result<Value<'a>, EvalError>;

impl<'a, 'b> Machine<'a, 'b> {
    pub(crate) fn new(bindings: &'b dyn Bindings<'a>, limit: u64) -> Self {
        Machine { bindings, locals: Vec::new(), cost: 0, limit }
    }

    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvalError::CostLimit) } else { Ok(()) }
    }

    pub(crate) fn eval(&mut self, node: &Node) -> Evaluated<'a> {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Attr(attr) => self.attr(attr),
            Node::Call(call) => self.call(call),
            Node::And(terms) => self.logical(terms, false),
            Node::Or(terms) => self.logical(terms, true),
            Node::NotStrictlyFalse(inner) => self.not_strictly_false(inner),
            Node::Member(left, list) => {
                let left = self.eval(left)?;
                let Value::List(list) = list else { return Err(EvalError::no_such_overload()) };
                Ok(Value::Bool(list.iter().flatten().any(|item| item.equals(&left))))
            }
            Node::OptionalOr(sides, unwrap) => self.optional_or(sides, *unwrap),
            Node::List(elements) => self.list(elements).map(Value::list),
            Node::Map(entries) => self.map(entries),
            Node::Struct(name, fields) => self.object(name, fields),
            Node::Fold(fold) => self.fold(fold),
            Node::Append(slot, list) => self.append(*slot, list),
            Node::Insert(slot, args) => self.insert(*slot, args),
        }
    }

    fn call(&mut self, call: &CallNode) -> Evaluated<'a> {
        let mut args = Vec::with_capacity(call.args.len());
        let mut failure = None;
        for (at, arg) in call.args.iter().enumerate() {
            match self.eval(arg) {
                Ok(value) => args.push(value),
                Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
                // Up to two arguments all run, of more only those before the first failure; then the call is free.
                Err(error) if (call.args.len() > 2 || call.pattern.is_some()) && at + 1 < call.args.len() => {
                    return Err(error);
                }
                Err(error) => {
                    failure = failure.or(Some(error));
                    args.push(Value::Null);
                }
            }
        }
        if let Some(failure) = failure {
            let spent = cost::call(call.name, call.overload, &args, None);
            self.charge(spent)?;
            return Err(failure);
        }
        if cost::is_hopeless(call.name, &args, self.limit - self.cost) {
            return Err(EvalError::CostLimit);
        }
        let result = match &call.pattern {
            Some(pattern) => super::library::regex::with_pattern(call.name, pattern, &args),
            None => library::call(call.run, &args),
        };
        let spent = cost::call(call.name, call.overload, &args, result.as_ref().ok());
        self.charge(spent)?;
        result
    }

    /// `&&`, and with `until` `||`: either side may decide alone, errors of the other side notwithstanding.
    fn logical(&mut self, terms: &[Node; 2], until: bool) -> Evaluated<'a> {
        let mut failure = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == until => return Ok(Value::Bool(until)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failure = failure.or(Some(EvalError::no_such_overload())),
                Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(Value::Bool(!until)), Err)
    }

    fn not_strictly_false(&mut self, inner: &Node) -> Evaluated<'a> {
        let value = match self.eval(inner) {
            Ok(Value::Bool(value)) => value,
            Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
            _ => true,
        };
        self.charge(1)?;
        Ok(Value::Bool(value))
    }

    fn optional_or(&mut self, sides: &[Node; 2], unwrap: bool) -> Evaluated<'a> {
        match self.eval(&sides[0])? {
            Value::Optional(Some(inner)) if unwrap => Ok((*inner).clone()),
            Value::Optional(Some(inner)) => Ok(Value::Optional(Some(inner))),
            Value::Optional(None) => self.eval(&sides[1]),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    /// The value of an optional entry, if it has one.
    fn entry(&mut self, node: &Node, optional: bool, of: &str) -> Result<Option<Value<'a>>, EvalError> {
        match self.eval(node)? {
            Value::Optional(inner) if optional => Ok(inner.map(|inner| (*inner).clone())),
            _ if optional => Err(EvalError::new(format!("cannot initialize optional {of} from non-optional value"))),
            value => Ok(Some(value)),
        }
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Result<Vec<Value<'a>>, EvalError> {
        let mut values = Vec::with_capacity(elements.len());
        let mut failure = None;
        for (element, optional) in elements {
            match self.entry(element, *optional, "list element") {
                Ok(value) => values.extend(value),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        self.charge(cost::LIST)?;
        failure.map_or(Ok(values), Err)
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Evaluated<'a> {
        let mut values = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            if let Some(value) = self.entry(value, *optional, "entry")? {
                values.push((key, value));
            }
        }
        self.charge(cost::MAP)?;
        make_map(values)
    }

    fn object(&mut self, name: &Arc<str>, fields: &[(Arc<str>, Node, bool)]) -> Evaluated<'a> {
        let mut made = Vec::with_capacity(fields.len());
        for (field, value, optional) in fields {
            if let Some(value) = self.entry(value, *optional, "field")? {
                made.push((field.clone(), value));
            }
        }
        self.charge(cost::STRUCT)?;
        Ok(Value::Struct(Arc::new(Struct { name: name.clone(), fields: made })))
    }

    fn append(&mut self, slot: usize, list: &Node) -> Evaluated<'a> {
        self.charge(1)?;
        let Node::List(elements) = list else { return Err(EvalError::no_such_overload()) };
        let more = self.list(elements);
        self.charge(1)?;
        let more = more?;
        match std::mem::replace(&mut self.locals[slot], Ok(Value::Null))? {
            Value::List(List::Owned(mut values)) => {
                Arc::make_mut(&mut values).extend(more);
                Ok(Value::List(List::Owned(values)))
            }
            Value::List(list) => Ok(Value::list(list.concat(&List::Owned(Arc::new(more)))?)),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    fn insert(&mut self, slot: usize, args: &[Node]) -> Evaluated<'a> {
        self.charge(1)?;
        let mut values = Vec::with_capacity(2);
        for arg in args {
            values.push(self.eval(arg)?);
        }
        self.charge(1)?;
        let entries = match (values.pop(), values.pop()) {
            (Some(value), Some(key)) => vec![(key, value)],
            (Some(Value::Map(map)), None) => {
                map.entries()?.into_iter().map(|(key, value)| (key.value(), value)).collect()
            }
            _ => return Err(EvalError::no_such_overload()),
        };
        let Value::Map(Map::Owned(mut map)) = std::mem::replace(&mut self.locals[slot], Ok(Value::Null))? else {
            return Err(EvalError::no_such_overload());
        };
        for (key, value) in entries {
            let key = Key::of(&key).ok_or_else(EvalError::no_such_overload)?;
            if map.contains_key(&key) {
                return Err(EvalError::new(format!("insert failed: key {key} already exists")));
            }
            Arc::make_mut(&mut map).insert(key, value);
        }
        Ok(Value::Map(Map::Owned(map)))
    }

    fn fold(&mut self, fold: &Fold) -> Evaluated<'a> {
        let range = self.eval(&fold.range)?;
        let init = match self.eval(&fold.init) {
            Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
            init => init,
        };
        let outside = self.locals.len();
        self.locals.push(init);
        let outcome = self.run(fold, range);
        self.locals.truncate(outside);
        outcome
    }

    fn run(&mut self, fold: &Fold, range: Value<'a>) -> Evaluated<'a> {
        let accumulator = self.locals.len() - 1;
        match range {
            Value::List(list) => {
                for index in 0..list.len() {
                    let Some(item) = list.get(index) else { break };
                    let second = fold.two.then(|| item.clone());
                    let first = if fold.two { Ok(Value::Int(index as i64)) } else { item };
                    if !self.turn(fold, accumulator, first, second)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for key in map.keys() {
                    let second = if fold.two { map_value(&map, &key) } else { None };
                    if !self.turn(fold, accumulator, Ok(key.value()), second)? {
                        break;
                    }
                }
            }
            _ => return Err(EvalError::no_such_overload()),
        }
        self.locals.truncate(accumulator + 1);
        self.eval(&fold.result)
    }

    /// One turn of a loop; false ends it.
    fn turn(
        &mut self,
        fold: &Fold,
        accumulator: usize,
        first: Evaluated<'a>,
        second: Option<Evaluated<'a>>,
    ) -> Result<bool, EvalError> {
        self.locals.truncate(accumulator + 1);
        self.locals.push(first);
        self.locals.extend(second);
        match self.eval(&fold.condition) {
            Ok(Value::Bool(false)) => return Ok(false),
            Ok(Value::Bool(true)) => {}
            Ok(_) => return Err(EvalError::no_such_overload()),
            Err(error) => return Err(error),
        }
        let step = self.eval(&fold.step);
        if matches!(step, Err(EvalError::CostLimit)) {
            return Err(EvalError::CostLimit);
        }
        self.locals[accumulator] = step;
        Ok(true)
    }
}

/// The value of an entry that is there; of objects the key is a name in JSON.
fn map_value<'a>(map: &Map<'a>, key: &Key<'a>) -> Option<Evaluated<'a>> {
    match (map, key) {
        (Map::Json(json, decl), Key::String(name)) => {
            let child = decl.and_then(|decl| decl.child(name));
            json.get(&**name).map(|value| Value::from_json(value, child))
        }
        _ => map.get(key),
    }
}

/// A map of computed entries.
///
/// # Errors
/// Keys that no map can have.
pub(crate) fn make_map<'a>(entries: Vec<(Value<'a>, Value<'a>)>) -> Evaluated<'a> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        let Some(key) = Key::of(&key) else {
            return Err(EvalError::new(format!("unsupported key type: {}", key.runtime_type())));
        };
        if map.insert(key.clone(), value).is_some() {
            return Err(EvalError::new(format!("Failed with repeated key: {key}")));
        }
    }
    Ok(Value::Map(Map::Owned(Arc::new(map))))
}
