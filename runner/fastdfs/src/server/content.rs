//! Content on its way from a socket to the disk: small content in memory, large content in pieces, one being written while
//! the next one is received. Memory of a connection is constant, whatever the size of its file.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use super::{
    lanes::Running,
    peer::{PIECE, Peer},
    reply::Refusal,
    storage::StorePath,
    temp::TempFile,
};

/// Content that has arrived whole.
pub(super) enum Content {
    Memory(Vec<u8>),
    File(TempFile, u32),
}

impl Content {
    /// The rest of a body. Nothing of it has a name yet, so nothing is left when the client goes away.
    pub(super) async fn receive(peer: &mut Peer, path: &Arc<StorePath>) -> Result<Self, Refusal> {
        let size = peer.body_left();
        if size <= PIECE as u64 {
            return peer.content(size as usize).await.map(Self::Memory);
        }
        let at = Arc::clone(path);
        let temp = super::storage::on_disk(&path.writers, move || at.tree.temp.create()).await?;
        let file = Arc::new(temp.file.try_clone().map_err(|error| Refusal::disk(&error))?);
        match stream_to(peer, path, file, 0).await {
            Ok(crc32) => Ok(Self::File(temp, crc32)),
            Err(refusal) => {
                // Removing a large file takes its time.
                path.writers.run(move || drop(temp)).await;
                Err(refusal)
            }
        }
    }

    /// In a nameless file, with its CRC-32. Blocks.
    pub(super) fn into_temp(self, path: &StorePath) -> io::Result<(TempFile, u32)> {
        match self {
            Self::File(temp, crc32) => Ok((temp, crc32)),
            Self::Memory(bytes) => {
                let temp = path.tree.temp.create()?;
                temp.file.write_all_at(&bytes, 0)?;
                Ok((temp, crc32fast::hash(&bytes)))
            }
        }
    }
}

struct Written {
    crc: crc32fast::Hasher,
    piece: Vec<u8>,
}

/// Writes the rest of a body to a file, from `offset` on; its CRC-32.
pub(super) async fn stream_to(
    peer: &mut Peer,
    path: &StorePath,
    file: Arc<File>,
    mut offset: u64,
) -> Result<u32, Refusal> {
    let mut idle = Some(Written { crc: crc32fast::Hasher::new(), piece: Vec::new() });
    let mut spare = Vec::new();
    let mut writing: Option<Running<io::Result<Written>>> = None;
    while peer.body_left() > 0 {
        let count = peer.body_left().min(PIECE as u64) as usize;
        let piece = peer.content_in(std::mem::take(&mut spare), count).await;
        let Written { crc, piece: used } = match writing.take() {
            Some(running) => running.end().await.map_err(|error| Refusal::disk(&error))?,
            None => idle.take().expect("it is idle until the first piece is written"),
        };
        let piece = piece?;
        spare = used;
        let file = Arc::clone(&file);
        writing = Some(path.writers.begin(move || write(&file, piece, offset, crc)).await);
        offset += count as u64;
    }
    let last = match writing {
        Some(running) => running.end().await.map_err(|error| Refusal::disk(&error))?,
        None => idle.expect("nothing was written"),
    };
    Ok(last.crc.finalize())
}

fn write(file: &File, piece: Vec<u8>, offset: u64, mut crc: crc32fast::Hasher) -> io::Result<Written> {
    crc.update(&piece);
    file.write_all_at(&piece, offset)?;
    Ok(Written { crc, piece })
}
