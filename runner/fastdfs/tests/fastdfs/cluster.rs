//! A server on free ports in a folder of its own, and a client of it.

use std::time::Duration;

use packhorse_fastdfs::{Client, ClientOptions, Extension, ServerHandle, ServerOptions};
use tempfile::TempDir;

pub(crate) struct Cluster {
    pub(crate) server: ServerHandle,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(|options| options).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(ServerOptions) -> ServerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = change(ServerOptions::new(folder.path()).on_free_ports());
        let server = ServerHandle::start(options).await.unwrap();
        let client = client_of(&server);
        Self { server, client, folder }
    }

    /// Ends the server in order and starts another one on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.server.shutdown().await;
        let server = ServerHandle::start(ServerOptions::new(self.folder.path()).on_free_ports()).await.unwrap();
        let client = client_of(&server);
        Self { server, client, folder: self.folder }
    }

    /// Files below `data/XX/XX`.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for outer in std::fs::read_dir(self.folder.path().join("data")).unwrap() {
            let outer = outer.unwrap().path();
            if outer.file_name().unwrap().len() != 2 {
                continue;
            }
            for inner in std::fs::read_dir(outer).unwrap() {
                for file in std::fs::read_dir(inner.unwrap().path()).unwrap() {
                    found.push(file.unwrap().file_name().into_string().unwrap());
                }
            }
        }
        found
    }

    pub(crate) fn unfinished(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("data/tmp")).unwrap().count()
    }
}

pub(crate) fn client_of(server: &ServerHandle) -> Client {
    let mut options = ClientOptions::new([server.tracker_addr.to_string()]);
    options.io_timeout = Duration::from_secs(20);
    Client::new(options)
}

pub(crate) fn ext(text: &str) -> Extension {
    text.parse().unwrap()
}

/// Bytes that differ everywhere, the same on every run.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}
