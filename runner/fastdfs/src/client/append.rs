//! Appending exactly once: an append whose outcome is not known is asked back by the file's size before it is repeated.

use tokio::io::AsyncRead;

use super::{
    Attempt, Client, ClientError, Operation,
    exchange::Call,
    send::{Content, Sending},
    tries::Doubt,
};
use crate::wire::{AppendHead, Command, FileId};

impl Client {
    /// Appends to an appender file, exactly once: asks for its size, then does as [`Client::append_at`]. Where several append to
    /// one file at the same time, a broken connection may end in [`ClientError::Changed`]: whose bytes are there is then unknown.
    pub async fn append(&self, file: &FileId, content: &[u8]) -> Result<(), ClientError> {
        let at = self.file_size(file).await?;
        self.append_at(file, at, content).await.map(|_| ())
    }

    /// Appends exactly `size` bytes of a reader. Once something was taken from the reader nothing is repeated, but a lost answer is
    /// still made up for by asking for the size.
    pub async fn append_reader(
        &self,
        file: &FileId,
        reader: &mut (dyn AsyncRead + Unpin + Send),
        size: u64,
    ) -> Result<(), ClientError> {
        let at = self.file_size(file).await?;
        self.append_content(file, at, Content::reader(reader, size)).await.map(|_| ())
    }

    /// Appends to an appender file of which the caller knows that it has `at` bytes and that nobody else changes it; the new size.
    ///
    /// When the outcome is not known, the storage is asked for the size after a pause: still `at`, and the append is repeated;
    /// larger by the content, and it is done; something between, and the file is cut back to `at` and the append is repeated. Before
    /// either, the CRC of what is there behind `at` is compared with that of what was sent. Anything else is
    /// [`ClientError::Changed`]. The size is not asked for otherwise: a wrong `at` is noticed only then.
    pub async fn append_at(&self, file: &FileId, at: u64, content: &[u8]) -> Result<u64, ClientError> {
        self.append_content(file, at, Content::bytes(content)).await
    }

    async fn append_content(&self, file: &FileId, at: u64, mut content: Content<'_>) -> Result<u64, ClientError> {
        let end = at.saturating_add(content.size());
        let mut tries = self.tries();
        // A storage that is slow may yet carry out an earlier try.
        let mut doubt = Doubt::default();
        loop {
            let error = match self.append_once(file, &mut content).await {
                Ok(()) => return self.expect_size(file, end, doubt).await,
                Err(error) if !error.is_passing() && !error.is_outcome_unknown() => return Err(doubt.or(error)),
                Err(error) => error,
            };
            tries.pause().await;
            let sent = Appended { size: content.size(), crc32: content.crc32(), bytes: content.as_bytes() };
            if let Some(attempt) = error.attempt().filter(|attempt| attempt.operation == Operation::Append) {
                match self.outcome(file, at, sent).await {
                    Outcome::Done => return Ok(end),
                    Outcome::Unknown => return Err(doubt.or(error)),
                    Outcome::Changed(found) => return Err(changed(attempt, end, found)),
                    Outcome::NotDone => {}
                }
            }
            if !content.is_whole() || !tries.take() {
                return Err(doubt.or(error));
            }
            doubt.note(error);
        }
    }

    /// What became of an append that failed; where it was done in part, that is undone.
    async fn outcome(&self, file: &FileId, at: u64, sent: Appended<'_>) -> Outcome {
        let Ok(found) = self.file_size(file).await else { return Outcome::Unknown };
        let Some(there) = found.checked_sub(at) else { return Outcome::Changed(found) };
        if there == 0 && sent.size > 0 {
            return Outcome::NotDone;
        }
        // Only what was sent is taken for ours: anything else is not counted as done, and never cut off.
        let Some(ours) = sent.crc32_of_first(there) else { return Outcome::Changed(found) };
        match self.range_crc32(file, at, there).await {
            Ok(crc32) if crc32 == ours => {}
            Ok(_) => return Outcome::Changed(found),
            Err(_) => return Outcome::Unknown,
        }
        if there == sent.size {
            return Outcome::Done;
        }
        self.truncate(file, at).await.map_or(Outcome::Unknown, |()| Outcome::NotDone)
    }

    /// After a repetition of what was doubtful: that it was not done twice.
    async fn expect_size(&self, file: &FileId, end: u64, doubt: Doubt) -> Result<u64, ClientError> {
        let Some(doubt) = doubt.into_error() else { return Ok(end) };
        match (self.file_size(file).await, doubt.attempt()) {
            (Ok(found), _) if found == end => Ok(end),
            (Ok(found), Some(attempt)) => Err(changed(attempt, end, found)),
            (Ok(_), None) | (Err(_), _) => Err(doubt),
        }
    }

    async fn append_once(&self, file: &FileId, content: &mut Content<'_>) -> Result<(), ClientError> {
        let address = self.route_to_change(file).await?.address;
        let head = AppendHead::encode(&file.name, content.size());
        let sending = Sending { command: Command::APPEND, head: &head };
        // An answer to an append of nothing echoes the request: its body means nothing.
        self.send(Call::on(Operation::Append, file), address, sending, content).await.map(|_| ())
    }
}

/// What should have been appended.
#[derive(Clone, Copy)]
struct Appended<'a> {
    size: u64,
    crc32: Option<u32>,
    bytes: Option<&'a [u8]>,
}

impl Appended<'_> {
    /// None where there is not so much, or where it came from a reader and is gone.
    fn crc32_of_first(self, count: u64) -> Option<u32> {
        if count == self.size {
            return self.crc32;
        }
        self.bytes?.get(..usize::try_from(count).ok()?).map(crc32fast::hash)
    }
}

enum Outcome {
    Done,
    NotDone,
    /// It has another size than it can have if nobody else changes it, or other bytes.
    Changed(u64),
    Unknown,
}

fn changed(attempt: &Attempt, expected: u64, found: u64) -> ClientError {
    ClientError::Changed { attempt: Box::new(attempt.clone()), expected, found }
}
