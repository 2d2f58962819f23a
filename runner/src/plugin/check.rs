//! What the contract forbids in a result. Whether an offset lies in the file is for the transfer machine to say.

use packhorse_core::transfer::{
    Command, Decoded, DeviceDecoded, Encoded, Event, Faulted, Flow, Outgoing, Routes, Span, Want,
};

use super::{MAX_RESULT_BYTES, MAX_RESULT_ITEMS, Violation};

/// What a result is checked against.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    /// Items in the batch that caused it.
    pub(crate) batch: usize,
    pub(crate) routes: &'a Routes,
    /// The flow of messages that the called side sends.
    pub(crate) sends: Flow,
}

/// A result of a call.
pub(crate) trait Checked {
    fn check(&self, checker: &Checker<'_>) -> Result<(), Violation>;
}

impl Checked for Decoded {
    fn check(&self, checker: &Checker<'_>) -> Result<(), Violation> {
        checker.amount(
            self.events.len() + self.replies.len() + self.faults.len(),
            self.events.iter().map(event_bytes).sum::<usize>() + message_bytes(&self.replies),
        )?;
        self.events.iter().try_for_each(event)?;
        checker.messages(&self.replies)?;
        checker.faults(&self.faults)
    }
}

impl Checked for DeviceDecoded {
    fn check(&self, checker: &Checker<'_>) -> Result<(), Violation> {
        checker.amount(
            self.commands.len() + self.replies.len() + self.faults.len(),
            self.commands.iter().map(command_bytes).sum::<usize>() + message_bytes(&self.replies),
        )?;
        self.commands.iter().try_for_each(command)?;
        checker.messages(&self.replies)?;
        checker.faults(&self.faults)
    }
}

impl Checked for Encoded {
    fn check(&self, checker: &Checker<'_>) -> Result<(), Violation> {
        checker.amount(self.messages.len() + self.faults.len(), message_bytes(&self.messages))?;
        checker.messages(&self.messages)?;
        checker.faults(&self.faults)
    }
}

impl Checker<'_> {
    const fn amount(&self, count: usize, bytes: usize) -> Result<(), Violation> {
        if count > MAX_RESULT_ITEMS {
            return Err(Violation::TooManyItems { count, limit: MAX_RESULT_ITEMS });
        }
        if bytes > MAX_RESULT_BYTES {
            return Err(Violation::TooManyBytes { bytes, limit: MAX_RESULT_BYTES });
        }
        Ok(())
    }

    fn messages(&self, messages: &[Outgoing]) -> Result<(), Violation> {
        messages.iter().try_for_each(|message| {
            self.cause(message.cause)?;
            let captures = message.more.as_ref().map_or(&[][..], |more| &more.captures);
            self.routes.check(self.sends, message.route, captures).map_err(Violation::Route)
        })
    }

    fn faults(&self, faults: &[Faulted]) -> Result<(), Violation> {
        faults.iter().try_for_each(|faulted| self.cause(faulted.index))
    }

    fn cause(&self, index: u16) -> Result<(), Violation> {
        if usize::from(index) < self.batch {
            return Ok(());
        }
        Err(Violation::Cause { index, batch: self.batch })
    }
}

fn event(event: &Event) -> Result<(), Violation> {
    match event {
        Event::Ack(range) => span("ack", *range),
        Event::Missing(range) => span("missing", *range),
        Event::Want(Want { span: range, .. }) => span("want", *range),
        Event::Data(data) => bytes_at(data.offset, data.bytes.len()),
        Event::Hello(_)
        | Event::AskOffer(_)
        | Event::StartUpload(_)
        | Event::AckThrough(_)
        | Event::Progress(_)
        | Event::Finish(_)
        | Event::Outcome(_)
        | Event::Retrying(_)
        | Event::Cancel(_)
        | Event::Pause(_) => Ok(()),
    }
}

fn command(command: &Command) -> Result<(), Violation> {
    match command {
        Command::Ack(receipt) => span("ack", receipt.span),
        Command::Need(want) => span("need", want.span),
        Command::Chunk(chunk) => bytes_at(chunk.offset, chunk.bytes.len()),
        Command::Offer(_)
        | Command::Accept(_)
        | Command::Refuse(_)
        | Command::RequestUpload(_)
        | Command::Query(_)
        | Command::Outcome(_)
        | Command::Cancel(_)
        | Command::Pause(_) => Ok(()),
    }
}

const fn span(what: &'static str, span: Span) -> Result<(), Violation> {
    if span.start > span.end {
        return Err(Violation::Span { what, start: span.start, end: span.end });
    }
    Ok(())
}

const fn bytes_at(offset: u64, len: usize) -> Result<(), Violation> {
    match offset.checked_add(len as u64) {
        Some(_) => Ok(()),
        None => Err(Violation::Offset { offset, len }),
    }
}

const fn event_bytes(event: &Event) -> usize {
    if let Event::Data(data) = event { data.bytes.len() } else { 0 }
}

const fn command_bytes(command: &Command) -> usize {
    if let Command::Chunk(chunk) = command { chunk.bytes.len() } else { 0 }
}

fn message_bytes(messages: &[Outgoing]) -> usize {
    messages.iter().map(|message| message.payload.len()).sum()
}
