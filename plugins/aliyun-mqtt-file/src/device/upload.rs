//! Sends a file: asks to begin, then block after block, each when the one before is answered.

use packhorse_codec::{
    Accept, Algorithm, Command, Data, DecodeOut, EncodeOut, Fault, File, Outcome, Reader, Receipt, Refuse, Span,
    StartUpload, Text, Verdict, Writer, hex,
};

use crate::control::request;
use crate::describe::{CANCEL, INIT, SEND, SERVICE_REPLY};
use crate::frame::frame;
use crate::message::Message;
use crate::replies::{Code, service_reply};
use crate::requests::{Asked, Request, restore_text, save_text};

/// What the vendor takes.
const NAME_MOST: usize = 100;
/// Upload ids are kept, so they must be short; ours have 16.
const UPLOAD_ID_MOST: usize = 64;

/// The device's end of an upload.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// What the platform called it; empty = none is open.
    upload_id: String,
    /// The id of a call that is not answered yet.
    call: Option<String>,
}

impl Upload {
    /// The platform wants a file. Which one is not passed on: the words of the contract would announce it.
    pub(super) fn called(&mut self, message: &Message<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        self.call = Some(message.id()?.to_owned());
        out.push(Command::RequestUpload(0));
        Ok(())
    }

    pub(super) fn is_called(&self) -> bool {
        self.call.is_some()
    }

    /// There is nothing to upload.
    pub(super) fn cannot(&mut self, out: &mut EncodeOut) {
        if let Some(id) = self.call.take() {
            out.send(SERVICE_REPLY, service_reply(&id, Code::NO_SUCH_FILE));
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.upload_id.is_empty()
    }

    /// Asks to begin; `append` so that the platform may say where to go on.
    pub(super) fn start(&mut self, start: &StartUpload, asked: &mut Asked, out: &mut EncodeOut) {
        if let Some(id) = self.call.take() {
            out.send(SERVICE_REPLY, service_reply(&id, Code::OK));
        }
        let file = &start.file;
        let id = asked.note(start.tag, Span::new(0, 0));
        let message = request(id, |params| {
            params.string("fileName", &file_name(file));
            match file.size {
                Some(size) => params.number("fileSize", size),
                None => params.raw("fileSize", "-1"),
            }
            params.string("conflictStrategy", "append");
            if let (Some(_), Some(digest)) = (file.size, file.digest(Algorithm::Crc64Ecma)) {
                params.string("ficMode", "crc64");
                params.string("ficValue", &hex::encode(digest));
            }
            if !start.resume_key.is_empty() {
                params.string("initUid", &start.resume_key);
            }
        });
        out.send(INIT, message);
    }

    pub(super) fn data(&self, data: &Data, asked: &mut Asked, out: &mut EncodeOut) -> Result<(), Fault> {
        if !self.is_open() {
            return Err(Fault::malformed("a block of an upload that the platform has not taken yet"));
        }
        let span = Span::at(data.offset, data.bytes.len() as u64);
        let span = span.ok_or_else(|| Fault::malformed("the block ends past all files"))?;
        let text = request(asked.note(data.tag, span), |params| {
            params.string("uploadId", &self.upload_id);
            params.number("offset", data.offset);
            params.number("bSize", span.length());
            params.raw("isComplete", if data.last { "true" } else { "false" });
        });
        out.send(SEND, frame(&text, &data.bytes)?);
        Ok(())
    }

    pub(super) fn cancel(&mut self, asked: &mut Asked, out: &mut EncodeOut) {
        let upload_id = std::mem::take(&mut self.upload_id);
        out.send(CANCEL, request(asked.next_id(), |params| params.string("uploadId", &upload_id)));
    }

    /// The platform takes the upload, or does not.
    pub(super) fn begun(
        &mut self,
        message: &Message<'_>,
        asked: &mut Asked,
        out: &mut DecodeOut<Command>,
    ) -> Result<(), Fault> {
        let request = asked.find(message.id()?)?;
        match message.code.map(Code) {
            Some(Code::OK) => {
                let upload_id = message.plain_text("uploadId", UPLOAD_ID_MOST)?;
                if upload_id.is_empty() {
                    return Err(Fault::malformed("uploadId is missing"));
                }
                let resume_at = message.number("offset")?.unwrap_or_default();
                self.upload_id.clone_from(&upload_id);
                out.push(Command::Accept(Accept { tag: request.tag, upload_id, resume_at }));
            }
            Some(Code::ALREADY_COMPLETE) => out.push(ended(Verdict::Good, message)),
            Some(code) if Code::BUSY.contains(&code) => {}
            Some(_) => out.push(Command::Refuse(Refuse { tag: request.tag, text: words(message) })),
            None => return Err(Fault::malformed("code is missing")),
        }
        asked.close(message.id()?);
        Ok(())
    }

    /// The platform has a block, or wants it again, or has all of them.
    pub(super) fn answered(
        &mut self,
        message: &Message<'_>,
        asked: &mut Asked,
        out: &mut DecodeOut<Command>,
    ) -> Result<(), Fault> {
        let request = self.sent(message, asked)?;
        let receipt = |good| Command::Ack(Receipt { tag: request.tag, span: request.span, good });
        match message.code.map(Code) {
            Some(Code::OK | Code::REPEATED) => {
                out.push(receipt(true));
                if message.flag("complete") {
                    out.push(ended(Verdict::Good, message));
                }
            }
            Some(Code::BAD_BLOCK) => out.push(receipt(false)),
            Some(Code::OFFSET_DIFFERS | Code::NO_SUCH_UPLOAD) => out.push(Command::RequestUpload(0)),
            Some(Code::ALREADY_COMPLETE) => out.push(ended(Verdict::Good, message)),
            Some(Code::BAD_FILE) => out.push(ended(Verdict::BadDigest, message)),
            Some(code) if Code::BUSY.contains(&code) => {}
            Some(_) => out.push(ended(Verdict::Failed, message)),
            None => return Err(Fault::malformed("code is missing")),
        }
        asked.close(message.id()?);
        Ok(())
    }

    /// The block that an answer is about: it must say the same of it.
    fn sent(&self, message: &Message<'_>, asked: &Asked) -> Result<Request, Fault> {
        let request = asked.find(message.id()?)?;
        if !self.is_open() || message.text("uploadId").as_deref() != Some(self.upload_id.as_str()) {
            return Err(Fault::NotMine);
        }
        let place = Span::at(message.required("offset")?, message.required("bSize")?);
        if place == Some(request.span) {
            Ok(request)
        } else {
            Err(Fault::malformed("offset and bSize are not those of the block that was sent"))
        }
    }

    pub(super) fn save(&self, state: &mut Writer) {
        save_text(state, &self.upload_id);
        state.u8(self.call.is_some().into());
        save_text(state, self.call.as_deref().unwrap_or_default());
    }

    pub(super) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let upload_id = restore_text(state, "upload id")?;
        let called = state.u8("called")? != 0;
        Ok(Self { upload_id, call: Some(restore_text(state, "call")?).filter(|_| called) })
    }
}

fn ended(verdict: Verdict, message: &Message<'_>) -> Command {
    Command::Outcome(Outcome { verdict, text: words(message) })
}

fn words(message: &Message<'_>) -> Text {
    Text::new(message.code.unwrap_or_default().to_string(), message.words.clone())
}

/// Digits, letters, `_` and `.`, and one of the first two in front.
fn file_name(file: &File) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.');
    let name: String = file.name.chars().map(|character| if fits(character) { character } else { '_' }).collect();
    let name = name.trim_start_matches(['_', '.']);
    let name = if name.is_empty() { "file" } else { name };
    name.chars().take(NAME_MOST).collect()
}
