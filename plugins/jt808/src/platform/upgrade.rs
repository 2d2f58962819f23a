//! Sends an upgrade package, and hears which packets arrived and how the upgrade went.

use packhorse_codec::{
    Chunk, DecodeOut, EncodeOut, Event, Fault, Outcome, Reader, Span, Text, Transfer, Verdict, Writer,
};

use super::{Speaker, answers_last_only};
use crate::describe::{DOWN, PLATFORM_RESEND, TERMINAL_ANSWER, TERMINAL_RESEND, UPGRADE, UPGRADE_RESULT};
use crate::frame::Frame;
use crate::package::{Grid, Head};
use crate::words::{Answer, Fared, Resend, runs};

/// The platform's end of an upgrade.
#[derive(Debug)]
pub(super) struct Upgrade {
    head: Head,
    grid: Grid,
    /// The serial number of the first packet; those of the others follow.
    first: u16,
    last_only: bool,
}

impl Upgrade {
    pub(super) fn open(transfer: &Transfer, speaker: &mut Speaker) -> Result<Self, Text> {
        let head = Head::of(transfer)?;
        let grid = Grid::new(head.size.into(), transfer.packet_size).ok_or_else(|| {
            let words = format!("{} bytes make more than 65535 packets of {}", head.size, transfer.packet_size);
            Text::new("packets", words)
        })?;
        let first = speaker.serials(grid.total);
        Ok(Self { head, grid, first, last_only: answers_last_only(transfer) })
    }

    pub(super) fn chunk(&self, chunk: &Chunk, speaker: &Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        let packet = self.grid.packet(chunk.offset, chunk.bytes.len() as u64)?;
        let body = if packet.index == 1 { self.head.body(&chunk.bytes) } else { chunk.bytes.clone() };
        let serial = self.first.wrapping_add(packet.index - 1);
        out.send(DOWN, speaker.line.write(&Frame { id: UPGRADE, serial, packet, body })?);
        Ok(())
    }

    pub(super) fn hear(&self, frame: &Frame, speaker: &mut Speaker, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        match frame.id {
            TERMINAL_ANSWER => self.answered(&frame.body, out),
            TERMINAL_RESEND | PLATFORM_RESEND => self.missing(&frame.body, out),
            UPGRADE_RESULT => self.result(frame, speaker, out),
            _ => Err(Fault::NotMine),
        }
    }

    /// A general answer to a packet of ours.
    fn answered(&self, body: &[u8], out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let answer = Answer::read(body)?;
        let index = answer.serial.wrapping_sub(self.first);
        if answer.id != UPGRADE || index >= self.grid.total {
            return Err(Fault::NotMine);
        }
        let index = index + 1;
        let all = self.last_only && index == self.grid.total;
        let span = if all { Span::new(0, self.grid.size) } else { self.grid.span(index, index) };
        out.push(match answer.fared {
            Fared::Done => Event::Ack(span),
            Fared::Failed | Fared::Bad => Event::Missing(self.grid.span(index, index)),
            Fared::Unsupported => {
                let text = Text::new("3", "the terminal does not know upgrade packages");
                Event::Outcome(Outcome { verdict: Verdict::Refused, text })
            }
        });
        Ok(())
    }

    /// The terminal lists the packets that it lacks.
    fn missing(&self, body: &[u8], out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mut resend = Resend::read(body)?;
        if resend.first != self.first {
            return Err(Fault::NotMine);
        }
        resend.packets.sort_unstable();
        resend.packets.dedup();
        let spans = runs(&resend.packets).into_iter().map(|(first, last)| self.grid.span(first, last));
        spans.filter(|span| span.length() > 0).for_each(|span| out.push(Event::Missing(span)));
        Ok(())
    }

    /// How it went, which is answered like any message.
    fn result(&self, frame: &Frame, speaker: &mut Speaker, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mut body = Reader::new(&frame.body);
        let (part, result) = (body.u8("part")?, body.u8("result")?);
        body.end()?;
        if part != self.head.part {
            return Err(Fault::NotMine);
        }
        let (verdict, words) = match result {
            0 => (Verdict::Good, "the upgrade succeeded"),
            1 => (Verdict::Failed, "the upgrade failed"),
            2 => (Verdict::Cancelled, "the upgrade was cancelled"),
            _ => return Err(Fault::malformed(format!("result {result} is not one of the standard's"))),
        };
        out.push(Event::Outcome(Outcome { verdict, text: Text::new(result.to_string(), words) }));
        out.reply(DOWN, speaker.answer(frame.serial, UPGRADE_RESULT, Fared::Done)?);
        Ok(())
    }

    pub(super) fn save(&self, state: &mut Writer) {
        state.u16_be(self.first);
    }

    /// A transfer that goes on keeps its serial numbers, in a later session as well: the terminal puts the packets of one message
    /// together by them, and each stands for the same bytes for ever.
    pub(super) fn restore(&mut self, state: &mut Reader<'_>) -> Result<(), Fault> {
        self.first = state.u16_be("first serial")?;
        Ok(())
    }
}
