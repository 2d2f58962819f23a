//! How many requests everybody may make: a bucket for each token, and for each address where no token is known.

use super::api::Api;
use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use packhorse_core::rate::{Pace, Rate};
use packhorse_core::run::WallTime;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Headers of the IETF draft "RateLimit header fields for HTTP"; the policy's name in them.
pub(super) const POLICY: &str = "ratelimit-policy";
pub(super) const LIMIT: &str = "ratelimit";
const NAME: &str = "requests";
/// What whoever watches the process asks for; it costs nothing, and must not fail because somebody else asks too much.
const FREE: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Buckets that are kept; who comes when all are in use shares one.
const MOST: usize = 4_096;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// By the SHA-256 of a token.
    Token([u8; 32]),
    Peer(IpAddr),
    Others,
}

/// Buckets of all that ask.
#[derive(Debug)]
pub struct Limits {
    /// How fast each fills; without it nothing is counted.
    pace: Option<Pace>,
    buckets: Mutex<HashMap<Who, Rate>>,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// Requests that may still come at once.
    left: u32,
    /// Seconds until as many may come at once as ever.
    full: u64,
    /// Seconds to wait; where absent, it is answered.
    wait: Option<u64>,
}

impl Limits {
    /// Of this pace; without one, none.
    pub fn new(pace: Option<Pace>) -> Self {
        Self { pace, buckets: Mutex::default() }
    }

    fn judge(&self, pace: Pace, who: Who, now: WallTime) -> Verdict {
        judge(&mut self.buckets.lock().unwrap_or_else(PoisonError::into_inner), pace, who, now)
    }
}

fn judge(buckets: &mut HashMap<Who, Rate>, pace: Pace, who: Who, now: WallTime) -> Verdict {
    if buckets.len() >= MOST && !buckets.contains_key(&who) {
        // A full bucket says no more than one that is not there.
        buckets.retain(|_, rate| !rate.is_full(pace, now));
    }
    let who = if buckets.len() < MOST || buckets.contains_key(&who) { who } else { Who::Others };
    let rate = buckets.entry(who).or_insert_with(|| Rate::new(pace, now));
    let wait = rate.take(pace, now).err().map(|ms| ms.div_ceil(1_000));
    Verdict { left: rate.left(), full: rate.full_in_ms(pace).div_ceil(1_000), wait }
}

/// Answers a request, or refuses it; tells in either case how many more may come.
pub(super) async fn limited(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(pace) = api.limits.pace.filter(|_| !FREE.contains(&request.uri().path())) else {
        return next.run(request).await;
    };
    let who = who(&api, request.headers(), request.extensions().get());
    let verdict = api.limits.judge(pace, who, (api.access.clock)());
    let mut response = match verdict.wait {
        None => next.run(request).await,
        Some(wait) => refused(pace, wait).into_response(),
    };
    tell(response.headers_mut(), pace, &verdict);
    response
}

/// By which name somebody is counted.
pub(super) fn who(api: &Api, headers: &HeaderMap, peer: Option<&Peer>) -> Who {
    let peer = || peer.map_or(Who::Others, |Peer(address)| Who::Peer(*address));
    api.access.known(headers).map_or_else(peer, Who::Token)
}

fn refused(pace: Pace, wait: u64) -> Problem {
    let words = format!("more than {} requests a second; the next one in {wait} s", pace.a_minute / 60);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "PH8412", words)
        .hint("ask less often, or raise `serve: { rate_limit: … }` in packhorse.yaml of the daemon")
}

fn tell(headers: &mut HeaderMap, pace: Pace, verdict: &Verdict) {
    let window = pace.window_ms().div_ceil(1_000);
    let lines = [
        (HeaderName::from_static(POLICY), Some(format!("\"{NAME}\";q={};w={window}", pace.burst))),
        (HeaderName::from_static(LIMIT), Some(format!("\"{NAME}\";r={};t={}", verdict.left, verdict.full))),
        (RETRY_AFTER, verdict.wait.map(|wait| wait.to_string())),
    ];
    for (name, value) in lines {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { a_minute: 6_000, burst: 2 };

    #[test]
    fn everybody_has_a_bucket_and_no_more_than_so_many_are_kept() {
        let (mut buckets, peer) = (HashMap::new(), |number: u32| Who::Peer(IpAddr::from(number.to_be_bytes())));
        let mut asked = |who: Who, at: u64| judge(&mut buckets, PACE, who, WallTime(at));
        assert_eq!(asked(peer(0), 0), Verdict { left: 1, full: 1, wait: None });
        assert_eq!(asked(peer(0), 0), Verdict { left: 0, full: 1, wait: None });
        assert_eq!(asked(peer(0), 0), Verdict { left: 0, full: 1, wait: Some(1) });
        assert_eq!(asked(Who::Token([7; 32]), 0).wait, None, "another one's bucket is another one");
        // Nobody has a full bucket, so that whoever comes now shares one.
        assert!((1..MOST as u32 * 2).all(|number| asked(peer(number), 0).wait.is_none() == (number <= MOST as u32)));
        assert_eq!(asked(peer(0), 0).wait, Some(1), "its own is kept");
        assert_eq!(asked(peer(u32::MAX), 20).wait, None, "full ones have made room");
        assert!(buckets.len() <= 2, "{}", buckets.len());
    }
}
