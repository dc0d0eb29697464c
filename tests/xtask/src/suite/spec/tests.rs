//! The map of the protocol: how it is read, and that this repository keeps it.

use super::{Claim, Rule, STATEMENTS, Spec, claims_of, tables};
use crate::paths;

#[test]
fn both_tables_are_read_and_an_id_is_there_once() {
    let statement = "# P\n\n## Served\n\n| id | rule |\n|---|---|\n| N1 | One. |\n\n## Not served\n\n| what | why |\n|---|---|\n| logs | None. |\n";
    let (rules, refused) = tables(statement).expect("two tables");
    assert_eq!(rules, [Rule { id: "N1".to_owned(), text: "One.".to_owned() }]);
    assert_eq!(refused, [Rule { id: "logs".to_owned(), text: "None.".to_owned() }]);
    assert!(tables("| N1 | One. |\n").is_err(), "the second table is missing");
    assert!(tables("| N1 | One. |\n| N1 | Two. |\n\n## Not served\n").is_err(), "one id, two rules");
}

#[test]
fn a_mark_belongs_to_the_function_below_it() {
    let mark = "/// Protocol: ";
    let text = format!(
        "//! x\n\n{mark}N1, N4\n#[tokio::test]\nasync fn reads() {{}}\n\n  {mark}W1\n  #[test]\n  fn told() {{}}\n"
    );
    let claim = |id: &str, test: &str| Claim { id: id.to_owned(), test: test.to_owned() };
    assert_eq!(
        claims_of("a.rs", &text, mark),
        [claim("N1", "a.rs reads"), claim("N4", "a.rs reads"), claim("W1", "a.rs told")]
    );
    assert_eq!(claims_of("a.sh", "# Protocol: P1\nkubectl patch\n", "# Protocol: "), [claim("P1", "a.sh")]);
}

#[test]
fn every_claim_is_about_a_line_of_its_statement() {
    for statement in STATEMENTS {
        let spec = Spec::read(&paths::repository(), statement).expect("the statement and the sources");
        assert_eq!(spec.unknown(), Vec::<String>::new());
    }
}
