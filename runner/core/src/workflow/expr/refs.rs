//! What an expression names: paths such as `steps.push.outputs.md5`, and functions, each with its place.

use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};

/// A path: a root and the fields selected from it, as far as they are written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// The root first.
    pub(crate) names: Vec<String>,
    /// Index of the character where it begins.
    pub(crate) at: usize,
}

/// A call by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// As written.
    pub(crate) name: String,
    /// Whether it is called on a value.
    pub(crate) method: bool,
    /// Index of a character within the call.
    pub(crate) at: usize,
}

/// Everything that an expression names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// In the order of the text; loop variables left out.
    pub(crate) paths: Vec<Path>,
    /// In the order of the text; operators left out.
    pub(crate) calls: Vec<Call>,
    /// Whether the whole expression is the one path.
    pub(crate) is_path: bool,
    /// What the expression gives, where its operators and literals alone tell.
    pub(crate) gives: Option<Gives>,
}

/// Type of a value that operators and literals alone tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Map,
}

/// Reads what a program names. `text` is what it was compiled from.
pub(crate) fn references(program: &Program, text: &str) -> References {
    let mut walk = Walk { program, text, bound: Vec::new(), found: References::default() };
    walk.visit(program.expression());
    let mut found = walk.found;
    found.paths.sort_by_key(|path| path.at);
    found.paths.dedup();
    let test = matches!(&program.expression().expr, Expr::Select(select) if select.test);
    found.is_path = found.calls.is_empty() && !test && path_of(program.expression()).is_some();
    found.gives = gives(program.expression());
    found
}

/// CEL's arithmetic mixes no types (but for times, which are never literals), so one known side tells the result.
fn gives(node: &IdedExpr) -> Option<Gives> {
    match &node.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => Some(Gives::Boolean),
        Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)) => Some(Gives::Integer),
        Expr::Literal(LiteralValue::Double(_)) => Some(Gives::Number),
        Expr::Literal(LiteralValue::String(_)) => Some(Gives::Text),
        Expr::List(_) => Some(Gives::List),
        Expr::Map(_) => Some(Gives::Map),
        Expr::Select(select) if select.test => Some(Gives::Boolean),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            ("_+_" | "_-_" | "_*_" | "_/_" | "_%_", [left, right]) => gives(left).or_else(|| gives(right)),
            ("-_", [value]) => gives(value),
            ("_?_:_", [_, yes, no]) => gives(yes).filter(|kind| gives(no) == Some(*kind)),
            ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_&&_" | "_||_" | "!_" | "@in", _) => {
                Some(Gives::Boolean)
            }
            _ => None,
        },
        _ => None,
    }
}

struct Walk<'a> {
    program: &'a Program,
    text: &'a str,
    bound: Vec<&'a str>,
    found: References,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, node: &'a IdedExpr) {
        if let Some((root, names)) = path_of(node) {
            if !self.bound.contains(&names[0]) && !names[0].starts_with('@') {
                let names = names.into_iter().map(str::to_owned).collect();
                let at = self.at(root);
                self.found.paths.push(Path { names, at });
            }
            return;
        }
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                if call.func_name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
                    let at = self.at(node);
                    let name = call.func_name.clone();
                    self.found.calls.push(Call { name, method: call.target.is_some(), at });
                }
                call.target.iter().for_each(|target| self.visit(target));
                call.args.iter().for_each(|argument| self.visit(argument));
            }
            Expr::Select(select) => self.visit(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(record) => {
                let at = self.at(node);
                self.found.calls.push(Call { name: record.type_name.clone(), method: false, at });
                record.entries.iter().for_each(|entry| self.entry(&entry.expr));
            }
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range);
                let before = self.bound.len();
                self.bound.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
                self.bound.extend(loops.iter_var2.as_deref());
                for part in [&loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result] {
                    self.visit(part);
                }
                self.bound.truncate(before);
            }
        }
    }

    fn entry(&mut self, entry: &'a EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    fn at(&self, node: &IdedExpr) -> usize {
        let byte = self.program.source_info().offset_for(node.id).map_or(0, |(start, _)| start as usize);
        self.text.char_indices().take_while(|(at, _)| *at < byte).count()
    }
}

/// The innermost identifier and all names of `a.b["c"].d`; nothing where a part is computed.
fn path_of(node: &IdedExpr) -> Option<(&IdedExpr, Vec<&str>)> {
    let mut names = Vec::new();
    let mut part = node;
    loop {
        match &part.expr {
            Expr::Ident(name) => {
                names.push(name.as_str());
                names.reverse();
                return Some((part, names));
            }
            Expr::Select(select) => {
                names.push(select.field.as_str());
                part = &select.operand;
            }
            Expr::Call(call) if call.func_name == "_[_]" && call.args.len() == 2 => {
                let Expr::Literal(LiteralValue::String(name)) = &call.args[1].expr else { return None };
                names.push(name.inner());
                part = &call.args[0];
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gives, references};
    use crate::workflow::expr::{STACK, engine};

    fn places(text: &'static str) -> Vec<(String, usize)> {
        let work = move || {
            let program = engine::compile(text).expect("is CEL");
            let found = references(&program, text);
            let paths = found.paths.into_iter().map(|path| (path.names.join("."), path.at));
            paths.chain(found.calls.into_iter().map(|call| (format!("{}()", call.name), call.at))).collect()
        };
        std::thread::Builder::new().stack_size(STACK).spawn(work).expect("spawns").join().expect("does not panic")
    }

    fn check(text: &'static str, expected: &[(&str, usize)]) {
        let expected: Vec<(String, usize)> = expected.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        assert_eq!(places(text), expected, "{text}");
    }

    #[test]
    fn places_count_characters() {
        check("steps.a.b + inputs['c'].d", &[("steps.a.b", 0), ("inputs.c.d", 12)]);
        check("'ö💾' + steps.a", &[("steps.a", 7)]);
        check("'💾💾' == run.id", &[("run.id", 8)]);
    }

    #[test]
    fn operators_and_literals_tell_what_comes_out() {
        let told = |text: &'static str| {
            let work = move || references(&engine::compile(text).expect("is CEL"), text).gives;
            std::thread::Builder::new().stack_size(STACK).spawn(work).expect("spawns").join().expect("does not panic")
        };
        assert_eq!(told("1 + 1"), Some(Gives::Integer));
        assert_eq!(told("inputs.a * 2.0"), Some(Gives::Number));
        assert_eq!(told("'x' + inputs.a"), Some(Gives::Text));
        assert_eq!(told("inputs.a == 1 || !inputs.b"), Some(Gives::Boolean));
        assert_eq!(told("'a' in inputs.list"), Some(Gives::Boolean));
        assert_eq!(told("has(inputs.a.b)"), Some(Gives::Boolean));
        assert_eq!(told("[inputs.a]"), Some(Gives::List));
        assert_eq!(told("inputs.a ? 1 : 'x'"), None);
        assert_eq!(told("inputs.a + inputs.b"), None);
    }

    #[test]
    fn names_of_loops_are_not_references() {
        check("inputs.a.exists(x, x.y == steps.z)", &[("inputs.a", 0), ("steps.z", 26)]);
    }

    #[test]
    fn syntax_errors_count_characters_too() {
        let work = || engine::compile("'ö💾' + )").expect_err("is no CEL")[0].at;
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).expect("spawns");
        assert_eq!(thread.join().expect("does not panic"), 7);
    }
}
