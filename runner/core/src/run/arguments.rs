//! Arguments of a step, resolved once when it becomes ready: what its templates give, what its device gives, and what it requires.

use super::next::resolve;
use crate::failure::{Class, Failure};
use crate::registry;
use crate::step::{Outputs, Primitive};
use crate::workflow::codes;
use crate::workflow::expr::{Condition, Scope, Template};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Resolves `with`. Requirements come last, because they look at the file that is named beside them; in the result there are only
/// words for what does not hold, and nothing where everything does.
pub(super) fn arguments(
    primitive: &Primitive,
    with: &BTreeMap<String, Template>,
    mut scope: Scope,
) -> Result<Outputs, Failure> {
    let (required, plain): (BTreeMap<_, _>, BTreeMap<_, _>) = with
        .iter()
        .map(|(name, template)| (name.clone(), template.clone()))
        .partition(|(_, template)| template.required().is_some());
    let mut values = resolve(&plain, &scope)?;
    let device = scope.get("device").cloned().unwrap_or_default();
    registry::give(&device, primitive.name, &mut values);
    if required.is_empty() {
        return Ok(values);
    }
    scope.insert("file".to_owned(), described(&values));
    for (name, template) in &required {
        same_device(&values, &device, template)?;
        let unmet = template.resolve(&scope)?;
        if unmet.as_array().is_none_or(|unmet| !unmet.is_empty()) {
            values.insert(name.clone(), unmet);
        }
    }
    Ok(values)
}

/// The file of a step, with what the step says about it.
fn described(values: &Map<String, Value>) -> Value {
    let Some(Value::Object(mut file)) = values.get("file").cloned() else { return Value::Null };
    let mut meta = file.get("meta").and_then(Value::as_object).cloned().unwrap_or_default();
    meta.extend(values.get("meta").and_then(Value::as_object).cloned().unwrap_or_default());
    file.insert("meta".to_owned(), Value::Object(meta));
    Value::Object(file)
}

/// `device` is the run's: a requirement must not be judged by another one's entry.
fn same_device(values: &Map<String, Value>, device: &Value, template: &Template) -> Result<(), Failure> {
    let looks =
        |condition: &Condition| condition.paths().iter().any(|path| path.first().is_some_and(|root| root == "device"));
    let to = values.get("device").and_then(Value::as_str);
    if to == registry::id_of(device) || !template.required().unwrap_or_default().iter().any(looks) {
        return Ok(());
    }
    let of = registry::id_of(device).unwrap_or("none");
    let message = format!("`require` looks at `device`, which is {of}, and the step sends to {}", to.unwrap_or("none"));
    Err(Failure::new(codes::PARAMETER, Class::Permanent, message).hint("send to `inputs.device`"))
}
