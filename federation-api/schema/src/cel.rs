//! The Common Expression Language with Kubernetes' libraries: compile, estimate, evaluate within a budget.
//!
//! [`Env`] says what an expression may refer to, [`Env::compile`] makes a [`Program`] of it, whose errors, costs and
//! results are those of Kubernetes 1.37. Values borrow the JSON that they come from. Pure: no clock, no I/O; questions
//! to an authorizer go through a trait. It knows no custom resources and no admission.

mod ast;
mod authorizer;
mod check;
mod cost;
mod declared;
mod env;
mod escape;
mod estimate;
mod eval;
mod lex;
mod library;
mod macros;
mod overloads;
mod parse;
mod plan;
mod program;
mod source;
mod types;
mod validators;
mod value;

pub use authorizer::{Authorizer, AuthorizerValue, Decision, Question};
pub use declared::{Decl, DeclField, DeclKind, ListEquality, MAX_REQUEST_BYTES};
pub use env::Env;
pub(crate) use escape::is_reserved;
pub use escape::{escape, unescape};
pub use estimate::CostRange;
pub use eval::Bindings;
pub use program::{Evaluation, PER_CALL_LIMIT, Program};
pub use source::{CompileError, Issue};
pub use types::Type;
pub use value::{EvalError, Key, List, Map, Struct, Text, Timestamp, Value, parse_loose_duration};

#[cfg(test)]
mod tests;
