//! `fedgate route shift`: how much of a host's requests each cluster gets, by editing the Ingress that they go by.
//!
//! Finds the Ingress with the gateway's own code; decides nothing about requests.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{ArgGroup, Args};
use federation_types::{Gvr, text};
use http::{Method, Request, Uri};
use hub_client::{At, Collection, Hub, WriteOptions};
use ingress::explain::{self, Question};
use ingress::route::Shares;
use ingress::snapshot::Named;
use ingress::{Entry, RouteTable};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::kubeconfig;

/// What the gateway reads the shares from; under ingress-nginx' prefix it means the same and is looked at second.
const SHARES: &str = "ingress.fedgate.dev/cluster-shares";
const SHARES_OF_NGINX: &str = "nginx.ingress.kubernetes.io/cluster-shares";
const EXAMPLE: &str = "fedgate route shift shop.example/cart --to west=20%";

/// Arguments of `shift`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("shares").required(true).args(["to", "reset"])))]
pub struct Shift {
    /// For example shop.example/cart, where the path may be left out; or HOST and PATH as `route list` has them
    #[arg(value_name = "HOST/PATH")]
    pub target: String,
    /// Percentages by cluster; what is left goes to the clusters that are not named
    #[arg(long, value_name = "CLUSTER=20%,…")]
    pub to: Option<Shares>,
    /// Back to the nearest clusters
    #[arg(long)]
    pub reset: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// One edit: the Ingress, and what its annotation says before and after.
#[derive(Debug, PartialEq, Eq)]
struct Edit {
    ingress: Named,
    before: Option<String>,
    after: Option<String>,
}

/// Edits the Ingress and says what it said before.
///
/// # Errors
/// FG-CLI-001 for a target that is none, FG-CLU-007 for a cluster that is no member, FG-ING-002 where nothing goes by that
/// host and path, FG-HUB where the hub does not answer or refuses.
pub async fn shift(shift: &Shift, hub_file: Option<&Path>) -> Result<(), Failure> {
    let asked = match question(&shift.target) {
        Err(failure) if !is_listable(&shift.target) => return Err(failure),
        asked => asked,
    };
    let hub = kubeconfig::hub(hub_file)?;
    if let Some(shares) = &shift.to {
        members_only(&hub, shares).await?;
    }
    let seen = explain::snapshot(&hub).await.map_err(|e| Failure::hub("cannot read the routes", &e))?;
    let table = seen.routes();
    let ingress = meant(&table, &shift.target, asked)?;
    let edit = edited(&hub, shift, &ingress).await?;
    super::super::print(&told(&edit, &table, shift.dry_run))?;
    if let Some(shares) = &shift.to {
        warn_of_empty(&table, &ingress, shares);
    }
    Ok(())
}

/// `shop.example/cart`, or a URL, as a request that is not sent.
fn question(target: &str) -> Result<Question, Failure> {
    let wrong = || Failure::new("FG-CLI-001", format!("{target:?} is not HOST/PATH")).fix(EXAMPLE);
    let url = if target.contains("://") { target.to_owned() } else { format!("http://{target}") };
    let url: Uri = url.parse().map_err(|_| wrong())?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    let request = Request::builder().method(Method::GET).uri(url).body(()).map_err(|_| wrong())?;
    let (parts, ()) = request.into_parts();
    Ok(Question { parts, remote: std::net::Ipv4Addr::LOCALHOST.into(), tls: false, port: 80, body: None })
}

/// Whether a target may be a host and a path out of `route list`, which need not be a request's: a pattern, a wildcard.
fn is_listable(target: &str) -> bool {
    let host = target.split_once('/').map_or(target, |(host, _)| host);
    !host.is_empty() && !host.ends_with(':')
}

/// The Ingress of a target: of the row that says the same in `route list`, else the one that takes such a request.
///
/// A pattern that is read as a request would be another one's as likely as not.
fn meant(table: &RouteTable, target: &str, asked: Result<Question, Failure>) -> Result<Named, Failure> {
    let entries = table.entries();
    let says = |entry: &&Entry<'_>| target.strip_prefix(entry.host.as_str()).is_some_and(|path| path == entry.path);
    let listed: BTreeSet<&Named> = entries.iter().filter(says).map(|entry| &entry.route.ingress).collect();
    let owner = |asked: &Question| explain::owner(table, asked);
    match (listed.first(), asked) {
        (Some(one), _) if listed.len() == 1 => Ok((*one).clone()),
        (Some(_), asked) => {
            let taker = asked.ok().as_ref().and_then(owner).filter(|taker| listed.contains(taker));
            let all: Vec<String> = listed.iter().map(ToString::to_string).collect();
            let message = format!("{target} stands for several Ingresses: {}", all.join(", "));
            taker.ok_or_else(|| Failure::new("FG-CLI-001", message).fix("give a path that one of them takes"))
        }
        (None, asked) => owner(&asked?).ok_or_else(|| {
            Failure::new("FG-ING-002", format!("no Ingress of this gateway takes {target}")).fix("fedgate route list")
        }),
    }
}

async fn members_only(hub: &Hub, shares: &Shares) -> Result<(), Failure> {
    let all = Collection::all(Gvr::new("fedgate.dev/v1alpha1", "clusters"));
    let members = hub.list(&all).await.map_err(|e| Failure::hub("cannot read the members", &e))?.items;
    for (name, _) in shares.named() {
        if !members.iter().any(|member| text::name(member) == name.as_str()) {
            return Err(Failure::new("FG-CLU-007", format!("there is no member {name}")).fix("fedgate cluster list"));
        }
    }
    Ok(())
}

async fn edited(hub: &Hub, shift: &Shift, ingress: &Named) -> Result<Edit, Failure> {
    let gvr = Gvr::new("networking.k8s.io/v1", "ingresses");
    let failed = |e| Failure::hub(&format!("cannot change Ingress {ingress}"), &e);
    let found = hub.get(&gvr, &ingress.namespace, &ingress.name).await.map_err(failed)?;
    let object = found.ok_or_else(|| Failure::new("FG-HUB-002", format!("Ingress {ingress} is gone")))?;
    let after = shift.to.as_ref().map(ToString::to_string);
    let edit = Edit { ingress: ingress.clone(), before: annotated(&object), after };
    if shift.dry_run || edit.before == edit.after {
        return Ok(edit);
    }
    // Whoever else changes it meanwhile is not written over.
    let version = &object["metadata"]["resourceVersion"];
    let annotations = json!({SHARES: edit.after, SHARES_OF_NGINX: null});
    let patch = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
    let at = At::new(&gvr, &ingress.namespace, &ingress.name);
    let how = WriteOptions { field_manager: "fedgate-route-shift", ..WriteOptions::default() };
    hub.merge_patch(at, &patch, &how).await.map_err(failed)?;
    Ok(edit)
}

fn annotated(object: &Value) -> Option<String> {
    let annotations = &object["metadata"]["annotations"];
    [SHARES, SHARES_OF_NGINX].iter().find_map(|key| annotations[key].as_str()).map(str::to_owned)
}

fn told(edit: &Edit, table: &RouteTable, dry_run: bool) -> String {
    let say = |shares: &Option<String>| shares.clone().unwrap_or_else(|| "nearest first".to_owned());
    let (before, after) = (say(&edit.before), say(&edit.after));
    let what = match (edit.before == edit.after, dry_run) {
        (true, _) => format!("{before} (unchanged)"),
        (false, true) => format!("{before} → {after} (dry run)"),
        (false, false) => format!("{before} → {after}"),
    };
    let mut text = format!("ingress {}: {what}\n", edit.ingress);
    // The annotation is the Ingress's: who shifts one path should see which others come along.
    for entry in table.entries().into_iter().filter(|entry| entry.route.ingress == edit.ingress) {
        text += &format!("  {}{}\n", entry.host, entry.path);
    }
    text
}

/// A share of a cluster without endpoints is nobody's: the requests go to the others.
fn warn_of_empty(table: &RouteTable, ingress: &Named, shares: &Shares) {
    let served = |name: &str| {
        let entries = table.entries();
        let mut routes = entries.iter().map(|entry| entry.route).filter(|route| route.ingress == *ingress);
        routes.any(|route| route.backend.endpoints().iter().any(|endpoint| endpoint.key.cluster.as_str() == name))
    };
    for (name, percent) in shares.named() {
        if *percent > 0 && !served(name.as_str()) {
            eprintln!("warning: {name} has no endpoint of it now; its share goes to the others until there is one");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;
    use ingress::snapshot::{IngressClass, IngressObject, Named};
    use ingress::{BuildOptions, Snapshot, build};

    use serde_json::json;

    use super::{Edit, is_listable, meant, question, told};
    use crate::command::{Cli, Command, route::Route};

    #[test]
    fn a_target_is_a_host_with_a_path_or_a_url() {
        for (target, host, path) in [
            ("shop.example/cart", "shop.example", "/cart"),
            ("shop.example", "shop.example", "/"),
            ("https://shop.example/a?b", "shop.example", "/a"),
        ] {
            let asked = question(target).expect(target).parts.uri;
            assert_eq!((asked.host(), asked.path()), (Some(host), path), "{target}");
        }
        for bad in ["", "/cart", "ftp://shop.example/", "shop example/"] {
            assert!(question(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_may_be_a_row_of_the_list() {
        let ingress = |name: &str, (host, path, kind): (&str, &str, &str)| {
            let to = json!({"service": {"name": "web", "port": {"number": 80}}});
            let patterned = (kind == "pattern").then(|| json!({"ingress.fedgate.dev/use-regex": "true"}));
            let kind = if kind == "pattern" { "ImplementationSpecific" } else { kind };
            let http = json!({"paths": [{"path": path, "pathType": kind, "backend": to}]});
            let rule = if host.is_empty() { json!({"http": http}) } else { json!({"host": host, "http": http}) };
            Arc::new(IngressObject::read(&json!({
                "metadata": {"namespace": "n", "name": name, "creationTimestamp": name, "annotations": patterned},
                "spec": {"ingressClassName": "fedgate", "rules": [rule]},
            })))
        };
        let class = json!({"metadata": {"name": "fedgate"}, "spec": {"controller": "fedgate.dev/ingress"}});
        let snapshot = Snapshot {
            ingresses: vec![
                ingress("all", ("shop.example", "/", "Prefix")),
                ingress("api", ("shop.example", "/api(/|$)(.*)", "pattern")),
                ingress("bare", ("shop.example", "/v[0-9]+/<x>", "pattern")),
                ingress("cart", ("cart.example", "/cart", "Prefix")),
                ingress("exact", ("cart.example", "/cart", "Exact")),
                ingress("text", ("shop.example", "/old", "pattern")),
                ingress("wild", ("*.shop.example", "/", "Prefix")),
                ingress("world", ("", "/w", "Prefix")),
            ],
            classes: vec![IngressClass::read(&class)],
            ..Snapshot::default()
        };
        let table = build(&snapshot, None, &BuildOptions::default());
        let meant = |target: &str| meant(&table, target, question(target)).map(|ingress| ingress.name);
        for entry in table.entries().iter().filter(|entry| entry.path != "/cart") {
            let target = format!("{}{}", entry.host, entry.path);
            assert!(is_listable(&target), "{target}");
            assert_eq!(meant(&target).expect(&target), entry.route.ingress.name, "{target}");
        }
        for (target, wanted) in [
            ("shop.example/api(/|$)(.*)", "api"),
            ("shop.example/v[0-9]+/<x>", "bare"),
            ("*.shop.example/", "wild"),
            ("*/w", "world"),
            ("shop.example/api/7", "api"),
            ("http://shop.example/api", "api"),
            ("cart.example/cart", "exact"),
            ("cart.example/cart/1", "cart"),
            ("SHOP.example", "all"),
            ("a.shop.example/b", "wild"),
        ] {
            assert_eq!(&*meant(target).expect(target), wanted, "{target}");
        }
        for (target, code) in [("other.example/", "FG-ING-002"), ("shop.example/<y>", "FG-CLI-001")] {
            assert_eq!(meant(target).expect_err(target).code, code, "{target}");
        }
        for bad in ["", "/cart", "ftp://shop.example/"] {
            assert!(!is_listable(bad), "{bad}");
        }
    }

    #[test]
    fn shares_are_checked_as_they_are_read() {
        let parse = |words: &[&str]| {
            let all = ["fedgate", "route", "shift", "h/p"].iter().chain(words).copied();
            Cli::try_parse_from(all.collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        let Ok(Cli { command: Command::Route(Route::Shift(shift)), .. }) = parse(&["--to", "west=20%,east=80%"]) else {
            panic!("it is a command")
        };
        assert_eq!(shift.to.expect("shares").to_string(), "west=20%,east=80%");
        for (words, said) in [
            (&["--to", "west=60%,east=41%"][..], "more than 100%"),
            (&["--to", "west=20"], "not of the form"),
            (&["--to", "west=1%,west=2%"], "named twice"),
            (&["--to", "west=1%", "--reset"], "cannot be used with"),
            (&[], "<--to <CLUSTER=20%,…>|--reset>"),
        ] {
            let error = parse(words).expect_err("it makes no sense");
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn what_changed_is_told() {
        let table = build(&Snapshot::default(), None, &BuildOptions::default());
        let edit = |before: Option<&str>, after: Option<&str>| Edit {
            ingress: Named::new("n", "web"),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let west = Some("west=20%");
        for (edit, dry_run, said) in [
            (edit(None, west), false, "ingress n/web: nearest first → west=20%\n"),
            (edit(west, None), true, "ingress n/web: west=20% → nearest first (dry run)\n"),
            (edit(west, west), false, "ingress n/web: west=20% (unchanged)\n"),
        ] {
            assert_eq!(told(&edit, &table, dry_run), said);
        }
    }
}
