//! Kills a writing process at random points, many times, and looks for every acknowledged write.
//!
//! The child is this test binary again. Each of its writers does a fixed sequence of operations on
//! keys of its own, so that after a kill the file must hold exactly the state after the last
//! acknowledged operation, or after the one that was under way.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use federation_store::{History, Op, Options, Page, RedbStore, Rev, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LANES: u64 = 2;
const KILLS_PER_LANE: usize = 110;
const WRITERS: u64 = 6;
const KEYS: u64 = 5;
const CHILD: &str = "FEDGATE_STORE_CRASH_CHILD";
const SEED: &str = "FEDGATE_STORE_CRASH_SEED";

/// What each writer has done: how many operations, and the newest acknowledged revision.
type Done = [(u64, Rev); WRITERS as usize];

fn options() -> Options {
    Options { history: History { max_entries: 300, ..History::default() }, ..Options::default() }
}

fn key(writer: u64, slot: u64) -> Bytes {
    Bytes::from(format!("/{writer}/{slot}"))
}

/// The operation number `n` of a writer: mostly one put, sometimes two keys at once or a delete.
fn operation(writer: u64, n: u64) -> Vec<Op> {
    let put = |slot: u64| Op::Put {
        key: key(writer, slot),
        val: Bytes::from(format!("{writer}:{n}:{}", "x".repeat((n * 37 % 900) as usize))),
    };
    match n % 7 {
        3 => vec![Op::Del { key: key(writer, (n / 7) % KEYS) }, put((n / 7 + 1) % KEYS)],
        5 => vec![put(n % KEYS), put((n + 1) % KEYS)],
        _ => vec![put(n % KEYS)],
    }
}

fn apply(state: &mut BTreeMap<Bytes, Bytes>, ops: Vec<Op>) {
    for op in ops {
        match op {
            Op::Put { key, val } => state.insert(key, val),
            Op::Del { key } => state.remove(&key),
        };
    }
}

/// Not a test by itself: what the killed process does.
#[test]
fn child() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let mut words = task.split('\n');
    let path = words.next().unwrap().to_owned();
    let from: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(RedbStore::open(path, options()).unwrap());
        let writers = from.into_iter().zip(0..).map(|(start, writer)| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in start.. {
                    let rev = store.txn(Vec::new(), operation(writer, n)).await.unwrap();
                    writeln!(std::io::stdout(), "ack {writer} {n} {rev}").unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let seed = std::env::var(SEED).map_or_else(|_| rand::rng().random(), |seed| seed.parse::<u64>().unwrap());
    println!("seed {seed} (set {SEED} to repeat)");
    let since = Instant::now();
    let lanes = (0..LANES).map(|lane| std::thread::spawn(move || kill_often(seed.wrapping_add(lane))));
    let acknowledged: u64 = lanes.collect::<Vec<_>>().into_iter().map(|lane| lane.join().unwrap()).sum();
    let kills = LANES as usize * KILLS_PER_LANE;
    println!("{kills} kills, {acknowledged} acknowledged writes, {:?}", since.elapsed());
    assert!(acknowledged > kills as u64, "the children wrote something");
}

fn kill_often(seed: u64) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut done, mut newest, mut acknowledged) = (Done::default(), 0, 0);
    let mut states = vec![BTreeMap::new(); WRITERS as usize];
    for kill in 0..KILLS_PER_LANE {
        let mut acks = run_and_kill(&path, &done, &mut rng);
        acknowledged += acks.iter().zip(&done).map(|(now, before)| now.0 - before.0).sum::<u64>();
        newest = runtime.block_on(check(&path, newest, (&done, &mut acks), &mut states)).unwrap_or_else(|error| {
            panic!("seed {seed}, kill {kill}: {error}");
        });
        done = acks;
    }
    acknowledged
}

/// Starts a child, kills it after some time or some acknowledgements, returns what it acknowledged.
fn run_and_kill(path: &Path, done: &Done, rng: &mut StdRng) -> Done {
    let mut task = path.to_str().unwrap().to_owned();
    done.iter().for_each(|(n, _)| task.push_str(&format!("\n{n}")));
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, task)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let early = rng.random_ratio(1, 4);
    let after = if early { 0 } else { rng.random_range(1..120) };
    if early {
        std::thread::sleep(Duration::from_micros(rng.random_range(0..30_000)));
        child.kill().unwrap();
    }
    let (mut acks, mut seen) = (*done, 0);
    for line in output.lines().map_while(Result::ok) {
        // The first line follows the test's name; the last may be cut off, then its revision is too low.
        let words: Vec<u64> = line
            .split_once("ack ")
            .map_or("", |(_, rest)| rest)
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [writer, n, rev] = words[..] else { continue };
        if rev < acks[writer as usize].1 {
            continue;
        }
        acks[writer as usize] = (n + 1, rev);
        seen += 1;
        if seen == after {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "the child writes until it is killed");
    acks
}

/// Opens the file as a restarted server would and compares; returns the newest revision.
async fn check(
    path: &Path,
    newest: Rev,
    (done, acks): (&Done, &mut Done),
    states: &mut [BTreeMap<Bytes, Bytes>],
) -> Result<Rev, String> {
    let store = RedbStore::open(path, options()).map_err(|error| error.to_string())?;
    store.verify().await.map_err(|error| error.to_string())?;
    for (writer, state) in (0..).zip(states) {
        let (count, rev) = &mut acks[writer as usize];
        (done[writer as usize].0..*count).for_each(|n| apply(state, operation(writer, n)));
        let found = store
            .snapshot(format!("/{writer}/").as_bytes(), None, Page::default())
            .await
            .map_err(|error| error.to_string())?;
        let highest = found.kvs.iter().map(|kv| kv.mod_rev).max().unwrap_or(0);
        let found: BTreeMap<_, _> = found.kvs.into_iter().map(|kv| (kv.key, kv.val)).collect();
        if found != *state {
            // The operation under way may have happened without an answer.
            apply(state, operation(writer, *count));
            *count += 1;
            if found != *state {
                return Err(format!("writer {writer} is neither after operation {} nor after the next", *count - 2));
            }
        } else if highest > *rev && *rev > newest {
            return Err(format!("writer {writer}: revision {highest} found, {rev} acknowledged last"));
        }
        *rev = highest.max(*rev);
    }
    let current = store.current().await.map_err(|error| error.to_string())?;
    match current > newest && acks.iter().all(|(_, rev)| *rev < current) {
        true => Ok(current),
        false => Err(format!("revision {current} does not follow {newest}")),
    }
}
