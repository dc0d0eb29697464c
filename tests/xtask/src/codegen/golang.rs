//! Reads struct declarations out of Go source: names, protobuf tags and what can be nil, which no other published file says.
//!
//! It understands gofmt's layout of Kubernetes' `types.go` files, not Go.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The declarations of one package.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub structs: BTreeMap<String, Vec<GoField>>,
    /// Other declared types: name to Go type.
    pub aliases: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct GoField {
    /// Empty where the field is inline.
    pub json: String,
    pub go_type: String,
    /// 0 where there is no protobuf tag.
    pub tag: u32,
}

impl Package {
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let mut package = Self::default();
        let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let generated = name.contains("generated") || name.ends_with("_test.go");
            if name.ends_with(".go") && !generated {
                package.source(&fs::read_to_string(&path)?);
            }
        }
        Ok(package)
    }

    pub(super) fn source(&mut self, source: &str) {
        let mut open: Option<(String, Vec<GoField>)> = None;
        for line in source.lines() {
            if let Some((_, fields)) = &mut open {
                if line == "}" {
                    self.structs.extend(open.take());
                } else {
                    fields.extend(field(line));
                }
                continue;
            }
            let Some(rest) = line.strip_prefix("type ") else { continue };
            let Some((name, go_type)) = rest.split_once(' ') else { continue };
            match go_type {
                "struct {" => open = Some((name.to_owned(), Vec::new())),
                "struct{}" | "struct {}" => {
                    self.structs.insert(name.to_owned(), Vec::new());
                }
                _ => {
                    let go_type = go_type.split(" //").next().unwrap_or(go_type).trim();
                    self.aliases.insert(name.to_owned(), go_type.to_owned());
                }
            }
        }
    }

    /// Whether a field of this type can be nil.
    pub(super) fn nillable(&self, go_type: &str) -> bool {
        let can = |go: &str| ["*", "[]", "map["].iter().any(|prefix| go.starts_with(prefix));
        let local = go_type.rsplit('.').next().unwrap_or(go_type);
        can(go_type)
            || self.aliases.get(local).is_some_and(|alias| can(alias))
            || matches!(local, "ResourceList" | "ExtraValue" | "Verbs")
    }
}

fn field(line: &str) -> Option<GoField> {
    let line = line.trim();
    if line.starts_with("//") {
        return None;
    }
    let mut parts = line.split('`');
    let declaration = parts.next()?.trim();
    let tags = parts.next()?;
    let json = attribute(tags, "json:")?;
    let name = json.split_once(',').map_or(json, |(name, _)| name);
    if name == "-" {
        return None;
    }
    let go_type = declaration.rsplit_once(' ').map_or(declaration, |(_, go_type)| go_type.trim());
    let protobuf = attribute(tags, "protobuf:").unwrap_or_default();
    Some(GoField {
        json: name.to_owned(),
        go_type: go_type.to_owned(),
        tag: protobuf.split(',').nth(1).and_then(|tag| tag.parse().ok()).unwrap_or(0),
    })
}

fn attribute<'a>(tags: &'a str, key: &str) -> Option<&'a str> {
    let rest = &tags[tags.find(key)? + key.len()..];
    rest.strip_prefix('"')?.split('"').next()
}
