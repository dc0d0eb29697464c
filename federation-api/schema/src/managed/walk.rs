//! Walks over typed values: the set of fields of one object, and what differs between two.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/typed`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::{Element, compare_numbers};
use super::set::{FieldSet, Part};
use super::typing::{Relation, Typing, item_element};

/// What differs at and below a place.
#[derive(Debug, Default)]
pub(crate) struct Diff<'a> {
    pub(crate) removed: Part<'a>,
    pub(crate) modified: Part<'a>,
    pub(crate) added: Part<'a>,
}

/// Two sides of a comparison.
type Sides<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Values are equal as JSON, numbers by value.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && equal(a, b))
        }
        _ => a == b,
    }
}

/// The fields that an applied configuration sets.
///
/// # Errors
/// Items of lists that cannot be told apart.
pub(crate) fn field_set<'a>(object: &'a Value, typing: Typing<'a>) -> Result<FieldSet<'a>, String> {
    let Value::Object(map) = object else { return Ok(FieldSet::default()) };
    let mut set = FieldSet::default();
    for (name, value) in map {
        let field = if name == "metadata" { typing.metadata() } else { typing.field(name) };
        let mut part = fields_at(value, field).map_err(|e| format!(".{name}{e}"))?;
        part.here |= is_bare(value) || name != "metadata" && !typing.declares(name);
        set.add(Element::field(name), part);
    }
    Ok(set)
}

fn is_bare(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn fields_at<'a>(value: &'a Value, typing: Typing<'a>) -> Result<Part<'a>, String> {
    let relation = typing.relation(value);
    match (&relation, value) {
        (Relation::Scalar | Relation::AtomicList | Relation::AtomicMap, _) => {
            Ok(Part { here: true, below: FieldSet::default() })
        }
        (Relation::Set(item) | Relation::Keyed(item, _), Value::Array(list)) => items_at(list, &relation, *item),
        (Relation::Granular, Value::Object(map)) => {
            let mut below = FieldSet::default();
            for (name, value) in map {
                let mut part = fields_at(value, typing.field(name)).map_err(|e| format!(".{name}{e}"))?;
                part.here |= is_bare(value) || !typing.declares(name);
                below.add(Element::field(name), part);
            }
            Ok(Part { here: false, below })
        }
        _ => Ok(Part::default()),
    }
}

fn items_at<'a>(list: &'a [Value], relation: &Relation<'a>, item: Typing<'a>) -> Result<Part<'a>, String> {
    let mut places: BTreeMap<Element<'a>, (usize, &'a Value)> = BTreeMap::new();
    for (i, value) in list.iter().enumerate() {
        let element = item_element(relation, value).map_err(|e| format!(": element {i}: {e}"))?;
        places.entry(element).or_insert((0, value)).0 += 1;
    }
    let mut below = FieldSet::default();
    for (element, (count, value)) in places {
        let mut part =
            if count > 1 { Part::default() } else { fields_at(value, item).map_err(|e| format!("{element}{e}"))? };
        part.here = true;
        below.add(element, part);
    }
    Ok(Part { here: false, below })
}

/// Compares two whole objects; `metadata.managedFields` is left out.
///
/// # Errors
/// Items of lists that cannot be told apart.
pub(crate) fn compare<'a>(old: &'a Value, new: &'a Value, typing: Typing<'a>) -> Result<Diff<'a>, String> {
    let empty = empty_object();
    let old = old.as_object().unwrap_or(empty);
    let new = new.as_object().unwrap_or(empty);
    let mut diff = Diff::default();
    zip(old, new, |name, sides| {
        if name != "metadata" {
            let sides = fill(sides, typing, name);
            return diff.descend(Element::field(name), sides, typing.field(name));
        }
        let of = |side: Option<&'a Value>| side.and_then(Value::as_object).unwrap_or(empty);
        let (metadata, mut below) = (typing.metadata(), Diff::default());
        zip(of(sides.0), of(sides.1), |name, sides| {
            if name == "managedFields" {
                return Ok(());
            }
            below.descend(Element::field(name), sides, metadata.field(name))
        })?;
        diff.attach(Element::field("metadata"), below);
        Ok(())
    })?;
    Ok(diff)
}

impl<'a> Diff<'a> {
    fn attach(&mut self, element: Element<'a>, below: Diff<'a>) {
        self.removed.below.add(element.clone(), below.removed);
        self.modified.below.add(element.clone(), below.modified);
        self.added.below.add(element, below.added);
    }

    fn descend(&mut self, element: Element<'a>, sides: Sides<'a>, typing: Typing<'a>) -> Result<(), String> {
        if let (Some(old), Some(new)) = sides
            && old == new
        {
            return Ok(());
        }
        let mut below = Diff::default();
        below.fill_in(sides, typing).map_err(|e| format!("{element}{e}"))?;
        self.attach(element, below);
        Ok(())
    }

    fn fill_in(&mut self, sides: Sides<'a>, typing: Typing<'a>) -> Result<(), String> {
        let leaf = match sides {
            (None, None) => return Ok(()),
            (Some(one), None) | (None, Some(one)) => self.by_relation(sides, typing, one)?,
            (Some(old), Some(new)) => {
                if typing.shape().is_none() && std::mem::discriminant(old) != std::mem::discriminant(new) {
                    // Deduced values may change their nature: both natures are looked at.
                    self.by_relation(sides, typing, old)?;
                }
                self.by_relation(sides, typing, new)?
            }
        };
        if !leaf {
            self.added.here |= sides.0.is_none();
            self.removed.here |= sides.1.is_none();
        }
        Ok(())
    }

    /// Compares as what `like` is; says whether the place was taken as a whole.
    fn by_relation(&mut self, sides: Sides<'a>, typing: Typing<'a>, like: &Value) -> Result<bool, String> {
        let relation = typing.relation(like);
        match &relation {
            Relation::Scalar | Relation::AtomicList | Relation::AtomicMap => self.leaf(sides),
            Relation::Set(item) | Relation::Keyed(item, _) => {
                let (old, new) = (items(sides.0), items(sides.1));
                if old.is_empty() && new.is_empty() {
                    self.leaf(sides);
                    return Ok(true);
                }
                self.lists((old, new), &relation, *item)?;
                return Ok(false);
            }
            Relation::Granular => {
                let (old, new) = (entries(sides.0), entries(sides.1));
                if old.is_empty() && new.is_empty() {
                    self.leaf(sides);
                    return Ok(true);
                }
                let both = sides.0.is_some() && sides.1.is_some();
                zip(old, new, |name, sides| {
                    let sides = if both { fill(sides, typing, name) } else { sides };
                    self.descend(Element::field(name), sides, typing.field(name))
                })?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn leaf(&mut self, sides: Sides<'a>) {
        match sides {
            (None, _) => self.added.here = true,
            (_, None) => self.removed.here = true,
            (Some(old), Some(new)) => self.modified.here |= !equal(old, new),
        }
    }

    fn lists(
        &mut self,
        (old, new): (&'a [Value], &'a [Value]),
        relation: &Relation<'a>,
        item: Typing<'a>,
    ) -> Result<(), String> {
        let mut places: BTreeMap<Element<'a>, (Vec<&'a Value>, Vec<&'a Value>)> = BTreeMap::new();
        for (i, value) in old.iter().enumerate() {
            let element = item_element(relation, value).map_err(|e| format!(": element {i}: {e}"))?;
            places.entry(element).or_default().0.push(value);
        }
        for (i, value) in new.iter().enumerate() {
            let element = item_element(relation, value).map_err(|e| format!(": element {i}: {e}"))?;
            places.entry(element).or_default().1.push(value);
        }
        for (element, (old, new)) in places {
            let many = |list: &[&Value]| list.len() > 1;
            match (many(&old), many(&new)) {
                (false, false) => {
                    self.descend(element, (old.first().copied(), new.first().copied()), item)?;
                }
                (true, true) => {
                    let same = old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| equal(a, b));
                    if !same {
                        self.modified.below.add(element, Part { here: true, below: FieldSet::default() });
                    }
                }
                (true, false) => {
                    if let Some(one) = new.first() {
                        self.descend(element.clone(), (None, Some(one)), item)?;
                    }
                    self.removed.below.add(element, Part { here: true, below: FieldSet::default() });
                }
                (false, true) => {
                    if let Some(one) = old.first() {
                        self.descend(element.clone(), (Some(one), None), item)?;
                    }
                    self.added.below.add(element, Part { here: true, below: FieldSet::default() });
                }
            }
        }
        Ok(())
    }
}

/// A field that upstream's Go type always holds never appears as a whole: an object was `{}` before, a list null.
fn fill<'a>(sides: Sides<'a>, typing: Typing<'_>, name: &str) -> Sides<'a> {
    match sides {
        (None, Some(one)) if typing.always_present(name) => (Some(bare_like(one)), Some(one)),
        (None, Some(one)) if typing.prints_zero(name, one) => (Some(one), Some(one)),
        other => other,
    }
}

fn bare_like(value: &Value) -> &'static Value {
    static BARE: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(Map::new()));
    if value.is_object() { &BARE } else { &Value::Null }
}

fn empty_object() -> &'static Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    &EMPTY
}

fn entries(side: Option<&Value>) -> &Map<String, Value> {
    side.and_then(Value::as_object).unwrap_or_else(|| empty_object())
}

fn items(side: Option<&Value>) -> &[Value] {
    side.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Visits the keys of both maps once each, in order.
fn zip<'a>(
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
    mut visit: impl FnMut(&'a str, Sides<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let (mut left, mut right) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let (name, a, b) = match (left.peek(), right.peek()) {
            (None, None) => return Ok(()),
            (Some((k, a)), None) => (*k, Some(*a), None),
            (None, Some((k, b))) => (*k, None, Some(*b)),
            (Some((k, a)), Some((l, b))) => match k.cmp(l) {
                std::cmp::Ordering::Less => (*k, Some(*a), None),
                std::cmp::Ordering::Greater => (*l, None, Some(*b)),
                std::cmp::Ordering::Equal => (*k, Some(*a), Some(*b)),
            },
        };
        if a.is_some() {
            left.next();
        }
        if b.is_some() {
            right.next();
        }
        visit(name, (a, b))?;
    }
}
