//! `fedgate ingress import FILE`: what becomes of the annotations of Ingresses that were written for ingress-nginx.
//!
//! Reads a file and nothing else; the verdicts are those by which routes are built.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use federation_types::text;
use ingress::annotation::{self, table::Verdict};
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
    let (text, refused) = verdicts(&objects);
    super::print(&text)?;
    match refused {
        0 => Ok(()),
        count => Err(Failure::new("FG-ING-001", format!("{count} annotations would not be followed"))),
    }
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

/// The list of verdicts, and how many of them are refusals.
fn verdicts(objects: &[Value]) -> (String, usize) {
    let items = objects.iter().flat_map(|object| match object.get("items").and_then(Value::as_array) {
        Some(items) => items.as_slice(),
        None => std::slice::from_ref(object),
    });
    let ingresses: Vec<&Value> = items.filter(|item| text::str_at(item, &["kind"]) == "Ingress").collect();
    let mut rows = vec![["INGRESS", "ANNOTATION", "VERDICT", "WHY"].map(str::to_owned)];
    let (mut refused, mut closed) = (0, 0);
    for object in &ingresses {
        let all = text::at(object, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten();
        let found = annotation::of_routing(all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))));
        let namespace = Some(text::namespace(object)).filter(|name| !name.is_empty()).unwrap_or("default");
        for judged in annotation::judge(&found, namespace) {
            refused += usize::from(judged.verdict == "refused");
            closed += usize::from(judged.closes);
            let why = if judged.closes { format!("{}; its routes answer 503", judged.why) } else { judged.why };
            let name = format!("{namespace}/{}", text::name(object));
            rows.push([name, judged.name, judged.verdict.to_owned(), why]);
        }
    }
    let judged = rows.len() - 1;
    let mut text = if judged == 0 { String::new() } else { columns(&rows) };
    text +=
        &format!("{} Ingresses, {judged} annotations: {} followed, {refused} not\n", ingresses.len(), judged - refused);
    if closed > 0 {
        text += &format!(
            "{closed} of them keep somebody out: those Ingresses are served to nobody until they are changed\n"
        );
    }
    (text, refused)
}

#[cfg(test)]
mod tests {
    use super::verdicts;

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
        let (text, refused) = verdicts(&objects);
        assert_eq!(refused, 1);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        assert_eq!(words[1], ["shop/old", "configuration-snippet", "refused"]);
        assert_eq!(words[2], ["shop/old", "force-ssl-redirect", "works"]);
        assert_eq!(words[3], ["default/new", "proxy-buffering", "ignored"]);
        assert!(text.contains("2 Ingresses, 3 annotations: 2 followed, 1 not\n1 of them keep"), "{text}");
    }
}
