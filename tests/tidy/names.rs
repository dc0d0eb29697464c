//! Words that say nothing, kept out of the names of types, functions and variables.

use syn::visit::{self, Visit};

use crate::source::Source;

/// Parts of type names.
const WORDS: &[&str] = &["Manager", "Helper", "Util", "Handler2", "Data", "Info"];
/// Type names with such a part that are terms of the field.
const TERMS: &[&str] = &["RequestInfo", "UserInfo"];
/// Beginnings of function names.
const PREFIXES: &[&str] = &["process_", "do_"];
/// Whole names of variables, fields and parameters: of which cluster, of what a client?
const BARE: &[&str] = &["client"];

/// Every use of a banned word as a name.
pub fn banned(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let file = syn::parse_file(&source.text).unwrap_or_else(|e| panic!("{}: {e}", source.path));
        let mut walk = Walk { path: &source.path, found: Vec::new() };
        walk.visit_file(&file);
        found.extend(walk.found);
    }
    found
}

struct Walk<'a> {
    path: &'a str,
    found: Vec<String>,
}

impl Walk<'_> {
    fn ty(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if WORDS.iter().any(|word| has_word(&text, word)) && !TERMS.contains(&text.as_str()) {
            self.found.push(format!("{}:{}: {text}", self.path, name.span().start().line));
        }
    }

    fn function(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            self.found.push(format!("{}:{}: fn {text}", self.path, name.span().start().line));
        }
    }

    fn variable(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if BARE.contains(&text.as_str()) {
            self.found.push(format!("{}:{}: a bare `{text}`", self.path, name.span().start().line));
        }
    }
}

/// Whether `word` stands in a CamelCase name as a word of its own.
fn has_word(name: &str, word: &str) -> bool {
    name.match_indices(word).any(|(at, _)| name[at + word.len()..].chars().next().is_none_or(|c| !c.is_lowercase()))
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.ty(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.ty(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.ty(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_pat_ident(&mut self, item: &'ast syn::PatIdent) {
        self.variable(&item.ident);
        visit::visit_pat_ident(self, item);
    }

    fn visit_field(&mut self, item: &'ast syn::Field) {
        if let Some(name) = &item.ident {
            self.variable(name);
        }
        visit::visit_field(self, item);
    }
}
