//! What is asked of a tracker about groups, storages and trackers, beyond where to store and fetch.

use std::net::{IpAddr, SocketAddr};

use super::{
    GroupName, StorageId, WireError,
    field::{Fields, put_text, until_nul},
};

const GROUP: usize = GroupName::WIDTH;

/// A request that names a group and nothing else (90, 104, 107).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupRequest {
    /// Which group.
    pub group: GroupName,
}

impl GroupRequest {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(GROUP);
        put_text(&mut out, self.group.as_str(), GROUP);
        out
    }

    /// Reads a body of exactly 16 bytes.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a group request", body);
        let group = fields.text(GROUP)?.parse()?;
        fields.end().map(|()| Self { group })
    }
}

/// A request for the storages of a group, or for one of them (92). The bodies of 93 and 94 look the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoragesRequest {
    /// Which group.
    pub group: GroupName,
    /// Which storage; all where there is none.
    pub id: Option<StorageId>,
}

impl StoragesRequest {
    /// The body: the id is as long as it is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = GroupRequest { group: self.group }.encode();
        out.extend_from_slice(self.id.as_ref().map_or("", StorageId::as_str).as_bytes());
        out
    }

    /// Reads a body. The id has at most 15 bytes, what follows a NUL in them is ignored.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "a storages request";
        let mut fields = Fields::of(WHAT, body);
        let group = fields.text(GROUP)?.parse()?;
        let id = match fields.rest() {
            [] => None,
            id if id.len() > StorageId::WIDTH => return Err(WireError::length(WHAT, body.len())),
            id => Some(str::from_utf8(until_nul(id)).map_err(|_| WireError::Text { what: WHAT })?.parse()?),
        };
        Ok(Self { group, id })
    }
}

/// Writes an answer to 95: the tracker that leads the others.
#[must_use]
pub fn leader_answer(leader: SocketAddr) -> Vec<u8> {
    leader.to_string().into_bytes()
}

/// Reads an answer to 95: text, an address and a port with a colon between. IPv6 addresses may stand in brackets or not.
pub fn leader(body: &[u8]) -> Result<SocketAddr, WireError> {
    const WRONG: WireError = WireError::Text { what: "a leader's address" };
    let text = str::from_utf8(until_nul(body)).map_err(|_| WRONG)?;
    let (address, port) = text.rsplit_once(':').ok_or(WRONG)?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = bare.parse().map_err(|_| WRONG)?;
    Ok(SocketAddr::new(address, port.parse().map_err(|_| WRONG)?))
}
