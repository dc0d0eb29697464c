//! How long files and functions may be; tests do not count.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::source::{Source, is_test};

/// Lines of a file without its tests.
const FILE_MAX: usize = 600;
/// Lines of a function, from its name to its closing brace.
const FUNCTION_MAX: usize = 70;
/// Parameters of a function, the receiver not counted.
const PARAMETERS_MAX: usize = 5;

/// What is longer than allowed. This list may only shrink.
const EXCEPTIONS: &[&str] = &[];

/// Files and functions above the limits.
pub fn too_long(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|s| !is_test(&s.path)) {
        let file = syn::parse_file(&source.text).unwrap_or_else(|e| panic!("{}: {e}", source.path));
        let mut walk = Walk { path: &source.path, found: Vec::new(), test_lines: 0 };
        walk.visit_file(&file);
        let lines = source.text.lines().count() - walk.test_lines;
        if lines > FILE_MAX {
            walk.found.push(format!("{}: {lines} lines", source.path));
        }
        found.extend(walk.found.into_iter().filter(|f| !EXCEPTIONS.iter().any(|known| f.starts_with(known))));
    }
    found
}

struct Walk<'a> {
    path: &'a str,
    found: Vec<String>,
    test_lines: usize,
}

impl Walk<'_> {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        let parameters = signature.inputs.iter().filter(|i| matches!(i, syn::FnArg::Typed(_))).count();
        if lines > FUNCTION_MAX {
            self.found.push(format!("{}: fn {} has {lines} lines", self.path, signature.ident));
        }
        if parameters > PARAMETERS_MAX {
            self.found.push(format!("{}: fn {} has {parameters} parameters", self.path, signature.ident));
        }
    }
}

fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .any(|a| a.path().is_ident("cfg") && a.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_cfg_test(&item.attrs) {
            let span = item.span();
            self.test_lines += span.end().line - span.start().line + 1;
            return;
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_cfg_test(&item.attrs) {
            return;
        }
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}
