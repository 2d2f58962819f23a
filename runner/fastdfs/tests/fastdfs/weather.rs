//! A storage behind bad weather: a tracker that names a proxy, and a proxy that cuts connections after random numbers of bytes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::peers::tracker_of;

pub(crate) struct Weather {
    /// Names the proxy as the storage of every file.
    pub(crate) tracker: SocketAddr,
    cuts: Arc<AtomicU64>,
}

impl Weather {
    /// Every connection is cut, most of them soon, after a number of bytes in a direction that is drawn too.
    pub(crate) async fn before(storage: SocketAddr, seed: u64) -> Self {
        let cuts = Arc::new(AtomicU64::new(0));
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tracker = tracker_of(&[proxy.local_addr().unwrap()]).await;
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let struck = Arc::clone(&cuts);
        tokio::spawn(async move {
            loop {
                let (client, _) = proxy.accept().await.unwrap();
                let limits = {
                    let mut random = random.lock().unwrap();
                    let reach = if random.random_ratio(1, 4) { 1_000_000 } else { 6_000 };
                    let bytes = random.random_range(0..reach);
                    if random.random() { [bytes, u64::MAX] } else { [u64::MAX, bytes] }
                };
                tokio::spawn(pass(client, storage, limits, Arc::clone(&struck)));
            }
        });
        Self { tracker, cuts }
    }

    /// How many connections were cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Carries bytes both ways until one side ends, or `[to the server, to the client]` so many have passed. The client learns of a
/// cut when the server has done with the connection: what was on its way then has happened, or never will.
async fn pass(mut client: TcpStream, storage: SocketAddr, limits: [u64; 2], struck: Arc<AtomicU64>) {
    let Ok(mut server) = TcpStream::connect(storage).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let (mut up, mut down) = (from_client.take(limits[0]), from_server.take(limits[1]));
    tokio::select! {
        _ = tokio::io::copy(&mut up, &mut to_server) => {}
        _ = tokio::io::copy(&mut down, &mut to_client) => {}
    }
    struck.fetch_add(u64::from(up.limit() == 0 || down.limit() == 0), Ordering::Relaxed);
    let _ = to_server.shutdown().await;
    let _ = tokio::io::copy(down.get_mut(), &mut tokio::io::sink()).await;
}
