//! The platform's end: `download` announces an image and serves its blocks, `upload` takes a file of the device,
//! `block` reads a block of it, `progress` knows how far it is, `service` asks for it.

mod block;
mod download;
mod progress;
mod service;
mod upload;

use packhorse_codec::{
    Command, DecodeOut, Description, Direction, EncodeOut, Event, Fault, Incoming, Platform, Reader, Text, Transfer,
    Writer,
};

use self::download::Download;
use self::upload::Upload;
use crate::describe::{CANCEL, DOWNLOAD, GET, INFORM, INIT, PROGRESS, SEND, SERVICE_REPLY, description};
use crate::message::Message;
use crate::requests::Requests;

/// The platform side of one transfer.
#[derive(Debug)]
pub struct AliyunPlatform {
    requests: Requests,
    work: Work,
    epoch: u32,
}

#[derive(Debug)]
enum Work {
    Download(Download),
    Upload(Upload),
}

impl Platform for AliyunPlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let work = match transfer.direction {
            Direction::Push => Work::Download(Download::open(&transfer)?),
            Direction::Pull => Work::Upload(Upload::open(&transfer)),
        };
        let mut session = Self { requests: Requests::default(), work, epoch: transfer.epoch };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let requests = &mut self.requests;
        match (&mut self.work, message.route) {
            (Work::Upload(upload), SEND) => upload.send(&message.payload, requests, out),
            (Work::Download(_), SEND) => Err(Fault::NotMine),
            (_, INFORM..=CANCEL | SERVICE_REPLY) => self.control(message.route, &Message::read(&message.payload)?, out),
            (_, route) => Err(Fault::malformed(format!("route {route} does not lead to the platform"))),
        }
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match &mut self.work {
            Work::Download(download) => encode_download(download, command, &mut self.requests, out),
            Work::Upload(upload) => encode_upload(upload, command, &mut self.requests, out),
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::with_capacity(256);
        state.u8(VERSION);
        state.u32_be(self.epoch);
        self.requests.save(&mut state);
        if let Work::Upload(upload) = &self.work {
            upload.save(&mut state);
        }
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl AliyunPlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        let exact = state.u32_be("epoch")? == self.epoch;
        self.requests = Requests::restore(&mut state)?;
        if let Work::Upload(upload) = &mut self.work {
            upload.restore(&mut state, exact)?;
        }
        state.end().map_err(Fault::from)
    }

    fn control(&mut self, route: u16, message: &Message<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let requests = &mut self.requests;
        match (&mut self.work, route) {
            (Work::Download(download), INFORM) => download.inform(message, out),
            (Work::Download(download), PROGRESS) => download.progress(message, out),
            (Work::Download(download), GET) => download.get(message, requests, out),
            (Work::Download(download), DOWNLOAD) => download.want(message, requests, out),
            (Work::Upload(_), INFORM) => download::hello(message, out),
            (Work::Upload(upload), INIT) => upload.init(message, requests, out),
            (Work::Upload(upload), CANCEL) => upload.cancel(message, out),
            (Work::Upload(_), SERVICE_REPLY) => service::called(message, out),
            _ => Err(Fault::NotMine),
        }
    }
}

fn encode_download(
    download: &Download,
    command: Command,
    requests: &mut Requests,
    out: &mut EncodeOut,
) -> Result<(), Fault> {
    match command {
        Command::Offer(offer) => download.offer(offer.tag, requests, out),
        Command::Chunk(chunk) => download.chunk(&chunk, requests, out),
        Command::Accept(_)
        | Command::Refuse(_)
        | Command::Ack(_)
        | Command::Need(_)
        | Command::RequestUpload(_)
        | Command::Query(_)
        | Command::Outcome(_)
        | Command::Cancel(_)
        | Command::Pause(_) => Err(Fault::Unsupported),
    }
}

fn encode_upload(
    upload: &mut Upload,
    command: Command,
    requests: &mut Requests,
    out: &mut EncodeOut,
) -> Result<(), Fault> {
    match command {
        Command::Accept(accept) => upload.accept(accept, requests, out),
        Command::Refuse(refuse) => upload.refuse(&refuse, requests, out),
        Command::Ack(receipt) => upload.receipt(&receipt, requests, out),
        Command::RequestUpload(tag) => upload.service.call(tag, out),
        Command::Outcome(outcome) => {
            upload.outcome(outcome.verdict, out);
            Ok(())
        }
        Command::Offer(_)
        | Command::Chunk(_)
        | Command::Need(_)
        | Command::Query(_)
        | Command::Cancel(_)
        | Command::Pause(_) => Err(Fault::Unsupported),
    }
}
