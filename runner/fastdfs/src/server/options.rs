//! What can be chosen about a server.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::wire::{AddressSize, GroupName};

/// When content reaches the disk for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fsync {
    /// The system decides. A killed process loses nothing that was answered; a power cut may.
    #[default]
    Never,
    /// A complete file (upload, regenerate) is on disk, with its name, before the answer. Appends may be lost by a power cut.
    Close,
    /// Every change is on disk before its answer.
    Always,
}

impl std::str::FromStr for Fsync {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "close" => Ok(Self::Close),
            "always" => Ok(Self::Always),
            other => Err(format!("{other:?} is none of never, close, always")),
        }
    }
}

/// Options of a server; start from [`ServerOptions::new`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// `host:port` of the tracker; port 0 takes a free one. Default `127.0.0.1:22122`.
    pub tracker: String,
    /// `host:port` of the storage; port 0 takes a free one. Default `127.0.0.1:23000`.
    pub storage: String,
    /// The address that the tracker gives to clients. Default: the storage's, or the one a client came in by where the storage
    /// listens on all.
    pub advertise: Option<IpAddr>,
    /// The only group. Default `group1`.
    pub group: GroupName,
    /// Files lie in `data/` below this folder, which is created.
    pub base_path: PathBuf,
    /// More such folders, as a rule on other disks: the base path is store path 0, these are 1, 2, … (at most 254 of them). Their
    /// order is part of every file id. Uploads take turns.
    pub more_store_paths: Vec<PathBuf>,
    /// Bytes to leave free on the disk of each store path: an upload that would take them is refused (28). Default 0.
    pub reserved_space: u64,
    /// Address fields of answers as wide as IPv6 needs them, for IPv4 addresses too: as the original does where
    /// `response_ip_addr_size` is `IPv6`. Default: as wide as the address needs.
    pub wide_addresses: bool,
    /// Reads of files at once for each store path, where the system has not got the content in memory. Default 4.
    pub disk_readers: usize,
    /// Writes of files at once for each store path. Default 4.
    pub disk_writers: usize,
    /// Default [`Fsync::Never`].
    pub fsync: Fsync,
    /// Connections at once, tracker and storage each; more are closed when they come. Default 1024.
    pub max_connections: usize,
    /// Largest file, also after appends. Default 1 TiB.
    pub max_file_size: u64,
    /// How long a connection may rest between requests. Default one hour.
    pub idle_timeout: Duration,
    /// How long to wait for the next bytes within a request or an answer. Default 60 s.
    pub io_timeout: Duration,
    /// How long [`super::ServerHandle::shutdown`] lets requests end. Default 5 s.
    pub grace: Duration,
}

impl ServerOptions {
    /// The defaults, files below `base_path`.
    #[must_use]
    pub fn new(base_path: impl Into<PathBuf>) -> Self {
        Self {
            tracker: "127.0.0.1:22122".to_owned(),
            storage: "127.0.0.1:23000".to_owned(),
            advertise: None,
            group: GroupName::new("group1").expect("a constant that fits"),
            base_path: base_path.into(),
            more_store_paths: Vec::new(),
            reserved_space: 0,
            wide_addresses: false,
            disk_readers: 4,
            disk_writers: 4,
            fsync: Fsync::default(),
            max_connections: 1024,
            max_file_size: 1 << 40,
            idle_timeout: Duration::from_secs(3600),
            io_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }

    /// How wide address fields are.
    pub(super) fn address_size(&self, address: IpAddr) -> AddressSize {
        if self.wide_addresses { AddressSize::Ipv6 } else { AddressSize::of(address) }
    }

    /// Free ports on loopback: for tests and for programs that read the addresses back.
    #[must_use]
    pub fn on_free_ports(mut self) -> Self {
        "127.0.0.1:0".clone_into(&mut self.tracker);
        "127.0.0.1:0".clone_into(&mut self.storage);
        self
    }
}
