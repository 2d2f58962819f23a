//! FastDFS without C: the wire protocol as pure functions, an async client, and a tracker and storage server in one process.
//!
//! * [`wire`] — bytes to values and back; no I/O.
//! * [`client`] — pooled, failing over between trackers, every wait limited, repeating only what cannot be done twice.
//! * [`server`] — real sockets and files on disk; an ordinary FastDFS client can talk to it.
//!
//! ```
//! use packhorse_fastdfs::{Client, ClientOptions, Extension, ServerHandle, ServerOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let server = ServerHandle::start(ServerOptions::new(folder.path()).on_free_ports()).await?;
//! let client = Client::new(ClientOptions::new([server.tracker_addr.to_string()]));
//!
//! let file = client.upload(b"hello", &"txt".parse::<Extension>()?).await?;
//! assert_eq!(client.download(&file, 1, 3, 1024).await?, b"ell"[..]);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

pub mod client;
pub mod server;
pub mod wire;

pub use client::{Client, ClientError, ClientOptions, Place};
pub use server::{Fsync, ServerError, ServerHandle, ServerOptions};
pub use wire::{Extension, FileId, FileName, GroupName};
