//! Failures made and passed on.

use crate::{Class, Error, Failure};

impl Failure {
    /// Will be the same again: the step fails.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self { class: Class::Permanent, code: code.to_owned(), message: message.into() }
    }

    /// May go away by itself: the step's `retry` decides.
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self { class: Class::Transient, code: code.to_owned(), message: message.into() }
    }

    /// The device is not there: the run waits for it.
    pub fn device_offline(code: &str, message: impl Into<String>) -> Self {
        Self { class: Class::DeviceOffline, code: code.to_owned(), message: message.into() }
    }
}

/// So that `?` passes on what a host function gave. A refusal is for a person, who can grant more: the run pauses.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let refused = |why: String| Self { class: Class::Operator, code: "REFUSED".to_owned(), message: why };
        match error {
            Error::Denied(why) | Error::Spent(why) => refused(why),
            Error::Failed(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_failures() {
        let timeout = Failure::transient("PH5301", "nothing came");
        assert_eq!(Failure::from(Error::Failed(timeout.clone())), timeout);
        let refused = Failure::from(Error::Denied("no".to_owned()));
        assert_eq!((refused.class, refused.code.as_str()), (Class::Operator, "REFUSED"));
    }
}
