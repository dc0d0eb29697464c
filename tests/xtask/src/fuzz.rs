//! `cargo xtask fuzz`: every fuzz target for a while, from the corpus that is kept in the repository and the one that grows
//! in the cache. A find is a file under the build directory, and a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{invoke, paths};

#[derive(clap::Args)]
pub struct Options {
    /// Seconds a target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run only these targets: the folders of tests/fuzz/corpus
    #[arg(long)]
    target: Vec<String>,
}

impl Options {
    /// For the run of every change: what was found once is found again, and a minute's look further.
    #[must_use]
    pub fn of_every_change() -> Self {
        Self { seconds: 60, target: Vec::new() }
    }
}

/// Targets at once: what the smallest machine has cores.
const AT_ONCE: usize = 2;
/// Largest input, in bytes: what is hostile about size has tests of its own.
const MAX_BYTES: usize = 4_096;
/// Memory that a target may take, in MB; instrumentation included.
const MEMORY_MB: usize = 2_048;
/// Seconds that one input may take.
const ONE_INPUT_S: usize = 10;
/// Coverage as libFuzzer reads it, in terms of a compiler that is stable.
const INSTRUMENTED: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// What became of one target.
pub struct Outcome {
    pub target: String,
    /// What the target said, where it found something.
    pub found: Option<String>,
}

struct Running {
    target: String,
    child: Child,
    log: PathBuf,
}

/// # Errors
/// A target found something, or cannot be built.
pub fn run(options: &Options) -> Result<()> {
    let mut finds = 0;
    for outcome in all(options)? {
        match outcome.found {
            None => println!("{:<24} ok", outcome.target),
            Some(said) => {
                finds += 1;
                println!("{:<24} FOUND SOMETHING\n{said}", outcome.target);
            }
        }
    }
    if finds > 0 {
        bail!("{finds} targets found something");
    }
    Ok(())
}

/// Builds and runs the targets.
///
/// # Errors
/// They cannot be built or started.
pub fn all(options: &Options) -> Result<Vec<Outcome>> {
    let binary = build()?;
    let mut waiting = targets(options)?;
    waiting.reverse();
    let mut outcomes = Vec::new();
    let mut running = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < AT_ONCE
            && let Some(target) = waiting.pop()
        {
            running.push(start(&binary, target, options.seconds)?);
        }
        outcomes.push(end(running.remove(0))?);
    }
    Ok(outcomes)
}

fn targets(options: &Options) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus()).context("the kept corpus")? {
        let name = entry?.file_name().into_string().ok().context("the name of a corpus is UTF-8")?;
        if options.target.is_empty() || options.target.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("there is no such target");
    }
    Ok(names)
}

fn corpus() -> PathBuf {
    paths::repository().join("tests/fuzz/corpus")
}

/// Build scripts are not instrumented: naming the target keeps the flags from them.
fn build() -> Result<PathBuf> {
    let triple = host()?;
    let folder = paths::target().join("fuzz");
    let mut cargo = invoke::cargo();
    cargo.args(["build", "--quiet", "--locked", "--package", "fuzz", "--profile", "fuzz", "--target", &triple]);
    cargo.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", INSTRUMENTED.join(" "));
    invoke::run(&mut cargo)?;
    Ok(folder.join(triple).join("fuzz/fuzz"))
}

fn host() -> Result<String> {
    let said = invoke::read(&mut invoke::command("rustc", ["--version", "--verbose"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    Ok(host.to_owned())
}

fn start(binary: &Path, target: String, seconds: u64) -> Result<Running> {
    let grown = paths::cache()?.join("fuzz").join(&target);
    let finds = paths::target().join("fuzz/finds").join(&target);
    fs::create_dir_all(&grown)?;
    fs::create_dir_all(&finds)?;
    let log = finds.join("log");
    let mut fuzz = Command::new(binary);
    fuzz.env("FEDGATE_FUZZ_TARGET", &target).arg(&grown).arg(corpus().join(&target));
    fuzz.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_BYTES}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        format!("-timeout={ONE_INPUT_S}"),
        format!("-artifact_prefix={}/", finds.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    let child = fuzz.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?).spawn();
    Ok(Running { target, child: child.context("start the fuzz targets")?, log })
}

fn end(mut running: Running) -> Result<Outcome> {
    const LAST_LINES: usize = 40;
    let status = running.child.wait()?;
    let Running { target, log, .. } = running;
    if status.success() {
        return Ok(Outcome { target, found: None });
    }
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    Ok(Outcome { target, found: Some(format!("{last}\n{status}; all of it: {}", log.display())) })
}
