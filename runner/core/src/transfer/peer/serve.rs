//! The answering half of a device whose file the platform pulls: each request once, in pieces.

use std::collections::VecDeque;

use super::plan::PeerAction;
use crate::transfer::{Event, FileInfo, Finish, Span, StartUpload, Want};

/// One request is answered with at most so many pieces; the platform asks for the rest again.
const PIECES: usize = 4096;

/// What a platform-pull device does.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// Whether the file was announced in this session.
    announced: bool,
}

impl Server {
    /// The process died, or another file was chosen: it announces itself anew.
    pub(super) fn forget(&mut self) {
        self.announced = false;
    }

    /// Says which file it is.
    pub(super) fn announce(&mut self, file: &FileInfo, out: &mut VecDeque<PeerAction>) {
        self.announced = true;
        let resume_key = file.name.clone();
        out.push_back(PeerAction::Say(Event::StartUpload(StartUpload { tag: 0, file: file.clone(), resume_key })));
    }

    /// Answers one request.
    pub(super) fn need(&mut self, want: &Want, file: &FileInfo, packet: u32, out: &mut VecDeque<PeerAction>) {
        let size = file.size.unwrap_or(0);
        // Said again with what ends the file: the first time may be lost, and nobody answers it.
        if !self.announced || want.span.end >= size {
            self.announce(file, out);
        }
        let piece = u64::from(if want.limit == 0 { packet } else { want.limit }.max(1));
        let ends = send(want.tag, want.span, size, piece, out);
        if ends {
            let finish = Finish { tag: want.tag, size: Some(size), digests: file.digests.clone() };
            out.push_back(PeerAction::Say(Event::Finish(finish)));
        }
    }
}

/// Hands out the pieces of a span; says whether the last one of the file is among them.
pub(super) fn send(tag: u64, span: Span, size: u64, piece: u64, out: &mut VecDeque<PeerAction>) -> bool {
    let end = span.end.min(size);
    if span.start >= end {
        let past_end = span.start >= size;
        if past_end {
            out.push_back(PeerAction::SendData { tag, span: Span::new(size, size), last: true });
        }
        return past_end;
    }
    let mut start = span.start;
    for _ in 0..PIECES {
        let stop = start.saturating_add(piece).min(end);
        let last = stop == size;
        out.push_back(PeerAction::SendData { tag, span: Span::new(start, stop), last });
        start = stop;
        if start >= end {
            return last;
        }
    }
    false
}
