//! What a run asks of admission: the keys `concurrency`, `priority` and `slot`, checked in a file and resolved for a run.

use super::check::Checker;
use super::expr::{Scope, Template};
use super::node::Node;
use super::raw::RawConcurrency;
use super::{Concurrency, Workflow, codes};
use crate::admission::{Group, Priority, SLOT, Terms};
use crate::failure::{Class, Failure};
use serde_json::Value;

/// Longest name of a group in characters.
const GROUP: usize = 256;
/// Longest name of a slot in characters.
const LONGEST_SLOT: usize = 64;

impl Checker<'_> {
    pub(super) fn concurrency(&mut self, root: &Node, raw: Option<&RawConcurrency>) -> Option<Concurrency> {
        let group = self.early(root.get("concurrency")?.get("group"), "`group`")?;
        let (limit, on_conflict) = (raw?.limit.unwrap_or(1), raw?.on_conflict.unwrap_or_default());
        Some(Concurrency { group, limit, on_conflict })
    }
}

impl Workflow {
    /// What a run with these values asks of admission; `priority` is what its starter wants instead. Must run on a thread with
    /// [`super::expr::STACK`] bytes of stack.
    ///
    /// # Errors
    ///
    /// `PH0306` where a key came out as something that it cannot be, and what expressions fail with.
    pub fn terms(&self, scope: &Scope, priority: Option<Priority>) -> Result<Terms, Failure> {
        let priority = match (priority, &self.priority) {
            (Some(priority), _) => priority,
            (None, Some(template)) => word(&template.resolve(scope)?)?.parse().map_err(|why: String| bad(&why))?,
            (None, None) => Priority::default(),
        };
        let group = match &self.concurrency {
            Some(Concurrency { group, limit, on_conflict }) => {
                let name = named(group, scope, "concurrency.group", GROUP)?;
                Some(Group { name, limit: *limit, on_conflict: *on_conflict })
            }
            None => None,
        };
        let slot = match &self.slot {
            Some(template) => named(template, scope, "slot", LONGEST_SLOT)?,
            None => SLOT.to_owned(),
        };
        Ok(Terms { priority, group, slot })
    }
}

fn named(template: &Template, scope: &Scope, what: &str, longest: usize) -> Result<String, Failure> {
    let text = word(&template.resolve(scope)?)?;
    match text.chars().count() {
        0 => Err(bad(&format!("{what} came out empty"))),
        length if length > longest => Err(bad(&format!("{what} has {length} characters, more than {longest}"))),
        _ => Ok(text),
    }
}

fn word(value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(bad(&format!("{other} is neither text nor a number"))),
    }
}

fn bad(why: &str) -> Failure {
    Failure::new(codes::BAD_TERMS, Class::Permanent, why)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::admission::OnConflict;
    use serde_json::json;

    const HEAD: &str =
        "kind: workflow/v1\nname: x\ninputs: { device: { type: string }, level: { type: integer, default: 3 } }\n";
    const STEPS: &str = "\nsteps: [{ uses: sleep, with: { duration: 1s } }]\n";

    fn terms(keys: &str, priority: Option<Priority>) -> Result<Terms, String> {
        let text = format!("{HEAD}{keys}{STEPS}");
        let work = move || {
            let workflow = check(text.as_bytes(), "x.yaml").map_err(|problems| problems.to_string())?;
            let inputs = json!({ "device": "gw-1", "level": 2 });
            let scope =
                Scope::from_iter([("inputs".to_owned(), inputs), ("device".to_owned(), json!({ "id": "gw-1" }))]);
            workflow.terms(&scope, priority).map_err(|failure| failure.to_string())
        };
        std::thread::Builder::new().stack_size(64 << 20).spawn(work).unwrap().join().unwrap()
    }

    #[test]
    fn keys_are_resolved_and_the_starter_has_the_last_word() {
        assert_eq!(terms("", None), Ok(Terms::default()));
        let keys = "concurrency: { group: 'g-${{ device.id }}', limit: 2, on_conflict: replace }\npriority: ${{ inputs.level }}\nslot: app";
        let group = Some(Group { name: "g-gw-1".to_owned(), limit: 2, on_conflict: OnConflict::Replace });
        let expected = Terms { priority: Priority::High, group, slot: "app".to_owned() };
        assert_eq!(terms(keys, None), Ok(expected.clone()));
        assert_eq!(terms(keys, Some(Priority::Bulk)), Ok(Terms { priority: Priority::Bulk, ..expected }));
        for (text, priority) in [("critical", Priority::Critical), ("5", Priority::Bulk), ("low", Priority::Low)] {
            assert_eq!(terms(&format!("priority: {text}"), None).map(|terms| terms.priority), Ok(priority));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_the_file_or_in_the_run() {
        for keys in [
            "priority: urgent",
            "priority: 6",
            "priority: [1]",
            "slot: ''",
            "concurrency: { limit: 1 }",
            "concurrency: { group: a, limit: 0 }",
            "concurrency: { group: a, on_conflict: wait }",
            "concurrency: { group: '${{ steps.a }}' }",
            "concurrency: a",
        ] {
            assert!(terms(keys, None).is_err_and(|why| why.contains("PH02")), "{keys}: {:?}", terms(keys, None));
        }
        for keys in
            ["priority: '${{ device.id }}'", "slot: \"${{ '' + '' }}\"", "concurrency: { group: '${{ inputs }}' }"]
        {
            assert!(terms(keys, None).is_err_and(|why| why.contains("PH0306")), "{keys}: {:?}", terms(keys, None));
        }
    }
}
