//! Entries in key order, as a tree that shares what has not changed: a copy costs a pointer, a change a few nodes.
//!
//! Wide nodes, so that reading on in order touches little memory beside the entries; knows nothing of revisions.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use super::entry::Entry;

/// Entries of a leaf and children of a branch at most: a change copies that many pointers at each level.
const WIDTH: usize = 32;
/// Neighbours that hold no more than this together become one.
const MERGE: usize = WIDTH / 2;

/// An ordered set of entries, each key once; cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    root: Node,
    size: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Vec<Arc<Entry>>),
    Branch(Vec<Child>),
}

/// A subtree that is not empty.
#[derive(Debug, Clone)]
struct Child {
    /// Its first entry.
    low: Arc<Entry>,
    size: usize,
    node: Arc<Node>,
}

/// The entries between two bounds, in order.
#[derive(Debug)]
pub struct Range<'a> {
    tree: &'a Tree,
    leaf: std::slice::Iter<'a, Arc<Entry>>,
    /// What follows the leaf, outermost first.
    rest: Vec<std::slice::Iter<'a, Child>>,
    high: Bound<String>,
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Tree {
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    return entries.binary_search_by(|entry| entry.key().cmp(key)).ok().map(|at| &entries[at]);
                }
                Node::Branch(children) => node = &children[child_of(children, key)].node,
            }
        }
    }

    /// Adds an entry, or replaces the one of that key.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) {
        let (added, split) = self.root.insert(entry);
        self.size += usize::from(added);
        if let Some(right) = split {
            let left = Child::of(std::mem::take(&mut self.root));
            self.root = Node::Branch(vec![left, right]);
        }
    }

    /// Removes the entry of that key, where there is one.
    pub(super) fn remove(&mut self, key: &str) {
        if self.get(key).is_none() {
            return;
        }
        self.root.remove(key);
        self.size -= 1;
        while let Node::Branch(children) = &mut self.root
            && children.len() <= 1
        {
            self.root = children.pop().map(|only| Arc::unwrap_or_clone(only.node)).unwrap_or_default();
        }
    }

    /// The entries from `low` on, up to `high`.
    pub(super) fn range(&self, low: &str, high: Bound<String>) -> Range<'_> {
        let mut range = Range { tree: self, leaf: [].iter(), rest: Vec::new(), high };
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    range.enter(&entries[entries.partition_point(|entry| entry.key() < low)..]);
                    return range;
                }
                Node::Branch(children) => {
                    let at = child_of(children, low);
                    range.rest.push(children[at + 1..].iter());
                    node = &children[at].node;
                }
            }
        }
    }

    /// How many entries come before the end that `high` sets.
    fn rank(&self, high: Bound<&str>) -> usize {
        let (key, equal) = match high {
            Bound::Unbounded => return self.size,
            Bound::Included(key) => (key, true),
            Bound::Excluded(key) => (key, false),
        };
        let before = |entry: &Arc<Entry>| match entry.key().cmp(key) {
            Ordering::Less => true,
            Ordering::Equal => equal,
            Ordering::Greater => false,
        };
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return rank + entries.partition_point(before),
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    rank += children[..at].iter().map(|child| child.size).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }
}

/// The child that holds the key, or would.
fn child_of(children: &[Child], key: &str) -> usize {
    children.partition_point(|child| child.low.key() <= key).saturating_sub(1)
}

impl Child {
    fn of(node: Node) -> Self {
        Self { low: Arc::clone(node.low()), size: node.size(), node: Arc::new(node) }
    }

    /// Makes what is known of the subtree true again after a change in it.
    fn settle(&mut self) {
        self.low = Arc::clone(self.node.low());
        self.size = self.node.size();
    }
}

impl Node {
    /// The first entry; nodes below the root are not empty.
    fn low(&self) -> &Arc<Entry> {
        match self {
            Self::Leaf(entries) => &entries[0],
            Self::Branch(children) => &children[0].low,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Branch(children) => children.iter().map(|child| child.size).sum(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Branch(children) => children.len(),
        }
    }

    /// Whether there was no such key, and what no longer fits.
    fn insert(&mut self, entry: Arc<Entry>) -> (bool, Option<Child>) {
        match self {
            Self::Leaf(entries) => match entries.binary_search_by(|own| own.key().cmp(entry.key())) {
                Ok(at) => {
                    entries[at] = entry;
                    (false, None)
                }
                Err(at) => {
                    entries.insert(at, entry);
                    (true, (entries.len() > WIDTH).then(|| Child::of(Self::Leaf(split(entries, at)))))
                }
            },
            Self::Branch(children) => {
                let at = child_of(children, entry.key());
                let (added, right) = Arc::make_mut(&mut children[at].node).insert(entry);
                children[at].settle();
                let Some(right) = right else { return (added, None) };
                children.insert(at + 1, right);
                (added, (children.len() > WIDTH).then(|| Child::of(Self::Branch(split(children, at + 1)))))
            }
        }
    }

    /// Removes a key that is there.
    fn remove(&mut self, key: &str) {
        match self {
            Self::Leaf(entries) => entries.retain(|entry| entry.key() != key),
            Self::Branch(children) => {
                let at = child_of(children, key);
                if children[at].size == 1 {
                    children.remove(at);
                    return;
                }
                Arc::make_mut(&mut children[at].node).remove(key);
                children[at].settle();
                merge(children, at);
                merge(children, at.wrapping_sub(1));
            }
        }
    }
}

/// The part that goes to the right. What is added at the end, as a sorted load does, leaves full nodes behind.
fn split<T>(items: &mut Vec<T>, added: usize) -> Vec<T> {
    let last = items.len() - 1;
    items.split_off(if added == last { last } else { items.len() / 2 })
}

/// Makes one of a child and its right neighbour, where both are nearly empty.
fn merge(children: &mut Vec<Child>, left: usize) {
    let Some(right) = left.checked_add(1).filter(|right| *right < children.len()) else { return };
    if children[left].node.width() + children[right].node.width() > MERGE {
        return;
    }
    let right = children.remove(right);
    match (Arc::make_mut(&mut children[left].node), Arc::unwrap_or_clone(right.node)) {
        (Node::Leaf(own), Node::Leaf(more)) => own.extend(more),
        (Node::Branch(own), Node::Branch(more)) => own.extend(more),
        _ => unreachable!("neighbours are of one level"),
    }
    children[left].settle();
}

impl<'a> Range<'a> {
    /// Goes on with a leaf, or with its part before the end.
    fn enter(&mut self, entries: &'a [Arc<Entry>]) {
        let high = &self.high;
        let within = |entry: &Arc<Entry>| match high {
            Bound::Unbounded => true,
            Bound::Included(high) => entry.key() <= high.as_str(),
            Bound::Excluded(high) => entry.key() < high.as_str(),
        };
        if entries.last().is_none_or(within) {
            self.leaf = entries.iter();
        } else {
            self.leaf = entries[..entries.partition_point(within)].iter();
            self.rest.clear();
        }
    }

    /// Goes on with the first leaf of what follows; false at the end.
    fn advance(&mut self) -> bool {
        while let Some(level) = self.rest.last_mut() {
            let Some(child) = level.next() else {
                self.rest.pop();
                continue;
            };
            let mut node = &*child.node;
            loop {
                match node {
                    Node::Leaf(entries) => {
                        self.enter(entries);
                        return true;
                    }
                    Node::Branch(children) => {
                        self.rest.push(children[1..].iter());
                        node = &children[0].node;
                    }
                }
            }
        }
        false
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Arc<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(entry);
            }
            if !self.advance() {
                return None;
            }
        }
    }

    /// Without a look at the entries.
    fn count(mut self) -> usize {
        let Some(first) = self.next() else { return 0 };
        let end = self.tree.rank(self.high.as_ref().map(String::as_str));
        end - self.tree.rank(Bound::Excluded(first.key()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;
    use std::sync::Arc;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::{Node, Tree, WIDTH};
    use crate::cache::{Entry, EventKind};

    fn entry(key: &str, rev: u64) -> Arc<Entry> {
        Arc::new(Entry::new(EventKind::Added, key, br#"{"metadata":{}}"#, rev, rev))
    }

    fn shown(tree: &Tree, low: &str, high: Bound<&str>) -> Vec<(String, u64)> {
        let range = || tree.range(low, high.map(str::to_owned));
        let all: Vec<_> = range().map(|entry| (entry.key().to_owned(), entry.rev())).collect();
        assert_eq!(range().count(), all.len(), "{low} {high:?}");
        all
    }

    fn check(node: &Node, depth: usize) -> usize {
        match node {
            Node::Leaf(entries) => {
                assert!(entries.len() <= WIDTH);
                depth
            }
            Node::Branch(children) => {
                assert!(!children.is_empty() && children.len() <= WIDTH);
                for child in children {
                    assert_eq!(child.size, child.node.size());
                    assert_eq!(child.low.rev(), child.node.low().rev(), "no older entry is kept");
                }
                let depths: Vec<usize> = children.iter().map(|child| check(&child.node, depth + 1)).collect();
                assert!(depths.iter().all(|one| *one == depths[0]), "all leaves are of one level");
                depths[0]
            }
        }
    }

    #[test]
    fn it_is_an_ordered_map_whatever_happens() {
        let mut rng = StdRng::seed_from_u64(7);
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        let mut kept = Vec::new();
        for rev in 1..20_000_u64 {
            // Grows, shrinks and grows again.
            let shrinks = (rev / 4_000) % 2 == 1;
            let key = format!("{}/{}", rng.random_range(0..20), rng.random_range(0..400));
            if rng.random_range(0..10) < if shrinks { 8 } else { 2 } {
                tree.remove(&key);
                model.remove(&key);
            } else {
                tree.insert(entry(&key, rev));
                model.insert(key.clone(), rev);
            }
            assert_eq!(tree.size(), model.len());
            assert_eq!(tree.get(&key).map(|entry| entry.rev()), model.get(&key).copied());
            if rev % 1_000 == 0 {
                check(&tree.root, 0);
                kept.push((tree.clone(), model.clone()));
            }
        }
        for (tree, model) in kept {
            for (low, high) in [
                ("", Bound::Unbounded),
                ("10/", Bound::Excluded("100")),
                ("3/", Bound::Excluded("30")),
                ("7/11", Bound::Included("7/11")),
                ("x", Bound::Unbounded),
            ] {
                let want = model.range::<str, _>((Bound::Included(low), high));
                let want: Vec<(String, u64)> = want.map(|(key, rev)| (key.clone(), *rev)).collect();
                assert_eq!(shown(&tree, low, high), want, "{low} {high:?}");
            }
        }
    }

    #[test]
    fn a_sorted_load_leaves_full_nodes() {
        let mut tree = Tree::default();
        for number in 0..(WIDTH * WIDTH) {
            tree.insert(entry(&format!("{number:06}"), 1));
        }
        let Node::Branch(children) = &tree.root else { panic!("one leaf does not hold them") };
        assert_eq!(children.len(), WIDTH);
        assert!(shown(&Tree::default(), "", Bound::Unbounded).is_empty());
    }
}
