//! `cargo xtask conformance`: Kubernetes' own conformance suite against `fedgate up`, held to a kept list.
//!
//! The suite is built once from its Go module; what it found is compared with tests/conformance/expected.txt.

mod expected;
pub mod playground;
mod suite;

use anyhow::{Result, bail};

use self::expected::{Expected, Verdict};
use self::playground::Playground;
use crate::paths;

/// What this server is expected to pass, relative to the repository.
const EXPECTED: &str = "tests/conformance/expected.txt";

#[derive(clap::Args)]
pub struct Options {
    /// Run the tests whose names match this regular expression, whatever is expected of them
    #[arg(long)]
    focus: Option<String>,
    /// Print the names of all tests of the suite and stop
    #[arg(long)]
    list: bool,
    /// The playground's binary (default: FEDGATE_BINARY, then the release build, which is made first)
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
}

/// # Errors
/// A test that is expected to pass did not, or the suite could not be built or run.
pub fn run(options: &Options) -> Result<()> {
    let expected = Expected::read(&paths::repository().join(EXPECTED))?;
    let program = suite::build()?;
    if options.list {
        print!("{}", suite::list(&program)?);
        return Ok(());
    }
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => playground::build()?,
    };
    let playground = Playground::start(&binary, paths::target().join("conformance"))?;
    let focus = options.focus.clone().unwrap_or_else(|| expected.focus());
    let outcomes = suite::run(&program, &playground, &focus)?;
    drop(playground);
    let mut regressions = 0;
    let mut passed = 0;
    for outcome in &outcomes {
        let line = expected.find(&outcome.name);
        match (outcome.passed, line.map(|line| line.verdict)) {
            (true, Some(Verdict::Pass)) => println!("pass     {}", outcome.name),
            (true, _) => println!("pass     {} (not expected: add it to {EXPECTED})", outcome.name),
            (false, Some(Verdict::Pass)) => {
                regressions += 1;
                println!("FAILED   {}\n         {}", outcome.name, outcome.why);
            }
            (false, Some(_)) => println!("expected {}\n         {}", outcome.name, outcome.why),
            (false, None) => println!("unlisted {}\n         {}", outcome.name, outcome.why),
        }
        passed += usize::from(outcome.passed);
    }
    if options.focus.is_none() {
        for line in expected.left_out() {
            println!("skipped  {}: {}", line.name, line.why);
        }
        let absent = expected.absent(outcomes.iter().map(|outcome| &*outcome.name));
        for name in &absent {
            println!("FAILED   {name}\n         it did not run");
        }
        regressions += absent.len();
    }
    println!("{passed} passed, {regressions} regressions, {} ran", outcomes.len());
    if regressions > 0 {
        bail!("{regressions} tests that passed before do not");
    }
    Ok(())
}
