//! One binary with every fuzz target: bytes from outside go into the parsers, and what comes out has to keep its promises.
//! `FEDGATE_FUZZ_TARGET` names the target; `cargo xtask fuzz` builds this with coverage and runs each from its kept corpus.

#![no_main]

mod answer;
mod ask;
mod decode;
mod expression;
mod first;
mod page;
mod patch;
mod request;
mod routes;
mod select;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// A target: never panics on any input, whatever it thinks of it.
type Target = fn(&[u8]);

/// Every target; xtask reads the names from here by asking for an unknown one.
const TARGETS: &[(&str, Target)] = &[
    ("json", decode::json),
    ("yaml", decode::yaml),
    ("protobuf", decode::protobuf),
    ("json-patch", patch::json),
    ("merge-patch", patch::merge),
    ("strategic-merge-patch", patch::strategic),
    ("apply", patch::apply),
    ("selectors", select::selectors),
    ("request", request::request),
    ("continue", page::tokens),
    ("cel", expression::cel),
    ("jsonpath", expression::jsonpath),
    ("http-request", ask::request),
    ("http-answer", answer::answer),
    ("first-bytes", first::bytes),
    ("routes", routes::table),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FEDGATE_FUZZ_TARGET").unwrap_or_else(|_| "".to_owned());
    match TARGETS.iter().find(|(name, _)| *name == wanted) {
        Some((_, target)) => *target,
        None => {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("FEDGATE_FUZZ_TARGET is {wanted:?}; there are: {}", names.join(" "));
            std::process::exit(2);
        }
    }
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
