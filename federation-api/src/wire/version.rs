//! `/version`: which Kubernetes the server is compatible with.

use federation_schema::facts::Facts;
use serde_json::{Value, json};

/// What the build says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    pub commit: &'a str,
    /// RFC 3339.
    pub date: &'a str,
    /// Such as `linux/amd64`.
    pub platform: &'a str,
}

/// The body of `/version`; major and minor are digits only, as clients parse them.
pub fn version(facts: &Facts, build: Build<'_>) -> Value {
    let release = facts.version();
    let mut numbers = release.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or(""), numbers.next().unwrap_or(""));
    json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": minor,
        "gitVersion": format!("{release}+fedgate"),
        "gitCommit": build.commit,
        "gitTreeState": "clean",
        "buildDate": build.date,
        "goVersion": "none",
        "compiler": "rustc",
        "platform": build.platform,
    })
}

#[cfg(test)]
mod tests {
    use super::{Build, version};
    use federation_schema::facts::kubernetes;

    /// Protocol: H1
    #[test]
    fn clients_can_read_the_version() {
        let value = version(kubernetes(), Build { commit: "", date: "", platform: "linux/amd64" });
        assert_eq!((value["major"].as_str(), value["minor"].as_str()), (Some("1"), Some("37")));
        assert!(
            value["gitVersion"].as_str().is_some_and(|text| text.starts_with("v1.37.") && text.ends_with("+fedgate"))
        );
    }
}
