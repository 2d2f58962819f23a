//! Redis: what the server says of itself, whether it is fit for its role, and how long it takes to answer.

use super::{Finding, judge};
use crate::settings::{RedisAt, RedisServer, Settings, StoreKind, without_password};
use crate::store::{Fitness, KeyValue as _, Role, ServerReport, inspect};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::chain;
use packhorse_core::run::WallTime;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// Keys that are written, read and deleted.
const ROUNDS: usize = 20;
/// Limit of all of them.
const PATIENCE: Duration = Duration::from_secs(8);
/// What it keeps of our key where we are killed in the middle.
const EXPIRE: Duration = Duration::from_secs(60);

pub(super) async fn look(settings: &Settings, findings: &mut Vec<Finding>) {
    let RedisAt::Server(server) = &settings.redis else { return };
    let role = if settings.store.kind == StoreKind::Redis { Role::Journal } else { Role::Keys };
    let shown = without_password(&server.url);
    let advice =
        "start the server, or look at its address, user, password and certificates; `--redis` names another one";
    let target = super::super::redis::settings(server);
    let asked = tokio::task::spawn_blocking(move || inspect(&target)).await;
    match asked {
        Ok(Ok(report)) => {
            findings.push(fitness(&shown, &report, role));
            findings.push(answers(server).await);
        }
        Ok(Err(error)) => {
            findings.push(Finding::unreachable("redis", "PH8017", format!("{shown}: {}", chain(&error)), advice));
        }
        Err(error) => {
            findings.push(Finding::failure("redis", "PH8017", format!("{shown}: {error}"), "report it: a bug of ours"))
        }
    }
}

fn fitness(shown: &str, report: &ServerReport, role: Role) -> Finding {
    let memory = if report.memory_limit == 0 {
        format!("{} MiB used, no limit", report.memory_used >> 20)
    } else {
        format!("{} of {} MiB used", report.memory_used >> 20, report.memory_limit >> 20)
    };
    let text = format!("{shown}: {report}; {memory}");
    match report.fitness(role) {
        Fitness::Good if report.is_fuller_than(90) => {
            Finding::warning("redis", "PH8018", text, "raise maxmemory, or make room: soon nothing can be written")
        }
        Fitness::Good => Finding::ok("redis", text),
        Fitness::Warn(words) => Finding::warning("redis", "PH8018", text, &words.join("; ")),
        Fitness::Refuse { why, hint } => Finding::failure("redis", "PH8018", format!("{text}: {why}"), &hint),
    }
}

/// Writes, reads and deletes a key of its own.
async fn answers(server: &RedisServer) -> Finding {
    match timeout(PATIENCE, rounds(server)).await {
        Ok(Ok(times)) => {
            let took = judge::median(times).as_secs_f64() * 1e3;
            let text = format!("a key is written, read and deleted in {took:.1} ms (median of {ROUNDS})");
            if took > 100.0 {
                let advice = "look at the load of the server and the way to it: steps wait for it";
                return Finding::warning("redis delay", "PH8018", text, advice);
            }
            Finding::ok("redis delay", text)
        }
        Ok(Err(words)) => {
            let advice = "look at the rights of this user and at what the server says";
            Finding::failure("redis delay", "PH8017", words, advice)
        }
        Err(_) => Finding::failure("redis delay", "PH8017", "no answer in time", "look at the load of the server"),
    }
}

async fn rounds(server: &RedisServer) -> Result<Vec<Duration>, String> {
    let keys = super::super::redis::keys(server).map_err(|stop| stop.failure.message)?;
    let key = format!("packhorse:doctor:{:x}", rand::random::<u64>());
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let (began, value, now) = (Instant::now(), round.to_string(), now());
        let set = KvRequest::Set { key: key.clone(), value: value.clone(), expire: Some(EXPIRE) };
        keys.operate(set, now).await.map_err(|error| chain(&error))?;
        let read = keys.operate(KvRequest::Get { key: key.clone() }, now).await;
        keys.operate(KvRequest::Del { key: key.clone() }, now).await.map_err(|error| chain(&error))?;
        if read.map_err(|error| chain(&error))?.as_str() != Some(value.as_str()) {
            return Err("a key that was written is not read back as written".to_owned());
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

fn now() -> WallTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
