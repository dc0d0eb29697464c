//! Calls that are not calls: `has`, the loops and the optional mappers, rewritten while parsing.
//!
//! Which macros there are follows Kubernetes' environment: `cel.bind` and the `math` ones are not in it.

use std::sync::Arc;

use super::ast::{Call, Comprehension, Element, Expr, Id, Kind, Literal};
use super::parse::Parser;

/// The name of the value that a loop builds up; it cannot be written.
pub(crate) const ACCUMULATOR: &str = "@result";
/// The loop variable of what is no loop but a binding.
pub(crate) const UNUSED: &str = "#unused";
/// Nodes up to which parts of an expression are copied: a chain of mappers doubles with each.
const COPIED_MAX: usize = 10_000;
const SORT_INPUT: &str = "@__sortBy_input__";

/// What became of a call.
pub(crate) enum Expanded {
    Call(Call),
    Tree(Expr),
    /// A macro with arguments that it cannot take: where and why.
    Wrong(Option<u32>, String),
}

/// Makes nodes that all stand where the macro stood.
struct Maker<'p, 'i> {
    parser: &'p mut Parser<'i>,
    offset: u32,
}

type Made = Result<Expr, (Id, String)>;

#[derive(Clone, Copy)]
enum Quantifier {
    All,
    Exists,
    One,
}

/// Rewrites a call, if it is a macro.
pub(crate) fn expand(parser: &mut Parser<'_>, offset: u32, call: Call) -> Expanded {
    let mut make = Maker { parser, offset };
    let receiver = call.target.is_some();
    let made = match (&*call.function, receiver, call.args.len()) {
        ("has", false, 1) => make.has(call),
        ("all", true, 2 | 3) => make.quantifier(call, Quantifier::All),
        ("exists", true, 2 | 3) => make.quantifier(call, Quantifier::Exists),
        ("exists_one", true, 2 | 3) | ("existsOne", true, 3) => make.quantifier(call, Quantifier::One),
        ("map", true, 2 | 3) => make.map(call),
        ("filter", true, 2) => make.filter(call),
        ("transformList", true, 3 | 4) => make.transform_list(call),
        ("transformMap", true, 3 | 4) => make.transform_map(call, true),
        ("transformMapEntry", true, 3 | 4) => make.transform_map(call, false),
        ("optMap", true, 2) => make.opt_map(call, true),
        ("optFlatMap", true, 2) => make.opt_map(call, false),
        ("sortBy", true, 2) => make.sort_by(call),
        _ => return Expanded::Call(call),
    };
    match made {
        Ok(expr) => Expanded::Tree(expr),
        Err((id, message)) => Expanded::Wrong(parser.issues.offsets.get(id as usize).copied().flatten(), message),
    }
}

/// The target and the arguments of a receiver macro.
fn parts(call: Call) -> (Expr, Vec<Expr>) {
    (call.target.expect("receiver macros have a target"), call.args)
}

fn variable(arg: &Expr, complaint: &str) -> Result<Arc<str>, (Id, String)> {
    match arg.as_ident() {
        Some(name) if &**name == "__result__" || &**name == ACCUMULATOR => {
            Err((arg.id, "iteration variable overwrites accumulator variable".to_owned()))
        }
        Some(name) => Ok(name.clone()),
        None => Err((arg.id, complaint.to_owned())),
    }
}

/// The names of both variables of a two-variable loop.
fn variables(args: &[Expr]) -> Result<(Arc<str>, Arc<str>), (Id, String)> {
    let first = variable(&args[0], "argument must be a simple name")?;
    let second = variable(&args[1], "argument must be a simple name")?;
    if first == second {
        return Err((args[1].id, format!("duplicate variable name: {first}")));
    }
    Ok((first, second))
}

impl Maker<'_, '_> {
    fn node(&mut self, kind: Kind) -> Expr {
        let id = self.parser.id(Some(self.offset));
        Expr { id, kind }
    }

    fn literal(&mut self, literal: Literal) -> Expr {
        self.node(Kind::Literal(literal))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { function: function.into(), target: None, args })))
    }

    fn member(&mut self, target: Expr, function: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { function: function.into(), target: Some(target), args })))
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        let elements = elements.into_iter().map(|value| Element { value, optional: false }).collect();
        self.node(Kind::List(elements))
    }

    /// A copy with numbers of its own.
    fn copy(&mut self, of: &Expr) -> Expr {
        let mut copy = of.clone();
        renumber(&mut copy, self.parser);
        copy
    }

    fn has(&mut self, call: Call) -> Made {
        let arg = call.args.into_iter().next().expect("has takes one argument");
        match arg.kind {
            Kind::Select { operand, field, test: false } => Ok(self.node(Kind::Select { operand, field, test: true })),
            _ => Err((arg.id, "invalid argument to has() macro".to_owned())),
        }
    }

    fn quantifier(&mut self, call: Call, which: Quantifier) -> Made {
        let (range, mut args) = parts(call);
        let (var, second) = match args.len() {
            2 => (variable(&args[0], "argument must be a simple name")?, None),
            _ => variables(&args).map(|(first, second)| (first, Some(second)))?,
        };
        let predicate = args.pop().expect("it has at least two arguments");
        let accumulator = self.accumulator();
        let (init, condition, step) = match which {
            Quantifier::All => {
                let init = self.literal(Literal::Bool(true));
                let condition = self.call("@not_strictly_false", vec![accumulator]);
                let so_far = self.accumulator();
                (init, condition, self.call("_&&_", vec![so_far, predicate]))
            }
            Quantifier::Exists => {
                let init = self.literal(Literal::Bool(false));
                let not = self.call("!_", vec![accumulator]);
                let condition = self.call("@not_strictly_false", vec![not]);
                let so_far = self.accumulator();
                (init, condition, self.call("_||_", vec![so_far, predicate]))
            }
            Quantifier::One => {
                let init = self.literal(Literal::Int(0));
                let condition = self.literal(Literal::Bool(true));
                let one = self.literal(Literal::Int(1));
                let more = self.call("_+_", vec![accumulator, one]);
                let same = self.accumulator();
                (init, condition, self.call("_?_:_", vec![predicate, more, same]))
            }
        };
        let mut result = self.accumulator();
        if matches!(which, Quantifier::One) {
            let one = self.literal(Literal::Int(1));
            result = self.call("_==_", vec![result, one]);
        }
        Ok(self.fold(Comprehension {
            range,
            var,
            second,
            accumulator: ACCUMULATOR.into(),
            init,
            condition,
            step,
            result,
        }))
    }

    fn fold(&mut self, fold: Comprehension) -> Expr {
        self.node(Kind::Comprehension(Box::new(fold)))
    }

    /// A loop over everything that starts with `init` and changes it by `step`, where `filter` holds.
    fn build(&mut self, range: Expr, vars: (Arc<str>, Option<Arc<str>>), built: (Expr, Option<Expr>, Expr)) -> Expr {
        let (init, filter, mut step) = built;
        if let Some(filter) = filter {
            let same = self.accumulator();
            step = self.call("_?_:_", vec![filter, step, same]);
        }
        let condition = self.literal(Literal::Bool(true));
        let result = self.accumulator();
        let (var, second) = vars;
        self.fold(Comprehension { range, var, second, accumulator: ACCUMULATOR.into(), init, condition, step, result })
    }

    fn appended(&mut self, element: Expr) -> Expr {
        let so_far = self.accumulator();
        let one = self.list(vec![element]);
        self.call("_+_", vec![so_far, one])
    }

    fn map(&mut self, call: Call) -> Made {
        let (range, mut args) = parts(call);
        let var = variable(&args[0], "argument is not an identifier")?;
        let element = args.pop().expect("it has at least two arguments");
        let filter = (args.len() == 2).then(|| args.pop().expect("its length is two"));
        let init = self.list(Vec::new());
        let step = self.appended(element);
        Ok(self.build(range, (var, None), (init, filter, step)))
    }

    fn filter(&mut self, call: Call) -> Made {
        let (range, mut args) = parts(call);
        let var = variable(&args[0], "argument is not an identifier")?;
        let filter = args.pop().expect("it has two arguments");
        let element = args.pop().expect("it has two arguments");
        let init = self.list(Vec::new());
        let step = self.appended(element);
        Ok(self.build(range, (var, None), (init, Some(filter), step)))
    }

    fn transform_list(&mut self, call: Call) -> Made {
        let (range, mut args) = parts(call);
        let (var, second) = variables(&args)?;
        let element = args.pop().expect("it has at least three arguments");
        let filter = (args.len() == 3).then(|| args.pop().expect("its length is three"));
        let init = self.list(Vec::new());
        let step = self.appended(element);
        Ok(self.build(range, (var, Some(second)), (init, filter, step)))
    }

    fn transform_map(&mut self, call: Call, keyed: bool) -> Made {
        let (range, mut args) = parts(call);
        let (var, second) = variables(&args)?;
        let value = args.pop().expect("it has at least three arguments");
        let filter = (args.len() == 3).then(|| args.pop().expect("its length is three"));
        let init = self.node(Kind::Map(Vec::new()));
        let so_far = self.accumulator();
        let mut inserted = vec![so_far];
        if keyed {
            inserted.push(self.ident(&var));
        }
        inserted.push(value);
        let step = self.call("cel.@mapInsert", inserted);
        Ok(self.build(range, (var, Some(second)), (init, filter, step)))
    }

    /// A binding of a name to a value, as a loop that never runs.
    fn bind(&mut self, name: &Arc<str>, value: Expr, body: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(false));
        let step = self.ident(name);
        self.fold(Comprehension {
            range,
            var: UNUSED.into(),
            second: None,
            accumulator: name.clone(),
            init: value,
            condition,
            step,
            result: body,
        })
    }

    fn opt_map(&mut self, call: Call, wrap: bool) -> Made {
        let name = call.function.clone();
        let (target, mut args) = parts(call);
        let var = match args[0].as_ident() {
            Some(var) => var.clone(),
            None => return Err((args[0].id, format!("{name}() variable name must be a simple identifier"))),
        };
        let body = args.pop().expect("it has two arguments");
        // The target stands there twice, and so does what stands twice in it.
        if self.parser.issues.offsets.len() > COPIED_MAX {
            return Err((
                target.id,
                format!("expression is too complex: {name}() within more than {COPIED_MAX} nodes"),
            ));
        }
        let copy = self.copy(&target);
        let has = self.member(target, "hasValue", Vec::new());
        let value = self.member(copy, "value", Vec::new());
        let mut mapped = self.bind(&var, value, body);
        if wrap {
            mapped = self.call("optional.of", vec![mapped]);
        }
        let none = self.call("optional.none", Vec::new());
        Ok(self.call("_?_:_", vec![has, mapped, none]))
    }

    fn sort_by(&mut self, call: Call) -> Made {
        let (target, args) = parts(call);
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
            let message = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err((target.id, message.to_owned()));
        }
        let input = self.ident(SORT_INPUT);
        let keys = self.map(Call { function: "map".into(), target: Some(input), args })?;
        let input = self.ident(SORT_INPUT);
        let sorted = self.member(input, "@sortByAssociatedKeys", vec![keys]);
        Ok(self.bind(&SORT_INPUT.into(), target, sorted))
    }
}

/// Gives every node of a copied tree a number of its own.
fn renumber(expr: &mut Expr, parser: &mut Parser<'_>) {
    let offset = parser.issues.offsets.get(expr.id as usize).copied().flatten();
    expr.id = parser.id(offset);
    match &mut expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => renumber(operand, parser),
        Kind::Call(call) => {
            call.target.iter_mut().for_each(|target| renumber(target, parser));
            call.args.iter_mut().for_each(|arg| renumber(arg, parser));
        }
        Kind::List(elements) => elements.iter_mut().for_each(|element| renumber(&mut element.value, parser)),
        Kind::Map(entries) => {
            for entry in entries {
                renumber(&mut entry.key, parser);
                renumber(&mut entry.value, parser);
            }
        }
        Kind::Struct { fields, .. } => fields.iter_mut().for_each(|field| renumber(&mut field.value, parser)),
        Kind::Comprehension(fold) => {
            let Comprehension { range, init, condition, step, result, .. } = &mut **fold;
            for part in [range, init, condition, step, result] {
                renumber(part, parser);
            }
        }
    }
}
