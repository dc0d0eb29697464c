//! `fedgate ingress import FILE`: what becomes of the annotations of Ingresses that were written for ingress-nginx.
//!
//! Reads a file and nothing else; the verdicts are those by which routes are built, and so is what would be closed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use federation_schema::decode::legacy;
use federation_types::text;
use ingress::annotation::{self, table::Verdict};
use ingress::import::{Tried, try_out};
use serde_json::Value;

use super::cluster::show::columns;
use crate::failure::Failure;

/// Largest file that is read.
const FILE_MAX: u64 = 64 << 20;

/// The commands below `ingress`.
#[derive(Debug, Subcommand)]
pub enum Ingress {
    /// Say of each annotation whether it works here, differs, is ignored or is refused, and why
    Import(Import),
    /// List every annotation of ingress-nginx, and what becomes of it here
    Annotations,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// YAML or JSON with Ingresses (other objects and Lists may be among them), or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs one of them.
///
/// # Errors
/// FG-CLI-001 and FG-CLI-002 for what cannot be read, FG-ING-001 where an annotation would not be followed.
pub fn run(command: &Ingress) -> Result<(), Failure> {
    let import = match command {
        Ingress::Import(import) => import,
        Ingress::Annotations => return super::print(&annotations()),
    };
    let source = read(&import.file)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&source)
        .map_err(|e| Failure::new("FG-CLI-001", format!("{} is no YAML", import.file.display())).because(e))?;
    let Verdicts { text, refused, closed, unserved } = verdicts(objects);
    super::print(&text)?;
    let told = match (refused, closed, unserved) {
        (0, 0, 0) => return Ok(()),
        (0, 0, paths) => format!("{paths} paths would not be served"),
        (0, closed, _) => format!("{closed} Ingresses would be served to nobody"),
        (count, ..) => format!("{count} annotations would not be followed"),
    };
    Err(Failure::new("FG-ING-001", told))
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |e| Failure::local(format!("cannot read {}", file.display()), e);
    let mut source = String::new();
    let length = if file == Path::new("-") {
        std::io::stdin().take(FILE_MAX + 1).read_to_string(&mut source).map_err(failed)?
    } else {
        std::fs::File::open(file).map_err(failed)?.take(FILE_MAX + 1).read_to_string(&mut source).map_err(failed)?
    };
    if length as u64 > FILE_MAX {
        return Err(Failure::new("FG-CLI-001", format!("{} is larger than 64 MiB", file.display())));
    }
    Ok(source)
}

/// All that is known of any annotation.
fn annotations() -> String {
    let row = |row: &annotation::table::Row| {
        let (verdict, why) = match row.verdict {
            Verdict::Works => ("works", ""),
            Verdict::Differs(how) => ("differs", how),
            Verdict::Ignored(why) => ("ignored", why),
            Verdict::Refused(why) => ("refused", why),
        };
        let closes = row.guards && verdict == "refused";
        let why = if closes { format!("{why}; routes of an Ingress that has it answer 503") } else { why.to_owned() };
        [row.name.to_owned(), verdict.to_owned(), why]
    };
    let mut rows = vec![["ANNOTATION", "VERDICT", "WHY"].map(str::to_owned)];
    rows.extend(annotation::table::all().iter().map(row));
    columns(&rows)
}

/// What is said of a file.
struct Verdicts {
    text: String,
    /// Annotations that would not be followed.
    refused: usize,
    /// Ingresses that would be served to nobody.
    closed: usize,
    /// Paths that no request would be served by.
    unserved: usize,
}

/// The objects of a file and of the lists in it, Ingresses as they are today.
fn flat(objects: Vec<Value>) -> Vec<Value> {
    let lists = objects.into_iter().flat_map(|mut object| match object.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => vec![object],
    });
    lists
        .map(|mut object| {
            let version = text::str_at(&object, &["apiVersion"]).to_owned();
            let (group, version) = version.split_once('/').unwrap_or(("", &version));
            let old = legacy::at(group, version, "ingresses").filter(|_| text::str_at(&object, &["kind"]) == "Ingress");
            if let Some(old) = old {
                old.upgrade(&mut object);
            }
            object
        })
        .collect()
}

fn verdicts(objects: Vec<Value>) -> Verdicts {
    let tried = try_out(&flat(objects));
    let mut rows = vec![["INGRESS", "ANNOTATION", "VERDICT", "WHY"].map(str::to_owned)];
    let (mut refused, mut others) = (0, String::new());
    let (mut paths, mut unserved) = (0, 0);
    // What is said of many Ingresses in the same words, is said once.
    let mut classes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Tried { ingress, foreign, annotations, problems, closed, paths: (all, of_them) } in &tried {
        (paths, unserved) = (paths + all, unserved + of_them);
        for judged in annotations {
            refused += usize::from(judged.verdict == "refused");
            let why = if judged.closes { format!("{}; its routes answer 503", judged.why) } else { judged.why.clone() };
            rows.push([ingress.to_string(), judged.name.clone(), judged.verdict.to_owned(), why]);
        }
        let closed = closed.iter().map(|why| format!("its requests are answered with 503: {why}"));
        if let Some(why) = foreign {
            classes.entry(why).or_default().push(ingress.to_string());
        }
        for told in problems.iter().cloned().chain(closed) {
            others += &format!("  {ingress}: {told}\n");
        }
    }
    let classes = classes.iter().map(|(why, of)| format!("  {}: {why}\n", of.join(", ")));
    let others = classes.collect::<String>() + &others;
    let judged = rows.len() - 1;
    let mut text = if judged == 0 { String::new() } else { columns(&rows) };
    if !others.is_empty() {
        text += &format!("Besides:\n{others}");
    }
    text += &format!("{} Ingresses, {judged} annotations: {} followed, {refused} not\n", tried.len(), judged - refused);
    text += &format!("{paths} paths: {} could be served, {unserved} not\n", paths - unserved);
    let foreign = tried.iter().filter(|tried| tried.foreign.is_some()).count();
    let closed = tried.iter().filter(|tried| tried.closed.is_some()).count();
    if foreign > 0 {
        text += &format!("{foreign} of them are of another class: spec.ingressClassName: fedgate makes them ours\n");
    }
    if closed > 0 {
        text += &format!("{closed} of them would be served to nobody until they are changed\n");
    }
    Verdicts { text, refused, closed, unserved }
}

#[cfg(test)]
mod tests {
    use super::{Verdicts, verdicts};

    #[test]
    fn verdicts_are_told_of_every_ingress_in_a_file() {
        let file = r#"
apiVersion: extensions/v1beta1
kind: Ingress
metadata:
  name: old
  namespace: shop
  annotations:
    kubernetes.io/ingress.class: nginx
    nginx.ingress.kubernetes.io/force-ssl-redirect: "true"
    nginx.ingress.kubernetes.io/configuration-snippet: "deny all;"
spec:
  rules:
  - {host: old.example, http: {paths: [{path: /, backend: {serviceName: web, servicePort: 80}}]}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: web, annotations: {nginx.ingress.kubernetes.io/app-root: x}}}
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata: {name: new, annotations: {nginx.ingress.kubernetes.io/proxy-buffering: "on"}}
"#;
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(file).expect("YAML");
        let Verdicts { text, refused, closed, unserved } = verdicts(objects);
        assert_eq!((refused, closed, unserved), (1, 1, 0));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        assert_eq!(words[1], ["shop/old", "configuration-snippet", "refused"]);
        assert_eq!(words[2], ["shop/old", "force-ssl-redirect", "works"]);
        assert_eq!(words[3], ["default/new", "proxy-buffering", "ignored"]);
        assert!(text.contains("2 Ingresses, 3 annotations: 2 followed, 1 not\n1 paths: 1 could be served, 0 not\n2 of them are of another"), "{text}");
        assert!(text.contains("1 of them would be served to nobody"), "{text}");
        assert!(text.contains("  shop/old: its class is nginx"), "{text}");
        assert!(text.contains("  shop/old: its requests are answered with 503: an annotation"), "{text}");
        assert!(text.contains("  default/new: it has no class"), "{text}");
    }

    #[test]
    fn paths_that_are_not_served_and_classes_that_many_have() {
        let ingress = |name: &str, path: &str| {
            serde_json::json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": name, "annotations": {"nginx.ingress.kubernetes.io/use-regex": "true"}},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": format!("{name}.example"), "http": {"paths": [
                    {"path": path, "pathType": "ImplementationSpecific", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
                ]}}]},
            })
        };
        let Verdicts { text, refused, closed, unserved } = verdicts(vec![ingress("a", "/x(?!/y)"), ingress("b", "/x")]);
        assert_eq!((refused, closed, unserved), (0, 0, 1), "{text}");
        assert!(text.contains("2 paths: 1 could be served, 1 not"), "{text}");
        assert!(text.contains("  default/a, default/b: its class is nginx"), "{text}");
        assert_eq!(text.matches("its class is nginx").count(), 1, "{text}");
    }
}
