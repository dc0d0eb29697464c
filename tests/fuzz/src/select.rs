//! Selectors in the query.

use federation_schema::selector::{FieldSelector, LabelSelector};

pub fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(labels) = LabelSelector::parse(text) {
        let printed = labels.to_string();
        let again = LabelSelector::parse(&printed).expect("a printed selector is one");
        assert_eq!(again.to_string(), printed, "printing settles at once");
    }
    if let Ok(fields) = FieldSelector::parse(text) {
        assert!(fields.terms().len() <= text.len() + 1, "no term comes from nowhere");
    }
}
