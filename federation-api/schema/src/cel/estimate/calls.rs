//! What each function costs, by the sizes of its arguments.

use super::super::ast::{Expr, Kind, Literal};
use super::super::cost::{AUTHORIZE, LIST, PATTERN, STRUCT, TRAVERSAL};
use super::super::types::Type;
use super::{Argument, CostRange, Coster, Size};

/// The longest named format.
const MAX_FORMAT: u64 = 64;
const FORMAT_PATTERN: f64 = 128.0;

/// Functions whose cost depends on nothing.
const FLAT: &[&str] = &[
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];

/// A cost, and the size of the result where one is known.
type Estimate = (CostRange, Option<Size>);

fn one() -> Estimate {
    (CostRange::fixed(1), None)
}

impl Coster<'_> {
    /// The cost of a call with one of its overloads, arguments included.
    pub(super) fn function(
        &mut self,
        expr: &Expr,
        (function, overload): (&str, &str),
        target: Option<&Argument<'_>>,
        (args, costs): (&[Argument<'_>], &[CostRange]),
    ) -> Estimate {
        let sum = costs.iter().fold(CostRange::fixed(0), |sum, cost| sum.add(*cost));
        let own = self
            .extension(overload, target, args)
            .or_else(|| self.kubernetes(function, overload, target, args))
            .or_else(|| self.sized(overload, target, args));
        if let Some((cost, size)) = own {
            return (cost.add(sum), size);
        }
        match overload {
            "logical_and" | "logical_or" if costs.len() == 2 => {
                (CostRange { min: costs[0].min, max: costs[0].add(costs[1]).max }, None)
            }
            "conditional" if costs.len() == 3 => {
                let size = known(&args[1]).union(known(&args[2]));
                let entries = (args[1].expr, args[2].expr);
                if let (Some(yes), Some(no)) = entries
                    && let (Some(yes), Some(no)) = (self.entries_of(yes), self.entries_of(no))
                {
                    self.entries.insert(expr.id, yes.union(no));
                }
                (costs[0].add(costs[1].union(costs[2])), Some(size))
            }
            "add_string" | "add_bytes" | "add_list" if args.len() == 2 => {
                let size = known(&args[0]).add(known(&args[1]));
                if let (Some(left), Some(right)) = (args[0].expr, args[1].expr)
                    && let (Some(left), Some(right)) = (self.entries_of(left), self.entries_of(right))
                {
                    self.entries.insert(expr.id, left.union(right));
                }
                let own = if overload == "add_list" { CostRange::fixed(1) } else { size.scale(TRAVERSAL) };
                (own.add(sum), Some(size))
            }
            _ => (CostRange::fixed(1).add(sum), None),
        }
    }

    /// The size of an argument as Kubernetes' functions see it.
    fn estimated(&self, argument: &Argument<'_>) -> Size {
        argument.size.or_else(|| self.declared_size(&argument.path)).unwrap_or(Size::UNKNOWN)
    }

    /// The elements of a list, as an argument of their own.
    fn element(&self, list: &Argument<'_>) -> Option<Argument<'static>> {
        let ty = match &list.ty {
            Type::List(element) => (**element).clone(),
            Type::Map(key, _) => (**key).clone(),
            _ => return None,
        };
        let mut path = list.path.clone();
        if !path.is_empty() {
            path.push("@items".into());
        }
        Some(Argument { expr: None, ty, path, size: None })
    }

    /// Kubernetes' own functions and those of the older extensions.
    fn kubernetes(
        &self,
        function: &str,
        overload: &str,
        target: Option<&Argument<'_>>,
        args: &[Argument<'_>],
    ) -> Option<Estimate> {
        let size = |at: usize| args.get(at).map(|arg| self.estimated(arg));
        Some(match function {
            "check" => (CostRange::fixed(AUTHORIZE), None),
            _ if FLAT.contains(&function) => one(),
            "fieldSelector" | "labelSelector" if args.len() == 1 => {
                let length = size(0)?;
                let requirements = length.scale(0.5).scale((LIST + STRUCT) as f64);
                (CostRange::fixed(LIST).add(length.scale(TRAVERSAL)).add(requirements), None)
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => {
                self.traversed(function, target?)
            }
            "url" | "jsonpatch.escapeKey" if args.len() == 1 => (size(0)?.scale(TRAVERSAL), size(0)),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                let size = self.estimated(target?);
                (size.scale(TRAVERSAL), Some(size))
            }
            "replace" if args.len() >= 2 => {
                let own = self.estimated(target?);
                (own.scale(2.0 * TRAVERSAL), Some(replaced(own, size(0)?, size(1)?)))
            }
            "split" => self.split(target?, args),
            "join" => self.joined(target?, args),
            "find" | "findAll" if !args.is_empty() => {
                let own = self.estimated(target?);
                let text = own.add(Size::fixed(1)).scale(TRAVERSAL);
                (text.multiply(size(0)?.scale(PATTERN)), Some(Size { min: 0, max: own.max }))
            }
            "ip" if overload == "cidr_ip" => one(),
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                (size(0)?.scale(TRAVERSAL), None)
            }
            "ip.isCanonical" => (size(0)?.scale(2.0 * TRAVERSAL), None),
            "containsIP" | "containsCIDR" => self.contains(function, overload, args),
            "validate" => (size(0)?.scale(TRAVERSAL).scale(FORMAT_PATTERN * PATTERN), None),
            "_==_" if args.len() == 2 && args[0].ty == args[1].ty => return same_type(args),
            _ => return None,
        })
    }

    /// Whether a network holds an address or another network.
    fn contains(&self, function: &str, overload: &str, args: &[Argument<'_>]) -> Estimate {
        let address = Size { min: 4, max: 16 };
        let mut cost = address.add(address).scale(TRAVERSAL);
        if function == "containsCIDR" {
            cost = cost.add(address.scale(TRAVERSAL)).add(CostRange::fixed(1));
        }
        if let Some(text) = args.first().filter(|_| overload.ends_with("_string")) {
            cost = cost.add(self.estimated(text).scale(TRAVERSAL));
        }
        (cost, None)
    }

    fn traversed(&self, function: &str, target: &Argument<'_>) -> Estimate {
        let size = self.estimated(target);
        let mut each = CostRange::fixed(1);
        match self.element(target) {
            Some(element) => {
                if matches!(element.ty, Type::String | Type::Bytes) {
                    each = each.add(self.estimated(&element).scale(TRAVERSAL));
                }
                (size.multiply(each), None)
            }
            None if function == "includes" => (size.multiply(each), None),
            None => (size.scale(TRAVERSAL), None),
        }
    }

    fn split(&self, target: &Argument<'_>, args: &[Argument<'_>]) -> Estimate {
        let size = self.estimated(target);
        let most = args.get(1).and_then(literal_int).map_or(size.max, |most| most as u64);
        (size.scale(2.0 * TRAVERSAL), Some(Size { min: 0, max: most }))
    }

    fn joined(&self, target: &Argument<'_>, args: &[Argument<'_>]) -> Estimate {
        let count = self.estimated(target);
        let mut size = match self.element(target) {
            Some(element) => count.multiply(self.estimated(&element)),
            None => Size::fixed(0),
        };
        if let Some(separator) = args.first() {
            let between = Size { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
            size = size.add(self.estimated(separator).multiply(between));
        }
        (size.scale(TRAVERSAL), Some(size))
    }

    /// Extensions that bring costs of their own.
    fn extension(&self, overload: &str, target: Option<&Argument<'_>>, args: &[Argument<'_>]) -> Option<Estimate> {
        let allocated =
            |factor: f64, size: Size| Some((size.scale(factor).add(CostRange::fixed(1 + LIST)), Some(size)));
        let bounded = |at: usize, or: u64| args.get(at).map_or(or, |arg| literal_uint(arg, or));
        match overload {
            "list_slice" => {
                let size = self.estimated(target?);
                let (start, end) = (bounded(0, 0), bounded(1, size.max));
                allocated(1.0, Size::fixed(end.wrapping_sub(start)))
            }
            "lists_range" => allocated(1.0, Size::fixed(bounded(0, u64::MAX))),
            "list_reverse" => allocated(1.0, self.estimated(target?)),
            "list_flatten" => allocated(1.0, self.estimated(target?)),
            "list_flatten_int" => allocated(bounded(0, u64::MAX) as f64, self.estimated(target?)),
            "list_distinct" => {
                let size = self.estimated(target?);
                allocated(2.0, size.multiply(size))
            }
            "list_sets_contains_list" | "list_sets_intersects_list" | "list_sets_equivalent_list" => {
                let factor = if overload == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
                let size = self.estimated(args.first()?).multiply(self.estimated(args.get(1)?));
                Some((size.scale(factor).add(CostRange::fixed(1)), None))
            }
            _ if overload.ends_with("_sort") || overload.ends_with("_sortByAssociatedKeys") => {
                let keys = if overload.ends_with("_sort") { target? } else { args.first()? };
                let size = self.estimated(keys);
                let texts = overload.starts_with("list_string_") || overload.starts_with("list_bytes_");
                allocated(if texts { 2.0 + TRAVERSAL } else { 2.0 }, size.multiply(size))
            }
            _ => None,
        }
    }

    /// CEL's own functions whose cost depends on sizes.
    fn sized(&self, overload: &str, target: Option<&Argument<'_>>, args: &[Argument<'_>]) -> Option<Estimate> {
        let size = |at: usize| args.get(at).map(known);
        Some(match overload {
            "string_format" => (known(target?).scale(TRAVERSAL), None),
            "string_to_bytes" => {
                let own = size(0)?;
                (own.scale(TRAVERSAL), Some(Size { min: own.min, max: own.max.wrapping_mul(4) }))
            }
            "bytes_to_string" => {
                let own = size(0)?;
                (own.scale(TRAVERSAL), Some(Size { min: own.min / 4, max: own.max }))
            }
            "strings_quote" => {
                let own = size(0)?;
                let size = Size { min: own.min.wrapping_add(2), max: own.max.wrapping_mul(2).wrapping_add(2) };
                (own.scale(TRAVERSAL), Some(size))
            }
            "starts_with_string" | "ends_with_string" => (size(0)?.scale(TRAVERSAL), None),
            "in_list" => (size(1)?, None),
            "matches" | "matches_string" => {
                let (text, pattern) = match target {
                    Some(target) => (known(target), size(0)?),
                    None => (size(0)?, size(1)?),
                };
                let text = text.add(Size::fixed(1)).scale(TRAVERSAL);
                (text.multiply(pattern.scale(PATTERN)), None)
            }
            "contains_string" => (known(target?).scale(TRAVERSAL).multiply(size(0)?.scale(TRAVERSAL)), None),
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes"
            | "equals"
            | "not_equals" => {
                let max = size(0)?.max.min(size(1)?.max);
                (Size { min: u64::from(max > 0), max }.scale(TRAVERSAL), None)
            }
            _ => return None,
        })
    }
}

/// The size that is known from the expression.
fn known(argument: &Argument<'_>) -> Size {
    argument.size.unwrap_or(Size::UNKNOWN)
}

fn literal_int(argument: &Argument<'_>) -> Option<i64> {
    match argument.expr.map(|expr| &expr.kind) {
        Some(Kind::Literal(Literal::Int(value))) => Some(*value),
        _ => None,
    }
}

fn literal_uint(argument: &Argument<'_>, or: u64) -> u64 {
    literal_int(argument).map_or(or, |value| value.max(0) as u64)
}

/// Equality of two values of a library's type.
fn same_type(args: &[Argument<'_>]) -> Option<Estimate> {
    match &args[0].ty {
        Type::Opaque(name, _) if matches!(&**name, "net.IP" | "net.CIDR") => Some(one()),
        Type::Object(name) => match &**name {
            "kubernetes.NamedFormat" => Some((CostRange { min: 1, max: MAX_FORMAT }.scale(TRAVERSAL), None)),
            "kubernetes.URL" => {
                let max = args[1].size.map_or(1, |size| size.max);
                Some((CostRange { min: 1, max }.scale(TRAVERSAL), None))
            }
            "kubernetes.Quantity" | "kubernetes.Semver" => Some(one()),
            name if name.starts_with("kubernetes.authorization.") => Some(one()),
            _ => None,
        },
        _ => None,
    }
}

/// The size of a text after `replace`.
fn replaced(own: Size, old: Size, new: Size) -> Size {
    let ratio = |size: u64, by: u64| (size as f64 / by as f64).ceil() as u64;
    let (mut count, mut kept) = (Size::fixed(0), Size::fixed(0));
    if old.min == 0 {
        count.max = own.max.saturating_add(1);
        kept.max = own.max;
    } else if new.max <= old.min {
        kept.max = own.max;
    } else {
        count.max = ratio(own.max, old.min);
    }
    if old.max == 0 {
        count.min = own.min.saturating_add(1);
        kept.min = own.min;
    } else if old.max <= new.min {
        kept.min = own.min;
    } else {
        count.min = ratio(own.min, old.max);
    }
    count.multiply(new).add(kept)
}
