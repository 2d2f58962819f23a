//! Starting and stopping: folders, sockets, the two accept tasks.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    ServerError, ServerOptions,
    connections::{Connections, Service},
    storage::Storage,
    tracker::Tracker,
    tree::Tree,
};

/// A running tracker and storage. Dropping it cuts all connections; [`ServerHandle::shutdown`] ends them in order.
pub struct ServerHandle {
    /// Where the tracker listens.
    pub tracker_addr: SocketAddr,
    /// Where the storage listens.
    pub storage_addr: SocketAddr,
    doors: Vec<Door>,
    grace: Duration,
}

impl ServerHandle {
    /// Cleans up what a killed server left, binds both sockets and serves. Needs a tokio runtime, whose tasks it keeps light.
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let (base_path, fsync) = (options.base_path.clone(), options.fsync);
        let opening = tokio::task::spawn_blocking(move || Tree::open(&base_path, fsync)).await;
        let tree = opening.expect("opening the folders does not panic")?;
        let storage_listener = listen(&options.storage).await?;
        let tracker_listener = listen(&options.tracker).await?;
        let storage_addr = local_address(&storage_listener, &options.storage)?;
        let tracker_addr = local_address(&tracker_listener, &options.tracker)?;
        let storage = Arc::new(Storage::new(&options, storage_addr, tree));
        let at_storage = connections(&options);
        let tracker = Tracker::new(&options, storage_addr, Arc::clone(&storage), Arc::clone(&at_storage));
        let doors = vec![
            Door::open("fastdfs-storage", storage_listener, at_storage, storage),
            Door::open("fastdfs-tracker", tracker_listener, connections(&options), Arc::new(tracker)),
        ];
        Ok(Self { tracker_addr, storage_addr, doors, grace: options.grace })
    }

    /// Admits nobody any more, lets running requests end within the grace period, then cuts.
    pub async fn shutdown(mut self) {
        for door in &mut self.doors {
            door.close().await;
        }
        let all_ended = async {
            for door in &self.doors {
                door.connections.ended().await;
            }
        };
        if tokio::time::timeout(self.grace, all_ended).await.is_err() {
            tracing::warn!("connections outlived the grace period and are cut");
        }
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerHandle {{ tracker: {}, storage: {} }}", self.tracker_addr, self.storage_addr)
    }
}

/// A listening socket and those who came in by it.
struct Door {
    accepting: JoinHandle<()>,
    connections: Arc<Connections>,
}

impl Door {
    fn open(
        name: &'static str,
        listener: TcpListener,
        connections: Arc<Connections>,
        service: Arc<dyn Service>,
    ) -> Self {
        let accepting = tokio::spawn(accept(name, listener, Arc::clone(&connections), service));
        Self { accepting, connections }
    }

    async fn close(&mut self) {
        self.accepting.abort();
        // Aborted is how it ends.
        let _ = (&mut self.accepting).await;
        self.connections.stop();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
        self.connections.cut();
    }
}

async fn accept(name: &'static str, listener: TcpListener, connections: Arc<Connections>, service: Arc<dyn Service>) {
    loop {
        let accepted = listener.accept().await.and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            Ok(stream)
        });
        match accepted {
            Ok(stream) => connections.admit(stream, Arc::clone(&service), name),
            Err(error) => {
                tracing::warn!(server = name, %error, "cannot accept a connection");
                // Out of file descriptors, most likely: trying again at once would spin.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn connections(options: &ServerOptions) -> Arc<Connections> {
    Arc::new(Connections::new(options.max_connections, options.idle_timeout, options.io_timeout))
}

async fn listen(address: &str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| cannot_listen(address, source))
}

fn local_address(listener: &TcpListener, address: &str) -> Result<SocketAddr, ServerError> {
    listener.local_addr().map_err(|source| cannot_listen(address, source))
}

fn cannot_listen(address: &str, source: io::Error) -> ServerError {
    ServerError::Listen { address: address.to_owned(), source }
}
