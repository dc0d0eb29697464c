//! Calls: which function a name means, and which of its overloads fit.

use std::collections::HashMap;

use super::super::ast::{Call, Expr, Id, Kind};
use super::super::overloads::Overload;
use super::super::types::Type;
use super::Checker;

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call(call) = &mut expr.kind else { return };
        if &*call.function == "_?._" {
            self.optional_select(id, call);
            return;
        }
        for arg in &mut call.args {
            self.check(arg);
        }
        let Some(target) = &mut call.target else {
            let name = call.function.strip_prefix('.').unwrap_or(&call.function);
            let Some((known, overloads)) = self.env.overloads(name) else {
                let name = call.function.clone();
                self.undeclared(id, &name);
                return;
            };
            call.function = known.into();
            self.resolve(id, call, overloads);
            return;
        };
        // `a.b.c()` calls the function `a.b.c`, if there is one.
        if let Some(prefix) = target.qualified_name()
            && let Some((known, overloads)) = self.env.overloads(&format!("{prefix}.{}", call.function))
        {
            call.function = known.into();
            call.target = None;
            self.resolve(id, call, overloads);
            return;
        }
        self.check(target);
        match self.env.overloads(&call.function) {
            Some((_, overloads)) => self.resolve(id, call, overloads),
            None => {
                let name = call.function.clone();
                self.undeclared(id, &name);
            }
        }
    }

    fn optional_select(&mut self, id: Id, call: &mut Call) {
        let field = call.args.get(1).and_then(Expr::as_string).unwrap_or("").to_owned();
        let Some(operand) = call.args.first_mut() else { return };
        let result = self.field(id, operand, &field, true);
        let result = self.mapping.substitute(&result, false);
        self.set(id, result);
        let field = call.args[1].id;
        self.set(field, Type::String);
        self.overloads.insert(id, vec!["select_optional_field"]);
    }

    /// Chooses the overloads that fit the arguments, and the type that they lead to.
    fn resolve(&mut self, id: Id, call: &Call, overloads: &[Overload]) {
        let member = call.target.is_some();
        let ids: Vec<Id> = call.target.iter().chain(&call.args).map(|arg| arg.id).collect();
        let args: Vec<Type> = ids.iter().map(|id| self.get(*id)).collect();
        if matches!(&*call.function, "_&&_" | "_||_") {
            self.logical(id, &ids, overloads);
            return;
        }
        let (mut chosen, mut result): (Vec<&'static str>, Option<Type>) = (Vec::new(), None);
        for overload in overloads.iter().filter(|overload| overload.member == member) {
            let mut params = HashMap::new();
            let wanted: Vec<Type> =
                overload.args.iter().map(|arg| self.mapping.instantiate(arg, &mut params)).collect();
            if !self.mapping.assignable_all(&args, &wanted) {
                continue;
            }
            chosen.push(overload.id);
            let own = self.mapping.instantiate(&overload.result, &mut params);
            let own = self.mapping.substitute(&own, false);
            result = Some(match result {
                None => own,
                Some(before) if before.is_dyn() || before == own => before,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(result) => {
                self.set(id, result);
                self.overloads.insert(id, chosen);
            }
            None => self.no_overload(id, call, &args),
        }
    }

    fn logical(&mut self, id: Id, args: &[Id], overloads: &[Overload]) {
        let mut wrong = false;
        for arg in args {
            let ty = self.get(*arg);
            if !self.mapping.assignable(&ty, &Type::Bool) {
                self.mismatch(*arg, &Type::Bool, &ty);
                wrong = true;
            }
        }
        self.set(id, if wrong { Type::Error } else { Type::Bool });
        self.overloads.insert(id, overloads.iter().map(|overload| overload.id).collect());
    }

    fn no_overload(&mut self, id: Id, call: &Call, args: &[Type]) {
        let mut shown: Vec<String> = args.iter().map(|arg| self.mapping.substitute(arg, true).to_string()).collect();
        let target = match call.target {
            Some(_) => format!("{}.", shown.remove(0)),
            None => String::new(),
        };
        let message =
            format!("found no matching overload for '{}' applied to '{target}({})'", call.function, shown.join(", "));
        self.issues.report(id, message);
        self.set(id, Type::Error);
    }
}
