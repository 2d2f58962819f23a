//! Reading: downloads, file info, metadata.

use std::{fs::File, os::unix::fs::FileExt as _, os::unix::fs::MetadataExt as _};

use super::{
    change::crc_of,
    peer::Peer,
    reply::{Refusal, Reply},
    storage::Storage,
    tree::Tree,
};
use crate::wire::{
    AddressSize, DownloadRequest, FileInfo, FileKind, FileName, HEADER_LEN, Header, Source, Status, parse_file_request,
};

/// Answers up to this size are read and sent in one piece; for larger ones only the first piece is.
const FIRST: u64 = 64 << 10;
/// Flag in the status of a file info request.
const NO_CRC: u8 = 1;

impl Storage {
    pub(super) fn download(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let request = DownloadRequest::decode(peer.whole_body()?)?;
        self.check_group(&request.group)?;
        let file = self.open(&request.name, Tree::open_to_read)?;
        let size = self.visible_size(&request.name, &file)?;
        if request.offset >= size {
            return Err(Refusal::INVALID);
        }
        let rest = size - request.offset;
        let count = if request.length == 0 { rest } else { request.length.min(rest) };
        send(peer, &file, request.offset, count)?;
        Ok(Reply::Sent)
    }

    pub(super) fn file_info(&self, peer: &mut Peer, flags: Status) -> Result<Reply, Refusal> {
        let request = parse_file_request(peer.whole_body()?)?;
        self.check_group(&request.group)?;
        let file = self.open(&request.name, Tree::open_to_read)?;
        let size = self.visible_size(&request.name, &file)?;
        let metadata = file.metadata().map_err(|error| Refusal::disk(&error))?;
        let named = request.name.info()?;
        let crc32 = match named.kind {
            FileKind::Normal { .. } | FileKind::Trunk { .. } => named.crc32,
            FileKind::Appender | FileKind::Slave if flags.0 & NO_CRC != 0 => 0,
            FileKind::Appender | FileKind::Slave => crc_of(&file, size).map_err(|error| Refusal::disk(&error))?,
        };
        let source = match named.source {
            Source::Address(address) => address.into(),
            Source::Id(_) => self.address,
        };
        let info = FileInfo { size, modified_unix: metadata.mtime(), crc32, source: Some(source) };
        Ok(Reply::Body(info.encode(AddressSize::of(self.address).width() + 1)))
    }

    pub(super) fn get_metadata(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let request = parse_file_request(peer.whole_body()?)?;
        self.check_group(&request.group)?;
        self.open(&request.name, Tree::open_to_read)?;
        let metadata = self.metadata_of(&request.name)?.ok_or(Refusal::NOT_FOUND)?;
        Ok(Reply::Body(metadata.encode()))
    }

    /// The size without what an unfinished change has added.
    fn visible_size(&self, name: &FileName, file: &File) -> Result<u64, Refusal> {
        // Asked before and after: a change may begin or end while the size is read.
        let before = self.writers.visible(name);
        let size = file.metadata().map_err(|error| Refusal::disk(&error))?.len();
        let visible = before.min(self.writers.visible(name));
        Ok(size.min(visible))
    }
}

fn send(peer: &Peer, file: &File, offset: u64, count: u64) -> Result<(), Refusal> {
    let first = count.min(FIRST) as usize;
    let mut answer = vec![0; HEADER_LEN + first];
    answer[..HEADER_LEN].copy_from_slice(&Header::answer(Status::OK, count).encode());
    file.read_exact_at(&mut answer[HEADER_LEN..], offset).map_err(|error| Refusal::disk(&error))?;
    peer.write(&answer)?;
    let rest = count - first as u64;
    if rest == 0 {
        return Ok(());
    }
    use std::io::{Seek as _, SeekFrom};
    let mut file = file;
    // The header is out: a failure now can only cut the connection.
    file.seek(SeekFrom::Start(offset + first as u64)).map_err(|_| Refusal::Broken)?;
    peer.copy_from(file, rest)
}
