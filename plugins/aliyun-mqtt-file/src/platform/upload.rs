//! Takes a file of the device: the beginning of an upload, its blocks one after the other, and how it ended.
//!
//! The answer to the last block says whether the whole file is good, so it waits for the host's verdict.

use packhorse_codec::{
    Accept, Algorithm, Data, DecodeOut, Digest, EncodeOut, Event, Fault, File, Outcome, Reader, Receipt, Refuse,
    StartUpload, Sum, Tag, Text, Transfer, Verdict, Writer,
};

use super::block::{Block, UPLOAD_ID_MOST};
use super::progress::{Arrival, Received, told_crc64};
use super::service::Service;
use crate::describe::{CANCEL_REPLY, INIT_REPLY, SEND_REPLY, variable};
use crate::frame::Frame;
use crate::message::Message;
use crate::replies::{Code, Integrity, Place, cancel_reply, init_reply, last_reply, send_reply};
use crate::requests::{Requests, restore_text, save_text};

/// The vendor takes 100 bytes.
const NAME_MOST: usize = 255;
/// Last blocks that wait for the verdict: copies of one block.
const WITHHELD_MOST: usize = 4;

/// The platform's end of an upload.
#[derive(Debug)]
pub(super) struct Upload {
    /// The name that is waited for; empty = any.
    wanted: String,
    pub(super) service: Service,
    name: String,
    /// As the device told it, or learnt from its last block.
    size: Option<u64>,
    fic: Option<u64>,
    upload_id: String,
    /// The beginning that is not answered yet.
    opening: Option<String>,
    received: Received,
    verdict: Option<Code>,
    withheld: Vec<(String, Place)>,
}

impl Upload {
    pub(super) fn open(transfer: &Transfer) -> Self {
        let held = transfer.done.first().filter(|span| span.start == 0).map_or(0, |span| span.end);
        Self {
            service: Service::open(transfer),
            wanted: variable(transfer, "file_name").unwrap_or_default().to_owned(),
            name: String::new(),
            size: None,
            fic: None,
            upload_id: String::new(),
            opening: None,
            received: Received::from(held),
            verdict: None,
            withheld: Vec::new(),
        }
    }

    /// The device wants to send a file.
    pub(super) fn init(
        &mut self,
        message: &Message<'_>,
        requests: &mut Requests,
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        let name = message.plain_text("fileName", NAME_MOST)?;
        if name.is_empty() {
            return Err(Fault::malformed("fileName is missing"));
        }
        if !self.wanted.is_empty() && self.wanted != name {
            return Err(Fault::NotMine);
        }
        let size = message.size("fileSize")?;
        let fic = told_crc64(message);
        self.begin(&name, size, fic);
        let id = message.id()?.to_owned();
        let tag = requests.note(&id, "");
        self.opening = Some(id);
        let digests = fic.map(|fic| Digest::new(Algorithm::Crc64Ecma, fic.to_be_bytes())).into_iter().collect();
        // A device that appends goes on with an upload of this name under whatever id.
        let appends = message.text("conflictStrategy").is_some_and(|strategy| strategy == "append");
        let uid = message.text("initUid").filter(|_| !appends);
        let resume_key = uid.map_or_else(|| name.clone(), |uid| uid.into_owned());
        let file = File { name, size, digests, meta: Vec::new() };
        out.push(Event::StartUpload(StartUpload { tag, file, resume_key }));
        Ok(())
    }

    /// Forgets how another upload ended.
    fn begin(&mut self, name: &str, size: Option<u64>, fic: Option<u64>) {
        let other_size = size.is_some() && size != self.size;
        if name != self.name || fic != self.fic || other_size {
            (self.size, self.fic, self.verdict) = (size, fic, None);
            name.clone_into(&mut self.name);
        }
    }

    pub(super) fn accept(&mut self, accept: Accept, requests: &mut Requests, out: &mut EncodeOut) -> Result<(), Fault> {
        let (id, _) = requests.answer(accept.tag)?;
        out.send(INIT_REPLY, init_reply(&id, Code::OK, &self.name, &accept.upload_id, accept.resume_at));
        self.upload_id = accept.upload_id;
        self.received.go_on_at(accept.resume_at);
        (self.opening, self.verdict) = (None, None);
        self.withheld.clear();
        Ok(())
    }

    pub(super) fn refuse(
        &mut self,
        refuse: &Refuse,
        requests: &mut Requests,
        out: &mut EncodeOut,
    ) -> Result<(), Fault> {
        let (id, _) = requests.answer(refuse.tag)?;
        self.opening = None;
        let code = refuse.text.code.parse().map_or(Code::TOO_LARGE, Code);
        out.send(INIT_REPLY, init_reply(&id, code, &self.name, "", 0));
        Ok(())
    }

    /// One block.
    pub(super) fn send(
        &mut self,
        payload: &[u8],
        requests: &mut Requests,
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        let frame = Frame::read(payload)?;
        let message = Message::read(frame.text)?;
        let block = Block::read(&message, &frame)?;
        match self.judge(&block, frame.bytes)? {
            Some(code) => {
                out.reply(SEND_REPLY, send_reply(&block.id, code, &block.upload_id, block.place));
            }
            None => {
                let tag = requests.note(&block.id, "");
                self.data(tag, &block, frame.bytes, out);
            }
        }
        Ok(())
    }

    /// Why a block cannot be taken at all.
    fn judge(&mut self, block: &Block, bytes: &[u8]) -> Result<Option<Code>, Fault> {
        if !self.is_ours(&block.upload_id) {
            self.may_disown()?;
            return Ok(Some(Code::NO_SUCH_UPLOAD));
        }
        if block.sound && self.received.block(block.place.offset, bytes) == Arrival::Elsewhere {
            return Ok(Some(Code::OFFSET_DIFFERS));
        }
        if block.sound && self.size.is_none() && block.complete {
            self.size = Some(self.received.next());
        }
        Ok(None)
    }

    fn data(&mut self, tag: Tag, block: &Block, bytes: &[u8], out: &mut DecodeOut<Event>) {
        if !block.sound {
            out.push(Event::Data(block.damaged(tag)));
            return;
        }
        let Place { offset, size } = block.place;
        let last = self.size == Some(offset + size);
        out.push(Event::Data(Data { tag, offset, bytes: bytes.to_vec(), sum: Sum::Good, last }));
        let integrity = self.integrity().filter(|_| last);
        if integrity.is_some_and(|it| it.server.is_some_and(|server| server != it.client)) {
            // The host knows no CRC-64, so the verdict on it is given here.
            self.verdict = Some(Code::BAD_FILE);
            let reply = last_reply(&block.id, Code::BAD_FILE, &self.upload_id, block.place, integrity);
            out.reply(SEND_REPLY, reply);
            let text = Text::new("crc64", "the CRC-64 of what arrived is not the one that the device told");
            out.push(Event::Outcome(Outcome { verdict: Verdict::BadDigest, text }));
        }
    }

    /// The answer to a block, once its bytes are safe.
    pub(super) fn receipt(
        &mut self,
        receipt: &Receipt,
        requests: &mut Requests,
        out: &mut EncodeOut,
    ) -> Result<(), Fault> {
        let (id, _) = requests.answer(receipt.tag)?;
        let place = Place { offset: receipt.span.start, size: receipt.span.length() };
        if !receipt.good {
            out.send(SEND_REPLY, send_reply(&id, Code::BAD_BLOCK, &self.upload_id, place));
        } else if self.size != Some(receipt.span.end) {
            out.send(SEND_REPLY, send_reply(&id, Code::OK, &self.upload_id, place));
        } else if let Some(code) = self.verdict {
            out.send(SEND_REPLY, last_reply(&id, code, &self.upload_id, place, self.integrity()));
        } else {
            self.withhold(id, place);
        }
        Ok(())
    }

    fn withhold(&mut self, id: String, place: Place) {
        self.withheld.retain(|(known, _)| *known != id);
        if self.withheld.len() == WITHHELD_MOST {
            self.withheld.remove(0);
        }
        self.withheld.push((id, place));
    }

    /// Whether the whole file is good: what the last block waited for.
    pub(super) fn outcome(&mut self, verdict: Verdict, out: &mut EncodeOut) {
        let code = match verdict {
            Verdict::Good => Code::OK,
            Verdict::BadDigest | Verdict::BadSize => Code::BAD_FILE,
            Verdict::Refused | Verdict::Cancelled | Verdict::DeviceFull | Verdict::Failed => Code::FAILED,
        };
        self.verdict = Some(code);
        for (id, place) in std::mem::take(&mut self.withheld) {
            out.send(SEND_REPLY, last_reply(&id, code, &self.upload_id, place, self.integrity()));
        }
        // It began anew although everything is here.
        if let Some(id) = self.opening.take() {
            let code = if code == Code::OK { Code::ALREADY_COMPLETE } else { code };
            out.send(INIT_REPLY, init_reply(&id, code, &self.name, &self.upload_id, 0));
        }
    }

    pub(super) fn cancel(&mut self, message: &Message<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let id = message.id()?;
        let upload_id = message.plain_text("uploadId", UPLOAD_ID_MOST)?;
        if !self.is_ours(&upload_id) {
            self.may_disown()?;
            out.reply(CANCEL_REPLY, cancel_reply(id, Code::NO_SUCH_UPLOAD, &upload_id));
        } else if self.verdict == Some(Code::OK) {
            out.reply(CANCEL_REPLY, cancel_reply(id, Code::ALREADY_COMPLETE, &upload_id));
        } else {
            out.reply(CANCEL_REPLY, cancel_reply(id, Code::OK, &upload_id));
            out.push(Event::Cancel(Text::new("", "the device cancelled its upload")));
        }
        Ok(())
    }

    fn is_ours(&self, upload_id: &str) -> bool {
        !self.upload_id.is_empty() && self.upload_id == upload_id
    }

    /// An upload that we do not know is one of an earlier run, and may be told so, where all uploads of the device are ours.
    fn may_disown(&self) -> Result<(), Fault> {
        if self.wanted.is_empty() { Ok(()) } else { Err(Fault::NotMine) }
    }

    fn integrity(&self) -> Option<Integrity> {
        let server = self.received.crc64().filter(|_| self.size == Some(self.received.next()));
        self.fic.map(|client| Integrity { client, server })
    }

    pub(super) fn save(&self, state: &mut Writer) {
        for text in [&self.name, &self.upload_id] {
            save_text(state, text);
        }
        for number in [self.size, self.fic, self.verdict.map(|code| code.0)] {
            state.u8(number.is_some().into());
            state.u64_be(number.unwrap_or_default());
        }
        state.u8(self.opening.is_some().into());
        save_text(state, self.opening.as_deref().unwrap_or_default());
        self.received.save(state);
        state.u8(self.withheld.len() as u8);
        for (id, place) in &self.withheld {
            save_text(state, id);
            state.u64_be(place.offset);
            state.u64_be(place.size);
        }
    }

    /// What is not of this very session may be older than the bytes that are here: the host knows better where they end.
    pub(super) fn restore(&mut self, state: &mut Reader<'_>, exact: bool) -> Result<(), Fault> {
        self.name = restore_text(state, "name")?;
        self.upload_id = restore_text(state, "upload id")?;
        let mut number = |what| -> Result<Option<u64>, Fault> {
            let known = state.u8(what)? != 0;
            Ok(Some(state.u64_be(what)?).filter(|_| known))
        };
        (self.size, self.fic, self.verdict) = (number("size")?, number("crc64")?, number("verdict")?.map(Code));
        let opening = state.u8("opening")? != 0;
        self.opening = Some(restore_text(state, "opening")?).filter(|_| opening);
        let held = self.received.next();
        self.received = Received::restore(state)?;
        if !exact {
            self.received.go_on_at(held);
        }
        for _ in 0..state.u8("withheld")? {
            let id = restore_text(state, "id")?;
            self.withheld.push((id, Place { offset: state.u64_be("offset")?, size: state.u64_be("size")? }));
        }
        Ok(())
    }
}
