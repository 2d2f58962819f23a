//! Asks the device to upload a file. The protocol has no word for it, so a service of the device's thing model is called.

use packhorse_codec::{DecodeOut, EncodeOut, Event, Fault, Outcome, Tag, Text, Transfer, Verdict};

use crate::control::call;
use crate::describe::{SERVICE, UPLOAD_SERVICE, variable};
use crate::message::Message;
use crate::replies::Code;

/// The service and the file that it is asked for; `None` where none is called.
#[derive(Debug)]
pub(super) struct Service(Option<(String, String)>);

impl Service {
    pub(super) fn open(transfer: &Transfer) -> Self {
        let file = transfer.file.meta("type").unwrap_or(&transfer.file.name).to_owned();
        let service = variable(transfer, "upload_service").unwrap_or(UPLOAD_SERVICE);
        Self((service != "none").then(|| (service.to_owned(), file)))
    }

    /// Ids have 32 bits here: those of the tag that differ from call to call.
    pub(super) fn call(&self, tag: Tag, out: &mut EncodeOut) -> Result<(), Fault> {
        let (service, file) = self.0.as_ref().ok_or(Fault::Unsupported)?;
        out.send(SERVICE, call(tag as u32, service, file));
        Ok(())
    }
}

/// The answer to the call. Only a code of the device's own is believed: one without such a service uploads when it likes.
pub(super) fn called(message: &Message<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
    if let Some(code) = message.code.filter(|code| Code(*code).is_own()) {
        let text = Text::new(code.to_string(), message.words.clone());
        out.push(Event::Outcome(Outcome { verdict: Verdict::Refused, text }));
    }
    Ok(())
}
