//! The keys of workflows on a Redis server, exactly as the workflow writes them.

use super::command::{self, command, may_be_repeated};
use super::fault::{Fault, fault, wants_another_server};
use super::target::{Connector, RedisSettings, RedisUrlError};
use crate::counts;
use crate::store::key_value::{BoxFuture, KeyValue, KvError};
use crate::store::{StoreError, limits};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, pipe};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Tries of one operation; a step has retries of its own beyond that.
const TRIES: u32 = 5;
/// Before the second try; doubles, and is spread.
const PAUSE: Duration = Duration::from_millis(50);

/// Keys on a Redis server. Clones share a connection, which is made when it is needed and made anew when it broke.
#[derive(Clone)]
pub struct RedisKeyValue {
    connector: Arc<Connector>,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    connection: Option<MultiplexedConnection>,
    /// Counts connections: who met an error tells which one was bad.
    number: u64,
}

/// What became of commands that were to be sent together.
enum Sent {
    Answered(Vec<redis::Value>),
    /// None of them reached the server.
    Unsent(RedisError),
    /// Each may have been done or not.
    Lost(RedisError),
}

impl RedisKeyValue {
    /// Does not connect yet.
    pub fn new(settings: &RedisSettings) -> Result<Self, RedisUrlError> {
        Ok(Self { connector: Arc::new(Connector::new(settings)?), line: Arc::default() })
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self.send(&[redis::cmd("PING")]).await {
            Sent::Answered(mut answers) => match answers.pop() {
                Some(redis::Value::ServerError(error)) => Err(self.unreachable(RedisError::from(error))),
                _ => Ok(()),
            },
            Sent::Unsent(error) | Sent::Lost(error) => Err(self.unreachable(error)),
        }
    }

    fn unreachable(&self, error: RedisError) -> StoreError {
        StoreError::failed(format!("reach the Redis server {}", self.connector.settings().shown()), error)
    }

    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut line = self.line.lock().await;
        if let Some(connection) = &line.connection {
            return Ok((connection.clone(), line.number));
        }
        // Under the lock: one connection is made for all who wait for one. `connect_timeout` bounds it.
        let connection = self.connector.connect_async().await?;
        line.connection = Some(connection.clone());
        line.number += 1;
        Ok((connection, line.number))
    }

    async fn drop_connection(&self, number: u64) {
        let mut line = self.line.lock().await;
        if line.number == number {
            line.connection = None;
        }
    }

    /// One round trip.
    async fn send(&self, commands: &[Cmd]) -> Sent {
        let (mut connection, number) = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return Sent::Unsent(error),
        };
        let mut pipeline = pipe();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let begun = Instant::now();
        let answer = pipeline.ignore_errors().query_async::<Vec<RedisResult<redis::Value>>>(&mut connection).await;
        counts::redis_asked("keys", answer.is_ok(), begun.elapsed());
        match answer {
            Ok(answers) => {
                if answers.iter().any(|answer| answer.as_ref().is_err_and(wants_another_server)) {
                    self.drop_connection(number).await;
                }
                Sent::Answered(answers.into_iter().map(kept).collect())
            }
            Err(error) => {
                self.drop_connection(number).await;
                Sent::Lost(error)
            }
        }
    }

    /// Marks what would be too large to be read.
    async fn look_first(&self, requests: &[KvRequest], done: &mut [Option<Result<Value, KvError>>]) {
        let guards: Vec<_> = (requests.iter().enumerate())
            .filter(|(place, _)| done[*place].is_none())
            .filter_map(|(place, request)| command::guard(request).map(|(guard, fits)| (place, guard, fits)))
            .collect();
        if guards.is_empty() {
            return;
        }
        let commands: Vec<Cmd> = guards.iter().map(|(_, guard, _)| guard.clone()).collect();
        // Where it cannot be asked, or the key is of another kind, the operation itself says so.
        let Sent::Answered(sizes) = self.send(&commands).await else { return };
        for ((place, _, fits), size) in guards.into_iter().zip(sizes) {
            if let redis::Value::Int(size) = size
                && let Err(error) = fits(command::key(&requests[place]), usize::try_from(size).unwrap_or(usize::MAX))
            {
                done[place] = Some(Err(error));
            }
        }
    }

    async fn carry_out(&self, requests: Vec<KvRequest>) -> Vec<Result<Value, KvError>> {
        let mut done: Vec<Option<Result<Value, KvError>>> =
            requests.iter().map(|request| limits::fits(request).err().map(Err)).collect();
        let mut last = None;
        for turn in 0..TRIES {
            if turn > 0 {
                tokio::time::sleep(pause(turn)).await;
            }
            self.look_first(&requests, &mut done).await;
            let open: Vec<usize> = (0..requests.len()).filter(|place| done[*place].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let commands: Vec<Cmd> = open.iter().map(|place| command(&requests[*place])).collect();
            last = self.send(&commands).await.settle(&requests, &open, &mut done);
        }
        let last = last.map(Arc::new);
        let given_up = |request: &KvRequest| match &last {
            Some(error) => command::failed(request, RedisError::clone(error)),
            None => KvError::Store(StoreError::Stopped),
        };
        done.into_iter().zip(&requests).map(|(done, request)| done.unwrap_or_else(|| Err(given_up(request)))).collect()
    }
}

impl RedisKeyValue {
    /// Some fields of a hash from a cursor on, and the next cursor.
    async fn some_fields(&self, request: &KvRequest, cursor: &str) -> Result<(String, Vec<(String, String)>), KvError> {
        let scan = command::scan(command::key(request), cursor);
        let mut turn = 0;
        loop {
            let error = match self.send(std::slice::from_ref(&scan)).await {
                Sent::Answered(mut answers) => match answers.pop().unwrap_or(redis::Value::Nil) {
                    redis::Value::ServerError(error) if fault(&RedisError::from(error.clone())) == Fault::Later => {
                        RedisError::from(error)
                    }
                    answer => return command::scanned(request, answer),
                },
                Sent::Unsent(error) | Sent::Lost(error) => error,
            };
            turn += 1;
            if turn == TRIES {
                return Err(command::failed(request, error));
            }
            tokio::time::sleep(pause(turn)).await;
        }
    }
}

impl Sent {
    /// Notes what is over; gives the error of what is to be tried again.
    fn settle(
        self,
        requests: &[KvRequest],
        open: &[usize],
        done: &mut [Option<Result<Value, KvError>>],
    ) -> Option<RedisError> {
        match self {
            Self::Unsent(error) => Some(error),
            Self::Lost(error) => {
                for &place in open.iter().filter(|place| !may_be_repeated(&requests[**place])) {
                    let (operation, key) = (command::name(&requests[place]), command::key(&requests[place]).to_owned());
                    done[place] = Some(Err(KvError::UnknownOutcome { operation, key }));
                }
                Some(error)
            }
            Self::Answered(answers) => {
                let mut later = None;
                for (&place, answer) in open.iter().zip(answers) {
                    match answer {
                        redis::Value::ServerError(error) if fault(&RedisError::from(error.clone())) == Fault::Later => {
                            later = Some(RedisError::from(error));
                        }
                        answer => done[place] = Some(command::value(&requests[place], answer)),
                    }
                }
                later
            }
        }
    }
}

/// An answer, errors among them.
fn kept(answer: RedisResult<redis::Value>) -> redis::Value {
    match answer {
        Ok(value) => value,
        Err(error) => match error.clone().into_server_errors().as_deref() {
            Some([(_, error), ..]) => redis::Value::ServerError(error.clone()),
            _ => redis::Value::Nil,
        },
    }
}

fn pause(turn: u32) -> Duration {
    let most = PAUSE.saturating_mul(1 << turn.min(6));
    most.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

impl KeyValue for RedisKeyValue {
    fn operate(&self, request: KvRequest, _: WallTime) -> BoxFuture<'_, Result<Value, KvError>> {
        Box::pin(async move {
            let mut done = self.carry_out(vec![request]).await;
            done.pop().unwrap_or(Err(KvError::Store(StoreError::Stopped)))
        })
    }

    fn operate_many(
        &self,
        requests: Vec<KvRequest>,
        _: WallTime,
    ) -> BoxFuture<'_, Result<Vec<Result<Value, KvError>>, StoreError>> {
        Box::pin(async move { Ok(self.carry_out(requests).await) })
    }

    fn fields(&self, key: String, _: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>> {
        Box::pin(async move {
            let request = KvRequest::Hgetall { key };
            // A field may be told twice while the hash grows.
            let (mut all, mut cursor) = (BTreeMap::new(), "0".to_owned());
            loop {
                let some;
                (cursor, some) = self.some_fields(&request, &cursor).await?;
                all.extend(some);
                if cursor == "0" {
                    return Ok(all.into_iter().collect());
                }
            }
        })
    }
}

impl std::fmt::Debug for RedisKeyValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RedisKeyValue({})", self.connector.settings().shown())
    }
}
