//! Sets of field paths and their algebra: who owns what is nothing but such sets.
//! A tree of sorted nodes; every node may itself be a member and may have members below.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/fieldpath`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::element::Element;
use super::typing::Typing;

/// A set of field paths below some place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet<'a> {
    nodes: Vec<Node<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node<'a> {
    element: Element<'a>,
    member: bool,
    below: FieldSet<'a>,
}

/// A place: whether it is a member itself, and what is below.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part<'a> {
    pub(crate) here: bool,
    pub(crate) below: FieldSet<'a>,
}

impl<'a> Node<'a> {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    fn reconciled(&self, typing: Typing<'_>) -> Node<'a> {
        let element = self.element.clone();
        if typing.is_atomic() && !self.below.is_empty() {
            return Node { element, member: true, below: FieldSet::default() };
        }
        let nodes = self.below.nodes.iter().map(|node| node.reconciled(typing.below(&node.element)));
        Node { element, member: self.member, below: FieldSet { nodes: nodes.collect() } }
    }
}

impl<'a> FieldSet<'a> {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds what `part` says about `element`; ascending elements are cheap.
    pub(crate) fn add(&mut self, element: Element<'a>, part: Part<'a>) {
        if !part.here && part.below.is_empty() {
            return;
        }
        let node = Node { element, member: part.here, below: part.below };
        if self.nodes.last().is_none_or(|last| last.element < node.element) {
            self.nodes.push(node);
            return;
        }
        match self.nodes.binary_search_by(|at| at.element.cmp(&node.element)) {
            Err(place) => self.nodes.insert(place, node),
            Ok(place) => {
                let old = &mut self.nodes[place];
                old.member |= node.member;
                old.below = old.below.union(&node.below);
            }
        }
    }

    /// A set of paths of field names, for constants.
    pub fn of_fields(paths: &[&'a [&'a str]]) -> FieldSet<'a> {
        let mut set = FieldSet::default();
        for path in paths {
            let Some((last, parents)) = path.split_last() else { continue };
            let mut part = Part { here: true, below: FieldSet::default() };
            let mut element = Element::field(last);
            for parent in parents.iter().rev() {
                let mut below = FieldSet::default();
                below.add(element, part);
                part = Part { here: false, below };
                element = Element::field(parent);
            }
            set.add(element, part);
        }
        set
    }

    /// Reads a `fieldsV1` object; null is empty.
    ///
    /// # Errors
    /// What is wrong with a key.
    pub fn decode(value: &'a Value) -> Result<FieldSet<'a>, String> {
        match value {
            Value::Null => Ok(FieldSet::default()),
            Value::Object(map) => decode_map(map).map(|part| part.below),
            other => Err(format!("fieldsV1 must be an object, got {other}")),
        }
    }

    /// As a `fieldsV1` object.
    pub fn encode(&self) -> Value {
        Value::Object(self.encode_map(false))
    }

    fn encode_map(&self, member: bool) -> Map<String, Value> {
        let mut map = Map::new();
        if member && !self.nodes.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for node in &self.nodes {
            map.insert(node.element.encode(), Value::Object(node.below.encode_map(node.member)));
        }
        map
    }

    pub fn union(&self, other: &FieldSet<'a>) -> FieldSet<'a> {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        self.join(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => {
                Some(Node { element: a.element.clone(), member: a.member || b.member, below: a.below.union(&b.below) })
            }
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        })
    }

    pub fn intersection(&self, other: &FieldSet<'_>) -> FieldSet<'a> {
        self.join(other, |a, b| {
            let (a, b) = a.zip(b)?;
            Some(Node {
                element: a.element.clone(),
                member: a.member && b.member,
                below: a.below.intersection(&b.below),
            })
        })
    }

    /// Members of this set that are no members of the other.
    pub fn difference(&self, other: &FieldSet<'_>) -> FieldSet<'a> {
        self.join(other, |a, b| {
            let a = a?;
            Some(match b {
                None => a.clone(),
                Some(b) => Node {
                    element: a.element.clone(),
                    member: a.member && !b.member,
                    below: a.below.difference(&b.below),
                },
            })
        })
    }

    /// Members of this set that are neither members of the other nor below one.
    pub fn without(&self, other: &FieldSet<'_>) -> FieldSet<'a> {
        self.join(other, |a, b| {
            let a = a?;
            match b {
                None => Some(a.clone()),
                Some(b) if b.member => None,
                Some(b) => {
                    Some(Node { element: a.element.clone(), member: a.member, below: a.below.without(&b.below) })
                }
            }
        })
    }

    fn join<'b>(
        &self,
        other: &FieldSet<'b>,
        combine: impl Fn(Option<&Node<'a>>, Option<&Node<'b>>) -> Option<Node<'a>>,
    ) -> FieldSet<'a> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return FieldSet { nodes },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.element.cmp(&b.element),
            };
            let a = if order == Ordering::Greater { None } else { left.next() };
            let b = if order == Ordering::Less { None } else { right.next() };
            nodes.extend(combine(a, b).filter(|node| !node.is_empty()));
        }
    }

    /// With every named field of a struct on the way to a member made a member too.
    pub(crate) fn with_named_fields(&self, typing: Typing<'_>) -> FieldSet<'a> {
        let nodes = self.nodes.iter().map(|node| {
            let named = match &node.element {
                Element::Field(name) => typing.declares(name),
                _ => false,
            };
            let below = node.below.with_named_fields(typing.below(&node.element));
            Node { element: node.element.clone(), member: node.member || named && !below.is_empty(), below }
        });
        FieldSet { nodes: nodes.collect() }
    }

    /// With what has become atomic owned as a whole; deduced and unknown fields stay as they are.
    pub(crate) fn reconciled(&self, typing: Typing<'_>) -> FieldSet<'a> {
        let nodes = self.nodes.iter().map(|node| {
            let is_metadata = matches!(&node.element, Element::Field(name) if name == "metadata");
            let below = if is_metadata { typing.metadata() } else { typing.below(&node.element) };
            node.reconciled(below)
        });
        FieldSet { nodes: nodes.collect() }
    }

    /// The same set, borrowing nothing.
    pub(crate) fn into_owned(self) -> FieldSet<'static> {
        let nodes = self.nodes.into_iter().map(|node| Node {
            element: node.element.into_owned(),
            member: node.member,
            below: node.below.into_owned(),
        });
        FieldSet { nodes: nodes.collect() }
    }

    /// Whether the element is a member, and what is below it.
    pub(crate) fn get(&self, element: &Element<'_>) -> Option<(bool, &FieldSet<'a>)> {
        let place = self.nodes.binary_search_by(|node| node.element.cmp(element)).ok()?;
        let node = &self.nodes[place];
        Some((node.member, &node.below))
    }

    /// Every member's path as text, members of a level before what is below them.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_paths("", &mut out);
        out
    }

    fn collect_paths(&self, prefix: &str, out: &mut Vec<String>) {
        out.extend(self.nodes.iter().filter(|node| node.member).map(|node| format!("{prefix}{}", node.element)));
        for node in &self.nodes {
            if !node.below.is_empty() {
                node.below.collect_paths(&format!("{prefix}{}", node.element), out);
            }
        }
    }
}

fn decode_map(map: &Map<String, Value>) -> Result<Part<'_>, String> {
    let mut below = FieldSet::default();
    let mut here = false;
    for (key, value) in map {
        if key == "." {
            here = true;
            continue;
        }
        let Some(element) = Element::parse(key)? else { continue };
        let part = match value {
            Value::Object(inner) => decode_map(inner)?,
            Value::Null => Part { here: true, below: FieldSet::default() },
            other => return Err(format!("fieldsV1 key {key:?} must hold an object, got {other}")),
        };
        below.add(element, part);
    }
    // Nothing below means the place itself.
    here |= below.is_empty();
    Ok(Part { here, below })
}
