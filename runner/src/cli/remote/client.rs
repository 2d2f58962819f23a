//! HTTP to a daemon on another machine: one client, TLS by the system's roots, limits, and what goes wrong on the way in our words.

use super::url::Url;
use super::{NO_DAEMON, UNREACHABLE, UNUSABLE};
use crate::settings::ServerSettings;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use packhorse_core::failure::{Class, Failure, chain};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::Value;
use std::error::Error as _;
use std::sync::{Arc, Once};
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take: longer than the daemon gives itself.
const ANSWER: Duration = Duration::from_secs(75);
/// Longest answer in bytes, as on the control socket.
const LONGEST: usize = 64 << 20;
/// How often a request that came too early is sent again, and how long is waited for it each time.
const TOO_EARLY: u32 = 5;
const WAIT: Duration = Duration::from_secs(30);
/// A token on an open line is told once.
static TOLD: Once = Once::new();

/// A daemon on another machine.
#[derive(Debug)]
pub(in crate::cli) struct Remote {
    url: Url,
    token: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

/// A problem as the API tells it.
#[derive(Deserialize)]
struct Told {
    detail: String,
    code: String,
    class: Option<Class>,
    hint: Option<String>,
}

fn unusable(message: impl Into<String>) -> Failure {
    Failure::new(UNUSABLE, Class::Permanent, message)
}

impl Remote {
    /// The daemon that settings name; nothing is connected yet.
    pub(in crate::cli) fn of(server: &ServerSettings) -> Result<Self, Failure> {
        let url = Url::parse(&server.url)?;
        let token = server.token().map_err(|error| unusable(format!("the token: {}", chain(&error))))?;
        let token = token.map(|token| bearer(token.trim())).transpose()?;
        if token.is_some() && !url.secure && !url.loopback {
            let base = &url.base;
            TOLD.call_once(|| {
                crate::cli::print::write_err(&format!(
                    "warning: the token goes over an open line to {base}; use https://"
                ))
            });
        }
        let client = client(url.secure)?;
        Ok(Self { url, token, client })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.value(Method::GET, path, &[], None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.value(Method::POST, path, &[], Some(body)).await
    }

    pub(super) async fn post_once(&self, path: &str, key: &str, body: &Value) -> Result<Value, Failure> {
        self.value(Method::POST, path, &[(HeaderName::from_static("idempotency-key"), key)], Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.value(Method::DELETE, path, &[], None).await
    }

    /// A stream of events from after this one on; nothing where nothing will follow.
    pub(super) async fn stream(&self, path: &str, after: Option<u64>) -> Result<Option<Body>, Failure> {
        let after = after.map(|number| number.to_string());
        let after = after.as_deref().map(|number| (HeaderName::from_static("last-event-id"), number));
        let answer = self.answer(Method::GET, path, after.as_slice(), None).await?;
        Ok((answer.status() != StatusCode::NO_CONTENT).then(|| Body::new(answer)))
    }

    async fn value(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self.answer(method, path, headers, body).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let bytes = self.bytes(answer).await?;
        serde_json::from_slice(&bytes).map_err(|_| self.stranger("its answer is no JSON"))
    }

    /// A good answer; one that asks for patience is given some.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut tries = 0;
        loop {
            let request = self.request(method.clone(), path, headers, body)?;
            let answer = tokio::time::timeout(ANSWER, self.client.request(request)).await;
            let answer = answer.map_err(|_| self.silent("no answer came"))?.map_err(|error| self.broken(&error))?;
            let (status, wait) = (answer.status(), patience(&answer));
            if status.is_success() {
                return Ok(answer);
            }
            let place = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok()).map(str::to_owned);
            let failure = self.refused(status, place, &self.bytes(answer).await.unwrap_or_default());
            tries += 1;
            match wait {
                Some(wait) if failure.code == "PH8412" && tries < TOO_EARLY => tokio::time::sleep(wait).await,
                _ => return Err(failure),
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Option<&Value>,
    ) -> Result<Request<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url.base));
        request = request.header(header::USER_AGENT, concat!("packhorse/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|error| unusable(format!("this cannot be asked: {error}")))
    }

    async fn bytes(&self, answer: Response<Incoming>) -> Result<Vec<u8>, Failure> {
        let read = tokio::time::timeout(ANSWER, to_bytes(Body::new(answer.into_body()), LONGEST)).await;
        let bytes = read.map_err(|_| self.silent("the answer did not end"))?;
        bytes
            .map(|bytes| bytes.to_vec())
            .map_err(|error| self.silent(&format!("the answer broke off: {}", chain(&error))))
    }

    /// An answer that is none of success: the daemon's own problem, or somebody else's.
    fn refused(&self, status: StatusCode, place: Option<String>, body: &[u8]) -> Failure {
        if let Ok(Told { detail, code, class, hint }) = serde_json::from_slice(body) {
            let usual = if status.is_server_error() { Class::Operator } else { Class::Permanent };
            let failure = Failure::new(&code, class.unwrap_or(usual), detail);
            return Failure { hint: hint.or_else(|| advice(status)), ..failure };
        }
        let base = &self.url.base;
        let answers = format!("{base} answers {status}");
        match (status, place) {
            (StatusCode::UNAUTHORIZED, _) => {
                Failure { hint: advice(status), ..Failure::new("PH8404", Class::Operator, answers) }
            }
            (StatusCode::FORBIDDEN, _) => {
                Failure { hint: advice(status), ..Failure::new("PH8405", Class::Operator, answers) }
            }
            (_, Some(place)) => self.stranger(&format!("it answers {status} and sends us to {place}")),
            (status, _) if status.is_server_error() => Failure::new(UNREACHABLE, Class::Transient, answers)
                .hint("is the daemon behind this proxy running? `packhorse serve` starts it"),
            _ => self.stranger(&format!("it answers {status}")),
        }
    }

    /// What answers is not what we thought.
    fn stranger(&self, why: &str) -> Failure {
        let message = format!("what answers at {} is no daemon that we understand: {why}", self.url.base);
        Failure::new(NO_DAEMON, Class::Permanent, message)
            .hint("look at host, port and http:// or https://; `packhorse serve` prints its address. Versions of both sides may differ")
    }

    /// An answer that did not come, or not whole: what was asked may have been done.
    pub(super) fn silent(&self, why: &str) -> Failure {
        Failure::new(UNREACHABLE, Class::Transient, format!("the daemon at {}: {why}", self.url.base))
            .hint("ask again; if it was to change something, look first whether it has")
    }

    fn broken(&self, error: &Error) -> Failure {
        let why = error.source().map_or_else(|| error.to_string(), chain);
        if speaks_otherwise(error) {
            let other = if self.url.secure { "it does not speak TLS" } else { "it does not speak plain HTTP" };
            return self.stranger(&format!("{other} ({why})"));
        }
        if !error.is_connect() {
            return self.silent(&why);
        }
        Failure::new(UNREACHABLE, Class::Operator, format!("cannot reach the daemon at {}: {why}", self.url.base)).hint(
            "does it run there (`packhorse serve`), does it listen for other machines (`serve: { listen, tokens }`), and is the URL \
             right? For https:// its certificate must be one that this system trusts, or of an authority in SSL_CERT_FILE",
        )
    }
}

fn advice(status: StatusCode) -> Option<String> {
    let words = match status {
        StatusCode::UNAUTHORIZED => {
            "give a token with --token-file, PACKHORSE_TOKEN_FILE or PACKHORSE_TOKEN; `packhorse token NAME` makes one"
        }
        StatusCode::FORBIDDEN => "use a token with this scope: `packhorse token NAME --scope SCOPE` makes one",
        _ => return None,
    };
    Some(words.to_owned())
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| !token.is_empty());
    let mut value = value.ok_or_else(|| unusable("the token is empty, or holds what no token does"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn client(secure: bool) -> Result<Client<HttpsConnector<HttpConnector>, Body>, Failure> {
    let mut roots = RootCertStore::empty();
    if secure {
        // Honours SSL_CERT_FILE and SSL_CERT_DIR.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(unusable("this system has no root certificates").hint("name a file of them in SSL_CERT_FILE"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| unusable(format!("TLS: {error}")))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    Ok(Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp)))
}

/// How long an answer wants to be waited for.
fn patience(answer: &Response<Incoming>) -> Option<Duration> {
    let seconds = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT))
}

/// Whether what came is of another protocol: TLS where none was expected, or none where it was.
fn speaks_otherwise(error: &(dyn std::error::Error + 'static)) -> bool {
    // The source of such an error is that of what it wraps: what it wraps itself is had in another way.
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return error.get_ref().is_some_and(|inner| speaks_otherwise(inner));
    }
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
        || matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidMessage(_)))
        || error.source().is_some_and(speaks_otherwise)
}
