//! `fedgate cluster`: add, list, describe and remove member clusters.
//!
//! Adding probes first and writes last; every step may be repeated.

mod add;
pub(crate) mod show;

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use federation_types::ClusterName;
use hub_client::{At, Collection, DeleteOptions};
use member_cluster::clusters;

use crate::failure::Failure;
use crate::kubeconfig;

pub use add::Add;
pub(crate) use show::{columns, print};

/// Sub-commands of `cluster`.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Make a cluster a member
    Add(Box<Add>),
    /// List the members
    List(List),
    /// Show a member with its conditions
    Describe(Named),
    /// End a membership; the objects in the member stay and lose our labels
    Remove(Remove),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// A member by name.
#[derive(Debug, Args)]
pub struct Named {
    /// The member's name
    pub name: String,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The member's name
    pub name: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Do not wait for the member to let go, for example because it is gone for good
    #[arg(long)]
    pub force: bool,
    /// How long to wait for the member to let go
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
}

/// How a read verb prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Yaml,
}

/// Runs a sub-command.
///
/// # Errors
/// As the sub-command fails.
pub async fn run(command: &Cluster, hub_file: Option<&Path>) -> Result<(), Failure> {
    let hub = kubeconfig::hub(hub_file)?;
    match command {
        Cluster::Add(add) => add::add(add, &hub).await,
        Cluster::List(list) => show::list(&hub, list.output).await,
        Cluster::Describe(named) => show::describe(&hub, &named.name, named.output).await,
        Cluster::Remove(remove) => self::remove(remove, &hub).await,
    }
}

async fn remove(remove: &Remove, hub: &hub_client::Hub) -> Result<(), Failure> {
    let name = ClusterName::new(&remove.name).map_err(|e| Failure::new("FG-CLI-001", e.to_string()))?;
    let question = format!("Remove member {name}? Its objects stay there and lose our labels.");
    confirm(&question, remove.yes)?;
    let gvr = clusters();
    let failed = |e| Failure::hub("cannot remove the cluster", &e);
    let at = At::new(&gvr, "", name.as_str());
    let found = hub.delete(at, &DeleteOptions::default()).await.map_err(failed)?;
    if found.is_none() {
        return Err(Failure::new("FG-CLU-007", format!("there is no member {name}")).fix("fedgate cluster list"));
    }
    if remove.force {
        let patch = serde_json::json!({"metadata": {"finalizers": null}});
        match hub.merge_patch(at, &patch, &hub_client::WriteOptions::default()).await {
            Err(e) if !e.is_not_found() => return Err(failed(e)),
            _ => {}
        }
    }
    gone(hub, &name, remove.wait).await?;
    let secrets = federation_types::Gvr::new("v1", "secrets");
    let secret = At::new(&secrets, federation_types::label::SYSTEM_NAMESPACE, name.as_str());
    hub.delete(secret, &DeleteOptions::default()).await.map_err(failed)?;
    super::print(&format!("cluster/{name} removed\n"))
}

async fn gone(hub: &hub_client::Hub, name: &ClusterName, within: Duration) -> Result<(), Failure> {
    let of = Collection::all(clusters()).with_fields(format!("metadata.name={name}"));
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let left = hub.list(&of).await.map_err(|e| Failure::hub("cannot list clusters", &e))?;
        if left.items.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Failure::new(
                "FG-CLU-005",
                format!("member {name} has not let go after {} s", within.as_secs()),
            )
            .because("the hub still has to take its labels off the objects there")
            .fix(format!("fedgate cluster remove {name} --force leaves them as they are")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Asks on a terminal; without one only `--yes` goes on.
fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    use std::io::{IsTerminal as _, Write as _};
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("FG-CLI-001", "there is no terminal to ask on").fix("give --yes"));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().map_err(|e| Failure::local("cannot ask", e))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::local("cannot read the answer", e))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("FG-CLI-003", "nothing was changed"))
}

/// `90s`, `2m`, `1h`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a duration like 60s or 2m"))?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => return Err(format!("{other:?} is no unit of time: use s, m or h")),
    };
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}
