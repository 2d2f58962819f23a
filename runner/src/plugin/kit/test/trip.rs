//! Round trips: pieces that one side puts into messages come out of the other side as they were.

use packhorse_core::transfer::{
    Accept, Chunk, Command, Data, Driver, Event, Fault, Incoming, Mode, Offer, Opening, Outgoing, Span, StartUpload,
    Sum, Want,
};

use super::super::super::{DeviceSession, MAX_BATCH_BYTES, Session};
use super::super::vectors::Side;
use super::Bench;
use super::report::Check;
use super::speaker::{arrived, opening, pattern_bytes, shown};

/// A real message and the side that receives it, with how that side was opened: food for the noise.
pub(super) struct Seen {
    pub(super) side: Side,
    pub(super) opening: Opening,
    pub(super) message: Incoming,
}

/// One check a mode, and the messages that went over.
pub(super) fn checks(bench: &Bench<'_>) -> (Vec<Check>, Vec<Seen>) {
    let mut seen = Vec::new();
    let checks = bench.plugin.description().modes.iter().map(|mode| {
        let name = format!("round trip, {}", super::super::super::describe::driver_name(mode.driver));
        if !bench.plugin.has_device_side() {
            return Check::skipped(name, "the codec has no device side");
        }
        Check::of(name, trips(bench, mode, &mut seen))
    });
    (checks.collect(), seen)
}

fn trips(bench: &Bench<'_>, mode: &Mode, seen: &mut Vec<Seen>) -> Result<(u64, String), String> {
    let align = mode.packet_align.max(1);
    let mut sizes = vec![mode.packet_min.next_multiple_of(align), mode.packet_default, mode.packet_max / align * align];
    sizes.retain(|size| (mode.packet_min..=mode.packet_max).contains(size));
    sizes.dedup();
    let (mut cases, mut pieces, mut largest) = (0, 0, 0);
    for size in sizes {
        let size = size as usize;
        for len in [0, 1, size - 1, size, size + 1, 3 * size + size / 2] {
            // One piece of the largest size is enough of it: what follows is the same again.
            let len = len.min(MAX_BATCH_BYTES / 2).min(usize::try_from(mode.file_max).unwrap_or(usize::MAX));
            let bytes = pattern_bytes(len);
            let trip = Trip::open(bench, mode, size, &bytes);
            let mut trip = trip.map_err(|problem| format!("a file of {len} bytes: {problem}"))?;
            let carried = trip.carry();
            pieces += carried.map_err(|problem| format!("a file of {len} bytes in pieces of {size}: {problem}"))?;
            largest = largest.max(trip.overhead);
            seen.append(&mut trip.seen);
            cases += 1;
        }
    }
    Ok((cases, format!("{pieces} pieces; at most {largest} bytes around one")))
}

/// One file on its way, and both ends of it.
pub(in super::super) struct Trip<'a> {
    mode: &'a Mode,
    bytes: &'a [u8],
    size: usize,
    pub(in super::super) opening: Opening,
    pub(in super::super) platform: Session,
    pub(in super::super) device: DeviceSession,
    overhead: usize,
    seen: Vec<Seen>,
    /// Every call of the platform's side, in order.
    pub(in super::super) calls: Vec<PlatformCall>,
}

/// A call that brought a session where it is.
#[derive(Debug, Clone)]
pub(in super::super) enum PlatformCall {
    Encode(Vec<Command>),
    Decode(Vec<Incoming>),
}

impl<'a> Trip<'a> {
    pub(in super::super) fn open(
        bench: &Bench<'_>,
        mode: &'a Mode,
        size: usize,
        bytes: &'a [u8],
    ) -> Result<Self, String> {
        let opening = opening(bench, mode, u32::try_from(size).unwrap_or(u32::MAX), bytes);
        let platform = bench.plugin.open(&opening).map_err(|error| error.to_string())?;
        let device = bench.plugin.open_device(&opening).map_err(|error| format!("the device: {error}"))?;
        Ok(Self { mode, bytes, size, opening, platform, device, overhead: 0, seen: Vec::new(), calls: Vec::new() })
    }

    /// Sends the whole file, piece by piece, and says in how many.
    pub(in super::super) fn carry(&mut self) -> Result<u64, String> {
        self.introduce()?;
        let mut count = 0;
        let mut offset = 0;
        loop {
            let end = (offset + self.size).min(self.bytes.len());
            let last = end == self.bytes.len();
            self.piece(offset, end, last).map_err(|problem| format!("the piece {offset}..{end}: {problem}"))?;
            count += 1;
            offset = end;
            if last {
                return Ok(count);
            }
        }
    }

    /// What a protocol may want to say first. What it has no words for is left out.
    fn introduce(&mut self) -> Result<(), String> {
        let file = self.opening.file.clone();
        match self.mode.driver {
            Driver::PlatformPush | Driver::DevicePull => {
                self.tell_device(Command::Offer(Offer { tag: 0, file, url: String::new() }))?;
            }
            Driver::DevicePush => {
                self.tell_device(Command::RequestUpload(1))?;
                let start = StartUpload { tag: 1, file, resume_key: String::new() };
                let events = self.tell_platform(Event::StartUpload(start))?;
                for event in events {
                    if let Event::StartUpload(start) = event {
                        let accept = Accept { tag: start.tag, upload_id: "u1".to_owned(), resume_at: 0 };
                        self.tell_device(Command::Accept(accept))?;
                    }
                }
            }
            Driver::PlatformPull => {}
        }
        Ok(())
    }

    fn piece(&mut self, offset: usize, end: usize, last: bool) -> Result<(), String> {
        let bytes = self.bytes[offset..end].to_vec();
        let (start, stop) = (offset as u64, end as u64);
        let limit = u32::try_from(self.size).unwrap_or(u32::MAX);
        let want = |tag| Want { tag, span: Span::new(start, stop), limit };
        match self.mode.driver {
            Driver::PlatformPush => self.chunk(Chunk { tag: 0, offset: start, bytes, last }),
            Driver::DevicePull => {
                let events = self.tell_platform(Event::Want(want(0)))?;
                let asked =
                    events.iter().find_map(|event| if let Event::Want(want) = event { Some(want) } else { None });
                let asked = asked.ok_or_else(|| format!("the request gave {}", shown(&events)))?;
                self.chunk(Chunk { tag: asked.tag, offset: start, bytes, last })
            }
            Driver::DevicePush => self.data(Data { tag: 0, offset: start, bytes, sum: Sum::Absent, last }),
            Driver::PlatformPull => {
                let commands = self.tell_device(Command::Need(want(7)))?;
                let asked = commands
                    .iter()
                    .find_map(|command| if let Command::Need(want) = command { Some(want) } else { None });
                let asked = asked.ok_or_else(|| format!("the request gave {}", shown(&commands)))?;
                self.data(Data { tag: asked.tag, offset: start, bytes, sum: Sum::Absent, last })
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), String> {
        let (offset, bytes, last) = (chunk.offset, chunk.bytes.clone(), chunk.last);
        let commands = self.tell_device(Command::Chunk(chunk))?;
        let same = |command: &Command| match command {
            Command::Chunk(chunk) => chunk.offset == offset && chunk.bytes == bytes && chunk.last == last,
            _ => false,
        };
        one(&commands, same)
    }

    fn data(&mut self, data: Data) -> Result<(), String> {
        let (offset, bytes) = (data.offset, data.bytes.clone());
        let events = self.tell_platform(Event::Data(data))?;
        let same = |event: &Event| match event {
            Event::Data(data) => data.offset == offset && data.bytes == bytes && data.sum != Sum::Bad,
            _ => false,
        };
        one(&events, same)
    }

    fn tell_device(&mut self, command: Command) -> Result<Vec<Command>, String> {
        let piece = if let Command::Chunk(chunk) = &command { Some(chunk.bytes.len()) } else { None };
        self.calls.push(PlatformCall::Encode(vec![command.clone()]));
        let encoded = self.platform.encode(vec![command]).map_err(|error| error.to_string())?;
        if encoded.faults.iter().any(|faulted| faulted.fault == Fault::Unsupported) && piece.is_none() {
            return Ok(Vec::new());
        }
        if let Some(faulted) = encoded.faults.first() {
            return Err(format!("the platform cannot say it: {}", shown(faulted)));
        }
        self.measure(piece, &encoded.messages)?;
        let batch: Vec<_> = encoded.messages.iter().map(arrived).collect();
        self.remember(Side::Device, &batch);
        let decoded = self.device.decode(batch).map_err(|error| error.to_string())?;
        if let Some(faulted) = decoded.faults.first() {
            return Err(format!("the device cannot read it: {}", shown(faulted)));
        }
        let replies: Vec<_> = decoded.replies.iter().map(arrived).collect();
        self.remember(Side::Platform, &replies);
        self.calls.push(PlatformCall::Decode(replies.clone()));
        self.platform.decode(replies).map_err(|error| error.to_string())?;
        Ok(decoded.commands)
    }

    fn tell_platform(&mut self, event: Event) -> Result<Vec<Event>, String> {
        let piece = if let Event::Data(data) = &event { Some(data.bytes.len()) } else { None };
        let needed = matches!(event, Event::Data(_) | Event::Want(_));
        let encoded = self.device.encode(vec![event]).map_err(|error| error.to_string())?;
        if encoded.faults.iter().any(|faulted| faulted.fault == Fault::Unsupported) && !needed {
            return Ok(Vec::new());
        }
        if let Some(faulted) = encoded.faults.first() {
            return Err(format!("the device cannot say it: {}", shown(faulted)));
        }
        self.measure(piece, &encoded.messages)?;
        let batch: Vec<_> = encoded.messages.iter().map(arrived).collect();
        self.remember(Side::Platform, &batch);
        self.calls.push(PlatformCall::Decode(batch.clone()));
        let decoded = self.platform.decode(batch).map_err(|error| error.to_string())?;
        if let Some(faulted) = decoded.faults.first() {
            return Err(format!("the platform cannot read it: {}", shown(faulted)));
        }
        let replies: Vec<_> = decoded.replies.iter().map(arrived).collect();
        self.remember(Side::Device, &replies);
        self.device.decode(replies).map_err(|error| error.to_string())?;
        Ok(decoded.events)
    }

    /// A piece stands in one message, no larger than the codec said that it would be.
    fn measure(&mut self, piece: Option<usize>, messages: &[Outgoing]) -> Result<(), String> {
        let Some(piece) = piece else { return Ok(()) };
        let [message] = messages else {
            return Err(format!("it became {} messages, not one", messages.len()));
        };
        let (fixed, per_mille) = (self.mode.overhead_fixed as usize, self.mode.overhead_per_mille as usize);
        // The bound is that of the largest piece: a shorter one may round up to whole units of its encoding.
        let allowed = fixed + (self.size * per_mille).div_ceil(1000);
        if message.payload.len() > allowed {
            return Err(format!(
                "its message has {} bytes, more than the {allowed} that overhead-fixed {fixed} and \
                 overhead-per-mille {per_mille} allow for pieces of {}",
                message.payload.len(),
                self.size
            ));
        }
        self.overhead = self.overhead.max(message.payload.len().saturating_sub(piece));
        Ok(())
    }

    fn remember(&mut self, side: Side, messages: &[Incoming]) {
        let room = 64usize.saturating_sub(self.seen.len());
        self.seen.extend(messages.iter().take(room).map(|message| Seen {
            side,
            opening: self.opening.clone(),
            message: message.clone(),
        }));
    }
}

fn one<T: std::fmt::Debug>(found: &[T], same: impl Fn(&T) -> bool) -> Result<(), String> {
    match found.iter().filter(|found| same(found)).count() {
        1 => Ok(()),
        _ => Err(format!("it came out as {}", shown(&found))),
    }
}
