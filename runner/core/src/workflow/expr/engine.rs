//! CEL as Packhorse speaks it: the environment, its extra functions, compiling and evaluating.

use super::convert;
use crate::workflow::units;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use cel::extractors::Arguments;
use cel::parser::{Macro, MacroExprHelper};
use cel::{Context, Env, ExecutionError, Program, Value};
use std::sync::{Arc, LazyLock};

/// Functions that expressions may call, by kind of call; operators are not functions.
pub(crate) static FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "bytes_of",
    "coalesce",
    "double",
    "duration",
    "dyn",
    "has",
    "int",
    "matches",
    "size",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// Methods that expressions may call on a value.
pub(crate) static METHODS: &[&str] = &[
    "all",
    "charAt",
    "contains",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "format",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "indexOf",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "map",
    "matches",
    "replace",
    "reverse",
    "size",
    "split",
    "startsWith",
    "substring",
    "trim",
    "upperAscii",
];

/// What `duration(…)` and `coalesce(…)` go through: CEL's own `duration` knows no days, and an argument that is missing
/// must not be an error.
const DURATION: &str = "packhorse_duration";
const COALESCE: &str = "packhorse_coalesce";

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    env.add_extension(cel::extensions::strings).expect("the strings extension fits the standard library");
    env.add_macro(Macro::global("duration", 1, |helper, _, arguments| {
        let text = call(helper, DURATION, std::mem::take(arguments));
        Ok(Some(call(helper, "duration", vec![text])))
    }))
    .expect("the standard library has no macro of this name");
    env.add_macro(Macro::global_var_arg("coalesce", |helper, _, arguments| {
        let arguments = std::mem::take(arguments);
        let tolerant = arguments.into_iter().map(|argument| tolerant(helper, argument)).collect();
        Ok(Some(call(helper, COALESCE, tolerant)))
    }))
    .expect("the standard library has no macro of this name");
    Arc::new(env)
});

fn call(helper: &mut MacroExprHelper<'_>, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    helper.next_expr(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

/// `a.b.c` becomes `has(a.b) && has(a.b.c) ? a.b.c : null`; anything else stays.
fn tolerant(helper: &mut MacroExprHelper<'_>, argument: IdedExpr) -> IdedExpr {
    let mut tests: Option<IdedExpr> = None;
    let mut part = &argument;
    while let Expr::Select(select) = &part.expr {
        if select.test {
            return argument;
        }
        let test = Expr::Select(SelectExpr { test: true, ..select.clone() });
        let test = helper.next_expr(test);
        tests = Some(match tests {
            None => test,
            Some(after) => call(helper, operators::LOGICAL_AND, vec![test, after]),
        });
        part = &select.operand;
    }
    match (tests, &part.expr) {
        (Some(tests), Expr::Ident(_)) => {
            let null = helper.next_expr(Expr::Literal(LiteralValue::Null));
            call(helper, operators::CONDITIONAL, vec![tests, argument, null])
        }
        _ => argument,
    }
}

/// A text that CEL could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Index of the character where it shows.
    pub(crate) at: usize,
    /// In CEL's words.
    pub(crate) message: String,
}

/// Compiles a text that the guard has passed. Must run on a thread with a large stack.
pub(crate) fn compile(text: &str) -> Result<Program, Vec<Unreadable>> {
    ENVIRONMENT.compile(text).map_err(|errors| {
        errors
            .errors
            .iter()
            .map(|error| Unreadable { at: offset(text, error.pos), message: words(&error.msg) })
            .collect()
    })
}

/// CEL tells line and column, both from 1.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split('\n').take(line).map(|line| line.chars().count() + 1).sum();
    before + usize::try_from(column - 1).unwrap_or(0)
}

/// CEL's parser speaks like a parser; people want to know what cannot stand where.
fn words(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    if message.contains("'<EOF>'") || message.contains("input <EOF>") {
        return "it ends too early".to_owned();
    }
    let quoted = message.split('\'').nth(1).map(str::trim).filter(|quoted| !quoted.is_empty());
    let stands = ["mismatched input", "extraneous input", "token recognition error", "no viable alternative"];
    match quoted {
        Some(quoted) if stands.iter().any(|start| message.starts_with(start)) => {
            format!("`{quoted}` cannot stand here")
        }
        _ => message.to_owned(),
    }
}

/// Evaluates. Must run on a thread with a large stack.
pub(crate) fn evaluate(program: &Program, scope: &super::Scope) -> Result<Value, ExecutionError> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    for (name, value) in scope {
        context.add_variable_from_value(name.as_str(), convert::to_cel(value));
    }
    let declared = context
        .add_function("bytes_of", bytes_of)
        .and_then(|()| context.add_function(DURATION, duration))
        .and_then(|()| context.add_function(COALESCE, coalesce));
    declared.map_err(|error| ExecutionError::InternalError(error.to_string()))?;
    program.execute(&context)
}

fn bytes_of(text: Arc<String>) -> Result<i64, ExecutionError> {
    units::rate(&text)
        .or_else(|_| units::size(&text))
        .map_err(|error| ExecutionError::function_error("bytes_of", error))
}

fn duration(value: Value) -> Result<Value, ExecutionError> {
    match &value {
        Value::Duration(_) => Ok(value),
        Value::String(text) => {
            let duration = units::duration(text).map_err(|error| ExecutionError::function_error("duration", error))?;
            Ok(Value::from(format!("{}ms", duration.as_millis())))
        }
        _ => Err(ExecutionError::function_error("duration", "wants text such as \"5m\"")),
    }
}

fn coalesce(Arguments(arguments): Arguments) -> Value {
    arguments.iter().find(|argument| !matches!(argument, Value::Null)).cloned().unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::{FUNCTIONS, METHODS, Value, compile, evaluate};

    /// One call of each, so that the tables of names hold nothing that CEL does not have.
    const CALLS: &[&str] = &[
        "bool('true')",
        "bytes('a')",
        "bytes_of('1KiB')",
        "coalesce(null, 1)",
        "double(1)",
        "duration('1d')",
        "dyn(1)",
        "has({'a': 1}.a)",
        "int('1')",
        "matches('a', 'a')",
        "size('a')",
        "string(1)",
        "timestamp('2026-01-02T03:04:05Z')",
        "type(1)",
        "uint(1)",
        "[1].all(x, x > 0)",
        "'ab'.charAt(0)",
        "'ab'.contains('a')",
        "'ab'.endsWith('b')",
        "[1].exists(x, x > 0)",
        "[1].exists_one(x, x > 0)",
        "[1].filter(x, x > 0)",
        "'%d'.format([1])",
        "timestamp('2026-01-02T03:04:05Z').getDate()",
        "timestamp('2026-01-02T03:04:05Z').getDayOfMonth()",
        "timestamp('2026-01-02T03:04:05Z').getDayOfWeek()",
        "timestamp('2026-01-02T03:04:05Z').getDayOfYear()",
        "timestamp('2026-01-02T03:04:05Z').getFullYear()",
        "duration('1h').getHours()",
        "duration('1ms').getMilliseconds()",
        "duration('1m').getMinutes()",
        "timestamp('2026-01-02T03:04:05Z').getMonth()",
        "duration('1s').getSeconds()",
        "'ab'.indexOf('b')",
        "['a'].join()",
        "'ab'.lastIndexOf('b')",
        "'Ab'.lowerAscii()",
        "[1].map(x, x + 1)",
        "'a'.matches('a')",
        "'a'.replace('a', 'b')",
        "'ab'.reverse()",
        "'ab'.size()",
        "'a b'.split(' ')",
        "'ab'.startsWith('a')",
        "'ab'.substring(1)",
        "' a '.trim()",
        "'ab'.upperAscii()",
    ];

    #[test]
    fn every_function_that_is_offered_exists() {
        let work = || {
            for name in FUNCTIONS {
                assert!(CALLS.iter().any(|call| call.starts_with(&format!("{name}("))), "no call of {name}");
            }
            for name in METHODS {
                assert!(CALLS.iter().any(|call| call.contains(&format!(".{name}("))), "no call of .{name}");
            }
            for call in CALLS {
                let program = compile(call).unwrap_or_else(|errors| panic!("{call}: {errors:?}"));
                let value = evaluate(&program, &super::super::Scope::new());
                assert!(value.as_ref().is_ok_and(|value| *value != Value::Null), "{call}: {value:?}");
            }
        };
        let thread = std::thread::Builder::new().stack_size(super::super::STACK).spawn(work).expect("spawns");
        thread.join().expect("does not panic");
    }
}
