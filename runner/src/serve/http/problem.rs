//! Errors as `application/problem+json` (RFC 9457), with our stable code.

use crate::engine::EngineError;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use packhorse_core::failure::{Class, Failure, chain};
use serde::Serialize;

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
    pub code: String,
    /// What it means for another attempt: `permanent` is the same again, `transient` may pass by itself, `operator` wants somebody to do
    /// something, `bug` is one of ours.
    #[schema(value_type = String)]
    pub class: Class,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Of this status.
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("https://packhorse.dev/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            class: usual(status),
            hint: None,
        }
    }

    /// The same with words on what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
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
        Self { hint: failure.hint, class: failure.class, ..Self::new(status, &failure.code, failure.message) }
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        match status {
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}
