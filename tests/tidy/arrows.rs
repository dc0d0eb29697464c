//! Which crate may use which: the table of ARCHITECTURE.md, held against Cargo's own.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::source::root;

/// Crate, and the crates of ours that it may use outside of its tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("federation-types", &[]),
    ("federation-store", &[]),
    ("federation-schema", &["federation-types"]),
    ("hub-client", &["federation-types"]),
    ("auth", &["federation-types", "federation-schema"]),
    ("member-cluster", &["federation-types", "hub-client"]),
    (
        "federation-api",
        &["federation-types", "federation-schema", "federation-store", "auth", "member-cluster", "hub-client"],
    ),
    ("placement", &["federation-types", "federation-schema", "member-cluster", "hub-client"]),
    ("ingress", &["federation-types", "auth", "hub-client"]),
    ("dns", &["federation-types", "hub-client"]),
    (
        "playground",
        &["federation-api", "federation-types", "federation-schema", "auth", "member-cluster", "hub-client"],
    ),
    (
        "fedgate",
        &[
            "federation-types",
            "federation-schema",
            "federation-api",
            "placement",
            "ingress",
            "dns",
            "auth",
            "playground",
            "member-cluster",
            "hub-client",
        ],
    ),
    // Composes what `fedgate` composes, and names the types of its signatures.
    ("testkit", &["fedgate", "federation-types", "hub-client", "member-cluster", "playground"]),
    ("tests", &["fedgate", "testkit"]),
    ("bench", &[]),
    ("fuzz", &["federation-api", "federation-schema", "ingress"]),
    // Speaks to the API server itself: what is compared is it, without the rest of the house.
    ("replay", &["auth", "federation-api"]),
    ("xtask", &[]),
];

/// Arrows that are not in the table, and crates that are not.
pub fn forbidden() -> Vec<String> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec();
    let metadata = metadata.expect("cargo metadata answers");
    let ours: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name.as_str()) else {
            found.push(format!("{} is not in the table of crates", package.name));
            continue;
        };
        // What fuzz targets may see of a crate, nobody else does.
        let doors = package.dependencies.iter().filter(|d| d.features.iter().any(|feature| feature == "fuzzing"));
        found
            .extend(doors.filter(|_| package.name != "fuzz").map(|d| format!("{} → {}/fuzzing", package.name, d.name)));
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            if ours.contains(&dependency.name) && !allowed.contains(&dependency.name.as_str()) {
                found.push(format!("{} → {}", package.name, dependency.name));
            }
        }
    }
    found
}
