//! Merging an applied configuration into the live object, and taking fields out of an object again.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/typed`; the order of merged lists is its own.

use serde_json::{Map, Value};

use crate::managed::element::Element;
use crate::managed::set::FieldSet;
use crate::managed::typing::{Relation, Typing, item_element};

/// The live object with the configuration merged in.
///
/// # Errors
/// Items of lists that cannot be told apart, or twice the same in the configuration.
pub(super) fn merge_objects(live: &Value, config: &Value, typing: Typing<'_>) -> Result<Value, String> {
    let (Value::Object(live), Value::Object(config)) = (live, config) else {
        return Err("both objects must be maps".to_owned());
    };
    merge_maps(Some(live), Some(config), |name| if name == "metadata" { typing.metadata() } else { typing.field(name) })
}

/// Merges field by field; `field` gives the type of each.
fn merge_maps<'f>(
    live: Option<&Map<String, Value>>,
    config: Option<&Map<String, Value>>,
    field: impl Fn(&str) -> Typing<'f>,
) -> Result<Value, String> {
    let mut out = Map::new();
    for (name, value) in live.into_iter().flatten() {
        let new = config.and_then(|config| config.get(name));
        let merged = match new {
            None => Some(value.clone()),
            Some(new) => merge(Some(value), Some(new), field(name)).map_err(|e| format!(".{name}{e}"))?,
        };
        if let Some(merged) = merged {
            out.insert(name.clone(), merged);
        }
    }
    for (name, value) in config.into_iter().flatten() {
        if live.is_none_or(|live| !live.contains_key(name))
            && let Some(merged) = merge(None, Some(value), field(name)).map_err(|e| format!(".{name}{e}"))?
        {
            out.insert(name.clone(), merged);
        }
    }
    Ok(Value::Object(out))
}

fn merge(live: Option<&Value>, config: Option<&Value>, typing: Typing<'_>) -> Result<Option<Value>, String> {
    let like = match (live, config) {
        (None, None) => return Ok(None),
        (Some(live), None) => return Ok(Some(live.clone())),
        (_, Some(config)) => config,
    };
    let relation = typing.relation(like);
    let keep = || Ok(config.or(live).cloned());
    match &relation {
        Relation::Scalar | Relation::AtomicList | Relation::AtomicMap => keep(),
        Relation::Set(item) | Relation::Keyed(item, _) => {
            let (old, new) = (as_list(live), as_list(config));
            if old.is_empty() && new.is_empty() {
                return keep();
            }
            let lists = Lists::new(old, new, &relation)?;
            lists.merge(*item).map(|out| (!out.is_empty()).then_some(Value::Array(out)))
        }
        Relation::Granular => {
            let (old, new) = (as_map(live), as_map(config));
            if old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty) {
                return keep();
            }
            merge_maps(old, new, |name| typing.field(name)).map(Some)
        }
    }
}

fn as_list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The elements that tell the items of a list apart, in order and findable.
struct Index<'v> {
    elements: Vec<Element<'v>>,
    /// Places sorted by element, equal ones by place.
    sorted: Vec<usize>,
}

impl<'v> Index<'v> {
    fn new(list: &'v [Value], relation: &Relation<'v>) -> Result<Self, String> {
        let element = |(i, item)| item_element(relation, item).map_err(|e| format!(": element {i}: {e}"));
        let elements: Vec<Element<'v>> = list.iter().enumerate().map(element).collect::<Result<_, _>>()?;
        let mut sorted: Vec<usize> = (0..elements.len()).collect();
        sorted.sort_by(|a, b| elements[*a].cmp(&elements[*b]).then(a.cmp(b)));
        Ok(Index { elements, sorted })
    }

    /// The first place of an element, and whether there is a second.
    fn find(&self, element: &Element<'_>) -> Option<(usize, bool)> {
        let start = self.sorted.partition_point(|place| self.elements[*place] < *element);
        let is_it = |at: usize| self.sorted.get(at).filter(|place| self.elements[**place] == *element);
        is_it(start).map(|place| (*place, is_it(start + 1).is_some()))
    }

    fn duplicate(&self) -> Option<&Element<'v>> {
        let pair = self.sorted.windows(2).find(|pair| self.elements[pair[0]] == self.elements[pair[1]])?;
        Some(&self.elements[pair[0]])
    }
}

/// Two lists whose items are merged.
struct Lists<'v> {
    old: &'v [Value],
    new: &'v [Value],
    old_index: Index<'v>,
    new_index: Index<'v>,
}

impl<'v> Lists<'v> {
    fn new(old: &'v [Value], new: &'v [Value], relation: &Relation<'v>) -> Result<Self, String> {
        let (old_index, new_index) = (Index::new(old, relation)?, Index::new(new, relation)?);
        if let Some(twice) = new_index.duplicate() {
            return Err(format!(": duplicate entries for key {twice}"));
        }
        Ok(Lists { old, new, old_index, new_index })
    }

    /// The configuration's items in their order; between them the others, beside their old neighbours.
    fn merge(&self, item: Typing<'_>) -> Result<Vec<Value>, String> {
        let (old, new) = (&self.old_index, &self.new_index);
        let mut out = Vec::with_capacity(self.old.len().max(self.new.len()));
        let mut shared = new.elements.iter().filter(|element| old.find(element).is_some());
        let mut next_shared = shared.next();
        let mut merged = vec![false; self.new.len()];
        let (mut l, mut r) = (0, 0);
        while l < self.old.len() || r < self.new.len() {
            if let (Some(left), Some(right)) = (old.elements.get(l), new.elements.get(r)) {
                if left == right {
                    merged[r] = true;
                    out.extend(self.merge_item(right, r, item)?);
                    l += 1;
                    r += 1;
                    next_shared = shared.next();
                    continue;
                }
                if next_shared.is_some_and(|next| next != left) && new.find(left).is_some() {
                    // It moves: it will come where the configuration has it.
                    l += 1;
                    continue;
                }
            }
            if let Some(left) = old.elements.get(l) {
                match new.find(left) {
                    None => {
                        out.push(self.old[l].clone());
                        l += 1;
                        continue;
                    }
                    Some((place, _)) if merged[place] => l += 1,
                    Some(_) => {}
                }
            }
            if let Some(right) = new.elements.get(r) {
                merged[r] = true;
                out.extend(self.merge_item(right, r, item)?);
                r += 1;
                if next_shared == Some(right) {
                    next_shared = shared.next();
                }
            }
        }
        Ok(out)
    }

    fn merge_item(&self, element: &Element<'_>, place: usize, item: Typing<'_>) -> Result<Option<Value>, String> {
        // An item that is twice in the live list is replaced as a whole.
        let live = match self.old_index.find(element) {
            Some((place, false)) => self.old.get(place),
            _ => None,
        };
        merge(live, self.new.get(place), item).map_err(|e| format!("{element}{e}"))
    }
}

/// The object without the members of `gone` and all that is below them.
pub(super) fn remove_fields(object: Value, gone: &FieldSet<'_>, typing: Typing<'_>) -> Value {
    let Value::Object(map) = object else { return object };
    let kept = map.into_iter().filter_map(|(name, value)| {
        let field = if name == "metadata" { typing.metadata() } else { typing.field(&name) };
        let value = remove_below(&Element::field(&name), value, gone, field)?;
        Some((name, value))
    });
    Value::Object(kept.collect())
}

/// What is left of the value at `element`: nothing if it is a member itself, null if all below it went.
fn remove_below(element: &Element<'_>, value: Value, gone: &FieldSet<'_>, typing: Typing<'_>) -> Option<Value> {
    match gone.get(element) {
        None => Some(value),
        Some((true, _)) => None,
        Some((false, below)) if below.is_empty() => Some(value),
        Some((false, below)) => Some(remove(value, below, typing)),
    }
}

/// Upstream leaves null where all went: who owns the place goes on to own it.
fn remove(value: Value, gone: &FieldSet<'_>, typing: Typing<'_>) -> Value {
    let relation = typing.relation(&value);
    let granular = matches!(relation, Relation::Set(_) | Relation::Keyed(..) | Relation::Granular);
    match value {
        Value::Array(list) if granular => {
            let item_type = typing.item();
            let kept = list.into_iter().filter_map(|item| {
                let found = item_element(&relation, &item).ok().and_then(|element| gone.get(&element));
                match found {
                    None => Some(item),
                    Some((true, _)) => None,
                    Some((false, below)) if below.is_empty() => Some(item),
                    Some((false, below)) => Some(remove(item, below, item_type)),
                }
            });
            let kept: Vec<Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        Value::Object(map) if granular => {
            let kept = map.into_iter().filter_map(|(name, value)| {
                let value = remove_below(&Element::field(&name), value, gone, typing.field(&name))?;
                Some((name, value))
            });
            let kept: Map<String, Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        // Lists and maps that are owned as a whole go as a whole.
        Value::Array(_) | Value::Object(_) => Value::Null,
        scalar => scalar,
    }
}
