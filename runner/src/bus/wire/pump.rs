//! Moves the packets of one MQTT 5 connection: rumqttc's state machine and packets, on a socket of our own.
//!
//! rumqttc's own event loop hides its codec, and its codec ends the connection at reason codes that it does not know;
//! see `frames`. It is used for one connection only, so that nothing of rumqttc's reconnect is missed.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode, Login, Packet, PubAckReason, Publish,
};
use rumqttc::v5::{ConnectionError, Event, MqttState, Request, StateError};
use rumqttc::{TlsConfiguration, TlsError, Transport};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::frames::Frames;
use super::{INFLIGHT, Opening, SESSION_EXPIRY};
use crate::bus::outbox::MAX_PACKET;
use crate::bus::{Acknowledge, Reason, Session};

/// Packets taken in, or requests sent, before what they cause is written.
const BATCH: usize = 10;

/// How long a broken connection may take to come to its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Room for a read.
const READ: usize = 16 << 10;

trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// A connection that the broker has welcomed.
pub(super) struct Pump {
    socket: Box<dyn Socket>,
    frames: Frames,
    output: BytesMut,
    pub(super) state: MqttState,
    requests: Receiver<Request>,
    /// Publishes of QoS 1 and 2 at a time.
    most: u16,
    /// Largest packet that the broker takes.
    largest: Option<u32>,
    keep_alive: Duration,
    pings: Interval,
}

impl Pump {
    /// Connects, says CONNECT and waits for CONNACK; at most `attempt_timeout`.
    pub(super) async fn connect(
        opening: Opening<'_>,
        requests: Receiver<Request>,
    ) -> Result<(Self, ConnAck), ConnectionError> {
        timeout(opening.attempt_timeout, Self::welcomed(&opening, requests)).await?
    }

    async fn welcomed(opening: &Opening<'_>, requests: Receiver<Request>) -> Result<(Self, ConnAck), ConnectionError> {
        let mut pump = Self {
            socket: socket(opening).await?,
            frames: Frames::default(),
            output: BytesMut::new(),
            state: MqttState::new(INFLIGHT, opening.receipts == Acknowledge::WhenDropped),
            requests,
            most: INFLIGHT,
            largest: None,
            keep_alive: opening.keep_alive,
            pings: every(opening.keep_alive),
        };
        pump.write(&connect(opening))?;
        pump.flush().await?;
        let welcome = pump.welcome().await?;
        if let Some(told) = &welcome.properties {
            // A broker may switch pings off, but ours are also the watchdog's proof of life.
            let imposed = told.server_keep_alive.filter(|seconds| *seconds > 0);
            pump.keep_alive = imposed.map_or(opening.keep_alive, |seconds| Duration::from_secs(seconds.into()));
            pump.most = told.receive_max.map_or(INFLIGHT, |most| most.min(INFLIGHT));
            pump.largest = told.max_packet_size;
        }
        pump.pings = every(pump.keep_alive);
        pump.state.handle_incoming_packet(Packet::ConnAck(welcome.clone()))?;
        pump.state.events.clear();
        Ok((pump, welcome))
    }

    async fn welcome(&mut self) -> Result<ConnAck, ConnectionError> {
        loop {
            if self.frames.old_welcome() {
                return Err(ConnectionError::ConnectionRefused(ConnectReturnCode::UnsupportedProtocolVersion));
            }
            match self.frames.next()? {
                Some(Packet::ConnAck(welcome)) if welcome.code == ConnectReturnCode::Success => return Ok(welcome),
                Some(Packet::ConnAck(refusal)) => return Err(ConnectionError::ConnectionRefused(refusal.code)),
                Some(packet) => return Err(ConnectionError::NotConnAck(Box::new(packet))),
                None => self.read().await?,
            }
        }
    }

    /// What happens next. Poll it to its end: a call that is dropped half-way may lose what it was writing.
    pub(super) async fn poll(&mut self) -> Result<Event, ConnectionError> {
        match self.step().await {
            Err(error @ ConnectionError::Io(_)) => Err(self.last_words(error).await),
            result => result,
        }
    }

    async fn step(&mut self) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.state.events.pop_front() {
                return Ok(event);
            }
            if !self.take_in()? {
                let free = self.state.inflight() < self.most && self.state.collision.is_none();
                tokio::select! {
                    request = self.requests.recv(), if free => self.send(request)?,
                    read = read(&mut self.socket, &mut self.frames) => read?,
                    _ = self.pings.tick() => self.outgoing(Request::PingReq)?,
                }
            }
            self.flush().await?;
        }
    }

    /// What the broker said before it hung up while we were writing: answers become events, and its DISCONNECT tells more than
    /// the socket.
    async fn last_words(&mut self, error: ConnectionError) -> ConnectionError {
        // A connection that is dead for writing is read to its end at once.
        let to_the_end = async { while self.frames.input.len() < MAX_PACKET && self.read().await.is_ok() {} };
        drop(timeout(LAST_WORDS, to_the_end).await);
        loop {
            match self.take_in() {
                Ok(true) => {}
                Err(said @ ConnectionError::MqttState(StateError::ServerDisconnect { .. })) => return said,
                Ok(false) | Err(_) => return error,
            }
        }
    }

    /// The broker's word behind an answer that rumqttc reads as "unspecified error".
    pub(super) fn unspecified(&mut self) -> Reason {
        self.frames.unspecified()
    }

    pub(super) fn keep_alive(&self) -> Duration {
        self.keep_alive
    }

    /// Ends it: publishes that were sent and not acknowledged, and those that wait to be sent.
    pub(super) fn salvage(mut self) -> (Vec<Publish>, Option<Publish>, Vec<Publish>) {
        let publish = |request| if let Request::Publish(publish) = request { Some(publish) } else { None };
        let sent = self.state.clean().into_iter().filter_map(publish).collect();
        let queued = std::iter::from_fn(|| self.requests.try_recv().ok()).filter_map(publish).collect();
        (sent, self.state.collision.take(), queued)
    }

    /// Deals with packets that have come; false where there is none.
    fn take_in(&mut self) -> Result<bool, ConnectionError> {
        for taken in 0..BATCH {
            let Some(packet) = self.frames.next()? else { return Ok(taken > 0) };
            let refused = match &packet {
                Packet::PubAck(ack) if refuses(ack.reason) => Some(ack.pkid),
                _ => None,
            };
            if let Some(answer) = self.state.handle_incoming_packet(packet)? {
                self.write(&answer)?;
            }
            // rumqttc forgets the publish that waits for this packet id where the one before it was refused.
            if refused.is_some()
                && let Some(next) = self.state.collision.take_if(|next| Some(next.pkid) == refused)
            {
                self.outgoing(Request::Publish(next))?;
            }
        }
        Ok(true)
    }

    /// Sends a request and those that wait behind it.
    fn send(&mut self, first: Option<Request>) -> Result<(), ConnectionError> {
        self.outgoing(first.ok_or(ConnectionError::RequestsDone)?)?;
        for _ in 1..BATCH {
            if self.state.inflight() >= self.most || self.state.collision.is_some() {
                break;
            }
            let Ok(request) = self.requests.try_recv() else { break };
            self.outgoing(request)?;
        }
        Ok(())
    }

    fn outgoing(&mut self, request: Request) -> Result<(), ConnectionError> {
        if let Some(packet) = self.state.handle_outgoing_packet(request)? {
            self.write(&packet)?;
        }
        Ok(())
    }

    fn write(&mut self, packet: &Packet) -> Result<(), ConnectionError> {
        packet.write(&mut self.output, self.largest).map_err(StateError::from)?;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        if !self.output.is_empty() {
            self.socket.write_all_buf(&mut self.output).await?;
            self.socket.flush().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), ConnectionError> {
        read(&mut self.socket, &mut self.frames).await
    }
}

async fn read(socket: &mut Box<dyn Socket>, frames: &mut Frames) -> Result<(), ConnectionError> {
    frames.input.reserve(READ);
    match socket.read_buf(&mut frames.input).await? {
        0 => Err(StateError::ConnectionAborted.into()),
        _ => Ok(()),
    }
}

fn refuses(reason: PubAckReason) -> bool {
    !matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
}

fn every(keep_alive: Duration) -> Interval {
    let mut pings = interval_at(Instant::now() + keep_alive, keep_alive);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

async fn socket(opening: &Opening<'_>) -> Result<Box<dyn Socket>, ConnectionError> {
    let (host, port) = (opening.server.bare_host(), opening.server.port);
    let tcp = TcpStream::connect((host, port)).await?;
    // Without it QoS 1 request and answer fall from 11 000 to 11 a second: Nagle waits for delayed acknowledgements.
    tcp.set_nodelay(true)?;
    match &opening.transport {
        Transport::Tcp => Ok(Box::new(tcp)),
        Transport::Tls(TlsConfiguration::Rustls(config)) => {
            let name = ServerName::try_from(host.to_owned()).map_err(TlsError::from)?;
            Ok(Box::new(TlsConnector::from(config.clone()).connect(name, tcp).await.map_err(TlsError::from)?))
        }
        _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    }
}

fn connect(opening: &Opening<'_>) -> Packet {
    let properties = ConnectProperties {
        session_expiry_interval: (opening.session == Session::Keep).then_some(SESSION_EXPIRY),
        receive_maximum: Some(INFLIGHT),
        max_packet_size: Some(MAX_PACKET as u32),
        ..ConnectProperties::new()
    };
    let connect = Connect {
        client_id: opening.client_id.to_owned(),
        keep_alive: u16::try_from(opening.keep_alive.as_secs()).unwrap_or(u16::MAX),
        clean_start: opening.session == Session::Clean,
        properties: Some(properties),
    };
    let login = opening.credentials.as_ref().map(|(user, password)| Login::new(user, password));
    Packet::Connect(connect, None, login)
}
