//! Bytes that arrive, and what is known of the file.

use super::Receive;
use super::end::Stage;
use crate::transfer::action::{Action, TransferFailure};
use crate::transfer::failure::code;
use crate::transfer::line::Line;
use crate::transfer::time::{Micros, Time};
use crate::transfer::words::{Accept, Command, Data, Digest, FileInfo, Receipt, Refuse, Span, StartUpload, Sum, Text};

/// Ranges that may lie apart; more is an attack on our memory.
const FRAGMENTS_MOST: usize = 65_536;
/// Receipts that may wait for the disk.
const RECEIPTS_MOST: usize = 65_536;
/// Damaged pieces without a good one between them.
const BAD_MOST: u32 = 256;
/// How often the device's file may become another one.
const CHANGES_MOST: u32 = 16;
/// Beginnings of an upload without a new byte between them.
const STARTS_MOST: u32 = 16;

impl Receive {
    pub(super) fn data(&mut self, data: Data, line: &mut Line, now: Time) {
        let Some(end) = data.offset.checked_add(data.bytes.len() as u64) else {
            self.lies(format!("sends bytes from offset {} on, which no file has", data.offset), line);
            return;
        };
        let span = Span::new(data.offset, end);
        if data.sum == Sum::Bad {
            self.damaged(&data, span, line, now);
            return;
        }
        self.bad_in_row = 0;
        self.begun = true;
        self.last_data = now;
        self.nudges = 0;
        if !self.bounded(span, data.last, line) {
            return;
        }
        if span.is_empty() {
            self.nothing(&data, line, now);
            return;
        }
        self.take(data, span, line, now);
    }

    /// Checks the span against what is known of the file's size, and learns from it.
    fn bounded(&mut self, span: Span, last: bool, line: &mut Line) -> bool {
        if span.end > self.size_limit {
            let message = format!("{} sends more than the {} bytes that may be taken", line.device, self.size_limit);
            line.fail(TransferFailure::permanent(code::TOO_LARGE, message));
            return false;
        }
        let beyond = self.size.is_some_and(|size| span.end > size);
        if beyond && !span.is_empty() {
            let size = self.size.unwrap_or(0);
            self.lies(format!("sends bytes {} to {} of a file of {size}", span.start, span.end), line);
            return false;
        }
        if last && !beyond {
            self.learn_size(span.end, line);
            self.closed = true;
        }
        line.running()
    }

    fn take(&mut self, data: Data, span: Span, line: &mut Line, now: Time) {
        let known = self.taken.covered_in(span);
        line.traffic.retransmitted_bytes += known;
        if known < span.len() {
            if self.stage != Stage::Receiving || self.taken.ranges() >= FRAGMENTS_MOST {
                line.implausible(format!("bytes {} to {} have no place here", span.start, span.end));
                return;
            }
            if self.flight.within(span).next().is_none() {
                self.stop_hunting();
            }
            self.starts = 0;
            self.write(data.tag, data.bytes, span, known == 0, line);
        }
        self.answered = true;
        self.flight.land(span, &self.taken, &mut self.rtt, now);
        self.short_of_grid(span, line);
        if !self.acknowledges {
            return;
        }
        if self.done.contains(span) {
            line.say(Command::Ack(Receipt { tag: data.tag, span, good: true }));
        } else if self.receipts.len() < RECEIPTS_MOST {
            self.receipts.push_back((data.tag, span));
        }
    }

    /// What is new of it goes to the spool; bytes that are here already stay as they are.
    fn write(&mut self, tag: u64, bytes: Vec<u8>, span: Span, all_new: bool, line: &mut Line) {
        if all_new {
            line.act(Action::Write { tag, offset: span.start, bytes });
        } else {
            for gap in self.taken.gaps(span) {
                let (from, to) = ((gap.start - span.start) as usize, (gap.end - span.start) as usize);
                line.act(Action::Write { tag, offset: gap.start, bytes: bytes[from..to].to_vec() });
            }
        }
        self.taken.insert(span);
        self.asked.insert(span);
    }

    /// On a grid every piece but the last is full, so that a shorter one ends the file.
    fn short_of_grid(&mut self, span: Span, line: &mut Line) {
        if self.by_request && self.grid && self.size.is_none() && span.len() < self.packet {
            self.learn_size(span.end, line);
        }
    }

    /// An empty piece: the device has nothing there.
    fn nothing(&mut self, data: &Data, line: &mut Line, now: Time) {
        self.answered = true;
        if self.size.is_none() {
            let from = self.nothing_from.map_or(data.offset, |known| known.min(data.offset));
            self.nothing_from = Some(from);
        } else if self.size.is_some_and(|size| data.offset < size) {
            line.implausible(format!("has nothing at byte {} of its own file", data.offset));
        }
        if self.size.or(self.nothing_from).is_some_and(|end| data.offset >= end) {
            self.flight.drop(data.offset);
        }
        if self.acknowledges {
            let span = Span::new(data.offset, data.offset);
            line.say(Command::Ack(Receipt { tag: data.tag, span, good: true }));
        }
        let _ = now;
    }

    fn damaged(&mut self, data: &Data, span: Span, line: &mut Line, now: Time) {
        line.faults.bad_sums += 1;
        line.note(format!("the piece at byte {} is damaged: its own check does not hold", span.start));
        self.bad_in_row += 1;
        if self.bad_in_row >= BAD_MOST {
            let message = format!("{} sent {BAD_MOST} damaged pieces in a row", line.device);
            line.fail(TransferFailure::transient(code::DAMAGED, message));
            return;
        }
        if self.acknowledges {
            line.say(Command::Ack(Receipt { tag: data.tag, span, good: false }));
        }
        if self.by_request {
            let (asked, taken) = (&mut self.asked, &self.taken);
            self.flight.lose_within(span, Micros(0), now, |lost| {
                asked.remove(lost);
                asked.extend(taken.parts(lost));
            });
        }
    }

    /// Whether the answers settle the size of a file of which the device never told it.
    pub(super) fn settle_size(&mut self, line: &mut Line) {
        if self.size.is_none()
            && let Some(end) = self.nothing_from
            && self.taken.prefix() >= end
        {
            self.learn_size(end, line);
        }
    }

    pub(super) fn learn_size(&mut self, size: u64, line: &mut Line) {
        if self.size == Some(size) {
            return;
        }
        if let Some(known) = self.size {
            self.lies(format!("says that its file has {size} bytes, and {known} before"), line);
        } else if self.taken.end() > size {
            self.lies(format!("says that its file has {size} bytes, and sent byte {}", self.taken.end() - 1), line);
        } else if size > self.size_limit {
            let message = format!("{}'s file has {size} bytes; at most {} may be taken", line.device, self.size_limit);
            line.fail(TransferFailure::permanent(code::TOO_LARGE, message));
        } else {
            self.size = Some(size);
            let beyond = Span::new(size, u64::MAX);
            self.asked.remove(beyond);
            while let Some(span) = self.flight.beyond(size) {
                self.flight.drop(span.start);
            }
        }
    }

    pub(super) fn lies(&self, what: String, line: &mut Line) {
        let failure = TransferFailure::permanent(code::DEVICE_LIES, format!("{} {what}", line.device))
            .hint("what came is not published; look at the device or its codec")
            .restart();
        line.fail(failure);
    }

    // ---- which file it is

    pub(super) fn start(&mut self, start: StartUpload, line: &mut Line, now: Time) {
        if let Some(size) = start.file.size.filter(|size| *size > self.size_limit) {
            let text = Text { code: code::TOO_LARGE.to_owned(), message: "the file is too large".to_owned() };
            line.say(Command::Refuse(Refuse { tag: start.tag, text }));
            self.learn_size(size, line);
            return;
        }
        if self.differs(&start.file, &start.resume_key) && !self.begin_anew(line, now) {
            return;
        }
        if let Some(size) = start.file.size {
            self.learn_size(size, line);
        }
        if !start.file.digests.is_empty() {
            self.told = start.file.digests;
        }
        if !start.file.name.is_empty() {
            self.name = start.file.name;
        }
        if !start.resume_key.is_empty() {
            self.resume_key = start.resume_key;
        }
        self.stop_hunting();
        self.begun = true;
        self.last_data = now;
        if matches!(self.stage, Stage::Lingering { .. }) {
            self.repeat_end(line, now);
            return;
        }
        if !self.by_request && line.running() && !self.starts_in_vain(start.tag, line) {
            let accept = Accept { tag: start.tag, upload_id: self.upload_id.clone(), resume_at: self.done.prefix() };
            line.say(Command::Accept(accept));
        }
    }

    /// A device that begins again and again and never gives a byte more is stopped; copies of one beginning count once.
    fn starts_in_vain(&mut self, tag: u64, line: &mut Line) -> bool {
        if self.stage != Stage::Receiving || tag == self.last_start {
            return false;
        }
        self.last_start = tag;
        self.starts += 1;
        if self.starts <= STARTS_MOST {
            return false;
        }
        let message = format!("{} began its upload {STARTS_MOST} times and gave no byte more", line.device);
        line.fail(TransferFailure::permanent(code::RUNAWAY, message).restart());
        true
    }

    /// Whether this is another file than the one that we have bytes of. Where no digest tells, its name does, and by what key the
    /// device names the upload.
    fn differs(&self, file: &FileInfo, resume_key: &str) -> bool {
        let size = file.size.zip(self.size).is_some_and(|(new, known)| new != known)
            || file.size.is_some_and(|size| self.taken.end() > size);
        let shared = |digest: &Digest| self.told.iter().find(|told| told.algorithm == digest.algorithm);
        let compared: Vec<bool> =
            file.digests.iter().filter_map(|digest| Some(shared(digest)?.value != digest.value)).collect();
        let other = |new: &str, known: &str| !new.is_empty() && !known.is_empty() && new != known;
        let named = other(&file.name, &self.name) || other(resume_key, &self.resume_key);
        size || (compared.is_empty() && named) || compared.contains(&true)
    }

    /// Throws away what came of the other file; false where the new one is not wanted.
    fn begin_anew(&mut self, line: &mut Line, now: Time) -> bool {
        if self.stage != Stage::Receiving {
            self.stop_lingering(line, now);
            return false;
        }
        self.changes += 1;
        if self.changes > CHANGES_MOST {
            let message = format!("{}'s file became another one {} times during one pull", line.device, self.changes);
            let failure = TransferFailure::transient(code::KEEPS_CHANGING, message)
                .hint("pull it when the device does not write it, or pull a rotated copy");
            line.fail(failure.restart());
            return false;
        }
        line.note("the device's file became another one; its bytes are thrown away and the pull begins anew");
        line.traffic.resumes += 1;
        (self.size, self.nothing_from, self.closed) = (None, None, false);
        self.name.clear();
        self.told.clear();
        self.resume_key.clear();
        self.done.clear();
        self.taken.clear();
        self.asked.clear();
        self.hunting = false;
        self.receipts.clear();
        self.flight.clear();
        line.forget_writes();
        line.act(Action::Truncate);
        line.progress();
        true
    }
}
