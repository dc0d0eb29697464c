//! The suite's own program: how it is built, what it lists, and what it found.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::playground::Playground;
use crate::provision::golang::Go;
use crate::provision::rig;
use crate::provision::{For, Toolbox};
use crate::{invoke, paths};

/// The whole run; a single test that hangs ends it.
const TIMEOUT: &str = "2h";

/// What became of one test.
pub struct Outcome {
    pub name: String,
    pub passed: bool,
    pub why: String,
}

/// Ginkgo's report, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    #[serde(default)]
    spec_reports: Vec<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    #[serde(default)]
    failure: Failure,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Failure {
    message: String,
}

/// Returns the program, built once per version of its module files.
///
/// # Errors
/// No Go toolchain, no module registry, or sources that do not compile.
pub fn build() -> Result<PathBuf> {
    let sources = paths::repository().join("tests/rig/conformance");
    let mut digest = Sha256::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        digest.update(fs::read(sources.join(file)).with_context(|| format!("read tests/rig/conformance/{file}"))?);
    }
    let key: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let program = paths::cache()?.join("conformance").join(key).join("e2e.test");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("building the conformance suite: about ten minutes, once");
    fs::create_dir_all(program.parent().context("a folder")?)?;
    let version = rig::required(&sources.join("go.mod"), "k8s.io/kubernetes")?;
    let partial = program.with_extension("partial");
    let mut build = Go::find()?.command(&sources);
    build.args(["test", "-c", "-vet=off", "-ldflags", &rig::stamp(&version), "-o"]);
    invoke::run(build.arg(&partial).arg("k8s.io/kubernetes/test/e2e"))?;
    fs::rename(&partial, &program).context("move the suite into place")?;
    Ok(program)
}

/// The names of all tests.
///
/// # Errors
/// The program fails.
pub fn list(program: &Path) -> Result<String> {
    invoke::read(&mut invoke::command(program, ["-list-tests"]))
}

/// Runs the tests whose names match and reads what was found.
///
/// # Errors
/// The suite wrote no report.
pub fn run(program: &Path, playground: &Playground, focus: &str) -> Result<Vec<Outcome>> {
    let toolbox = Toolbox::stock(For::Test);
    let report = playground.dir().join("report.json");
    let mut tests = invoke::command(
        program,
        [
            "-allowed-not-ready-nodes=-1",
            "-num-nodes=0",
            "-e2e-verify-service-account=false",
            "-ginkgo.no-color",
            "-ginkgo.silence-skips",
        ],
    );
    tests.arg(format!("-kubeconfig={}", playground.kubeconfig().display()));
    tests.arg(format!("-ginkgo.timeout={TIMEOUT}"));
    tests.arg(format!("-ginkgo.focus={focus}"));
    tests.arg(format!("-ginkgo.json-report={}", report.display()));
    tests.env("PATH", toolbox.path()?).env("HOME", playground.dir());
    let output = invoke::attempt(&mut tests)?;
    fs::write(playground.dir().join("suite.log"), invoke::transcript(&output))?;
    let text = fs::read_to_string(&report).with_context(|| {
        let transcript = invoke::transcript(&output);
        let tail: Vec<&str> = transcript.lines().rev().take(20).collect();
        format!("the suite wrote no report:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    })?;
    read(&text)
}

fn read(report: &str) -> Result<Vec<Outcome>> {
    let reports: Vec<Report> = serde_json::from_str(report).context("the suite's report")?;
    let specs = reports.into_iter().flat_map(|report| report.spec_reports);
    let ran = specs.filter(|spec| spec.leaf_node_type == "It" && spec.state != "skipped" && spec.state != "pending");
    Ok(ran.map(Spec::outcome).collect())
}

impl Spec {
    fn outcome(self) -> Outcome {
        let mut parts = self.container_hierarchy_texts.unwrap_or_default();
        parts.push(self.leaf_node_text);
        let why = self.failure.message.lines().take(2).collect::<Vec<_>>().join(" ");
        Outcome { name: parts.join(" "), passed: self.state == "passed", why }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_report_tells_names_states_and_reasons() {
        let report = r#"[{"SpecReports": [
            {"ContainerHierarchyTexts": ["[sig-a]", "b"], "LeafNodeType": "It", "LeafNodeText": "c [Conformance]", "State": "passed"},
            {"ContainerHierarchyTexts": null, "LeafNodeType": "It", "LeafNodeText": "d", "State": "failed", "Failure": {"Message": "why\nso\nlong"}},
            {"ContainerHierarchyTexts": null, "LeafNodeType": "It", "LeafNodeText": "e", "State": "skipped"},
            {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "", "State": "passed"}
        ]}]"#;
        let outcomes = read(report).expect("a report");
        let told: Vec<(&str, bool, &str)> = outcomes.iter().map(|o| (&*o.name, o.passed, &*o.why)).collect();
        assert_eq!(told, [("[sig-a] b c [Conformance]", true, ""), ("d", false, "why so")]);
    }
}
