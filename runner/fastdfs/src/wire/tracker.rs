//! Bodies between a client and a tracker: where to store, where to fetch.

use std::net::{IpAddr, SocketAddr};

use super::{
    FileName, GroupName, WireError,
    field::{Fields, put_number, put_text},
};

const GROUP: usize = GroupName::WIDTH;
const PORT: usize = 8;

/// How wide an address field is: answers of IPv6 trackers are wider, even for IPv4 addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressSize {
    /// 15 bytes (16 in lists).
    Ipv4,
    /// 45 bytes (46 in lists).
    Ipv6,
}

impl AddressSize {
    /// The size that an address needs.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// Width in store and fetch answers.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Ipv4 => 15,
            Self::Ipv6 => 45,
        }
    }
}

/// Where to upload: a storage and the store path to name in the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreTarget {
    /// Its group.
    pub group: GroupName,
    /// Where it listens.
    pub address: SocketAddr,
    /// Handed back in the upload.
    pub path_index: u8,
}

/// Where to read or change a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchTarget {
    /// Its group.
    pub group: GroupName,
    /// Where it listens.
    pub address: SocketAddr,
}

impl StoreTarget {
    /// Reads an answer to 101, 104, 106 or 107: at least one target.
    pub fn decode(body: &[u8]) -> Result<Vec<Self>, WireError> {
        const WHAT: &str = "a store answer";
        let (path_index, servers) = body.split_last().ok_or_else(|| WireError::length(WHAT, 0))?;
        let targets = FetchTarget::decode_exact(WHAT, servers)?;
        let with_path = |FetchTarget { group, address }| Self { group, address, path_index: *path_index };
        Ok(targets.into_iter().map(with_path).collect())
    }

    /// Writes an answer; all targets are of one group.
    #[must_use]
    pub fn encode(group: &GroupName, servers: &[SocketAddr], path_index: u8, size: AddressSize) -> Vec<u8> {
        let mut body = FetchTarget::encode(group, servers, size);
        body.push(path_index);
        body
    }
}

impl FetchTarget {
    /// Reads an answer to 102, 103 or 105, in the layout of 6.16 or the older one (one port for all): at least one target.
    pub fn decode(body: &[u8]) -> Result<Vec<Self>, WireError> {
        const WHAT: &str = "a fetch answer";
        let shared = || first_good(|size| Self::decode_shared_port(WHAT, body, size));
        Self::decode_exact(WHAT, body).or_else(|error| shared().map_err(|_| error))
    }

    /// Writes an answer in the layout of 6.16.
    #[must_use]
    pub fn encode(group: &GroupName, servers: &[SocketAddr], size: AddressSize) -> Vec<u8> {
        let mut body = Vec::with_capacity(GROUP + servers.len() * (size.width() + PORT) + 1);
        put_text(&mut body, group.as_str(), GROUP);
        for server in servers {
            put_text(&mut body, &server.ip().to_string(), size.width());
            put_number(&mut body, u64::from(server.port()));
        }
        body
    }

    /// A port for each server.
    fn decode_exact(what: &'static str, body: &[u8]) -> Result<Vec<Self>, WireError> {
        first_good(|size| {
            let mut fields = Fields::of(what, body);
            let group: GroupName = fields.text(GROUP)?.parse()?;
            let entry = size.width() + PORT;
            if fields.remaining() == 0 || !fields.remaining().is_multiple_of(entry) {
                return Err(WireError::length(what, body.len()));
            }
            let mut targets = Vec::with_capacity(fields.remaining() / entry);
            while fields.remaining() > 0 {
                let address = ip(&mut fields, size)?;
                targets.push(Self { group, address: SocketAddr::new(address, port(&mut fields)?) });
            }
            Ok(targets)
        })
    }

    /// A port for the first server, which is that of the others too.
    fn decode_shared_port(what: &'static str, body: &[u8], size: AddressSize) -> Result<Vec<Self>, WireError> {
        let mut fields = Fields::of(what, body);
        let group: GroupName = fields.text(GROUP)?.parse()?;
        let first = ip(&mut fields, size)?;
        let port = port(&mut fields)?;
        let mut targets = Vec::with_capacity(1 + fields.remaining() / size.width());
        targets.push(Self { group, address: SocketAddr::new(first, port) });
        while fields.remaining() > 0 {
            targets.push(Self { group, address: SocketAddr::new(ip(&mut fields, size)?, port) });
        }
        Ok(targets)
    }

    /// The body of 102, 103 and 105: which file is asked for.
    #[must_use]
    pub fn request(group: &GroupName, name: &FileName) -> Vec<u8> {
        super::file_request(group, name)
    }
}

/// Servers of one address size, else of the other. Lengths alone do not tell: 23 wide entries are as long as 53 narrow ones,
/// and three narrow ones that share a port as long as a wide one. Where entries are cut wrongly, a port is never one.
fn first_good<T>(decode: impl Fn(AddressSize) -> Result<T, WireError>) -> Result<T, WireError> {
    decode(AddressSize::Ipv4).or_else(|error| decode(AddressSize::Ipv6).map_err(|_| error))
}

fn ip(fields: &mut Fields<'_>, size: AddressSize) -> Result<IpAddr, WireError> {
    fields.text(size.width())?.parse().map_err(|_| WireError::Text { what: "a storage address" })
}

fn port(fields: &mut Fields<'_>) -> Result<u16, WireError> {
    match u16::try_from(fields.number()?) {
        Ok(0) | Err(_) => Err(WireError::Number { what: "a storage port" }),
        Ok(port) => Ok(port),
    }
}
