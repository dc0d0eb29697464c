//! Replays patches on our API server and on a real kube-apiserver, and compares what both say, byte for byte
//! but for times, uids, revisions and the values that only the real one fills in.
//!
//! Scripts cover each rule of patching by name; seeded sequences cover what nobody thought of. Every failing sequence
//! is made as short as it gets and printed.

mod chance;
mod edit;
mod generate;
mod kind;
mod normal;
mod peer;
mod rule;
mod session;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use auth::UserInfo;
use clap::Parser as _;
use federation_api::{Api, StoreConfig};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use generate::Generator;
use kind::Kind;
use peer::Peer;
use rule::{Script, Tally};
use session::{Difference, Op, Pair, Session, Side};

/// Sequences that run at the same time: enough to keep two cores busy.
const AT_ONCE: usize = 12;
#[derive(clap::Parser)]
struct Options {
    /// The folder of the real programs
    #[arg(long)]
    programs: PathBuf,
    /// The first sequence's seed; the others follow it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random sequences
    #[arg(long, default_value_t = 1000)]
    sequences: u64,
    /// Requests of each sequence
    #[arg(long, default_value_t = 8)]
    length: usize,
    /// Only scripts whose rule or description holds this text; no random sequences
    #[arg(long)]
    only: Option<String>,
    /// Only random sequences of this kind
    #[arg(long)]
    kind: Option<String>,
    /// How many failing sequences are shrunk and printed
    #[arg(long, default_value_t = 20)]
    shown: usize,
}

/// What came of one sequence.
struct Outcome {
    kind: usize,
    seed: u64,
    ops: Vec<Op>,
    sent: usize,
    defaulted: bool,
    difference: Option<Difference>,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let started = Instant::now();
    let peer = Peer::start(&options.programs).await?;
    let pair = Pair { ours: ours().await?, peer: Side(peer.caller()?) };
    println!("both servers ready after {:.1} s", started.elapsed().as_secs_f64());
    let mut tally = Tally::default();
    scripts(&options, &pair, &mut tally).await?;
    if options.only.is_none() {
        sequences(&options, &pair, &mut tally).await?;
    }
    tally.print();
    println!("{:.1} s in all", started.elapsed().as_secs_f64());
    Ok(if tally.differences() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Our server, in this process, as a member's: what a hub refuses for being a hub is another matter.
async fn ours() -> Result<Side> {
    let api = Api::builder().open(StoreConfig::Memory).await.context("our server")?;
    let side = Side(kube::Client::new(api.in_process(UserInfo::new("admin", ["system:masters"])), "default"));
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let (code, answer) = side.ask("POST", "/api/v1/namespaces", Some(&body)).await?;
    if code != 201 && code != 409 {
        bail!("namespace default: {answer}");
    }
    Ok(side)
}

async fn scripts(options: &Options, pair: &Pair, tally: &mut Tally) -> Result<()> {
    let wanted = |script: &Script| match &options.only {
        Some(text) => script.rule.contains(text) || script.what.contains(text),
        None => options.kind.is_none(),
    };
    let scripts: Vec<Script> = rule::load()?.into_iter().filter(wanted).collect();
    let runs = futures_util::stream::iter(scripts.iter().enumerate()).map(|(i, script)| async move {
        let outcome = script.run(pair, &format!("script-{i}")).await;
        (script, outcome)
    });
    let outcomes: Vec<_> = runs.buffer_unordered(AT_ONCE).collect().await;
    for (script, outcome) in outcomes {
        let found = outcome.with_context(|| script.what.clone())?;
        tally.count(&script.rule, found.is_some());
        if let Some((difference, step)) = found {
            println!("DIFFERENCE {} {}\n  {step}\n  {}", script.rule, script.what, indented(&difference.text));
        }
    }
    Ok(())
}

async fn sequences(options: &Options, pair: &Pair, tally: &mut Tally) -> Result<()> {
    let kinds = kind::load(&pair.peer).await?;
    let kinds: Arc<Vec<Kind>> = Arc::new(
        kinds.into_iter().filter(|kind| options.kind.as_deref().is_none_or(|only| kind.name() == only)).collect(),
    );
    if kinds.is_empty() {
        bail!("no such kind");
    }
    let seeds = options.seed..options.seed + options.sequences;
    let runs = futures_util::stream::iter(seeds).map(|seed| {
        let (pair, kinds, length) = (pair.clone(), Arc::clone(&kinds), options.length);
        tokio::spawn(async move { sequence(&pair, &kinds, seed, length).await })
    });
    let mut runs = runs.buffer_unordered(AT_ONCE);
    let (mut requests, mut ended, mut failed) = (0, 0, Vec::new());
    while let Some(outcome) = runs.next().await {
        let outcome = outcome.context("a sequence panicked")??;
        requests += outcome.sent;
        ended += usize::from(outcome.defaulted);
        tally.count(kinds[outcome.kind].name(), outcome.difference.is_some());
        if outcome.difference.is_some() {
            failed.push(outcome);
        }
    }
    println!(
        "seeds {}..{}: {requests} requests, {ended} sequences ended at a default",
        options.seed,
        options.seed + options.sequences
    );
    failed.sort_by_key(|outcome| outcome.seed);
    for outcome in failed.iter().take(options.shown) {
        shrink(pair, &kinds[outcome.kind], outcome).await?;
    }
    Ok(())
}

async fn sequence(pair: &Pair, kinds: &[Kind], seed: u64, length: usize) -> Result<Outcome> {
    let place = usize::try_from(seed).unwrap_or(0) % kinds.len();
    let kind = &kinds[place];
    let mut generator = Generator::new(kind, seed);
    let mut session = Session::new(pair.clone(), &kind.collection, format!("seed-{seed}"));
    let mut outcome = Outcome { kind: place, seed, ops: Vec::new(), sent: 0, defaulted: false, difference: None };
    for _ in 0..length {
        let op = generator.next(session.live());
        outcome.ops.push(op.clone());
        outcome.sent += 1;
        outcome.difference = session.step(&op).await.with_context(|| format!("seed {seed}"))?;
        outcome.defaulted = session.defaulted;
        if outcome.difference.is_some() || outcome.defaulted {
            break;
        }
    }
    Ok(outcome)
}

/// Leaves out requests as long as the servers still part, and prints what is left.
async fn shrink(pair: &Pair, kind: &Kind, outcome: &Outcome) -> Result<()> {
    let Some(mut difference) = outcome.difference.clone() else { return Ok(()) };
    let mut ops = outcome.ops.clone();
    let mut trial = 0;
    let mut at = 0;
    while at + 1 < ops.len() {
        let mut fewer = ops.clone();
        fewer.remove(at);
        trial += 1;
        let mut session = Session::new(pair.clone(), &kind.collection, format!("seed-{}-{trial}", outcome.seed));
        let mut found = None;
        for op in &fewer {
            found = session.step(op).await?;
            if found.is_some() {
                break;
            }
        }
        match found {
            Some(same) if !session.defaulted && alike(&same.text, &difference.text) => {
                fewer.truncate(same.op + 1);
                (ops, difference) = (fewer, same);
            }
            _ => at += 1,
        }
    }
    println!("DIFFERENCE seed {} {}", outcome.seed, kind.name());
    for op in &ops {
        println!("  {} {}?{} {}\n    {}", op.method, op.below, op.query, op.content_type, brief(&op.body));
    }
    println!("  {}", indented(&difference.text));
    Ok(())
}

/// Whether two differences look like the same one: what is named first is the same.
fn alike(a: &str, b: &str) -> bool {
    let head = |text: &str| text.split(':').next().unwrap_or("").to_owned();
    head(a) == head(b)
}

fn brief(body: &str) -> String {
    let short: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let text = if short.is_null() { body.to_owned() } else { short.to_string() };
    text.chars().take(1500).collect()
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}
