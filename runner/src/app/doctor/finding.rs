//! What is found of one thing.

use crate::app::exit::Exit;
use serde::Serialize;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Good.
    Ok,
    /// It works, and something about it will hurt.
    Warning,
    /// Runs fail.
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: `broker`, `disk`, ….
    pub check: &'static str,
    /// How it is.
    pub status: Grade,
    /// In one line, with figures.
    pub text: String,
    /// Of a warning or a failure: what `packhorse explain` tells more of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether a service could not be reached at all.
    #[serde(skip)]
    pub unreachable: bool,
}

impl Finding {
    /// Good.
    pub fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, status: Grade::Ok, text: text.into(), code: None, advice: None, unreachable: false }
    }

    /// It works, and will hurt.
    pub fn warning(check: &'static str, code: &'static str, text: impl Into<String>, advice: &str) -> Self {
        let advice = Some(advice.to_owned());
        Self { status: Grade::Warning, code: Some(code), advice, ..Self::ok(check, text) }
    }

    /// Runs fail.
    pub fn failure(check: &'static str, code: &'static str, text: impl Into<String>, advice: &str) -> Self {
        Self { status: Grade::Failure, ..Self::warning(check, code, text, advice) }
    }

    /// A service that is not there.
    pub fn unreachable(check: &'static str, code: &'static str, text: impl Into<String>, advice: &str) -> Self {
        Self { unreachable: true, ..Self::failure(check, code, text, advice) }
    }
}

/// With which code the program ends.
pub fn exit(findings: &[Finding]) -> Exit {
    if findings.iter().any(|finding| finding.unreachable) {
        Exit::Unavailable
    } else if findings.iter().any(|finding| finding.status == Grade::Failure) {
        Exit::Failed
    } else {
        Exit::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_the_exit_code() {
        let (ok, warning) = (Finding::ok("a", "x"), Finding::warning("b", "PH8012", "x", "y"));
        let (failure, gone) =
            (Finding::failure("c", "PH8021", "x", "y"), Finding::unreachable("d", "PH8010", "x", "y"));
        assert_eq!(exit(&[]), Exit::Succeeded);
        assert_eq!(exit(&[ok.clone(), warning.clone()]), Exit::Succeeded);
        assert_eq!(exit(&[ok, failure.clone()]), Exit::Failed);
        assert_eq!(exit(&[gone, warning, failure]), Exit::Unavailable);
    }
}
