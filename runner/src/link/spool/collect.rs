//! Makes room: segments go in the order in which they were written, as soon as nothing in them is needed. So a mark never goes before the bytes
//! that it voids. Where little is needed of much, what is needed of the oldest segment is copied to the end first.

use super::SpoolError;
use super::index::{Extent, Moved, Place};
use super::lock;
use super::record::{HEADER, Kind, MAGIC, Record};
use super::replay::{next, path};
use super::writer::{Writer, data_at, io};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};

/// Segments' worth of bytes up to which nothing is copied.
const SPARE: u64 = 4;
/// Number of segments up to which small ones are not joined.
const MANY: usize = 16;
/// Bytes that are copied at a time.
const AT_A_TIME: usize = 1 << 20;

/// What makes room next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Rest,
    /// The oldest segment can go.
    Remove(u64),
    /// The oldest segment can go when what is needed of it lies elsewhere.
    Empty(u64),
}

/// Judges by the lengths of the closed segments, what of the oldest is needed, what is needed in all, and the length of a full segment.
fn step(closed: &BTreeMap<u64, u64>, needed: u64, in_all: u64, limit: u64) -> Step {
    let Some((oldest, length)) = closed.first_key_value() else { return Step::Rest };
    let total: u64 = closed.values().sum();
    let wasteful = total > SPARE * limit && total > in_all.saturating_mul(2);
    let scattered = closed.len() > MANY && *length < limit / 8;
    match needed {
        0 => Step::Remove(*oldest),
        _ if wasteful || scattered => Step::Empty(*oldest),
        _ => Step::Rest,
    }
}

impl Writer {
    /// Removes what can go; copies at most one segment.
    pub(super) fn collect(&mut self) {
        let mut copied = false;
        loop {
            let step = {
                let index = lock(&self.index);
                let oldest = self.closed.first_key_value().map_or(0, |(oldest, _)| *oldest);
                step(&self.closed, index.needed(oldest), index.needed_in_all(), self.limit)
            };
            let gone = match step {
                Step::Rest => return,
                Step::Remove(number) => self.remove(number),
                Step::Empty(number) if copied || self.unreadable == Some(number) => return,
                Step::Empty(number) => {
                    copied = true;
                    self.empty(number)
                }
            };
            if let Err(error) = gone {
                tracing::warn!(error = packhorse_core::failure::chain(&error), "cannot make room in the spool now");
                return;
            }
        }
    }

    /// The folder is flushed each time: a later segment, whose marks void bytes of this one, must not be gone before it.
    fn remove(&mut self, number: u64) -> Result<(), SpoolError> {
        let name = path(&self.folder, number);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &name)(error)),
            _ => {}
        }
        self.sync_folder()?;
        self.closed.remove(&number);
        Ok(())
    }

    /// Copies what is needed of a segment to the end of the spool.
    fn empty(&mut self, number: u64) -> Result<(), SpoolError> {
        let copied = self.open().and_then(|()| self.copy(number));
        // Nothing is moved before it is durable at its new place.
        let moved = match copied {
            Ok(moved) => moved,
            Err(error @ SpoolError::Unreadable { .. }) => {
                self.unreadable = Some(number);
                return Err(error);
            }
            Err(error) => {
                self.leave();
                return Err(error);
            }
        };
        let mut index = lock(&self.index);
        index.relocate(number, &moved);
        if index.needed(number) > 0 {
            self.unreadable = Some(number);
            return Err(SpoolError::Unreadable { path: path(&self.folder, number) });
        }
        Ok(())
    }

    fn copy(&mut self, number: u64) -> Result<Vec<Moved>, SpoolError> {
        let (name, target) = (path(&self.folder, number), path(&self.folder, self.number));
        let unreadable = |_| SpoolError::Unreadable { path: name.clone() };
        let mut reader = BufReader::with_capacity(1 << 20, File::open(&name).map_err(unreadable)?);
        reader.read_exact(&mut [0; MAGIC.len()]).map_err(unreadable)?;
        let (mut position, mut end, mut data, mut moved) = (MAGIC.len() as u64, self.length, Vec::new(), Vec::new());
        self.buffer.clear();
        while let Some(record) = next(&mut reader, &mut data) {
            self.take((number, position), record, &data, end, &mut moved);
            position += HEADER as u64 + u64::from(record.length);
            if self.buffer.len() >= AT_A_TIME {
                self.write(&target)?;
                end += self.buffer.len() as u64;
                self.buffer.clear();
            }
        }
        self.write(&target)?;
        self.sync(&target)?;
        self.length = end + self.buffer.len() as u64;
        Ok(moved)
    }

    /// Puts what is needed of a record into the buffer, which will lie at `end`.
    fn take(&mut self, at: (u64, u64), record: Record, data: &[u8], end: u64, moved: &mut Vec<Moved>) {
        let (number, position) = at;
        let index = lock(&self.index);
        if record.kind == Kind::Name && index.is_named_in(record.key, number) {
            record.write(data, &mut self.buffer);
            moved.push(Moved::Name { key: record.key, segment: self.number });
        }
        let needed = if record.kind == Kind::Data { index.needed_of(record, number, position) } else { Vec::new() };
        for Extent { span, place } in needed {
            let from = usize::try_from(place.position - data_at(position)).unwrap_or(usize::MAX);
            let length = u32::try_from(span.len()).unwrap_or(u32::MAX);
            let Some(bytes) = data.get(from..from.saturating_add(length as usize)) else { continue };
            let place = Place { segment: self.number, position: data_at(end + self.buffer.len() as u64) };
            moved.push(Moved::Data { key: record.key, start: span.start, place });
            Record { offset: span.start, length, ..record }.write(bytes, &mut self.buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(lengths: &[u64]) -> BTreeMap<u64, u64> {
        (3..).zip(lengths.iter().copied()).collect()
    }

    #[test]
    fn a_segment_goes_when_nothing_in_it_is_needed_and_is_copied_only_where_that_pays() {
        assert_eq!(step(&closed(&[]), 0, 0, 100), Step::Rest);
        assert_eq!(step(&closed(&[100, 100]), 0, 50, 100), Step::Remove(3));
        assert_eq!(step(&closed(&[100; 4]), 1, 1, 100), Step::Rest, "little is lost");
        assert_eq!(step(&closed(&[100; 5]), 1, 1, 100), Step::Empty(3));
        assert_eq!(step(&closed(&[100; 5]), 100, 300, 100), Step::Rest, "most of it is needed");
        assert_eq!(step(&closed(&[10; 17]), 10, 170, 100), Step::Empty(3), "many small ones are joined");
        assert_eq!(step(&closed(&[100; 17]), 100, 1_700, 100), Step::Rest);
    }
}
