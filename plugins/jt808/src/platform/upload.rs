//! Takes media of the terminal: one upload, whose packets may come in any order.

use packhorse_codec::{
    Command, Data, DecodeOut, EncodeOut, Event, Fault, File, Outcome, Reader, Receipt, Span, StartUpload, Sum, Text,
    Transfer, Verdict, Writer,
};

use super::request::Request;
use super::{Speaker, answers_last_only, tag, untagged};
use crate::describe::{
    DOWN, MEDIA, MEDIA_ANSWER, MEDIA_EVENT, PHOTO_ANSWER, PLATFORM_RESEND, TERMINAL_ANSWER, number, variable,
};
use crate::frame::Frame;
use crate::layout::Layout;
use crate::media::Media;
use crate::words::{Answer, Fared, LISTED_MOST, Resend};

/// The platform's end of an upload.
#[derive(Debug)]
pub(super) struct Upload {
    request: Request,
    /// The number of the media: wanted from the beginning, or of the upload that came first.
    media: Option<u32>,
    message: Option<Message>,
    /// The host was told that an upload begins.
    told: bool,
    /// By 0x8800, or else by 0x8003.
    resend_by_media: bool,
    last_only: bool,
}

/// The split message that the media come in.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    first: u16,
    total: u16,
    /// Known from the first packet on.
    layout: Option<Layout>,
    /// The last packet came: it alone tells the file's size.
    ended: bool,
}

impl Upload {
    pub(super) fn open(transfer: &Transfer) -> Self {
        let wanted = transfer.file.meta("type").unwrap_or(&transfer.file.name);
        let named = wanted.parse::<u32>().ok().filter(|number| *number > 0);
        let media = Some(number(transfer, "media_id", 0)).filter(|number| *number > 0).or(named);
        Self {
            request: Request::of(transfer, media),
            media,
            message: None,
            told: false,
            resend_by_media: variable(transfer, "resend") != Some("8003"),
            last_only: answers_last_only(transfer),
        }
    }

    pub(super) fn hear(&mut self, frame: &Frame, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        match frame.id {
            MEDIA => self.packet(frame, out),
            MEDIA_EVENT => {
                let media = Media::read(&mut Reader::new(&frame.body))?;
                self.take(media)?;
                self.told = true;
                out.push(start(tag(MEDIA_EVENT, frame.serial), media));
                Ok(())
            }
            PHOTO_ANSWER => self.photo(&frame.body, out),
            TERMINAL_ANSWER => self.answered(&frame.body, out),
            _ => Err(Fault::NotMine),
        }
    }

    /// Whether it is the upload that is wanted.
    fn take(&mut self, media: Media) -> Result<(), Fault> {
        match self.media {
            Some(wanted) if wanted != media.id => Err(Fault::NotMine),
            _ => {
                self.media = Some(media.id);
                self.request.granted = true;
                Ok(())
            }
        }
    }

    fn packet(&mut self, frame: &Frame, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let packet = frame.packet;
        let first = frame.serial.wrapping_sub(packet.index - 1);
        let known =
            self.message.as_ref().is_some_and(|message| (message.first, message.total) == (first, packet.total));
        if packet.index == 1 {
            self.begin(frame, known, out)?;
        } else if !known && self.message.as_ref().is_none_or(|message| message.layout.is_none()) {
            self.message = Some(Message { first, total: packet.total, layout: None, ended: false });
        } else if !known {
            return Err(Fault::NotMine);
        }
        let Some(message) = &mut self.message else { return Err(Fault::NotMine) };
        // Where the first packet is not here, nothing says where the others belong: it is asked for, and they come again.
        let Some(layout) = &mut message.layout else { return Ok(()) };
        if let Some((offset, bytes)) = layout.place(packet, &frame.body)? {
            message.ended |= packet.is_last();
            let tag = tag(MEDIA, frame.serial);
            out.push(Event::Data(Data { tag, offset, bytes: bytes.to_vec(), sum: Sum::Good, last: packet.is_last() }));
        }
        Ok(())
    }

    /// The first packet says which media they are. The same under other serial numbers is sent anew, and may be cut otherwise.
    fn begin(&mut self, frame: &Frame, known: bool, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let media = Media::read(&mut Reader::new(&frame.body))?;
        let layout = Layout::new(&frame.body, frame.packet.total)?;
        self.take(media)?;
        let message = self.message.as_ref().filter(|message| known && message.layout.is_some());
        if message.and_then(|message| message.layout.as_ref()).is_some_and(|layout| layout.begins_like(&frame.body)) {
            return Ok(());
        }
        self.message =
            Some(Message { first: frame.serial, total: frame.packet.total, layout: Some(layout), ended: false });
        if !std::mem::replace(&mut self.told, true) {
            out.push(start(tag(MEDIA, frame.serial), media));
        }
        Ok(())
    }

    /// The answer to a wish for a photo.
    fn photo(&mut self, body: &[u8], out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mut body = Reader::new(body);
        let (serial, result) = (body.u16_be("answered serial")?, body.u8("result")?);
        if !self.request.is(crate::describe::PHOTO, serial) {
            return Err(Fault::NotMine);
        }
        if result != 0 {
            let words = if result == 2 { "the channel has no camera" } else { "no photo could be taken" };
            out.push(refused(&result.to_string(), words));
            return Ok(());
        }
        self.request.granted = true;
        if body.left() >= 6 && body.u16_be("photos")? > 0 {
            let media = body.u32_be("media id")?;
            self.media = self.media.or(Some(media));
        }
        Ok(())
    }

    /// A general answer to the wish for media.
    fn answered(&mut self, body: &[u8], out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let answer = Answer::read(body)?;
        if !self.request.is(answer.id, answer.serial) {
            return Err(Fault::NotMine);
        }
        match answer.fared {
            Fared::Done => self.request.granted = true,
            Fared::Failed | Fared::Bad => out.push(refused("1", "the terminal cannot do what was asked")),
            Fared::Unsupported => out.push(refused("3", "the terminal does not know the message")),
        }
        Ok(())
    }

    pub(super) fn say(&mut self, command: Command, speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        match command {
            Command::Accept(accept) => self.answer_start(accept.tag, Fared::Done, speaker, out),
            Command::Refuse(refuse) => self.answer_start(refuse.tag, Fared::Failed, speaker, out),
            Command::Ack(receipt) => self.receipt(&receipt, speaker, out),
            Command::Need(want) => self.need(want.span, speaker, out),
            Command::RequestUpload(_) => self.request(speaker, out),
            Command::Outcome(outcome) => self.outcome(outcome.verdict, speaker, out),
            Command::Offer(_) | Command::Chunk(_) | Command::Query(_) | Command::Cancel(_) | Command::Pause(_) => {
                Err(Fault::Unsupported)
            }
        }
    }

    /// Only 0x0800 waits for an answer: the first packet has its own.
    fn answer_start(&self, asked: u64, fared: Fared, speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        let (id, serial) = untagged(asked);
        if id == MEDIA_EVENT {
            out.send(DOWN, speaker.answer(serial, id, fared)?);
        }
        Ok(())
    }

    fn receipt(&self, receipt: &Receipt, speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        let (id, serial) = untagged(receipt.tag);
        if id != MEDIA {
            return Err(Fault::malformed("a receipt for what is no packet"));
        }
        if !self.last_only {
            let fared = if receipt.good { Fared::Done } else { Fared::Bad };
            out.send(DOWN, speaker.answer(serial, id, fared)?);
        }
        Ok(())
    }

    /// Holes. As long as nothing can be placed there are none.
    fn need(&self, span: Span, speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        let packets = self.message.as_ref().and_then(|message| message.layout.as_ref());
        let packets = packets.map(|layout| layout.packets(span)).unwrap_or_default();
        self.list(&packets, speaker, out)
    }

    fn list(&self, packets: &[u16], speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        let Some(message) = &self.message else { return Ok(()) };
        for packets in packets.chunks(LISTED_MOST) {
            match self.media.filter(|_| self.resend_by_media) {
                Some(media) => speaker.say(MEDIA_ANSWER, media_answer(media, packets), out)?,
                None => {
                    let resend = Resend { first: message.first, packets: packets.to_vec() };
                    speaker.say(PLATFORM_RESEND, resend.body(speaker.line.edition()), out)?;
                }
            }
        }
        Ok(())
    }

    /// Wishes for an upload; once it is under way, for what the host cannot know to be missing: the packets that tell where the others
    /// belong, and the last one. A photo is wished for until the terminal says yes, as each further wish would take another one.
    fn request(&mut self, speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        if let Some(message) = &self.message {
            let packets = message.telling();
            return self.list(&packets, speaker, out);
        }
        let (id, body) = self.request.message()?;
        if self.request.granted {
            return Ok(());
        }
        let serial = *self.request.serial.get_or_insert_with(|| speaker.serial());
        out.send(DOWN, speaker.frame(id, serial, body)?);
        Ok(())
    }

    /// The whole file was looked at: 0x8800 without a list, or a general answer to the last packet that says that it failed.
    fn outcome(&self, verdict: Verdict, speaker: &mut Speaker, out: &mut EncodeOut) -> Result<(), Fault> {
        let (Some(media), Some(message)) = (self.media, &self.message) else { return Err(Fault::Unsupported) };
        if verdict == Verdict::Good {
            return speaker.say(MEDIA_ANSWER, media_answer(media, &[]), out);
        }
        let last = message.first.wrapping_add(message.total - 1);
        out.send(DOWN, speaker.answer(last, MEDIA, Fared::Failed)?);
        Ok(())
    }

    pub(super) fn save(&self, state: &mut Writer) {
        state.u32_be(self.media.unwrap_or_default());
        state.u16_be(self.request.serial.unwrap_or_default());
        let flags = [self.request.serial.is_some(), self.request.granted, self.told];
        state.u8(flags.into_iter().enumerate().map(|(at, flag)| u8::from(flag) << at).sum());
        let Some(message) = &self.message else { return state.u8(0) };
        state.u8(1 | u8::from(message.ended) << 1 | u8::from(message.layout.is_some()) << 2);
        state.u16_be(message.first);
        state.u16_be(message.total);
        if let Some(layout) = &message.layout {
            layout.save(state);
        }
    }

    /// Another session has to wish again, as the terminal may have forgotten; an upload that was under way goes on.
    pub(super) fn restore(&mut self, state: &mut Reader<'_>, exact: bool) -> Result<(), Fault> {
        let media = state.u32_be("media id")?;
        let (serial, flags) = (state.u16_be("serial")?, state.u8("flags")?);
        if exact {
            self.request.serial = (flags & 1 != 0).then_some(serial);
            self.request.granted = flags & 2 != 0;
            self.told = flags & 4 != 0;
        }
        let flags = state.u8("flags")?;
        if (exact || flags != 0) && media > 0 {
            self.media = Some(media);
        }
        if flags != 0 {
            let (first, total) = (state.u16_be("first serial")?, state.u16_be("packets")?.max(1));
            let layout = if flags & 4 != 0 { Some(Layout::restore(state)?) } else { None };
            self.message = Some(Message { first, total, layout, ended: exact && flags & 2 != 0 });
        }
        Ok(())
    }
}

impl Message {
    /// The packets without which the file's size or the place of others is not known.
    fn telling(&self) -> Vec<u16> {
        let Some(layout) = &self.layout else { return vec![1] };
        let middle = (!layout.is_known()).then_some(2);
        middle.into_iter().chain((!self.ended).then_some(self.total)).collect()
    }
}

fn media_answer(media: u32, packets: &[u16]) -> Vec<u8> {
    let mut body = Writer::with_capacity(5 + 2 * packets.len());
    body.u32_be(media);
    if !packets.is_empty() {
        body.u8(packets.len() as u8);
        packets.iter().for_each(|packet| body.u16_be(*packet));
    }
    body.finish()
}

fn start(tag: u64, media: Media) -> Event {
    let file = File { name: media.name(), size: None, digests: Vec::new(), meta: media.meta() };
    Event::StartUpload(StartUpload { tag, file, resume_key: media.id.to_string() })
}

fn refused(code: &str, words: &str) -> Event {
    Event::Outcome(Outcome { verdict: Verdict::Refused, text: Text::new(code, words) })
}
