//! One connection: bytes go both ways until one side ends or the fault strikes.

use super::{Fault, Kind, Shared, Way};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

pub(super) struct Flow {
    pub(super) shared: Arc<Shared>,
    pub(super) fault: Option<Fault>,
}

/// Why a connection ends before both sides have ended it.
enum End {
    Struck(Kind),
    Broken,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Flow {
    pub(super) async fn run(self, client: TcpStream) {
        let mut severed = self.shared.severed.subscribe();
        match self.fault {
            Some(Fault::Refuse) => {
                self.strikes(Kind::Refuse);
                reset(client);
            }
            Some(Fault::BlackHole) => {
                self.strikes(Kind::BlackHole);
                let _ = severed.changed().await;
                reset(client);
            }
            _ => match TcpStream::connect(self.shared.target).await {
                Ok(server) => self.join(client, server, severed).await,
                Err(_) => reset(client),
            },
        }
    }

    async fn join(self, mut client: TcpStream, mut server: TcpStream, mut severed: tokio::sync::watch::Receiver<u64>) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        if let Some(fault @ (Fault::Slow(..) | Fault::Split)) = self.fault {
            self.strikes(fault.kind());
        }
        let ended = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            let both = async {
                tokio::try_join!(
                    self.pump(Way::Up, from_client, to_server),
                    self.pump(Way::Down, from_server, to_client)
                )
            };
            tokio::select! {
                ended = both => ended.map(drop),
                _ = severed.changed() => Err(End::Struck(Kind::Reset)),
            }
        };
        match ended {
            Ok(()) | Err(End::Struck(Kind::Cut)) => {
                let _ = (client.shutdown().await, server.shutdown().await);
            }
            Err(End::Struck(Kind::HalfOpen)) => {
                let _ = severed.changed().await;
                reset(client);
                reset(server);
            }
            Err(_) => {
                reset(client);
                reset(server);
            }
        }
    }

    async fn pump(&self, way: Way, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; CHUNK];
        let mut strike = self.fault.and_then(|fault| Some((fault.kind(), fault.after(way)?)));
        let mut passed = 0;
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                to.shutdown().await?;
                return Ok(());
            }
            let mut end = count;
            if let Some((kind, at)) = strike.filter(|(_, at)| *at < passed + count as u64) {
                let place = (at - passed) as usize;
                self.strikes(kind);
                if kind == Kind::Flip {
                    buffer[place] ^= 1;
                    strike = None;
                } else {
                    end = place;
                }
            }
            self.write(&mut to, &buffer[..end]).await?;
            passed += end as u64;
            self.shared.bytes.fetch_add(end as u64, Ordering::Relaxed);
            if let Some((kind, _)) = strike.filter(|_| end < count) {
                return Err(End::Struck(kind));
            }
        }
    }

    async fn write(&self, to: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
        match self.fault {
            Some(Fault::Slow(rate, late)) => {
                let slept =
                    Duration::from_millis(late) + Duration::from_secs(1).mul_f64(bytes.len() as f64 / rate as f64);
                tokio::time::sleep(slept).await;
                to.write_all(bytes).await
            }
            Some(Fault::Split) => {
                for byte in bytes {
                    to.write_all(std::slice::from_ref(byte)).await?;
                }
                Ok(())
            }
            _ => to.write_all(bytes).await,
        }
    }

    fn strikes(&self, kind: Kind) {
        self.shared.struck[kind as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends a connection by RST: the other side reads an error, not an end.
fn reset(stream: TcpStream) {
    drop(stream.set_zero_linger());
}
