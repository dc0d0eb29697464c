//! Reads the committed table: lines of words, one type, field or resource a line.
//!
//! ```text
//! v v1.37.2                                     the Kubernetes release
//! g apps v1                                     a group and its versions
//! p apps io.k8s.api.apps.v1                     a short name for a package
//! r apps v1 deployments deployment Deployment DeploymentList N deploy all HASH * apps.Deployment
//! s scale autoscaling v1 Scale get,patch,update autoscaling1.Scale      of the resource above
//! t apps.DeploymentSpec [a]                     a type; `a`: atomic
//!  replicas 1 i pointer                         a field: name, protobuf tag, shape, marks
//!  ~ 2 core.VolumeSource                        a protobuf message that is inline in JSON
//! ```
//! Empty words are `-`; the group of a resource too. A shape is a letter (see [`scalar`]), a type name, `@name` (the same
//! type, atomic), `%name` (the same, granular), `{}SHAPE` or `{a}SHAPE` (map), `[]SHAPE`, `[a]`, `[s]`, `[m:KEY,KEY]`, `[w]` (list: unset, atomic, set, map,
//! wrapped in protobuf).

use super::{
    Facts, FactsBuilder, FactsError, Field, Group, List, ListType, Patch, Resource, Shape, Struct, Subresource, Text,
    TypeId,
};
use std::collections::HashMap;

/// All verbs, which the table writes as `*`.
const ALL_VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Reads a table.
///
/// # Errors
/// Names the line that is not understood.
pub(crate) fn table(text: &'static str) -> Result<Facts, FactsError> {
    let mut reader = Reader {
        builder: FactsBuilder::new(""),
        packages: HashMap::new(),
        resource: None,
        object: None,
        twins: Vec::new(),
    };
    for (at, line) in text.lines().enumerate() {
        reader.line(line).map_err(|problem| FactsError::Line { line: at + 1, problem })?;
    }
    reader.finish()
}

struct Reader {
    builder: FactsBuilder,
    packages: HashMap<&'static str, &'static str>,
    resource: Option<Resource>,
    object: Option<Open>,
    /// Copies of types that are asked for: they are made once everything is read.
    twins: Vec<Twin>,
}

/// A type that server-side apply merges differently where one field uses it.
#[derive(PartialEq)]
struct Twin {
    name: String,
    atomic: bool,
}

impl Twin {
    fn name(&self) -> String {
        format!("{}@{}", self.name, if self.atomic { "atomic" } else { "granular" })
    }
}

/// The type that is being read.
struct Open {
    name: String,
    fields: Vec<Field>,
    inline: Vec<(u32, TypeId)>,
    atomic: bool,
}

type Words = std::str::Split<'static, char>;

impl Reader {
    fn line(&mut self, line: &'static str) -> Result<(), String> {
        if let Some(field) = line.strip_prefix(' ') {
            return self.field(field);
        }
        let mut words = line.split(' ');
        match word(&mut words)? {
            "v" => self.builder = FactsBuilder::new(word(&mut words)?),
            "g" => {
                let name = text(word(&mut words)?);
                self.builder.group(Group { name, versions: words.map(Text::Borrowed).collect() });
            }
            "p" => {
                self.packages.insert(word(&mut words)?, word(&mut words)?);
            }
            "r" => self.resource(words)?,
            "s" => self.subresource(words)?,
            "t" => self.open(words)?,
            other => return Err(format!("unknown kind of line {other:?}")),
        }
        Ok(())
    }

    fn resource(&mut self, mut words: Words) -> Result<(), String> {
        self.close_resource();
        let mut next = || word(&mut words);
        let (group, version, plural, singular) = (text(next()?), text(next()?), text(next()?), text(next()?));
        let (kind, list_kind, namespaced) = (text(next()?), text(next()?), next()? == "N");
        let (short_names, categories, storage_hash) = (list(next()?), list(next()?), text(next()?));
        let (verbs, ty) = (verbs(next()?), next()?);
        let ty = self.name(ty)?;
        self.resource = Some(Resource {
            group,
            version,
            kind,
            list_kind,
            plural,
            singular,
            short_names,
            categories,
            namespaced,
            verbs,
            subresources: Box::default(),
            storage_hash,
            ty: self.builder.named(ty),
        });
        Ok(())
    }

    fn subresource(&mut self, mut words: Words) -> Result<(), String> {
        let mut next = || word(&mut words);
        let (name, group, version, kind) = (text(next()?), text(next()?), text(next()?), text(next()?));
        let (verbs, ty) = (verbs(next()?), next()?);
        let ty = match ty {
            "-" => None,
            ty => Some(self.name(ty).map(|ty| self.builder.named(ty))?),
        };
        let resource = self.resource.as_mut().ok_or("a subresource without a resource")?;
        let mut subresources = std::mem::take(&mut resource.subresources).into_vec();
        subresources.push(Subresource { name, group, version, kind, verbs, ty });
        resource.subresources = subresources.into();
        Ok(())
    }

    fn open(&mut self, mut words: Words) -> Result<(), String> {
        self.close_type()?;
        let name = self.name(word(&mut words)?)?;
        let atomic = words.next() == Some("a");
        self.object = Some(Open { name, fields: Vec::new(), inline: Vec::new(), atomic });
        Ok(())
    }

    fn field(&mut self, line: &'static str) -> Result<(), String> {
        let mut words = line.split(' ');
        let name = word(&mut words)?;
        let tag = word(&mut words)?;
        let tag: u32 = tag.parse().map_err(|_| format!("{tag:?} is no tag"))?;
        let ty = self.shape(word(&mut words)?)?;
        let open = self.object.as_mut().ok_or("a field without a type")?;
        if name == "~" {
            open.inline.push((tag, ty));
            return Ok(());
        }
        let mut field = Field {
            name: text(name),
            tag,
            ty,
            required: false,
            nillable: false,
            default: text(""),
            patch: Patch::default(),
            one_of: Box::default(),
        };
        for mark in words {
            set_mark(&mut field, mark)?;
        }
        open.fields.push(field);
        Ok(())
    }

    fn shape(&mut self, word: &'static str) -> Result<TypeId, String> {
        if let Some(id) = scalar(word) {
            return Ok(id);
        }
        if let Some((kind, item)) = word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let item = self.shape(item)?;
            let (kind, wrapped) = match kind {
                "" => (ListType::Unset, false),
                "a" => (ListType::Atomic, false),
                "s" => (ListType::Set, false),
                "w" => (ListType::Unset, true),
                keys => (ListType::Map(list(keys.strip_prefix("m:").ok_or("unknown list type")?)), false),
            };
            return Ok(self.builder.list(List { item, kind, wrapped }));
        }
        if let Some((kind, value)) = word.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            let value = self.shape(value)?;
            return Ok(self.builder.map(value, kind == "a"));
        }
        if let Some(name) = word.strip_prefix(['@', '%']) {
            let twin = Twin { name: self.name(name)?, atomic: word.starts_with('@') };
            let id = self.builder.named(twin.name());
            if !self.twins.contains(&twin) {
                self.twins.push(twin);
            }
            return Ok(id);
        }
        let name = self.name(word)?;
        Ok(self.builder.named(name))
    }

    fn name(&self, word: &str) -> Result<String, String> {
        let (package, name) = word.rsplit_once('.').ok_or_else(|| format!("{word:?} is no type"))?;
        let package = self.packages.get(package).ok_or_else(|| format!("unknown package {package:?}"))?;
        Ok(format!("{package}.{name}"))
    }

    fn close_resource(&mut self) {
        if let Some(resource) = self.resource.take() {
            self.builder.resource(resource);
        }
    }

    fn close_type(&mut self) -> Result<(), String> {
        let Some(open) = self.object.take() else { return Ok(()) };
        let (fields, inline) = (open.fields.into(), open.inline.into());
        let shape = Shape::Struct(Struct { fields, inline, atomic: open.atomic, open: false });
        self.builder.define(open.name, shape).map(drop).map_err(|error| error.to_string())
    }

    fn finish(mut self) -> Result<Facts, FactsError> {
        self.close_resource();
        self.close_type().map_err(|problem| FactsError::Line { line: 0, problem })?;
        for twin in std::mem::take(&mut self.twins) {
            self.builder.define_twin(&twin.name, twin.name(), twin.atomic)?;
        }
        self.builder.build()
    }
}

fn set_mark(field: &mut Field, mark: &'static str) -> Result<(), String> {
    match mark {
        "!" => field.required = true,
        "p" => field.nillable = true,
        "+retain" => field.patch.retain_keys = true,
        "+replace" => field.patch.replace = true,
        _ => {
            if let Some(default) = mark.strip_prefix('=') {
                field.default = text(default);
            } else if let Some(key) = mark.strip_prefix("+merge") {
                field.patch.merge = true;
                field.patch.merge_key = text(key.strip_prefix(':').unwrap_or(""));
            } else if let Some(values) = mark.strip_prefix('|') {
                field.one_of = values.split('|').map(Text::Borrowed).collect();
            } else {
                return Err(format!("unknown mark {mark:?}"));
            }
        }
    }
    Ok(())
}

fn scalar(word: &str) -> Option<TypeId> {
    Some(match word {
        "s" => TypeId::STRING,
        "y" => TypeId::BYTES,
        "i" => TypeId::INT32,
        "l" => TypeId::INT64,
        "d" => TypeId::FLOAT,
        "b" => TypeId::BOOL,
        "T" => TypeId::TIME,
        "M" => TypeId::MICRO_TIME,
        "Q" => TypeId::QUANTITY,
        "I" => TypeId::INT_OR_STRING,
        "R" => TypeId::RAW,
        "J" => TypeId::JSON,
        "F" => TypeId::FIELDS,
        "JA" => TypeId::SCHEMA_OR_ARRAY,
        "JB" => TypeId::SCHEMA_OR_BOOL,
        "JS" => TypeId::SCHEMA_OR_STRINGS,
        _ => return None,
    })
}

fn word(words: &mut Words) -> Result<&'static str, String> {
    words.next().ok_or_else(|| "the line ends too early".to_owned())
}

fn text(word: &'static str) -> Text {
    Text::Borrowed(if word == "-" { "" } else { word })
}

fn list(word: &'static str) -> Box<[Text]> {
    if word == "-" { Box::default() } else { word.split(',').map(Text::Borrowed).collect() }
}

fn verbs(word: &'static str) -> Box<[Text]> {
    if word == "*" { ALL_VERBS.map(Text::Borrowed).into() } else { list(word) }
}
