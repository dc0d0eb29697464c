//! The house rules that a machine can hold: arrows, sizes, opening comments, names.
//!
//! Reads the sources as text and syntax; runs nothing of them.

mod arrows;
mod names;
mod sizes;
mod source;

use source::sources;

#[test]
fn arrows_run_down() {
    assert_none("an arrow that ARCHITECTURE.md does not have", &arrows::forbidden());
}

#[test]
fn files_open_with_why_they_exist() {
    let silent = sources().iter().filter(|s| !s.text.starts_with("//!")).map(|s| s.path.clone()).collect::<Vec<_>>();
    assert_none("a file that does not open with `//!`", &silent);
}

#[test]
fn files_and_functions_are_short() {
    assert_none("too long (split it, or mend the rule's list, which may only shrink)", &sizes::too_long(&sources()));
}

#[test]
fn names_say_what_they_mean() {
    assert_none("a banned name", &names::banned(&sources()));
}

#[test]
fn there_is_no_mod_rs_and_no_glob_import() {
    let mut found = Vec::new();
    for source in sources() {
        if source.path.ends_with("/mod.rs") {
            found.push(source.path.clone());
        }
        let globs = source.text.lines().enumerate().filter(|(_, line)| {
            let line = line.trim_start();
            (line.starts_with("use ") || line.starts_with("pub use ")) && line.contains("::*")
        });
        found.extend(globs.map(|(n, line)| format!("{}:{}: {line}", source.path, n + 1)));
    }
    assert_none("a mod.rs or a glob import", &found);
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}
