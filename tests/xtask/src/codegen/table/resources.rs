//! Renders what is served: groups in discovery's order, resources, subresources.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{Gvk, Modules, required, short};

const ALL_VERBS: &str = "create,delete,deletecollection,get,list,patch,update,watch";

/// A group of ours.
#[derive(Debug, Deserialize)]
pub(super) struct OurGroup {
    name: String,
    version: String,
    resources: Vec<OurResource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OurResource {
    plural: String,
    singular: String,
    kind: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    namespaced: bool,
    #[serde(default)]
    status: bool,
}

/// Writes the `g`, `r` and `s` lines.
pub(super) fn render(
    out: &mut String,
    modules: &Modules,
    ours: &[OurGroup],
    kinds: &BTreeMap<Gvk, String>,
) -> Result<()> {
    writeln!(out, "g - v1")?;
    group_version(out, modules, ("", "v1"), kinds)?;
    let groups = read(modules, "apis.json")?;
    for group in groups["groups"].as_array().context("no groups")? {
        let name = required(group, "name")?;
        let mut versions = Vec::new();
        for version in group["versions"].as_array().context("no versions")? {
            versions.push(required(version, "version")?);
        }
        writeln!(out, "g {name} {}", versions.join(" "))?;
        for version in versions {
            group_version(out, modules, (name, version), kinds)?;
        }
    }
    for group in ours {
        writeln!(out, "g {} {}", group.name, group.version)?;
        for resource in &group.resources {
            our_resource(out, group, resource, kinds)?;
        }
    }
    Ok(())
}

fn group_version(out: &mut String, modules: &Modules, at: (&str, &str), kinds: &BTreeMap<Gvk, String>) -> Result<()> {
    let (group, version) = at;
    let file = if group.is_empty() { "api__v1.json".to_owned() } else { format!("apis__{group}__{version}.json") };
    let list = read(modules, &file)?;
    let resources = list["resources"].as_array().with_context(|| format!("no resources in {file}"))?;
    for resource in resources {
        let name = required(resource, "name")?;
        let gvk = Gvk {
            group: resource["group"].as_str().unwrap_or(group).to_owned(),
            version: resource["version"].as_str().unwrap_or(version).to_owned(),
            kind: required(resource, "kind")?.to_owned(),
        };
        let ty = kinds.get(&gvk).map(|name| short(name));
        let verbs = words(&resource["verbs"]);
        if let Some((_, sub)) = name.split_once('/') {
            let ty = ty.unwrap_or_else(|| "-".to_owned());
            writeln!(out, "s {sub} {} {} {} {verbs} {ty}", dash(&gvk.group), gvk.version, gvk.kind)?;
            continue;
        }
        let ty = ty.with_context(|| format!("{gvk:?} has no schema"))?;
        let list_kind = list_kind(&gvk, kinds);
        let scope = if resource["namespaced"] == true { "N" } else { "C" };
        let (short_names, categories) = (words(&resource["shortNames"]), words(&resource["categories"]));
        let hash = dash(resource["storageVersionHash"].as_str().unwrap_or_default());
        writeln!(
            out,
            "r {} {version} {name} {} {} {list_kind} {scope} {short_names} {categories} {hash} {verbs} {ty}",
            dash(group),
            required(resource, "singularName")?,
            gvk.kind,
        )?;
    }
    Ok(())
}

fn our_resource(
    out: &mut String,
    group: &OurGroup,
    resource: &OurResource,
    kinds: &BTreeMap<Gvk, String>,
) -> Result<()> {
    let gvk = Gvk { group: group.name.clone(), version: group.version.clone(), kind: resource.kind.clone() };
    let ty = kinds.get(&gvk).map(|name| short(name)).with_context(|| format!("{gvk:?} has no schema"))?;
    let OurResource { plural, singular, kind, short_names, categories, namespaced, status } = resource;
    writeln!(
        out,
        "r {} {} {plural} {singular} {kind} {} {} {} {} - * {ty}",
        group.name,
        group.version,
        list_kind(&gvk, kinds),
        if *namespaced { "N" } else { "C" },
        dash(&short_names.join(",")),
        dash(&categories.join(",")),
    )?;
    if *status {
        writeln!(out, "s status {} {} {kind} get,patch,update {ty}", group.name, group.version)?;
    }
    Ok(())
}

fn list_kind(gvk: &Gvk, kinds: &BTreeMap<Gvk, String>) -> String {
    let list = Gvk { kind: format!("{}List", gvk.kind), ..gvk.clone() };
    if kinds.contains_key(&list) { list.kind } else { "-".to_owned() }
}

fn read(modules: &Modules, file: &str) -> Result<Value> {
    let path = modules.kubernetes("api/discovery").join(file);
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

fn words(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match words.join(",") {
        all if all == ALL_VERBS => "*".to_owned(),
        none if none.is_empty() => "-".to_owned(),
        some => some,
    }
}

fn dash(word: &str) -> &str {
    if word.is_empty() { "-" } else { word }
}
