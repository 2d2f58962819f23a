//! Jobs: the one job of this transfer, told to the device, asked for and updated by it.

use packhorse_codec::json::ObjectWriter;
use packhorse_codec::{DecodeOut, EncodeOut, Event, Fault, More, Reader, Tag, Transfer, Writer};

use super::streams::Streams;
use crate::describe::{
    GET_ACCEPTED, GET_REJECTED, NOTIFY_NEXT, START_NEXT_ACCEPTED, START_NEXT_REJECTED, UPDATE_ACCEPTED,
    UPDATE_REJECTED, variable,
};
use crate::job::{EXECUTION, Job, Status};
use crate::questions::{Question, Questions};
use crate::stream::Rejection;
use crate::update::{Refused, Request, meaning};

/// Whatever job is next: how devices ask for one that they do not know yet.
const NEXT: &str = "$next";

/// The platform's end of Jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    thing: String,
    document: String,
    size: u64,
    epoch: u32,
    /// When this session began, in Unix seconds: the only date that a codec knows.
    now: u64,
    /// Jobs of this session before this one.
    earlier: u8,
    job: Job,
    questions: Questions,
}

impl Jobs {
    pub(super) fn open(transfer: &Transfer, streams: &Streams, size: u64) -> Self {
        let epoch = transfer.epoch;
        Self {
            thing: transfer.device.clone(),
            document: document(transfer, streams, size),
            size,
            epoch,
            now: transfer.started_at,
            earlier: 0,
            job: Job::new(job_id(epoch, 0), transfer.started_at),
            questions: Questions::default(),
        }
    }

    /// Announces the job, or answers the question for it. A job that ended is followed by another one.
    pub(super) fn offer(&mut self, tag: Tag, out: &mut EncodeOut) -> Result<(), Fault> {
        if self.job.status.is_final() && self.job.status != Status::Canceled {
            self.earlier = self.earlier.wrapping_add(1);
            self.job = Job::new(job_id(self.epoch, self.earlier), self.now);
        }
        if tag == 0 {
            out.send(NOTIFY_NEXT, self.notice());
            return Ok(());
        }
        let question = self.questions.answer(tag)?;
        let document = question.with_document.then_some(self.document.as_str());
        let execution = (!self.job.status.is_final()).then(|| self.job.execution(&self.thing, document));
        let answer = self.found(&question.token, execution);
        match question.job {
            None => out.send(START_NEXT_ACCEPTED, answer),
            Some(job) => out.send_with(GET_ACCEPTED, answer, More::captures([job])),
        }
        Ok(())
    }

    /// The answer to a question; nothing may be next.
    fn found(&self, token: &str, execution: Option<String>) -> Vec<u8> {
        self.message(token, |object| {
            if let Some(execution) = execution {
                object.raw("execution", &execution);
            }
        })
    }

    /// Forced: the job is not the next one any more, and updates of it are rejected.
    pub(super) fn cancel(&mut self, out: &mut EncodeOut) {
        self.job.change(Status::Canceled, None, self.now);
        out.send(NOTIFY_NEXT, self.notice());
    }

    pub(super) fn start_next(&mut self, payload: &[u8], out: &mut DecodeOut<Event>) {
        let request = match Request::read(payload) {
            Ok(request) => request,
            Err(refused) => return out.reply(START_NEXT_REJECTED, self.rejected(&refused, false)),
        };
        if self.job.status == Status::Queued {
            self.job.change(Status::InProgress, request.details, self.now);
        }
        self.ask(None, request.token, true, out);
    }

    pub(super) fn get(&mut self, job: &str, payload: &[u8], out: &mut DecodeOut<Event>) {
        let answer = Request::read(payload).and_then(|request| self.may_get(job, request));
        match answer {
            Ok(request) => {
                let with_document = request.with_document.unwrap_or(true);
                self.ask(Some(job.to_owned()), request.token, with_document, out);
            }
            Err(refused) => {
                let rejected = self.rejected(&refused, false);
                out.reply_with(GET_REJECTED, rejected, More::captures([job.to_owned()]));
            }
        }
    }

    fn may_get(&self, job: &str, request: Request) -> Result<Request, Refused> {
        let other_execution = request.execution_number.is_some_and(|number| number != EXECUTION);
        let rejection = if job == NEXT {
            return Ok(request);
        } else if job != self.job.id || other_execution {
            Rejection::new("ResourceNotFound", "there is no such job execution")
        } else if self.job.status.is_final() {
            Rejection::new("TerminalStateReached", format!("the job execution is {}", self.job.status.name()))
        } else {
            return Ok(request);
        };
        Err(Refused { token: request.token, rejection })
    }

    /// Asks the host, which answers as long as the transfer goes on; once the job is over, nothing is next.
    fn ask(&mut self, job: Option<String>, token: String, with_document: bool, out: &mut DecodeOut<Event>) {
        if self.job.status.is_final() {
            let nothing = self.found(&token, None);
            match job {
                None => out.reply(START_NEXT_ACCEPTED, nothing),
                Some(job) => out.reply_with(GET_ACCEPTED, nothing, More::captures([job])),
            }
            return;
        }
        let tag = self.questions.note(Question { job, token, with_document });
        out.push(Event::AskOffer(tag));
    }

    pub(super) fn update(&mut self, job: &str, payload: &[u8], out: &mut DecodeOut<Event>) {
        let captures = || More::captures([job.to_owned()]);
        let request = Request::read(payload).and_then(|request| match self.may_update(job, &request) {
            Ok(status) => Ok((status, request)),
            Err(rejection) => Err(Refused { token: request.token, rejection }),
        });
        match request {
            Ok((status, request)) => {
                self.job.change(status, request.details.clone(), self.now);
                out.push(meaning(status, &request.details.clone().unwrap_or_default(), self.size));
                out.reply_with(UPDATE_ACCEPTED, self.accepted(&request), captures());
                if status.is_final() {
                    out.reply(NOTIFY_NEXT, self.notice());
                }
            }
            Err(refused) => {
                let ours = job == self.job.id;
                out.reply_with(UPDATE_REJECTED, self.rejected(&refused, ours), captures());
            }
        }
    }

    fn may_update(&self, job: &str, request: &Request) -> Result<Status, Rejection> {
        let other_execution = request.execution_number.is_some_and(|number| number != EXECUTION);
        if job != self.job.id || other_execution {
            return Err(Rejection::new("ResourceNotFound", "there is no such job execution"));
        }
        let status = request.wanted()?;
        if self.job.status.is_final() {
            let words = format!("the job execution is {} already", self.job.status.name());
            return Err(Rejection::new("InvalidStateTransition", words));
        }
        match request.expected_version {
            Some(expected) if expected != self.job.version => {
                let words = format!("the version is {}, not {expected}", self.job.version);
                Err(Rejection::new("VersionMismatch", words))
            }
            _ => Ok(status),
        }
    }

    fn accepted(&self, request: &Request) -> Vec<u8> {
        self.message(&request.token, |object| {
            if request.with_state {
                object.raw("executionState", &self.job.state());
            }
            if request.with_document == Some(true) {
                object.raw("jobDocument", &self.document);
            }
        })
    }

    fn rejected(&self, refused: &Refused, with_state: bool) -> Vec<u8> {
        let Rejection { code, words } = &refused.rejection;
        self.message(&refused.token, |object| {
            object.string("code", code);
            object.string("message", words);
            if with_state && matches!(*code, "VersionMismatch" | "InvalidStateTransition") {
                object.raw("executionState", &self.job.state());
            }
        })
    }

    /// What is next now: the job, or nothing.
    fn notice(&self) -> Vec<u8> {
        self.message("", |object| {
            if !self.job.status.is_final() {
                object.raw("execution", &self.job.execution(&self.thing, Some(&self.document)));
            }
        })
    }

    fn message(&self, token: &str, fill: impl FnOnce(&mut ObjectWriter)) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(1024);
        if !token.is_empty() {
            object.string("clientToken", token);
        }
        object.number("timestamp", self.now);
        fill(&mut object);
        let mut message = object.finish();
        message.shrink_to_fit();
        message
    }

    pub(super) fn save(&self, state: &mut Writer) {
        state.u8(self.earlier);
        self.job.save(state);
        self.questions.save(state);
    }

    /// The job of an earlier session goes on, as the device may have taken it already.
    pub(super) fn restore(&mut self, state: &mut Reader<'_>) -> Result<(), Fault> {
        let earlier = state.u8("earlier jobs")?;
        let job = Job::restore(state)?;
        if job.id == job_id(self.epoch, earlier) {
            self.earlier = earlier;
        }
        if !job.status.is_final() || job.id == job_id(self.epoch, earlier) {
            self.job = job;
        }
        self.questions = Questions::restore(state)?;
        Ok(())
    }
}

fn job_id(epoch: u32, number: u8) -> String {
    format!("ota-{epoch:08x}-{number}")
}

/// The document of an over-the-air update, as FreeRTOS reads it.
fn document(transfer: &Transfer, streams: &Streams, size: u64) -> String {
    let var = |name| variable(transfer, name).unwrap_or_default();
    let named = |text: &str| text.chars().filter(|character| !character.is_control()).collect::<String>();
    let mut file = ObjectWriter::with_capacity(512);
    let path = variable(transfer, "file_path").unwrap_or(&transfer.file.name);
    file.string("filepath", &named(path));
    file.number("filesize", size);
    file.number("fileid", streams.file_id.into());
    file.string("certfile", var("cert_file"));
    let kind = variable(transfer, "signature_kind").unwrap_or("sig-sha256-ecdsa");
    file.string(kind, &named(transfer.file.meta("signature").unwrap_or_default()));
    if let Some(file_type) = variable(transfer, "file_type").and_then(|number| number.parse().ok()) {
        file.number("fileType", file_type);
    }
    let file = file.finish();
    let mut ota = ObjectWriter::with_capacity(file.len() + 128);
    ota.raw("protocols", r#"["MQTT"]"#);
    ota.string("streamname", &streams.name);
    ota.raw("files", &format!("[{}]", String::from_utf8_lossy(&file)));
    format!(r#"{{"afr_ota":{}}}"#, String::from_utf8_lossy(&ota.finish()))
}
