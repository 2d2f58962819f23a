//! The device's end, for the simulated device and for tests: a client as the vendor's SDKs are, but one that remembers.

mod download;
mod upload;

use packhorse_codec::{
    Command, DecodeOut, Device, EncodeOut, Event, Fault, Incoming, Outcome, Reader, Text, Transfer, Verdict, Writer,
};

use self::download::Download;
use self::upload::Upload;
use crate::describe::{CANCEL_REPLY, DOWNLOAD_REPLY, GET_REPLY, INIT_REPLY, SEND_REPLY, SERVICE, UPGRADE};
use crate::message::Message;
use crate::requests::Asked;

/// The device side of one session.
#[derive(Debug, Default)]
pub struct AliyunDevice {
    asked: Asked,
    download: Download,
    upload: Upload,
}

impl Device for AliyunDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self::default();
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let asked = &mut self.asked;
        if message.route == DOWNLOAD_REPLY {
            return self.download.block(&message.payload, asked, out);
        }
        let route = message.route;
        if route > CANCEL_REPLY && route != SERVICE {
            return Err(Fault::malformed(format!("route {route} does not lead to the device")));
        }
        let message = Message::read(&message.payload)?;
        match route {
            UPGRADE => self.download.notice(0, &message, out),
            GET_REPLY => {
                let request = asked.find(message.id()?)?;
                asked.close(message.id()?);
                self.download.notice(request.tag, &message, out)
            }
            INIT_REPLY => self.upload.begun(&message, asked, out),
            SERVICE => self.upload.called(&message, out),
            SEND_REPLY => self.upload.answered(&message, asked, out),
            // Nothing waits for the answer to a cancellation.
            _ => Ok(()),
        }
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        let asked = &mut self.asked;
        match event {
            Event::Hello(hello) => self.download.hello(&hello.version, asked, out),
            Event::AskOffer(tag) => self.download.ask(tag, asked, out),
            Event::Want(want) => return self.download.want(want, asked, out),
            Event::Progress(progress) => return self.download.progress(&progress, asked, out),
            Event::Outcome(_) if self.upload.is_called() => self.upload.cannot(out),
            Event::Outcome(outcome) => return self.download.outcome(&outcome, asked, out),
            Event::Cancel(_) if self.upload.is_open() => self.upload.cancel(asked, out),
            Event::Cancel(text) => {
                return self.download.outcome(&Outcome { verdict: Verdict::Cancelled, text }, asked, out);
            }
            Event::StartUpload(start) => self.upload.start(&start, asked, out),
            Event::Data(data) => return self.upload.data(&data, asked, out),
            Event::Ack(_)
            | Event::AckThrough(_)
            | Event::Missing(_)
            | Event::Finish(_)
            | Event::Retrying(_)
            | Event::Pause(_) => {
                return Err(Fault::Unsupported);
            }
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::with_capacity(128);
        state.u8(VERSION);
        self.asked.save(&mut state);
        self.download.save(&mut state);
        self.upload.save(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl AliyunDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        self.asked = Asked::restore(&mut state)?;
        self.download = Download::restore(&mut state)?;
        self.upload = Upload::restore(&mut state)?;
        state.end().map_err(Fault::from)
    }
}
