//! Attributes: a variable or any other value, and the way down into it by names and indexes.

use super::super::cost;
use super::super::plan::{Attr, Base, Node, Step, StepKey};
use super::super::value::{EvalError, Key, Value};
use super::{Evaluated, Machine};

impl<'a> Machine<'a, '_> {
    /// An attribute as an expression of its own: looking up the variable costs as well.
    pub(super) fn attr(&mut self, attr: &Attr) -> Evaluated<'a> {
        let free = matches!(attr.base, Base::Ternary(_)) || attr.path.last().is_some_and(|step| step.test);
        let value = self.resolve(attr);
        if matches!(value, Err(EvalError::CostLimit)) {
            return value;
        }
        if !free {
            self.charge(cost::LOOKUP)?;
        }
        value
    }

    /// An attribute as the branch of a choice: looking up the variable is free there.
    fn branch(&mut self, node: &Node) -> Evaluated<'a> {
        match node {
            Node::Attr(attr) => self.resolve(attr),
            other => self.eval(other),
        }
    }

    fn resolve(&mut self, attr: &Attr) -> Evaluated<'a> {
        let base = match &attr.base {
            Base::Global(name) => match self.bindings.get(name) {
                Some(value) => value?,
                None => return Err(EvalError::new(format!("no such attribute(s): {name}"))),
            },
            Base::Local(slot) => self.locals[*slot].clone()?,
            Base::Value(node) => self.eval(node)?,
            Base::Ternary(parts) => match self.eval(&parts[0])? {
                Value::Bool(true) => self.branch(&parts[1])?,
                Value::Bool(false) => self.branch(&parts[2])?,
                _ => return Err(EvalError::no_such_overload()),
            },
        };
        self.descend(base, &attr.path)
    }

    fn descend(&mut self, base: Value<'a>, path: &[Step]) -> Evaluated<'a> {
        let (mut at, mut optional) = (base, false);
        for step in path {
            match at {
                Value::Optional(None) if path.last().is_some_and(|step| step.test) => {
                    self.charge(cost::LOOKUP)?;
                    return Ok(Value::Bool(false));
                }
                Value::Optional(None) => return Ok(Value::Optional(None)),
                Value::Optional(Some(inner)) => {
                    at = (*inner).clone();
                    optional = true;
                }
                _ => {}
            }
            let key = match &step.key {
                StepKey::Const(value) => value.clone(),
                StepKey::Computed(node) => self.key(node)?,
            };
            optional |= step.optional;
            let found = match self.find(&at, &key) {
                Err(error) if error != EvalError::CostLimit => {
                    self.charge(cost::LOOKUP)?;
                    return Err(error);
                }
                found => found?,
            };
            if found.is_some() || step.test || !optional {
                self.charge(cost::LOOKUP)?;
            }
            if step.test {
                return Ok(Value::Bool(found.is_some()));
            }
            at = match found {
                Some(value) => value,
                None if optional => return Ok(Value::Optional(None)),
                None => return Err(missing(&at, &key)),
            };
        }
        Ok(if optional { Value::some(at) } else { at })
    }

    /// A computed index: looking up its variable is part of the index' own cost.
    fn key(&mut self, node: &Node) -> Evaluated<'a> {
        self.branch(node)
    }

    fn find(&mut self, within: &Value<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, EvalError> {
        match within {
            Value::Map(map) => match Key::of(key) {
                Some(key) => map.get(&key).transpose(),
                None => Ok(None),
            },
            Value::List(list) => {
                let index = match key {
                    Value::Int(index) => usize::try_from(*index).ok(),
                    Value::Uint(index) => usize::try_from(*index).ok(),
                    Value::Double(index) if index.fract() == 0.0 && *index >= 0.0 => Some(*index as usize),
                    Value::Double(index) => {
                        return Err(EvalError::new(format!("unsupported index value {index} in list")));
                    }
                    other => {
                        let message = format!("unsupported index type '{}' in list", other.runtime_type().name());
                        return Err(EvalError::new(message));
                    }
                };
                index.and_then(|index| list.get(index)).transpose()
            }
            Value::Struct(object) => {
                let name = key.as_str().unwrap_or("");
                Ok(object.fields.iter().find(|(own, _)| &**own == name).map(|(_, value)| value.clone()))
            }
            Value::Lazy(of) => self.bindings.lazy(*of, key.as_str().unwrap_or("")).transpose(),
            _ => Ok(None),
        }
    }
}

fn missing(within: &Value<'_>, key: &Value<'_>) -> EvalError {
    let shown = match key {
        Value::Double(value) => value.to_string(),
        other => Key::of(other).map_or_else(|| other.runtime_type().to_string(), |key| key.to_string()),
    };
    match within {
        Value::List(_) => EvalError::new(format!("index out of bounds: {shown}")),
        _ => EvalError::no_such_key(shown),
    }
}
