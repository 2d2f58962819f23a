//! Metadata of a file: a small file of its own beside it.

use std::{
    io::{self, Read as _, Write as _},
    sync::Arc,
};

use super::{
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    storage::{Storage, StorePath, file_of, on_disk},
    tree::metadata_name,
};
use crate::wire::{FileName, Metadata, MetadataFlag, MetadataRequest};

/// Metadata of a file beyond this is refused.
const MAX_METADATA: usize = PIECE;

impl Storage {
    pub(super) async fn set_metadata(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let body = peer.whole_body().await?.to_vec();
        // Many small items take more room than their bytes: while this waits for its turn, only the bytes are kept.
        let file = MetadataRequest::decode(&body)?.file;
        self.check_group(&file.group)?;
        let path = self.path_of(&file.name)?;
        let writer = self.lock(peer, &file.name).await?;
        let at = Arc::clone(&path);
        let set = on_disk(&path.writers, move || {
            at.tree.open_to_read(&file.name)?;
            let MetadataRequest { flag, metadata, .. } = MetadataRequest::decode(&body).map_err(io::Error::other)?;
            let metadata = match flag {
                MetadataFlag::Overwrite => metadata,
                MetadataFlag::Merge => {
                    let mut merged = at.metadata(&file.name)?.unwrap_or_default();
                    merged.merge(&metadata);
                    merged
                }
            };
            at.put_metadata(&file.name, &metadata)?;
            drop(writer);
            Ok(())
        });
        set.await.map(|()| Reply::EMPTY)
    }

    pub(super) async fn get_metadata(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let request = file_of(peer.whole_body().await?)?;
        self.check_group(&request.group)?;
        let path = self.path_of(&request.name)?;
        let at = Arc::clone(&path);
        let read = on_disk(&path.readers, move || {
            at.tree.open_to_read(&request.name)?;
            at.metadata(&request.name)
        });
        let metadata = read.await?.ok_or(Refusal::NOT_FOUND)?;
        Ok(Reply::Body(metadata.encode()))
    }
}

impl StorePath {
    /// Metadata that was set, if any.
    fn metadata(&self, name: &FileName) -> io::Result<Option<Metadata>> {
        let name = metadata_name(name).ok_or(io::ErrorKind::InvalidInput)?;
        let file = match self.tree.open_to_read(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_METADATA as u64).read_to_end(&mut bytes)?;
        Ok(Some(Metadata::decode(&bytes)))
    }

    fn put_metadata(&self, name: &FileName, metadata: &Metadata) -> io::Result<()> {
        if metadata.is_empty() {
            return self.remove_metadata(name);
        }
        let bytes = metadata.encode();
        if bytes.len() > MAX_METADATA {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let name = metadata_name(name).ok_or(io::ErrorKind::InvalidInput)?;
        let mut new = self.tree.temp.create()?;
        new.file.write_all(&bytes)?;
        self.tree.replace(new, &name)
    }

    pub(super) fn remove_metadata(&self, name: &FileName) -> io::Result<()> {
        // A name too long to have metadata has none.
        let Some(name) = metadata_name(name) else { return Ok(()) };
        match self.tree.remove(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}
