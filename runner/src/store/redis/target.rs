//! Which Redis server, and how to connect to it: plain, over TLS, or to the master that Sentinels name.

use redis::{
    AsyncConnectionConfig, Client, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    RedisError, RedisResult, TlsCertificates, aio::MultiplexedConnection,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Port of a Sentinel that does not say another.
const SENTINEL_PORT: u16 = 26_379;

/// Where a Redis server is and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`, with user, password and database number where they are needed. With Sentinels the host is the name
    /// under which they know the master.
    pub url: String,
    /// Goes before the URL's.
    pub password: Option<String>,
    /// Roots of trust for `rediss://` in PEM; absent = the system's.
    pub ca_file: Option<PathBuf>,
    /// Sentinels as `HOST[:PORT]`; empty = the URL names the server itself.
    pub sentinels: Vec<String>,
    /// For the Sentinels themselves.
    pub sentinel_password: Option<String>,
    /// Bounds connecting.
    pub connect_timeout: Duration,
    /// Bounds the wait for an answer.
    pub timeout: Duration,
}

impl RedisSettings {
    /// Ordinary time-outs, and nothing beside the URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            ca_file: None,
            sentinels: Vec::new(),
            sentinel_password: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
        }
    }

    /// The URL as it may be shown.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else { return self.url.clone() };
        match rest.rsplit_once('@') {
            Some((user, host)) => format!("{scheme}://{}:***@{host}", user.split(':').next().unwrap_or_default()),
            None => self.url.clone(),
        }
    }
}

impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RedisSettings").field("url", &self.shown()).field("sentinels", &self.sentinels).finish()
    }
}

/// Settings that lead to no server.
#[derive(Debug, thiserror::Error)]
pub enum RedisUrlError {
    /// No URL of the two kinds.
    #[error("`{url}` is no Redis URL: expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or rediss://…")]
    Url {
        /// Without its password.
        url: String,
    },
    /// The file with the roots of trust.
    #[error("cannot read {}", path.display())]
    Ca {
        /// Its name.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The certificates in it.
    #[error("the certificates for {url} cannot be used: {why}")]
    Certificates {
        /// Without its password.
        url: String,
        /// Why not.
        why: String,
    },
}

/// Makes connections to one server, or to whichever the Sentinels name now.
pub(super) struct Connector {
    client: Client,
    certificates: Option<TlsCertificates>,
    settings: RedisSettings,
    /// Which Sentinel answered last.
    next_sentinel: AtomicUsize,
}

impl Connector {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, RedisUrlError> {
        let wrong = || RedisUrlError::Url { url: settings.shown() };
        if !settings.url.starts_with("redis://") && !settings.url.starts_with("rediss://") {
            return Err(wrong());
        }
        let mut info = settings.url.as_str().into_connection_info().map_err(|_| wrong())?;
        if let Some(password) = &settings.password {
            let with = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(with);
        }
        let certificates = match &settings.ca_file {
            None => None,
            Some(path) => {
                let root = std::fs::read(path).map_err(|source| RedisUrlError::Ca { path: path.clone(), source })?;
                Some(TlsCertificates { client_tls: None, root_cert: Some(root) })
            }
        };
        let client = open(info, certificates.as_ref())
            .map_err(|error| RedisUrlError::Certificates { url: settings.shown(), why: error.to_string() })?;
        Ok(Self { client, certificates, settings: settings.clone(), next_sentinel: AtomicUsize::new(0) })
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// A connection for a thread that may block.
    pub(super) fn connect(&self) -> RedisResult<Connection> {
        let connection = self.resolved()?.get_connection_with_timeout(self.settings.connect_timeout)?;
        connection.set_read_timeout(Some(self.settings.timeout))?;
        connection.set_write_timeout(Some(self.settings.timeout))?;
        Ok(connection)
    }

    /// A connection for tasks, which may share it.
    pub(super) async fn connect_async(self: &std::sync::Arc<Self>) -> RedisResult<MultiplexedConnection> {
        let client = if self.settings.sentinels.is_empty() {
            self.client.clone()
        } else {
            let connector = self.clone();
            let asked = tokio::task::spawn_blocking(move || connector.resolved()).await;
            asked.map_err(|_| RedisError::from((ErrorKind::Client, "asking the Sentinels was interrupted")))??
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.timeout));
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The server itself, or the master that the first Sentinel names that answers.
    fn resolved(&self) -> RedisResult<Client> {
        let sentinels = &self.settings.sentinels;
        if sentinels.is_empty() {
            return Ok(self.client.clone());
        }
        let first = self.next_sentinel.load(Ordering::Relaxed);
        let mut last = None;
        for turn in 0..sentinels.len() {
            let place = (first + turn) % sentinels.len();
            match self.master_by(&sentinels[place]) {
                Ok(address) => {
                    self.next_sentinel.store(place, Ordering::Relaxed);
                    let info = self.client.get_connection_info().clone().set_addr(address);
                    return open(info, self.certificates.as_ref());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RedisError::from((ErrorKind::EmptySentinelList, "no Sentinel is named"))))
    }

    fn master_by(&self, sentinel: &str) -> RedisResult<ConnectionAddr> {
        let own = self.client.get_connection_info();
        let (host, port) = match sentinel.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) => (host.to_owned(), port),
            None => (sentinel.to_owned(), SENTINEL_PORT),
        };
        let mut with = own.redis_settings().clone().set_db(0).set_username("default");
        with = with.set_password(self.settings.sentinel_password.as_deref().unwrap_or_default());
        let bare = ConnectionAddr::Tcp(host.clone(), port).into_connection_info()?;
        let info = if self.settings.sentinel_password.is_some() { bare.set_redis_settings(with) } else { bare };
        let info = info.set_addr(moved(own.addr(), host, port));
        let client = open(info, self.certificates.as_ref())?;
        let mut connection = client.get_connection_with_timeout(self.settings.connect_timeout)?;
        connection.set_read_timeout(Some(self.settings.connect_timeout))?;
        let master = master_name(own);
        let (host, port): (String, u16) =
            redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).query(&mut connection)?;
        Ok(moved(own.addr(), host, port))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Connector({})", self.settings.shown())
    }
}

fn open(info: ConnectionInfo, certificates: Option<&TlsCertificates>) -> RedisResult<Client> {
    match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        None => Client::open(info),
    }
}

fn master_name(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        other => other.to_string(),
    }
}

/// The same way of speaking to another place.
fn moved(like: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}
