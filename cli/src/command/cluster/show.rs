//! `fedgate cluster list` and `describe`.

use federation_types::cluster::conditions;
use federation_types::{Cluster, condition};
use hub_client::{Collection, Hub};
use member_cluster::clusters;
use serde_json::Value;

use super::Output;
use crate::failure::Failure;

/// Prints all members.
///
/// # Errors
/// FG-HUB where the hub does not answer.
pub async fn list(hub: &Hub, output: Output) -> Result<(), Failure> {
    let listed = hub.list(&Collection::all(clusters())).await.map_err(|e| Failure::hub("cannot list clusters", &e))?;
    match output {
        Output::Table => super::super::print(&table(&listed.items)),
        _ => print(&Value::Array(listed.items), output),
    }
}

/// Prints one member.
///
/// # Errors
/// FG-CLU-007 where there is none of this name.
pub async fn describe(hub: &Hub, name: &str, output: Output) -> Result<(), Failure> {
    let found = hub.get(&clusters(), "", name).await.map_err(|e| Failure::hub("cannot read the cluster", &e))?;
    let object = found
        .ok_or_else(|| Failure::new("FG-CLU-007", format!("there is no member {name}")).fix("fedgate cluster list"))?;
    match output {
        Output::Table => super::super::print(&details(&object)),
        _ => print(&object, output),
    }
}

/// Prints a value as JSON or YAML.
pub(crate) fn print(value: &Value, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Yaml => serde_saphyr::to_string(value).map_err(|e| Failure::local("cannot encode the answer", e))?,
        _ => format!("{value:#}\n"),
    };
    super::super::print(&text)
}

fn read(object: &Value) -> Cluster {
    serde_json::from_value(object.clone()).unwrap_or_else(|_| Cluster::default())
}

fn table(objects: &[Value]) -> String {
    let mut rows = vec![["NAME", "READY", "VERSION", "REGION", "NODES"].map(str::to_owned)];
    for object in objects {
        let member = read(object);
        let status = member.status.unwrap_or_default();
        let ready = if condition::holds(&status.conditions, conditions::READY) { "True" } else { "False" };
        let nodes = status.nodes.map_or_else(|| "-".to_owned(), |n| format!("{}/{}", n.ready, n.total));
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        rows.push([
            member.metadata.name,
            ready.to_owned(),
            or_dash(status.version),
            or_dash(member.spec.region),
            nodes,
        ]);
    }
    columns(&rows)
}

/// Rows as columns, three spaces apart, the first row being the titles.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("   ").trim_end());
        text.push('\n');
    }
    text
}

fn details(object: &Value) -> String {
    let member = read(object);
    let status = member.status.unwrap_or_default();
    let mut text = format!(
        "Name:      {}\nServer:    {}\nUID:       {}\nVersion:   {}\nRegion:    {}\nZones:     {}\n",
        member.metadata.name,
        member.spec.server,
        status.uid,
        status.version,
        member.spec.region,
        member.spec.zones.join(", ")
    );
    for (what, sums) in [("Capacity", &status.capacity), ("Requested", &status.requested)] {
        let list: Vec<String> = sums.iter().map(|(key, value)| format!("{key} {value}")).collect();
        text.push_str(&format!("{what:<10} {}\n", list.join(", ")));
    }
    text.push_str("Conditions:\n");
    for condition in &status.conditions {
        let line =
            format!("  {:<16} {:<8} {:<20} {}", condition.kind, condition.status, condition.reason, condition.message);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
