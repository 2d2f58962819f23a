//! How much an expression may cost: CEL has no bound of its own, and all expressions share one thread.
//!
//! Judged before evaluating, from the values that the expression names and from what it calls. Work: each nested loop goes
//! through all items. Memory: `replace`, `join` and `format` can put one value into another at every place, and so can a loop
//! that names values beside its items.

use super::Scope;
use super::refs::References;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use serde_json::Value;

/// Most turns of the innermost loop.
const MAX_TURNS: u64 = 1_000_000;
/// Most bytes that a result could grow to.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What an expression does that multiplies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    /// What the expression names, the root first.
    pub(crate) paths: Vec<Vec<String>>,
    loops: u32,
    growing: u32,
    length: u64,
}

impl Budget {
    /// Looks at a compiled expression. `text` is its source.
    pub(crate) fn new(root: &IdedExpr, references: &References, text: &str) -> Self {
        let paths = references.paths.iter().map(|path| path.names.clone()).collect();
        Self { paths, loops: depth(root), growing: growth(root), length: text.len() as u64 }
    }

    /// Whether evaluating stays within bounds.
    pub(crate) fn allows(&self, scope: &Scope) -> Result<(), String> {
        if self.loops == 0 && self.growing == 0 {
            return Ok(());
        }
        let mut measure = Measure { longest: self.length, bytes: self.length };
        for path in &self.paths {
            let value = path.iter().skip(1).try_fold(scope.get(&path[0]), |value, name| Some(value?.get(name)));
            measure.add(value.flatten().or_else(|| scope.get(&path[0])));
        }
        if measure.longest.saturating_pow(self.loops) > MAX_TURNS {
            return Err(format!("its loops would go through {} items {} deep", measure.longest, self.loops));
        }
        if measure.longest.saturating_pow(self.growing).saturating_mul(measure.bytes) > MAX_BYTES {
            return Err(format!(
                "its values are too large ({} bytes) to be put into one another so often",
                measure.bytes
            ));
        }
        Ok(())
    }
}

struct Measure {
    longest: u64,
    bytes: u64,
}

impl Measure {
    fn add(&mut self, value: Option<&Value>) {
        let (length, inner): (usize, Vec<&Value>) = match value {
            Some(Value::String(text)) => (text.len(), Vec::new()),
            Some(Value::Array(items)) => (items.len(), items.iter().collect()),
            Some(Value::Object(fields)) => (fields.len(), fields.values().collect()),
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => (0, Vec::new()),
        };
        self.longest = self.longest.max(length as u64);
        self.bytes = self.bytes.saturating_add(16 + length as u64);
        inner.into_iter().for_each(|value| self.add(Some(value)));
    }
}

/// How deep loops are nested: in one another, or one over what another gives.
fn depth(node: &IdedExpr) -> u32 {
    match &node.expr {
        Expr::Comprehension(loops) => {
            let body = [&loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result];
            depth(&loops.iter_range).max(1 + body.into_iter().map(depth).max().unwrap_or(0))
        }
        _ => parts(node).into_iter().map(depth).max().unwrap_or(0),
    }
}

/// How often one value is put into another.
fn growth(node: &IdedExpr) -> u32 {
    let literal = |node: &IdedExpr| matches!(node.expr, Expr::Literal(_));
    let own = match &node.expr {
        Expr::Call(call) => match call.func_name.as_str() {
            "replace" | "join" => !call.args.iter().all(literal),
            "format" => !call.target.iter().all(|target| literal(target)),
            _ => false,
        },
        Expr::Comprehension(loops) => names_outside(&loops.loop_step, &[&loops.iter_var, &loops.accu_var]),
        _ => false,
    };
    parts(node).into_iter().map(growth).sum::<u32>() + u32::from(own)
}

fn names_outside(node: &IdedExpr, bound: &[&str]) -> bool {
    match &node.expr {
        Expr::Ident(name) => !bound.contains(&name.as_str()),
        _ => parts(node).into_iter().any(|part| names_outside(part, bound)),
    }
}

/// What an expression is made of.
fn parts(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|field| entry(&field.expr)).collect(),
        Expr::Struct(record) => record.entries.iter().flat_map(|field| entry(&field.expr)).collect(),
        Expr::Comprehension(loops) => {
            vec![&loops.iter_range, &loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result]
        }
    }
}

fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}
