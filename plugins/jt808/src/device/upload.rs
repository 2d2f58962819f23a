//! Sends media: announces them, sends their packets, and sends again what the platform lacks.

use std::collections::VecDeque;

use packhorse_codec::{
    Accept, Command, Data, DecodeOut, EncodeOut, Fault, Outcome, Reader, Receipt, Refuse, StartUpload, Tag, Text,
    Verdict, Want, Writer,
};

use super::Voice;
use crate::describe::{MEDIA, MEDIA_EVENT, PHOTO, PHOTO_ANSWER, TERMINAL_ANSWER, UP};
use crate::frame::Frame;
use crate::media::{HEAD, Media};
use crate::package::Grid;
use crate::words::{Answer, Fared, Resend, read_list, runs};

/// Packets whose tags are kept until they are answered.
const FLYING_MOST: usize = 128;

/// The terminal's end of an upload.
#[derive(Debug)]
pub(super) struct Upload {
    piece: u32,
    sending: Option<Sending>,
    /// The announcement that is not answered yet: its serial number and the tag of the upload.
    announced: Option<(u16, Tag)>,
    /// The wish that is not answered yet: its message and serial number.
    wish: Option<(u16, u16)>,
    /// Packets by number, with the tags of what they carried.
    flying: VecDeque<(u16, Tag)>,
}

/// The split message that the media go in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sending {
    media: Media,
    first: u16,
    grid: Grid,
}

impl Upload {
    pub(super) fn new(piece: u32) -> Self {
        Self { piece, sending: None, announced: None, wish: None, flying: VecDeque::new() }
    }

    /// The platform wants media.
    pub(super) fn wished(&mut self, id: u16, serial: u16, out: &mut DecodeOut<Command>) {
        self.wish = Some((id, serial));
        out.push(Command::RequestUpload(0));
    }

    pub(super) fn is_asked(&self) -> bool {
        self.wish.is_some()
    }

    /// There is nothing to send.
    pub(super) fn cannot(&mut self, voice: &mut Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        self.grant(false, voice, out)
    }

    fn grant(&mut self, granted: bool, voice: &mut Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        let Some((id, serial)) = self.wish.take() else { return Ok(()) };
        if id == PHOTO {
            let mut body = Writer::with_capacity(9);
            body.u16_be(serial);
            body.u8(if granted { 0 } else { 1 });
            if let Some(sending) = self.sending.as_ref().filter(|_| granted) {
                body.u16_be(1);
                body.u32_be(sending.media.id);
            }
            return voice.say(PHOTO_ANSWER, body.finish(), out);
        }
        let fared = if granted { Fared::Done } else { Fared::Failed };
        voice.say(TERMINAL_ANSWER, Answer { serial, id, fared }.body(), out)
    }

    /// Announces the media. The same again are the same message.
    pub(super) fn start(&mut self, start: &StartUpload, voice: &mut Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        let media = Media::named(&start.file.name);
        let size = start.file.size.ok_or_else(|| Fault::malformed("media of unknown size cannot be counted"))?;
        let grid = Grid::new(size, self.piece).ok_or_else(|| Fault::malformed("more than 65535 packets"))?;
        if self.sending.as_ref().is_none_or(|sending| sending.media != media || sending.grid != grid) {
            let first = voice.serials(grid.total);
            self.sending = Some(Sending { media, first, grid });
            self.flying.clear();
        }
        self.grant(true, voice, out)?;
        self.announced = Some((voice.next, start.tag));
        voice.say(MEDIA_EVENT, media.bytes().to_vec(), out)
    }

    pub(super) fn data(&mut self, data: &Data, voice: &Voice, out: &mut EncodeOut) -> Result<(), Fault> {
        let Some(sending) = &self.sending else {
            return Err(Fault::malformed("a piece of media that were not announced"));
        };
        let packet = sending.grid.packet(data.offset, data.bytes.len() as u64)?;
        let mut body = Vec::with_capacity(HEAD + data.bytes.len());
        if packet.index == 1 {
            body.extend_from_slice(&sending.media.bytes());
            // No place is known.
            body.resize(HEAD, 0);
        }
        body.extend_from_slice(&data.bytes);
        let serial = sending.first.wrapping_add(packet.index - 1);
        out.send(UP, voice.line.write(&Frame { id: MEDIA, serial, packet, body })?);
        self.flying.retain(|(known, _)| *known != packet.index);
        if self.flying.len() == FLYING_MOST {
            self.flying.pop_front();
        }
        self.flying.push_back((packet.index, data.tag));
        Ok(())
    }

    /// A general answer: to the announcement, or to a packet.
    pub(super) fn answered(&mut self, body: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let answer = Answer::read(body)?;
        let good = answer.fared == Fared::Done;
        match answer.id {
            MEDIA_EVENT => {
                let (_, tag) = self.announced.take_if(|(serial, _)| *serial == answer.serial).ok_or(Fault::NotMine)?;
                out.push(if good {
                    Command::Accept(Accept { tag, upload_id: String::new(), resume_at: 0 })
                } else {
                    Command::Refuse(Refuse { tag, text: Text::new("1", "the platform does not take the media") })
                });
                Ok(())
            }
            MEDIA => self.packet_answered(answer, out),
            // Nothing waits for the others.
            _ => Ok(()),
        }
    }

    fn packet_answered(&mut self, answer: Answer, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let sending = self.sending.as_ref().ok_or(Fault::NotMine)?;
        let index = answer.serial.wrapping_sub(sending.first);
        if index >= sending.grid.total {
            return Err(Fault::NotMine);
        }
        let index = index + 1;
        if answer.fared == Fared::Failed && index == sending.grid.total {
            let text = Text::new("1", "the platform could not use the media");
            out.push(Command::Outcome(Outcome { verdict: Verdict::Failed, text }));
            return Ok(());
        }
        let at = self.flying.iter().position(|(known, _)| *known == index);
        let tag = at.and_then(|at| self.flying.remove(at)).map_or(0, |(_, tag)| tag);
        let good = answer.fared == Fared::Done;
        out.push(Command::Ack(Receipt { tag, span: sending.grid.span(index, index), good }));
        Ok(())
    }

    /// 0x8800: everything is there, or what is not.
    pub(super) fn media_answer(&self, body: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let mut body = Reader::new(body);
        let id = body.u32_be("media id")?;
        self.sending.as_ref().filter(|sending| sending.media.id == id).ok_or(Fault::NotMine)?;
        if body.left() == 0 {
            out.push(Command::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "") }));
            return Ok(());
        }
        let count = usize::from(body.u8("count")?);
        let packets = read_list(&mut body, count)?;
        self.lacking(packets, out)
    }

    pub(super) fn resend(&self, body: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let resend = Resend::read(body)?;
        self.sending.as_ref().filter(|sending| sending.first == resend.first).ok_or(Fault::NotMine)?;
        self.lacking(resend.packets, out)
    }

    fn lacking(&self, mut packets: Vec<u16>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let sending = self.sending.as_ref().ok_or(Fault::NotMine)?;
        packets.sort_unstable();
        let spans = runs(&packets).into_iter().map(|(first, last)| sending.grid.span(first, last));
        for span in spans.filter(|span| span.length() > 0) {
            out.push(Command::Need(Want { tag: 0, span, limit: self.piece }));
        }
        Ok(())
    }

    pub(super) fn save(&self, state: &mut Writer) {
        let (id, serial) = self.wish.unwrap_or_default();
        state.u16_be(id);
        state.u16_be(serial);
        let Some(sending) = &self.sending else { return state.u8(0) };
        state.u8(1);
        state.slice(&sending.media.bytes());
        state.u16_be(sending.first);
        state.u64_be(sending.grid.size);
        state.u32_be(self.piece);
        let (serial, tag) = self.announced.unwrap_or_default();
        state.u8(self.announced.is_some().into());
        state.u16_be(serial);
        state.u64_be(tag);
        state.u16_be(self.flying.len() as u16);
        for (packet, tag) in &self.flying {
            state.u16_be(*packet);
            state.u64_be(*tag);
        }
    }

    pub(super) fn restore(&mut self, state: &mut Reader<'_>) -> Result<(), Fault> {
        let wish = (state.u16_be("wish")?, state.u16_be("serial of the wish")?);
        self.wish = Some(wish).filter(|(id, _)| *id != 0);
        if state.u8("media")? == 0 {
            return Ok(());
        }
        let media = Media::read(state)?;
        let (first, size, piece) = (state.u16_be("first serial")?, state.u64_be("size")?, state.u32_be("piece")?);
        self.sending = Some(Sending { media, first, grid: Grid::new(size, piece).ok_or(Fault::Unsupported)? });
        let announced = state.u8("announced")? != 0;
        self.announced = Some((state.u16_be("serial")?, state.u64_be("tag")?)).filter(|_| announced);
        for _ in 0..state.u16_be("packets")? {
            self.flying.push_back((state.u16_be("packet")?, state.u64_be("tag")?));
        }
        Ok(())
    }
}
