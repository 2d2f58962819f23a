//! Says on the server that this process lives: while it does, nobody else takes its runs.

use super::super::target::Connector;
use redis::Connection;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A process that was not heard of for so long may lose its runs.
pub(super) const LIFE: Duration = Duration::from_secs(30);
/// How often it is heard of.
const EVERY: Duration = Duration::from_secs(8);

/// A later process of the same owner may have its own by now.
const LET_GO: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1";

/// The thread that renews the lease; it ends, and lets go of the lease, when this is dropped.
pub(super) struct Lease {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lease {
    pub(super) fn start(connector: Arc<Connector>, key: String, boot: String) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            let mut connection = None;
            loop {
                if let Err(error) = renew(&connector, &mut connection, &key, &boot) {
                    tracing::warn!(%error, "cannot renew the lease on the Redis server: others may take the runs of this process");
                    connection = None;
                }
                match stopped.recv_timeout(EVERY) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            if let Some(mut connection) = connection {
                // Else it ends by itself.
                let mut call = redis::cmd("EVAL");
                call.arg(LET_GO).arg(1).arg(&key).arg(&boot);
                drop(call.exec(&mut connection));
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It may wait for a server that is away: nobody waits for it.
            drop(thread);
        }
    }
}

fn renew(
    connector: &Connector,
    connection: &mut Option<Connection>,
    key: &str,
    boot: &str,
) -> Result<(), redis::RedisError> {
    if connection.is_none() {
        *connection = Some(connector.connect()?);
    }
    match connection {
        Some(connection) => {
            let life = u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX);
            redis::cmd("SET").arg(key).arg(boot).arg("PX").arg(life).exec(connection)
        }
        None => Ok(()),
    }
}
