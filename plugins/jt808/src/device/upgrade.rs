//! Takes an upgrade package: answers its packets once they are stored, asks for those that it lacks, and says how the upgrade went.

use std::collections::VecDeque;

use packhorse_codec::{
    Algorithm, Chunk, Command, DecodeOut, Digest, EncodeOut, Fault, File, Offer, Reader, Span, Verdict, Writer,
};

use super::Voice;
use crate::describe::{TERMINAL_ANSWER, TERMINAL_RESEND, UP, UPGRADE, UPGRADE_RESULT};
use crate::frame::Frame;
use crate::package::{Grid, Head};
use crate::words::{Answer, Fared, LISTED_MOST, Resend};

/// Packets that wait for their answer; an older one that was not answered comes again.
const UNANSWERED_MOST: usize = 1024;

/// The terminal's end of an upgrade.
#[derive(Debug)]
pub(super) struct Upgrade {
    last_only: bool,
    package: Option<Package>,
    /// Numbers of packets that arrived and were not answered yet.
    unanswered: VecDeque<u16>,
}

/// The split message that a package comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    first: u16,
    part: u8,
    grid: Grid,
}

impl Upgrade {
    pub(super) fn new(last_only: bool) -> Self {
        Self { last_only, package: None, unanswered: VecDeque::new() }
    }

    pub(super) fn packet(
        &mut self,
        frame: &Frame,
        voice: &mut Voice,
        out: &mut DecodeOut<Command>,
    ) -> Result<(), Fault> {
        let packet = frame.packet;
        let first = frame.serial.wrapping_sub(packet.index - 1);
        let mut piece = frame.body.as_slice();
        if packet.index == 1 {
            let mut body = Reader::new(&frame.body);
            let head = Head::read(&mut body)?;
            piece = body.rest();
            self.begin(first, packet.total, &head, piece.len() as u64, out)?;
        }
        let known = self.package.as_ref();
        let Some(package) = known.filter(|it| it.first == first && it.grid.total == packet.total) else {
            // Its first packet tells what the others are.
            let resend = Resend { first, packets: vec![1] };
            out.reply(UP, voice.frame(TERMINAL_RESEND, resend.body(voice.line.edition()))?);
            return Ok(());
        };
        let span = package.grid.span(packet.index, packet.index);
        if span.length() != piece.len() as u64 {
            return Err(Fault::malformed(format!("packet {} has {} bytes of the file", packet.index, piece.len())));
        }
        if !self.unanswered.contains(&packet.index) {
            if self.unanswered.len() == UNANSWERED_MOST {
                self.unanswered.pop_front();
            }
            self.unanswered.push_back(packet.index);
        }
        let last = packet.is_last();
        out.push(Command::Chunk(Chunk { tag: 0, offset: span.start, bytes: piece.to_vec(), last }));
        Ok(())
    }

    /// The first packet announces the file. Under other serial numbers it is another file, whatever its size is.
    fn begin(
        &mut self,
        first: u16,
        total: u16,
        head: &Head,
        piece: u64,
        out: &mut DecodeOut<Command>,
    ) -> Result<(), Fault> {
        let size = u64::from(head.size);
        let grid = Grid { size, piece: piece.max(1), total };
        if size.div_ceil(grid.piece).max(1) != u64::from(total) {
            return Err(Fault::malformed(format!("{size} bytes in {total} packets, of which the first has {piece}")));
        }
        let package = Package { first, part: head.part, grid };
        if self.package.as_ref() != Some(&package) {
            self.package = Some(package);
            self.unanswered.clear();
        }
        let version = String::from_utf8_lossy(&head.version).into_owned();
        // No digest travels. So that the simulated device tells one file from another of the same size, the number of the message
        // stands in the place of one, under an algorithm that nobody computes of a file.
        let digests = vec![Digest::new(Algorithm::Crc16Arc, first.to_be_bytes())];
        let meta = vec![("version".to_owned(), version.clone())];
        let file = File { name: version, size: Some(size), digests, meta };
        out.push(Command::Offer(Offer { tag: 0, file, url: String::new() }));
        Ok(())
    }

    /// These bytes are stored: the packets that brought them are answered, each once.
    pub(super) fn hold(&mut self, held: Span, voice: &mut Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        let Some(package) = &self.package else { return Ok(()) };
        let grid = package.grid;
        let all = held.start == 0 && held.end >= grid.size;
        let within = |packet: u16| {
            let span = grid.span(packet, packet);
            held.start <= span.start && span.end <= held.end && (!self.last_only || all)
        };
        let (stored, rest): (Vec<u16>, Vec<u16>) = self.unanswered.iter().partition(|packet| within(**packet));
        self.unanswered = rest.into();
        let answered = stored.into_iter().filter(|packet| !self.last_only || *packet == grid.total);
        for packet in answered {
            let answer = Answer { serial: package.first.wrapping_add(packet - 1), id: UPGRADE, fared: Fared::Done };
            voice.say(TERMINAL_ANSWER, answer.body(), out)?;
        }
        Ok(())
    }

    pub(super) fn lack(&self, span: Span, voice: &mut Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        let package = self.package.as_ref().ok_or(Fault::Unsupported)?;
        let packets: Vec<u16> = package.grid.packets(span).collect();
        for packets in packets.chunks(LISTED_MOST) {
            let resend = Resend { first: package.first, packets: packets.to_vec() };
            voice.say(TERMINAL_RESEND, resend.body(voice.line.edition()), out)?;
        }
        Ok(())
    }

    pub(super) fn outcome(&self, verdict: Verdict, voice: &mut Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        let package = self.package.as_ref().ok_or(Fault::Unsupported)?;
        let result = match verdict {
            Verdict::Good => 0,
            Verdict::Cancelled => 2,
            Verdict::BadDigest | Verdict::BadSize | Verdict::Refused | Verdict::DeviceFull | Verdict::Failed => 1,
        };
        voice.say(UPGRADE_RESULT, vec![package.part, result], out)
    }

    pub(super) fn save(&self, state: &mut Writer) {
        let Some(package) = &self.package else { return state.u8(0) };
        state.u8(1);
        state.u16_be(package.first);
        state.u8(package.part);
        state.u64_be(package.grid.size);
        state.u64_be(package.grid.piece);
        state.u16_be(package.grid.total);
        state.u16_be(self.unanswered.len() as u16);
        self.unanswered.iter().for_each(|packet| state.u16_be(*packet));
    }

    pub(super) fn restore(&mut self, state: &mut Reader<'_>) -> Result<(), Fault> {
        if state.u8("package")? == 0 {
            return Ok(());
        }
        let (first, part) = (state.u16_be("first serial")?, state.u8("part")?);
        let (size, piece, total) = (state.u64_be("size")?, state.u64_be("piece")?.max(1), state.u16_be("packets")?);
        self.package = Some(Package { first, part, grid: Grid { size, piece, total } });
        for _ in 0..state.u16_be("unanswered packets")? {
            self.unanswered.push_back(state.u16_be("packet")?);
        }
        Ok(())
    }
}
