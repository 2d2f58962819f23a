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

/// 0xFF in an upload lets the storage choose.
const MAX_STORE_PATHS: usize = 255;

/// How long what was cut may take to end.
const CUT: Duration = Duration::from_secs(5);

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
        let trees = open_store_paths(&options).await?;
        let storage_listener = listen(&options.storage).await?;
        let tracker_listener = listen(&options.tracker).await?;
        let storage_addr = local_address(&storage_listener, &options.storage)?;
        let tracker_addr = local_address(&tracker_listener, &options.tracker)?;
        let storage = Arc::new(Storage::new(&options, storage_addr, trees));
        let at_storage = connections(&options);
        let tracker = Tracker::new(&options, tracker_addr, storage_addr, Arc::clone(&storage), Arc::clone(&at_storage));
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
        if tokio::time::timeout(self.grace, all_ended).await.is_ok() {
            return;
        }
        tracing::warn!("connections outlived the grace period and are cut");
        for door in &self.doors {
            door.connections.cut();
            // What they have on the disk ends first; a disk that hangs is not waited for.
            let _ = tokio::time::timeout(CUT, door.connections.ended()).await;
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
    fn open<S: Service>(
        name: &'static str,
        listener: TcpListener,
        connections: Arc<Connections>,
        service: Arc<S>,
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

async fn accept<S: Service>(name: &str, listener: TcpListener, connections: Arc<Connections>, service: Arc<S>) {
    loop {
        let accepted = listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
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

async fn open_store_paths(options: &ServerOptions) -> Result<Vec<Tree>, ServerError> {
    let paths: Vec<_> = std::iter::once(&options.base_path).chain(&options.more_store_paths).cloned().collect();
    if paths.len() > MAX_STORE_PATHS {
        return Err(ServerError::StorePaths { count: paths.len() });
    }
    let fsync = options.fsync;
    let opening = move || paths.iter().map(|path| Tree::open(path, fsync)).collect();
    tokio::task::spawn_blocking(opening).await.expect("opening the folders does not panic")
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
