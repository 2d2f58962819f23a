//! Errors as `application/problem+json` (RFC 9457), with our stable code.

use crate::engine::EngineError;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::WallTime;
use serde::Serialize;

/// A request with the same idempotency key is under way.
const IN_FLIGHT: &str = "PH8403";

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct Problem {
    /// A URI that names the kind of problem by its code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    #[schema(value_type = String)]
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Stable code: `packhorse explain CODE` tells more.
    #[schema(value_type = String)]
    pub code: Box<str>,
    /// What it means for another attempt: `permanent` is the same again, `transient` may pass by itself, `operator` wants somebody to do
    /// something, `bug` is one of ours.
    #[schema(value_type = String)]
    pub class: Class,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What it was about; boxed, because it is passed on as an error.
    #[serde(flatten)]
    #[schema(value_type = Asked)]
    pub asked: Option<Box<Asked>>,
}

/// The request that a problem is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct Asked {
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Number of the request, as in the header `X-Request-Id` and in the daemon's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// When another attempt makes sense, UTC in milliseconds.
    #[serde(skip)]
    not_before: Option<u64>,
}

impl Problem {
    /// Of this status.
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("https://packhorse.dev/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.into(),
            class: usual(status),
            hint: None,
            asked: None,
        }
    }

    /// The same with words on what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with what it was about: the path of the request and its number. `now` is for how long is to be waited.
    pub(super) fn of(self, path: String, request: &str, now: WallTime) -> Told {
        let not_before = self.asked.as_ref().and_then(|asked| asked.not_before);
        let wait = not_before.map(|end| end.saturating_sub(now.0).div_ceil(1_000).max(1));
        let asked = Asked { instance: Some(path), request_id: Some(request.to_owned()), not_before };
        Told { wait, problem: Self { asked: Some(Box::new(asked)), ..self } }
    }

    /// Nothing of that name.
    pub(super) fn missing(what: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "PH8401", format!("there is no {what} {name}"))
    }
}

/// The class of a problem of which no more is known than its status.
fn usual(status: StatusCode) -> Class {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Class::Operator,
        StatusCode::TOO_MANY_REQUESTS => Class::Transient,
        StatusCode::INTERNAL_SERVER_ERROR => Class::Bug,
        status if status.is_server_error() => Class::Operator,
        _ => Class::Permanent,
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match (failure.code.as_str(), failure.class) {
            ("PH8003" | "PH8042" | "PH8503" | "PH8505", _) => StatusCode::NOT_FOUND,
            ("PH8501", _) => StatusCode::PAYLOAD_TOO_LARGE,
            ("PH8504", _) => StatusCode::TOO_MANY_REQUESTS,
            ("PH6010" | "PH8004" | "PH8005" | "PH8040" | "PH8403", _) => StatusCode::CONFLICT,
            (_, Class::Permanent) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, Class::Bug) => StatusCode::INTERNAL_SERVER_ERROR,
            (_, Class::Transient | Class::DeviceOffline | Class::Operator) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let Failure { code, class, message, hint, not_before } = failure;
        let asked = not_before.map(|end| Box::new(Asked { not_before: Some(end), ..Asked::default() }));
        Self { hint, class, asked, ..Self::new(status, &code, message) }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let (status, code) = match &error {
            EngineError::Unknown(_) | EngineError::Lost { .. } => (StatusCode::NOT_FOUND, "PH8003"),
            EngineError::Refused { source, .. } if source.is_about_codec() => (StatusCode::CONFLICT, "PH6010"),
            EngineError::Refused { .. } | EngineError::Taken(_) => (StatusCode::CONFLICT, "PH8004"),
            EngineError::GroupFull { .. } => (StatusCode::CONFLICT, "PH8040"),
            EngineError::Unreadable { .. } => (StatusCode::CONFLICT, "PH8005"),
            EngineError::Store(_) | EngineError::Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, "PH7002"),
        };
        // As the control socket says it.
        let class = if code == "PH8005" { Class::Operator } else { usual(status) };
        Self { class, ..Self::new(status, code, chain(&error)) }
    }
}

/// A problem that knows its request.
#[derive(Debug)]
pub(super) struct Told {
    problem: Problem,
    /// Seconds to wait before another attempt, where that is known.
    wait: Option<u64>,
}

impl Told {
    /// Puts it into the answer that was made of the problem.
    pub(super) fn rewrite(&self, response: &mut Response<Body>) {
        *response.body_mut() = self.problem.body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        if let Some(wait) = self.wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
    }
}

impl Problem {
    fn body(&self) -> Body {
        Body::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether the same may be otherwise in a moment.
    fn passes(&self) -> bool {
        [429, 503].contains(&self.status) || *self.code == *IN_FLIGHT
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.passes() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if self.status == 408 {
            // The rest of the body may still come.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(problem: Problem) -> Option<String> {
        let mut response = problem.clone().into_response();
        problem.of("/v1/runs".to_owned(), "req_1", WallTime(1_000)).rewrite(&mut response);
        let value = response.headers().get(header::RETRY_AFTER);
        value.map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn who_may_ask_again_is_told_when() {
        let failure = |code| Failure::new(code, Class::Transient, "wait");
        assert_eq!(wait(failure("PH8504").not_before(10_001).into()).as_deref(), Some("10"));
        assert_eq!(wait(failure("PH8504").not_before(0).into()).as_deref(), Some("1"));
        assert_eq!(wait(failure(IN_FLIGHT).into()).as_deref(), Some("2"));
        assert_eq!(wait(failure("PH8004").into()), None);
        assert_eq!(wait(failure("PH7002").into()).as_deref(), Some("2"));
    }

    #[test]
    fn a_problem_tells_what_it_was_about() {
        let told = Problem::missing("run", "x").of("/v1/runs/x".to_owned(), "req_1", WallTime(0));
        let value = serde_json::to_value(&told.problem).unwrap();
        assert_eq!((&value["instance"], &value["request_id"]), (&"/v1/runs/x".into(), &"req_1".into()));
        assert!(value.get("not_before").is_none());
    }
}
