//! Renders the table: the format is described where it is read, in `federation-schema`'s `facts/parse.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::golang::{GoField, Package};
use super::openapi::{self, Defaults, Definition, Definitions, Gvk, Property};
use super::{KUBERNETES, Modules};

mod resources;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Our own kinds, in the same form as upstream's.
#[derive(Debug, Deserialize)]
struct Ours {
    groups: Vec<resources::OurGroup>,
    definitions: BTreeMap<String, Definition>,
}

/// Everything that was read.
struct Sources {
    definitions: BTreeMap<String, Definition>,
    defaults: Defaults,
    packages: BTreeMap<String, Package>,
    kinds: BTreeMap<Gvk, String>,
}

/// Reads all sources and writes the table.
pub(super) fn render(modules: &Modules, ours: &Path) -> Result<String> {
    let text = fs::read_to_string(ours).with_context(|| ours.display().to_string())?;
    let ours: Ours = serde_saphyr::from_str(&text).context("our own kinds")?;
    let Definitions { mut definitions } = openapi::definitions(modules)?;
    definitions.extend(ours.definitions);
    let sources = Sources::new(modules, definitions)?;
    let mut out = format!("v {KUBERNETES}\n");
    for package in sources.package_names() {
        writeln!(out, "p {} {package}", alias(package))?;
    }
    resources::render(&mut out, modules, &ours.groups, &sources.kinds)?;
    for name in sources.definitions.keys() {
        if scalar(name).is_none() {
            sources.definition(&mut out, name)?;
        }
    }
    Ok(out)
}

impl Sources {
    fn new(modules: &Modules, definitions: BTreeMap<String, Definition>) -> Result<Self> {
        let mut packages = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        for (name, definition) in &definitions {
            let package = package_of(name);
            if let Some(directory) = modules.package(package)
                && !packages.contains_key(package)
            {
                packages.insert(package.to_owned(), Package::read(&directory)?);
            }
            for kind in &definition.kinds {
                kinds.insert(kind.clone(), name.clone());
            }
        }
        Ok(Self { defaults: openapi::defaults(modules)?, definitions, packages, kinds })
    }

    fn package_names(&self) -> BTreeSet<&str> {
        self.definitions.keys().map(|name| package_of(name)).collect()
    }

    /// The Go struct of a type, also where one version borrows it from another (`type Rule = v1.Rule`).
    fn go_struct(&self, name: &str) -> Option<&Vec<GoField>> {
        let package = self.packages.get(package_of(name))?;
        if let Some(fields) = package.structs.get(local(name)) {
            return Some(fields);
        }
        let (version, local) = package.aliases.get(local(name))?.trim_start_matches("= ").split_once('.')?;
        let (group, _) = package_of(name).rsplit_once('.')?;
        self.go_struct(&format!("{group}.{version}.{local}"))
    }

    /// Writes one type, and the protobuf-only types that it embeds.
    fn definition(&self, out: &mut String, name: &str) -> Result<()> {
        let definition = &self.definitions[name];
        let upstream = self.packages.contains_key(package_of(name));
        let go = self.go_struct(name);
        ensure!(go.is_some() || !upstream || definition.properties.is_empty(), "{name} has no Go struct");
        self.open(out, name, definition)?;
        let inner = self.inline(out, name)?;
        for (field, property) in &definition.properties {
            let go = go.and_then(|fields| fields.iter().find(|go| go.json == *field));
            self.field(out, (name, field), property, go)?;
        }
        for inner in inner {
            self.embedded(out, &inner, name)?;
        }
        Ok(())
    }

    /// Writes the protobuf messages that a Go struct embeds, and names those that have no line of their own.
    fn inline(&self, out: &mut String, name: &str) -> Result<Vec<String>> {
        let mut messages = Vec::new();
        for go in self.go_struct(name).into_iter().flatten().filter(|go| go.json.is_empty() && go.tag > 0) {
            let package = package_of(name);
            let inner = match go.go_type.trim_start_matches('*').split_once('.') {
                Some((version, local)) => {
                    format!("{}.{version}.{local}", package.rsplit_once('.').map_or("", |(group, _)| group))
                }
                None => format!("{package}.{}", go.go_type.trim_start_matches('*')),
            };
            writeln!(out, " ~ {} {}", go.tag, short(&inner))?;
            messages.push(inner);
        }
        Ok(messages)
    }

    fn open(&self, out: &mut String, name: &str, definition: &Definition) -> Result<()> {
        let atomic = if definition.map_type.as_deref() == Some("atomic") { " a" } else { "" };
        writeln!(out, "t {}{atomic}", short(name))?;
        Ok(())
    }

    /// Writes a type that only protobuf sees; its fields are described where JSON inlines them.
    fn embedded(&self, out: &mut String, inner: &str, outer: &str) -> Result<()> {
        if self.definitions.contains_key(inner) || out.contains(&format!("t {}\n", short(inner))) {
            return Ok(());
        }
        writeln!(out, "t {}", short(inner))?;
        let messages = self.inline(out, inner)?;
        let fields = self.go_struct(inner).with_context(|| format!("{inner} is no Go struct"))?;
        let mut fields: Vec<&GoField> = fields.iter().filter(|go| !go.json.is_empty()).collect();
        fields.sort_by(|a, b| a.json.cmp(&b.json));
        for go in fields {
            let property = self.definitions[outer].properties.get(&go.json);
            let property = property.with_context(|| format!("{outer} does not inline {}", go.json))?;
            self.field(out, (outer, &go.json), property, Some(go))?;
        }
        for message in messages {
            self.embedded(out, &message, outer)?;
        }
        Ok(())
    }

    fn field(&self, out: &mut String, at: (&str, &str), property: &Property, go: Option<&GoField>) -> Result<()> {
        let (name, field) = at;
        let wrapped = go.is_some_and(|go| matches!(local(&go.go_type), "Verbs"));
        let shape = self.shape(property, wrapped, go).with_context(|| format!("{name}.{field}"))?;
        write!(out, " {field} {} {shape}", go.map_or(0, |go| go.tag))?;
        if self.definitions[name].required.iter().any(|required| required == field) {
            out.push_str(" !");
        }
        let package = self.packages.get(package_of(name));
        if package.zip(go).is_some_and(|(package, go)| package.nillable(&go.go_type)) {
            out.push_str(" p");
        }
        let default = self.defaults.get(name).and_then(|fields| fields.get(field)).or(property.default.as_ref());
        if let Some(default) = default {
            let text = default.to_string();
            ensure!(!text.contains(' '), "{name}.{field}: a default with spaces");
            write!(out, " ={text}")?;
        }
        patch_marks(out, property)?;
        if !property.one_of.is_empty() {
            write!(out, " |{}", property.one_of.join("|"))?;
        }
        out.push('\n');
        Ok(())
    }

    fn shape(&self, property: &Property, wrapped: bool, go: Option<&GoField>) -> Result<String> {
        if let Some(target) = property.target() {
            if let Some(scalar) = scalar(target) {
                return Ok(scalar.to_owned());
            }
            ensure!(self.definitions.contains_key(target), "{target} is not defined");
            let twin = match property.map_type.as_deref() {
                None => "",
                Some("atomic") => "@",
                Some("granular") => "%",
                Some(other) => bail!("map type {other}"),
            };
            return Ok(format!("{twin}{}", short(target)));
        }
        Ok(match (&*property.kind, &*property.format) {
            ("string", "byte") => "y".to_owned(),
            ("string", _) => "s".to_owned(),
            ("boolean", _) => "b".to_owned(),
            ("integer", "int32") => "i".to_owned(),
            ("integer", _) => "l".to_owned(),
            ("number", _) => "d".to_owned(),
            ("array", _) => {
                let item = property.items.as_ref().context("an array without items")?;
                let kind = match (property.list_type.as_deref(), wrapped) {
                    (_, true) => "w".to_owned(),
                    (None, _) => String::new(),
                    (Some("atomic"), _) => "a".to_owned(),
                    (Some("set"), _) => "s".to_owned(),
                    (Some("map"), _) => format!("m:{}", property.list_keys.join(",")),
                    (Some(other), _) => bail!("list type {other}"),
                };
                format!("[{kind}]{}", self.shape(item, false, None)?)
            }
            ("object", _) => {
                let Some(values) = &property.values else { return Ok("R".to_owned()) };
                let wrapped = go.is_some_and(|go| {
                    go.go_type
                        .strip_prefix("map[")
                        .is_some_and(|go| go.ends_with("]ExtraValue") || go.ends_with("]AttestationValue"))
                });
                let atomic = if property.map_type.as_deref() == Some("atomic") { "a" } else { "" };
                format!("{{{atomic}}}{}", self.shape(values, wrapped, None)?)
            }
            ("", _) => "J".to_owned(),
            (other, _) => bail!("type {other}"),
        })
    }
}

fn patch_marks(out: &mut String, property: &Property) -> Result<()> {
    for strategy in property.patch_strategy.split(',').filter(|strategy| !strategy.is_empty()) {
        match strategy {
            "merge" if property.merge_key.is_empty() => out.push_str(" +merge"),
            "merge" => write!(out, " +merge:{}", property.merge_key)?,
            "retainKeys" => out.push_str(" +retain"),
            "replace" => out.push_str(" +replace"),
            other => bail!("patch strategy {other}"),
        }
    }
    Ok(())
}

/// The letter of a type that the table knows as a scalar.
fn scalar(name: &str) -> Option<&'static str> {
    let apiextensions = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";
    if let Some(name) = name.strip_prefix(apiextensions) {
        return match name {
            "JSON" => Some("J"),
            "JSONSchemaPropsOrArray" => Some("JA"),
            "JSONSchemaPropsOrBool" => Some("JB"),
            "JSONSchemaPropsOrStringArray" => Some("JS"),
            _ => None,
        };
    }
    match name {
        "io.k8s.apimachinery.pkg.api.resource.Quantity" => Some("Q"),
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => Some("I"),
        "io.k8s.apimachinery.pkg.runtime.RawExtension" => Some("R"),
        _ => match name.strip_prefix(META)? {
            ".Time" => Some("T"),
            ".MicroTime" => Some("M"),
            ".FieldsV1" => Some("F"),
            _ => None,
        },
    }
}

/// `io.k8s.api.core.v1.Pod` → `io.k8s.api.core.v1`.
fn package_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(package, _)| package)
}

/// `io.k8s.api.core.v1.Pod` → `Pod`.
fn local(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, local)| local)
}

/// `io.k8s.api.core.v1.Pod` → `core.Pod`.
fn short(name: &str) -> String {
    format!("{}.{}", alias(package_of(name)), local(name))
}

/// A short name for a package: `core`, `autoscaling.v2`, `meta`, `fedgate.v1alpha1`.
fn alias(package: &str) -> String {
    let mut parts = package.rsplit('.');
    let (version, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if version == "v1" { group.to_owned() } else { format!("{group}.{version}") }
}

/// A value that the table does not hold is an error, never a silent gap.
fn required<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}
