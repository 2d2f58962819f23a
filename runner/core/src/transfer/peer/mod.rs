//! The device's end of a transfer, simulated: it speaks the mirrored words, gets commands and gives events.
//!
//! It is a machine without clock, socket or file like the platform's, and shares with it only the words, the intervals and
//! the time, so that each end checks the other. A lossy link between the two is the transfer simulator; a codec's device
//! side and a bus make it a device that runs.
//!
//! * `plan`: what a device is like, and what it asks its surroundings to do.
//! * `receive`: storing, acknowledging, judging, answering queries.
//! * `ask`: the requests of a device that pulls its file.
//! * `serve`: the answers of a device whose file the platform pulls.
//! * `upload`: the pieces of a device that sends its file by itself.

mod ask;
mod plan;
mod receive;
mod serve;
mod upload;

use std::collections::VecDeque;

pub use plan::{AckStyle, Kept, PeerAction, PeerPlan};

use self::ask::Asker;
use self::plan::shares_digest;
use self::receive::{Manner, Receiver};
use self::serve::Server;
use self::upload::Upload;
use crate::transfer::{
    Acks, Command, Digest, Direction, Driver, Event, FileInfo, Finish, Hello, Intervals, Mode, Offer, Order, Outcome,
    Span, Tag, Text, Time, Verdict, Want,
};

/// One simulated device: receives one file at a time and gives away those on its shelf.
///
/// Call a `handle_*` or a command, then [`Peer::poll`] until it gives `None`, and [`Peer::handle_timeout`] at
/// [`Peer::poll_timeout`]. Actions are to be carried out in order.
#[derive(Debug)]
pub struct Peer {
    plan: PeerPlan,
    push: Option<Mode>,
    receiver: Receiver,
    asker: Option<Asker>,
    server: Server,
    upload: Option<Upload>,
    /// Files that the platform may pull, and the one that it asked for.
    shelf: Vec<FileInfo>,
    chosen: Option<FileInfo>,
    /// Whether the platform ever named a file to pull; where it cannot, the only one on the shelf is meant.
    named: bool,
    /// The file that queries are about, where the platform named one.
    about: Option<FileInfo>,
    quiet_until: Option<Time>,
    out: VecDeque<PeerAction>,
}

impl Peer {
    /// A device that has nothing yet.
    pub fn new(plan: PeerPlan, now: Time) -> Self {
        let of = |direction| plan.modes.iter().find(|mode: &&Mode| mode.driver.direction() == direction).cloned();
        let push: Option<Mode> = of(Direction::Push);
        let pull: Option<Mode> = of(Direction::Pull);
        let asker = push.as_ref().filter(|mode| mode.driver == Driver::DevicePull);
        let asker = asker.map(|mode| Asker::new(&plan, mode.order, mode.confirms, now));
        let upload = pull.as_ref().filter(|mode| mode.driver == Driver::DevicePush);
        let upload = upload.map(|mode| Upload::new(&plan, mode));
        let receiver = Receiver::new(manner(&plan, push.as_ref()));
        Self {
            plan,
            push,
            receiver,
            asker,
            server: Server::default(),
            upload,
            shelf: Vec::new(),
            chosen: None,
            named: false,
            about: None,
            quiet_until: None,
            out: VecDeque::new(),
        }
    }

    /// Puts a file on the shelf: name, size and digests must be known. A file of that name is replaced.
    pub fn offer_file(&mut self, file: FileInfo) {
        self.shelf.retain(|held| held.name != file.name);
        if self.chosen.as_ref().is_some_and(|chosen| chosen.name == file.name) {
            self.chosen = Some(file.clone());
            self.server.forget();
        }
        self.shelf.push(file);
    }

    /// Begins to upload a file of the shelf without being asked (device-push only).
    pub fn start_upload(&mut self, name: &str, now: Time) {
        self.choose(&FileInfo { name: name.to_owned(), ..FileInfo::default() });
        self.begin_upload(now);
    }

    /// Takes over what an earlier life kept; before anything else.
    pub fn recall(&mut self, kept: Kept, now: Time) {
        self.receiver.recall(kept, &mut self.out);
        self.after_receiving(now);
    }

    /// What a later life needs; the bytes named durable in it must be on the disk before it is.
    pub fn kept(&self) -> Kept {
        self.receiver.kept()
    }

    /// A word of the platform arrived.
    pub fn handle(&mut self, command: Command, now: Time) {
        match command {
            Command::Offer(offer) => self.offered(offer, now),
            Command::Chunk(chunk) => {
                if let Some(asker) = &mut self.asker {
                    asker.chunk(&chunk, &self.receiver);
                }
                self.receiver.chunk(chunk, now, &mut self.out);
                self.after_receiving(now);
            }
            Command::Query(tag) => self.queried(tag),
            Command::Need(want) => self.needed(&want, now),
            Command::RequestUpload(_) => self.begin_upload(now),
            Command::Accept(accept) => self.with_upload(|upload, file, out| upload.accept(&accept, file, now, out)),
            Command::Ack(receipt) => self.with_upload(|upload, file, out| upload.receipt(&receipt, file, now, out)),
            Command::Outcome(outcome) if outcome.verdict == Verdict::BadDigest && self.plan.spontaneous => {
                self.with_upload(|upload, _, _| upload.start_later(now));
            }
            Command::Refuse(_) | Command::Outcome(_) | Command::Cancel(_) => self.ended(),
            Command::Pause(millis) => {
                let until = now.0.saturating_add(u64::from(millis) * 1000);
                self.quiet_until = Some(Time(if millis == 0 { u64::MAX } else { until }));
                return;
            }
        }
        self.hear(now);
    }

    /// Bytes handed out by [`PeerAction::Write`] would now survive a loss of power.
    pub fn handle_durable(&mut self, spans: &[Span], now: Time) {
        self.receiver.made_durable(spans, now, &mut self.out);
        self.after_receiving(now);
    }

    /// The answer to [`PeerAction::Digest`].
    pub fn handle_digests(&mut self, digests: &[Digest], now: Time) {
        self.receiver.digested(digests, &mut self.out);
        self.after_receiving(now);
    }

    /// The answer to [`PeerAction::Verify`]: size and digests, or `None` where the file is not there any more.
    pub fn handle_verified(&mut self, tag: Tag, found: Option<(u64, Vec<Digest>)>) {
        let about_received = self.about.as_ref().is_none_or(|about| self.receiver.is(&about.digests));
        if about_received {
            self.receiver.tell_finished(&mut self.out);
        }
        let (size, digests) = found.map_or((None, Vec::new()), |(size, digests)| (Some(size), digests));
        self.out.push_back(PeerAction::Say(Event::Finish(Finish { tag, size, digests })));
    }

    /// The time that [`Peer::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(until) = self.quiet_until {
            if now < until {
                return;
            }
            self.quiet_until = None;
        }
        self.receiver.timeout(now, &mut self.out);
        if let Some(asker) = &mut self.asker {
            asker.timeout(&self.receiver, now, &mut self.out);
        }
        self.with_upload(|upload, file, out| upload.timeout(file, now, out));
    }

    /// Asks the platform for silence; 0 = until it speaks again.
    pub fn pause(&mut self, millis: u32) {
        self.out.push_back(PeerAction::Say(Event::Pause(millis)));
    }

    /// The process died and came back: only what is durable is left, and actions not yet polled never happened.
    pub fn restart(&mut self, now: Time) {
        self.out.clear();
        self.quiet_until = None;
        let kept = self.receiver.kept();
        self.restart_with(kept, now);
    }

    /// Like [`Peer::restart`], with less (or more) left than was durable: a device whose storage forgets.
    pub fn restart_with(&mut self, kept: Kept, now: Time) {
        self.out.clear();
        self.receiver.recall(kept, &mut self.out);
        self.server.forget();
        if let Some(asker) = &mut self.asker {
            asker.restart(self.receiver.is_begun(), now);
        }
        if let Some(upload) = &mut self.upload {
            upload.restart();
        }
        if self.plan.spontaneous {
            self.greet(now);
        }
        self.after_receiving(now);
    }

    /// What to do next; `None` when there is nothing until something happens.
    pub fn poll(&mut self) -> Option<PeerAction> {
        self.out.pop_front()
    }

    /// When [`Peer::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let asker = self.asker.as_ref().and_then(Asker::due);
        let upload = self.upload.as_ref().and_then(Upload::due);
        let due = [self.receiver.due(), asker, upload].into_iter().flatten().min()?;
        Some(self.quiet_until.map_or(due, |until| due.max(until)))
    }

    /// The file whose bytes [`PeerAction::SendData`] means.
    pub fn serving(&self) -> Option<&FileInfo> {
        self.chosen.as_ref()
    }

    /// The bytes received that are durable.
    pub fn durable(&self) -> &Intervals {
        self.receiver.durable()
    }

    /// How the file being received ended on this device, if it did.
    pub fn verdict(&self) -> Option<Verdict> {
        self.receiver.verdict()
    }

    fn offered(&mut self, offer: Offer, now: Time) {
        let receives_unsized = self.asker.is_some();
        if offer.file.size.is_none() && !receives_unsized {
            // It announces nothing: it names the file that the words behind it are about.
            if offer.file.digests.is_empty() {
                self.choose(&offer.file);
            } else {
                self.about = Some(offer.file);
            }
            return;
        }
        self.about = None;
        let anew = self.receiver.offer(offer.file, &mut self.out);
        if let Some(asker) = &mut self.asker {
            if anew {
                asker.begin(self.plan.asks_past_end);
            } else {
                asker.reminded(now);
            }
        } else if !anew && matches!(self.plan.acks, AckStyle::Batch { .. }) {
            self.receiver.tell(&mut self.out);
            self.receiver.tell_verdict(&mut self.out);
        }
        self.after_receiving(now);
    }

    fn queried(&mut self, tag: Tag) {
        let Some(about) = self.about.as_ref().filter(|about| !self.receiver.is(&about.digests)) else {
            self.receiver.query(tag, &mut self.out);
            return;
        };
        let held = self.shelf.iter().find(|file| shares_digest(&file.digests, &about.digests));
        self.out.push_back(match held {
            Some(file) => PeerAction::Verify { tag, file: file.clone() },
            None => PeerAction::Say(Event::Finish(Finish { tag, size: None, digests: Vec::new() })),
        });
    }

    fn after_receiving(&mut self, now: Time) {
        if let Some(asker) = &mut self.asker {
            asker.fill(&self.receiver, now, &mut self.out);
            asker.judged(&self.receiver, now, &mut self.out);
        }
    }

    fn needed(&mut self, want: &Want, now: Time) {
        self.choose_any();
        let Some(file) = &self.chosen else {
            self.out.push_back(PeerAction::Say(no_such_file()));
            return;
        };
        match &mut self.upload {
            Some(upload) if upload.is_active() => upload.need(want, file, &mut self.out),
            Some(upload) => upload.start(file, now, &mut self.out),
            None => self.server.need(want, file, self.plan.packet_size, &mut self.out),
        }
    }

    fn begin_upload(&mut self, now: Time) {
        self.choose_any();
        if self.chosen.is_none() {
            self.out.push_back(PeerAction::Say(no_such_file()));
        }
        match (&self.upload, &self.chosen) {
            (None, Some(file)) => self.server.announce(file, &mut self.out),
            _ => self.with_upload(|upload, file, out| upload.start(file, now, out)),
        }
    }

    fn with_upload(&mut self, act: impl FnOnce(&mut Upload, &FileInfo, &mut VecDeque<PeerAction>)) {
        if let (Some(upload), Some(file)) = (&mut self.upload, &self.chosen) {
            act(upload, file, &mut self.out);
        }
    }

    fn ended(&mut self) {
        self.receiver.cancelled();
        self.server.forget();
        if let Some(asker) = &mut self.asker {
            asker.ended();
        }
        if let Some(upload) = &mut self.upload {
            upload.ended();
        }
    }

    fn hear(&mut self, now: Time) {
        if self.quiet_until == Some(Time(u64::MAX)) {
            self.quiet_until = None;
            self.handle_timeout(now);
        }
    }

    fn greet(&mut self, now: Time) {
        let hello = Hello { tag: 0, title: String::new(), version: String::new(), meta: Vec::new() };
        self.out.push_back(PeerAction::Say(Event::Hello(hello)));
        if self.receiver.is_begun() && matches!(self.push.as_ref().map(|mode| mode.acks), Some(Acks::Message)) {
            self.receiver.tell(&mut self.out);
        }
        self.with_upload(|upload, file, out| upload.start(file, now, out));
    }

    /// Whether the shelf has what is asked for. Where not, the shell looks once more before the machine says so.
    pub fn has(&self, wish: &FileInfo) -> bool {
        self.find(wish).is_some()
    }

    /// Files are asked for by name or type; a name with a suffix (`syslog.1`) answers to the bare one.
    fn find(&self, wish: &FileInfo) -> Option<&FileInfo> {
        let kind = wish.meta.iter().find(|(key, _)| key == "type").map(|(_, kind)| kind.as_str());
        let name = if wish.name.is_empty() { kind.unwrap_or_default() } else { &wish.name };
        let exact = self.shelf.iter().find(|file| file.name == name);
        let suffixed = |file: &&FileInfo| file.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        exact.or_else(|| self.shelf.iter().find(suffixed))
    }

    fn choose(&mut self, wish: &FileInfo) {
        let found = self.find(wish).cloned();
        if found != self.chosen {
            self.server.forget();
            self.chosen = found;
        }
        self.named = true;
    }

    fn choose_any(&mut self) {
        if self.chosen.is_none() && !self.named && self.shelf.len() == 1 {
            self.chosen = self.shelf.first().cloned();
        }
    }
}

fn manner(plan: &PeerPlan, push: Option<&Mode>) -> Manner {
    match push {
        Some(mode) => Manner {
            acks: (mode.acks == Acks::Message).then_some(plan.acks),
            order: mode.order,
            confirms: mode.confirms,
        },
        None => Manner { acks: None, order: Order::Any, confirms: false },
    }
}

fn no_such_file() -> Event {
    let text = Text { code: String::new(), message: "no such file".to_owned() };
    Event::Outcome(Outcome { verdict: Verdict::Refused, text })
}
