//! What a message on a status topic says: CEL over `topic`, `payload` and `json`.

use super::Topic;
use crate::failure::{Class, Failure};
use crate::trigger::MAX_PAYLOAD;
use crate::workflow::codes;
use crate::workflow::expr::{Scope, Template};
use serde::Serialize;
use serde_json::Value;

/// What the expression may name.
pub(crate) const ROOTS: &[&str] = &["topic", "payload", "json"];
/// Where it stands, for people.
pub(crate) const WORDS: &str = "`online` of presence";

/// How a device tells whether it is there.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// Where.
    pub topic: Topic,
    /// As written.
    online: String,
    #[serde(skip)]
    template: Template,
}

/// Where it stands in its file makes no other rule of it.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.topic == other.topic && self.online == other.online
    }
}

impl Eq for Rule {}

impl Rule {
    pub(crate) const fn new(topic: Topic, online: String, template: Template) -> Self {
        Self { topic, online, template }
    }

    /// What a message says; nothing where it says nothing of it. A retained message that is taken away (no payload) says nothing.
    /// Must run on a thread with [`crate::workflow::expr::STACK`] bytes of stack.
    ///
    /// # Errors
    ///
    /// PH8508 where the payload is no text or too long, `PH0302` where the expression gives anything but true, false or null, and what
    /// expressions fail with.
    pub fn judge(&self, topic: &str, payload: &[u8]) -> Result<Option<bool>, Failure> {
        if payload.is_empty() {
            return Ok(None);
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(unfit(format!("a status of {} bytes is larger than {MAX_PAYLOAD}", payload.len())));
        }
        let text = std::str::from_utf8(payload).map_err(|_| unfit("the status is no text".to_owned()))?;
        let mut scope = Scope::new();
        scope.insert("topic".to_owned(), Value::from(topic));
        scope.insert("json".to_owned(), serde_json::from_str(text).unwrap_or_default());
        scope.insert("payload".to_owned(), Value::from(text));
        match self.template.resolve(&scope)? {
            Value::Bool(online) => Ok(Some(online)),
            Value::Null => Ok(None),
            other => {
                let message = format!("`{}` gives {other}, which is neither true, false nor null", self.online);
                Err(Failure::new(codes::NOT_BOOLEAN, Class::Permanent, message))
            }
        }
    }
}

fn unfit(message: String) -> Failure {
    Failure::new("PH8508", Class::Permanent, message)
}
